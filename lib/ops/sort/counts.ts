/**
 * Functions whose number of results depends on the elements: those that are not 0, the distinct ones, and their counts.
 * All read their tensor and wait for it, as `dataSync` does, and none has a gradient.
 */
import { checkTensor } from '../../autograd/operator.js'
import { type DType, isFloating } from '../../core/dtype.js'
import {
  DeviceError,
  DTypeError,
  formatShape,
  IndexOutOfRangeError,
  namedAs,
  ShapeError,
  shown,
  ValueError,
} from '../../core/errors.js'
import { defineMethods } from '../../core/methods.js'
import { checkFlag, checkOptions } from '../../core/options.js'
import { askRoom } from '../../core/room.js'
import { normalizeDim, type Shape } from '../../core/shape.js'
import type { Tensor } from '../../core/tensor.js'
import { fromTypedArray } from '../creation.js'
import { indexSelect } from '../indexing/index.js'
import { columnsOf, placesOf } from '../indexing/places.js'
import { dataSync } from '../read.js'
import { detach, reshape } from '../shape/index.js'
import { argsort } from './order.js'

/** Indices on x's device. */
export function placesOn(x: Tensor, values: readonly number[] | Int32Array, shape: Shape): Tensor<Shape, 'int32'> {
  return fromTypedArray(Int32Array.from(values), shape, { device: x.device })
}

export interface NonzeroOptions {
  /** Whether to return a separate tensor of indices for each dimension, as indexing takes them. Default false. */
  readonly asTuple?: boolean
}

/**
 * The indices (int32) of the elements that are not 0, in row-major order: [count, dimensions], or with `asTuple` a
 * tensor of [count] for each dimension. Waits for x, as `dataSync` does.
 */
export function nonzero(x: Tensor, options?: { readonly asTuple?: false }): Tensor<Shape, 'int32'>
export function nonzero(x: Tensor, options: { readonly asTuple: true }): Tensor<Shape, 'int32'>[]
export function nonzero(x: Tensor, options: NonzeroOptions = {}): Tensor | Tensor[] {
  const { asTuple = false } = checkOptions('nonzero', options, { asTuple: true })
  checkFlag('nonzero', 'asTuple', asTuple)
  checkTensor('nonzero', 'x', x)
  // A number counts as a list of one if indices are returned by dimension.
  const sizes = asTuple && x.ndim === 0 ? [1] : x.sizes
  const data = namedAs('nonzero', () => dataSync(detach(x)))
  const found = placesOf(data as ArrayLike<number>)
  const columns = columnsOf(found, sizes)
  if (asTuple) return columns.map((column) => placesOn(x, column, [found.length]))
  const rank = sizes.length
  const all = new Int32Array(found.length * rank)
  for (const [d, column] of columns.entries())
    for (let i = 0; i < column.length; i++) all[i * rank + d] = column[i] as number
  return placesOn(x, all, [found.length, rank])
}

export interface UniqueOptions {
  /** Whether to return them in rising order (default), rather than in the order of first occurrence. */
  readonly sorted?: boolean
  /** Whether to also return the place of each element among them. Default false. */
  readonly returnInverse?: boolean
  /** Whether to also return the count of each. Default false. */
  readonly returnCounts?: boolean
  /** The dimension along which whole slices are compared, instead of elements. */
  readonly dim?: number | null
}

type Index = Tensor<Shape, 'int32'>

/**
 * The order of rows [rows, width] from least to greatest; equal ones keep their order. Each NaN differs from all
 * others, as in PyTorch.
 */
function rowOrder(data: ArrayLike<number>, rows: number, width: number): Int32Array {
  const order = Int32Array.from({ length: rows }, (_, i) => i)
  return order.sort((a, b) => {
    for (let j = 0; j < width; j++) {
      const [u, v] = [data[a * width + j] as number, data[b * width + j] as number]
      if (u < v || (Number.isNaN(v) && !Number.isNaN(u))) return -1
      if (u > v || (Number.isNaN(u) && !Number.isNaN(v))) return 1
    }
    return a - b
  })
}

/**
 * Groups of equal rows: the group number of each row, and the first row and the size of each group. Groups are in
 * rising order, or in the order of first occurrence.
 */
export function groupsOf(data: ArrayLike<number>, order: ArrayLike<number>, width: number, sorted: boolean) {
  const rows = order.length
  const inverse = new Int32Array(rows)
  const firsts: number[] = []
  for (let i = 0; i < rows; i++) {
    const row = order[i] as number
    const before = order[i - 1] ?? -1
    let same = i > 0
    for (let j = 0; same && j < width; j++) same = data[row * width + j] === data[before * width + j]
    if (!same) firsts.push(row)
    inverse[row] = firsts.length - 1
  }
  if (!sorted) {
    const places = firsts.map((_, group) => group).sort((a, b) => (firsts[a] as number) - (firsts[b] as number))
    const renamed = new Int32Array(places.length)
    for (const [place, group] of places.entries()) renamed[group] = place
    for (let i = 0; i < rows; i++) inverse[i] = renamed[inverse[i] as number] as number
    firsts.sort((a, b) => a - b)
  }
  const counts = new Int32Array(firsts.length)
  for (const group of inverse) counts[group] = (counts[group] as number) + 1
  return { inverse, firsts, counts }
}

/**
 * The distinct elements of x, flattened, in rising order. If asked for, it also gives the place of each element of x
 * among them (int32, of x's shape), and the count of each (int32). If `dim` is given, the distinct slices along it.
 * Each NaN differs from all others. Waits for x, as `dataSync` does.
 */
export function unique<D extends DType>(
  x: Tensor<Shape, D>,
  options?: UniqueOptions & { readonly returnInverse?: false; readonly returnCounts?: false },
): Tensor<Shape, D>
export function unique<D extends DType>(
  x: Tensor<Shape, D>,
  options: UniqueOptions & { readonly returnInverse: true; readonly returnCounts?: false },
): [values: Tensor<Shape, D>, inverse: Index]
export function unique<D extends DType>(
  x: Tensor<Shape, D>,
  options: UniqueOptions & { readonly returnInverse?: false; readonly returnCounts: true },
): [values: Tensor<Shape, D>, counts: Index]
export function unique<D extends DType>(
  x: Tensor<Shape, D>,
  options: UniqueOptions & { readonly returnInverse: true; readonly returnCounts: true },
): [values: Tensor<Shape, D>, inverse: Index, counts: Index]
export function unique<D extends DType>(
  x: Tensor<Shape, D>,
  options?: UniqueOptions,
): Tensor<Shape, D> | [values: Tensor<Shape, D>, ...others: Index[]]
export function unique(x: Tensor, options: UniqueOptions = {}): Tensor | [Tensor, ...Tensor[]] {
  const {
    sorted = true,
    returnInverse = false,
    returnCounts = false,
    dim = null,
  } = checkOptions('unique', options, { sorted: true, returnInverse: true, returnCounts: true, dim: true })
  for (const [name, flag] of Object.entries({ sorted, returnInverse, returnCounts })) checkFlag('unique', name, flag)
  checkTensor('unique', 'x', x)
  const whole = dim === null || x.ndim === 0
  const d = dim === null ? 0 : normalizeDim('unique', dim, x.ndim)
  return namedAs('unique', () => {
    const line = whole ? reshape(detach(x), [x.numel]) : detach(x)
    const rows = line.sizes[d] as number
    const width = whole ? 1 : rows === 0 ? 0 : x.numel / rows
    const data = dataSync(whole ? line : line.transpose(0, d))
    const order = whole ? dataSync(argsort(line)) : rowOrder(data, rows, width)
    const { inverse, firsts, counts } = groupsOf(data, order, width, sorted)
    const values = indexSelect(line, d, placesOn(x, firsts, [firsts.length]))
    const others: Tensor[] = []
    if (returnInverse) others.push(placesOn(x, inverse, dim === null ? x.sizes : x.ndim === 0 ? [] : [rows]))
    if (returnCounts) others.push(placesOn(x, counts, [counts.length]))
    return others.length === 0 ? values : [values, ...others]
  })
}

export interface BincountOptions<W extends DType = DType> {
  /** The weight of each element, instead of 1: floats of x's shape. */
  readonly weights?: Tensor<Shape, W> | null
  /** The least number of bins. Default 0. */
  readonly minlength?: number
}

/**
 * Counts each of 0, 1, 2, .. in x (int32 or uint8, one dimension), up to the largest element. Gives int32, or with
 * `weights` the sums of the weights, in float32 or float64. Waits for x, as `dataSync` does. Throws
 * IndexOutOfRangeError for negative elements.
 */
export function bincount(x: Tensor, options?: { readonly weights?: null; readonly minlength?: number }): Index
export function bincount<W extends DType>(x: Tensor, options: BincountOptions<W>): Tensor<Shape, W>
export function bincount(x: Tensor, options: BincountOptions = {}): Tensor {
  const { weights = null, minlength = 0 } = checkOptions('bincount', options, { weights: true, minlength: true })
  checkTensor('bincount', 'x', x)
  if (x.dtype !== 'int32' && x.dtype !== 'uint8')
    throw new DTypeError('bincount', `x is ${x.dtype}, but must be int32 or uint8; convert it with .to('int32')`)
  if (x.ndim !== 1)
    throw new ShapeError('bincount', `x must have one dimension, but is ${formatShape(x.sizes)}`, [x.sizes])
  if (!Number.isSafeInteger(minlength) || minlength < 0)
    throw new ValueError('bincount', `minlength is ${shown(minlength)}, but must be an integer of at least 0`)
  if (weights !== null) checkWeights(x, weights)
  return namedAs('bincount', () => {
    const data = dataSync(x)
    let length = minlength
    for (const value of data) {
      if (value < 0)
        throw new IndexOutOfRangeError('bincount', `x holds ${value}, but must hold integers of at least 0`)
      length = Math.max(length, value + 1)
    }
    const { device } = x
    askRoom(12 * length, 'bincount')
    if (weights === null) {
      const counts = new Int32Array(length)
      for (const value of data) counts[value] = (counts[value] as number) + 1
      return placesOn(x, counts, [length])
    }
    const sums = new Float64Array(length)
    const given = dataSync(detach(weights))
    for (const [i, value] of data.entries()) sums[value] = (sums[value] as number) + (given[i] as number)
    return weights.dtype === 'float64'
      ? fromTypedArray(sums, [length], { dtype: 'float64', device })
      : fromTypedArray(Float32Array.from(sums), [length], { device })
  })
}

function checkWeights(x: Tensor, weights: Tensor): void {
  checkTensor('bincount', 'weights', weights)
  if (weights.device !== x.device)
    throw new DeviceError(
      'bincount',
      `x is on ${x.device.name} and weights on ${weights.device.name}; move one with .to('${x.device.name}')`,
    )
  if (!isFloating(weights.dtype))
    throw new DTypeError(
      'bincount',
      `weights are ${weights.dtype}, but must be floats; convert them with .to('float32')`,
    )
  if (weights.ndim !== 1 || weights.numel !== x.numel)
    throw new ShapeError(
      'bincount',
      `weights must have the shape of x, ${formatShape(x.sizes)}, but are ${formatShape(weights.sizes)}`,
      [x.sizes, weights.sizes],
    )
}

declare module '../../core/tensor.js' {
  interface Tensor<S extends Shape = Shape, D extends DType = DType> {
    nonzero(options?: { readonly asTuple?: false }): Tensor<Shape, 'int32'>
    nonzero(options: { readonly asTuple: true }): Tensor<Shape, 'int32'>[]
    bincount(options?: BincountOptions): Tensor
    unique(
      options?: UniqueOptions & { readonly returnInverse?: false; readonly returnCounts?: false },
    ): Tensor<Shape, D>
    unique(options: UniqueOptions): Tensor<Shape, D> | [values: Tensor<Shape, D>, ...others: Tensor<Shape, 'int32'>[]]
  }
}

defineMethods({
  nonzero(options?: NonzeroOptions) {
    return nonzero(this, options as { readonly asTuple: true })
  },
  bincount(options?: BincountOptions) {
    return bincount(this, options as BincountOptions)
  },
  unique(options?: UniqueOptions) {
    return unique(this, options)
  },
})
