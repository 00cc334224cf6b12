import { apply, checkTensor } from '../../autograd/operator.js'
import type { DType } from '../../core/dtype.js'
import { formatShape, namedAs, shown, ValueError } from '../../core/errors.js'
import { defineMethods } from '../../core/methods.js'
import { checkFlag, checkOptions } from '../../core/options.js'
import { normalizeDim, type Shape } from '../../core/shape.js'
import type { Tensor } from '../../core/tensor.js'
import { like } from '../common.js'
import { castTo } from '../convert.js'
import { gather } from '../indexing/index.js'
import { kernel, operator } from '../operator.js'
import { comparable, keepdimOf, type ReduceOptions } from '../reduce/dims.js'
import { picked, type Selected } from '../reduce/picked.js'
import { detach, narrow, reshape } from '../shape/index.js'

interface Order {
  readonly dim: number
  /** The number of wanted elements of each line. */
  readonly k: number
  readonly descending: boolean
}

const sortRecord = operator<[x: Tensor], Order, [values: Tensor, indices: Tensor]>({
  name: 'sort',
  outputs: 2,
  infer([x], { dim, k }) {
    const shape = x.sizes.map((size, d) => (d === dim ? k : size))
    return [like(x, shape), { shape, dtype: 'int32' }]
  },
  forward: kernel('sort', ([x], { dim, descending }, { out, indices }) => ({ out, indices, x, dim, descending })),
  gradient: { differentiable: false, reason: 'gather takes the gradient to where the elements stand' },
})

/** The first k along `dim` in order, and their places. A number counts as a line of one. */
function firstOf(op: string, x: Tensor, dim: number, k: number, descending: boolean): Selected
function firstOf(op: string, x: Tensor, dim: number, k: number, descending: boolean): [Tensor, Tensor] {
  return namedAs(op, () => {
    const line = x.ndim === 0 ? reshape(x, [1]) : x
    const [sorted, indices] = apply(sortRecord, [comparable(detach(line))], { dim, k, descending })
    const values = x.requiresGrad ? gather(line, dim, indices) : castTo(sorted, x.dtype)
    return x.ndim === 0 ? [reshape(values, []), reshape(indices, [])] : [values, indices]
  })
}

const sizeAlong = (x: Tensor, dim: number) => (x.ndim === 0 ? 1 : (x.sizes[dim] as number))

export interface SortOptions {
  /** Whether to sort from the largest to the smallest. Default false. */
  readonly descending?: boolean
  /** Whether equal elements must keep their order. They always do. */
  readonly stable?: boolean
}

function descendingOf(op: string, options: SortOptions): boolean {
  const { descending = false, stable = false } = checkOptions(op, options, { descending: true, stable: true })
  checkFlag(op, 'descending', descending)
  checkFlag(op, 'stable', stable)
  return descending
}

/**
 * Sorts x along `dim`. Returns the sorted elements and their former indices (int32). Equal elements keep their order,
 * and NaN counts as largest. The gradient goes back to the former places.
 */
export function sort<D extends DType>(x: Tensor<Shape, D>, dim?: number, options?: SortOptions): Selected<D>
export function sort(x: Tensor, dim = -1, options: SortOptions = {}): Selected {
  const descending = descendingOf('sort', options)
  checkTensor('sort', 'x', x)
  const d = normalizeDim('sort', dim, x.ndim)
  return firstOf('sort', x, d, sizeAlong(x, d), descending)
}

/** The indices (int32) that sort x along `dim`, as `sort` gives them. */
export function argsort(x: Tensor, dim?: number, options?: SortOptions): Tensor<Shape, 'int32'>
export function argsort(x: Tensor, dim = -1, options: SortOptions = {}): Tensor {
  const descending = descendingOf('argsort', options)
  checkTensor('argsort', 'x', x)
  const d = normalizeDim('argsort', dim, x.ndim)
  return firstOf('argsort', detach(x), d, sizeAlong(x, d), descending)[1]
}

export interface TopkOptions {
  /** Whether to take the largest elements (default) rather than the smallest. */
  readonly largest?: boolean
  /** Whether the elements must come in order. They always do. */
  readonly sorted?: boolean
}

/** Throws unless k elements can be taken from a line of `size`. */
function checkCount(op: string, k: number, least: number, size: number, x: Tensor): void {
  if (!Number.isInteger(k) || k < least || k > size)
    throw new ValueError(
      op,
      `k is ${shown(k)}, but must be an integer from ${least} to the ${size} elements along the dimension of x ${formatShape(x.sizes)}`,
    )
}

/**
 * The k largest elements along `dim`, the largest first, and their indices (int32). The first of equal elements are
 * taken. NaN counts as largest. The gradient goes to the chosen elements. Throws ValueError if there are fewer than k.
 */
export function topk<D extends DType>(x: Tensor<Shape, D>, k: number, dim?: number, options?: TopkOptions): Selected<D>
export function topk(x: Tensor, k: number, dim = -1, options: TopkOptions = {}): Selected {
  const { largest = true, sorted = true } = checkOptions('topk', options, { largest: true, sorted: true })
  checkFlag('topk', 'largest', largest)
  checkFlag('topk', 'sorted', sorted)
  checkTensor('topk', 'x', x)
  const d = normalizeDim('topk', dim, x.ndim)
  checkCount('topk', k, x.ndim === 0 ? 1 : 0, sizeAlong(x, d), x)
  return firstOf('topk', x, d, k, largest)
}

/** The place of the k-th smallest of each line, with k from 1 on; size 1 along `dim`. */
function kth(op: string, x: Tensor, dim: number, k: number): Tensor {
  return narrow(firstOf(op, detach(x), dim, k, false)[1], dim, k - 1, 1)
}

/**
 * The k-th smallest element along `dim`, with k from 1 on, and its index (int32). The gradient goes to that element.
 */
export function kthvalue<D extends DType>(
  x: Tensor<Shape, D>,
  k: number,
  dim?: number,
  options?: ReduceOptions,
): Selected<D>
export function kthvalue(x: Tensor, k: number, dim = -1, options: ReduceOptions = {}): Selected {
  const keepdim = keepdimOf('kthvalue', options)
  checkTensor('kthvalue', 'x', x)
  const d = normalizeDim('kthvalue', dim, x.ndim)
  checkCount('kthvalue', k, 1, sizeAlong(x, d), x)
  return namedAs('kthvalue', () => picked(x, d, keepdim, (line) => kth('kthvalue', line, d, k)))
}

declare module '../../core/tensor.js' {
  interface Tensor<S extends Shape = Shape, D extends DType = DType> {
    sort(dim?: number, options?: SortOptions): Selected<D>
    argsort(dim?: number, options?: SortOptions): Tensor<Shape, 'int32'>
    topk(k: number, dim?: number, options?: TopkOptions): Selected<D>
    kthvalue(k: number, dim?: number, options?: ReduceOptions): Selected<D>
  }
}

defineMethods({
  sort(dim?: number, options?: SortOptions) {
    return sort(this, dim, options)
  },
  argsort(dim?: number, options?: SortOptions) {
    return argsort(this, dim, options)
  },
  topk(k: number, dim?: number, options?: TopkOptions) {
    return topk(this, k, dim, options)
  },
  kthvalue(k: number, dim?: number, options?: ReduceOptions) {
    return kthvalue(this, k, dim, options)
  },
})
