/** Where results lie in memory, so that what follows sees them as views and nothing is copied. No graph. */
import { empty } from '../backend/dispatch.js'
import { countOf, type Shape } from '../core/shape.js'
import { Tensor } from '../core/tensor.js'

/** Dense memory for `shape`, its dimensions in the order in which x's lie: a transposed x gives a transposed result. */
export function emptyInOrderOf(x: Tensor, shape: Shape, op: string): Tensor {
  const out = empty(x.device, shape, x.dtype, op)
  if (x.isContiguous) return out
  const order = shape.map((_, d) => d).sort((a, b) => (x.strides[b] as number) - (x.strides[a] as number) || a - b)
  const strides = new Array<number>(shape.length)
  let stride = 1
  for (const d of order.reverse()) {
    strides[d] = stride
    stride *= shape[d] as number
  }
  return new Tensor(out.storage, shape, strides, 0)
}

/** The dimensions of a view that step by `step` or more, or those that step by less, the widest first. */
function dims(x: Tensor, step: number, inner: boolean): readonly { size: number; stride: number }[] {
  return x.shape
    .map((size, d) => ({ size, stride: x.strides[d] as number }))
    .filter(({ size, stride }) => size !== 1 && stride < step === inner)
    .sort((a, b) => b.stride - a.stride)
}

/** Whether dimensions, the widest first, lie densely, the last one stepping by `unit`. */
function areDense(list: readonly { size: number; stride: number }[], unit: number): boolean {
  let expected = unit
  for (const { size, stride } of [...list].reverse()) {
    if (stride !== expected) return false
    expected *= size
  }
  return true
}

/**
 * Where the tensors take turns in one memory and fill it without gaps, as query, key and value of one projection do: a new
 * memory with places for a result like each. Null where they do not. (Whoever calls must write all of them.)
 */
export function emptySideBySide(tensors: readonly Tensor[], op: string): readonly Tensor[] | null {
  const [first] = tensors
  if (first === undefined || tensors.some((x) => x.storage !== first.storage || x.numel === 0)) return null
  const sorted = [...tensors].sort((a, b) => a.offset - b.offset)
  for (const step of first.strides) {
    const outer = dims(first, step, false)
    const widths = sorted.map((x) => countOf(dims(x, step, true).map(({ size }) => size)))
    const fits =
      areDense(outer, step) &&
      widths.reduce((sum, width) => sum + width, 0) === step &&
      sorted.every((x, i) => {
        const next = sorted[i + 1]
        return (
          areDense(dims(x, step, true), 1) &&
          JSON.stringify(dims(x, step, false)) === JSON.stringify(outer) &&
          (next === undefined || next.offset - x.offset === widths[i])
        )
      })
    if (!fits) continue
    const start = (sorted[0] as Tensor).offset
    const total = step * countOf(outer.map(({ size }) => size))
    const { storage } = empty(first.device, [total], first.dtype, op)
    return tensors.map((x) => new Tensor(storage, x.shape, x.strides, x.offset - start))
  }
  return null
}

/** What the parts are along `dim`, if they lie one after another in one memory; else null. */
export function joined(parts: readonly Tensor[], dim: number): Tensor | null {
  const [first] = parts
  if (first === undefined) return null
  let size = 0
  for (const part of parts) {
    const along = part.offset === first.offset + size * (first.strides[dim] as number)
    if (!along || part.storage !== first.storage || part.strides.some((s, d) => s !== first.strides[d])) return null
    size += part.shape[dim] as number
  }
  const shape = first.shape.map((s, d) => (d === dim ? size : s))
  return new Tensor(first.storage, shape, first.strides, first.offset)
}
