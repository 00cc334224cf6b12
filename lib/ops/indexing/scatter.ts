/**
 * Elements put, or added up, at indices (int32). Each function makes a new tensor; sums follow the order of the index.
 */

import { apply, checkTensor, type Operator, type TensorSpec } from '../../autograd/operator.js'
import { empty, run } from '../../backend/dispatch.js'
import { kernels } from '../../backend/table/index.js'
import { type DType, isBlocks, isFloating } from '../../core/dtype.js'
import { DTypeError, formatShape, kindOf, namedAs, ShapeError, shown, ValueError } from '../../core/errors.js'
import { defineMethods } from '../../core/methods.js'
import { checkFlag, checkOptions, type OptionNames } from '../../core/options.js'
import { normalizeDim, type Shape, sameShape } from '../../core/shape.js'
import type { Tensor } from '../../core/tensor.js'
import { checkScalar, like } from '../common.js'
import { castTo, summable } from '../convert.js'
import { full } from '../creation.js'
import { div, eq, maximum, mul } from '../elementwise/index.js'
import { checkNumber } from '../elementwise/numbers.js'
import { operator } from '../operator.js'
import { expand, reshape, slice } from '../shape/index.js'
import { gather } from './gather.js'
import { productGradient } from './product-gradient.js'
import { indexSelect } from './rows.js'

type Triple = [x: Tensor, index: Tensor, src: Tensor]
const inputs = ['x', 'index', 'src'].map((name) => ({ name, dtypes: 'free' as const }))

function checkDTypes(op: string, [x, index, src]: Triple): void {
  if (index.dtype !== 'int32')
    throw new DTypeError(op, `index is ${index.dtype}, but must be int32; convert it with .to('int32')`)
  if (src.dtype !== x.dtype)
    throw new DTypeError(
      op,
      `x is ${x.dtype} and src is ${src.dtype}, but both must have one dtype; convert src with .to('${x.dtype}')`,
    )
  if (isBlocks(x.dtype))
    throw new DTypeError(op, `x is ${x.dtype}, but must not be of blocks; convert it with .to('float32')`)
}

function inferScattered(op: string, given: Triple, dim: number): TensorSpec {
  checkDTypes(op, given)
  const [x, index, src] = given
  const fits =
    index.ndim === x.ndim &&
    sameShape(src.sizes, index.sizes) &&
    index.sizes.every((size, i) => i === dim || size <= (x.sizes[i] ?? 0))
  if (!fits)
    throw new ShapeError(
      op,
      `index ${formatShape(index.sizes)} must have x's number of dimensions, be no larger than x ${formatShape(x.sizes)} except along dim ${dim}, and be no larger than src ${formatShape(src.sizes)}`,
      [x.sizes, index.sizes, src.sizes],
    )
  return like(x)
}

/** A copy of x for a kernel to change. */
function changed(x: Tensor, op: string): Tensor {
  const out = empty(x.device, x.sizes, x.dtype, op)
  run('copy', { out, x })
  return out
}

const scatterRecord: Operator<Triple, number> = operator<Triple, number>({
  name: 'scatter',
  inputs,
  infer: (given, dim) => inferScattered('scatter', given, dim),
  forward([x, index, src], dim) {
    const out = changed(x, 'scatter')
    run('scatter_into', { dst: out, src, index, dim })
    return out
  },
  gradient: {
    saves: () => ({ inputs: [1] }),
    backward(ctx, [g]) {
      const [dim, index] = [ctx.attrs, ctx.input(1)]
      const rest = ctx.needs[0] ? apply(scatterRecord, [g, index, constant(g, 0, index)], dim) : null
      return [rest, null, ctx.needs[2] ? gather(g, dim, index) : null]
    },
  },
})

const constant = ({ dtype, device }: Tensor, value: number, { sizes }: Tensor): Tensor =>
  expand(full([], value, { dtype, device }), sizes)

const scatterAddRecord = operator<Triple, number>({
  name: 'scatterAdd',
  inputs,
  infer: (given, dim) => inferScattered('scatterAdd', given, dim),
  forward([x, index, src], dim) {
    const out = changed(x, 'scatterAdd')
    run('scatter_accumulate', { value: out, src, index, dim, by: 0 })
    return out
  },
  gradient: {
    saves: () => ({ inputs: [1] }),
    backward: (ctx, [g]) => [g, null, ctx.needs[2] ? gather(g, ctx.attrs, ctx.input(1)) : null],
  },
})

const indexAddRecord = operator<Triple, number>({
  name: 'indexAdd',
  inputs,
  infer(given, dim) {
    checkDTypes('indexAdd', given)
    const [x, index, src] = given
    if (index.ndim !== 1)
      throw new ShapeError('indexAdd', `index must have one dimension, but is ${formatShape(index.sizes)}`, [
        index.sizes,
      ])
    const wanted = x.sizes.map((size, i) => (i === dim ? index.numel : size))
    if (!sameShape(src.sizes, wanted))
      throw new ShapeError('indexAdd', `src is ${formatShape(src.sizes)}, but must be ${formatShape(wanted)}`, [
        x.sizes,
        src.sizes,
      ])
    return like(x)
  },
  forward([x, index, src], dim) {
    const out = changed(x, 'indexAdd')
    run('index_accumulate', { sum: out, dy: src, index, dim, skip: -1 })
    return out
  },
  gradient: {
    saves: () => ({ inputs: [1] }),
    backward: (ctx, [g]) => [g, null, ctx.needs[2] ? indexSelect(g, ctx.attrs, ctx.input(1)) : null],
  },
})

/** Sums, products and extremes are computed in float32 and int32, so 16-bit floats are converted there and back. */
function widened(op: string, x: Tensor, src: Tensor, together: (x: Tensor, src: Tensor) => Tensor): Tensor {
  const taken: readonly string[] = [...kernels.scatter_accumulate.T, 'float64']
  const wide = summable(x)
  if (!taken.includes(wide.dtype))
    throw new DTypeError(op, `x is ${x.dtype}, but must be of floats or int32; convert it with .to('int32')`)
  if (src.dtype !== x.dtype)
    throw new DTypeError(
      op,
      `x is ${x.dtype} and src is ${src.dtype}, but both must have one dtype; convert src with .to('${x.dtype}')`,
    )
  return namedAs(op, () => castTo(together(wide, summable(src)), x.dtype))
}

/** `dim` normalised, and src cut to the shape of the index. */
function placed(op: string, x: Tensor, dim: number, index: Tensor, src: Tensor): [dim: number, src: Tensor] {
  checkTensor(op, 'x', x)
  checkTensor(op, 'index', index)
  checkTensor(op, 'src', src)
  const d = normalizeDim(op, dim, x.ndim)
  const larger = src.ndim === index.ndim && index.sizes.every((size, i) => size <= (src.sizes[i] as number))
  return [
    d,
    larger && !sameShape(src.sizes, index.sizes) ? slice(src, ...index.sizes.map((n) => [0, n] as const)) : src,
  ]
}

export interface ScatterOptions {
  /** Combines the new and the old elements instead of replacing them. */
  readonly reduce?: 'add' | 'multiply'
}

const scatterNames: OptionNames<ScatterOptions> = { reduce: true }

/**
 * A copy of x with out[i][j][index[i][j][k]] = src[i][j][k] (for dim 2). src is a number, or a tensor of x's dtype no
 * smaller than the index. If an index occurs twice, the last holds. An index outside is a late IndexOutOfRangeError.
 */
export function scatter<S extends Shape, D extends DType>(
  x: Tensor<S, D>,
  dim: number,
  index: Tensor,
  src: Tensor | number,
  options?: ScatterOptions,
): Tensor<S, D>
export function scatter(
  x: Tensor,
  dim: number,
  index: Tensor,
  src: Tensor | number,
  options: ScatterOptions = {},
): Tensor {
  checkTensor('scatter', 'x', x)
  checkTensor('scatter', 'index', index)
  const { reduce } = checkOptions('scatter', options, scatterNames)
  if (reduce !== undefined && reduce !== 'add' && reduce !== 'multiply')
    throw new ValueError('scatter', `reduce is ${shown(reduce)}, but must be 'add' or 'multiply', or left out`)
  if (typeof src === 'number') checkNumber('scatter', src, x.dtype)
  const [d, part] = placed('scatter', x, dim, index, typeof src === 'number' ? constant(x, src, index) : src)
  if (reduce !== undefined)
    return namedAs('scatter', () => scatterReduce(x, d, index, part, reduce === 'add' ? 'sum' : 'prod'))
  return apply(scatterRecord, [x, index, part], d)
}

/**
 * A copy of x with out[i][j][index[i][j][k]] += src[i][j][k] (for dim 2), in the order of k. src must be no smaller
 * than the index.
 */
export function scatterAdd<S extends Shape, D extends DType>(
  x: Tensor<S, D>,
  dim: number,
  index: Tensor,
  src: Tensor,
): Tensor<S, D>
export function scatterAdd(x: Tensor, dim: number, index: Tensor, src: Tensor): Tensor {
  const [d, part] = placed('scatterAdd', x, dim, index, src)
  return widened('scatterAdd', x, part, (wide, terms) => apply(scatterAddRecord, [wide, index, terms], d))
}

export type ScatterReduction = 'sum' | 'prod' | 'mean' | 'amax' | 'amin'

const ways: { readonly [way: string]: number } = { sum: 0, mean: 0, prod: 1, amax: 2, amin: 3 } satisfies {
  readonly [W in ScatterReduction]: number
}

export interface ScatterReduceOptions {
  /** Whether x's elements take part. Default true. */
  readonly includeSelf?: boolean
}

const reduceNames: OptionNames<ScatterReduceOptions> = { includeSelf: true }

const reduceRecord: Operator<Triple, { readonly dim: number; readonly way: 'prod' | 'amax' | 'amin' }> = operator<
  Triple,
  { readonly dim: number; readonly way: 'prod' | 'amax' | 'amin' }
>({
  name: 'scatterReduce',
  inputs,
  infer: (given, { dim }) => inferScattered('scatterReduce', given, dim),
  forward([x, index, src], { dim, way }) {
    const out = changed(x, 'scatterReduce')
    run('scatter_accumulate', { value: out, src, index, dim, by: ways[way] as number })
    return out
  },
  gradient: {
    saves: () => ({ inputs: [0, 1, 2], outputs: [0] }),
    backward(ctx, [g]) {
      const { dim, way } = ctx.attrs
      const [x, index, src, out] = [ctx.input(0), ctx.input(1), ctx.input(2), ctx.output(0)]
      const by = (way: 'prod' | 'amax' | 'amin') => (self: Tensor, from: Tensor) =>
        apply(reduceRecord, [self, index, from], { dim, way })
      if (way === 'prod')
        return productGradient(g, [x, index, src], out, dim, {
          product: by('prod'),
          least: by('amin'),
          largest: by('amax'),
        })
      // All elements equal to the extreme share the gradient.
      const mine = castTo(eq(x, out), g.dtype)
      const theirs = castTo(eq(src, gather(out, dim, index)), g.dtype)
      const share = div(g, scatterAdd(mine, dim, index, theirs))
      return [mul(mine, share), null, mul(theirs, gather(share, dim, index))]
    },
  },
})

/**
 * A copy of x with src[i][j][k] combined into out[i][j][index[i][j][k]] (for dim 2) by a sum, product, mean or extreme.
 * Without `includeSelf` an element of x counts only if no index points to it. src must be no smaller than the index.
 * Throws ValueError for an unknown `reduce`, and DTypeError for a mean of integers.
 */
export function scatterReduce<S extends Shape, D extends DType>(
  x: Tensor<S, D>,
  dim: number,
  index: Tensor,
  src: Tensor,
  reduce: ScatterReduction,
  options?: ScatterReduceOptions,
): Tensor<S, D>
export function scatterReduce(
  x: Tensor,
  dim: number,
  index: Tensor,
  src: Tensor,
  reduce: ScatterReduction,
  options: ScatterReduceOptions = {},
): Tensor {
  const { includeSelf = true } = checkOptions('scatterReduce', options, reduceNames)
  checkFlag('scatterReduce', 'includeSelf', includeSelf)
  if (typeof reduce !== 'string' || !Object.hasOwn(ways, reduce))
    throw new ValueError(
      'scatterReduce',
      `reduce is ${kindOf(reduce)}, but must be one of ${Object.keys(ways).join(', ')}`,
    )
  const [d, part] = placed('scatterReduce', x, dim, index, src)
  if (reduce === 'mean' && !isFloating(x.dtype))
    throw new DTypeError('scatterReduce', `${x.dtype} cannot hold a mean; convert x and src with .to('float32')`)
  return widened('scatterReduce', x, part, (wide, terms) => {
    const lowest = wide.dtype === 'int32' ? -(2 ** 31) : Number.NEGATIVE_INFINITY
    const neutral = { sum: 0, mean: 0, prod: 1, amax: lowest, amin: wide.dtype === 'int32' ? 2 ** 31 - 1 : -lowest }
    const self = includeSelf ? wide : scatter(wide, d, index, neutral[reduce])
    if (reduce === 'prod' || reduce === 'amax' || reduce === 'amin')
      return apply(reduceRecord, [self, index, terms], { dim: d, way: reduce })
    const total = apply(scatterAddRecord, [self, index, terms], d)
    if (reduce === 'sum') return total
    const ones = constant(wide, 1, wide)
    const start = includeSelf ? ones : scatter(ones, d, index, 0)
    const count = apply(scatterAddRecord, [start, index, constant(wide, 1, index)], d)
    return div(total, maximum(count, 1))
  })
}

export interface IndexAddOptions {
  /** The factor of src. Default 1. */
  readonly alpha?: number
}

const addNames: OptionNames<IndexAddOptions> = { alpha: true }

/**
 * A copy of x with the slices of src along `dim` added at `index` (one dimension), in its order, so that the bits do
 * not depend on threads. An index outside is a late IndexOutOfRangeError.
 */
export function indexAdd<S extends Shape, D extends DType>(
  x: Tensor<S, D>,
  dim: number,
  index: Tensor,
  src: Tensor,
  options?: IndexAddOptions,
): Tensor<S, D>
export function indexAdd(x: Tensor, dim: number, index: Tensor, src: Tensor, options: IndexAddOptions = {}): Tensor {
  checkTensor('indexAdd', 'x', x)
  checkTensor('indexAdd', 'index', index)
  checkTensor('indexAdd', 'src', src)
  const { alpha = 1 } = checkOptions('indexAdd', options, addNames)
  checkNumber('indexAdd', checkScalar('indexAdd', 'alpha', alpha), x.dtype)
  const d = normalizeDim('indexAdd', dim, x.ndim)
  if (x.ndim === 0) throw new ShapeError('indexAdd', 'x is one number, without a dimension to add along', [[]])
  return widened('indexAdd', x, src, (wide, terms) =>
    apply(indexAddRecord, [wide, index, alpha === 1 ? terms : mul(terms, alpha)], d),
  )
}

/** An index of slices along `dim` expanded to one of elements. */
function spreadIndex(op: string, x: Tensor, dim: number, index: Tensor): [dim: number, index: Tensor] {
  checkTensor(op, 'x', x)
  checkTensor(op, 'index', index)
  const d = normalizeDim(op, dim, x.ndim)
  if (x.ndim === 0) throw new ShapeError(op, 'x is one number, without a dimension', [[]])
  if (index.ndim !== 1)
    throw new ShapeError(op, `index must have one dimension, but is ${formatShape(index.sizes)}`, [index.sizes])
  const line = x.sizes.map((_, i) => (i === d ? index.numel : 1))
  return [
    d,
    expand(
      reshape(index, line),
      x.sizes.map((size, i) => (i === d ? index.numel : size)),
    ),
  ]
}

/**
 * A copy of x whose slices at `index` (one dimension) along `dim` are replaced by those of src. Throws ShapeError if
 * src has another shape than these slices.
 */
export function indexCopy<S extends Shape, D extends DType>(
  x: Tensor<S, D>,
  dim: number,
  index: Tensor,
  src: Tensor,
): Tensor<S, D>
export function indexCopy(x: Tensor, dim: number, index: Tensor, src: Tensor): Tensor {
  const [d, places] = spreadIndex('indexCopy', x, dim, index)
  checkTensor('indexCopy', 'src', src)
  if (!sameShape(src.sizes, places.sizes))
    throw new ShapeError('indexCopy', `src is ${formatShape(src.sizes)}, but must be ${formatShape(places.sizes)}`, [
      x.sizes,
      src.sizes,
    ])
  return namedAs('indexCopy', () => scatter(x, d, places, src))
}

/**
 * A copy of x whose slices at `index` (one dimension) along `dim` are filled with a number. Throws ValueError for
 * anything but a number.
 */
export function indexFill<S extends Shape, D extends DType>(
  x: Tensor<S, D>,
  dim: number,
  index: Tensor,
  value: number,
): Tensor<S, D>
export function indexFill(x: Tensor, dim: number, index: Tensor, value: number): Tensor {
  const [d, places] = spreadIndex('indexFill', x, dim, index)
  if (typeof value !== 'number') throw new ValueError('indexFill', `value is ${kindOf(value)}, but must be a number`)
  return namedAs('indexFill', () => scatter(x, d, places, value))
}

declare module '../../core/tensor.js' {
  interface Tensor<S extends Shape = Shape, D extends DType = DType> {
    scatter(dim: number, index: Tensor, src: Tensor | number, options?: ScatterOptions): Tensor<S, D>
    scatterAdd(dim: number, index: Tensor, src: Tensor): Tensor<S, D>
    scatterReduce(
      dim: number,
      index: Tensor,
      src: Tensor,
      reduce: ScatterReduction,
      options?: ScatterReduceOptions,
    ): Tensor<S, D>
    indexAdd(dim: number, index: Tensor, src: Tensor, options?: IndexAddOptions): Tensor<S, D>
    indexCopy(dim: number, index: Tensor, src: Tensor): Tensor<S, D>
    indexFill(dim: number, index: Tensor, value: number): Tensor<S, D>
  }
}

defineMethods({
  scatter(dim: number, index: Tensor, src: Tensor | number, options?: ScatterOptions) {
    return scatter(this, dim, index, src, options)
  },
  scatterAdd(dim: number, index: Tensor, src: Tensor) {
    return scatterAdd(this, dim, index, src)
  },
  scatterReduce(dim: number, index: Tensor, src: Tensor, reduce: ScatterReduction, options?: ScatterReduceOptions) {
    return scatterReduce(this, dim, index, src, reduce, options)
  },
  indexAdd(dim: number, index: Tensor, src: Tensor, options?: IndexAddOptions) {
    return indexAdd(this, dim, index, src, options)
  },
  indexCopy(dim: number, index: Tensor, src: Tensor) {
    return indexCopy(this, dim, index, src)
  },
  indexFill(dim: number, index: Tensor, value: number) {
    return indexFill(this, dim, index, value)
  },
})
