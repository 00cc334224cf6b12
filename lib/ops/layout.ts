/**
 * The layout of results in memory, chosen so that later operators see them as views and nothing is copied. No graph.
 */
import { empty } from '../backend/dispatch.js'
import type { Shape } from '../core/shape.js'
import { Tensor } from '../core/tensor.js'

/** Dense memory for `shape`, with dimensions in the order of x's, so that a transposed x gives a transposed result. */
export function emptyInOrderOf(x: Tensor, shape: Shape, op: string): Tensor {
  const out = empty(x.device, shape, x.dtype, op)
  if (x.isContiguous) return out
  const order = shape.map((_, d) => d).sort((a, b) => (x.steps[b] as number) - (x.steps[a] as number) || a - b)
  const strides = new Array<number>(shape.length)
  let stride = 1
  for (const d of order.reverse()) {
    strides[d] = stride
    stride *= shape[d] as number
  }
  return new Tensor(out.storage, shape, strides, 0)
}

/**
 * The number of elements that the dimensions with steps below `step` fill together, or of rows of `step` elements that
 * the others fill. Null if they leave gaps or overlap.
 */
function filled({ sizes: shape, steps: strides }: Tensor, step: number, inner: boolean): number | null {
  const unit = inner ? 1 : step
  let left = 0
  for (let d = 0; d < shape.length; d++) if (shape[d] !== 1 && (strides[d] as number) < step === inner) left++
  let next = unit
  for (; left > 0; left--) {
    const d = strides.findIndex((stride, i) => stride === next && shape[i] !== 1)
    if (d < 0 || (inner && next >= step)) return null
    next *= shape[d] as number
  }
  return next / unit
}

/**
 * Makes a new memory with a place for a result like each tensor, if the tensors interleave in one memory and fill it
 * without gaps. Query, key and value of one projection do so. Null if they do not. The caller must write all of them.
 */
export function emptySideBySide(tensors: readonly Tensor[], op: string): readonly Tensor[] | null {
  const [first] = tensors
  if (first === undefined || tensors.some((x) => x.storage !== first.storage || x.numel === 0)) return null
  const sorted = [...tensors].sort((a, b) => a.offset - b.offset)
  const start = sorted[0]?.offset ?? 0
  for (const step of first.steps) {
    const rows = filled(first, step, false)
    if (rows === null) continue
    let end = start
    const oneAfterAnother = sorted.every((x) => {
      const width = filled(x, step, true)
      const fits = x.offset === end && width !== null && filled(x, step, false) === rows
      end += width ?? 0
      return fits
    })
    if (!oneAfterAnother || end - start !== step) continue
    const { storage } = empty(first.device, [step * rows], first.dtype, op)
    return tensors.map((x) => new Tensor(storage, x.sizes, x.steps, x.offset - start))
  }
  return null
}

/** The whole from which the parts are cut along `dim`, if they follow one another in one memory; else null. */
export function joined(parts: readonly Tensor[], dim: number): Tensor | null {
  const [first] = parts
  if (first === undefined) return null
  let size = 0
  for (const part of parts) {
    const along = part.offset === first.offset + size * (first.steps[dim] as number)
    if (!along || part.storage !== first.storage || part.steps.some((s, d) => s !== first.steps[d])) return null
    size += part.sizes[dim] as number
  }
  const shape = first.sizes.map((s, d) => (d === dim ? size : s))
  return new Tensor(first.storage, shape, first.steps, first.offset)
}
