/** Quantiles, the elements at a given share of a sorted line, and modes, its most frequent elements. */
import { noGrad } from '../../autograd/mode.js'
import { checkTensor } from '../../autograd/operator.js'
import { type DType, isFloating } from '../../core/dtype.js'
import { DTypeError, formatShape, namedAs, ShapeError, shown, ValueError } from '../../core/errors.js'
import { defineMethods } from '../../core/methods.js'
import { checkFlag, checkOptions, type OptionNames } from '../../core/options.js'
import { normalizeDim, type Shape } from '../../core/shape.js'
import { Tensor } from '../../core/tensor.js'
import { castTo } from '../convert.js'
import { arange, fromTypedArray, full } from '../creation.js'
import { add, ceil, clampMin, eq, floor, lerp, mul, ne, round, sub, where } from '../elementwise/index.js'
import { gather } from '../indexing/index.js'
import { dataSync } from '../read.js'
import { comparable, keepdimOf, type ReduceOptions } from '../reduce/dims.js'
import { any, argmax, cummax, sum } from '../reduce/index.js'
import { picked, type Selected } from '../reduce/picked.js'
import { cat, detach, expand, movedim, narrow, reshape, squeeze } from '../shape/index.js'
import { sort } from './order.js'

export interface QuantileOptions extends ReduceOptions {
  /**
   * The value between two elements: by linear interpolation (default), the lower, the higher, their middle, or the
   * nearer.
   */
  readonly interpolation?: 'linear' | 'lower' | 'higher' | 'midpoint' | 'nearest'
}

const quantileNames: OptionNames<QuantileOptions> = { keepdim: true, interpolation: true }
const interpolations = ['linear', 'lower', 'higher', 'midpoint', 'nearest']

type Shares = number | readonly number[] | Tensor

/** The shares as numbers, and their shape, which is [] for a single number. */
function sharesOf(op: string, q: Shares): { list: number[]; isOne: boolean } {
  if (q instanceof Tensor) {
    if (q.ndim > 1 || !isFloating(q.dtype))
      throw new ShapeError(op, `q is ${q.dtype} ${formatShape(q.sizes)}, but must be a number, or a vector of floats`, [
        q.sizes,
      ])
    return { list: Array.from(dataSync(detach(q)), Number), isOne: q.ndim === 0 }
  }
  const isOne = typeof q === 'number'
  if (!isOne && !Array.isArray(q)) throw new ValueError(op, `q is ${shown(q)}, but must be a number or a list of them`)
  return { list: isOne ? [q] : [...q], isOne }
}

function quantileOf(
  op: string,
  ignoresNaN: boolean,
  x: Tensor,
  q: Shares,
  dim: number | null,
  options: QuantileOptions,
): Tensor {
  const { keepdim = false, interpolation = 'linear' } = checkOptions(op, options, quantileNames)
  checkFlag(op, 'keepdim', keepdim)
  if (!interpolations.includes(interpolation))
    throw new ValueError(
      op,
      `interpolation is ${shown(interpolation)}, but must be one of ${interpolations.join(', ')}`,
    )
  checkTensor(op, 'x', x)
  if (!isFloating(x.dtype))
    throw new DTypeError(op, `x is ${x.dtype}, but must be floating; convert it with .to('float32')`)
  const d = dim === null ? 0 : normalizeDim(op, dim, x.ndim)
  return namedAs(op, () => {
    const { list, isOne } = sharesOf(op, q)
    for (const share of list)
      if (typeof share !== 'number' || !(share >= 0 && share <= 1))
        throw new ValueError(op, `q holds ${shown(share)}, but must be from 0 to 1`)
    const wide = x.dtype === 'float64' ? x : castTo(x, 'float32')
    // Lines lie along the last dimension.
    const lines = dim === null || x.ndim === 0 ? reshape(wide, [wide.numel]) : movedim(wide, d, -1)
    const rows = lines.sizes.slice(0, -1)
    const n = lines.sizes.at(-1) as number
    if (n === 0) throw new ValueError(op, `there is no quantile of nothing: x is ${formatShape(x.sizes)}`)
    const [sorted] = sort(lines, -1)
    const { dtype, device } = sorted
    const ranks = noGrad(() => {
      const shares = fromTypedArray(Float64Array.from(list), [list.length], { device, dtype })
      const known = detach(lines)
      if (!ignoresNaN) {
        const last = full([], n - 1, { dtype, device })
        return where(any(ne(known, known), -1, { keepdim: true }), last, mul(shares, n - 1))
      }
      const last = sub(castTo(sum(eq(known, known), -1, { keepdim: true }), dtype), 1)
      return clampMin(mul(last, shares), 0)
    })
    const shape = [...rows, list.length]
    const at = (rank: Tensor) => gather(sorted, lines.ndim - 1, expand(castTo(rank, 'int32'), shape))
    const found =
      interpolation === 'lower'
        ? at(floor(ranks))
        : interpolation === 'higher'
          ? at(ceil(ranks))
          : interpolation === 'nearest'
            ? at(round(ranks))
            : lerp(at(floor(ranks)), at(ceil(ranks)), interpolation === 'midpoint' ? 0.5 : sub(ranks, floor(ranks)))
    const all = movedim(castTo(found, x.dtype), -1, 0)
    const kept = !keepdim
      ? all
      : dim === null || x.ndim === 0
        ? reshape(all, [list.length, ...x.sizes.map(() => 1)])
        : reshape(all, [list.length, ...x.sizes.map((size, i) => (i === d ? 1 : size))])
    return isOne ? squeeze(kept, 0) : kept
  })
}

/**
 * The q-quantiles along `dim`, or of all elements if `dim` is null: the values below which a share q of a sorted line
 * lies. A list or vector of q adds a first dimension to the result: [q, ...]. NaN if a line holds one. A q in a tensor
 * is read. Throws ValueError for a q outside [0, 1].
 */
export function quantile<D extends DType>(
  x: Tensor<Shape, D>,
  q: number | readonly number[] | Tensor,
  dim?: number | null,
  options?: QuantileOptions,
): Tensor<Shape, D>
export function quantile(x: Tensor, q: Shares, dim: number | null = null, options: QuantileOptions = {}): Tensor {
  return quantileOf('quantile', false, x, q, dim, options)
}

/** Like `quantile`, but of the elements that are not NaN; NaN if there are none. */
export function nanquantile<D extends DType>(
  x: Tensor<Shape, D>,
  q: number | readonly number[] | Tensor,
  dim?: number | null,
  options?: QuantileOptions,
): Tensor<Shape, D>
export function nanquantile(x: Tensor, q: Shares, dim: number | null = null, options: QuantileOptions = {}): Tensor {
  return quantileOf('nanquantile', true, x, q, dim, options)
}

/** The end of the longest run of equal elements in a sorted line, the first of several such runs. */
function endOfLongest(sorted: Tensor, dim: number): Tensor {
  const { device } = sorted
  const n = sorted.sizes[dim] as number
  const line = sorted.sizes.map((_, i) => (i === dim ? n : 1))
  const place = reshape(arange(0, n, 1, { dtype: 'int32', device }), line)
  const begins = cat(
    [
      full(
        sorted.sizes.map((size, i) => (i === dim ? 1 : size)),
        1,
        { dtype: 'bool', device },
      ),
      differs(sorted, dim, n),
    ],
    dim,
  )
  const [start] = cummax(where(begins, place, 0), dim)
  return argmax(sub(add(place, 1), start), dim, { keepdim: true })
}

const differs = (sorted: Tensor, dim: number, n: number) =>
  ne(narrow(sorted, dim, 1, n - 1), narrow(sorted, dim, 0, n - 1))

/**
 * The most frequent element along `dim`, the smallest of several such, and the index (int32) of its last occurrence.
 * Each NaN differs from all others. The gradient goes to that occurrence.
 */
export function mode<D extends DType>(x: Tensor<Shape, D>, dim?: number, options?: ReduceOptions): Selected<D>
export function mode(x: Tensor, dim = -1, options: ReduceOptions = {}): Selected {
  const keepdim = keepdimOf('mode', options)
  checkTensor('mode', 'x', x)
  const d = normalizeDim('mode', dim, x.ndim)
  if (x.ndim > 0 && x.sizes[d] === 0)
    throw new ValueError('mode', `there is no most frequent element of none: x is ${formatShape(x.sizes)}`)
  return namedAs('mode', () =>
    picked(x, d, keepdim, (line) => {
      const [sorted, order] = sort(comparable(detach(line)), d)
      return gather(order, d, endOfLongest(sorted, d))
    }),
  )
}

declare module '../../core/tensor.js' {
  interface Tensor<S extends Shape = Shape, D extends DType = DType> {
    quantile(q: number | readonly number[] | Tensor, dim?: number | null, options?: QuantileOptions): Tensor<Shape, D>
    nanquantile(
      q: number | readonly number[] | Tensor,
      dim?: number | null,
      options?: QuantileOptions,
    ): Tensor<Shape, D>
    mode(dim?: number, options?: ReduceOptions): Selected<D>
  }
}

defineMethods({
  quantile(q: Shares, dim?: number | null, options?: QuantileOptions) {
    return quantile(this, q, dim, options)
  },
  nanquantile(q: Shares, dim?: number | null, options?: QuantileOptions) {
    return nanquantile(this, q, dim, options)
  },
  mode(dim?: number, options?: ReduceOptions) {
    return mode(this, dim, options)
  },
})
