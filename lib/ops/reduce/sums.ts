/** Sums, means and counts over dimensions. */
import { autocastDType } from '../../autograd/autocast.js'
import { apply, checkTensor } from '../../autograd/operator.js'
import { type DType, isFloating, type Summed } from '../../core/dtype.js'
import { DTypeError } from '../../core/errors.js'
import { defineMethods } from '../../core/methods.js'
import { normalizeDims, type Shape } from '../../core/shape.js'
import type { Tensor } from '../../core/tensor.js'
import { castTo } from '../convert.js'
import { div, eq, ne, where } from '../elementwise/index.js'
import { meanRecord, sumRecord } from '../totals.js'
import { countable, type Dim, keepdimOf, type ReduceOptions, sizeOf } from './dims.js'

/** The dtype of a sum: sums of bfloat16 stay float32 under autocast. */
function sumDType(x: Tensor): DType | null {
  return x.dtype === 'bfloat16' && autocastDType() !== null ? 'float32' : null
}

/**
 * The sum over `dim` (a number, several, or null for all), accumulated in float32 or wider, in a fixed order. uint8 and
 * bool give int32. A sum of integers that int32 cannot hold is a late ValueError.
 */
export function sum<D extends DType>(x: Tensor<Shape, D>): Tensor<[], Summed<D>>
export function sum<D extends DType>(x: Tensor<Shape, D>, dim?: Dim, options?: ReduceOptions): Tensor<Shape, Summed<D>>
export function sum(x: Tensor, dim: Dim = null, options: ReduceOptions = {}): Tensor {
  const keepdim = keepdimOf('sum', options)
  checkTensor('sum', 'x', x)
  const dims = normalizeDims('sum', dim, x.ndim)
  return apply(sumRecord, [countable(x)], { dims, keepdim, scale: 1, dtype: sumDType(x) })
}

/** The mean over `dim`; NaN if there are no elements. */
export function mean<D extends DType>(x: Tensor<Shape, D>): Tensor<[], D>
export function mean<D extends DType>(x: Tensor<Shape, D>, dim?: Dim, options?: ReduceOptions): Tensor<Shape, D>
export function mean(x: Tensor, dim: Dim = null, options: ReduceOptions = {}): Tensor {
  const keepdim = keepdimOf('mean', options)
  checkTensor('mean', 'x', x)
  const dims = normalizeDims('mean', dim, x.ndim)
  const count = sizeOf(x, dims)
  // The sum of no elements is 0, and 0 * NaN gives the NaN that their mean must be.
  const scale = count === 0 ? Number.NaN : 1 / count
  return apply(meanRecord, [x], { dims, keepdim, scale, dtype: sumDType(x) })
}

/** Checks in the name of the called function, which uses others. */
function check(op: string, x: Tensor, dim: Dim, options: ReduceOptions): void {
  keepdimOf(op, options)
  checkTensor(op, 'x', x)
  normalizeDims(op, dim, x.ndim)
}

/** x with each NaN replaced by 0, which gets no gradient. */
function withoutNaN(x: Tensor): Tensor {
  return where(ne(x, x), 0, x)
}

/** The sum over `dim` of all elements that are not NaN. */
export function nansum<D extends DType>(
  x: Tensor<Shape, D>,
  dim?: Dim,
  options?: ReduceOptions,
): Tensor<Shape, Summed<D>>
export function nansum(x: Tensor, dim: Dim = null, options: ReduceOptions = {}): Tensor {
  check('nansum', x, dim, options)
  return sum(isFloating(x.dtype) ? withoutNaN(x) : x, dim, options)
}

/** The mean over `dim` of all elements that are not NaN; NaN if there are none. */
export function nanmean<D extends DType>(x: Tensor<Shape, D>, dim?: Dim, options?: ReduceOptions): Tensor<Shape, D>
export function nanmean(x: Tensor, dim: Dim = null, options: ReduceOptions = {}): Tensor {
  check('nanmean', x, dim, options)
  if (!isFloating(x.dtype))
    throw new DTypeError('nanmean', `x is ${x.dtype}, whose mean has fractions; convert it with .to('float32')`)
  const total = sum(withoutNaN(x), dim, options)
  return div(total, castTo(sum(eq(x, x), dim, options), total.dtype))
}

/** The number of elements over `dim` that are not 0 (int32). NaN counts. */
export function countNonzero(x: Tensor, dim?: Dim, options?: ReduceOptions): Tensor<Shape, 'int32'>
export function countNonzero(x: Tensor, dim: Dim = null, options: ReduceOptions = {}): Tensor {
  check('countNonzero', x, dim, options)
  return sum(ne(x, 0), dim, options)
}

/**
 * Whether any element over `dim` is not 0; NaN counts as not 0. False if there are no elements. Takes any dtype and
 * gives bool.
 */
export function any(x: Tensor, dim?: Dim, options?: ReduceOptions): Tensor<Shape, 'bool'>
export function any(x: Tensor, dim: Dim = null, options: ReduceOptions = {}): Tensor {
  check('any', x, dim, options)
  return ne(sum(ne(x, 0), dim, options), 0)
}

/** Whether no element over `dim` is 0. True if there are no elements. Takes any dtype and gives bool. */
export function all(x: Tensor, dim?: Dim, options?: ReduceOptions): Tensor<Shape, 'bool'>
export function all(x: Tensor, dim: Dim = null, options: ReduceOptions = {}): Tensor {
  check('all', x, dim, options)
  return eq(sum(eq(x, 0), dim, options), 0)
}

declare module '../../core/tensor.js' {
  interface Tensor<S extends Shape = Shape, D extends DType = DType> {
    sum(): Tensor<[], Summed<D>>
    sum(dim?: Dim, options?: ReduceOptions): Tensor<Shape, Summed<D>>
    mean(): Tensor<[], D>
    mean(dim?: Dim, options?: ReduceOptions): Tensor<Shape, D>
    nansum(dim?: Dim, options?: ReduceOptions): Tensor<Shape, Summed<D>>
    nanmean(dim?: Dim, options?: ReduceOptions): Tensor<Shape, D>
    countNonzero(dim?: Dim, options?: ReduceOptions): Tensor<Shape, 'int32'>
    any(dim?: Dim, options?: ReduceOptions): Tensor<Shape, 'bool'>
    all(dim?: Dim, options?: ReduceOptions): Tensor<Shape, 'bool'>
  }
}

defineMethods({
  sum(dim?: Dim, options?: ReduceOptions) {
    return sum(this, dim, options)
  },
  mean(dim?: Dim, options?: ReduceOptions) {
    return mean(this, dim, options)
  },
  nansum(dim?: Dim, options?: ReduceOptions) {
    return nansum(this, dim, options)
  },
  nanmean(dim?: Dim, options?: ReduceOptions) {
    return nanmean(this, dim, options)
  },
  countNonzero(dim?: Dim, options?: ReduceOptions) {
    return countNonzero(this, dim, options)
  },
  any(dim?: Dim, options?: ReduceOptions) {
    return any(this, dim, options)
  },
  all(dim?: Dim, options?: ReduceOptions) {
    return all(this, dim, options)
  },
})
