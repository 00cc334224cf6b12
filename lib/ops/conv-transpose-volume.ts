/**
 * Transposed convolutions of volumes, composed of those of images: the taps along the depth become channels, which are
 * then added up at their places.
 */
import { apply, checkTensor } from '../autograd/operator.js'
import { Faults, formatShape, namedAs, ValueError } from '../core/errors.js'
import { checkOptions, type OptionNames } from '../core/options.js'
import { checkSizes } from '../core/shape.js'
import type { Tensor } from '../core/tensor.js'
import { checkGroups } from './conv-options.js'
import { convTranspose2d, leastSize } from './conv-transpose.js'
import { sizesOf } from './conv-volume.js'
import { castTo, summable } from './convert.js'
import { checkBias } from './convolve.js'
import { add } from './elementwise/index.js'
import { contiguous, narrow, permute, reshape, squeeze, unsqueeze } from './shape/index.js'
import { overlayRecord } from './shape/sliding.js'
import { by, type Each3, type Triple, triple } from './triple.js'
import { widened } from './widened.js'

export interface ConvTranspose3dOptions<
  S extends Triple = Triple,
  P extends Triple = Triple,
  D extends Triple = Triple,
  O extends Triple = Triple,
> {
  readonly stride?: S
  /**
   * The number of elements cut off the result on each side. In other words, dilation (kernel - 1) - padding zeros are
   * put around the input. Default 0.
   */
  readonly padding?: P
  /**
   * Elements added on the far side, fewer than stride or dilation. They choose among the sizes that a convolution would
   * turn into the input's. Default 0.
   */
  readonly outputPadding?: O
  readonly dilation?: D
  readonly groups?: number
}

const names: OptionNames<ConvTranspose3dOptions> = {
  stride: true,
  padding: true,
  outputPadding: true,
  dilation: true,
  groups: true,
}

/** The checked options of a transposed convolution. */
export interface TransposedVolume {
  readonly stride: Each3
  readonly padding: Each3
  readonly outputPadding: Each3
  readonly dilation: Each3
  readonly groups: number
}

/** Throws ValueError for options that fit no input. */
export function transposedVolumeOptions(op: string, options: ConvTranspose3dOptions): TransposedVolume {
  const stride = triple(op, 'stride', options.stride ?? 1, 1)
  const padding = triple(op, 'padding', options.padding ?? 0, 0)
  const dilation = triple(op, 'dilation', options.dilation ?? 1, 1)
  const outputPadding = triple(op, 'outputPadding', options.outputPadding ?? 0, 0)
  const groups = checkGroups(op, options.groups ?? 1)
  if (outputPadding.some((more, d) => more >= Math.max(stride[d] as number, dilation[d] as number)))
    throw new ValueError(
      op,
      `outputPadding is ${by(outputPadding)}, but must be less than stride ${by(stride)} or dilation ${by(dilation)}`,
    )
  return { stride, padding, outputPadding, dilation, groups }
}

/**
 * The sizes of the result's volumes. Throws a ShapeError that names all misfits. The program gave x [N, C, D, H, W] as
 * `given`, perhaps without N.
 */
function checkTransposed(
  op: string,
  x: Tensor,
  given: Tensor,
  weight: Tensor,
  bias: Tensor | null,
  a: TransposedVolume,
): Each3 {
  const faults = new Faults()
  const [xs, ws] = [formatShape(given.sizes), formatShape(weight.sizes)]
  faults.check(x.ndim === 5, () => `x must be [N, C, D, H, W] or [C, D, H, W], but is ${xs}`)
  faults.check(weight.ndim === 5, () => `weight must be [in, out / groups, D, H, W], but is ${ws}`)
  const [, channels = 0] = x.sizes
  const [takes = 0, perGroup = 0] = weight.sizes
  const [volume, kernel] = [sizesOf(x), sizesOf(weight)]
  faults.check(takes === channels, () => `gets ${channels} channels, but takes ${takes}: x is ${xs}, weight ${ws}`)
  faults.check(
    takes > 0 && perGroup > 0,
    () => `weight ${ws} has no channels; there must be at least one in and one out`,
  )
  faults.check(takes % a.groups === 0, () => `${takes} input channels do not divide into ${a.groups} groups`)
  checkBias(faults, bias, perGroup * a.groups)
  faults.check(
    volume.every((size) => size > 0),
    () => `x ${xs} has no positions`,
  )
  faults.check(
    kernel.every((size) => size > 0),
    () => `weight ${ws} has no positions`,
  )
  const along = (d: 0 | 1 | 2) =>
    leastSize(volume[d], kernel[d], a.stride[d], a.padding[d], a.dilation[d]) + a.outputPadding[d]
  const sizes: Each3 = [along(0), along(1), along(2)]
  faults.check(
    sizes.every((size) => size > 0),
    () => `the result would be ${by(sizes)}, which must be positive; the padding cuts off too much`,
  )
  faults.throwShape(op, [given.sizes, weight.sizes])
  return sizes
}

/**
 * x [N, C, D, H, W] (or [C, D, H, W]) with weight [C, out / groups, kD, kH, kW] and bias [out] -> [N, out, D', H', W'],
 * D' = (D - 1) stride - 2 padding + dilation (kD - 1) + outputPadding + 1: the gradient of `conv3d` for its input. The
 * results of the kD taps along the depth are computed apart, kD / stride times the size of the result, and then added
 * up. Throws a ShapeError that names all misfits.
 */
export function convTranspose3d(
  x: Tensor,
  weight: Tensor,
  bias: Tensor | null = null,
  options: ConvTranspose3dOptions = {},
): Tensor {
  const op = 'convTranspose3d'
  checkTensor(op, 'x', x)
  checkTensor(op, 'weight', weight)
  if (bias !== null) checkTensor(op, 'bias', bias)
  const all = transposedVolumeOptions(op, checkOptions(op, options, names))
  const single = x.ndim === 4
  const batch = single ? unsqueeze(x, 0) : x
  const [depth] = checkTransposed(op, batch, x, weight, bias, all)
  const out = namedAs(op, () =>
    widened(op, [batch, weight, bias], ([from, kernel, shift]) => transposed(from, kernel, shift, all, depth)),
  )
  return single ? squeeze(out, 0) : out
}

function transposed(
  x: Tensor,
  weight: Tensor,
  bias: Tensor | null,
  { stride, padding, outputPadding, dilation, groups }: TransposedVolume,
  depth: number,
): Tensor {
  const [n = 0, c = 0, count = 0, h = 0, w = 0] = x.sizes
  const [takes = 0, perGroup = 0, taps = 0, kh = 0, kw = 0] = weight.sizes
  const out = perGroup * groups
  const length = depth + 2 * padding[0]
  checkSizes('convTranspose3d', [n, out, length, h, w, taps])
  const images = reshape(permute(x, [0, 2, 1, 3, 4]), [n * count, c, h, w])
  const planes = convTranspose2d(images, reshape(weight, [takes, perGroup * taps, kh, kw]), null, {
    stride: [stride[1], stride[2]],
    padding: [padding[1], padding[2]],
    outputPadding: [outputPadding[1], outputPadding[2]],
    dilation: [dilation[1], dilation[2]],
    groups,
  })
  const [, , p = 0, q = 0] = planes.sizes
  const apart = permute(reshape(summable(planes), [n, count, out, taps, p, q]), [0, 2, 1, 4, 5, 3])
  const windows = { dim: 2, count, step: stride[0], size: taps, dilation: dilation[0], length }
  const whole = narrow(apply(overlayRecord, [apart], windows), 2, padding[0], depth)
  const product = castTo(whole, planes.dtype)
  return bias ? add(product, reshape(bias, [out, 1, 1, 1])) : contiguous(product)
}
