/** The places of values in sorted tensors. */
import { apply, checkTensor } from '../../autograd/operator.js'
import { DTypeError, formatShape, namedAs, ShapeError, ValueError } from '../../core/errors.js'
import { checkFlag, checkOptions } from '../../core/options.js'
import type { Shape } from '../../core/shape.js'
import { Tensor } from '../../core/tensor.js'
import { full } from '../creation.js'
import { gather } from '../indexing/index.js'
import { kernel, operator } from '../operator.js'
import { comparable } from '../reduce/dims.js'
import { detach, reshape } from '../shape/index.js'

const searchRecord = operator<[sorted: Tensor, values: Tensor], boolean>({
  name: 'searchsorted',
  infer([sorted, values]) {
    const rows = sorted.sizes.slice(0, -1)
    const fit = sorted.ndim === 1 || (sorted.ndim === values.ndim && rows.every((size, d) => values.sizes[d] === size))
    if (sorted.ndim === 0 || !fit)
      throw new ShapeError(
        'searchsorted',
        `sorted must have one dimension, or the dimensions of values except for the last size, but sorted is ${formatShape(sorted.sizes)} and values ${formatShape(values.sizes)}`,
        [sorted.sizes, values.sizes],
      )
    return { shape: values.sizes, dtype: 'int32' }
  },
  forward: kernel('searchsorted', ([sorted, values], right, { out }) => ({ out, sorted, values, right })),
  gradient: { differentiable: false, reason: 'the result is an index' },
})

function find(op: string, sorted: Tensor, values: Tensor | number, right: boolean): Tensor {
  checkTensor(op, 'sorted', sorted)
  if (typeof values === 'number') {
    const { dtype, device } = sorted
    const value = namedAs(op, () => full([1], values, { dtype, device }))
    return reshape(find(op, sorted, value, right), [])
  }
  checkTensor(op, 'values', values)
  if (sorted.dtype !== values.dtype)
    throw new DTypeError(
      op,
      `sorted is ${sorted.dtype} and values ${values.dtype}, but both must have the same dtype; convert one with .to('${sorted.dtype}')`,
    )
  return namedAs(op, () => apply(searchRecord, [comparable(detach(sorted)), comparable(detach(values))], right))
}

export interface SearchSortedOptions {
  /** Whether to place values after equal elements instead of before them. Default false. */
  readonly right?: boolean
  /** The order that sorts `sorted` along its last dimension (int32, of its shape), if it is not sorted itself. */
  readonly sorter?: Tensor | null
}

/**
 * The index (int32) at which each value must be inserted to keep `sorted` in order. It is the number of elements that
 * are less, or with `right` not greater. `sorted` [n] serves all values; [..., n] serves values [..., m] row by row. A
 * number gives one index. NaN belongs at the end.
 */
export function searchsorted(
  sorted: Tensor,
  values: Tensor | number,
  options?: SearchSortedOptions,
): Tensor<Shape, 'int32'>
export function searchsorted(sorted: Tensor, values: Tensor | number, options: SearchSortedOptions = {}): Tensor {
  const { right = false, sorter = null } = checkOptions('searchsorted', options, { right: true, sorter: true })
  checkFlag('searchsorted', 'right', right)
  checkTensor('searchsorted', 'sorted', sorted)
  if (sorter === null) return find('searchsorted', sorted, values, right)
  checkTensor('searchsorted', 'sorter', sorter)
  if (sorted.ndim === 0 || sorter.ndim !== sorted.ndim || sorter.sizes.some((size, d) => size !== sorted.sizes[d]))
    throw new ShapeError(
      'searchsorted',
      `sorter must have the shape of sorted, ${formatShape(sorted.sizes)}, but is ${formatShape(sorter.sizes)}`,
      [sorted.sizes, sorter.sizes],
    )
  return find(
    'searchsorted',
    namedAs('searchsorted', () => gather(detach(sorted), sorted.ndim - 1, sorter)),
    values,
    right,
  )
}

export interface BucketizeOptions {
  /** Whether a bucket includes its lower boundary instead of its upper one. Default false. */
  readonly right?: boolean
}

/**
 * The index (int32) of the bucket of each element of x: bucket i holds boundaries[i - 1] < x <= boundaries[i], or with
 * `right` boundaries[i - 1] <= x < boundaries[i]. `boundaries` [n] must rise. Throws ShapeError unless `boundaries` has
 * one dimension.
 */
export function bucketize(x: Tensor | number, boundaries: Tensor, options?: BucketizeOptions): Tensor<Shape, 'int32'>
export function bucketize(x: Tensor | number, boundaries: Tensor, options: BucketizeOptions = {}): Tensor {
  const { right = false } = checkOptions('bucketize', options, { right: true })
  checkFlag('bucketize', 'right', right)
  if (!(x instanceof Tensor) && typeof x !== 'number')
    throw new ValueError('bucketize', 'x must be a tensor or a number')
  checkTensor('bucketize', 'boundaries', boundaries)
  if (boundaries.ndim !== 1)
    throw new ShapeError('bucketize', `boundaries must have one dimension, but are ${formatShape(boundaries.sizes)}`, [
      boundaries.sizes,
    ])
  return find('bucketize', boundaries, x, right)
}
