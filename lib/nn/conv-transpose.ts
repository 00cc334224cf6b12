/** Transposed convolution layers. */
import { checkTensor } from '../autograd/operator.js'
import { formatShape, ShapeError, shown, ValueError } from '../core/errors.js'
import type { ConvolvesBack, Usual } from '../core/flow-types.js'
import { listOf, type OptionNames } from '../core/options.js'
import type { Tensor } from '../core/tensor.js'
import {
  type ConvTranspose1dOptions,
  type ConvTranspose2dOptions,
  convTranspose1d,
  convTranspose2d,
  type Pair,
  type Single,
} from '../ops/conv.js'
import { type Dims, shownAs, spatial } from '../ops/conv-options.js'
import { leastSize, type Transposed, transposedOptions } from '../ops/conv-transpose.js'
import type { Both } from '../ops/pair.js'
import { begin, checkChannels } from './conv-plan.js'
import { checkFlags, checkLayer, type LayerOptions, layerOptions, parameter } from './layer.js'
import { Module, type Parameter, settings } from './module.js'

export interface ConvTranspose1dLayerOptions<
  S extends Single = Single,
  P extends Single = Single,
  D extends Single = Single,
  O extends Single = Single,
> extends LayerOptions,
    ConvTranspose1dOptions<S, P, D, O> {
  readonly bias?: boolean
}
export interface ConvTranspose2dLayerOptions<
  S extends Pair = Pair,
  P extends Pair = Pair,
  D extends Pair = Pair,
  O extends Pair = Pair,
> extends LayerOptions,
    ConvTranspose2dOptions<S, P, D, O> {
  readonly bias?: boolean
}

const names: OptionNames<ConvTranspose2dLayerOptions> = {
  ...layerOptions,
  bias: true,
  stride: true,
  padding: true,
  outputPadding: true,
  dilation: true,
  groups: true,
}

/** The options for `extraRepr`: numbers for one dimension, pairs for two. */
function told({ groups, ...options }: Transposed, dims: Dims) {
  const of = (both: Both) => (dims === 1 ? both[1] : both)
  return {
    stride: of(options.stride),
    padding: of(options.padding),
    outputPadding: of(options.outputPadding),
    dilation: of(options.dilation),
    groups,
  }
}

/** The outputPadding that gives the result these sizes. Throws ShapeError if there is none. */
function paddingFor(
  layer: string,
  dims: Dims,
  x: Tensor,
  kernel: Both,
  { stride, padding, dilation }: Transposed,
  wanted: readonly number[],
): readonly number[] {
  checkTensor(layer, 'x', x)
  const outputSize = listOf(layer, 'the sizes of outputSize', wanted, 'an array of sizes')
  if (outputSize.length !== dims && outputSize.length !== x.ndim)
    throw new ValueError(
      layer,
      `outputSize is ${shown(outputSize)}, but must hold ${dims === 1 ? 'the length' : 'height and width'}, or all sizes of the result`,
    )
  const of = (both: Both) => shownAs(dims, both)
  return outputSize.slice(-dims).map((length, d) => {
    const size = x.sizes[x.ndim - dims + d] ?? 0
    const step = of(stride)[d] as number
    const least = leastSize(size, of(kernel)[d] as number, step, of(padding)[d] as number, of(dilation)[d] as number)
    if (!Number.isInteger(length) || length < least || length >= least + step)
      throw new ShapeError(
        layer,
        `outputSize is ${shown(outputSize)}, but x ${formatShape(x.sizes)} can give sizes from ${least} to ` +
          `${least + step - 1} in dimension ${x.ndim - dims + d}`,
        [x.sizes],
      )
    return length - least
  })
}

/** Transposed one-dimensional convolution over [N, In, L] (or [In, L]). */
export class ConvTranspose1d<
  const In extends number = number,
  const Out extends number = number,
  const K extends Single = Single,
  const S extends Single = Usual<K, 1, Single>,
  const P extends Single = Usual<K, 0, Single>,
  const D extends Single = Usual<K, 1, Single>,
  const O extends Single = Usual<K, 0, Single>,
> extends Module {
  readonly inChannels: In
  readonly outChannels: Out
  readonly kernelSize: number
  /** [In, Out / groups, k] */
  readonly weight: Parameter
  readonly bias: Parameter<[Out]> | null
  readonly #options: Transposed
  declare readonly signature?: ConvolvesBack<'convTranspose1d', 1, In, Out, K, S, P, D, O>

  constructor(inChannels: In, outChannels: Out, kernelSize: K, options: ConvTranspose1dLayerOptions<S, P, D, O> = {}) {
    super()
    const layer = 'ConvTranspose1d'
    const own = checkLayer<ConvTranspose1dLayerOptions>(
      layer,
      options,
      names as OptionNames<ConvTranspose1dLayerOptions>,
    )
    checkFlags(layer, { bias: own.bias })
    checkChannels(layer, inChannels, outChannels, own.groups ?? 1)
    this.inChannels = inChannels
    this.outChannels = outChannels
    this.kernelSize = spatial(layer, 1, 'kernelSize', kernelSize, 1)[1]
    this.#options = transposedOptions(layer, 1, own)
    this.weight = parameter(layer, [inChannels, outChannels / this.#options.groups, this.kernelSize], own)
    this.bias = own.bias === false ? null : parameter(layer, [outChannels], own)
    begin(layer, this.weight, this.bias, own)
  }

  override extraRepr(): string {
    const { inChannels, outChannels, kernelSize, bias } = this
    return settings({ inChannels, outChannels, kernelSize, ...told(this.#options, 1), bias: bias !== null })
  }

  /**
   * `outputSize` replaces outputPadding: it chooses among the sizes that a stride leaves open, as [L'] or all sizes of
   * the result.
   */
  forward(x: Tensor, outputSize: readonly number[] | null = null): Tensor {
    const options = told(this.#options, 1) as ConvTranspose1dOptions
    const sized = outputSize && paddingFor('ConvTranspose1d', 1, x, [1, this.kernelSize], this.#options, outputSize)
    const { weight, bias } = this
    return convTranspose1d(x, weight, bias, sized ? { ...options, outputPadding: sized[0] as number } : options)
  }
}

/** Transposed two-dimensional convolution over [N, In, H, W] (or [In, H, W]). */
export class ConvTranspose2d<
  const In extends number = number,
  const Out extends number = number,
  const K extends Pair = Pair,
  const S extends Pair = Usual<K, 1, Pair>,
  const P extends Pair = Usual<K, 0, Pair>,
  const D extends Pair = Usual<K, 1, Pair>,
  const O extends Pair = Usual<K, 0, Pair>,
> extends Module {
  readonly inChannels: In
  readonly outChannels: Out
  readonly kernelSize: readonly [number, number]
  /** [In, Out / groups, kH, kW] */
  readonly weight: Parameter
  readonly bias: Parameter<[Out]> | null
  readonly #options: Transposed
  declare readonly signature?: ConvolvesBack<'convTranspose2d', 2, In, Out, K, S, P, D, O>

  constructor(inChannels: In, outChannels: Out, kernelSize: K, options: ConvTranspose2dLayerOptions<S, P, D, O> = {}) {
    super()
    const layer = 'ConvTranspose2d'
    const own = checkLayer<ConvTranspose2dLayerOptions>(layer, options, names)
    checkFlags(layer, { bias: own.bias })
    checkChannels(layer, inChannels, outChannels, own.groups ?? 1)
    this.inChannels = inChannels
    this.outChannels = outChannels
    this.kernelSize = spatial(layer, 2, 'kernelSize', kernelSize, 1)
    this.#options = transposedOptions(layer, 2, own)
    this.weight = parameter(layer, [inChannels, outChannels / this.#options.groups, ...this.kernelSize], own)
    this.bias = own.bias === false ? null : parameter(layer, [outChannels], own)
    begin(layer, this.weight, this.bias, own)
  }

  override extraRepr(): string {
    const { inChannels, outChannels, kernelSize, bias } = this
    return settings({ inChannels, outChannels, kernelSize, ...told(this.#options, 2), bias: bias !== null })
  }

  /**
   * `outputSize` replaces outputPadding: it chooses among the sizes that strides leave open, as [H', W'] or all sizes
   * of the result.
   */
  forward(x: Tensor, outputSize: readonly number[] | null = null): Tensor {
    const sized = outputSize && paddingFor('ConvTranspose2d', 2, x, this.kernelSize, this.#options, outputSize)
    const { weight, bias } = this
    return convTranspose2d(
      x,
      weight,
      bias,
      sized ? { ...this.#options, outputPadding: sized as [number, number] } : this.#options,
    )
  }
}
