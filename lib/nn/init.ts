/** Initialisers, in place, with PyTorch's names and defaults. All draw from the given or the default generator. */
import { noGrad } from '../autograd/mode.js'
import { formatShape, ShapeError, ValueError } from '../core/errors.js'
import type { Generator } from '../core/generator.js'
import { checkOptions } from '../core/options.js'
import { scope } from '../core/scope.js'
import { countOf } from '../core/shape.js'
import type { Tensor } from '../core/tensor.js'
import { checkScalar } from '../ops/elementwise/common.js'
import { copyInto, fill_ } from '../ops/inplace.js'
import { rand, randn } from '../ops/random.js'

export interface InitOptions {
  readonly generator?: Generator | undefined
}

function fillFrom<T extends Tensor>(tensor: T, draw: () => Tensor, op: string): T {
  // What was drawn is as large as the parameter: freed at once, not when a collection comes to it.
  noGrad(() => scope(() => copyInto(tensor, draw(), op)))
  return tensor
}

function placed(op: string, tensor: Tensor, options: InitOptions) {
  checkOptions(op, options, { generator: true })
  return { dtype: tensor.dtype, device: tensor.device, generator: options.generator }
}

/** Uniform in [low, high). */
export function uniform_<T extends Tensor>(tensor: T, low = 0, high = 1, options: InitOptions = {}): T {
  return fillFrom(tensor, () => rand(tensor.shape, { ...placed('uniform_', tensor, options), low, high }), 'uniform_')
}

/** Normal with mean and standard deviation. */
export function normal_<T extends Tensor>(tensor: T, mean = 0, std = 1, options: InitOptions = {}): T {
  return fillFrom(tensor, () => randn(tensor.shape, { ...placed('normal_', tensor, options), mean, std }), 'normal_')
}

export function constant_<T extends Tensor>(tensor: T, value: number): T {
  return noGrad(() => fill_(tensor, value)) as T
}

export const zeros_ = <T extends Tensor>(tensor: T): T => constant_(tensor, 0)
export const ones_ = <T extends Tensor>(tensor: T): T => constant_(tensor, 1)

/** How many inputs and outputs one unit of a weight [out, in, ...] sees. */
export function fans(op: string, tensor: Tensor): { readonly fanIn: number; readonly fanOut: number } {
  if (tensor.ndim < 2)
    throw new ShapeError(op, `needs a weight of at least two dimensions, but got ${formatShape(tensor.shape)}`, [
      tensor.shape,
    ])
  const field = countOf(tensor.shape.slice(2))
  return { fanIn: (tensor.shape[1] as number) * field, fanOut: (tensor.shape[0] as number) * field }
}

export type Nonlinearity = 'linear' | 'relu' | 'tanh' | 'sigmoid' | 'leakyRelu'

/** The factor by which a nonlinearity's initial weights are widened; `param` is leakyRelu's slope. */
export function calculateGain(nonlinearity: Nonlinearity, param = 0.01): number {
  const gains = { linear: 1, sigmoid: 1, tanh: 5 / 3, relu: Math.SQRT2, leakyRelu: Math.sqrt(2 / (1 + param ** 2)) }
  const gain = gains[nonlinearity]
  if (gain === undefined)
    throw new ValueError(
      'calculateGain',
      `unknown nonlinearity '${String(nonlinearity)}'; known are ${Object.keys(gains).join(', ')}`,
    )
  return gain
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
  return calculateGain(nonlinearity, a) / Math.sqrt(fans(op, tensor)[mode])
}

/** He et al., 2015: uniform in +-sqrt(3) gain / sqrt(fan). */
export function kaimingUniform_<T extends Tensor>(tensor: T, options: KaimingOptions = {}): T {
  const bound = Math.sqrt(3) * kaimingStd('kaimingUniform_', tensor, options)
  return uniform_(tensor, -bound, bound, { generator: options.generator })
}

export function kaimingNormal_<T extends Tensor>(tensor: T, options: KaimingOptions = {}): T {
  const std = kaimingStd('kaimingNormal_', tensor, options)
  return normal_(tensor, 0, std, { generator: options.generator })
}

export interface XavierOptions extends InitOptions {
  /** Default 1. */
  readonly gain?: number
}

function xavierStd(op: string, tensor: Tensor, options: XavierOptions): number {
  const { gain = 1 } = checkOptions(op, options, { generator: true, gain: true })
  const { fanIn, fanOut } = fans(op, tensor)
  return checkScalar(op, 'gain', gain) * Math.sqrt(2 / (fanIn + fanOut))
}

/** Glorot and Bengio, 2010. */
export function xavierUniform_<T extends Tensor>(tensor: T, options: XavierOptions = {}): T {
  const bound = Math.sqrt(3) * xavierStd('xavierUniform_', tensor, options)
  return uniform_(tensor, -bound, bound, { generator: options.generator })
}

export function xavierNormal_<T extends Tensor>(tensor: T, options: XavierOptions = {}): T {
  const std = xavierStd('xavierNormal_', tensor, options)
  return normal_(tensor, 0, std, { generator: options.generator })
}
