/** Convolution layers. */
import { ValueError } from '../core/errors.js'
import { withinModule } from '../core/module-path.js'
import type { Tensor } from '../core/tensor.js'
import { type Conv2dOptions, conv2d, type Pair } from '../ops/conv.js'
import { convolve } from '../ops/convolve.js'
import { ReLU } from './activation.js'
import { Adaptable, type Adaptation } from './adapter.js'
import { fuses, inherits } from './fusion.js'
import { fans, kaimingUniform_, uniform_ } from './init.js'
import { checkFlags, checkLayer, checkPair, checkSizes, type LayerOptions, layerOptions, parameter } from './layer.js'
import { type Module, type Parameter, settings } from './module.js'

/** Two-dimensional convolution over [N, In, H, W] (or [In, H, W]). */
export class Conv2d<const In extends number = number, const Out extends number = number> extends Adaptable {
  readonly inChannels: In
  readonly outChannels: Out
  readonly kernelSize: readonly [number, number]
  /** [Out, In / groups, kH, kW] */
  readonly weight: Parameter
  readonly bias: Parameter<[Out]> | null
  readonly #options: Required<Conv2dOptions>
  declare readonly signature?: { readonly takes: { readonly channels: In }; readonly gives: { readonly channels: Out } }

  constructor(
    inChannels: In,
    outChannels: Out,
    kernelSize: Pair,
    options: LayerOptions & Conv2dOptions & { readonly bias?: boolean } = {},
  ) {
    super()
    checkLayer('Conv2d', options, {
      ...layerOptions,
      bias: true,
      stride: true,
      padding: true,
      dilation: true,
      groups: true,
    })
    const { stride = 1, padding = 0, dilation = 1, groups = 1 } = options
    checkFlags('Conv2d', { bias: options.bias })
    checkSizes('Conv2d', { inChannels, outChannels, groups })
    if (inChannels % groups !== 0 || outChannels % groups !== 0)
      throw new ValueError(
        'Conv2d',
        `${inChannels} input and ${outChannels} output channels do not both divide into ${groups} groups`,
      )
    this.inChannels = inChannels
    this.outChannels = outChannels
    this.kernelSize = checkPair('Conv2d', 'kernelSize', kernelSize, 1)
    this.#options = {
      stride: checkPair('Conv2d', 'stride', stride, 1),
      padding: checkPair('Conv2d', 'padding', padding, 0),
      dilation: checkPair('Conv2d', 'dilation', dilation, 1),
      groups,
    }
    this.weight = parameter('Conv2d', [outChannels, inChannels / groups, ...this.kernelSize], options)
    this.bias = options.bias === false ? null : parameter('Conv2d', [outChannels], options)
    kaimingUniform_(this.weight, { a: Math.sqrt(5), generator: options.generator })
    const bound = 1 / Math.sqrt(fans('Conv2d', this.weight).fanIn)
    if (this.bias) uniform_(this.bias, -bound, bound, { generator: options.generator })
  }

  override get adaptation(): Adaptation {
    const { weight, inChannels, outChannels, kernelSize } = this
    return { by: 'conv2d', weight, inChannels, outChannels, kernelSize, options: this.#options }
  }

  override extraRepr(): string {
    const { inChannels, outChannels, kernelSize, bias } = this
    return settings({ inChannels, outChannels, kernelSize, ...this.#options, bias: bias !== null })
  }

  forward(x: Tensor): Tensor {
    return this.adapt(x)
  }

  override product(x: Tensor): Tensor {
    return conv2d(x, this.weight, null, this.#options)
  }

  override dense(): Tensor {
    return this.weight
  }

  protected override plain(x: Tensor): Tensor {
    return conv2d(x, this.weight, this.bias, this.#options)
  }

  [fuses](next: Module): ((x: Tensor) => Tensor) | null {
    if (!inherits(this, Conv2d) || !inherits(next, ReLU) || this.adapters.adapted !== null) return null
    return (x) => withinModule(this, () => convolve(x, this.weight, this.bias, this.#options, true))
  }
}
