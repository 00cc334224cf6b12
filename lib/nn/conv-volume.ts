/** Convolution layers over volumes. */
import { checkTensor } from '../autograd/operator.js'
import { formatShape, ShapeError, shown, ValueError } from '../core/errors.js'
import type { Convolves, ConvolvesBack, Usual } from '../core/flow-types.js'
import { listOf, type OptionNames } from '../core/options.js'
import type { Tensor } from '../core/tensor.js'
import { type Conv3dOptions, type ConvTranspose3dOptions, conv3d, convTranspose3d, type Triple } from '../ops/conv.js'
import type { Padding } from '../ops/conv-options.js'
import { leastSize } from '../ops/conv-transpose.js'
import { type TransposedVolume, transposedVolumeOptions } from '../ops/conv-transpose-volume.js'
import { type ConvVolume, volumeOptions, zerosAround } from '../ops/conv-volume.js'
import { type Each3, triple } from '../ops/triple.js'
import { Adaptable, type Adaptation } from './adapter.js'
import { begin, checkChannels, checkMode, type Frame, type LayerOwn, names, surrounded } from './conv-plan.js'
import { checkFlags, checkLayer, type LayerOptions, layerOptions, parameter } from './layer.js'
import { Module, type Parameter, settings } from './module.js'

export interface Conv3dLayerOptions<
  S extends Triple = Triple,
  P extends Padding<Triple> = Padding<Triple>,
  D extends Triple = Triple,
> extends LayerOptions,
    Conv3dOptions<S, P, D>,
    LayerOwn {}

/** Three-dimensional convolution over [N, In, D, H, W] (or [In, D, H, W]). */
export class Conv3d<
  const In extends number = number,
  const Out extends number = number,
  const K extends Triple = Triple,
  const S extends Triple = Usual<K, 1, Triple>,
  const P extends Padding<Triple> = Usual<K, 0, Padding<Triple>>,
  const D extends Triple = Usual<K, 1, Triple>,
> extends Adaptable {
  readonly inChannels: In
  readonly outChannels: Out
  readonly kernelSize: Each3
  /** [Out, In / groups, kD, kH, kW] */
  readonly weight: Parameter
  readonly bias: Parameter<[Out]> | null
  readonly #options: ConvVolume
  readonly #paddingMode: LayerOwn['paddingMode']
  readonly #frame: Frame | null
  declare readonly signature?: Convolves<'conv3d', 3, In, Out, K, S, P, D>

  constructor(inChannels: In, outChannels: Out, kernelSize: K, options: Conv3dLayerOptions<S, P, D> = {}) {
    super()
    const layer = 'Conv3d'
    const own = checkLayer<Conv3dLayerOptions>(layer, options, names as OptionNames<Conv3dLayerOptions>)
    checkFlags(layer, { bias: own.bias })
    checkChannels(layer, inChannels, outChannels, own.groups ?? 1)
    this.inChannels = inChannels
    this.outChannels = outChannels
    this.kernelSize = triple(layer, 'kernelSize', kernelSize, 1)
    this.#options = volumeOptions(layer, own)
    const { paddingMode: mode = 'zeros' } = own
    checkMode(layer, mode)
    this.#paddingMode = mode === 'zeros' ? undefined : mode
    const { before, after } = zerosAround(this.#options, this.kernelSize)
    this.#frame = mode === 'zeros' || after.every((amount) => amount === 0) ? null : { mode, before, after }
    this.weight = parameter(layer, [outChannels, inChannels / this.#options.groups, ...this.kernelSize], own)
    this.bias = own.bias === false ? null : parameter(layer, [outChannels], own)
    begin(layer, this.weight, this.bias, own)
  }

  override extraRepr(): string {
    const { inChannels, outChannels, kernelSize, bias } = this
    const mode = this.#paddingMode === undefined ? {} : { paddingMode: this.#paddingMode }
    return settings({ inChannels, outChannels, kernelSize, ...this.#options, ...mode, bias: bias !== null })
  }

  /** The options of the convolution that adapters see. Its input is already padded, unless the padding is zeros. */
  get #inner(): ConvVolume {
    return this.#frame ? { ...this.#options, padding: [0, 0, 0] } : this.#options
  }

  override get adaptation(): Adaptation {
    const { weight, inChannels, outChannels, kernelSize } = this
    return { by: 'conv3d', weight, inChannels, outChannels, kernelSize, options: this.#inner }
  }

  forward(x: Tensor): Tensor {
    return this.adapt(surrounded('Conv3d', x, 3, this.#frame))
  }

  override product(x: Tensor): Tensor {
    return conv3d(x, this.weight, null, this.#inner)
  }

  override dense(): Tensor {
    return this.weight
  }

  protected override plain(x: Tensor): Tensor {
    return conv3d(x, this.weight, this.bias, this.#inner)
  }
}

export interface ConvTranspose3dLayerOptions<
  S extends Triple = Triple,
  P extends Triple = Triple,
  D extends Triple = Triple,
  O extends Triple = Triple,
> extends LayerOptions,
    ConvTranspose3dOptions<S, P, D, O> {
  readonly bias?: boolean
}

const transposedNames: OptionNames<ConvTranspose3dLayerOptions> = {
  ...layerOptions,
  bias: true,
  stride: true,
  padding: true,
  outputPadding: true,
  dilation: true,
  groups: true,
}

/** Transposed three-dimensional convolution over [N, In, D, H, W] (or [In, D, H, W]). */
export class ConvTranspose3d<
  const In extends number = number,
  const Out extends number = number,
  const K extends Triple = Triple,
  const S extends Triple = Usual<K, 1, Triple>,
  const P extends Triple = Usual<K, 0, Triple>,
  const D extends Triple = Usual<K, 1, Triple>,
  const O extends Triple = Usual<K, 0, Triple>,
> extends Module {
  readonly inChannels: In
  readonly outChannels: Out
  readonly kernelSize: Each3
  /** [In, Out / groups, kD, kH, kW] */
  readonly weight: Parameter
  readonly bias: Parameter<[Out]> | null
  readonly #options: TransposedVolume
  declare readonly signature?: ConvolvesBack<'convTranspose3d', 3, In, Out, K, S, P, D, O>

  constructor(inChannels: In, outChannels: Out, kernelSize: K, options: ConvTranspose3dLayerOptions<S, P, D, O> = {}) {
    super()
    const layer = 'ConvTranspose3d'
    const own = checkLayer<ConvTranspose3dLayerOptions>(layer, options, transposedNames)
    checkFlags(layer, { bias: own.bias })
    checkChannels(layer, inChannels, outChannels, own.groups ?? 1)
    this.inChannels = inChannels
    this.outChannels = outChannels
    this.kernelSize = triple(layer, 'kernelSize', kernelSize, 1)
    this.#options = transposedVolumeOptions(layer, own)
    this.weight = parameter(layer, [inChannels, outChannels / this.#options.groups, ...this.kernelSize], own)
    this.bias = own.bias === false ? null : parameter(layer, [outChannels], own)
    begin(layer, this.weight, this.bias, own)
  }

  override extraRepr(): string {
    const { inChannels, outChannels, kernelSize, bias } = this
    return settings({ inChannels, outChannels, kernelSize, ...this.#options, bias: bias !== null })
  }

  /**
   * `outputSize` replaces outputPadding: it chooses among the sizes that strides leave open, as [D', H', W'] or all
   * sizes of the result.
   */
  forward(x: Tensor, outputSize: readonly number[] | null = null): Tensor {
    const { weight, bias } = this
    const options = outputSize ? { ...this.#options, outputPadding: this.#paddingFor(x, outputSize) } : this.#options
    return convTranspose3d(x, weight, bias, options)
  }

  /** The outputPadding that gives the result these sizes. Throws ShapeError if there is none. */
  #paddingFor(x: Tensor, wanted: readonly number[]): Each3 {
    const layer = 'ConvTranspose3d'
    checkTensor(layer, 'x', x)
    const outputSize = listOf(layer, 'the sizes of outputSize', wanted, 'an array of sizes')
    if (outputSize.length !== 3 && outputSize.length !== x.ndim)
      throw new ValueError(
        layer,
        `outputSize is ${shown(outputSize)}, but must hold depth, height and width, or all sizes of the result`,
      )
    const { stride, padding, dilation } = this.#options
    const sizes = outputSize.slice(-3)
    const along = (d: 0 | 1 | 2): number => {
      const [size, length] = [x.sizes[x.ndim - 3 + d] ?? 0, sizes[d] as number]
      const least = leastSize(size, this.kernelSize[d], stride[d], padding[d], dilation[d])
      if (!Number.isInteger(length) || length < least || length >= least + stride[d])
        throw new ShapeError(
          layer,
          `outputSize is ${shown(outputSize)}, but x ${formatShape(x.sizes)} can give sizes from ${least} to ` +
            `${least + stride[d] - 1} in dimension ${x.ndim - 3 + d}`,
          [x.sizes],
        )
      return length - least
    }
    return [along(0), along(1), along(2)]
  }
}
