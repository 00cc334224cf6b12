/** Two-dimensional max and average pooling over [N, C, H, W] or [C, H, W]. */
import { apply, checkTensor, type Operator } from '../autograd/operator.js'
import { Faults, formatShape } from '../core/errors.js'
import { checkFlag, checkOptions, type OptionNames } from '../core/options.js'
import { countOf, type Shape } from '../core/shape.js'
import type { Tensor } from '../core/tensor.js'
import { like } from './common.js'
import { gather } from './indexing/index.js'
import { kernel, operator } from './operator.js'
import { type Both, type Pair, pair } from './pair.js'
import { reshape, squeeze, unsqueeze } from './shape/index.js'

interface Window {
  readonly kernel: Both
  readonly stride: Both
  readonly padding: Both
}

type MaxPool = Window & { readonly dilation: Both }
type AvgPool = Window & { readonly countIncludePad: boolean }

function pooledShape(op: string, x: Tensor, a: Window, [dilationH, dilationW]: Both): Shape {
  const faults = new Faults()
  faults.check(x.ndim === 4, () => `x must be [N, C, H, W], but is ${formatShape(x.sizes)}`)
  const [n = 0, c = 0, h = 0, w = 0] = x.sizes
  const [kernelH, kernelW] = a.kernel
  const [strideH, strideW] = a.stride
  const [padH, padW] = a.padding
  const reachH = dilationH * (kernelH - 1) + 1
  const reachW = dilationW * (kernelW - 1) + 1
  faults.check(
    padH * 2 <= kernelH && padW * 2 <= kernelW,
    () => `padding ${padH} x ${padW} is more than half of the kernel ${kernelH} x ${kernelW}`,
  )
  faults.check(
    reachH <= h + 2 * padH && reachW <= w + 2 * padW,
    () =>
      `a window that reaches over ${reachH} x ${reachW} does not fit into ${formatShape(x.sizes)} with padding ${padH} x ${padW}`,
  )
  faults.throwShape(op, [x.sizes])
  return [n, c, Math.floor((h + 2 * padH - reachH) / strideH) + 1, Math.floor((w + 2 * padW - reachW) / strideW) + 1]
}

/** Extra output: where each maximum lies in its plane. */
const maxPoolRecord = operator<[x: Tensor], MaxPool, [out: Tensor], [indices: Tensor]>({
  name: 'maxPool2d',
  infer([x], attrs) {
    const shape = pooledShape('maxPool2d', x, attrs, attrs.dilation)
    return [like(x, shape), { shape, dtype: 'int32' }]
  },
  forward: kernel('max_pool2d_forward', ([x], attrs, { out, indices }) => ({ out, indices, x, ...attrs })),
  gradient: {
    saves: () => ({ outputs: [1] }),
    backward: (ctx, [g]) => [apply(maxUnpoolRecord, [g, ctx.output(1)], ctx.spec(0).shape)],
  },
})

/** Gradients put back where the maxima were. */
const maxUnpoolRecord = operator<[dy: Tensor, indices: Tensor], Shape>({
  name: 'max_pool2d_backward',
  infer: ([dy], shape) => like(dy, shape),
  forward: kernel('max_pool2d_backward', ([dy, indices], _shape, { dx }) => ({ dx, dy, indices })),
  gradient: {
    saves: () => ({ inputs: [1] }),
    backward(ctx, [g]) {
      const indices = ctx.input(1)
      const [n = 0, c = 0] = ctx.attrs
      const plane = (x: Tensor) => reshape(x, [n, c, countOf(x.sizes.slice(2))])
      return [reshape(gather(plane(g), 2, plane(indices)), indices.sizes), null]
    },
  },
})

const avgPoolRecord: Operator<[x: Tensor], AvgPool> = operator<[x: Tensor], AvgPool>({
  name: 'avgPool2d',
  infer: ([x], attrs) => like(x, pooledShape('avgPool2d', x, attrs, [1, 1])),
  forward: kernel('avg_pool2d_forward', ([x], attrs, { out }) => ({ out, x, ...attrs })),
  gradient: {
    saves: () => ({}),
    backward: (ctx, [g]) => [apply(avgUnpoolRecord, [g], { ...ctx.attrs, shape: ctx.spec(0).shape })],
  },
})

/** The transpose of average pooling. */
const avgUnpoolRecord = operator<[dy: Tensor], AvgPool & { readonly shape: Shape }>({
  name: 'avg_pool2d_backward',
  infer: ([dy], { shape }) => like(dy, shape),
  forward: kernel('avg_pool2d_backward', ([dy], { shape: _, ...attrs }, { dx }) => ({ dx, dy, ...attrs })),
  gradient: {
    saves: () => ({}),
    backward({ attrs: { shape: _, ...attrs } }, [g]) {
      return [apply(avgPoolRecord, [g], attrs)]
    },
  },
})

/** Runs a pooling of [N, C, H, W] on an image without N too. */
function batched(x: Tensor, pool: (x: Tensor) => Tensor): Tensor {
  return x.ndim === 3 ? squeeze(pool(unsqueeze(x, 0)), 0) : pool(x)
}

export interface MaxPool2dOptions {
  /** Default: the kernel's size. */
  readonly stride?: Pair | undefined
  readonly padding?: Pair | undefined
  readonly dilation?: Pair | undefined
}

const maxPool2dNames: OptionNames<MaxPool2dOptions> = { stride: true, padding: true, dilation: true }

function window(op: string, kernelSize: Pair, stride: Pair | undefined, padding: Pair | undefined): Window {
  return {
    kernel: pair(op, 'kernelSize', kernelSize, 1),
    stride: pair(op, 'stride', stride ?? kernelSize, 1),
    padding: pair(op, 'padding', padding ?? 0, 0),
  }
}

/** The largest element of each window; padding never wins. */
export function maxPool2d(x: Tensor, kernelSize: Pair, options: MaxPool2dOptions = {}): Tensor {
  checkTensor('maxPool2d', 'x', x)
  const { stride, padding, dilation } = checkOptions('maxPool2d', options, maxPool2dNames)
  const attrs = {
    ...window('maxPool2d', kernelSize, stride, padding),
    dilation: pair('maxPool2d', 'dilation', dilation ?? 1, 1),
  }
  return batched(x, (images) => apply(maxPoolRecord, [images], attrs))
}

export interface AvgPool2dOptions {
  /** Default: the kernel's size. */
  readonly stride?: Pair | undefined
  readonly padding?: Pair | undefined
  /** Whether zeros of the padding count in the mean. Default true. */
  readonly countIncludePad?: boolean
}

const avgPool2dNames: OptionNames<AvgPool2dOptions> = { stride: true, padding: true, countIncludePad: true }

/** The mean of each window. */
export function avgPool2d(x: Tensor, kernelSize: Pair, options: AvgPool2dOptions = {}): Tensor {
  checkTensor('avgPool2d', 'x', x)
  const { stride, padding, countIncludePad = true } = checkOptions('avgPool2d', options, avgPool2dNames)
  checkFlag('avgPool2d', 'countIncludePad', countIncludePad)
  const attrs = { ...window('avgPool2d', kernelSize, stride, padding), countIncludePad }
  return batched(x, (images) => apply(avgPoolRecord, [images], attrs))
}
