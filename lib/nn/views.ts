/** Tests of how tensors share memory, as tied weights do. */
import { sameShape } from '../core/shape.js'
import type { Tensor } from '../core/tensor.js'

/** The first and the last element of a view in its storage. */
function span({ offset, shape, strides }: Tensor): readonly [first: number, last: number] {
  let last = offset
  shape.forEach((size, d) => {
    last += (size - 1) * (strides[d] as number)
  })
  return [offset, last]
}

/** Whether two views have elements in common. Interleaved views count as if they had. */
export function overlaps(a: Tensor, b: Tensor): boolean {
  if (a.storage !== b.storage || a.numel === 0 || b.numel === 0) return false
  const [[a0, a1], [b0, b1]] = [span(a), span(b)]
  return a0 <= b1 && b0 <= a1
}

/** Whether two views cover the same elements, in any order. */
export function sameMemory(a: Tensor, b: Tensor): boolean {
  if (a.storage !== b.storage || a.numel !== b.numel) return false
  const [[a0, a1], [b0, b1]] = [span(a), span(b)]
  const dense = a1 - a0 + 1 === a.numel
  return a0 === b0 && a1 === b1 && (dense || (sameShape(a.sizes, b.sizes) && sameShape(a.steps, b.steps)))
}

/** Whether two tensors view the same memory in the same way, so that their elements agree in order. */
export function sameView(a: Tensor, b: Tensor): boolean {
  return a.storage === b.storage && a.offset === b.offset && sameShape(a.sizes, b.sizes) && sameShape(a.steps, b.steps)
}
