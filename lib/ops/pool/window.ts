/**
 * The windows of pooling in one and two dimensions: options, checks and sizes. One-dimensional windows are those of an
 * image of one row, and use the same kernels.
 */
import { Faults, formatShape, namedAs, ShapeError } from '../../core/errors.js'
import { checkFlag } from '../../core/options.js'
import type { Shape } from '../../core/shape.js'
import type { Tensor } from '../../core/tensor.js'
import { type Single, spatial } from '../conv-options.js'
import { type Both, type Pair, pair } from '../pair.js'
import { reshape, squeeze, unsqueeze } from '../shape/index.js'
import { each, widened } from '../widened.js'

export interface Window {
  readonly kernel: Both
  readonly stride: Both
  readonly padding: Both
  readonly dilation: Both
  /** Whether the last window may extend beyond the end. */
  readonly ceilMode: boolean
}

export interface WindowOptions<Size, S extends Size = Size, P extends Size = Size, C extends boolean = boolean> {
  /** Default: the kernel's size. */
  readonly stride?: S | undefined
  /** The padding on both sides, at most half of the kernel. Default 0. */
  readonly padding?: P | undefined
  /** Whether a last window counts that begins inside but extends beyond the end. Default false. */
  readonly ceilMode?: C | undefined
}

/** Reads an option of windows: a pair in two dimensions, a number in one. */
export type Reader<Size> = (op: string, name: string, value: Size, least: number) => Both

export const readPair: Reader<Pair> = pair
/** Reads an option of a signal's window. Its row gets the least number, for which the option has no effect. */
export const readSingle: Reader<Single> = (op, name, value, least) => spatial(op, 1, name, value, least)

/** The window of a call. Throws ValueError if it is invalid. */
export function windowOf<Size>(
  op: string,
  read: Reader<Size>,
  kernelSize: Size,
  options: WindowOptions<Size> & { readonly dilation?: Size | undefined },
): Window {
  const { stride, padding, dilation, ceilMode = false } = options
  checkFlag(op, 'ceilMode', ceilMode)
  return {
    kernel: read(op, 'kernelSize', kernelSize, 1),
    stride: read(op, 'stride', stride ?? kernelSize, 1),
    padding: padding === undefined ? [0, 0] : read(op, 'padding', padding, 0),
    dilation: dilation === undefined ? [1, 1] : read(op, 'dilation', dilation, 1),
    ceilMode,
  }
}

/** The number of windows along one dimension. */
export function windowsAlong(size: number, w: Window, d: 0 | 1): number {
  const reach = w.dilation[d] * (w.kernel[d] - 1) + 1
  const room = size + 2 * w.padding[d] - reach
  if (!w.ceilMode) return Math.floor(room / w.stride[d]) + 1
  const count = Math.ceil(room / w.stride[d]) + 1
  // The last window must begin inside, or in the padding before the input.
  return (count - 1) * w.stride[d] >= size + w.padding[d] ? count - 1 : count
}

/**
 * The result's shape for x [N, C, H, W]. Errors show the last `rank` dimensions, and `shown` as the program gave it.
 * Throws a ShapeError that names all misfits.
 */
export function pooledShape(op: string, x: Tensor, w: Window, given: Shape = x.sizes, rank = 2): Shape {
  const faults = new Faults()
  const form = rank === 2 ? '[N, C, H, W] or [C, H, W]' : '[N, C, L] or [C, L]'
  const dims = rank === 2 ? ([0, 1] as const) : ([1] as const)
  const by = (sizes: Both) => dims.map((d) => sizes[d]).join(' x ')
  faults.check(x.ndim === 4, () => `x must be ${form}, but is ${formatShape(given)}`)
  const [n = 0, c = 0, h = 0, width = 0] = x.sizes
  const sizes: Both = [h, width]
  faults.check(
    dims.every((d) => w.padding[d] * 2 <= w.kernel[d]),
    () => `padding ${by(w.padding)} is more than half of the kernel ${by(w.kernel)}`,
  )
  const counts: Both = [windowsAlong(h, w, 0), windowsAlong(width, w, 1)]
  const reach: Both = [w.dilation[0] * (w.kernel[0] - 1) + 1, w.dilation[1] * (w.kernel[1] - 1) + 1]
  faults.check(
    x.ndim !== 4 || dims.every((d) => counts[d] >= 1 && sizes[d] + 2 * w.padding[d] >= 1),
    () =>
      `a window that reaches over ${by(reach)} does not fit into ${formatShape(given)} with padding ${by(w.padding)}`,
  )
  faults.throwShape(op, [given])
  return [n, c, ...counts]
}

/** Runs a pooling of [N, C, H, W] on [C, H, W] too. Errors show the shape that was given. */
export function onImages<R extends Tensor | readonly Tensor[]>(
  op: string,
  x: Tensor,
  window: Window | null,
  pool: (images: Tensor) => R,
): R {
  const images = x.ndim === 3 ? unsqueeze(x, 0) : x
  if (x.ndim === 3 && window !== null) pooledShape(op, images, window, x.sizes)
  return each(
    widened(op, [images], ([wide]) => pool(wide)),
    (y) => (x.ndim === 3 ? squeeze(y, 0) : y),
  )
}

/** Runs a pooling of [N, C, 1, L] on [N, C, L] or [C, L]. Errors of its parts are reported under its name. */
export function onSignals<R extends Tensor | readonly Tensor[]>(op: string, x: Tensor, pool: (images: Tensor) => R): R {
  if (x.ndim !== 2 && x.ndim !== 3)
    throw new ShapeError(op, `x must be [N, C, L] or [C, L], but is ${formatShape(x.sizes)}`, [x.sizes])
  const lead = x.ndim === 2 ? [1, x.sizes[0] as number] : x.sizes.slice(0, 2)
  const images = reshape(x, [...lead, 1, x.sizes[x.ndim - 1] as number])
  return namedAs(op, () =>
    each(
      widened(op, [images], ([wide]) => pool(wide)),
      (y) => reshape(y, [...x.sizes.slice(0, -1), y.sizes[3] as number]),
    ),
  )
}
