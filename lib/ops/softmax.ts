/** Softmax and its logarithm over one dimension. */

import { apply, checkTensor, type Operator } from '../autograd/operator.js'
import type { DType } from '../core/dtype.js'
import { defineMethods } from '../core/methods.js'
import { normalizeDim, type Shape } from '../core/shape.js'
import type { Tensor } from '../core/tensor.js'
import { like } from './common.js'
import { div, exp, log, mul, sub } from './elementwise/index.js'
import { kernel, operator } from './operator.js'
import { peakOf } from './peak.js'
import { sum } from './reduce/index.js'
import { widened } from './widened.js'

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
