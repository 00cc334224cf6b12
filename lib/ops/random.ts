/** Random tensors. Every function takes an optional `generator`; the default one is seeded by `manualSeed`. */

import { noGrad } from '../autograd/mode.js'
import { checkTensor } from '../autograd/operator.js'
import { empty, run } from '../backend/dispatch.js'
import type { PhiloxPosition } from '../backend/table/index.js'
import { choices, exponentials, faultOfWeights, permutation } from '../core/draws.js'
import { type DType, isFloating, type Known } from '../core/dtype.js'
import { DTypeError, formatShape, namedAs, ShapeError, shown, ValueError } from '../core/errors.js'
import { checkGenerator, defaultGenerator, type Generator } from '../core/generator.js'
import { defineMethods } from '../core/methods.js'
import { checkFlag, checkOptions, type OptionNames } from '../core/options.js'
import { askRoom, checkEntries, mostEntries } from '../core/room.js'
import { broadcastShapes, checkShape, countOf, type Shape } from '../core/shape.js'
import type { Mutable } from '../core/shape-types.js'
import type { Tensor } from '../core/tensor.js'
import { checkProbability, checkScalar } from './common.js'
import { castTo } from './convert.js'
import { fromTypedArray } from './creation.js'
import { add, ge, le, lt, mul, where } from './elementwise/index.js'
import { type CreationOptions, creationNames, finish, place } from './placement.js'
import { dataSync, item } from './read.js'
import { all } from './reduce/index.js'
import { detach } from './shape/index.js'

export interface RandomOptions<D extends DType = DType> extends CreationOptions<D> {
  readonly generator?: Generator | undefined
}

const randomNames: OptionNames<RandomOptions> = { ...creationNames, generator: true }

/** Draws in float32 (or float64, if asked for and possible), then converts. */
function draw<S extends Shape, D extends DType>(
  op: string,
  shape: S,
  options: RandomOptions<D>,
  names: OptionNames<RandomOptions>,
  fill: (out: Tensor, random: PhiloxPosition) => void,
): Tensor<Mutable<S>, Known<NoInfer<D>>> {
  const sizes = checkShape(op, shape)
  const { dtype, device } = place(op, options, names)
  checkGenerator(op, options.generator)
  const direct = dtype === 'float64' ? 'float64' : 'float32'
  const out = empty(device, sizes, direct, op)
  fill(out, (options.generator ?? defaultGenerator()).take(countOf(sizes)))
  return finish(op, castTo(out, dtype), options)
}

export interface UniformOptions<D extends DType = DType> extends RandomOptions<D> {
  /** Default 0. */
  readonly low?: number
  /** Default 1. */
  readonly high?: number
}

const uniformNames: OptionNames<UniformOptions> = { ...randomNames, low: true, high: true }

/** Uniform numbers in [low, high), by default [0, 1): scaled multiples of 2^-24. */
export function rand<const S extends Shape, D extends DType = 'float32'>(
  shape: S,
  options: UniformOptions<D> = {},
): Tensor<Mutable<S>, Known<NoInfer<D>>> {
  checkOptions('rand', options, uniformNames)
  const low = checkScalar('rand', 'low', options.low ?? 0)
  const high = checkScalar('rand', 'high', options.high ?? 1)
  return draw('rand', shape, options, uniformNames, (out, random) => run('random_uniform', { out, random, low, high }))
}

export interface NormalOptions<D extends DType = DType> extends RandomOptions<D> {
  /** Default 0. */
  readonly mean?: number
  /** Default 1. */
  readonly std?: number
}

const normalNames: OptionNames<NormalOptions> = { ...randomNames, mean: true, std: true }

/**
 * A tensor of this shape of normal numbers, by default with `mean` 0 and `std` 1. Throws ValueError for a negative
 * `std`.
 */
export function randn<const S extends Shape, D extends DType = 'float32'>(
  shape: S,
  options: NormalOptions<D> = {},
): Tensor<Mutable<S>, Known<NoInfer<D>>> {
  checkOptions('randn', options, normalNames)
  const mean = checkScalar('randn', 'mean', options.mean ?? 0)
  const std = checkScalar('randn', 'std', options.std ?? 1)
  if (std < 0) throw new ValueError('randn', `std is ${std}, but must not be negative`)
  return draw('randn', shape, options, normalNames, (out, random) => run('random_normal', { out, random, mean, std }))
}

/**
 * A tensor of this shape of uniform int32 numbers in [low, high). Throws ValueError unless both are 32-bit integers and
 * low is below high.
 */
export function randint<const S extends Shape, D extends DType = 'int32'>(
  low: number,
  high: number,
  shape: S,
  options: RandomOptions<D> = {},
): Tensor<Mutable<S>, Known<NoInfer<D>>> {
  const sizes = checkShape('randint', shape)
  const limit = 2 ** 31
  if (!Number.isInteger(low) || !Number.isInteger(high) || low < -limit || high > limit || low >= high)
    throw new ValueError(
      'randint',
      `needs integers low < high of 32 bits, but low is ${shown(low)} and high is ${shown(high)}`,
    )
  const { dtype, device } = place('randint', options, randomNames, 'int32')
  checkGenerator('randint', options.generator)
  const out = empty(device, sizes, 'int32', 'randint')
  run('random_integers', { out, random: (options.generator ?? defaultGenerator()).take(countOf(sizes)), low, high })
  return finish('randint', castTo(out, dtype), options)
}

/** Draws by the elements of a tensor, on its device. */
interface Drawn {
  readonly generator?: Generator | undefined
}

export interface BernoulliOptions extends Drawn {
  /** One probability for all elements, instead of x's own. */
  readonly p?: number
}

/**
 * Draws 1 with the probability in each element of x, else 0, in x's dtype and without a gradient. Only x's shape counts
 * if `p` is given. Waits for x, as `item` does. Throws ValueError if an element is not a probability.
 */
export function bernoulli<S extends Shape, D extends DType>(x: Tensor<S, D>, options?: BernoulliOptions): Tensor<S, D>
export function bernoulli(x: Tensor, options: BernoulliOptions = {}): Tensor {
  const { p, generator } = checkOptions('bernoulli', options, { p: true, generator: true })
  checkTensor('bernoulli', 'x', x)
  checkGenerator('bernoulli', generator)
  if (p !== undefined) checkProbability('bernoulli', p)
  else if (!isFloating(x.dtype))
    throw new DTypeError(
      'bernoulli',
      `x is ${x.dtype}, which cannot hold probabilities; convert it with .to('float32')`,
    )
  return namedAs('bernoulli', () =>
    noGrad(() => {
      const chances = detach(x)
      if (p === undefined && x.device.kind !== 'meta') {
        const fit = all(where(ge(chances, 0), le(chances, 1), ge(chances, 0)))
        if (item(fit) === 0) throw new ValueError('bernoulli', 'an element of x is not a probability from 0 to 1')
      }
      const drawn = rand(x.sizes, {
        dtype: chances.dtype === 'float64' ? 'float64' : 'float32',
        device: x.device,
        generator,
      })
      return castTo(lt(drawn, p ?? castTo(chances, drawn.dtype)), x.dtype)
    }),
  )
}

export interface MultinomialOptions extends Drawn {
  /** Whether an index may be drawn more than once. Default false. */
  readonly replacement?: boolean
}

/**
 * Draws `numSamples` indices (int32) of weights [n], or of each row of weights [rows, n], with probabilities
 * proportional to the weights. Waits for the weights, as `dataSync` does. Throws ValueError if a weight is negative or
 * not finite, or if there are too few to draw from.
 */
export function multinomial(weights: Tensor, numSamples: number, options?: MultinomialOptions): Tensor<Shape, 'int32'>
export function multinomial(weights: Tensor, numSamples: number, options: MultinomialOptions = {}): Tensor {
  const op = 'multinomial'
  const { replacement = false, generator } = checkOptions(op, options, { replacement: true, generator: true })
  checkFlag(op, 'replacement', replacement)
  checkTensor(op, 'weights', weights)
  checkGenerator(op, generator)
  if (!isFloating(weights.dtype))
    throw new DTypeError(op, `weights are ${weights.dtype}, but must be floats; convert them with .to('float32')`)
  if (weights.ndim !== 1 && weights.ndim !== 2)
    throw new ShapeError(op, `weights must be [n] or [rows, n], but are ${formatShape(weights.sizes)}`, [weights.sizes])
  if (!Number.isSafeInteger(numSamples) || numSamples < 1)
    throw new ValueError(op, `numSamples is ${shown(numSamples)}, but must be an integer of at least 1`)
  const n = weights.sizes.at(-1) as number
  if (n === 0) throw new ValueError(op, `there is nothing to choose from: weights are ${formatShape(weights.sizes)}`)
  const rows = weights.ndim === 1 ? 1 : (weights.sizes[0] as number)
  const sizes = checkShape(op, weights.ndim === 1 ? [numSamples] : [rows, numSamples])
  checkEntries(op, rows * numSamples, mostEntries, 'samples', 'draw fewer at a time')
  return namedAs(op, () => {
    const given = dataSync(detach(weights))
    const out = new Int32Array(rows * numSamples)
    for (let row = 0; row < rows; row++) {
      const part = given.subarray(row * n, (row + 1) * n)
      const fault = faultOfWeights(part, numSamples, replacement)
      if (fault !== null) throw new ValueError(op, weights.ndim === 1 ? fault : `row ${row}: ${fault}`)
      out.set(choices(part, numSamples, replacement, generator ?? defaultGenerator()), row * numSamples)
    }
    return fromTypedArray(out, sizes, { device: weights.device })
  })
}

/** The integers 0 .. n - 1 in a random order (int32 unless another dtype is given). */
export function randperm<D extends DType = 'int32'>(
  n: number,
  options: RandomOptions<D> = {},
): Tensor<[number], Known<NoInfer<D>>> {
  const [size] = checkShape('randperm', [n])
  const { dtype, device } = place('randperm', options, randomNames, 'int32')
  checkGenerator('randperm', options.generator)
  const order = permutation(size, options.generator ?? defaultGenerator())
  const out = namedAs('randperm', () => castTo(fromTypedArray(Int32Array.from(order), [size], { device }), dtype))
  return finish('randperm', out, options)
}

/**
 * Normal numbers with means and standard deviations from the elements of `mean` and `std`, which broadcast. Either may
 * be a number, and both if a shape is given. Gradients reach mean and std.
 */
export function normal(mean: Tensor | number, std: Tensor | number, options?: RandomOptions): Tensor
export function normal(mean: number, std: number, shape: Shape, options?: RandomOptions): Tensor
export function normal(
  mean: Tensor | number,
  std: Tensor | number,
  shape: Shape | RandomOptions = {},
  more: RandomOptions = {},
): Tensor {
  const op = 'normal'
  if (Array.isArray(shape)) {
    checkOptions(op, more, randomNames)
    if (typeof mean !== 'number' || typeof std !== 'number')
      throw new ValueError(op, 'a shape is only for numbers, because tensors have their own; leave it out')
    return namedAs(op, () => randn(shape as Shape, { ...more, mean, std }))
  }
  const { generator } = checkOptions(op, shape as Drawn, { generator: true })
  const known = [mean, std].filter((part) => typeof part !== 'number')
  for (const part of known) checkTensor(op, part === mean ? 'mean' : 'std', part)
  const [first] = known
  if (first === undefined)
    throw new ValueError(op, 'mean and std are numbers, so give a shape, as in normal(0, 1, [2, 3])')
  if (typeof mean === 'number') checkScalar(op, 'mean', mean)
  if (typeof std === 'number' && checkScalar(op, 'std', std) < 0)
    throw new ValueError(op, `std is ${std}, but must not be negative`)
  return namedAs(op, () => {
    const sizes = known.reduce<Shape>((sizes, part) => broadcastShapes(op, sizes, part.sizes), [])
    const { dtype, device } = first
    // Sums are computed in float32 at least, and rounded once.
    const wide = dtype === 'float64' ? dtype : 'float32'
    const near = (part: Tensor | number) =>
      typeof part === 'number' || part.dtype !== dtype ? part : castTo(part, wide)
    return castTo(add(mul(randn(sizes, { dtype: wide, device, generator }), near(std)), near(mean)), dtype)
  })
}

export interface ExponentialOptions<D extends DType = DType> extends RandomOptions<D> {
  /** The rate, the inverse of the mean. Default 1. */
  readonly lambd?: number
}

/** Exponentially distributed numbers with mean 1 / lambd. */
export function exponential<const S extends Shape, D extends DType = 'float32'>(
  shape: S,
  options?: ExponentialOptions<D>,
): Tensor<Mutable<S>, Known<NoInfer<D>>>
export function exponential(shape: Shape, options: ExponentialOptions = {}): Tensor {
  const { lambd = 1, generator } = checkOptions('exponential', options, { ...randomNames, lambd: true })
  const sizes = checkShape('exponential', shape)
  const { dtype, device } = place('exponential', options, { ...randomNames, lambd: true })
  checkGenerator('exponential', generator)
  if (!(checkScalar('exponential', 'lambd', lambd) > 0))
    throw new ValueError('exponential', `lambd is ${lambd}, but must be more than 0`)
  askRoom(8 * countOf(sizes), 'exponential')
  const drawn = exponentials(countOf(sizes), lambd, generator ?? defaultGenerator())
  const direct = dtype === 'float64' ? 'float64' : 'float32'
  const out = namedAs('exponential', () => castTo(fromTypedArray(drawn, sizes, { dtype: direct, device }), dtype))
  return finish('exponential', out, options)
}

declare module '../core/tensor.js' {
  interface Tensor<S extends Shape = Shape, D extends DType = DType> {
    bernoulli(options?: BernoulliOptions): Tensor<S, D>
    multinomial(numSamples: number, options?: MultinomialOptions): Tensor<Shape, 'int32'>
  }
}

defineMethods({
  bernoulli(options?: BernoulliOptions) {
    return bernoulli(this, options)
  },
  multinomial(numSamples: number, options?: MultinomialOptions) {
    return multinomial(this, numSamples, options)
  },
})
