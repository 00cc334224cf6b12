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

/** Sums of bfloat16 stay float32 under autocast. */
function sumDType(x: Tensor): DType | null {
  return x.dtype === 'bfloat16' && autocastDType() !== null ? 'float32' : null
}

/**
 * Sum over `dim` (a number, several, or null for all). Accumulated in float32 or wider, in a fixed order. Of uint8 and bool it
 * is int32. A sum of integers that int32 cannot hold is a late ValueError.
 */
export function sum<D extends DType>(x: Tensor<Shape, D>): Tensor<[], Summed<D>>
export function sum<D extends DType>(x: Tensor<Shape, D>, dim?: Dim, options?: ReduceOptions): Tensor<Shape, Summed<D>>
export function sum(x: Tensor, dim: Dim = null, options: ReduceOptions = {}): Tensor {
  const keepdim = keepdimOf('sum', options)
  checkTensor('sum', 'x', x)
  const dims = normalizeDims('sum', dim, x.ndim)
  return apply(sumRecord, [countable(x)], { dims, keepdim, scale: 1, dtype: sumDType(x) })
}

/** Mean over `dim`; NaN of nothing. */
export function mean<D extends DType>(x: Tensor<Shape, D>): Tensor<[], D>
export function mean<D extends DType>(x: Tensor<Shape, D>, dim?: Dim, options?: ReduceOptions): Tensor<Shape, D>
export function mean(x: Tensor, dim: Dim = null, options: ReduceOptions = {}): Tensor {
  const keepdim = keepdimOf('mean', options)
  checkTensor('mean', 'x', x)
  const dims = normalizeDims('mean', dim, x.ndim)
  const count = sizeOf(x, dims)
  // Nothing summed is 0, and 0 * NaN is the NaN that a mean of nothing is.
  const scale = count === 0 ? Number.NaN : 1 / count
  return apply(meanRecord, [x], { dims, keepdim, scale, dtype: sumDType(x) })
}

/** Throws in the name of the function that was called, which goes through others. */
function check(op: string, x: Tensor, dim: Dim, options: ReduceOptions): void {
  keepdimOf(op, options)
  checkTensor(op, 'x', x)
  normalizeDims(op, dim, x.ndim)
}

/** x with 0 for each NaN, which gets no gradient. */
function withoutNaN(x: Tensor): Tensor {
  return where(ne(x, x), 0, x)
}

/** Sum over `dim` of what is not NaN. */
export function nansum<D extends DType>(
  x: Tensor<Shape, D>,
  dim?: Dim,
  options?: ReduceOptions,
): Tensor<Shape, Summed<D>>
export function nansum(x: Tensor, dim: Dim = null, options: ReduceOptions = {}): Tensor {
  check('nansum', x, dim, options)
  return sum(isFloating(x.dtype) ? withoutNaN(x) : x, dim, options)
}

/** Mean over `dim` of what is not NaN; NaN where there is nothing else. */
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

/** Whether some element over `dim` is not 0, as NaN is not; false of nothing. Of any dtype; the result is bool. */
export function any(x: Tensor, dim?: Dim, options?: ReduceOptions): Tensor<Shape, 'bool'>
export function any(x: Tensor, dim: Dim = null, options: ReduceOptions = {}): Tensor {
  check('any', x, dim, options)
  return ne(sum(ne(x, 0), dim, options), 0)
}

/** Whether no element over `dim` is 0; true of nothing. Of any dtype; the result is bool. */
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
