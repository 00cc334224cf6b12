/** Convolution layers. */
import type { Convolves, Usual } from '../core/flow-types.js'
import { withinModule } from '../core/module-path.js'
import type { OptionNames } from '../core/options.js'
import type { Tensor } from '../core/tensor.js'
import { type Conv1dOptions, type Conv2dOptions, conv1d, conv2d, type Pair, type Single } from '../ops/conv.js'
import type { Padding } from '../ops/conv-options.js'
import { convolve } from '../ops/convolve.js'
import { ReLU } from './activation.js'
import { Adaptable, type Adaptation } from './adapter.js'
import {
  begin,
  type Conv1dLayerOptions,
  type Conv2dLayerOptions,
  checkChannels,
  names,
  type Plan,
  plan,
  surrounded,
} from './conv-plan.js'
import { fuses, inherits } from './fusion.js'
import { checkFlags, checkLayer, parameter } from './layer.js'
import { type Module, type Parameter, settings } from './module.js'

export type { PaddingMode } from '../ops/conv-framed.js'
export type { Conv1dLayerOptions, Conv2dLayerOptions } from './conv-plan.js'
export * from './conv-transpose.js'
export * from './conv-volume.js'

/** One-dimensional convolution over [N, In, L] (or [In, L]). */
export class Conv1d<
  const In extends number = number,
  const Out extends number = number,
  const K extends Single = Single,
  const S extends Single = Usual<K, 1, Single>,
  const P extends Padding<Single> = Usual<K, 0, Padding<Single>>,
  const D extends Single = Usual<K, 1, Single>,
> extends Adaptable {
  readonly inChannels: In
  readonly outChannels: Out
  readonly kernelSize: number
  /** [Out, In / groups, k] */
  readonly weight: Parameter
  readonly bias: Parameter<[Out]> | null
  /** As in Conv2d. */
  readonly #options: Required<Conv1dOptions>
  readonly #plan: Plan
  declare readonly signature?: Convolves<'conv1d', 1, In, Out, K, S, P, D>

  constructor(inChannels: In, outChannels: Out, kernelSize: K, options: Conv1dLayerOptions<S, P, D> = {}) {
    super()
    const own = checkLayer<Conv1dLayerOptions>('Conv1d', options, names as OptionNames<Conv1dLayerOptions>)
    checkFlags('Conv1d', { bias: own.bias })
    const { groups = 1, padding = 0 } = own
    checkChannels('Conv1d', inChannels, outChannels, groups)
    this.inChannels = inChannels
    this.outChannels = outChannels
    const { stride, dilation, ...planned } = plan('Conv1d', 1, kernelSize, own)
    this.#plan = planned
    this.kernelSize = planned.kernelSize[1]
    this.#options = { stride: stride[1], padding: planned.frame ? 0 : padding, dilation: dilation[1], groups }
    this.weight = parameter('Conv1d', [outChannels, inChannels / groups, this.kernelSize], own)
    this.bias = own.bias === false ? null : parameter('Conv1d', [outChannels], own)
    begin('Conv1d', this.weight, this.bias, own)
  }

  override extraRepr(): string {
    const { inChannels, outChannels, kernelSize, bias } = this
    return settings({ inChannels, outChannels, kernelSize, ...this.#plan.settings, bias: bias !== null })
  }

  override get adaptation(): Adaptation {
    const { weight, inChannels, outChannels, kernelSize } = this
    return { by: 'conv1d', weight, inChannels, outChannels, kernelSize, options: this.#options }
  }

  forward(x: Tensor): Tensor {
    return this.adapt(surrounded('Conv1d', x, 1, this.#plan.frame))
  }

  override product(x: Tensor): Tensor {
    return conv1d(x, this.weight, null, this.#options)
  }

  override dense(): Tensor {
    return this.weight
  }

  protected override plain(x: Tensor): Tensor {
    return conv1d(x, this.weight, this.bias, this.#options)
  }

  [fuses](next: Module): ((x: Tensor) => Tensor) | null {
    if (!inherits(this, Conv1d) || !inherits(next, ReLU) || this.adapters.adapted !== null) return null
    return (x) =>
      withinModule(this, () =>
        convolve(1, surrounded('Conv1d', x, 1, this.#plan.frame), this.weight, this.bias, this.#options, true),
      )
  }
}

/** Two-dimensional convolution over [N, In, H, W] (or [In, H, W]). */
export class Conv2d<
  const In extends number = number,
  const Out extends number = number,
  const K extends Pair = Pair,
  const S extends Pair = Usual<K, 1, Pair>,
  const P extends Padding<Pair> = Usual<K, 0, Padding<Pair>>,
  const D extends Pair = Usual<K, 1, Pair>,
> extends Adaptable {
  readonly inChannels: In
  readonly outChannels: Out
  readonly kernelSize: readonly [number, number]
  /** [Out, In / groups, kH, kW] */
  readonly weight: Parameter
  readonly bias: Parameter<[Out]> | null
  /** The options of the convolution that adapters see. Its input is already padded, unless the padding is zeros. */
  readonly #options: Required<Conv2dOptions>
  readonly #plan: Plan
  declare readonly signature?: Convolves<'conv2d', 2, In, Out, K, S, P, D>

  constructor(inChannels: In, outChannels: Out, kernelSize: K, options: Conv2dLayerOptions<S, P, D> = {}) {
    super()
    const own = checkLayer<Conv2dLayerOptions>('Conv2d', options, names)
    checkFlags('Conv2d', { bias: own.bias })
    const { groups = 1, padding = 0 } = own
    checkChannels('Conv2d', inChannels, outChannels, groups)
    this.inChannels = inChannels
    this.outChannels = outChannels
    const { stride, dilation, ...planned } = plan('Conv2d', 2, kernelSize, own)
    this.#plan = planned
    this.kernelSize = planned.kernelSize
    this.#options = { stride, padding: planned.frame ? 0 : padding, dilation, groups }
    this.weight = parameter('Conv2d', [outChannels, inChannels / groups, ...this.kernelSize], own)
    this.bias = own.bias === false ? null : parameter('Conv2d', [outChannels], own)
    begin('Conv2d', this.weight, this.bias, own)
  }

  override get adaptation(): Adaptation {
    const { weight, inChannels, outChannels, kernelSize } = this
    return { by: 'conv2d', weight, inChannels, outChannels, kernelSize, options: this.#options }
  }

  override extraRepr(): string {
    const { inChannels, outChannels, kernelSize, bias } = this
    return settings({ inChannels, outChannels, kernelSize, ...this.#plan.settings, bias: bias !== null })
  }

  forward(x: Tensor): Tensor {
    return this.adapt(surrounded('Conv2d', x, 2, this.#plan.frame))
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
    return (x) =>
      withinModule(this, () =>
        convolve(2, surrounded('Conv2d', x, 2, this.#plan.frame), this.weight, this.bias, this.#options, true),
      )
  }
}
