/** Random tensors. Every function takes an optional `generator`; the default one is seeded by `manualSeed`. */

import { empty, run } from '../backend/dispatch.js'
import type { PhiloxPosition } from '../backend/table/index.js'
import type { DType, Known } from '../core/dtype.js'
import { shown, ValueError } from '../core/errors.js'
import { checkGenerator, defaultGenerator, type Generator } from '../core/generator.js'
import { checkOptions, type OptionNames } from '../core/options.js'
import { checkShape, countOf, type Shape } from '../core/shape.js'
import type { Mutable } from '../core/shape-types.js'
import type { Tensor } from '../core/tensor.js'
import { checkScalar } from './common.js'
import { castTo } from './convert.js'
import { type CreationOptions, creationNames, finish, place } from './placement.js'

export interface RandomOptions<D extends DType = DType> extends CreationOptions<D> {
  readonly generator?: Generator | undefined
}

const randomNames: OptionNames<RandomOptions> = { ...creationNames, generator: true }

/** Draws in float32 (float64 where asked for and possible), then converts. */
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

/** Uniform in [low, high), by default [0, 1): multiples of 2^-24 scaled. */
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

/** Normal with `mean` 0 and `std` 1 unless given. */
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

/** int32 uniform in [low, high). */
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
