/** Pooling to given sizes, with windows that cover the input. */

import { apply, checkTensor } from '../../autograd/operator.js'
import { Faults, formatShape, shown, ValueError } from '../../core/errors.js'
import { checkFlag, checkOptions, type OptionNames } from '../../core/options.js'
import { countOf, type Shape } from '../../core/shape.js'
import type { Tensor } from '../../core/tensor.js'
import { like } from '../common.js'
import type { Single } from '../conv-options.js'
import { resample } from '../interpolate/resample.js'
import { area } from '../interpolate/tables.js'
import { kernel, operator } from '../operator.js'
import type { Both } from '../pair.js'
import { avgPoolRecord } from './average.js'
import { unpoolRecord, type WithIndices } from './max.js'
import { onImages, onSignals } from './window.js'

/** A size for both dimensions, or [height, width]; null keeps the input's. */
export type OutputSize = number | null | readonly [number | null, number | null]

const isSize = (n: unknown): n is number | null =>
  n === null || (Number.isInteger(n) && (n as number) >= 0 && (n as number) < 2 ** 31)

/** A size for all dimensions, or [depth, height, width]; null keeps the input's. */
export type OutputSize3d = number | null | readonly [number | null, number | null, number | null]

/** Throws ValueError unless the size is valid for a result of `rank` dimensions. */
export function checkOutputSize(
  op: string,
  size: OutputSize | OutputSize3d | Single,
  rank: 1 | 2 | 3,
): readonly (number | null)[] {
  const list = Array.isArray(size)
    ? (size as readonly (number | null)[])
    : new Array<number | null>(rank).fill(size as number)
  const form =
    rank === 1
      ? 'a non-negative integer of 32 bits'
      : `non-negative integers of 32 bits, or null: one, or [${rank === 3 ? 'depth, ' : ''}height, width]`
  if (list.length !== rank || !list.every(isSize) || (rank === 1 && list[0] === null))
    throw new ValueError(op, `outputSize is ${shown(size)}, but must be ${form}`)
  return list
}

/** The sizes of the result's planes for x [N, C, H, W]. Throws ShapeError if x has nothing to pool. */
function planesOf(op: string, x: Tensor, given: Shape, size: readonly (number | null)[], needsChannels: boolean): Both {
  const faults = new Faults()
  const form = size.length === 1 ? '[N, C, L] or [C, L]' : '[N, C, H, W] or [C, H, W]'
  faults.check(x.ndim === 4, () => `x must be ${form}, but is ${formatShape(given)}`)
  const channels = needsChannels ? x.sizes[1] : 1
  faults.check(
    x.ndim !== 4 || (countOf(x.sizes.slice(2)) > 0 && channels !== 0),
    () => `x is ${formatShape(given)}, but only N may be 0`,
  )
  faults.throwShape(op, [given])
  const [, , h = 0, w = 0] = x.sizes
  const [first = null, second = null] = size.length === 1 ? [1, ...size] : size
  return [first ?? h, second ?? w]
}

/**
 * Averages by windows of one size if the result's sizes divide the input's, else by a table of means for each
 * dimension.
 */
function average(x: Tensor, [p, q]: Both): Tensor {
  const [, , h = 0, w = 0] = x.sizes
  if (p > 0 && q > 0 && h % p === 0 && w % q === 0) {
    const kernel: Both = [h / p, w / q]
    return apply(avgPoolRecord, [x], {
      kernel,
      stride: kernel,
      padding: [0, 0],
      dilation: [1, 1],
      ceilMode: false,
      countIncludePad: true,
      divisor: 0,
    })
  }
  return resample(x, [h === p ? null : area(h, p), w === q ? null : area(w, q)])
}

/**
 * The means of x [N, C, H, W] or [C, H, W] over as many windows as `outputSize` says. Row p averages the rows from
 * floor(p H / P) up to, not including, ceil((p + 1) H / P). Throws ShapeError if there is nothing to pool.
 */
export function adaptiveAvgPool2d(x: Tensor, outputSize: OutputSize): Tensor {
  checkTensor('adaptiveAvgPool2d', 'x', x)
  const size = checkOutputSize('adaptiveAvgPool2d', outputSize, 2)
  return onImages('adaptiveAvgPool2d', x, null, (images) =>
    average(images, planesOf('adaptiveAvgPool2d', images, x.sizes, size, false)),
  )
}

/** The means of x [N, C, L] or [C, L] over as many windows as `outputSize` says; see adaptiveAvgPool2d. */
export function adaptiveAvgPool1d(x: Tensor, outputSize: Single): Tensor {
  checkTensor('adaptiveAvgPool1d', 'x', x)
  const size = checkOutputSize('adaptiveAvgPool1d', outputSize, 1)
  return onSignals('adaptiveAvgPool1d', x, (images) =>
    average(images, planesOf('adaptiveAvgPool1d', images, x.sizes, size, false)),
  )
}

/**
 * Pools x [N, C, H, W] to planes of the attributes' sizes. The second output is the place of each maximum in its plane.
 */
export const adaptiveMaxRecord = operator<[x: Tensor], Both, [out: Tensor, indices: Tensor]>({
  name: 'adaptiveMaxPool2d',
  outputs: 2,
  infer([x], size) {
    const shape = [...x.sizes.slice(0, 2), ...size]
    return [like(x, shape), { shape, dtype: 'int32' }]
  },
  forward: kernel('adaptive_max_pool2d_forward', ([x], _size, { out, indices }) => ({ out, indices, x })),
  gradient: {
    saves: () => ({ outputs: [1] }),
    backward: (ctx, [g]) => [g && apply(unpoolRecord, [g, ctx.output(1)], ctx.spec(0).shape)],
  },
})

export interface AdaptiveMaxPoolOptions<R extends boolean = boolean> {
  /** Whether to also return the place of each maximum (int32) in its plane, in row-major order. Default false. */
  readonly returnIndices?: R | undefined
}

export const adaptiveMaxNames: OptionNames<AdaptiveMaxPoolOptions> = { returnIndices: true }

function largest(op: string, images: Tensor, size: Both, options: AdaptiveMaxPoolOptions): Tensor | readonly Tensor[] {
  const { returnIndices = false } = options
  checkFlag(op, 'returnIndices', returnIndices)
  const pooled = apply(adaptiveMaxRecord, [images], size)
  return returnIndices ? pooled : pooled[0]
}

/**
 * The largest elements of x [N, C, H, W] or [C, H, W] in the windows of adaptiveAvgPool2d. Returns [out, indices] if
 * `returnIndices` is set. Throws ShapeError if there is nothing to pool.
 */
export function adaptiveMaxPool2d<const O extends AdaptiveMaxPoolOptions = Record<never, never>>(
  x: Tensor,
  outputSize: OutputSize,
  options?: O & AdaptiveMaxPoolOptions,
): WithIndices<O>
export function adaptiveMaxPool2d(
  x: Tensor,
  outputSize: OutputSize,
  options: AdaptiveMaxPoolOptions = {},
): Tensor | readonly Tensor[] {
  const op = 'adaptiveMaxPool2d'
  checkTensor(op, 'x', x)
  checkOptions(op, options, adaptiveMaxNames)
  const size = checkOutputSize(op, outputSize, 2)
  return onImages(op, x, null, (images) => largest(op, images, planesOf(op, images, x.sizes, size, true), options))
}

/** The largest elements of x [N, C, L] or [C, L] in as many windows as `outputSize` says; see adaptiveMaxPool2d. */
export function adaptiveMaxPool1d<const O extends AdaptiveMaxPoolOptions = Record<never, never>>(
  x: Tensor,
  outputSize: Single,
  options?: O & AdaptiveMaxPoolOptions,
): WithIndices<O>
export function adaptiveMaxPool1d(
  x: Tensor,
  outputSize: Single,
  options: AdaptiveMaxPoolOptions = {},
): Tensor | readonly Tensor[] {
  const op = 'adaptiveMaxPool1d'
  checkTensor(op, 'x', x)
  checkOptions(op, options, adaptiveMaxNames)
  const size = checkOutputSize(op, outputSize, 1)
  return onSignals(op, x, (images) => largest(op, images, planesOf(op, images, x.sizes, size, true), options))
}
