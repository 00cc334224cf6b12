/** Initialisers, in place, with PyTorch's names and defaults. All draw from the given or the default generator. */
import { noGrad } from '../autograd/mode.js'
import { checkTensor } from '../autograd/operator.js'
import { DTypeError, formatShape, namedAs, ShapeError, shown, ValueError } from '../core/errors.js'
import type { Generator } from '../core/generator.js'
import { checkOptions } from '../core/options.js'
import { scope } from '../core/scope.js'
import { countOf } from '../core/shape.js'
import type { Tensor } from '../core/tensor.js'
import { checkDistinct, checkScalar } from '../ops/common.js'
import { full } from '../ops/creation.js'
import { copyInto, fill_ } from '../ops/inplace.js'
import { rand, randn } from '../ops/random.js'

export interface InitOptions {
  readonly generator?: Generator | undefined
}

/** Throws for what cannot be filled: no tensor, one that was freed, and elements that are one in memory. */
function checkFillable(op: string, tensor: Tensor): void {
  checkTensor(op, 'the tensor', tensor)
  tensor.storage.check(op)
  checkDistinct(op, 'the tensor', tensor)
}

function fillFrom<T extends Tensor>(op: string, tensor: T, options: InitOptions, draw: (placed: Placed) => Tensor): T {
  checkOptions(op, options, { generator: true })
  checkFillable(op, tensor)
  if (!tensor.dtype.includes('float'))
    throw new DTypeError(op, `the tensor is ${tensor.dtype}, but must be floating, because what is drawn has fractions`)
  const { dtype, device } = tensor
  // What was drawn is as large as the parameter: freed at once, not when a collection comes to it.
  namedAs(op, () =>
    noGrad(() => scope(() => copyInto(tensor, draw({ dtype, device, generator: options.generator }), op))),
  )
  return tensor
}

type Placed = Pick<Tensor, 'dtype' | 'device'> & InitOptions

/** A number that a dtype can hold: NaN and infinity would fill the weights with NaN. */
function checkFinite(op: string, name: string, value: number): number {
  if (!Number.isFinite(checkScalar(op, name, value)))
    throw new ValueError(op, `${name} is ${value}, but must be finite`)
  return value
}

/** Uniform in [low, high). */
export function uniform_<T extends Tensor>(tensor: T, low = 0, high = 1, options: InitOptions = {}): T {
  checkFinite('uniform_', 'low', low)
  checkFinite('uniform_', 'high', high)
  if (low > high) throw new ValueError('uniform_', `low is ${low}, which is more than high, ${high}`)
  return fillFrom('uniform_', tensor, options, (placed) => rand(tensor.shape, { ...placed, low, high }))
}

/** Normal with mean and standard deviation. */
export function normal_<T extends Tensor>(tensor: T, mean = 0, std = 1, options: InitOptions = {}): T {
  checkFinite('normal_', 'mean', mean)
  checkFinite('normal_', 'std', std)
  if (std < 0) throw new ValueError('normal_', `std is ${std}, but must not be negative`)
  return fillFrom('normal_', tensor, options, (placed) => randn(tensor.shape, { ...placed, mean, std }))
}

function fillWith<T extends Tensor>(op: string, tensor: T, value: number): T {
  checkFillable(op, tensor)
  namedAs(op, () =>
    noGrad(() => {
      if (tensor.isContiguous) fill_(tensor, value)
      else scope(() => copyInto(tensor, full([], value, { dtype: tensor.dtype, device: tensor.device }), op))
    }),
  )
  return tensor
}

/** One number everywhere. */
export function constant_<T extends Tensor>(tensor: T, value: number): T {
  return fillWith('constant_', tensor, checkScalar('constant_', 'the value', value))
}

export const zeros_ = <T extends Tensor>(tensor: T): T => fillWith('zeros_', tensor, 0)
export const ones_ = <T extends Tensor>(tensor: T): T => fillWith('ones_', tensor, 1)

/** How many inputs and outputs one unit of a weight [out, in, ...] sees. */
export function fans(op: string, tensor: Tensor): { readonly fanIn: number; readonly fanOut: number } {
  checkTensor(op, 'the tensor', tensor)
  if (tensor.ndim < 2)
    throw new ShapeError(op, `needs a weight of at least two dimensions, but got ${formatShape(tensor.sizes)}`, [
      tensor.sizes,
    ])
  const field = countOf(tensor.sizes.slice(2))
  return { fanIn: (tensor.sizes[1] as number) * field, fanOut: (tensor.sizes[0] as number) * field }
}

export type Nonlinearity = 'linear' | 'relu' | 'tanh' | 'sigmoid' | 'leakyRelu'

/** The factor by which a nonlinearity's initial weights are widened; `param` is leakyRelu's slope. */
export function calculateGain(nonlinearity: Nonlinearity, param = 0.01): number {
  return gainOf('calculateGain', nonlinearity, param)
}

function gainOf(op: string, nonlinearity: Nonlinearity, param: number): number {
  checkFinite(op, 'param', param)
  const gains = { linear: 1, sigmoid: 1, tanh: 5 / 3, relu: Math.SQRT2, leakyRelu: Math.sqrt(2 / (1 + param ** 2)) }
  if (typeof nonlinearity !== 'string' || !Object.hasOwn(gains, nonlinearity))
    throw new ValueError(op, `unknown nonlinearity ${shown(nonlinearity)}; known are ${Object.keys(gains).join(', ')}`)
  return gains[nonlinearity]
}

/** The gain over the root of what a unit sees; 0 where there are no weights, which then nobody draws. */
function perRoot(gain: number, seen: number, tensor: Tensor): number {
  return tensor.numel === 0 ? 0 : gain / Math.sqrt(seen)
}

export interface KaimingOptions extends InitOptions {
  /** Slope of the leaky ReLU that follows. */
  readonly a?: number
  readonly mode?: 'fanIn' | 'fanOut'
  readonly nonlinearity?: Nonlinearity
}

function kaimingStd(op: string, tensor: Tensor, options: KaimingOptions): number {
  checkOptions(op, options, { generator: true, a: true, mode: true, nonlinearity: true })
  const { a = 0, mode = 'fanIn', nonlinearity = 'leakyRelu' } = options
  checkFinite(op, 'a', a)
  if (mode !== 'fanIn' && mode !== 'fanOut')
    throw new ValueError(op, `mode is ${shown(mode)}, but must be 'fanIn' or 'fanOut'`)
  return perRoot(gainOf(op, nonlinearity, a), fans(op, tensor)[mode], tensor)
}

/** He et al., 2015: uniform in +-sqrt(3) gain / sqrt(fan). */
export function kaimingUniform_<T extends Tensor>(tensor: T, options: KaimingOptions = {}): T {
  const op = 'kaimingUniform_'
  const bound = Math.sqrt(3) * kaimingStd(op, tensor, options)
  const { generator } = options
  return fillFrom(op, tensor, { generator }, (placed) => rand(tensor.shape, { ...placed, low: -bound, high: bound }))
}

export function kaimingNormal_<T extends Tensor>(tensor: T, options: KaimingOptions = {}): T {
  const op = 'kaimingNormal_'
  const std = kaimingStd(op, tensor, options)
  const { generator } = options
  return fillFrom(op, tensor, { generator }, (placed) => randn(tensor.shape, { ...placed, std }))
}

export interface XavierOptions extends InitOptions {
  /** Default 1. */
  readonly gain?: number
}

function xavierStd(op: string, tensor: Tensor, options: XavierOptions): number {
  const { gain = 1 } = checkOptions(op, options, { generator: true, gain: true })
  const { fanIn, fanOut } = fans(op, tensor)
  if (checkFinite(op, 'gain', gain) < 0) throw new ValueError(op, `gain is ${gain}, but must not be negative`)
  return perRoot(gain * Math.SQRT2, fanIn + fanOut, tensor)
}

/** Glorot and Bengio, 2010. */
export function xavierUniform_<T extends Tensor>(tensor: T, options: XavierOptions = {}): T {
  const op = 'xavierUniform_'
  const bound = Math.sqrt(3) * xavierStd(op, tensor, options)
  const { generator } = options
  return fillFrom(op, tensor, { generator }, (placed) => rand(tensor.shape, { ...placed, low: -bound, high: bound }))
}

export function xavierNormal_<T extends Tensor>(tensor: T, options: XavierOptions = {}): T {
  const op = 'xavierNormal_'
  const std = xavierStd(op, tensor, options)
  const { generator } = options
  return fillFrom(op, tensor, { generator }, (placed) => randn(tensor.shape, { ...placed, std }))
}
