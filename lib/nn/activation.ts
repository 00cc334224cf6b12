/** Activation functions and other layers without parameters. */
import { checkTensor } from '../autograd/operator.js'
import type { DType } from '../core/dtype.js'
import { formatShape, ShapeError, shown, ValueError } from '../core/errors.js'
import { ownOptions } from '../core/options.js'
import type { Shape } from '../core/shape.js'
import type { Tensor } from '../core/tensor.js'
import * as elementwise from '../ops/elementwise/index.js'
import { flatten } from '../ops/shape/index.js'
import { logSoftmax, softmax, softmin } from '../ops/softmax.js'
import { byNumbers, checkDim, checkNumber } from './layer.js'
import { Module, settings } from './module.js'
import { Pointwise } from './pointwise.js'

/** max(x, 0), element by element; see `functional.relu`. */
export class ReLU extends Pointwise {
  override forward<S extends Shape, D extends DType>(x: Tensor<S, D>): Tensor<S, D> {
    return elementwise.relu(x)
  }
}

/** 1 / (1 + exp(-x)), element by element. */
export class Sigmoid extends Pointwise {
  override forward<S extends Shape, D extends DType>(x: Tensor<S, D>): Tensor<S, D> {
    return elementwise.sigmoid(x)
  }
}

/** The hyperbolic tangent of each element. */
export class Tanh extends Pointwise {
  override forward<S extends Shape, D extends DType>(x: Tensor<S, D>): Tensor<S, D> {
    return elementwise.tanh(x)
  }
}

/** x * sigmoid(x), element by element. */
export class SiLU extends Pointwise {
  override forward<S extends Shape, D extends DType>(x: Tensor<S, D>): Tensor<S, D> {
    return elementwise.silu(x)
  }
}

/** x * tanh(softplus(x)), element by element. */
export class Mish extends Pointwise {
  override forward<S extends Shape, D extends DType>(x: Tensor<S, D>): Tensor<S, D> {
    return elementwise.mish(x)
  }
}

/** x * clamp(x + 3, 0, 6) / 6, element by element. */
export class Hardswish extends Pointwise {
  override forward<S extends Shape, D extends DType>(x: Tensor<S, D>): Tensor<S, D> {
    return elementwise.hardswish(x)
  }
}

/**
 * The Gaussian error linear unit (Hendrycks and Gimpel, 2016) of each element; `approximate: 'tanh'` is GPT-2's
 * approximation. Throws ValueError for another `approximate`.
 */
export class GELU extends Pointwise {
  readonly #options: elementwise.GeluOptions
  constructor(options: elementwise.GeluOptions = {}) {
    super()
    this.#options = ownOptions('GELU', options, { approximate: true })
    const { approximate } = this.#options
    if (approximate !== undefined && approximate !== 'none' && approximate !== 'tanh')
      throw new ValueError('GELU', `approximate is ${shown(approximate)}, but must be 'none' or 'tanh'`)
  }
  override extraRepr(): string {
    return settings({ ...this.#options })
  }
  override forward<S extends Shape, D extends DType>(x: Tensor<S, D>): Tensor<S, D> {
    return elementwise.gelu(x, this.#options)
  }
}

/**
 * log(1 + exp(beta x)) / beta, or x itself if beta x exceeds `threshold`. The defaults are 1 and 20. Both may be given as
 * numbers, as in PyTorch. Throws ValueError if beta is 0, or if a number is not finite.
 */
export class Softplus extends Pointwise {
  readonly #options: { beta?: number; threshold?: number }
  constructor(options: { beta?: number; threshold?: number } | number = {}, threshold?: number) {
    super()
    const given = byNumbers('Softplus', ['beta', 'threshold'], options, threshold)
    this.#options = ownOptions('Softplus', given, { beta: true, threshold: true })
    const { beta = 1, threshold: limit = 20 } = this.#options
    checkNumber('Softplus', 'beta', beta)
    checkNumber('Softplus', 'threshold', limit)
    if (beta === 0) throw new ValueError('Softplus', 'beta is 0, but x is divided by it')
  }
  override extraRepr(): string {
    return settings({ ...this.#options })
  }
  override forward<S extends Shape, D extends DType>(x: Tensor<S, D>): Tensor<S, D> {
    return elementwise.softplus(x, this.#options)
  }
}

/** x if it is positive, else alpha (exp(x) - 1). The default alpha is 1; `new ELU(0.5)` sets it too, as in PyTorch. */
export class ELU extends Pointwise {
  readonly #options: { alpha?: number }
  constructor(options: { alpha?: number } | number = {}) {
    super()
    this.#options = ownOptions('ELU', byNumbers('ELU', ['alpha'], options), { alpha: true })
    const { alpha = 1 } = this.#options
    checkNumber('ELU', 'alpha', alpha)
  }
  override extraRepr(): string {
    return settings({ ...this.#options })
  }
  override forward<S extends Shape, D extends DType>(x: Tensor<S, D>): Tensor<S, D> {
    return elementwise.elu(x, this.#options)
  }
}

/** x if it is not negative, else negativeSlope x. The slope is 0.01, or the number given: `new LeakyReLU(0.2)`. */
export class LeakyReLU extends Pointwise {
  readonly #options: { negativeSlope?: number }
  constructor(options: { negativeSlope?: number } | number = {}) {
    super()
    this.#options = ownOptions('LeakyReLU', byNumbers('LeakyReLU', ['negativeSlope'], options), { negativeSlope: true })
    const { negativeSlope = 0.01 } = this.#options
    checkNumber('LeakyReLU', 'negativeSlope', negativeSlope)
  }
  override extraRepr(): string {
    return settings({ ...this.#options })
  }
  override forward<S extends Shape, D extends DType>(x: Tensor<S, D>): Tensor<S, D> {
    return elementwise.leakyRelu(x, this.#options)
  }
}

/** Softmax along `dim`: results have the shape of x, and add up to 1 along `dim`. */
export class Softmax extends Pointwise {
  readonly dim: number
  constructor(dim: number) {
    super()
    checkDim('Softmax', 'dim', dim)
    this.dim = dim
  }
  override extraRepr(): string {
    return settings({ dim: this.dim })
  }
  override forward<S extends Shape, D extends DType>(x: Tensor<S, D>): Tensor<S, D> {
    return softmax(x, this.dim)
  }
}

/** The logarithm of softmax along `dim`, accurate where softmax underflows. Results have the shape of x. */
export class LogSoftmax extends Pointwise {
  readonly dim: number
  constructor(dim: number) {
    super()
    checkDim('LogSoftmax', 'dim', dim)
    this.dim = dim
  }
  override extraRepr(): string {
    return settings({ dim: this.dim })
  }
  override forward<S extends Shape, D extends DType>(x: Tensor<S, D>): Tensor<S, D> {
    return logSoftmax(x, this.dim)
  }
}

/** Softmax of -x. */
export class Softmin extends Pointwise {
  readonly dim: number
  constructor(dim: number) {
    super()
    checkDim('Softmin', 'dim', dim)
    this.dim = dim
  }
  override extraRepr(): string {
    return settings({ dim: this.dim })
  }
  override forward<S extends Shape, D extends DType>(x: Tensor<S, D>): Tensor<S, D> {
    return softmin(x, this.dim)
  }
}

/** Softmax over the channels at each point of [..., channels, height, width]. */
export class Softmax2d extends Pointwise {
  override forward<S extends Shape, D extends DType>(x: Tensor<S, D>): Tensor<S, D>
  override forward(x: Tensor): Tensor {
    checkTensor('Softmax2d', 'x', x)
    if (x.ndim !== 3 && x.ndim !== 4)
      throw new ShapeError('Softmax2d', `needs 3 or 4 dimensions, but x is ${formatShape(x.sizes)}`, [x.sizes])
    return softmax(x, -3)
  }
}

/** Returns its input unchanged. */
export class Identity extends Pointwise {
  override forward<S extends Shape, D extends DType>(x: Tensor<S, D>): Tensor<S, D> {
    return x
  }
}

type Ends = readonly [startDim?: number, endDim?: number]
type StartOf<A extends Ends> = A extends readonly []
  ? 1
  : A extends readonly [infer Start extends number, ...Ends]
    ? Start
    : number
type EndOf<A extends Ends> = A extends readonly [] | readonly [number]
  ? -1
  : A extends readonly [number, infer End extends number]
    ? End
    : number

/** Joins the dimensions from `startDim` to `endDim` into one; by default all but the first. */
export class Flatten<const A extends Ends = Ends> extends Module {
  readonly startDim: number
  readonly endDim: number
  declare readonly signature?: {
    readonly op: 'flatten'
    readonly takes: 'anything'
    readonly gives: { readonly kind: 'flat'; readonly start: StartOf<A>; readonly end: EndOf<A> }
  }
  // The arguments are a list, so that the type can tell left-out arguments, which are the defaults, from unknown ones.
  constructor(...ends: A) {
    super()
    const [startDim = 1, endDim = -1] = ends
    checkDim('Flatten', 'startDim', startDim)
    checkDim('Flatten', 'endDim', endDim)
    this.startDim = startDim
    this.endDim = endDim
  }
  override extraRepr(): string {
    const { startDim, endDim } = this
    return settings({ startDim, endDim })
  }
  forward(x: Tensor): Tensor {
    return flatten(x, this.startDim, this.endDim)
  }
}
