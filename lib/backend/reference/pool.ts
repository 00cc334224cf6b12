/**
 * Pooling over windows of each H x W plane: N images of C planes, with PH x PW windows per plane. Padding lies outside
 * of the planes and is never read.
 */
import { countOf } from '../../core/shape.js'
import type { KernelArguments, Kernels } from '../table/index.js'
import { both, type HostView } from './view.js'
import { clear } from './walk.js'

interface Planes {
  readonly count: number
  readonly H: number
  readonly W: number
}

function planes({ shape }: HostView): Planes {
  return { count: countOf(shape.slice(0, -2)), H: shape.at(-2) ?? 1, W: shape.at(-1) ?? 1 }
}

/** The options of each of the two dimensions. */
function planar({ kernel, stride, padding }: Pick<AverageOptions, 'kernel' | 'stride' | 'padding'>) {
  const [kernelH, kernelW] = both('pool2d', 'kernel', kernel)
  const [strideH, strideW] = both('pool2d', 'stride', stride)
  const [padH, padW] = both('pool2d', 'padding', padding)
  return { kernelH, kernelW, strideH, strideW, padH, padW }
}

/** Visits the positions of a window's elements that lie inside the plane. */
type Covered = (p: number, q: number, visit: (h: number, w: number) => void) => void

/** The first maximum of each window, and its place. */
function maxima(out: HostView, indices: HostView, x: HostView, covered: Covered): void {
  const { count, W, H } = planes(x)
  const { H: PH, W: PW } = planes(out)
  const source = x.data
  let at = 0
  for (let plane = 0; plane < count; plane++) {
    const base = x.offset + plane * H * W
    for (let p = 0; p < PH; p++) {
      for (let q = 0; q < PW; q++, at++) {
        let best = Number.NEGATIVE_INFINITY
        let index = -1
        covered(p, q, (h, w) => {
          const value = source[base + h * W + w] as number
          if (index >= 0 && !(value > best) && (!Number.isNaN(value) || Number.isNaN(best))) return
          best = value
          index = h * W + w
        })
        out.data[out.offset + at] = best
        indices.data[indices.offset + at] = index
      }
    }
  }
}

function max_pool2d_forward(args: KernelArguments<'max_pool2d_forward', HostView>): void {
  const { out, indices, x } = args
  const { kernelH, kernelW, strideH, strideW, padH, padW } = planar(args)
  const [dilationH, dilationW] = both('maxPool2d', 'dilation', args.dilation)
  const { H, W } = planes(x)
  maxima(out, indices, x, (p, q, visit) => {
    for (let i = 0; i < kernelH; i++) {
      const h = p * strideH - padH + i * dilationH
      if (h < 0 || h >= H) continue
      for (let j = 0; j < kernelW; j++) {
        const w = q * strideW - padW + j * dilationW
        if (w >= 0 && w < W) visit(h, w)
      }
    }
  })
}

function adaptive_max_pool2d_forward(args: KernelArguments<'adaptive_max_pool2d_forward', HostView>): void {
  const { out, indices, x } = args
  const { H, W } = planes(x)
  const { H: PH, W: PW } = planes(out)
  maxima(out, indices, x, (p, q, visit) => {
    const [bottom, right] = [Math.ceil(((p + 1) * H) / PH), Math.ceil(((q + 1) * W) / PW)]
    for (let h = Math.floor((p * H) / PH); h < bottom; h++)
      for (let w = Math.floor((q * W) / PW); w < right; w++) visit(h, w)
  })
}

function max_pool2d_backward({ dx, dy, indices }: KernelArguments<'max_pool2d_backward', HostView>): void {
  const { count, H, W } = planes(dx)
  const windows = count === 0 ? 0 : countOf(dy.shape) / count
  clear(dx)
  for (let i = 0; i < count * windows; i++) {
    const index = indices.data[indices.offset + i] as number
    if (index < 0 || index >= H * W) continue
    const to = dx.offset + Math.floor(i / windows) * H * W + index
    dx.data[to] = (dx.data[to] as number) + (dy.data[dy.offset + i] as number)
  }
}

type AverageOptions = Omit<KernelArguments<'avg_pool2d_forward', HostView>, 'out' | 'x'>

/**
 * Calls f for each window, with its place in the pooled tensor, its rows and columns within the plane, and the divisor.
 */
function windows(
  pooled: HostView,
  image: HostView,
  options: AverageOptions,
  f: (at: number, base: number, h0: number, h1: number, w0: number, w1: number, divisor: number) => void,
): void {
  const { countIncludePad, divisor } = options
  const { kernelH, kernelW, strideH, strideW, padH, padW } = planar(options)
  const { count, H, W } = planes(image)
  const { H: PH, W: PW } = planes(pooled)
  let at = pooled.offset
  for (let plane = 0; plane < count; plane++) {
    const base = image.offset + plane * H * W
    for (let p = 0; p < PH; p++) {
      const top = p * strideH - padH
      const bottom = Math.min(top + kernelH, H + padH)
      const [h0, h1] = [Math.max(top, 0), Math.min(bottom, H)]
      for (let q = 0; q < PW; q++, at++) {
        const left = q * strideW - padW
        const right = Math.min(left + kernelW, W + padW)
        const [w0, w1] = [Math.max(left, 0), Math.min(right, W)]
        const counted = countIncludePad ? (bottom - top) * (right - left) : (h1 - h0) * (w1 - w0)
        f(at, base, h0, h1, w0, w1, divisor === 0 ? counted : divisor)
      }
    }
  }
}

function avg_pool2d_forward({ out, x, ...options }: KernelArguments<'avg_pool2d_forward', HostView>): void {
  const { W } = planes(x)
  windows(out, x, options, (at, base, h0, h1, w0, w1, divisor) => {
    let sum = 0
    for (let h = h0; h < h1; h++) for (let w = w0; w < w1; w++) sum += x.data[base + h * W + w] as number
    out.data[at] = sum / divisor
  })
}

function avg_pool2d_backward({ dx, dy, ...options }: KernelArguments<'avg_pool2d_backward', HostView>): void {
  const { W } = planes(dx)
  clear(dx)
  windows(dy, dx, options, (at, base, h0, h1, w0, w1, divisor) => {
    const share = (dy.data[at] as number) / divisor
    for (let h = h0; h < h1; h++) {
      for (let to = base + h * W + w0; to < base + h * W + w1; to++) dx.data[to] = (dx.data[to] as number) + share
    }
  })
}

export const pool = {
  max_pool2d_forward,
  adaptive_max_pool2d_forward,
  max_pool2d_backward,
  avg_pool2d_forward,
  avg_pool2d_backward,
} satisfies Pick<
  Kernels<HostView>,
  | 'max_pool2d_forward'
  | 'adaptive_max_pool2d_forward'
  | 'max_pool2d_backward'
  | 'avg_pool2d_forward'
  | 'avg_pool2d_backward'
>
