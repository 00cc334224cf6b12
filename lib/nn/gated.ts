/** Activations whose slope is learned, random, or another part of the input. */
import { noGrad } from '../autograd/mode.js'
import type { DType } from '../core/dtype.js'
import { ValueError } from '../core/errors.js'
import { checkGenerator, type Generator } from '../core/generator.js'
import { checkOptions } from '../core/options.js'
import type { Shape } from '../core/shape.js'
import type { Tensor } from '../core/tensor.js'
import { halves } from '../ops/elementwise/gated.js'
import * as elementwise from '../ops/elementwise/index.js'
import {
  byNumbers,
  checkDim,
  checkLayer,
  checkNumber,
  checkSizes,
  type LayerOptions,
  layerOptions,
  parameter,
} from './layer.js'
import { Module, type Parameter, settings } from './module.js'
import { Pointwise } from './pointwise.js'

/**
 * x where positive, else x times a slope. The slope is random for each element in training, and the mean of its limits
 * in evaluation. The limits may also be given as numbers, as in PyTorch.
 */
export class RReLU extends Pointwise {
  static override readonly hasModes = true
  readonly lower: number
  readonly upper: number
  /** The generator of the slopes; null for this thread's default one. */
  readonly generator: Generator | null
  constructor(
    options: { readonly lower?: number; readonly upper?: number; readonly generator?: Generator } | number = {},
    upper?: number,
  ) {
    super()
    const given = byNumbers('RReLU', ['lower', 'upper'], options, upper)
    const {
      lower: low = 1 / 8,
      upper: high = 1 / 3,
      generator,
    } = checkOptions('RReLU', given, {
      lower: true,
      upper: true,
      generator: true,
    })
    checkGenerator('RReLU', generator)
    this.lower = checkNumber('RReLU', 'lower', low)
    this.upper = checkNumber('RReLU', 'upper', high)
    if (low > high) throw new ValueError('RReLU', `lower is ${low}, but must be at most upper, ${high}`)
    this.generator = generator ?? null
  }
  override extraRepr(): string {
    return settings({ lower: this.lower, upper: this.upper })
  }
  override forward<S extends Shape, D extends DType>(x: Tensor<S, D>): Tensor<S, D> {
    const { lower, upper, training, generator } = this
    return elementwise.rrelu(x, { lower, upper, training, generator: generator ?? undefined })
  }
}

export interface PReLUOptions extends LayerOptions {
  /** The number of slopes: 1 (default), or one for each channel. */
  readonly numParameters?: number
  /** The initial slope. Default 0.25. */
  readonly init?: number
}

/**
 * x where positive, else x times a learned slope. The number of slopes and the first slope may also be given as numbers,
 * as in PyTorch.
 */
export class PReLU extends Pointwise {
  readonly weight: Parameter<[number]>
  constructor(options: PReLUOptions | number = {}, init?: number) {
    super()
    const given = byNumbers('PReLU', ['numParameters', 'init'], options, init)
    const own = checkLayer('PReLU', given, { ...layerOptions, numParameters: true, init: true })
    const { numParameters = 1, init: slope = 0.25 } = own
    checkSizes('PReLU', { numParameters })
    checkNumber('PReLU', 'init', slope)
    this.weight = parameter('PReLU', [numParameters], own)
    noGrad(() => this.weight.fill_(slope))
  }
  override extraRepr(): string {
    return settings({ numParameters: this.weight.numel })
  }
  override forward<S extends Shape, D extends DType>(x: Tensor<S, D>): Tensor<S, D> {
    return elementwise.prelu(x, this.weight)
  }
}

/** The first half of x along a dimension, times the sigmoid of the second. */
export class GLU extends Module {
  readonly dim: number
  constructor(dim = -1) {
    super()
    checkDim('GLU', 'dim', dim)
    this.dim = dim
  }
  override extraRepr(): string {
    return settings({ dim: this.dim })
  }
  forward<D extends DType>(x: Tensor<Shape, D>): Tensor<Shape, D> {
    return elementwise.glu(x, this.dim)
  }
}

/** silu(first half) * second half along a dimension: the gated unit of Llama's feed-forward network. */
export class SwiGLU extends Module {
  readonly dim: number
  constructor(dim = -1) {
    super()
    checkDim('SwiGLU', 'dim', dim)
    this.dim = dim
  }
  override extraRepr(): string {
    return settings({ dim: this.dim })
  }
  forward<D extends DType>(x: Tensor<Shape, D>): Tensor<Shape, D>
  forward(x: Tensor): Tensor {
    const [gate, up] = halves('SwiGLU', x, this.dim)
    return elementwise.swiglu(gate, up)
  }
}
