/** out = a b + bias, batched: one matrix product for each element of the batch, or for several of them at once. */
import { dtypes, isBlocks } from '../../core/dtype.js'
import { countOf } from '../../core/shape.js'
import type { KernelArguments, Kernels } from '../table/index.js'
import { decoded } from './blocks.js'
import { gemm, spaced } from './gemm.js'
import { isHalf, widened } from './half.js'
import { convert } from './shape.js'
import type { HostView } from './view.js'
import { walk } from './walk.js'

/** `added` is a bias, or out itself. */
function multiply(out: HostView, a: HostView, b: HostView, added: HostView | null): void {
  const rank = out.shape.length
  const [M, K] = a.shape.slice(-2) as [number, number]
  const N = b.shape.at(-1) as number
  const cRow = out.strides.at(-2) as number
  const [aRow, aCol] = a.strides.slice(-2) as [number, number]
  const [bRow, bCol] = b.strides.slice(-2) as [number, number]

  const product = (rows: number, aRow: number, c0: number, a0: number, b0: number) => {
    const c = { data: out.data, rows: spaced(rows, cRow, c0), cols: spaced(N, 1) }
    const initial =
      added === out ? c : added && { data: added.data, rows: spaced(rows, 0, added.offset), cols: spaced(N, 1) }
    gemm(
      c,
      { data: a.data, rows: spaced(rows, aRow, a0), cols: spaced(K, aCol) },
      { data: b.data, rows: spaced(K, bRow, b0), cols: spaced(N, bCol) },
      initial,
    )
  }

  walk(out.shape.slice(0, rank - 2), [out, a, b], (n, [c0 = 0, a0 = 0, b0 = 0], [cStep = 0, aStep = 0, bStep = 0]) => {
    // If b is a single matrix and the batches of a are evenly spaced, their rows are the rows of one product.
    if (bStep === 0 && M === 1) product(n, aStep, c0, a0, b0)
    else if (bStep === 0 && aStep === M * aRow) product(n * M, aRow, c0, a0, b0)
    else for (let k = 0; k < n; k++) product(M, aRow, c0 + k * cStep, a0 + k * aStep, b0 + k * bStep)
  })
}

/** The number of columns of b whose blocks are decoded at once: whole blocks of every dtype. */
const decodedColumns = 64

/**
 * Does the same as `multiply`, with b of any allowed dtype. Blocks are decoded a few columns at a time as they are
 * read, because they exist to avoid a decoded copy.
 */
function multiplyAny(out: HostView, a: HostView, b: HostView, added: HostView | null): void {
  const { dtype } = b
  if (!isBlocks(dtype)) {
    multiply(out, a, widened(b), added)
    return
  }
  const [last, inner] = [b.shape.length - 1, b.shape.length - 2]
  const columns = b.shape[last] as number
  // Blocks lie along the columns, or along the rows if b is transposed.
  const isTransposed = b.strides[last] !== 1 || columns % dtypes[dtype].block !== 0
  const turned = <T>(list: readonly T[]): T[] =>
    isTransposed ? [...list.slice(0, inner), list[last] as T, list[inner] as T] : [...list]
  for (let column = 0; column < columns; column += decodedColumns) {
    const width = Math.min(decodedColumns, columns - column)
    const sizes = [...b.shape.slice(0, last), width]
    const part = {
      ...b,
      offset: b.offset + column * (b.strides[last] as number),
      shape: turned(sizes),
      strides: turned(b.strides),
    }
    // A batch that repeats one matrix remains a repetition.
    const isRepeated = (d: number) => b.strides[d] === 0 && d < inner
    const once = { ...part, shape: part.shape.map((size, d) => (isRepeated(d) ? Math.min(size, 1) : size)) }
    const numbers = decoded(dtype, once)
    const panel: HostView = {
      ...numbers,
      shape: sizes,
      strides: turned(numbers.strides.map((step, d) => (isRepeated(d) ? 0 : step))),
    }
    const narrow = (view: HostView, from: number): HostView => ({
      ...view,
      offset: view.offset + from,
      shape: [...view.shape.slice(0, -1), width],
    })
    const c = narrow(out, column)
    multiply(c, a, panel, added === out ? c : added && narrow(added, column))
  }
}

/** 16-bit floats are widened, and sums narrowed at the end. */
function matmulKernel({ out, a, b, bias }: KernelArguments<'matmul', HostView>): void {
  const sums: HostView = isHalf(out.dtype)
    ? { ...out, data: new Float32Array(countOf(out.shape)), dtype: 'float32', offset: 0 }
    : out
  multiplyAny(sums, widened(a), b, bias && widened(bias))
  if (sums !== out) convert(out, sums)
}

function matmul_accumulate({ sum, a, b }: KernelArguments<'matmul_accumulate', HostView>): void {
  multiplyAny(sum, widened(a), b, sum)
}

export const matmul = { matmul: matmulKernel, matmul_accumulate } satisfies Pick<
  Kernels<HostView>,
  'matmul' | 'matmul_accumulate'
>
