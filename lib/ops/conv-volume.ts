/**
 * Convolutions of volumes, composed of those of images: the taps along the depth become channels, so that gradients of
 * any order come from images.
 */
import { apply, checkTensor } from '../autograd/operator.js'
import { Faults, formatShape, namedAs, shown, ValueError } from '../core/errors.js'
import { checkOptions, type OptionNames } from '../core/options.js'
import { checkSizes } from '../core/shape.js'
import type { Tensor } from '../core/tensor.js'
import { checkGroups, type Padding } from './conv-options.js'
import { checkBias, convolve } from './convolve.js'
import { contiguous, pad, permute, reshape, squeeze, unsqueeze } from './shape/index.js'
import { windowsRecord } from './shape/sliding.js'
import { by, type Each3, type Triple, triple } from './triple.js'

export interface Conv3dOptions<
  S extends Triple = Triple,
  P extends Padding<Triple> = Padding<Triple>,
  D extends Triple = Triple,
> {
  readonly stride?: S
  /**
   * Zeros on each side. 'same' takes as many as keep the input's size (if their number is odd, one more at the end),
   * and needs a stride of 1. Default 0.
   */
  readonly padding?: P
  readonly dilation?: D
  /**
   * The number of groups into which input and output channels are cut. Each group of outputs sees only its group of
   * inputs. Default 1.
   */
  readonly groups?: number
}

const names: OptionNames<Conv3dOptions> = { stride: true, padding: true, dilation: true, groups: true }

/** The checked options of a convolution. */
export interface ConvVolume {
  readonly stride: Each3
  readonly padding: Padding<Each3>
  readonly dilation: Each3
  readonly groups: number
}

/** Throws ValueError for options that fit no input. */
export function volumeOptions(op: string, options: Conv3dOptions): ConvVolume {
  const stride = triple(op, 'stride', options.stride ?? 1, 1)
  const dilation = triple(op, 'dilation', options.dilation ?? 1, 1)
  const { padding = 0 } = options
  const groups = checkGroups(op, options.groups ?? 1)
  if (typeof padding !== 'string') return { stride, padding: triple(op, 'padding', padding, 0), dilation, groups }
  if (padding !== 'same' && padding !== 'valid')
    throw new ValueError(
      op,
      `padding is ${shown(padding)}, but must be a number or [depth, height, width], 'same' or 'valid'`,
    )
  if (padding === 'same' && stride.some((step) => step !== 1))
    throw new ValueError(
      op,
      `padding is 'same', but stride is ${by(stride)}: a convolution with a stride does not keep the size; ` +
        'give the padding as a number',
    )
  return { stride, padding, dilation, groups }
}

/** The zeros before and after each dimension for a kernel of these sizes. */
export function zerosAround({ padding, dilation }: ConvVolume, kernel: Each3): { before: Each3; after: Each3 } {
  if (padding === 'valid') return { before: [0, 0, 0], after: [0, 0, 0] }
  if (padding !== 'same') return { before: padding, after: padding }
  const reach = (d: 0 | 1 | 2) => dilation[d] * (kernel[d] - 1)
  const half = (d: 0 | 1 | 2) => reach(d) >> 1
  const rest = (d: 0 | 1 | 2) => reach(d) - half(d)
  return { before: [half(0), half(1), half(2)], after: [rest(0), rest(1), rest(2)] }
}

/** The sizes of a volume or of its kernel. */
export function sizesOf({ sizes }: Tensor): Each3 {
  return [sizes[2] ?? 1, sizes[3] ?? 1, sizes[4] ?? 1]
}

/** Throws a ShapeError that names all misfits. The program gave x [N, C, D, H, W] as `given`, perhaps without N. */
function checkConv(op: string, x: Tensor, given: Tensor, weight: Tensor, bias: Tensor | null, a: ConvVolume): void {
  const faults = new Faults()
  const [xs, ws] = [formatShape(given.sizes), formatShape(weight.sizes)]
  faults.check(x.ndim === 5, () => `x must be [N, C, D, H, W] or [C, D, H, W], but is ${xs}`)
  faults.check(weight.ndim === 5, () => `weight must be [out, in / groups, D, H, W], but is ${ws}`)
  const [, channels = 0] = x.sizes
  const [out = 0, perGroup = 0] = weight.sizes
  faults.check(
    perGroup * a.groups === channels,
    () => `gets ${channels} channels, but takes ${perGroup * a.groups}: x is ${xs}, weight ${ws} in ${a.groups} groups`,
  )
  faults.check(out > 0 && perGroup > 0, () => `weight ${ws} has no channels; there must be at least one in and one out`)
  faults.check(out % a.groups === 0, () => `${out} output channels do not divide into ${a.groups} groups`)
  checkBias(faults, bias, out)
  const [volume, kernel] = [sizesOf(x), sizesOf(weight)]
  const { before, after } = zerosAround(a, kernel)
  const padded = volume.map((size, d) => size + (before[d] as number) + (after[d] as number))
  const reach = kernel.map((size, d) => (a.dilation[d] as number) * (size - 1) + 1)
  faults.check(
    kernel.every((size) => size > 0) && reach.every((size, d) => size <= (padded[d] as number)),
    () => `a kernel that reaches over ${by(reach)} does not fit into the padded volume ${by(padded)}`,
  )
  faults.throwShape(op, [given.sizes, weight.sizes])
}

/**
 * x [N, C, D, H, W] (or [C, D, H, W]) with weight [out, C / groups, kD, kH, kW] and bias [out] -> [N, out, D', H', W'],
 * D' = floor((D + 2 padding - dilation (kD - 1) - 1) / stride) + 1. It copies x once for each of the kD taps along the
 * depth, D' / D kD times the size of x in all, and the backward pass keeps this copy if the weight wants a gradient.
 * Throws a ShapeError that names all misfits.
 */
export function conv3d(x: Tensor, weight: Tensor, bias: Tensor | null = null, options: Conv3dOptions = {}): Tensor {
  const op = 'conv3d'
  checkTensor(op, 'x', x)
  checkTensor(op, 'weight', weight)
  if (bias !== null) checkTensor(op, 'bias', bias)
  const all = volumeOptions(op, checkOptions(op, options, names))
  const single = x.ndim === 4
  const batch = single ? unsqueeze(x, 0) : x
  checkConv(op, batch, x, weight, bias, all)
  const kernel = sizesOf(weight)
  const { before, after } = zerosAround(all, kernel)
  const out = namedAs(op, () => convolved(batch, weight, bias, all, before, after))
  return single ? squeeze(out, 0) : out
}

function convolved(
  x: Tensor,
  weight: Tensor,
  bias: Tensor | null,
  { stride, dilation, groups }: ConvVolume,
  before: Each3,
  after: Each3,
): Tensor {
  // Images can have as many zeros after as before them by themselves.
  const ends = [0, after[2] - before[2], 0, after[1] - before[1], before[0], after[0]]
  const padded = ends.some((amount) => amount > 0) ? pad(x, ends) : x
  const [n = 0, c = 0, depth = 0, h = 0, w = 0] = padded.sizes
  const [out = 0, perGroup = 0, taps = 0, kh = 0, kw = 0] = weight.sizes
  const count = Math.floor((depth - dilation[0] * (taps - 1) - 1) / stride[0]) + 1
  checkSizes('conv3d', [n, c, count, h, w, taps])
  const windows = apply(windowsRecord, [padded], { dim: 2, count, step: stride[0], size: taps, dilation: dilation[0] })
  const images = reshape(permute(windows, [0, 2, 1, 5, 3, 4]), [n * count, c * taps, h, w])
  const planar = {
    stride: [stride[1], stride[2]],
    padding: [before[1], before[2]],
    dilation: [dilation[1], dilation[2]],
    groups,
  } as const
  const planes = convolve(2, images, reshape(weight, [out, perGroup * taps, kh, kw]), bias, planar, false)
  const apart = reshape(planes, [n, count, out, planes.sizes[2] as number, planes.sizes[3] as number])
  return contiguous(permute(apart, [0, 2, 1, 3, 4]))
}
