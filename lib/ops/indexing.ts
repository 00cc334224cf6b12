/** Elements picked by indices (int32), and their transposes that add gradients up. */
import {
  apply,
  checkDType,
  checkTensor,
  defineOperator,
  type OperatorRecord,
  type TensorSpec,
} from '../autograd/operator.js'
import { empty, run } from '../backend/dispatch.js'
import { kernels } from '../backend/kernels.js'
import { formatShape, ShapeError, ValueError } from '../core/errors.js'
import { checkOptions, type OptionNames } from '../core/options.js'
import { normalizeDim, type Shape } from '../core/shape.js'
import type { Tensor } from '../core/tensor.js'
import { floating } from './elementwise/common.js'
import { castTo } from './elementwise/functions.js'
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

const selectRecord: OperatorRecord<Select> = defineOperator<Select>({
  name: 'index_select',
  infer(inputs, { dim }) {
    const [x, index] = inputs as [Tensor, Tensor]
    checkIndex('indexSelect', index)
    if (index.ndim !== 1)
      throw new ShapeError('indexSelect', `index must have one dimension, but is ${formatShape(index.shape)}`, [
        index.shape,
      ])
    return { shape: withSize(x.shape, dim, index.shape[0] as number), dtype: x.dtype }
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
      const sum = ctx.sumSoFar(0)
      if (sum !== null && floating.includes(sum.dtype))
        return [addRows(sum, g as Tensor, ctx.input(1), ctx.attrs), null]
      const size = ctx.spec(0).shape[ctx.attrs.dim] as number
      const sums = apply(indexAddRecord, [summable(g as Tensor), ctx.input(1)], { ...ctx.attrs, size })
      return [castTo(sums, ctx.gradientDType(0)), null]
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
    return { shape: withSize(dy.shape, dim, size), dtype: dy.dtype }
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
      if (ctx.attrs.skip !== noSkip)
        throw new ValueError(
          'index_add',
          'an embedding with a paddingIdx has no second derivative with respect to its output gradient',
        )
      return [apply(selectRecord, [g as Tensor, ctx.input(1)], ctx.attrs), null]
    },
  },
})

/** x's slices along `dim` in the order of `index` (int32, one dimension). An index outside is a late IndexOutOfRangeError. */
export function indexSelect(x: Tensor, dim: number, index: Tensor): Tensor {
  checkTensor('indexSelect', 'x', x)
  if (x.ndim === 0) throw new ShapeError('indexSelect', 'x is one number, without a dimension to select along', [[]])
  return apply(selectRecord, [x, index], { dim: normalizeDim('indexSelect', dim, x.ndim), skip: noSkip })
}

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
    throw new ShapeError('embedding', `weight must be [count, features], but is ${formatShape(weight.shape)}`, [
      weight.shape,
    ])
  const count = weight.shape[0] as number
  if (paddingIdx !== null && (!Number.isInteger(paddingIdx) || paddingIdx < -count || paddingIdx >= count))
    throw new ValueError('embedding', `paddingIdx ${paddingIdx} lies outside of the ${count} rows`)
  const skip = paddingIdx === null ? noSkip : paddingIdx < 0 ? paddingIdx + count : paddingIdx
  const rows = apply(selectRecord, [weight, reshape(ids, [ids.numel])], { dim: 0, skip })
  return reshape(rows, [...ids.shape, weight.shape[1] as number])
}

const gatherRecord: OperatorRecord<number> = defineOperator<number>({
  name: 'gather',
  infer(inputs, dim) {
    const [x, index] = inputs as [Tensor, Tensor]
    checkIndex('gather', index)
    if (index.ndim !== x.ndim || index.shape.some((size, i) => i !== dim && size > (x.shape[i] as number)))
      throw new ShapeError(
        'gather',
        `index ${formatShape(index.shape)} must have x's number of dimensions and be no larger than x ${formatShape(x.shape)} outside of dim ${dim}`,
        [index.shape, x.shape],
      )
    return { shape: index.shape, dtype: x.dtype }
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
export function gather(x: Tensor, dim: number, index: Tensor): Tensor {
  checkTensor('gather', 'x', x)
  return apply(gatherRecord, [x, index], normalizeDim('gather', dim, x.ndim))
}
