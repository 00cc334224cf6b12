/**
 * The windows of pooling in three dimensions. A pooling of a volume is one of its planes, followed by one along the
 * depth.
 */
import { Faults, formatShape, namedAs } from '../../core/errors.js'
import { checkFlag } from '../../core/options.js'
import type { Tensor } from '../../core/tensor.js'
import { reshape, squeeze, unsqueeze } from '../shape/index.js'
import { by, type Each3, type Triple, triple } from '../triple.js'
import { each, widened } from '../widened.js'
import { type Window, type WindowOptions, windowsAlong } from './window.js'

interface VolumeWindow {
  readonly kernel: Each3
  readonly stride: Each3
  readonly padding: Each3
  readonly dilation: Each3
  readonly ceilMode: boolean
}

/** The window of a call. Throws ValueError if it is invalid. */
export function volumeWindow(
  op: string,
  kernelSize: Triple,
  options: WindowOptions<Triple> & { readonly dilation?: Triple | undefined },
): VolumeWindow {
  const { stride, padding = 0, dilation = 1, ceilMode = false } = options
  checkFlag(op, 'ceilMode', ceilMode)
  return {
    kernel: triple(op, 'kernelSize', kernelSize, 1),
    stride: triple(op, 'stride', stride ?? kernelSize, 1),
    padding: triple(op, 'padding', padding, 0),
    dilation: triple(op, 'dilation', dilation, 1),
    ceilMode,
  }
}

/** The part of a window within planes. */
export function planar({ kernel, stride, padding, dilation, ceilMode }: VolumeWindow): Window {
  return {
    kernel: [kernel[1], kernel[2]],
    stride: [stride[1], stride[2]],
    padding: [padding[1], padding[2]],
    dilation: [dilation[1], dilation[2]],
    ceilMode,
  }
}

/** The part of a window along the depth, where each plane is a row. */
export function deep({ kernel, stride, padding, dilation, ceilMode }: VolumeWindow): Window {
  return {
    kernel: [kernel[0], 1],
    stride: [stride[0], 1],
    padding: [padding[0], 0],
    dilation: [dilation[0], 1],
    ceilMode,
  }
}

/** Throws a ShapeError that names all misfits of windows and x [N, C, D, H, W], which the program gave as `given`. */
function checkWindows(op: string, x: Tensor, w: VolumeWindow, given: Tensor): void {
  const faults = new Faults()
  const shape = formatShape(given.sizes)
  faults.check(x.ndim === 5, () => `x must be [N, C, D, H, W] or [C, D, H, W], but is ${shape}`)
  faults.check(
    w.padding.every((amount, d) => 2 * amount <= (w.kernel[d] as number)),
    () => `padding ${by(w.padding)} is more than half of the kernel ${by(w.kernel)}`,
  )
  const [, , d = 0, height = 0, width = 0] = x.sizes
  const counts = [windowsAlong(d, deep(w), 0), windowsAlong(height, planar(w), 0), windowsAlong(width, planar(w), 1)]
  const reach = w.kernel.map((size, i) => (w.dilation[i] as number) * (size - 1) + 1)
  faults.check(
    x.ndim !== 5 || counts.every((count, i) => count >= 1 && (x.sizes[2 + i] as number) + 2 * (w.padding[i] ?? 0) >= 1),
    () => `a window that reaches over ${by(reach)} does not fit into ${shape} with padding ${by(w.padding)}`,
  )
  faults.throwShape(op, [given.sizes])
}

/** Runs a pooling of [N, C, D, H, W] on [C, D, H, W] too. Errors of its parts are reported under its name. */
export function onVolumes<R extends Tensor | readonly Tensor[]>(
  op: string,
  x: Tensor,
  window: VolumeWindow | null,
  pool: (volumes: Tensor) => R,
): R {
  const single = x.ndim === 4
  const volumes = single ? unsqueeze(x, 0) : x
  if (window !== null) checkWindows(op, volumes, window, x)
  return namedAs(op, () =>
    each(
      widened(op, [volumes], ([wide]) => pool(wide)),
      (y) => (single ? squeeze(y, 0) : y),
    ),
  )
}

/** The planes of x [N, C, D, H, W] as images [N, C * D, H, W]. */
export function planesOf(x: Tensor): Tensor {
  const [n = 0, c = 0, d = 0, h = 0, w = 0] = x.sizes
  return reshape(x, [n, c * d, h, w])
}

/** Pooled planes [N, C * D, P, Q] of x [N, C, D, H, W] as images [N, C, D, P * Q], whose rows are the planes. */
export function rowsOf(planes: Tensor, x: Tensor): Tensor {
  const [n = 0, c = 0, d = 0] = x.sizes
  return reshape(planes, [n, c, d, (planes.sizes[2] as number) * (planes.sizes[3] as number)])
}

/** Pooled rows [N, C, D', P * Q] as volumes [N, C, D', P, Q]. */
export function volumesOf(rows: Tensor, planes: Tensor): Tensor {
  return reshape(rows, [...rows.sizes.slice(0, 3), ...planes.sizes.slice(2)])
}
