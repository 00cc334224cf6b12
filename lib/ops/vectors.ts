/** Products of vectors: cross products, powers, and all pairs. */
import { checkTensor } from '../autograd/operator.js'
import type { DType } from '../core/dtype.js'
import { formatShape, namedAs, ShapeError, ValueError } from '../core/errors.js'
import { defineMethods } from '../core/methods.js'
import { checkFlag, checkOptions, type OptionNames } from '../core/options.js'
import { normalizeDim, type Shape } from '../core/shape.js'
import type { Tensor } from '../core/tensor.js'
import { fromTypedArray, full } from './creation.js'
import { mul, sub } from './elementwise/index.js'
import { indexSelect } from './indexing/index.js'
import { cumprod } from './reduce/index.js'
import { cat, expand, flip, meshgrid, narrow, reshape, roll, stack, unsqueeze } from './shape/index.js'
import { checkInteger, checkTensors } from './shape/lists.js'

/**
 * The cross product of vectors of 3 elements along `dim` (default: the last). The other dimensions broadcast. Throws
 * ShapeError unless both have the same number of dimensions and 3 elements along `dim`.
 */
export function cross<D extends DType>(a: Tensor<Shape, D>, b: Tensor, dim?: number): Tensor<Shape, D>
export function cross(a: Tensor, b: Tensor, dim = -1): Tensor {
  checkTensor('cross', 'a', a)
  checkTensor('cross', 'b', b)
  const d = normalizeDim('cross', dim, a.ndim)
  if (a.ndim !== b.ndim || a.sizes[d] !== 3 || b.sizes[d] !== 3)
    throw new ShapeError(
      'cross',
      `a is ${formatShape(a.sizes)} and b ${formatShape(b.sizes)}, but both must have the same number of dimensions, and 3 numbers along dimension ${d}`,
      [a.sizes, b.sizes],
    )
  return namedAs('cross', () => sub(mul(roll(a, -1, d), roll(b, 1, d)), mul(roll(a, 1, d), roll(b, -1, d))))
}

export interface VanderOptions {
  /** The number of powers. Default: as many as x has elements. */
  readonly N?: number
  /** Whether powers rise from 0 instead of falling to 0. Default false. */
  readonly increasing?: boolean
}

const vanderNames: OptionNames<VanderOptions> = { N: true, increasing: true }

/**
 * The powers N - 1 to 0 of each element of a vector, as columns: [n, N]. Throws ShapeError for anything but a vector.
 */
export function vander<D extends DType>(x: Tensor<Shape, D>, options?: VanderOptions): Tensor<[number, number], D>
export function vander(x: Tensor, options: VanderOptions = {}): Tensor {
  checkTensor('vander', 'x', x)
  const { N = x.sizes[0] ?? 0, increasing = false } = checkOptions('vander', options, vanderNames)
  checkInteger('vander', 'N', N, 0)
  checkFlag('vander', 'increasing', increasing)
  if (x.ndim !== 1) throw new ShapeError('vander', `x is ${formatShape(x.sizes)}, but must be a vector`, [x.sizes])
  const n = x.numel
  return namedAs('vander', () => {
    const ones = full([n, 1], 1, { dtype: x.dtype, device: x.device })
    const factors = cat([ones, expand(unsqueeze(x, 1), [n, Math.max(0, N - 1)])], 1)
    const powers = narrow(cumprod(factors, 1), 1, 0, Math.min(N, factors.sizes[1] as number))
    return increasing ? powers : flip(powers, 1)
  })
}

/**
 * All rows with one element of each vector, in which the last vector varies fastest: [product of the sizes, vectors]. A
 * single vector is returned as it is. Throws ValueError for an empty list, and ShapeError for anything but vectors.
 */
export function cartesianProd<D extends DType>(vectors: readonly Tensor<Shape, D>[]): Tensor<Shape, D>
export function cartesianProd(vectors: readonly Tensor[]): Tensor {
  checkTensors('cartesianProd', vectors)
  for (const { ndim, sizes } of vectors)
    if (ndim !== 1)
      throw new ShapeError('cartesianProd', `one of the list is ${formatShape(sizes)}, but must be a vector`, [sizes])
  const [first] = vectors
  if (first === undefined) throw new ValueError('cartesianProd', 'there are no vectors: the list is empty')
  if (vectors.length === 1) return first
  return namedAs('cartesianProd', () =>
    stack(
      meshgrid(vectors).map((each) => reshape(each, [each.numel])),
      1,
    ),
  )
}

export interface CombinationsOptions {
  /** The number of elements in each combination. Default 2. */
  readonly r?: number
  /** Whether a combination may repeat an element. Default false. */
  readonly withReplacement?: boolean
}

const combinationsNames: OptionNames<CombinationsOptions> = { r: true, withReplacement: true }

const mostIndices = 2 ** 31 - 1

/** The indices of all combinations of r of n, in lexicographic order, one after the other. */
function placesOfAll(n: number, r: number, withReplacement: boolean): Int32Array<ArrayBuffer> {
  const from = withReplacement ? n + r - 1 : n
  if (r > from) return new Int32Array()
  // There are as many choices of the elements left out, which are fewer if r is large.
  const fewer = Math.min(r, from - r)
  let count = 1
  for (let i = 1; i <= fewer && count * r <= mostIndices; i++) count = (count * (from - fewer + i)) / i
  if (count * r > mostIndices)
    throw new ValueError(
      'combinations',
      `there are at least ${count} ways to choose ${r} of ${n} elements, more than the ${mostIndices} indices of one tensor; take a smaller r`,
    )
  const places = new Int32Array(Math.round(count) * r)
  const now = Array.from({ length: r }, (_, i) => (withReplacement ? 0 : i))
  const last = (i: number) => (withReplacement ? n - 1 : n - r + i)
  for (let at = 0; at < places.length; at += r) {
    places.set(now, at)
    let i = r - 1
    while (i >= 0 && now[i] === last(i)) i--
    if (i < 0) break
    const next = (now[i] as number) + 1
    for (let j = i; j < r; j++) now[j] = withReplacement ? next : next + j - i
  }
  return places
}

/**
 * All combinations of r elements of a vector, in the order of its elements: [combinations, r]. Throws ShapeError unless
 * x is a vector. Throws ValueError if r is not an integer of at least 0, or if there are more combinations than a
 * tensor can hold.
 */
export function combinations<D extends DType>(
  x: Tensor<Shape, D>,
  options?: CombinationsOptions,
): Tensor<[number, number], D>
export function combinations(x: Tensor, options: CombinationsOptions = {}): Tensor {
  const op = 'combinations'
  checkTensor(op, 'x', x)
  const { r = 2, withReplacement = false } = checkOptions(op, options, combinationsNames)
  checkInteger(op, 'r', r, 0)
  checkFlag(op, 'withReplacement', withReplacement)
  if (x.ndim !== 1) throw new ShapeError(op, `x is ${formatShape(x.sizes)}, but must be a vector`, [x.sizes])
  return namedAs(op, () => {
    const places = placesOfAll(x.numel, r, withReplacement)
    const index = fromTypedArray(places, [places.length], { device: x.device })
    return reshape(indexSelect(x, 0, index), r === 0 ? [0, 0] : [places.length / r, r])
  })
}

declare module '../core/tensor.js' {
  interface Tensor<S extends Shape = Shape, D extends DType = DType> {
    cross(b: Tensor, dim?: number): Tensor<Shape, D>
  }
}

defineMethods({
  cross(b: Tensor, dim?: number) {
    return cross(this, b, dim)
  },
})
