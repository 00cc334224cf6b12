/** Bags of embeddings: rows of a table, summed, averaged or maximised within each bag. */
import { autocastDType } from '../../autograd/autocast.js'
import { checkTensor } from '../../autograd/operator.js'
import {
  DTypeError,
  formatShape,
  IndexOutOfRangeError,
  namedAs,
  ShapeError,
  shown,
  ValueError,
} from '../../core/errors.js'
import { checkFlag, checkOptions, type OptionNames } from '../../core/options.js'
import { Tensor } from '../../core/tensor.js'
import { castTo, precise, summable } from '../convert.js'
import { arange, full, tensor, zeros } from '../creation.js'
import { clamp, div, gt, lt, mul, ne, where } from '../elementwise/index.js'
import { argmax, sum } from '../reduce/index.js'
import { expand, reshape, select, unsqueeze } from '../shape/index.js'
import { gather } from './gather.js'
import { checkMaxNorm } from './max-norm.js'
import { embedding, indexSelect } from './rows.js'

export interface EmbeddingBagOptions {
  /** The index at which each bag begins among one-dimensional ids: int32, ascending from 0. A tensor is read. */
  readonly offsets?: Tensor | readonly number[] | null
  /** Default 'mean'. */
  readonly mode?: 'sum' | 'mean' | 'max'
  /** A factor for each id, of the shape of the ids; only with mode 'sum'. */
  readonly perSampleWeights?: Tensor | null
  /** An id that bags ignore, and whose row gets no gradient. */
  readonly paddingIdx?: number | null
  /** Whether a final offset marks the end of the last bag. Default false: it ends with the ids. */
  readonly includeLastOffset?: boolean
  /**
   * The greatest norm of a row. Requested rows that are longer are first shortened in `weight` itself, whether it wants
   * a gradient or not.
   */
  readonly maxNorm?: number | null
  /** The p of the norm that `maxNorm` limits. Default 2. */
  readonly normType?: number
}

const bagNames: OptionNames<EmbeddingBagOptions> = {
  offsets: true,
  mode: true,
  perSampleWeights: true,
  paddingIdx: true,
  includeLastOffset: true,
  maxNorm: true,
  normType: true,
}

const op = 'embeddingBag'

function checkIntegers(name: string, x: Tensor): void {
  checkTensor(op, name, x)
  if (x.dtype !== 'int32')
    throw new DTypeError(op, `${name} is ${x.dtype}, but must be int32; convert it with .to('int32')`)
}

/** Offsets as numbers; null if they stand in a tensor without elements. */
function listOf(offsets: Tensor | readonly number[]): readonly number[] | null {
  if (!(offsets instanceof Tensor)) {
    if (!Array.isArray(offsets)) checkTensor(op, 'offsets', offsets)
    return [...offsets]
  }
  checkIntegers('offsets', offsets)
  if (offsets.ndim !== 1)
    throw new ShapeError(op, `offsets are ${formatShape(offsets.sizes)}, but must be [B]`, [offsets.sizes])
  return offsets.device.kind === 'meta' ? null : Array.from(offsets.dataSync(), Number)
}

/** The beginnings and ends of bags; null if the offsets stand in a tensor without elements. */
function boundsOf(ids: Tensor, offsets: Tensor | readonly number[], includesLast: boolean): readonly number[] | null {
  const list = listOf(offsets)
  if (list === null) return null
  const count = ids.numel
  if (includesLast && list.length === 0)
    throw new ValueError(op, 'offsets are empty, but with includeLastOffset must hold at least the end of the last bag')
  const bounds = includesLast ? list : [...list, count]
  bounds.forEach((at, i) => {
    if (!Number.isInteger(at) || at < (bounds[i - 1] ?? 0) || at > count || (i === 0 && at !== 0 && bounds.length > 1))
      throw new ValueError(
        op,
        `offsets are ${shown(list)}, but must ascend from 0 to at most ${count}, the number of ids`,
      )
  })
  return bounds
}

interface Bags {
  /** [B, K] */
  readonly ids: Tensor
  /** Whether each id counts, bool; null if all do. */
  readonly counted: Tensor | null
  readonly weights: Tensor | null
}

/** One-dimensional ids as rows of the longest bag's length. */
function rowsOf(ids: Tensor, weights: Tensor | null, bounds: readonly number[]): Bags {
  const starts = bounds.slice(0, -1)
  const sizes = starts.map((start, i) => (bounds[i + 1] as number) - start)
  const longest = Math.max(0, ...sizes)
  const made = (list: number[]) => unsqueeze(tensor(list, { dtype: 'int32', device: ids.device }), 1)
  const shape = [starts.length, longest]
  if (starts.length === 0 || longest === 0)
    return { ids: zeros(shape, { dtype: 'int32', device: ids.device }), counted: null, weights: null }
  const k = arange(0, longest, 1, { dtype: 'int32', device: ids.device })
  const counted = lt(k, made(sizes))
  const at = reshape(where(counted, made(starts).add(k), 0), [starts.length * longest])
  const picked = (x: Tensor) => reshape(indexSelect(x, 0, at), shape)
  return { ids: picked(ids), counted, weights: weights && picked(weights) }
}

function checkMode(mode: string): void {
  if (!['sum', 'mean', 'max'].includes(mode))
    throw new ValueError(op, `mode is ${shown(mode)}, but must be 'sum', 'mean' or 'max'`)
}

function bagsOf(ids: Tensor, weight: Tensor, options: EmbeddingBagOptions): Bags {
  const { offsets = null, perSampleWeights = null, includeLastOffset = false } = options
  if (ids.ndim === 2) {
    if (offsets !== null)
      throw new ValueError(op, `ids are ${formatShape(ids.sizes)}, a bag in each row; leave offsets out`)
    return { ids, counted: null, weights: perSampleWeights }
  }
  if (ids.ndim !== 1)
    throw new ShapeError(op, `ids are ${formatShape(ids.sizes)}, but must be [B, N], or [M] with offsets`, [
      ids.sizes,
      weight.sizes,
    ])
  if (offsets === null)
    throw new ValueError(op, `ids are ${formatShape(ids.sizes)}, so offsets must say where each bag begins`)
  const bounds = boundsOf(ids, offsets, includeLastOffset)
  if (bounds !== null) return rowsOf(ids, perSampleWeights, bounds)
  // Offsets without elements leave the longest bag unknown, so each counts as if it held all ids.
  const count = offsets instanceof Tensor ? offsets.numel : offsets.length
  const shape = [Math.max(0, count - (includeLastOffset ? 1 : 0)), ids.numel]
  const each = (x: Tensor) => expand(unsqueeze(x, 0), shape)
  return { ids: each(ids), counted: null, weights: perSampleWeights && each(perSampleWeights) }
}

/** Computes in float32 at least. 16-bit results are rounded once, and under autocast they stay float32, as sums do. */
const wide = (x: Tensor): Tensor => summable(precise(x))

/** Reduces the rows of each bag [B, K, E] to one [B, E]. */
function reduced(rows: Tensor, counted: Tensor | null, weights: Tensor | null, mode: 'sum' | 'mean' | 'max'): Tensor {
  const [, longest = 0] = rows.sizes
  const { dtype, device } = rows
  // An empty bag gives 0 as its mean and its maximum.
  if (longest === 0) return sum(rows, 1)
  const mask = counted && unsqueeze(counted, 2)
  if (mode === 'max') {
    const limited = mask ? where(mask, rows, Number.NEGATIVE_INFINITY) : rows
    // The first of equal elements gets the gradient.
    const largest = select(gather(rows, 1, argmax(limited, 1, { keepdim: true })), 1, 0)
    return counted ? where(gt(sum(castTo(counted, 'int32'), 1, { keepdim: true }), 0), largest, 0) : largest
  }
  const weighted = weights ? mul(rows, unsqueeze(weights, 2)) : rows
  const total = sum(mask ? where(mask, weighted, 0) : weighted, 1)
  if (mode === 'sum') return total
  const count = counted
    ? castTo(clamp(sum(castTo(counted, 'int32'), 1, { keepdim: true }), 1), dtype)
    : full([], longest, { dtype, device })
  return div(total, count)
}

/**
 * Looks up rows of `weight` [count, features] by int32 ids, and reduces each bag to one: ids [B, N], or [M] with
 * `offsets` -> [B, features]. An empty bag gives 0. An id outside of the table is a late IndexOutOfRangeError.
 */
export function embeddingBag(ids: Tensor, weight: Tensor, options: EmbeddingBagOptions = {}): Tensor {
  checkOptions(op, options, bagNames)
  const { mode = 'mean', perSampleWeights = null, paddingIdx = null, includeLastOffset = false } = options
  const { maxNorm = null, normType = 2 } = options
  checkMode(mode)
  checkMaxNorm(op, maxNorm, normType)
  checkFlag(op, 'includeLastOffset', includeLastOffset)
  checkTensor(op, 'weight', weight)
  checkIntegers('ids', ids)
  if (perSampleWeights !== null) {
    checkTensor(op, 'perSampleWeights', perSampleWeights)
    if (mode !== 'sum') throw new ValueError(op, `perSampleWeights are for mode 'sum', but mode is '${mode}'`)
    if (formatShape(perSampleWeights.sizes) !== formatShape(ids.sizes))
      throw new ShapeError(
        op,
        `perSampleWeights are ${formatShape(perSampleWeights.sizes)}, but must be ${formatShape(ids.sizes)}, as ids are`,
        [perSampleWeights.sizes, ids.sizes],
      )
  }
  return namedAs(op, () => {
    const bags = bagsOf(ids, weight, options)
    // On a device an id outside is found late, and named after the kernel.
    if (paddingIdx === null && weight.ndim === 2 && weight.sizes[0] === 0 && bags.ids.numel > 0)
      throw new IndexOutOfRangeError(
        op,
        `ids are out of range: weight is ${formatShape(weight.sizes)}, without any row`,
      )
    const rows = embedding(bags.ids, weight, { paddingIdx, maxNorm, normType })
    const padding = paddingIdx !== null && paddingIdx < 0 ? paddingIdx + (weight.sizes[0] as number) : paddingIdx
    const kept = padding === null ? null : ne(bags.ids, padding)
    const counted =
      kept && bags.counted ? where(kept, castTo(bags.counted, 'int32'), 0).to('bool') : (kept ?? bags.counted)
    const widened = wide(rows)
    const bag = reduced(widened, counted, bags.weights && wide(bags.weights), mode)
    const isOfOne = perSampleWeights === null || perSampleWeights.dtype === rows.dtype
    return widened !== rows && isOfOne && autocastDType() === null ? castTo(bag, rows.dtype) : bag
  })
}
