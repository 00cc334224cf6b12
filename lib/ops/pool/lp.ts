/** Pooling by norms. */

import { checkTensor } from '../../autograd/operator.js'
import { namedAs, shown, ValueError } from '../../core/errors.js'
import { checkOptions, type OptionNames } from '../../core/options.js'
import type { Tensor } from '../../core/tensor.js'
import type { Single } from '../conv-options.js'
import { abs, mul, neg, pow, relu, sign } from '../elementwise/index.js'
import type { Pair } from '../pair.js'
import { type Triple, triple } from '../triple.js'
import { widened } from '../widened.js'
import { avgPool1d, avgPool2d } from './average.js'
import { maxPool1d, maxPool2d } from './max.js'
import { avgPool3d, maxPool3d } from './volume.js'
import { readPair, readSingle } from './window.js'

interface LpPoolOptions<S, C> {
  /** Default: the kernel's size. */
  readonly stride?: S | undefined
  /** Whether a last window counts that begins inside but extends beyond the end. Default false. */
  readonly ceilMode?: C | undefined
}

export interface LpPool1dOptions<S extends Single = Single, C extends boolean = boolean> extends LpPoolOptions<S, C> {}
export interface LpPool2dOptions<S extends Pair = Pair, C extends boolean = boolean> extends LpPoolOptions<S, C> {}
export interface LpPool3dOptions<S extends Triple = Triple, C extends boolean = boolean> extends LpPoolOptions<S, C> {}

const lpPoolNames: OptionNames<LpPool2dOptions> = { stride: true, ceilMode: true }

/** Throws ValueError unless p is valid as the power of a norm. */
export function checkNorm(op: string, p: number): number {
  if (typeof p !== 'number' || Number.isNaN(p) || p === 0)
    throw new ValueError(op, `p is ${shown(p)}, but must be a number other than 0`)
  return p
}

/** The norms of windows, from means or maxima of windows. The gradient of a sum of 0 is 0, as in PyTorch. */
function lpPool(
  op: string,
  x: Tensor,
  p: number,
  count: number,
  average: (x: Tensor) => Tensor,
  largest: (x: Tensor) => Tensor,
): Tensor {
  checkNorm(op, p)
  return namedAs(op, () => {
    if (p === Number.POSITIVE_INFINITY) return largest(abs(x))
    if (p === Number.NEGATIVE_INFINITY) return neg(largest(neg(abs(x))))
    return widened(op, [x], ([wide]) => {
      const means = average(pow(wide, p))
      return pow(mul(mul(sign(means), relu(abs(means))), count), 1 / p)
    })
  })
}

/**
 * (sum x^p)^(1/p) over each window of x [N, C, H, W] or [C, H, W]; for infinite p the largest, or the smallest, |x|.
 * Throws ShapeError for windows that do not fit.
 */
export function lpPool2d(x: Tensor, p: number, kernelSize: Pair, options: LpPool2dOptions = {}): Tensor {
  checkTensor('lpPool2d', 'x', x)
  const { stride, ceilMode } = checkOptions('lpPool2d', options, lpPoolNames)
  const [h, w] = readPair('lpPool2d', 'kernelSize', kernelSize, 1)
  return lpPool(
    'lpPool2d',
    x,
    p,
    h * w,
    (y) => avgPool2d(y, kernelSize, { stride, ceilMode }),
    (y) => maxPool2d(y, kernelSize, { stride, ceilMode }),
  )
}

/** (sum x^p)^(1/p) over each window of x [N, C, L] or [C, L]; see lpPool2d. */
export function lpPool1d(x: Tensor, p: number, kernelSize: Single, options: LpPool1dOptions = {}): Tensor {
  checkTensor('lpPool1d', 'x', x)
  const { stride, ceilMode } = checkOptions('lpPool1d', options, lpPoolNames as OptionNames<LpPool1dOptions>)
  const [, count] = readSingle('lpPool1d', 'kernelSize', kernelSize, 1)
  return lpPool(
    'lpPool1d',
    x,
    p,
    count,
    (y) => avgPool1d(y, kernelSize, { stride, ceilMode }),
    (y) => maxPool1d(y, kernelSize, { stride, ceilMode }),
  )
}

/** (sum x^p)^(1/p) over each window of x [N, C, D, H, W] or [C, D, H, W]; see lpPool2d. */
export function lpPool3d(x: Tensor, p: number, kernelSize: Triple, options: LpPool3dOptions = {}): Tensor {
  checkTensor('lpPool3d', 'x', x)
  const { stride, ceilMode } = checkOptions('lpPool3d', options, lpPoolNames as OptionNames<LpPool3dOptions>)
  const [d, h, w] = triple('lpPool3d', 'kernelSize', kernelSize, 1)
  return lpPool(
    'lpPool3d',
    x,
    p,
    d * h * w,
    (y) => avgPool3d(y, kernelSize, { stride, ceilMode }),
    (y) => maxPool3d(y, kernelSize, { stride, ceilMode }),
  )
}
