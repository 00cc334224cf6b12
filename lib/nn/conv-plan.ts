/** The shared part of convolution layers: it checks their options, and applies paddings that are not zeros. */
import { checkTensor } from '../autograd/operator.js'
import { shown, ValueError } from '../core/errors.js'
import type { OptionNames } from '../core/options.js'
import type { Tensor } from '../core/tensor.js'
import type { Conv1dOptions, Conv2dOptions, Pair, Single } from '../ops/conv.js'
import { framed, type PaddingMode } from '../ops/conv-framed.js'
import { checkPadding, type Dims, type Padding, shownAs, spatial, zerosOf } from '../ops/conv-options.js'
import type { Both } from '../ops/pair.js'
import { fans, kaimingUniform_, uniform_ } from './init.js'
import { checkSizes, type LayerOptions, layerOptions } from './layer.js'
import type { Parameter } from './module.js'

export interface LayerOwn {
  readonly bias?: boolean
  /** The content of the padding. Default 'zeros'. */
  readonly paddingMode?: PaddingMode
}
export interface Conv1dLayerOptions<
  S extends Single = Single,
  P extends Padding<Single> = Padding<Single>,
  D extends Single = Single,
> extends LayerOptions,
    Conv1dOptions<S, P, D>,
    LayerOwn {}
export interface Conv2dLayerOptions<
  S extends Pair = Pair,
  P extends Padding<Pair> = Padding<Pair>,
  D extends Pair = Pair,
> extends LayerOptions,
    Conv2dOptions<S, P, D>,
    LayerOwn {}

export const names: OptionNames<Conv2dLayerOptions> = {
  ...layerOptions,
  bias: true,
  stride: true,
  padding: true,
  dilation: true,
  groups: true,
  paddingMode: true,
}

const modes: readonly PaddingMode[] = ['zeros', 'reflect', 'replicate', 'circular']

/** Throws ValueError for a mode that is none. */
export function checkMode(layer: string, mode: PaddingMode): void {
  if (!modes.includes(mode))
    throw new ValueError(layer, `paddingMode is ${shown(mode)}, but must be one of '${modes.join("', '")}'`)
}

/** Throws ValueError unless both numbers of channels divide into the groups. */
export function checkChannels(layer: string, inChannels: number, outChannels: number, groups: number): void {
  checkSizes(layer, { inChannels, outChannels, groups })
  if (inChannels % groups !== 0 || outChannels % groups !== 0)
    throw new ValueError(
      layer,
      `${inChannels} input and ${outChannels} output channels do not both divide into ${groups} groups`,
    )
}

/**
 * Initialises weight and bias as PyTorch does: both uniform, with a bound from the number of inputs of an element. For
 * a transposed weight the second size counts as the inputs.
 */
export function begin(layer: string, weight: Parameter, bias: Parameter | null, options: LayerOptions): void {
  kaimingUniform_(weight, { a: Math.sqrt(5), generator: options.generator })
  const bound = 1 / Math.sqrt(fans(layer, weight).fanIn)
  if (bias) uniform_(bias, -bound, bound, { generator: options.generator })
}

/** A padding other than zeros, which the layer puts around the input before the convolution. */
export interface Frame {
  readonly mode: Exclude<PaddingMode, 'zeros'>
  readonly before: readonly number[]
  readonly after: readonly number[]
}

export interface Plan {
  readonly kernelSize: Both
  /** The options as given, for `extraRepr`. */
  readonly settings: { readonly [name: string]: unknown }
  readonly frame: Frame | null
}

export function plan(
  layer: string,
  dims: Dims,
  kernelSize: Single | Pair,
  { stride = 1, padding = 0, dilation = 1, groups = 1, paddingMode = 'zeros' }: Conv1dLayerOptions | Conv2dLayerOptions,
): Plan & { readonly stride: Both; readonly dilation: Both } {
  const kernel = spatial(layer, dims, 'kernelSize', kernelSize, 1)
  const strides = spatial(layer, dims, 'stride', stride, 1)
  checkPadding(layer, dims, padding, strides)
  const dilations = spatial(layer, dims, 'dilation', dilation, 1)
  checkMode(layer, paddingMode)
  const zeros = zerosOf(dims, padding, dilations, kernel)
  const before = shownAs(dims, zeros.padding)
  const after = shownAs(dims, [zeros.padding[0] + zeros.extra[0], zeros.padding[1] + zeros.extra[1]])
  const isFramed = paddingMode !== 'zeros' && after.some((amount) => amount > 0)
  const of = (both: Both) => (dims === 1 ? both[1] : both)
  return {
    kernelSize: kernel,
    stride: strides,
    dilation: dilations,
    settings: {
      stride: of(strides),
      padding: typeof padding === 'string' ? padding : of(zeros.padding),
      dilation: of(dilations),
      groups,
      ...(paddingMode === 'zeros' ? {} : { paddingMode }),
    },
    frame: isFramed ? { mode: paddingMode, before, after } : null,
  }
}

export function surrounded(layer: string, x: Tensor, dims: Dims | 3, frame: Frame | null): Tensor {
  checkTensor(layer, 'x', x)
  return frame === null || x.ndim <= dims ? x : framed(layer, x, frame.before, frame.after, frame.mode)
}
