/** What stands around an image that is not surrounded by zeros. */
import { formatShape, ShapeError } from '../core/errors.js'
import type { Tensor } from '../core/tensor.js'
import { tensor } from './creation.js'
import { indexSelect } from './indexing.js'

/** 'reflect' repeats the image mirrored at its outermost elements, 'replicate' these elements, 'circular' the other end. */
export type PaddingMode = 'zeros' | 'reflect' | 'replicate' | 'circular'

const places = {
  reflect: (i: number, size: number) => (i < 0 ? -i : i < size ? i : 2 * (size - 1) - i),
  replicate: (i: number, size: number) => Math.min(Math.max(i, 0), size - 1),
  circular: (i: number, size: number) => (i + size) % size,
} as const

/** How much of each mode a dimension has. */
const most = {
  reflect: (size: number) => size - 1,
  replicate: () => Number.POSITIVE_INFINITY,
  circular: (size: number) => size,
}

/** x with `before` and `after` elements more in its last dimensions. Throws ShapeError where x has not enough of them. */
export function framed(
  op: string,
  x: Tensor,
  before: readonly number[],
  after: readonly number[],
  mode: Exclude<PaddingMode, 'zeros'>,
): Tensor {
  const first = x.ndim - before.length
  const amounts = before.map((b, i) => Math.max(b, after[i] as number))
  amounts.forEach((amount, i) => {
    const size = x.sizes[first + i] ?? 0
    if (amount > 0 && (size === 0 || amount > most[mode](size)))
      throw new ShapeError(
        op,
        `x is ${formatShape(x.sizes)}, which has too little for ${amount} elements of ${mode} padding in dimension ${first + i}`,
        [x.sizes],
      )
  })
  let out = x
  before.forEach((b, i) => {
    const dim = first + i
    const size = x.sizes[dim] as number
    const a = after[i] as number
    if (b + a === 0) return
    const index = Array.from({ length: b + size + a }, (_, k) => places[mode](k - b, size))
    out = indexSelect(out, dim, tensor(index, { dtype: 'int32', device: x.device }))
  })
  return out
}
