/** Logarithms of sums of exponentials. */
import { noGrad } from '../../autograd/mode.js'
import { apply, checkTensor } from '../../autograd/operator.js'
import type { DType } from '../../core/dtype.js'
import { DTypeError } from '../../core/errors.js'
import { defineMethods } from '../../core/methods.js'
import { normalizeDims, reducedShape, type Shape } from '../../core/shape.js'
import type { Tensor } from '../../core/tensor.js'
import { like, seenAs } from '../common.js'
import { full } from '../creation.js'
import { add, exp, log, mul, sub } from '../elementwise/index.js'
import { operator } from '../operator.js'
import { detach } from '../shape/index.js'
import { type Dims, kept, whole } from '../totals.js'
import { widened } from '../widened.js'
import { type Dim, finiteOrZero, keepdimOf, type ReduceOptions } from './dims.js'
import { amax } from './extremes.js'
import { sum } from './sums.js'

/** The peak of each sum's terms, or 0 if an infinite one would make inf - inf; and log(sum(exp(x - peak))). */
function logOfSum(x: Tensor, dims: readonly number[]): { peak: Tensor; log: Tensor } {
  const options = { keepdim: true }
  const { dtype, device } = x
  const largest =
    x.numel === 0 ? full(reducedShape(x.sizes, dims, true), 0, { dtype, device }) : amax(detach(x), dims, options)
  const peak = finiteOrZero(largest)
  return { peak, log: log(sum(exp(sub(x, peak)), dims, options)) }
}

/** Extra outputs: the peak and the log of `logOfSum`, which keep digits that their sum loses if the peak is large. */
const logsumexpRecord = operator<[x: Tensor], Dims, [out: Tensor], [peak: Tensor, log: Tensor]>({
  name: 'logsumexp',
  precision: 'float32',
  infer([x], { dims, keepdim }) {
    if (x.dtype !== 'float32' && x.dtype !== 'float64')
      throw new DTypeError(
        'logsumexp',
        `x is ${x.dtype}, but must be float32 or float64; convert it with .to('float32')`,
      )
    return [like(x, reducedShape(x.sizes, dims, keepdim)), like(x, whole(x, dims)), like(x, whole(x, dims))]
  },
  forward: ([x], { dims }, [spec]) =>
    noGrad(() => {
      const { peak, log } = logOfSum(x, dims)
      return [seenAs(add(log, peak), spec.shape), peak, log]
    }),
  gradient: {
    saves: () => ({ inputs: [0], outputs: [1, 2] }),
    backward(ctx, [g]) {
      const x = ctx.input(0)
      const peak = ctx.output(1)
      const total = ctx.createGraph ? logOfSum(x, ctx.attrs.dims).log : ctx.output(2)
      return [mul(kept(g, x.sizes, ctx.attrs), exp(sub(sub(x, peak), total)))]
    },
  },
})

/** log(sum(exp(x))) over `dim`, without overflow; -Infinity if there are no elements. bfloat16 is computed in float32. */
export function logsumexp<D extends DType>(x: Tensor<Shape, D>, dim?: Dim, options?: ReduceOptions): Tensor<Shape, D>
export function logsumexp(x: Tensor, dim: Dim = null, options: ReduceOptions = {}): Tensor {
  const keepdim = keepdimOf('logsumexp', options)
  checkTensor('logsumexp', 'x', x)
  const dims = normalizeDims('logsumexp', dim, x.ndim)
  return widened('logsumexp', [x], ([wide]) => apply(logsumexpRecord, [wide], { dims, keepdim }))
}

declare module '../../core/tensor.js' {
  interface Tensor<S extends Shape = Shape, D extends DType = DType> {
    logsumexp(dim?: Dim, options?: ReduceOptions): Tensor<Shape, D>
  }
}

defineMethods({
  logsumexp(dim?: Dim, options?: ReduceOptions) {
    return logsumexp(this, dim, options)
  },
})
