/** Slices picked by indices (int32), and the transposes, which add up gradients. */

import { noGrad } from '../../autograd/mode.js'
import { apply, checkTensor, type GradientTargets, type Operator } from '../../autograd/operator.js'
import { run } from '../../backend/dispatch.js'
import { type DType, isBlocks } from '../../core/dtype.js'
import { DTypeError, formatShape, namedAs, ShapeError, shown, ValueError } from '../../core/errors.js'
import { defineMethods } from '../../core/methods.js'
import { checkFlag, checkOptions, type OptionNames } from '../../core/options.js'
import { normalizeDim, type Shape } from '../../core/shape.js'
import type { Tensor } from '../../core/tensor.js'
import { checkDistinct, floating, like } from '../common.js'
import { castTo, summable } from '../convert.js'
import { full } from '../creation.js'
import { add, div, eq, gt, mul, where } from '../elementwise/index.js'
import { kernel, operator } from '../operator.js'
import { norm } from '../reduce/index.js'
import { expand, reshape, unsqueeze } from '../shape/index.js'
import { checkMaxNorm } from './max-norm.js'

const noSkip = -1

function withSize(shape: Shape, dim: number, size: number): Shape {
  return shape.map((s, i) => (i === dim ? size : s))
}

interface Select {
  readonly dim: number
  /** An index whose row gets no gradient (an embedding's padding), or -1. */
  readonly skip: number
}

/**
 * The gradient of the x from which rows were selected. It is added to the gradient that other consumers gave, if there
 * is one.
 */
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

/** Adds rows to an existing gradient, so that an embedding that is also the head needs no second one. */
function addRows(sum: Tensor, gradient: Tensor, index: Tensor, { dim, skip }: Select): Tensor {
  run('index_accumulate', { sum, dy: summable(gradient), index, dim, skip })
  sum.storage.markWritten('gradient accumulation')
  return sum
}

/** The transpose of index_select: adds each row of dy to the row that its index names. */
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
      // Skipped rows were not in the sums, so they get no gradient.
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

/**
 * The slices of x along `dim` in the order of `index` (int32, one dimension). An index outside is a late
 * IndexOutOfRangeError.
 */
export function indexSelect<D extends DType>(x: Tensor<Shape, D>, dim: number, index: Tensor): Tensor<Shape, D>
export function indexSelect(x: Tensor, dim: number, index: Tensor): Tensor {
  checkTensor('indexSelect', 'x', x)
  if (x.ndim === 0) throw new ShapeError('indexSelect', 'x is one number, without a dimension to select along', [[]])
  return apply(selectRecord, [x, index], { dim: normalizeDim('indexSelect', dim, x.ndim), skip: noSkip })
}

/** The number of occurrences of each id among all of them: ids [n] -> floats [n, 1]. */
function frequencies(ids: Tensor, rows: number): Tensor {
  const ones = full([ids.numel, 1], 1, { dtype: 'float32', device: ids.device })
  const counts = apply(indexAddRecord, [ones, ids], { dim: 0, skip: noSkip, size: rows })
  return apply(selectRecord, [counts, ids], { dim: 0, skip: noSkip })
}

interface Look {
  /** The id whose row gets no gradient, or -1. */
  readonly skip: number
  /** Whether a row's gradient is the mean over its look-ups, rather than the sum. */
  readonly byFrequency: boolean
}

/** weight [count, features], ids of any shape. */
const embeddingRecord = operator<[weight: Tensor, ids: Tensor], Look>({
  name: 'embedding',
  infer([weight, ids]) {
    if (weight.ndim !== 2)
      throw new ShapeError('embedding', `weight must be [count, features], but is ${formatShape(weight.sizes)}`, [
        weight.sizes,
      ])
    return like(weight, [...ids.sizes, ...weight.sizes.slice(1)])
  },
  forward: kernel('embedding', ([weight, ids], _look, { out }) => ({ out, weight, ids })),
  gradient: {
    saves: () => ({ inputs: [1] }),
    backward(ctx, [g]) {
      const ids = reshape(ctx.input(1), [ctx.input(1).numel])
      const [count = 0, ...features] = ctx.spec(0).shape
      const { skip, byFrequency } = ctx.attrs
      const rows = reshape(g, [ids.numel, ...features])
      const scaled = byFrequency ? div(rows, castTo(frequencies(ids, count), rows.dtype)) : rows
      return [selectGradient(ctx, 0, scaled, ids, { dim: 0, skip }), null]
    },
  },
})

export interface EmbeddingOptions {
  /** An index whose row gets no gradient. */
  readonly paddingIdx?: number | null
  /**
   * The greatest norm of a row. Requested rows that are longer are first shortened in `weight` itself, whether it wants
   * a gradient or not.
   */
  readonly maxNorm?: number | null
  /** The p of the norm that `maxNorm` limits. Default 2. */
  readonly normType?: number
  /** Whether to divide a row's gradient by the number of its look-ups. Default false. */
  readonly scaleGradByFreq?: boolean
}

const embeddingNames: OptionNames<EmbeddingOptions> = {
  paddingIdx: true,
  maxNorm: true,
  normType: true,
  scaleGradByFreq: true,
}

/** Shortens the rows of these ids, in place, as PyTorch's `embedding_renorm_` does. */
function shorten(ids: Tensor, weight: Tensor, most: number, p: number): void {
  if (isBlocks(weight.dtype))
    throw new DTypeError('embedding', `maxNorm writes into weight, which is of ${weight.dtype} blocks; leave it out`)
  checkDistinct('embedding', 'weight', weight)
  noGrad(() => {
    const index = reshape(ids, [ids.numel])
    const rows: Tensor = apply(embeddingRecord, [weight, index], { skip: noSkip, byFrequency: false })
    const length: Tensor = norm(rows, p, 1, { keepdim: true })
    const short = where(gt(length, most), castTo(mul(rows, div(most, add(length, 1e-7))), rows.dtype), rows)
    run('scatter_into', { dst: weight, src: short, index: expand(unsqueeze(index, 1), rows.sizes), dim: 0 })
  })
  weight.storage.markWritten('embedding')
}

/**
 * Looks up rows of `weight` [count, features] by `ids` (int32, any shape): [...ids, features]. Rows of a block dtype
 * come as float32. Throws ValueError for a `paddingIdx` outside of the rows. An id outside is a late
 * IndexOutOfRangeError.
 */
export function embedding(ids: Tensor, weight: Tensor, options: EmbeddingOptions = {}): Tensor {
  const {
    paddingIdx = null,
    maxNorm = null,
    normType = 2,
    scaleGradByFreq = false,
  } = checkOptions('embedding', options, embeddingNames)
  checkTensor('embedding', 'weight', weight)
  checkMaxNorm('embedding', maxNorm, normType)
  checkFlag('embedding', 'scaleGradByFreq', scaleGradByFreq)
  const count = weight.sizes[0] ?? 0
  if (paddingIdx !== null && (!Number.isInteger(paddingIdx) || paddingIdx < -count || paddingIdx >= count))
    throw new ValueError('embedding', `paddingIdx ${shown(paddingIdx)} lies outside the ${count} rows`)
  const skip = paddingIdx === null ? noSkip : paddingIdx < 0 ? paddingIdx + count : paddingIdx
  const look = { skip, byFrequency: scaleGradByFreq }
  if (maxNorm !== null) {
    checkTensor('embedding', 'ids', ids)
    namedAs('embedding', () => shorten(ids, weight, maxNorm, normType))
  }
  const rows = apply(embeddingRecord, [weight, ids], look)
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
