/** A layer of two inputs. */
import type { Tensor } from '../core/tensor.js'
import { bilinear } from '../ops/products.js'
import { uniform_ } from './init.js'
import { checkFlags, checkLayer, checkSizes, type LayerOptions, layerOptions, parameter } from './layer.js'
import { Module, type Parameter, settings } from './module.js'

/** y[o] = x1^T weight[o] x2 + bias[o] over the last dimensions: [.., in1], [.., in2] -> [.., out]. */
export class Bilinear extends Module {
  readonly in1Features: number
  readonly in2Features: number
  readonly outFeatures: number
  /** [out, in1, in2] */
  readonly weight: Parameter<[number, number, number]>
  /** [out], or null */
  readonly bias: Parameter<[number]> | null

  constructor(
    in1Features: number,
    in2Features: number,
    outFeatures: number,
    options: LayerOptions & { readonly bias?: boolean } = {},
  ) {
    super()
    const own = checkLayer('Bilinear', options, { ...layerOptions, bias: true })
    checkFlags('Bilinear', { bias: own.bias })
    checkSizes('Bilinear', { in1Features, in2Features, outFeatures })
    this.in1Features = in1Features
    this.in2Features = in2Features
    this.outFeatures = outFeatures
    this.weight = parameter('Bilinear', [outFeatures, in1Features, in2Features], own)
    this.bias = own.bias === false ? null : parameter('Bilinear', [outFeatures], own)
    const bound = 1 / Math.sqrt(in1Features)
    uniform_(this.weight, -bound, bound, { generator: own.generator })
    if (this.bias) uniform_(this.bias, -bound, bound, { generator: own.generator })
  }

  override extraRepr(): string {
    const { in1Features, in2Features, outFeatures, bias } = this
    return settings({ in1Features, in2Features, outFeatures, bias: bias !== null })
  }

  forward(x1: Tensor, x2: Tensor): Tensor {
    return bilinear(x1, x2, this.weight, this.bias)
  }
}
