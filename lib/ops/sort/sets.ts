/** Membership, runs of equal elements, and histograms. None has a gradient. */
import { checkTensor } from '../../autograd/operator.js'
import { type DType, isFloating } from '../../core/dtype.js'
import { DTypeError, namedAs, shown, ValueError } from '../../core/errors.js'
import { defineMethods } from '../../core/methods.js'
import { checkFlag, checkOptions, type OptionNames } from '../../core/options.js'
import { askRoom } from '../../core/room.js'
import { normalizeDim, type Shape } from '../../core/shape.js'
import type { Tensor } from '../../core/tensor.js'
import { fromTypedArray, full } from '../creation.js'
import { alike } from '../elementwise/binary.js'
import { clampMax, eq, logicalNot, where } from '../elementwise/index.js'
import { gather, indexSelect } from '../indexing/index.js'
import { dataSync } from '../read.js'
import { comparable } from '../reduce/dims.js'
import { detach, reshape } from '../shape/index.js'
import { checkInteger } from '../shape/lists.js'
import { groupsOf, placesOn, type UniqueOptions } from './counts.js'
import { sort } from './order.js'
import { searchsorted } from './search.js'

export interface IsinOptions {
  /** Whether to tell which elements are not among them. Default false. */
  readonly invert?: boolean
}

const isinNames: OptionNames<IsinOptions> = { invert: true }

/** Whether each element of x is among those of `test`; NaN is not. */
export function isin<S extends Shape>(x: Tensor<S>, test: Tensor, options?: IsinOptions): Tensor<S, 'bool'>
export function isin(x: Tensor, test: Tensor, options: IsinOptions = {}): Tensor {
  const { invert = false } = checkOptions('isin', options, isinNames)
  checkFlag('isin', 'invert', invert)
  checkTensor('isin', 'x', x)
  checkTensor('isin', 'test', test)
  return namedAs('isin', () => {
    const pair = alike('isin', detach(x), detach(test))
    const [values, others] = [comparable(pair[0]), comparable(pair[1])]
    if (test.numel === 0) return full(x.sizes, invert ? 1 : 0, { dtype: 'bool', device: x.device })
    const [sorted] = sort(reshape(others, [others.numel]))
    const flat = reshape(values, [values.numel])
    // NaN sorts last, but a search does not find it greater than a number.
    const risen = where(eq(sorted, sorted), sorted, isFloating(sorted.dtype) ? Number.POSITIVE_INFINITY : 0)
    const at = clampMax(searchsorted(risen, flat), test.numel - 1)
    const found = reshape(eq(gather(sorted, 0, at), flat), x.sizes)
    return invert ? logicalNot(found) : found
  })
}

type Consecutive = Omit<UniqueOptions, 'sorted'>
type Index = Tensor<Shape, 'int32'>

/**
 * One of each run of equal elements of x, flattened. If asked for, it also gives the run of each element (int32, of x's
 * shape), and the length of each run. If `dim` is given, runs of equal slices along it. Waits for x, as `dataSync`
 * does.
 */
export function uniqueConsecutive<D extends DType>(
  x: Tensor<Shape, D>,
  options?: Consecutive & { readonly returnInverse?: false; readonly returnCounts?: false },
): Tensor<Shape, D>
export function uniqueConsecutive<D extends DType>(
  x: Tensor<Shape, D>,
  options: Consecutive,
): Tensor<Shape, D> | [values: Tensor<Shape, D>, ...others: Index[]]
export function uniqueConsecutive(x: Tensor, options: Consecutive = {}): Tensor | [Tensor, ...Tensor[]] {
  const op = 'uniqueConsecutive'
  const {
    returnInverse = false,
    returnCounts = false,
    dim = null,
  } = checkOptions(op, options, { returnInverse: true, returnCounts: true, dim: true })
  for (const [name, flag] of Object.entries({ returnInverse, returnCounts })) checkFlag(op, name, flag)
  checkTensor(op, 'x', x)
  const d = dim === null ? 0 : normalizeDim(op, dim, x.ndim)
  return namedAs(op, () => {
    const line = dim === null || x.ndim === 0 ? reshape(detach(x), [x.numel]) : detach(x)
    const rows = line.sizes[d] as number
    const width = rows === 0 ? 0 : x.numel / rows
    const data = dataSync(line.transpose(0, d)) as ArrayLike<number>
    const order = Int32Array.from({ length: rows }, (_, i) => i)
    const { inverse, firsts, counts } = groupsOf(data, order, width, true)
    const values = indexSelect(line, d, placesOn(x, firsts, [firsts.length]))
    const others: Tensor[] = []
    if (returnInverse) others.push(placesOn(x, inverse, dim === null || x.ndim === 0 ? x.sizes : [rows]))
    if (returnCounts) others.push(placesOn(x, counts, [counts.length]))
    return others.length === 0 ? values : [values, ...others]
  })
}

export interface HistcOptions {
  /** Default 100. */
  readonly bins?: number
  /**
   * The lower end of the first bin and the upper end of the last. If they are equal, as by default, the least and the
   * largest element are used.
   */
  readonly min?: number
  readonly max?: number
}

const histcNames: OptionNames<HistcOptions> = { bins: true, min: true, max: true }

/**
 * A histogram: the number of elements of x (floats) in each of `bins` equal bins from min to max, in x's dtype. The
 * last bin includes max. Elements outside and NaN are not counted. Waits for x, as `dataSync` does. Throws ValueError
 * for limits that are not finite or out of order, and DTypeError for integers.
 */
export function histc<D extends DType>(x: Tensor<Shape, D>, options?: HistcOptions): Tensor<[number], D>
export function histc(x: Tensor, options: HistcOptions = {}): Tensor {
  const { bins = 100, min = 0, max = 0 } = checkOptions('histc', options, histcNames)
  checkInteger('histc', 'bins', bins, 1)
  for (const [name, value] of Object.entries({ min, max }))
    if (!Number.isFinite(value))
      throw new ValueError('histc', `${name} is ${shown(value)}, but must be a finite number`)
  if (min > max) throw new ValueError('histc', `min is ${min}, but must be at most max, ${max}`)
  checkTensor('histc', 'x', x)
  if (!isFloating(x.dtype))
    throw new DTypeError('histc', `x is ${x.dtype}, but must be floating; convert it with .to('float32')`)
  return namedAs('histc', () => {
    const data = dataSync(detach(x)) as ArrayLike<number>
    const [low, high] = limitsOf(data, min, max)
    askRoom(4 * bins, 'histc')
    const counts = new Float64Array(bins)
    for (let i = 0; i < data.length; i++) {
      const value = data[i] as number
      if (!(value >= low && value <= high)) continue
      const bin = Math.min(bins - 1, Math.floor(((value - low) * bins) / (high - low)))
      counts[bin] = (counts[bin] as number) + 1
    }
    return fromTypedArray(counts, [bins], { dtype: x.dtype, device: x.device })
  })
}

function limitsOf(data: ArrayLike<number>, min: number, max: number): readonly [low: number, high: number] {
  let [low, high] = [min, max]
  if (low === high && data.length > 0) {
    low = Number.POSITIVE_INFINITY
    high = Number.NEGATIVE_INFINITY
    for (let i = 0; i < data.length; i++) {
      low = Math.min(low, data[i] as number)
      high = Math.max(high, data[i] as number)
    }
    if (!Number.isFinite(low) || !Number.isFinite(high))
      throw new ValueError('histc', `x ranges from ${low} to ${high}, which leaves no width for bins; give min and max`)
  }
  return low === high ? [low - 1, high + 1] : [low, high]
}

declare module '../../core/tensor.js' {
  interface Tensor<S extends Shape = Shape, D extends DType = DType> {
    isin(test: Tensor, options?: IsinOptions): Tensor<S, 'bool'>
    histc(options?: HistcOptions): Tensor<[number], D>
    uniqueConsecutive(
      options?: Consecutive,
    ): Tensor<Shape, D> | [values: Tensor<Shape, D>, ...others: Tensor<Shape, 'int32'>[]]
  }
}

defineMethods({
  isin(test: Tensor, options?: IsinOptions) {
    return isin(this, test, options)
  },
  histc(options?: HistcOptions) {
    return histc(this, options)
  },
  uniqueConsecutive(options?: Consecutive) {
    return uniqueConsecutive(this, options as Consecutive)
  },
})
