import { isBlocks } from '../core/dtype.js'
import type { Tensor } from '../core/tensor.js'
import { Adaptable, type Adaptation } from '../nn/adapter.js'
import { normal_ } from '../nn/init.js'
import { checkLayer, checkSizes, type LayerOptions, layerOptions, numbersOf, parameter } from '../nn/layer.js'
import { type Parameter, settings } from '../nn/module.js'
import { linear } from '../ops/matmul.js'
import { transpose } from '../ops/shape/index.js'

/**
 * GPT-2's linear layer, y = x W + b, whose weight is stored as [in, out]: [.., inFeatures] -> [.., outFeatures]. The
 * name is transformers'. Adapters see an ordinary linear layer.
 */
export class Conv1D extends Adaptable {
  readonly inFeatures: number
  readonly outFeatures: number
  /**
   * [inFeatures, outFeatures]. In a block dtype it is [outFeatures, inFeatures], as in bitsandbytes and llama.cpp,
   * because blocks along the summed dimension are read twice as fast.
   */
  weight: Parameter
  /** [outFeatures] */
  readonly bias: Parameter

  constructor(inFeatures: number, outFeatures: number, options: LayerOptions = {}) {
    super()
    checkLayer('Conv1D', options, layerOptions)
    checkSizes('Conv1D', { inFeatures, outFeatures })
    this.inFeatures = inFeatures
    this.outFeatures = outFeatures
    this.weight = normal_(parameter('Conv1D', [inFeatures, outFeatures], options), 0, 0.02, {
      generator: options.generator,
    })
    this.bias = parameter('Conv1D', [outFeatures], options)
  }

  override get adaptation(): Adaptation {
    const { weight, inFeatures, outFeatures } = this
    return { by: 'linear', weight, inFeatures, outFeatures }
  }

  override extraRepr(): string {
    return settings({ inFeatures: this.inFeatures, outFeatures: this.outFeatures })
  }

  forward(x: Tensor): Tensor {
    return this.adapt(x)
  }

  override product(x: Tensor): Tensor {
    return linear(x, this.#rows())
  }

  override dense(): Tensor {
    return numbersOf(this.#rows())
  }

  protected override plain(x: Tensor): Tensor {
    return linear(x, this.#rows(), this.bias)
  }

  /** The weight as [outFeatures, inFeatures], in its stored form. */
  #rows(): Tensor {
    return isBlocks(this.weight.dtype) ? this.weight : transpose(this.weight, 0, 1)
  }
}
