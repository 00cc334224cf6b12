/** Elements picked by indices (int32), and their transposes that add gradients up. */

import { apply, checkTensor, type GradientTargets, type Operator } from '../../autograd/operator.js'
import { run } from '../../backend/dispatch.js'
import { type DType, isBlocks } from '../../core/dtype.js'
import { DTypeError, formatShape, ShapeError, shown, ValueError } from '../../core/errors.js'
import { defineMethods } from '../../core/methods.js'
import { checkOptions, type OptionNames } from '../../core/options.js'
import { normalizeDim, type Shape } from '../../core/shape.js'
import type { Tensor } from '../../core/tensor.js'
import { floating, like } from '../common.js'
import { castTo, summable } from '../convert.js'
import { eq, where } from '../elementwise/index.js'
import { kernel, operator } from '../operator.js'
import { reshape } from '../shape/index.js'

const noSkip = -1

function withSize(shape: Shape, dim: number, size: number): Shape {
  return shape.map((s, i) => (i === dim ? size : s))
}

interface Select {
  readonly dim: number
  /** An index whose rows get no gradient (an embedding's padding), or -1. */
  readonly skip: number
}

/** The gradient of the x that rows were selected from, at best into what other consumers gave for it already. */
function selectGradient(ctx: GradientTargets, x: number, g: Tensor, index: Tensor, attrs: Select): Tensor {
  const sum = ctx.sumSoFar(x)
  if (sum !== null && floating.includes(sum.dtype)) return addRows(sum, g, index, attrs)
  const size = ctx.spec(x).shape[attrs.dim] as number
  return castTo(apply(indexAddRecord, [summable(g), index], { ...attrs, size }), ctx.gradientDType(x))
}

const selectRecord: Operator<[x: Tensor, index: Tensor], Select> = operator<[x: Tensor, index: Tensor], Select>({
  name: 'index_select',
  infer([x, index], { dim }) {
    if (index.ndim !== 1)
      throw new ShapeError('indexSelect', `index must have one dimension, but is ${formatShape(index.sizes)}`, [
        index.sizes,
      ])
    if (isBlocks(x.dtype) && dim === x.ndim - 1)
      throw new DTypeError(
        'indexSelect',
        `the blocks of ${x.dtype} lie along dimension ${dim}; select whole rows along another, or convert with .to('float32')`,
      )
    return like(x, withSize(x.sizes, dim, index.numel))
  },
  forward: kernel('index_select', ([x, index], { dim }, { out }) => ({ out, x, index, dim })),
  gradient: {
    saves: () => ({ inputs: [1] }),
    backward: (ctx, [g]) => [selectGradient(ctx, 0, g, ctx.input(1), ctx.attrs), null],
  },
})

/** Into a gradient that is there already, so that an embedding that is also a head costs no second one. */
function addRows(sum: Tensor, gradient: Tensor, index: Tensor, { dim, skip }: Select): Tensor {
  run('index_accumulate', { sum, dy: summable(gradient), index, dim, skip })
  sum.storage.markWritten('gradient accumulation')
  return sum
}

/** The transpose of index_select: rows of dy added up where their index says. */
const indexAddRecord = operator<[dy: Tensor, index: Tensor], Select & { readonly size: number }>({
  name: 'index_add',
  infer: ([dy], { dim, size }) => like(dy, withSize(dy.sizes, dim, size)),
  forward: kernel('index_add', ([dy, index], { dim, skip }, { dx }) => ({ dx, dy, index, dim, skip })),
  gradient: {
    saves: () => ({ inputs: [1] }),
    backward(ctx, [g]) {
      const { dim, skip } = ctx.attrs
      const index = ctx.input(1)
      const rows = apply(selectRecord, [g, index], { dim, skip })
      if (skip === noSkip) return [rows, null]
      // What was left out of the sums has no part in them.
      const skipped = eq(
        reshape(
          index,
          withSize(
            g.sizes.map(() => 1),
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
export function indexSelect<D extends DType>(x: Tensor<Shape, D>, dim: number, index: Tensor): Tensor<Shape, D>
export function indexSelect(x: Tensor, dim: number, index: Tensor): Tensor {
  checkTensor('indexSelect', 'x', x)
  if (x.ndim === 0) throw new ShapeError('indexSelect', 'x is one number, without a dimension to select along', [[]])
  return apply(selectRecord, [x, index], { dim: normalizeDim('indexSelect', dim, x.ndim), skip: noSkip })
}

/** weight [count, features], ids of any shape. The attribute is the id whose row gets no gradient, or -1. */
const embeddingRecord = operator<[weight: Tensor, ids: Tensor], number>({
  name: 'embedding',
  infer([weight, ids]) {
    if (weight.ndim !== 2)
      throw new ShapeError('embedding', `weight must be [count, features], but is ${formatShape(weight.sizes)}`, [
        weight.sizes,
      ])
    return like(weight, [...ids.sizes, ...weight.sizes.slice(1)])
  },
  forward: kernel('embedding', ([weight, ids], _skip, { out }) => ({ out, weight, ids })),
  gradient: {
    saves: () => ({ inputs: [1] }),
    backward(ctx, [g]) {
      const ids = ctx.input(1)
      const rows = reshape(g, [ids.numel, ...ctx.spec(0).shape.slice(1)])
      return [selectGradient(ctx, 0, rows, reshape(ids, [ids.numel]), { dim: 0, skip: ctx.attrs }), null]
    },
  },
})

export interface EmbeddingOptions {
  /** An index whose row gets no gradient. */
  readonly paddingIdx?: number | null
}

const embeddingNames: OptionNames<EmbeddingOptions> = { paddingIdx: true }

/** Rows of `weight` [count, features] by `ids` (int32, any shape): [...ids, features]; those of a block dtype as float32. */
export function embedding(ids: Tensor, weight: Tensor, options: EmbeddingOptions = {}): Tensor {
  const { paddingIdx = null } = checkOptions('embedding', options, embeddingNames)
  checkTensor('embedding', 'weight', weight)
  const count = weight.sizes[0] ?? 0
  if (paddingIdx !== null && (!Number.isInteger(paddingIdx) || paddingIdx < -count || paddingIdx >= count))
    throw new ValueError('embedding', `paddingIdx ${shown(paddingIdx)} lies outside of the ${count} rows`)
  const skip = paddingIdx === null ? noSkip : paddingIdx < 0 ? paddingIdx + count : paddingIdx
  const rows = apply(embeddingRecord, [weight, ids], skip)
  return isBlocks(rows.dtype) ? castTo(rows, 'float32') : rows
}

declare module '../../core/tensor.js' {
  interface Tensor<S extends Shape = Shape, D extends DType = DType> {
    indexSelect(dim: number, index: Tensor): Tensor<Shape, D>
  }
}

defineMethods({
  indexSelect(dim: number, index: Tensor) {
    return indexSelect(this, dim, index)
  },
})
