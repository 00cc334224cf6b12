/** The part that the constructors of all layers have in common. */
import type { Device } from '../core/device.js'
import { type DType, isBlocks, isDType } from '../core/dtype.js'
import { DTypeError, Faults, shown, ValueError } from '../core/errors.js'
import { checkGenerator, type Generator } from '../core/generator.js'
import { type OptionNames, ownOptions } from '../core/options.js'
import { outsideFrames } from '../core/scope.js'
import { maxDims, type Shape } from '../core/shape.js'
import type { Mutable } from '../core/shape-types.js'
import type { Tensor } from '../core/tensor.js'
import { checkProbability } from '../ops/common.js'
import { castTo } from '../ops/convert.js'
import { type Pair, pair } from '../ops/pair.js'
import { filled } from '../ops/placement.js'
import { Buffer, Parameter } from './module.js'

export interface LayerOptions {
  readonly device?: string | Device
  /** Default float32. */
  readonly dtype?: DType
  /** The generator of the initial weights. Default: this thread's. */
  readonly generator?: Generator
}

export const layerOptions: OptionNames<LayerOptions> = { device: true, dtype: true, generator: true }

const placement = ({ device, dtype }: LayerOptions) => ({
  ...(device === undefined ? {} : { device }),
  ...(dtype === undefined ? {} : { dtype }),
})

/** A parameter of zeros, which an initialiser will fill. Errors name the layer. */
export function parameter<const S extends Shape>(
  layer: string,
  shape: S,
  options: LayerOptions,
): Parameter<Mutable<S>> {
  return outsideFrames(() => new Parameter(filled(layer, shape, 0, placement(options))))
}

/** A buffer of zeros. */
export function buffer<const S extends Shape>(layer: string, shape: S, options: LayerOptions): Buffer<Mutable<S>> {
  return outsideFrames(() => new Buffer(filled(layer, shape, 0, placement(options))))
}

/** A weight as floats, converted if it is quantised. */
export function numbersOf(weight: Tensor): Tensor {
  return isBlocks(weight.dtype) ? castTo(weight, 'float32') : weight
}

/**
 * A layer's own copy of its options. Throws for unknown names, a dtype that is not floating, and flags that are not
 * booleans.
 */
export function checkLayer<O extends LayerOptions>(layer: string, options: O, names: OptionNames<O>): O {
  const own = ownOptions(layer, options, names)
  const { dtype, generator } = own
  checkGenerator(layer, generator)
  if (dtype !== undefined && !(isDType(dtype) && dtype.includes('float')))
    throw new DTypeError(layer, `dtype is ${shown(dtype)}, but must be floating: float32, bfloat16 or float64`)
  return own
}

/** Throws unless the flags are booleans; 0, 'false' and null are not. */
export function checkFlags(layer: string, flags: { readonly [name: string]: unknown }): void {
  const faults = new Faults()
  for (const [name, flag] of Object.entries(flags))
    faults.check(
      flag === undefined || typeof flag === 'boolean',
      () => `${name} is ${shown(flag)}, but must be true or false`,
    )
  faults.throwValue(layer)
}

/** Throws unless the number is finite and at least `least`. */
export function checkNumber(layer: string, name: string, value: number, least = Number.NEGATIVE_INFINITY): number {
  if (typeof value !== 'number' || !Number.isFinite(value) || value < least) {
    const what = Number.isFinite(least) ? `a number of at least ${least}` : 'a finite number'
    throw new ValueError(layer, `${name} is ${shown(value)}, but must be ${what}`)
  }
  return value
}

/** Throws unless a dimension of tensors yet unknown is an integer; a negative one counts from the end. */
export function checkDim(layer: string, name: string, dim: number): void {
  if (!Number.isInteger(dim) || Math.abs(dim) > maxDims)
    throw new ValueError(layer, `${name} is ${shown(dim)}, but must be an integer from ${-maxDims} to ${maxDims - 1}`)
}

/** Throws unless the value is a probability; '0.5' is not. */
export function checkDropout(layer: string, name: string, value: number): number {
  if (typeof value !== 'number')
    throw new ValueError(layer, `${name} is ${shown(value)}, but must be a probability from 0 to 1`)
  return checkProbability(layer, value, name)
}

/**
 * The options of an activation. PyTorch takes them as numbers in the order of `names`, which may also be given here.
 * Throws ValueError for numbers after an object, because they would be ignored.
 */
export function byNumbers<O extends object>(
  layer: string,
  names: readonly (keyof O & string)[],
  options: O | number,
  ...more: readonly (number | undefined)[]
): O {
  const [extra] = more.filter((value) => value !== undefined)
  if (typeof options === 'number') {
    const given = [options, ...more].map((value, i) => [names[i] as string, value] as const)
    return Object.fromEntries(given.filter(([, value]) => value !== undefined)) as O
  }
  if (extra !== undefined)
    throw new ValueError(layer, `${shown(extra)} follows options; give ${names.join(', ')} as numbers or as one object`)
  return options
}

/** A size for both dimensions, or [height, width]. */
export function checkPair(layer: string, name: string, value: Pair, least: number): [number, number] {
  return pair(layer, name, value, least)
}

/** Throws unless all sizes are positive integers, and names every one that is not. */
export function checkSizes(layer: string, sizes: { readonly [name: string]: number }): void {
  const faults = new Faults()
  for (const [name, size] of Object.entries(sizes))
    faults.check(
      Number.isSafeInteger(size) && size > 0,
      () => `${name} is ${shown(size)}, but must be a positive integer`,
    )
  faults.throwValue(layer)
}
