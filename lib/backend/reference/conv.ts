/**
 * Convolution (cross-correlation) and its two gradients as products of matrices, NCHW and OIHW.
 *
 *   out[n, o, p, q] = bias[o] + sum over c, i, j of weight[o, c, i, j] x[n, c, p sH - padH + i dH, q sW - padW + j dW]
 *
 * N images, C channels and O outputs of one group, a kernel of R x S, P x Q windows; sH, sW the strides, dH, dW the
 * dilations. The matrix of patches (K. Chellapilla et al., 2006) is not built. Its element for a window and a tap lies
 * at the window's position plus the tap's, in a copy of the image with zeros around it. gemm reads it there.
 */
import { mostEntries } from '../../core/room.js'
import type { KernelArguments, Kernels } from '../table/index.js'
import { gemm, type Matrix, spaced } from './gemm.js'
import { both, type HostView } from './view.js'

type Options = Omit<KernelArguments<'conv2d_forward', HostView>, 'out' | 'x' | 'weight' | 'bias' | 'relu'>

/** The options of each of the two dimensions. */
function planar({ stride, padding, dilation }: Options) {
  const [strideH, strideW] = both('conv2d', 'stride', stride)
  const [padH, padW] = both('conv2d', 'padding', padding)
  const [dilationH, dilationW] = both('conv2d', 'dilation', dilation)
  return { strideH, strideW, padH, padW, dilationH, dilationW }
}

/** Planes with zeros around them: `top` rows above and `left` columns before, height x width in all. */
class Frame {
  readonly data: Float64Array

  constructor(
    readonly planes: number,
    readonly height: number,
    readonly width: number,
    readonly top: number,
    readonly left: number,
  ) {
    this.data = new Float64Array(planes * height * width)
  }

  fill(from: HostView['data'], offset: number, H: number, W: number): void {
    for (let plane = 0; plane < this.planes; plane++) {
      for (let y = 0; y < H; y++) {
        const to = (plane * this.height + y + this.top) * this.width + this.left
        const row = offset + (plane * H + y) * W
        for (let x = 0; x < W; x++) this.data[to + x] = from[row + x] as number
      }
    }
  }

  /** The positions of rows x columns, evenly spaced. */
  grid(rows: number, rowStep: number, columns: number, columnStep: number): number[] {
    if (rows * columns > mostEntries) throw new RangeError(`Invalid array length: ${rows * columns}`)
    const table: number[] = []
    for (let y = 0; y < rows; y++) {
      for (let x = 0; x < columns; x++) table.push(y * rowStep * this.width + x * columnStep)
    }
    return table
  }

  /** The positions of `tap` in every plane. */
  inPlanes(taps: readonly number[]): number[] {
    return spaced(this.planes, this.height * this.width).flatMap((plane) => taps.map((tap) => plane + tap))
  }
}

/** The sizes of one group, and the beginnings of groups. */
function geometry(image: HostView, weight: readonly number[], windows: HostView, groups: number) {
  const [N, channels, H, W] = image.shape as [number, number, number, number]
  const [outputs, C, R, S] = weight as [number, number, number, number]
  const [P, Q] = windows.shape.slice(2) as [number, number]
  const O = outputs / groups
  return {
    N,
    C,
    O,
    H,
    W,
    R,
    S,
    P,
    Q,
    imageAt: (n: number, g: number) => image.offset + (n * channels + g * C) * H * W,
    windowsAt: (n: number, g: number) => windows.offset + (n * outputs + g * O) * P * Q,
    weightAt: (g: number) => g * O * C * R * S,
  }
}

/** A frame for the images of a group, and the positions of windows and taps in it. */
function patches(sizes: ReturnType<typeof geometry>, options: Options) {
  const { C, H, W, R, S, P, Q } = sizes
  const { strideH, strideW, padH, padW, dilationH, dilationW } = planar(options)
  const frame = new Frame(C, H + 2 * padH, W + 2 * padW, padH, padW)
  return {
    frame,
    windows: frame.grid(P, strideH, Q, strideW),
    taps: frame.inPlanes(frame.grid(R, dilationH, S, dilationW)),
  }
}

/** out [O, P Q] = weight [O, C R S] patches [C R S, P Q] */
function conv2d_forward(args: KernelArguments<'conv2d_forward', HostView>): void {
  const { out, x, weight, bias, relu, ...options } = args
  const sizes = geometry(x, weight.shape, out, options.groups)
  const { N, C, O, H, W, R, S, P, Q } = sizes
  const { frame, windows, taps } = patches(sizes, options)
  const terms = spaced(C * R * S, 1)
  const places = spaced(P * Q, 1)
  const everywhere = spaced(P * Q, 0)
  for (let g = 0; g < options.groups; g++) {
    const kernel = { data: weight.data, rows: spaced(O, C * R * S, weight.offset + sizes.weightAt(g)), cols: terms }
    const initial = bias && { data: bias.data, rows: spaced(O, 1, bias.offset + g * O), cols: everywhere }
    for (let n = 0; n < N; n++) {
      frame.fill(x.data, sizes.imageAt(n, g), H, W)
      gemm(
        { data: out.data, rows: spaced(O, P * Q, sizes.windowsAt(n, g)), cols: places },
        kernel,
        { data: frame.data, rows: taps, cols: windows },
        initial,
      )
    }
  }
  if (!relu) return
  for (let i = 0; i < N * options.groups * O * P * Q; i++)
    out.data[out.offset + i] = Math.max(out.data[out.offset + i] as number, 0)
}

/** dweight [O, C R S] = sum over images of dy [O, P Q] patches^T [P Q, C R S], gathered in float64 */
function conv2d_weight_gradient(args: KernelArguments<'conv2d_weight_gradient', HostView>): void {
  const { dweight, dy, x, ...options } = args
  const sizes = geometry(x, dweight.shape, dy, options.groups)
  const { N, C, O, H, W, R, S, P, Q } = sizes
  const { frame, windows, taps } = patches(sizes, options)
  const terms = C * R * S
  const places = spaced(P * Q, 1)
  for (let g = 0; g < options.groups; g++) {
    const total: Matrix = { data: new Float64Array(O * terms), rows: spaced(O, terms), cols: spaced(terms, 1) }
    for (let n = 0; n < N; n++) {
      frame.fill(x.data, sizes.imageAt(n, g), H, W)
      gemm(
        total,
        { data: dy.data, rows: spaced(O, P * Q, sizes.windowsAt(n, g)), cols: places },
        { data: frame.data, rows: windows, cols: taps },
        total,
      )
    }
    dweight.data.set(total.data, dweight.offset + sizes.weightAt(g))
  }
}

/**
 * The taps and windows that reach the positions h = first, first + stride, ... of an image along one dimension. These
 * are the taps i for which h + pad - i dilation is a multiple of the stride. Each has its window, relative to h's
 * number.
 */
function phase(first: number, size: number, taps: number, stride: number, pad: number, dilation: number) {
  const reach: { tap: number; window: number }[] = []
  for (let tap = 0; tap < taps; tap++) {
    const place = first + pad - tap * dilation
    if (place % stride === 0) reach.push({ tap, window: place / stride })
  }
  return { count: Math.ceil((size - first) / stride), reach }
}

/**
 * dx [C, H W] = weight^T [C, O R S] windows [O R S, H W], where a row of the second factor holds the elements of dy
 * under one tap. Positions of the image that differ by strides see the same taps, so there is one product for each of
 * the sH sW phases.
 */
function conv2d_input_gradient(args: KernelArguments<'conv2d_input_gradient', HostView>): void {
  const { dx, dy, weight, ...options } = args
  const { groups } = options
  const { strideH, strideW, padH, padW, dilationH, dilationW } = planar(options)
  const sizes = geometry(dx, weight.shape, dy, groups)
  const { N, C, O, H, W, R, S, P, Q } = sizes
  // The windows that positions reach, from the last tap's at the first position to the first tap's at the last
  // position.
  const top = Math.max(0, Math.ceil(((R - 1) * dilationH - padH) / strideH))
  const left = Math.max(0, Math.ceil(((S - 1) * dilationW - padW) / strideW))
  const height = top + Math.max(P, Math.floor((H - 1 + padH) / strideH) + 1)
  const width = left + Math.max(Q, Math.floor((W - 1 + padW) / strideW) + 1)
  const frame = new Frame(O, height, width, top, left)

  const phases: { positions: number[]; windows: number[]; taps: number[]; weights: number[] }[] = []
  for (let h = 0; h < Math.min(strideH, H); h++) {
    const y = phase(h, H, R, strideH, padH, dilationH)
    for (let w = 0; w < Math.min(strideW, W); w++) {
      const x = phase(w, W, S, strideW, padW, dilationW)
      const pairs = y.reach.flatMap((i) => x.reach.map((j) => ({ i, j })))
      phases.push({
        positions: spaced(y.count, strideH * W, h * W + w).flatMap((row) => spaced(x.count, strideW, row)),
        windows: frame.grid(y.count, 1, x.count, 1),
        taps: frame.inPlanes(pairs.map(({ i, j }) => (i.window + top) * width + j.window + left)),
        weights: spaced(O, C * R * S).flatMap((o) => pairs.map(({ i, j }) => o + i.tap * S + j.tap)),
      })
    }
  }

  for (let g = 0; g < groups; g++) {
    const channels = spaced(C, R * S, weight.offset + sizes.weightAt(g))
    for (let n = 0; n < N; n++) {
      frame.fill(dy.data, sizes.windowsAt(n, g), P, Q)
      for (const { positions, windows, taps, weights } of phases) {
        gemm(
          { data: dx.data, rows: spaced(C, H * W, sizes.imageAt(n, g)), cols: positions },
          { data: weight.data, rows: channels, cols: weights },
          { data: frame.data, rows: taps, cols: windows },
        )
      }
    }
  }
}

export const conv = { conv2d_forward, conv2d_input_gradient, conv2d_weight_gradient } satisfies Pick<
  Kernels<HostView>,
  'conv2d_forward' | 'conv2d_input_gradient' | 'conv2d_weight_gradient'
>
