/** Max and average pooling of volumes. */
import { noGrad } from '../../autograd/mode.js'
import { apply, checkTensor } from '../../autograd/operator.js'
import { checkFlag, checkOptions, type OptionNames } from '../../core/options.js'
import type { Tensor } from '../../core/tensor.js'
import { add, floorDivide, mul } from '../elementwise/index.js'
import { gather } from '../indexing/index.js'
import { reshape } from '../shape/index.js'
import type { Triple } from '../triple.js'
import { avgPool2dNames, avgPoolRecord, divisorOf } from './average.js'
import { type MaxPoolOptions, maxPoolNames, maxPoolRecord, type WithIndices } from './max.js'
import { deep, onVolumes, planar, planesOf, rowsOf, volumesOf, volumeWindow } from './volume-window.js'
import type { WindowOptions } from './window.js'

export interface MaxPool3dOptions<
  S extends Triple = Triple,
  P extends Triple = Triple,
  D extends Triple = Triple,
  C extends boolean = boolean,
  R extends boolean = boolean,
> extends MaxPoolOptions<Triple, S, P, D, C, R> {}

export interface AvgPool3dOptions<S extends Triple = Triple, P extends Triple = Triple, C extends boolean = boolean>
  extends WindowOptions<Triple, S, P, C> {
  /** Whether zeros of the padding count in the mean. Default true. */
  readonly countIncludePad?: boolean | undefined
  /** The divisor of sums, instead of the number of elements that count. Must not be 0. Default null. */
  readonly divisorOverride?: number | null | undefined
}

export const maxPool3dNames = maxPoolNames as OptionNames<MaxPool3dOptions>
export const avgPool3dNames = avgPool2dNames as OptionNames<AvgPool3dOptions>

/** A pooling of images to the largest element of each window, and to its place in the image. */
type Largest = (images: Tensor) => readonly [out: Tensor, places: Tensor]

/**
 * The largest elements of x [N, C, D, H, W] by windows within planes, then along the depth. Among equal elements the
 * first in row-major order wins, as in PyTorch.
 */
export function largestOf(
  x: Tensor,
  within: Largest,
  along: Largest,
  returnIndices: boolean,
): Tensor | readonly [out: Tensor, indices: Tensor] {
  const [planes, places] = within(planesOf(x))
  const [rows, lines] = along(rowsOf(planes, x))
  const out = volumesOf(rows, planes)
  if (!returnIndices) return out
  const indices = noGrad(() => {
    const [n = 0, c = 0, d = 0, h = 0, w = 0] = x.sizes
    const plane = (planes.sizes[2] as number) * (planes.sizes[3] as number)
    const flat = (y: Tensor, size: number) => reshape(y, [n, c, size])
    const place = gather(flat(places, d * plane), 2, flat(lines, (lines.sizes[2] as number) * plane))
    const before = mul(floorDivide(lines, plane), h * w)
    return volumesOf(add(before, reshape(place, lines.sizes)), planes)
  })
  return [out, indices]
}

/**
 * The largest element of each window of x [N, C, D, H, W] or [C, D, H, W]; NaN counts as largest, and padding never
 * wins. Returns [out, indices] if `returnIndices` is set: the places (int32) in volumes, in row-major order. Throws
 * ShapeError for windows that do not fit.
 */
export function maxPool3d<const O extends MaxPool3dOptions = Record<never, never>>(
  x: Tensor,
  kernelSize: Triple,
  options?: O & MaxPool3dOptions,
): WithIndices<O>
export function maxPool3d(x: Tensor, kernelSize: Triple, options: MaxPool3dOptions = {}): Tensor | readonly Tensor[] {
  const op = 'maxPool3d'
  checkTensor(op, 'x', x)
  const { returnIndices = false } = checkOptions(op, options, maxPool3dNames)
  checkFlag(op, 'returnIndices', returnIndices)
  const window = volumeWindow(op, kernelSize, options)
  return onVolumes<Tensor | readonly Tensor[]>(op, x, window, (volumes) =>
    largestOf(
      volumes,
      (images) => apply(maxPoolRecord, [images], planar(window)),
      (images) => apply(maxPoolRecord, [images], deep(window)),
      returnIndices,
    ),
  )
}

/**
 * The mean of each window of x [N, C, D, H, W] or [C, D, H, W]. Places beyond the padding never count. Throws
 * ShapeError for windows that do not fit.
 */
export function avgPool3d(x: Tensor, kernelSize: Triple, options: AvgPool3dOptions = {}): Tensor {
  const op = 'avgPool3d'
  checkTensor(op, 'x', x)
  const { countIncludePad = true, divisorOverride } = checkOptions(op, options, avgPool3dNames)
  checkFlag(op, 'countIncludePad', countIncludePad)
  const divisor = divisorOf(op, divisorOverride)
  const window = volumeWindow(op, kernelSize, options)
  return onVolumes(op, x, window, (volumes) => {
    // The number of elements of a window is a product, so means of means are right. A given divisor divides once.
    const attrs = { ...planar(window), countIncludePad, divisor: divisor === 0 ? 0 : 1 }
    const planes = apply(avgPoolRecord, [planesOf(volumes)], attrs)
    const rows = apply(avgPoolRecord, [rowsOf(planes, volumes)], { ...deep(window), countIncludePad, divisor })
    return volumesOf(rows, planes)
  })
}
