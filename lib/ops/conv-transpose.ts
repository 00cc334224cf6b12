/** Transposed convolutions: a convolution's gradient of the input, as a function. */
import { apply, checkTensor } from '../autograd/operator.js'
import { Faults, formatShape, namedAs, ValueError } from '../core/errors.js'
import { checkOptions, type OptionNames } from '../core/options.js'
import type { Tensor } from '../core/tensor.js'
import { checkGroups, type Dims, type Single, shownAs, spatial } from './conv-options.js'
import { type Conv, checkBias, planeOf, transposedRecords } from './convolve.js'
import { add } from './elementwise/index.js'
import type { Both, Pair } from './pair.js'
import { pad, reshape, squeeze, unsqueeze } from './shape/index.js'
import { widened } from './widened.js'

interface Options<
  Stride extends Single | Pair,
  Pad extends Single | Pair,
  Dilation extends Single | Pair,
  OutputPadding extends Single | Pair,
> {
  readonly stride?: Stride
  /**
   * The number of elements cut off the result on each side. In other words, dilation (kernel - 1) - padding zeros are
   * put around the input. Default 0.
   */
  readonly padding?: Pad
  /**
   * Elements added on the far side, fewer than stride or dilation. They choose among the sizes that a convolution would
   * turn into the input's. Default 0.
   */
  readonly outputPadding?: OutputPadding
  readonly dilation?: Dilation
  readonly groups?: number
}
export interface ConvTranspose1dOptions<
  S extends Single = Single,
  P extends Single = Single,
  D extends Single = Single,
  O extends Single = Single,
> extends Options<S, P, D, O> {}
export interface ConvTranspose2dOptions<
  S extends Pair = Pair,
  P extends Pair = Pair,
  D extends Pair = Pair,
  O extends Pair = Pair,
> extends Options<S, P, D, O> {}

const names: OptionNames<ConvTranspose2dOptions> = {
  stride: true,
  padding: true,
  outputPadding: true,
  dilation: true,
  groups: true,
}

export interface Transposed extends Conv {
  readonly outputPadding: Both
}

/** Throws ValueError for options that fit no input. */
export function transposedOptions(
  op: string,
  dims: Dims,
  options: ConvTranspose1dOptions | ConvTranspose2dOptions,
): Transposed {
  const stride = spatial(op, dims, 'stride', options.stride ?? 1, 1)
  const padding = spatial(op, dims, 'padding', options.padding ?? 0, 0)
  const dilation = spatial(op, dims, 'dilation', options.dilation ?? 1, 1)
  const outputPadding = spatial(op, dims, 'outputPadding', options.outputPadding ?? 0, 0)
  const groups = checkGroups(op, options.groups ?? 1)
  if (outputPadding.some((more, d) => more >= Math.max(stride[d] as number, dilation[d] as number)))
    throw new ValueError(
      op,
      `outputPadding is ${shownAs(dims, outputPadding).join(' x ')}, but must be less than stride ` +
        `${shownAs(dims, stride).join(' x ')} or dilation ${shownAs(dims, dilation).join(' x ')}`,
    )
  return { stride, padding, outputPadding, dilation, groups }
}

/** The size of a result without outputPadding. */
export function leastSize(size: number, kernel: number, stride: number, padding: number, dilation: number): number {
  return (size - 1) * stride - 2 * padding + dilation * (kernel - 1) + 1
}

function checkTransposed(op: string, dims: Dims, x: Tensor, weight: Tensor, bias: Tensor | null, a: Transposed): Both {
  const faults = new Faults()
  const [xs, ws] = [formatShape(x.sizes), formatShape(weight.sizes)]
  const space = dims === 1 ? 'L' : 'H, W'
  faults.check(x.ndim === dims + 2, () => `x must be [N, C, ${space}], but is ${xs}`)
  faults.check(weight.ndim === dims + 2, () => `weight must be [in, out / groups, ${space}], but is ${ws}`)
  const [, channels = 0] = x.sizes
  const [takes = 0, perGroup = 0] = weight.sizes
  const plane = planeOf(x)
  const kernel = planeOf(weight)
  faults.check(takes === channels, () => `gets ${channels} channels, but takes ${takes}: x is ${xs}, weight ${ws}`)
  faults.check(
    takes > 0 && perGroup > 0,
    () => `weight ${ws} has no channels; there must be at least one in and one out`,
  )
  faults.check(takes % a.groups === 0, () => `${takes} input channels do not divide into ${a.groups} groups`)
  checkBias(faults, bias, perGroup * a.groups)
  faults.check(plane[0] > 0 && plane[1] > 0, () => `x ${xs} has no positions`)
  faults.check(kernel[0] > 0 && kernel[1] > 0, () => `weight ${ws} has no positions`)
  const size = (d: 0 | 1) =>
    leastSize(plane[d], kernel[d], a.stride[d], a.padding[d], a.dilation[d]) + a.outputPadding[d]
  const sizes = [size(0), size(1)] as const
  faults.check(
    sizes[0] > 0 && sizes[1] > 0,
    () =>
      `the result would be ${shownAs(dims, sizes).join(' x ')}, which must be positive; the padding cuts off too much`,
  )
  faults.throwShape(op, [x.sizes, weight.sizes])
  return sizes
}

function transposed(
  dims: Dims,
  x: Tensor,
  weight: Tensor,
  bias: Tensor | null,
  options: ConvTranspose1dOptions | ConvTranspose2dOptions,
): Tensor {
  const op = dims === 1 ? 'convTranspose1d' : 'convTranspose2d'
  checkTensor(op, 'x', x)
  checkTensor(op, 'weight', weight)
  if (bias !== null) checkTensor(op, 'bias', bias)
  checkOptions(op, options, names)
  const all = transposedOptions(op, dims, options)
  const single = x.ndim === dims + 1
  const batch = single ? unsqueeze(x, 0) : x
  const sizes = checkTransposed(op, dims, batch, weight, bias, all)
  const { outputPadding, ...attrs } = all
  // A convolution can use less than a stride beyond the sizes it needs. Any further output padding comes from zeros
  // after the input.
  const [h, w] = [0, 1].map((d) => Math.floor((outputPadding[d] as number) / (attrs.stride[d] as number))) as [
    number,
    number,
  ]
  const framed = h + w > 0 ? namedAs(op, () => pad(batch, [0, w, 0, h].slice(0, 2 * dims))) : batch
  const channels = (weight.sizes[1] as number) * attrs.groups
  const shape = [batch.sizes[0] as number, channels, ...shownAs(dims, sizes)]
  const out = widened(op, [framed, weight, bias], ([from, by, shift]) => {
    const product = apply(transposedRecords[dims], [from, by], { ...attrs, shape })
    return shift ? namedAs(op, () => add(product, reshape(shift, [channels, 1, 1].slice(0, dims + 1)))) : product
  })
  return single ? squeeze(out, 0) : out
}

/**
 * x [N, C, L] (or [C, L]) with weight [C, out / groups, k] and bias [out] -> [N, out, L'], L' = (L - 1) stride - 2
 * padding + dilation (k - 1) + outputPadding + 1: the gradient of `conv1d` for its input. Throws a ShapeError that
 * names all misfits.
 */
export function convTranspose1d(
  x: Tensor,
  weight: Tensor,
  bias: Tensor | null = null,
  options: ConvTranspose1dOptions = {},
): Tensor {
  return transposed(1, x, weight, bias, options)
}

/**
 * x [N, C, H, W] (or [C, H, W]) with weight [C, out / groups, kH, kW] and bias [out] -> [N, out, H', W'], H' = (H - 1)
 * stride - 2 padding + dilation (kH - 1) + outputPadding + 1: the gradient of `conv2d` for its input (Zeiler et al.,
 * "Deconvolutional Networks", 2010). Throws a ShapeError that names all misfits.
 */
export function convTranspose2d(
  x: Tensor,
  weight: Tensor,
  bias: Tensor | null = null,
  options: ConvTranspose2dOptions = {},
): Tensor {
  return transposed(2, x, weight, bias, options)
}
