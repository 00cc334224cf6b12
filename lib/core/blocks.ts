/** Rules for where blocks may lie: they are whole, and along one dimension. */
import { type DType, dtypes, isBlocks } from './dtype.js'
import { DTypeError, formatShape, ShapeError } from './errors.js'
import { countOf, type Shape } from './shape.js'

interface Placed {
  readonly dtype: DType
  readonly sizes: Shape
  readonly steps: Shape
}

/** Throws ShapeError unless the last dimension is made of whole blocks of the dtype. */
export function checkBlockShape(op: string, dtype: DType, sizes: Shape): void {
  const { block } = dtypes[dtype]
  const last = sizes.at(-1)
  if (block === 1 || (last !== undefined && last % block === 0)) return
  throw new ShapeError(
    op,
    `${dtype} stores blocks of ${block} along the last dimension, but the last dimension of ${formatShape(sizes)} ` +
      `${last === undefined ? 'is missing' : `is ${last}, which is not a multiple`}; keep such a tensor in bfloat16`,
    [sizes],
  )
}

/**
 * Throws ShapeError for a view that would cut a block: one dimension must hold whole blocks, and the others must step
 * from block to block.
 */
export function checkBlockView(op: string, dtype: DType, sizes: Shape, steps: Shape, offset: number): void {
  const { block } = dtypes[dtype]
  if (block === 1 || countOf(sizes) === 0) return
  let runs = 0
  let whole = offset % block === 0
  for (let d = 0; d < sizes.length; d++) {
    const [size, step] = [sizes[d] as number, steps[d] as number]
    if (step === 1 && size % block === 0) runs++
    else if (size !== 1) whole &&= step % block === 0
  }
  if (whole && runs === 1) return
  throw new ShapeError(
    op,
    `a ${formatShape(sizes)} view of ${dtype} would cut its blocks of ${block} elements; take whole rows or whole blocks, or ` +
      "convert it first with .to('float32')",
    [sizes],
  )
}

/**
 * Throws DTypeError unless blocks lie along the last dimension, because a copy or conversion would have to quantise
 * them again.
 */
export function checkBlockRows(op: string, { dtype, sizes, steps }: Placed): void {
  if (!isBlocks(dtype) || steps.at(-1) === 1 || countOf(sizes) === 0) return
  throw new DTypeError(
    op,
    `the blocks of a transposed ${dtype} tensor do not lie along its last dimension; convert or copy it before transposing it`,
  )
}
