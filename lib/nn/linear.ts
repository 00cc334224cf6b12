/** Fully connected layers. */
import type { DType } from '../core/dtype.js'
import type { Shape } from '../core/shape.js'
import type { LastIs, WithLast } from '../core/shape-types.js'
import type { Tensor } from '../core/tensor.js'
import { linear } from '../ops/matmul.js'
import { Adaptable, type Adaptation } from './adapter.js'
import { kaimingUniform_, uniform_ } from './init.js'
import { checkFlags, checkLayer, checkSizes, type LayerOptions, layerOptions, numbersOf, parameter } from './layer.js'
import { type Parameter, settings } from './module.js'

/** y = x W^T + b over the last dimension: [.., In] -> [.., Out]. */
export class Linear<const In extends number = number, const Out extends number = number> extends Adaptable {
  readonly inFeatures: In
  readonly outFeatures: Out
  /** [Out, In] */
  weight: Parameter<[Out, In]>
  /** [Out], or null */
  readonly bias: Parameter<[Out]> | null
  declare readonly signature?: {
    readonly op: 'linear'
    readonly takes: { readonly features: In }
    readonly gives: { readonly kind: 'features'; readonly features: Out }
  }

  constructor(inFeatures: In, outFeatures: Out, options: LayerOptions & { readonly bias?: boolean } = {}) {
    super()
    checkLayer('Linear', options, { ...layerOptions, bias: true })
    checkFlags('Linear', { bias: options.bias })
    checkSizes('Linear', { inFeatures, outFeatures })
    this.inFeatures = inFeatures
    this.outFeatures = outFeatures
    this.weight = parameter('Linear', [outFeatures, inFeatures], options)
    this.bias = options.bias === false ? null : parameter('Linear', [outFeatures], options)
    kaimingUniform_(this.weight, { a: Math.sqrt(5), generator: options.generator })
    const bound = inFeatures > 0 ? 1 / Math.sqrt(inFeatures) : 0
    if (this.bias) uniform_(this.bias, -bound, bound, { generator: options.generator })
  }

  override get adaptation(): Adaptation {
    const { weight, inFeatures, outFeatures } = this
    return { by: 'linear', weight, inFeatures, outFeatures }
  }

  override extraRepr(): string {
    const { inFeatures, outFeatures, bias } = this
    return settings({ inFeatures, outFeatures, bias: bias !== null })
  }

  forward<S extends Shape, D extends DType>(x: Tensor<S, D> & LastIs<S, In, 'linear'>): Tensor<WithLast<S, Out>, D> {
    return this.adapt(x) as Tensor as Tensor<WithLast<S, Out>, D>
  }

  override product(x: Tensor): Tensor {
    return linear<Shape, Shape, DType>(x, this.weight)
  }

  override dense(): Tensor {
    return numbersOf(this.weight)
  }

  protected override plain(x: Tensor): Tensor {
    return linear<Shape, Shape, DType>(x, this.weight, this.bias)
  }
}
