/** Two-dimensional max and average pooling over [N, C, H, W] or [C, H, W]. */
import {
  apply,
  applyAll,
  checkDType,
  checkTensor,
  defineOperator,
  type OperatorRecord,
  type TensorSpec,
} from '../autograd/operator.js'
import { empty, run } from '../backend/dispatch.js'
import { kernels } from '../backend/table/index.js'
import { Faults, formatShape } from '../core/errors.js'
import { checkFlag, checkOptions, type OptionNames } from '../core/options.js'
import { countOf, type Shape } from '../core/shape.js'
import type { Tensor } from '../core/tensor.js'
import { type Both, type Pair, pair } from './conv.js'
import { floating } from './elementwise/common.js'
import { gather } from './indexing.js'
import { reshape, squeeze, unsqueeze } from './shape.js'

interface Window {
  readonly kernel: Both
  readonly stride: Both
  readonly padding: Both
}

type MaxPool = Window & { readonly dilation: Both }
type AvgPool = Window & { readonly countIncludePad: boolean }

function pooledShape(op: string, x: Tensor, a: Window, [dilationH, dilationW]: Both): Shape {
  checkDType(op, 'x', x, floating)
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
const maxPoolRecord: OperatorRecord<MaxPool> = defineOperator<MaxPool>({
  name: 'maxPool2d',
  precision: kernels.max_pool2d_forward.precision,
  infer([x], attrs) {
    const shape = pooledShape('maxPool2d', x as Tensor, attrs, attrs.dilation)
    return [
      { shape, dtype: (x as Tensor).dtype },
      { shape, dtype: 'int32' },
    ]
  },
  forward([x], attrs, [spec]) {
    const { shape, dtype } = spec as TensorSpec
    const { device } = x as Tensor
    const out = empty(device, shape, dtype, 'maxPool2d')
    const indices = empty(device, shape, 'int32', 'maxPool2d')
    run('max_pool2d_forward', { out, indices, x: x as Tensor, ...attrs })
    return [out, indices]
  },
  gradient: {
    saves: () => ({ outputs: [1] }),
    backward: (ctx, [g]) => [apply(maxUnpoolRecord, [g as Tensor, ctx.output(1)], ctx.spec(0).shape)],
  },
})

function gradientSpec(op: string, dy: Tensor, shape: Shape): TensorSpec {
  checkDType(op, 'the gradient', dy, floating)
  return { shape, dtype: dy.dtype }
}

/** Gradients put back where the maxima were. */
const maxUnpoolRecord: OperatorRecord<Shape> = defineOperator<Shape>({
  name: 'max_pool2d_backward',
  precision: kernels.max_pool2d_backward.precision,
  infer: ([dy], shape) => gradientSpec('max_pool2d_backward', dy as Tensor, shape),
  forward(inputs, shape, [spec]) {
    const [dy, indices] = inputs as [Tensor, Tensor]
    const dx = empty(dy.device, shape, (spec as TensorSpec).dtype, 'maxPool2d backward')
    run('max_pool2d_backward', { dx, dy, indices })
    return dx
  },
  gradient: {
    saves: () => ({ inputs: [1] }),
    backward(ctx, [g]) {
      const indices = ctx.input(1)
      const [n = 0, c = 0] = ctx.attrs
      const plane = (x: Tensor) => reshape(x, [n, c, countOf(x.sizes.slice(2))])
      return [reshape(gather(plane(g as Tensor), 2, plane(indices)), indices.sizes), null]
    },
  },
})

const avgPoolRecord: OperatorRecord<AvgPool> = defineOperator<AvgPool>({
  name: 'avgPool2d',
  precision: kernels.avg_pool2d_forward.precision,
  infer: ([x], attrs) => ({ shape: pooledShape('avgPool2d', x as Tensor, attrs, [1, 1]), dtype: (x as Tensor).dtype }),
  forward([x], attrs, [spec]) {
    const { shape, dtype } = spec as TensorSpec
    const out = empty((x as Tensor).device, shape, dtype, 'avgPool2d')
    run('avg_pool2d_forward', { out, x: x as Tensor, ...attrs })
    return out
  },
  gradient: {
    saves: () => ({}),
    backward: (ctx, [g]) => [apply(avgUnpoolRecord, [g as Tensor], { ...ctx.attrs, shape: ctx.spec(0).shape })],
  },
})

/** The transpose of average pooling. */
const avgUnpoolRecord: OperatorRecord<AvgPool & { readonly shape: Shape }> = defineOperator<
  AvgPool & { readonly shape: Shape }
>({
  name: 'avg_pool2d_backward',
  precision: kernels.avg_pool2d_backward.precision,
  infer: ([dy], { shape }) => gradientSpec('avg_pool2d_backward', dy as Tensor, shape),
  forward([dy], { shape, ...attrs }, [spec]) {
    const dx = empty((dy as Tensor).device, shape, (spec as TensorSpec).dtype, 'avgPool2d backward')
    run('avg_pool2d_backward', { dx, dy: dy as Tensor, ...attrs })
    return dx
  },
  gradient: {
    saves: () => ({}),
    backward({ attrs: { shape: _shape, ...attrs } }, [g]) {
      return [apply(avgPoolRecord, [g as Tensor], attrs)]
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
  return batched(x, (images) => applyAll(maxPoolRecord, [images], attrs)[0] as Tensor)
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
