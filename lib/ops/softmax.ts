/** Softmax and its logarithm over one dimension. */

import { apply, checkTensor, defineOperator, type OperatorRecord, type TensorSpec } from '../autograd/operator.js'
import { empty, run } from '../backend/dispatch.js'
import { kernels } from '../backend/table/index.js'
import type { DType } from '../core/dtype.js'
import { normalizeDim, type Shape } from '../core/shape.js'
import type { Tensor } from '../core/tensor.js'
import { checkedSpec, floating } from './elementwise/common.js'
import { div, exp, log, mul, sub } from './elementwise/index.js'
import { amax, sum } from './reduce.js'
import { detach } from './shape.js'

interface Softmax {
  readonly name: 'softmax' | 'logSoftmax'
  readonly kernel: 'softmax' | 'log_softmax'
  composite(x: Tensor, dim: number): Tensor
  /** The gradient from the output, in operators. */
  derivative(g: Tensor, y: Tensor, dim: number): Tensor
}

function define({ name, kernel, composite, derivative }: Softmax): OperatorRecord<number> {
  return defineOperator<number>({
    name,
    precision: kernels[`${kernel}_forward`].precision,
    infer: ([x]) => checkedSpec(name, x as Tensor, floating),
    forward([x], dim, [spec]) {
      const { shape, dtype } = spec as TensorSpec
      const out = empty((x as Tensor).device, shape, dtype, name)
      run(`${kernel}_forward`, { out, x: x as Tensor, dim })
      return out
    },
    composite: ([x], dim) => composite(x as Tensor, dim),
    gradient: {
      saves: () => ({ outputs: [0] }),
      backward(ctx, [g]) {
        const y = ctx.output(0)
        if (ctx.createGraph) return [derivative(g as Tensor, y, ctx.attrs)]
        const dx = empty(y.device, y.sizes, y.dtype, `${name} backward`)
        run(`${kernel}_backward`, { dx, dy: g as Tensor, y, dim: ctx.attrs })
        return [dx]
      },
    },
  })
}

/** The largest element along `dim`, a constant to gradients; 0 of none. */
export function peakOf(x: Tensor, dim: number): Tensor {
  const reduce = x.sizes.at(dim) === 0 ? sum : amax
  return reduce(detach(x), dim, { keepdim: true })
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
    // The largest comes off first: beside it, the logarithm of the sum would lose its digits.
    const shifted = sub(x, peakOf(x, dim))
    return sub(shifted, log(sum(exp(shifted), dim, { keepdim: true })))
  },
  derivative: (g, y, dim) => sub(g, mul(exp(y), sum(g, dim, { keepdim: true }))),
})

/** exp(x) / sum(exp(x)) along `dim`, without overflow. */
export function softmax<S extends Shape, D extends DType>(x: Tensor<S, D>, dim: number): Tensor<S, D> {
  checkTensor('softmax', 'x', x)
  return apply(softmaxRecord, [x], normalizeDim('softmax', dim, x.ndim)) as Tensor<S, D>
}

/** log(softmax(x)), accurate where softmax underflows. */
export function logSoftmax<S extends Shape, D extends DType>(x: Tensor<S, D>, dim: number): Tensor<S, D> {
  checkTensor('logSoftmax', 'x', x)
  return apply(logSoftmaxRecord, [x], normalizeDim('logSoftmax', dim, x.ndim)) as Tensor<S, D>
}
