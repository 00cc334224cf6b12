/** Elements picked by indices (int32), and their transposes that add gradients up. */

import {
  apply,
  type BackwardContext,
  checkDType,
  checkTensor,
  defineOperator,
  type OperatorRecord,
  type TensorSpec,
} from '../autograd/operator.js'
import { empty, run } from '../backend/dispatch.js'
import { kernels } from '../backend/table/index.js'
import type { DType } from '../core/dtype.js'
import { formatShape, ShapeError, shown, ValueError } from '../core/errors.js'
import { checkOptions, type OptionNames } from '../core/options.js'
import { normalizeDim, type Shape } from '../core/shape.js'
import type { Tensor } from '../core/tensor.js'
import { castTo } from './convert.js'
import { floating } from './elementwise/common.js'
import { eq, where } from './elementwise/index.js'
import { reshape } from './shape.js'

const noSkip = -1

function checkIndex(op: string, index: Tensor): void {
  checkDType(op, 'index', index, ['int32'])
}

function withSize(shape: Shape, dim: number, size: number): Shape {
  return shape.map((s, i) => (i === dim ? size : s))
}

/** Gradients are added up in float32. */
function summable(gradient: Tensor): Tensor {
  return gradient.dtype === 'bfloat16' ? castTo(gradient, 'float32') : gradient
}

interface Select {
  readonly dim: number
  /** An index whose rows get no gradient (an embedding's padding), or -1. */
  readonly skip: number
}

/** The gradient of the x that rows were selected from, at best into what other consumers gave for it already. */
function selectGradient(ctx: BackwardContext<unknown>, x: number, g: Tensor, index: Tensor, attrs: Select): Tensor {
  const sum = ctx.sumSoFar(x)
  if (sum !== null && floating.includes(sum.dtype)) return addRows(sum, g, index, attrs)
  const size = ctx.spec(x).shape[attrs.dim] as number
  return castTo(apply(indexAddRecord, [summable(g), index], { ...attrs, size }), ctx.gradientDType(x))
}

const selectRecord: OperatorRecord<Select> = defineOperator<Select>({
  name: 'index_select',
  infer(inputs, { dim }) {
    const [x, index] = inputs as [Tensor, Tensor]
    checkIndex('indexSelect', index)
    if (index.ndim !== 1)
      throw new ShapeError('indexSelect', `index must have one dimension, but is ${formatShape(index.sizes)}`, [
        index.sizes,
      ])
    return { shape: withSize(x.sizes, dim, index.sizes[0] as number), dtype: x.dtype }
  },
  forward(inputs, { dim }, [spec]) {
    const [x, index] = inputs as [Tensor, Tensor]
    const { shape, dtype } = spec as TensorSpec
    const out = empty(x.device, shape, dtype, 'indexSelect')
    run('index_select', { out, x, index, dim })
    return out
  },
  gradient: {
    saves: () => ({ inputs: [1] }),
    backward(ctx, [g]) {
      return [selectGradient(ctx, 0, g as Tensor, ctx.input(1), ctx.attrs), null]
    },
  },
})

/** Into a gradient that is there already, so that an embedding that is also a head costs no second one. */
function addRows(sum: Tensor, gradient: Tensor, index: Tensor, { dim, skip }: Select): Tensor {
  run('index_accumulate', { sum, dy: summable(gradient), index, dim, skip })
  sum.storage.markWritten('gradient accumulation')
  return sum
}

/** The transpose of index_select: rows of dy added up where their index says. */
const indexAddRecord: OperatorRecord<Select & { readonly size: number }> = defineOperator<
  Select & { readonly size: number }
>({
  name: 'index_add',
  precision: kernels.index_add.precision,
  infer(inputs, { dim, size }) {
    const [dy] = inputs as [Tensor, Tensor]
    checkDType('indexAdd', 'the gradient', dy, floating)
    return { shape: withSize(dy.sizes, dim, size), dtype: dy.dtype }
  },
  forward(inputs, { dim, skip }, [spec]) {
    const [dy, index] = inputs as [Tensor, Tensor]
    const { shape, dtype } = spec as TensorSpec
    const dx = empty(dy.device, shape, dtype, 'indexAdd')
    run('index_add', { dx, dy, index, dim, skip })
    return dx
  },
  gradient: {
    saves: () => ({ inputs: [1] }),
    backward(ctx, [g]) {
      const { dim, skip } = ctx.attrs
      const index = ctx.input(1)
      const rows = apply(selectRecord, [g as Tensor, index], { dim, skip })
      if (skip === noSkip) return [rows, null]
      // What was left out of the sums has no part in them.
      const skipped = eq(
        reshape(
          index,
          withSize(
            (g as Tensor).sizes.map(() => 1),
            dim,
            index.numel,
          ),
        ),
        skip,
      )
      return [where(skipped, 0, rows), null]
    },
  },
})

/** x's slices along `dim` in the order of `index` (int32, one dimension). An index outside is a late IndexOutOfRangeError. */
export function indexSelect<D extends DType>(x: Tensor<Shape, D>, dim: number, index: Tensor): Tensor<Shape, D> {
  checkTensor('indexSelect', 'x', x)
  if (x.ndim === 0) throw new ShapeError('indexSelect', 'x is one number, without a dimension to select along', [[]])
  return apply(selectRecord, [x, index], { dim: normalizeDim('indexSelect', dim, x.ndim), skip: noSkip }) as Tensor<
    Shape,
    D
  >
}

/** Inputs: ids of any shape, weight [count, features]. The attribute is the id whose row gets no gradient, or -1. */
const embeddingRecord = defineOperator<number>({
  name: 'embedding',
  infer(inputs) {
    const [ids, weight] = inputs as [Tensor, Tensor]
    return { shape: [...ids.sizes, weight.sizes[1] as number], dtype: weight.dtype }
  },
  forward(inputs, _skip, [spec]) {
    const [ids, weight] = inputs as [Tensor, Tensor]
    const { shape, dtype } = spec as TensorSpec
    const out = empty(weight.device, shape, dtype, 'embedding')
    run('embedding', { out, weight, ids })
    return out
  },
  gradient: {
    saves: () => ({ inputs: [0] }),
    backward(ctx, [g]) {
      const ids = ctx.input(0)
      const rows = reshape(g as Tensor, [ids.numel, ctx.spec(1).shape[1] as number])
      const index = reshape(ids, [ids.numel])
      return [null, selectGradient(ctx, 1, rows, index, { dim: 0, skip: ctx.attrs })]
    },
  },
})

export interface EmbeddingOptions {
  /** An index whose row gets no gradient. */
  readonly paddingIdx?: number | null
}

const embeddingNames: OptionNames<EmbeddingOptions> = { paddingIdx: true }

/** Rows of `weight` [count, features] by `ids` (int32, any shape): [...ids, features]. */
export function embedding(ids: Tensor, weight: Tensor, options: EmbeddingOptions = {}): Tensor {
  const { paddingIdx = null } = checkOptions('embedding', options, embeddingNames)
  checkDType('embedding', 'ids', ids, ['int32'])
  checkTensor('embedding', 'weight', weight)
  if (weight.ndim !== 2)
    throw new ShapeError('embedding', `weight must be [count, features], but is ${formatShape(weight.sizes)}`, [
      weight.sizes,
    ])
  const count = weight.sizes[0] as number
  if (paddingIdx !== null && (!Number.isInteger(paddingIdx) || paddingIdx < -count || paddingIdx >= count))
    throw new ValueError('embedding', `paddingIdx ${shown(paddingIdx)} lies outside of the ${count} rows`)
  const skip = paddingIdx === null ? noSkip : paddingIdx < 0 ? paddingIdx + count : paddingIdx
  return apply(embeddingRecord, [ids, weight], skip)
}

const gatherRecord: OperatorRecord<number> = defineOperator<number>({
  name: 'gather',
  infer(inputs, dim) {
    const [x, index] = inputs as [Tensor, Tensor]
    checkIndex('gather', index)
    if (index.ndim !== x.ndim || index.sizes.some((size, i) => i !== dim && size > (x.sizes[i] as number)))
      throw new ShapeError(
        'gather',
        `index ${formatShape(index.sizes)} must have x's number of dimensions and be no larger than x ${formatShape(x.sizes)} outside of dim ${dim}`,
        [index.sizes, x.sizes],
      )
    return { shape: index.sizes, dtype: x.dtype }
  },
  forward(inputs, dim, [spec]) {
    const [x, index] = inputs as [Tensor, Tensor]
    const { shape, dtype } = spec as TensorSpec
    const out = empty(x.device, shape, dtype, 'gather')
    run('gather', { out, x, index, dim })
    return out
  },
  gradient: {
    saves: () => ({ inputs: [1] }),
    backward(ctx, [g]) {
      const attrs = { dim: ctx.attrs, shape: ctx.spec(0).shape }
      return [castTo(apply(scatterAddRecord, [summable(g as Tensor), ctx.input(1)], attrs), ctx.gradientDType(0)), null]
    },
  },
})

interface Scatter {
  readonly dim: number
  readonly shape: Shape
}

/** The transpose of gather. */
const scatterAddRecord: OperatorRecord<Scatter> = defineOperator<Scatter>({
  name: 'scatter_add',
  precision: kernels.scatter_add.precision,
  infer([dy], { shape }) {
    checkDType('scatterAdd', 'the gradient', dy as Tensor, floating)
    return { shape, dtype: (dy as Tensor).dtype }
  },
  forward(inputs, { dim }, [spec]) {
    const [dy, index] = inputs as [Tensor, Tensor]
    const { shape, dtype } = spec as TensorSpec
    const dx = empty(dy.device, shape, dtype, 'scatterAdd')
    run('scatter_add', { dx, dy, index, dim })
    return dx
  },
  gradient: {
    saves: () => ({ inputs: [1] }),
    backward: (ctx, [g]) => [apply(gatherRecord, [g as Tensor, ctx.input(1)], ctx.attrs.dim), null],
  },
})

/** out[i][j][k] = x[i][j][index[i][j][k]] for dim 2; index is int32 with x's number of dimensions. */
export function gather<D extends DType>(x: Tensor<Shape, D>, dim: number, index: Tensor): Tensor<Shape, D> {
  checkTensor('gather', 'x', x)
  return apply(gatherRecord, [x, index], normalizeDim('gather', dim, x.ndim)) as Tensor<Shape, D>
}
