/** Single elements picked by indices (int32), and the transpose, which adds up gradients. */

import { apply, checkTensor, type Operator } from '../../autograd/operator.js'
import type { DType } from '../../core/dtype.js'
import { formatShape, ShapeError } from '../../core/errors.js'
import { defineMethods } from '../../core/methods.js'
import { normalizeDim, type Shape } from '../../core/shape.js'
import type { Tensor } from '../../core/tensor.js'
import { like } from '../common.js'
import { castTo, summable } from '../convert.js'
import { kernel, operator } from '../operator.js'

const gatherRecord: Operator<[x: Tensor, index: Tensor], number> = operator<[x: Tensor, index: Tensor], number>({
  name: 'gather',
  infer([x, index], dim) {
    if (index.ndim !== x.ndim || index.sizes.some((size, i) => i !== dim && size > (x.sizes[i] ?? 0)))
      throw new ShapeError(
        'gather',
        `index ${formatShape(index.sizes)} must have x's number of dimensions and, except along dim ${dim}, be no larger than x ${formatShape(x.sizes)}`,
        [index.sizes, x.sizes],
      )
    return like(x, index.sizes)
  },
  forward: kernel('gather', ([x, index], dim, { out }) => ({ out, x, index, dim })),
  gradient: {
    saves: () => ({ inputs: [1] }),
    backward(ctx, [g]) {
      const attrs = { dim: ctx.attrs, shape: ctx.spec(0).shape }
      return [castTo(apply(scatterAddRecord, [summable(g), ctx.input(1)], attrs), ctx.gradientDType(0)), null]
    },
  },
})

interface Scatter {
  readonly dim: number
  readonly shape: Shape
}

/** The transpose of gather. */
const scatterAddRecord = operator<[dy: Tensor, index: Tensor], Scatter>({
  name: 'scatter_add',
  infer: ([dy], { shape }) => like(dy, shape),
  forward: kernel('scatter_add', ([dy, index], { dim }, { dx }) => ({ dx, dy, index, dim })),
  gradient: {
    saves: () => ({ inputs: [1] }),
    backward: (ctx, [g]) => [apply(gatherRecord, [g, ctx.input(1)], ctx.attrs.dim), null],
  },
})

/** out[i][j][k] = x[i][j][index[i][j][k]] for dim 2; index is int32 with x's number of dimensions. */
export function gather<D extends DType>(x: Tensor<Shape, D>, dim: number, index: Tensor): Tensor<Shape, D>
export function gather(x: Tensor, dim: number, index: Tensor): Tensor {
  checkTensor('gather', 'x', x)
  return apply(gatherRecord, [x, index], normalizeDim('gather', dim, x.ndim))
}

declare module '../../core/tensor.js' {
  interface Tensor<S extends Shape = Shape, D extends DType = DType> {
    gather(dim: number, index: Tensor): Tensor<Shape, D>
  }
}

defineMethods({
  gather(dim: number, index: Tensor) {
    return gather(this, dim, index)
  },
})
