/** Layers that drop elements or channels in training, and do nothing in evaluation. */
import type { DType } from '../core/dtype.js'
import { checkGenerator, type Generator } from '../core/generator.js'
import { checkOptions } from '../core/options.js'
import type { Shape } from '../core/shape.js'
import type { Tensor } from '../core/tensor.js'
import * as ops from '../ops/dropout.js'
import { checkDropout } from './layer.js'
import { settings } from './module.js'
import { Pointwise } from './pointwise.js'

/** A layer that drops with probability p. Throws ValueError unless p is from 0 to 1. */
abstract class Dropping extends Pointwise {
  static override readonly hasModes = true
  readonly p: number
  /** The generator of the masks; null for this thread's default one. */
  readonly generator: Generator | null
  constructor(p = 0.5, options: { readonly generator?: Generator } = {}) {
    super()
    const op = this.constructor.name
    checkOptions(op, options, { generator: true })
    checkGenerator(op, options.generator)
    this.p = checkDropout(op, 'p', p)
    this.generator = options.generator ?? null
  }
  override extraRepr(): string {
    return settings({ p: this.p })
  }
  protected get options(): ops.DropoutOptions {
    return { training: this.training, generator: this.generator ?? undefined }
  }
}

/** Zeroes elements with probability p in training, and does nothing in evaluation. */
export class Dropout extends Dropping {
  override forward<S extends Shape, D extends DType>(x: Tensor<S, D>): Tensor<S, D> {
    return ops.dropout(x, this.p, this.options)
  }
}

/** Zeroes channels of [batch, channels, length] with probability p in training; see `functional.dropout1d`. */
export class Dropout1d extends Dropping {
  override forward<S extends Shape, D extends DType>(x: Tensor<S, D>): Tensor<S, D> {
    return ops.dropout1d(x, this.p, this.options)
  }
}

/** Zeroes channels of [batch, channels, height, width] with probability p in training; see `functional.dropout2d`. */
export class Dropout2d extends Dropping {
  override forward<S extends Shape, D extends DType>(x: Tensor<S, D>): Tensor<S, D> {
    return ops.dropout2d(x, this.p, this.options)
  }
}

/**
 * Zeroes channels of [batch, channels, depth, height, width] with probability p in training; see
 * `functional.dropout3d`.
 */
export class Dropout3d extends Dropping {
  override forward<S extends Shape, D extends DType>(x: Tensor<S, D>): Tensor<S, D> {
    return ops.dropout3d(x, this.p, this.options)
  }
}

/** Sets elements with probability p to SELU's limit far below 0 in training; see `functional.alphaDropout`. */
export class AlphaDropout extends Dropping {
  override forward<S extends Shape, D extends DType>(x: Tensor<S, D>): Tensor<S, D> {
    return ops.alphaDropout(x, this.p, this.options)
  }
}

/** `AlphaDropout` of whole channels of [batch, channels, ...]; see `functional.featureAlphaDropout`. */
export class FeatureAlphaDropout extends Dropping {
  override forward<S extends Shape, D extends DType>(x: Tensor<S, D>): Tensor<S, D> {
    return ops.featureAlphaDropout(x, this.p, this.options)
  }
}
