/** Extremes over dimensions, and their places. */
import { apply, checkTensor, type Operator } from '../../autograd/operator.js'
import type { DType } from '../../core/dtype.js'
import { namedAs, ValueError } from '../../core/errors.js'
import { defineMethods } from '../../core/methods.js'
import { countOf, normalizeDim, normalizeDims, reducedShape, type Shape } from '../../core/shape.js'
import type { Tensor } from '../../core/tensor.js'
import { like } from '../common.js'
import { castTo } from '../convert.js'
import { div, eq, mul, ne, where } from '../elementwise/index.js'
import { kernel, operator } from '../operator.js'
import { detach, reshape } from '../shape/index.js'
import { type Dims, kept, spreadOut } from '../totals.js'
import { comparable, type Dim, keepdimOf, type ReduceOptions } from './dims.js'
import { picked, type Selected } from './picked.js'
import { sum } from './sums.js'

/** `winners` says which elements of x share the gradient of their extreme y, which has x's sizes. */
function extreme(name: 'max' | 'min' | 'amax' | 'amin', winners: (x: Tensor, y: Tensor) => Tensor) {
  return operator<[x: Tensor], Dims>({
    name,
    infer([x], { dims, keepdim }) {
      const shape = reducedShape(x.sizes, dims, keepdim)
      if (countOf(x.sizes) === 0 && countOf(shape) > 0)
        throw new ValueError(
          name,
          `there is no extreme of nothing: x is [${x.sizes.join(', ')}], reduced over [${dims.join(', ')}]`,
        )
      return like(x, shape)
    },
    forward: kernel(name === 'max' || name === 'amax' ? 'amax' : 'amin', ([x], { dims }, { out }) => ({
      out: spreadOut(out, x, dims),
      x,
    })),
    gradient: {
      saves: () => ({ inputs: [0], outputs: [0] }),
      // Ties share the gradient equally, as in PyTorch.
      backward(ctx, [g]) {
        const x = ctx.input(0)
        const won = castTo(winners(x, kept(ctx.output(0), x.sizes, ctx.attrs)), x.dtype)
        const shares = sum(won, ctx.attrs.dims, { keepdim: true })
        return [mul(won, div(kept(g, x.sizes, ctx.attrs), shares))]
      },
    },
  })
}

const amaxRecord = extreme('amax', eq)
const aminRecord = extreme('amin', eq)
/** Unlike those, max and min of all elements give the gradient of NaN to what is NaN, as in PyTorch. */
const orNaN = (x: Tensor, y: Tensor): Tensor => where(eq(y, y), eq(x, y), ne(x, x))
const maxRecord = extreme('max', orNaN)
const minRecord = extreme('min', orNaN)

/** The largest value over `dim`; NaN if there is one. Throws ValueError if there are no elements to choose from. */
export function amax<D extends DType>(x: Tensor<Shape, D>, dim?: Dim, options?: ReduceOptions): Tensor<Shape, D>
export function amax(x: Tensor, dim: Dim = null, options: ReduceOptions = {}): Tensor {
  const keepdim = keepdimOf('amax', options)
  checkTensor('amax', 'x', x)
  return apply(amaxRecord, [x], { dims: normalizeDims('amax', dim, x.ndim), keepdim })
}

/** The smallest value over `dim`; NaN if there is one. Throws ValueError if there are no elements to choose from. */
export function amin<D extends DType>(x: Tensor<Shape, D>, dim?: Dim, options?: ReduceOptions): Tensor<Shape, D>
export function amin(x: Tensor, dim: Dim = null, options: ReduceOptions = {}): Tensor {
  const keepdim = keepdimOf('amin', options)
  checkTensor('amin', 'x', x)
  return apply(aminRecord, [x], { dims: normalizeDims('amin', dim, x.ndim), keepdim })
}

interface Along {
  readonly dim: number
  readonly keepdim: boolean
}

function argExtreme(name: 'argmax' | 'argmin') {
  return operator<[x: Tensor], Along>({
    name,
    infer([x], { dim, keepdim }) {
      if (x.sizes[dim] === 0)
        throw new ValueError(name, `there is no extreme of nothing: x is [${x.sizes.join(', ')}], dim ${dim}`)
      return { shape: reducedShape(x.sizes, [dim], keepdim), dtype: 'int32' }
    },
    forward: kernel(name, ([x], { dim }, { out }) => ({ out: spreadOut(out, x, [dim]), x, dim })),
    gradient: { differentiable: false, reason: 'the result is an index' },
  })
}

const argmaxRecord = argExtreme('argmax')
const argminRecord = argExtreme('argmin')

/** The place of the first extreme along `dim`, for any dtype. */
function argOf(record: Operator<[x: Tensor], Along>, input: Tensor, dim: number | null, keepdim: boolean): Tensor {
  const x = comparable(input)
  if (dim === null) return apply(record, [reshape(x, [x.numel])], { dim: 0, keepdim: false })
  const d = normalizeDim(record.name, dim, x.ndim)
  return x.ndim === 0
    ? apply(record, [reshape(x, [1])], { dim: 0, keepdim: false })
    : apply(record, [x], { dim: d, keepdim })
}

/** The index (int32) of the first largest element along `dim`, or of the flattened tensor if `dim` is null. */
export function argmax(x: Tensor, dim?: number | null, options?: ReduceOptions): Tensor<Shape, 'int32'>
export function argmax(x: Tensor, dim: number | null = null, options: ReduceOptions = {}): Tensor {
  const keepdim = keepdimOf('argmax', options)
  checkTensor('argmax', 'x', x)
  return argOf(argmaxRecord, x, dim, keepdim)
}

/** The index (int32) of the first smallest element along `dim`, or of the flattened tensor if `dim` is null. */
export function argmin(x: Tensor, dim?: number | null, options?: ReduceOptions): Tensor<Shape, 'int32'>
export function argmin(x: Tensor, dim: number | null = null, options: ReduceOptions = {}): Tensor {
  const keepdim = keepdimOf('argmin', options)
  checkTensor('argmin', 'x', x)
  return argOf(argminRecord, x, dim, keepdim)
}

/** The extreme of all elements, for any dtype. */
function ofAll(op: string, record: Operator<[x: Tensor], Dims>, x: Tensor): Tensor {
  const numbers = comparable(x)
  const dims = normalizeDims(op, null, x.ndim)
  return castTo(
    namedAs(op, () => apply(record, [numbers], { dims, keepdim: false })),
    x.dtype,
  )
}

/** The first extreme along a dimension, which alone gets the gradient, and its place. */
function along(op: string, record: Operator<[x: Tensor], Along>, x: Tensor, dim: number, keepdim: boolean): Selected {
  const d = normalizeDim(op, dim, x.ndim)
  return namedAs(op, () => picked(x, d, keepdim, (line) => argOf(record, detach(line), d, true)))
}

/**
 * The largest of all elements (ties share its gradient equally), or with `dim` the largest along it and its index
 * (int32). It is the first of equal elements, and gets the whole gradient. NaN counts as largest. Throws ValueError if
 * there are no elements to choose from. `maximum` takes the larger of two tensors.
 */
export function max<D extends DType>(x: Tensor<Shape, D>): Tensor<Shape, D>
export function max<D extends DType>(x: Tensor<Shape, D>, dim: number, options?: ReduceOptions): Selected<D>
export function max(x: Tensor, dim?: number, options: ReduceOptions = {}): Tensor | Selected {
  const keepdim = keepdimOf('max', options)
  checkTensor('max', 'x', x)
  return dim === undefined ? ofAll('max', maxRecord, x) : along('max', argmaxRecord, x, dim, keepdim)
}

/** Like `max`, but for the smallest; NaN is chosen if there is one. */
export function min<D extends DType>(x: Tensor<Shape, D>): Tensor<Shape, D>
export function min<D extends DType>(x: Tensor<Shape, D>, dim: number, options?: ReduceOptions): Selected<D>
export function min(x: Tensor, dim?: number, options: ReduceOptions = {}): Tensor | Selected {
  const keepdim = keepdimOf('min', options)
  checkTensor('min', 'x', x)
  return dim === undefined ? ofAll('min', minRecord, x) : along('min', argminRecord, x, dim, keepdim)
}

/** The smallest and the largest value over `dim`, as by `amin` and `amax`. */
export function aminmax<D extends DType>(
  x: Tensor<Shape, D>,
  dim?: Dim,
  options?: ReduceOptions,
): [min: Tensor<Shape, D>, max: Tensor<Shape, D>]
export function aminmax(x: Tensor, dim: Dim = null, options: ReduceOptions = {}): [Tensor, Tensor] {
  const keepdim = keepdimOf('aminmax', options)
  checkTensor('aminmax', 'x', x)
  const attrs = { dims: normalizeDims('aminmax', dim, x.ndim), keepdim }
  return namedAs('aminmax', () => [apply(aminRecord, [x], attrs), apply(amaxRecord, [x], attrs)])
}

declare module '../../core/tensor.js' {
  interface Tensor<S extends Shape = Shape, D extends DType = DType> {
    amax(dim?: Dim, options?: ReduceOptions): Tensor<Shape, D>
    amin(dim?: Dim, options?: ReduceOptions): Tensor<Shape, D>
    aminmax(dim?: Dim, options?: ReduceOptions): [min: Tensor<Shape, D>, max: Tensor<Shape, D>]
    max(): Tensor<Shape, D>
    max(dim: number, options?: ReduceOptions): Selected<D>
    min(): Tensor<Shape, D>
    min(dim: number, options?: ReduceOptions): Selected<D>
    argmax(dim?: number | null, options?: ReduceOptions): Tensor<Shape, 'int32'>
    argmin(dim?: number | null, options?: ReduceOptions): Tensor<Shape, 'int32'>
  }
}

defineMethods({
  amax(dim?: Dim, options?: ReduceOptions) {
    return amax(this, dim, options)
  },
  amin(dim?: Dim, options?: ReduceOptions) {
    return amin(this, dim, options)
  },
  aminmax(dim?: Dim, options?: ReduceOptions) {
    return aminmax(this, dim, options)
  },
  max(dim?: number, options?: ReduceOptions) {
    return max(this, dim as number, options)
  },
  min(dim?: number, options?: ReduceOptions) {
    return min(this, dim as number, options)
  },
  argmax(dim?: number | null, options?: ReduceOptions) {
    return argmax(this, dim, options)
  },
  argmin(dim?: number | null, options?: ReduceOptions) {
    return argmin(this, dim, options)
  },
})
