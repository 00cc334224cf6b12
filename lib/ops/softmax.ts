/** Softmax over one dimension, its logarithm, and a choice drawn by it. */

import { apply, checkDType, checkTensor, type Operator } from '../autograd/operator.js'
import type { DType } from '../core/dtype.js'
import { namedAs, ValueError } from '../core/errors.js'
import { checkGenerator, type Generator } from '../core/generator.js'
import { defineMethods } from '../core/methods.js'
import { checkFlag, checkOptions, type OptionNames } from '../core/options.js'
import { normalizeDim, type Shape } from '../core/shape.js'
import type { Tensor } from '../core/tensor.js'
import { anyFloating, checkScalar, like } from './common.js'
import { add, div, exp, log, mul, neg, sub } from './elementwise/index.js'
import { scatter } from './indexing/index.js'
import { kernel, operator } from './operator.js'
import { peakOf } from './peak.js'
import { rand } from './random.js'
import { argmax, sum } from './reduce/index.js'
import { detach } from './shape/index.js'
import { zerosLike } from './views.js'
import { once, widened } from './widened.js'

interface Softmax {
  readonly name: 'softmax' | 'logSoftmax'
  readonly kernel: 'softmax' | 'log_softmax'
  composite(x: Tensor, dim: number): Tensor
  /** The gradient from the output, by operators. */
  derivative(g: Tensor, y: Tensor, dim: number): Tensor
}

type SoftmaxOperator = Operator<[x: Tensor], number>

function define({ name, kernel: prefix, composite, derivative }: Softmax): SoftmaxOperator {
  return operator<[x: Tensor], number>({
    name,
    infer: ([x]) => like(x),
    forward: kernel(`${prefix}_forward`, ([x], dim, { out }) => ({ out, x, dim })),
    composite: ([x], dim) => composite(x, dim),
    gradient: {
      saves: () => ({ outputs: [0] }),
      backward: kernel(`${prefix}_backward`, (ctx, [dy], { dx }) => ({ dx, dy, y: ctx.output(0), dim: ctx.attrs })),
      formula: (ctx, [g]) => [derivative(g, ctx.output(0), ctx.attrs)],
    },
  })
}

const softmaxRecord = define({
  name: 'softmax',
  kernel: 'softmax',
  composite(x, dim) {
    const e = exp(sub(x, peakOf(x, dim)))
    return div(e, sum(e, dim, { keepdim: true }))
  },
  derivative: (g, y, dim) => mul(y, sub(g, sum(mul(g, y), dim, { keepdim: true }))),
})

const logSoftmaxRecord = define({
  name: 'logSoftmax',
  kernel: 'log_softmax',
  composite(x, dim) {
    // The largest element is subtracted first, because beside it the logarithm of the sum would lose digits.
    const shifted = sub(x, peakOf(x, dim))
    return sub(shifted, log(sum(exp(shifted), dim, { keepdim: true })))
  },
  derivative: (g, y, dim) => sub(g, mul(exp(y), sum(g, dim, { keepdim: true }))),
})

/**
 * exp(x) / sum(exp(x)) along `dim`, without overflow. The result has x's shape. bfloat16 is computed in float32 and
 * rounded once.
 */
export function softmax<S extends Shape, D extends DType>(x: Tensor<S, D>, dim: number): Tensor<S, D>
export function softmax(x: Tensor, dim: number): Tensor {
  checkTensor('softmax', 'x', x)
  const along = normalizeDim('softmax', dim, x.ndim)
  return widened('softmax', [x], ([wide]) => apply(softmaxRecord, [wide], along))
}

/** log(softmax(x)), accurate where softmax underflows. */
export function logSoftmax<S extends Shape, D extends DType>(x: Tensor<S, D>, dim: number): Tensor<S, D>
export function logSoftmax(x: Tensor, dim: number): Tensor {
  checkTensor('logSoftmax', 'x', x)
  const along = normalizeDim('logSoftmax', dim, x.ndim)
  return widened('logSoftmax', [x], ([wide]) => apply(logSoftmaxRecord, [wide], along))
}

/**
 * softmax(-x) along `dim`: the least elements of x get the greatest shares. The result has x's shape. Throws ValueError
 * for a dimension that x lacks, and DTypeError for integers.
 */
export function softmin<S extends Shape, D extends DType>(x: Tensor<S, D>, dim: number): Tensor<S, D>
export function softmin(x: Tensor, dim: number): Tensor {
  checkDType('softmin', 'x', x, anyFloating)
  return namedAs('softmin', () => softmax(neg(x), dim))
}

export interface GumbelSoftmaxOptions {
  /** The temperature: near 0 the result is nearly one-hot, and large ones make it even. Default 1. */
  readonly tau?: number
  /** Whether the result is one-hot. Its gradient is that of the soft result. Default false. */
  readonly hard?: boolean
  /** The dimension along which one is chosen. Default -1. */
  readonly dim?: number
  /** The generator of the noise; by default the one that `manualSeed` seeds. */
  readonly generator?: Generator | undefined
}

const gumbelNames: OptionNames<GumbelSoftmaxOptions> = { tau: true, hard: true, dim: true, generator: true }

/**
 * A choice along `dim` from the distribution softmax(logits), through which gradients flow: softmax((logits + noise) /
 * tau) with noise of the Gumbel distribution (Jang, Gu and Poole, 2017; Maddison, Mnih and Teh, 2017). The result has
 * the shape of the logits. Throws ValueError unless tau is more than 0, and DTypeError for integers.
 */
export function gumbelSoftmax<S extends Shape, D extends DType>(
  logits: Tensor<S, D>,
  options?: GumbelSoftmaxOptions,
): Tensor<S, D>
export function gumbelSoftmax(logits: Tensor, options: GumbelSoftmaxOptions = {}): Tensor {
  const op = 'gumbelSoftmax'
  const { tau = 1, hard = false, dim = -1, generator } = checkOptions(op, options, gumbelNames)
  if (!(checkScalar(op, 'tau', tau) > 0)) throw new ValueError(op, `tau is ${tau}, but must be more than 0`)
  checkFlag(op, 'hard', hard)
  checkGenerator(op, generator)
  checkDType(op, 'logits', logits, anyFloating)
  const along = normalizeDim(op, dim, logits.ndim)
  const { sizes, device } = logits
  const dtype = logits.dtype === 'float64' ? 'float64' : 'float32'
  // The ends keep both logarithms finite in float32: no number is 0, and none is rounded to 1.
  const drawn = rand(sizes, { low: 2 ** -25, high: 1 - 2 ** -23, dtype, device, generator })
  const noise = neg(log(neg(log(drawn))))
  return once(op, [logits], (x) => {
    const soft = softmax(div(add(x, noise), tau), along)
    if (!hard) return soft
    const rest = detach(soft)
    const chosen = argmax(rest, along, { keepdim: true })
    // The difference is exactly 0, and brings the gradient of the soft result.
    return add(scatter(zerosLike(rest), along, chosen, 1), sub(soft, rest))
  })
}

declare module '../core/tensor.js' {
  interface Tensor<S extends Shape = Shape, D extends DType = DType> {
    softmax(dim: number): Tensor<S, D>
    logSoftmax(dim: number): Tensor<S, D>
  }
}

defineMethods({
  softmax(dim: number) {
    return softmax(this, dim)
  },
  logSoftmax(dim: number) {
    return logSoftmax(this, dim)
  },
})
