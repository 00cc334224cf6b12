/** Average pooling, and its transpose. */

import { apply, checkTensor, type Operator } from '../../autograd/operator.js'
import { shown, ValueError } from '../../core/errors.js'
import { checkFlag, checkOptions, type OptionNames } from '../../core/options.js'
import type { Shape } from '../../core/shape.js'
import type { Tensor } from '../../core/tensor.js'
import { like } from '../common.js'
import type { Single } from '../conv-options.js'
import { kernel, operator } from '../operator.js'
import type { Pair } from '../pair.js'
import {
  onImages,
  onSignals,
  pooledShape,
  readPair,
  readSingle,
  type Window,
  type WindowOptions,
  windowOf,
} from './window.js'

interface AvgPool extends Window {
  readonly countIncludePad: boolean
  /** The divisor of sums; 0 for the number of elements that count. */
  readonly divisor: number
}

/** The attributes of an average's window that kernels need. Everything else shows in the result's shape. */
function kernelWindow({ kernel, stride, padding, countIncludePad, divisor }: AvgPool) {
  return { kernel, stride, padding, countIncludePad, divisor }
}

export const avgPoolRecord: Operator<[x: Tensor], AvgPool> = operator<[x: Tensor], AvgPool>({
  name: 'avgPool2d',
  infer: ([x], attrs) => like(x, pooledShape('avgPool2d', x, attrs)),
  forward: kernel('avg_pool2d_forward', ([x], attrs, { out }) => ({ out, x, ...kernelWindow(attrs) })),
  gradient: {
    saves: () => ({}),
    backward: (ctx, [g]) => [apply(avgUnpoolRecord, [g], { ...ctx.attrs, shape: ctx.spec(0).shape })],
  },
})

/** The transpose of average pooling. */
const avgUnpoolRecord = operator<[dy: Tensor], AvgPool & { readonly shape: Shape }>({
  name: 'avg_pool2d_backward',
  infer: ([dy], { shape }) => like(dy, shape),
  forward: kernel('avg_pool2d_backward', ([dy], attrs, { dx }) => ({ dx, dy, ...kernelWindow(attrs) })),
  gradient: {
    saves: () => ({}),
    backward({ attrs: { shape: _, ...attrs } }, [g]) {
      return [apply(avgPoolRecord, [g], attrs)]
    },
  },
})

export interface AvgPool1dOptions<S extends Single = Single, P extends Single = Single, C extends boolean = boolean>
  extends WindowOptions<Single, S, P, C> {
  /** Whether zeros of the padding count in the mean. Default true. */
  readonly countIncludePad?: boolean | undefined
}

export interface AvgPool2dOptions<S extends Pair = Pair, P extends Pair = Pair, C extends boolean = boolean>
  extends WindowOptions<Pair, S, P, C> {
  /** Whether zeros of the padding count in the mean. Default true. */
  readonly countIncludePad?: boolean | undefined
  /** The divisor of sums, instead of the number of elements that count. Must not be 0. Default null. */
  readonly divisorOverride?: number | null | undefined
}

const avgPool1dNames: OptionNames<AvgPool1dOptions> = {
  stride: true,
  padding: true,
  ceilMode: true,
  countIncludePad: true,
}
export const avgPool2dNames: OptionNames<AvgPool2dOptions> = { ...avgPool1dNames, divisorOverride: true }

/** The divisor for the kernel; 0 for none. */
export function divisorOf(op: string, divisor: number | null | undefined): number {
  if (divisor === null || divisor === undefined) return 0
  if (!Number.isInteger(divisor) || divisor === 0 || Math.abs(divisor) >= 2 ** 31)
    throw new ValueError(op, `divisorOverride is ${shown(divisor)}, but must be an integer of 32 bits, not 0, or null`)
  return divisor
}

/**
 * The mean of each window of x [N, C, H, W] or [C, H, W]. Places beyond the padding never count. Throws ShapeError for
 * windows that do not fit.
 */
export function avgPool2d(x: Tensor, kernelSize: Pair, options: AvgPool2dOptions = {}): Tensor {
  checkTensor('avgPool2d', 'x', x)
  const { countIncludePad = true, divisorOverride } = checkOptions('avgPool2d', options, avgPool2dNames)
  checkFlag('avgPool2d', 'countIncludePad', countIncludePad)
  const divisor = divisorOf('avgPool2d', divisorOverride)
  const attrs = { ...windowOf('avgPool2d', readPair, kernelSize, options), countIncludePad, divisor }
  return onImages('avgPool2d', x, attrs, (images) => apply(avgPoolRecord, [images], attrs))
}

/** The mean of each window of x [N, C, L] or [C, L]. Throws ShapeError for windows that do not fit. */
export function avgPool1d(x: Tensor, kernelSize: Single, options: AvgPool1dOptions = {}): Tensor {
  checkTensor('avgPool1d', 'x', x)
  const { countIncludePad = true } = checkOptions('avgPool1d', options, avgPool1dNames)
  checkFlag('avgPool1d', 'countIncludePad', countIncludePad)
  const attrs = { ...windowOf('avgPool1d', readSingle, kernelSize, options), countIncludePad, divisor: 0 }
  return onSignals('avgPool1d', x, (images) => {
    pooledShape('avgPool1d', images, attrs, x.sizes, 1)
    return apply(avgPoolRecord, [images], attrs)
  })
}
