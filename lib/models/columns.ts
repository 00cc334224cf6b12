/** The places of a decoder call's columns, and the columns that each one sees. */
import { isGradEnabled } from '../autograd/mode.js'
import { checkDType, checkTensor } from '../autograd/operator.js'
import { formatShape, kindOf, ShapeError, ValueError } from '../core/errors.js'
import type { Generator } from '../core/generator.js'
import { checkOptions, type OptionNames } from '../core/options.js'
import { Tensor } from '../core/tensor.js'
import type { Prompt } from '../nn/prompt.js'
import { scaledDotProductAttention } from '../ops/attention/index.js'
import { type Projected, type RotaryTable, turned, turnedInto } from '../ops/attention/turn.js'
import { castTo } from '../ops/convert.js'
import { arange, full } from '../ops/creation.js'
import { add, clamp, eq, logicalAnd, sub } from '../ops/elementwise/index.js'
import { cumsum } from '../ops/reduce/index.js'
import { cat, chunk, expand, flatten, narrow, transpose, unflatten, unsqueeze } from '../ops/shape/index.js'
import { KvCache, type Seen } from './cache.js'

export interface CausalInputs {
  /**
   * int32 or bool [B, T], with a cache [B, cached + T]: 1 for a column with a token, 0 for padding, on either side. The
   * output of a padding column is meaningless. Default: all are tokens.
   */
  readonly attentionMask?: Tensor | null
  /**
   * int32 [B, T]: the position of each token. Default: numbers from 0, or with a mask the number of tokens before each.
   */
  readonly positions?: Tensor | null
  /**
   * int32 [B, T]: the number of each token's document, if a row contains several. Tokens see only those of their own
   * document. Needs `positions`, which begin anew in each document. Not allowed with a cache. Default: a row is one
   * document.
   */
  readonly documents?: Tensor | null
  /** Keys and values of the earlier columns. The call appends its own. Only under `noGrad`. */
  readonly cache?: KvCache | null
}

export const causalNames: OptionNames<CausalInputs> = {
  attentionMask: true,
  positions: true,
  documents: true,
  cache: true,
}

/** A call's columns, the same for all layers. Those of a learned prompt come before the tokens. */
export interface Columns {
  /** The number of columns that the layers do not compute, because they are in the cache or belong to a prefix. */
  readonly offset: number
  /** The number of columns that the layers compute: C. */
  readonly count: number
  /** int32 [B, C]; null: offset, offset + 1, ... */
  readonly positions: Tensor | null
  /**
   * bool [B, 1, 1, offset + C], or [B, 1, T, T] if rows contain documents, or null if all are tokens of one document.
   */
  readonly mask: Tensor | null
  readonly cache: KvCache | null
  /** The prompt before the tokens, if it is not in the cache yet. */
  readonly prompt: Prompt | null
}

const integers = ['int32'] as const
const masks = ['int32', 'uint8', 'bool'] as const

/** Checks a call's inputs. Throws ShapeError, DTypeError and ValueError, which name the input that does not fit. */
export function columnsOf(op: string, ids: Tensor, inputs: CausalInputs, prompt: Prompt | null = null): Columns {
  const {
    attentionMask = null,
    positions = null,
    documents = null,
    cache = null,
  } = checkOptions(op, inputs, causalNames)
  checkTensor(op, 'ids', ids)
  checkDType(op, 'ids', ids, integers)
  if (ids.ndim !== 2 || ids.numel === 0)
    throw new ShapeError(op, `ids are ${formatShape(ids.sizes)}, but must be [B, T], with at least one token`, [
      ids.sizes,
    ])
  if (cache !== null) {
    if (!(cache instanceof KvCache)) throw new ValueError(op, `cache is ${kindOf(cache)}, but must be a KvCache`)
    if (isGradEnabled())
      throw new ValueError(op, 'a cache cannot hold a graph; call the model under noGrad, or without a cache to train')
    cache.check(op, ids, prompt)
  }
  const [b, t] = ids.sizes as readonly [number, number]
  const offset = cache?.length ?? 0
  if (attentionMask !== null) {
    checkTensor(op, 'attentionMask', attentionMask)
    checkDType(op, 'attentionMask', attentionMask, masks)
    if (formatShape(attentionMask.sizes) !== formatShape([b, offset + t]))
      throw new ShapeError(
        op,
        `attentionMask is ${formatShape(attentionMask.sizes)}, but must be ${formatShape([b, offset + t])}`,
        [attentionMask.sizes, ids.sizes],
      )
  }
  if (positions !== null) {
    checkTensor(op, 'positions', positions)
    checkDType(op, 'positions', positions, integers)
    if (formatShape(positions.sizes) !== formatShape([b, t]))
      throw new ShapeError(op, `positions are ${formatShape(positions.sizes)}, but must be ${formatShape([b, t])}`, [
        positions.sizes,
        ids.sizes,
      ])
  }
  if (documents !== null) checkDocuments(op, ids, { documents, positions, cache, prompt })
  // The number of the prompt's columns: all of them, and those computed in this call.
  const virtual = prompt?.tokens ?? 0
  const isFirst = offset === 0
  const computed = isFirst ? (prompt?.computed ?? 0) : 0
  const count = computed + t
  const whole = attentionMask === null ? null : afterPrompt(attentionMask, virtual)
  const tokens = whole === null ? null : unsqueeze(unsqueeze(castTo(whole, 'bool'), 1), 1)
  const within = documents === null ? null : sameDocument(documents)
  return {
    offset: virtual + offset - computed,
    count,
    positions: whole !== null && positions === null ? tokensBefore(whole, count) : moved(positions, virtual, computed),
    mask: tokens !== null && within !== null ? logicalAnd(tokens, within) : (tokens ?? within),
    cache,
    prompt: isFirst ? prompt : null,
  }
}

/** A mask [B, T] with the columns of a prompt before it, which every token sees. */
export function afterPrompt(mask: Tensor, virtual: number): Tensor {
  if (virtual === 0) return mask
  const { sizes, device } = mask
  const seen = full([sizes[0] as number, virtual], 1, { dtype: 'int32', device })
  return cat([seen, castTo(mask, 'int32')], 1)
}

/** Positions of tokens after a prompt, and of those of its columns that are computed. */
function moved(positions: Tensor | null, virtual: number, computed: number): Tensor | null {
  if (positions === null || virtual === 0) return positions
  const later: Tensor = add(positions, virtual)
  if (computed === 0) return later
  const { sizes, device } = positions
  const first = arange(0, computed, 1, { dtype: 'int32', device })
  return cat([expand(unsqueeze(first, 0), [sizes[0] as number, computed]), later], 1)
}

/** Embeddings of the tokens after those of the call's prompt: the input of the first layer. */
export function withPrompt(x: Tensor, { prompt }: Columns): Tensor {
  return prompt === null ? x : prompt.before(x)
}

/** Throws if documents are combined with a feature that does not support them. */
function checkDocuments(
  op: string,
  ids: Tensor,
  {
    documents,
    positions,
    cache,
    prompt,
  }: { documents: Tensor; positions: Tensor | null; cache: KvCache | null; prompt: Prompt | null },
): void {
  checkTensor(op, 'documents', documents)
  checkDType(op, 'documents', documents, integers)
  if (formatShape(documents.sizes) !== formatShape(ids.sizes))
    throw new ShapeError(op, `documents are ${formatShape(documents.sizes)}, but must be ${formatShape(ids.sizes)}`, [
      documents.sizes,
      ids.sizes,
    ])
  if (positions === null)
    throw new ValueError(
      op,
      'documents are given without positions, which must begin anew in each; give both, as packed does',
    )
  if (cache !== null)
    throw new ValueError(
      op,
      'documents are given with a cache, whose columns belong to no document; give one document for each row',
    )
  if (prompt !== null)
    throw new ValueError(
      op,
      'documents are given while a prompt is active, which only comes before the first one of a row; give one document for each row',
    )
}

/** Whether two columns belong to the same document: [B, T] -> bool [B, 1, T, T]. */
function sameDocument(documents: Tensor): Tensor {
  return unsqueeze(eq(unsqueeze(documents, 2), unsqueeze(documents, 1)), 1)
}

/** The number of tokens before each of the last columns. 0 in padding before the first token. */
function tokensBefore(mask: Tensor, columns: number): Tensor {
  const counted: Tensor = clamp(sub(cumsum(castTo(castTo(mask, 'bool'), 'int32'), 1), 1), 0)
  return narrow(counted, 1, (mask.sizes[1] as number) - columns, columns)
}

export interface AttendOptions {
  /** The layer's place in the cache. */
  readonly layer: number
  readonly scale: number
  readonly window?: number | undefined
  /** The rotation of queries and keys by their positions. Null, the default: they are not rotated, or already were. */
  readonly turn?: RotaryTable | null
  readonly dropoutP?: number
  readonly generator?: Generator | undefined
}

/**
 * The columns that the call's queries see: keys and values [B, H, T, D] of the call alone, or together with those in
 * the cache.
 */
export function seenBy(own: Tensor, ownValues: Tensor, columns: Columns, layer: number, window?: number) {
  const { cache, prompt } = columns
  const [k, v] = prompt === null ? [own, ownValues] : prompt.beforeKeys(layer, own, ownValues)
  return sight(cache === null ? { keys: k, values: v, first: 0 } : cache.append(layer, k, v, window), columns)
}

function sight({ keys, values, first }: Seen, { offset, mask }: Columns) {
  const attnMask = mask === null ? null : narrow(mask, -1, first, keys.sizes[2] as number)
  return { keys, values, attnMask, offset: offset - first }
}

/** Like `seenBy`, for queries and keys that are not yet rotated by their positions. */
export function turnedAndSeen(
  { q, k, v }: Projected,
  table: RotaryTable,
  columns: Columns,
  layer: number,
  window?: number,
) {
  const { cache, prompt } = columns
  const placed = cache !== null && prompt === null ? cache.place(layer, k, v, window) : null
  if (placed === null) return { q: turned(q, table), ...seenBy(turned(k, table), v, columns, layer, window) }
  const query = turnedInto({ keys: placed.newKeys, values: placed.newValues }, { q, k, v }, table)
  return { q: query, ...sight(placed, columns) }
}

/** A projection [B, T, H * D], split into heads: [B, H, T, D], a view. */
export function headsOf(x: Tensor, headDim: number): Tensor {
  return isGradEnabled() ? transpose(unflatten(x, -1, [-1, headDim]), 1, 2) : headsWithin(x, headDim, 0, 1)
}

/** Heads [B, H, T, D] side by side: [B, T, H * D], a view if memory has that order. */
export function joinHeads(x: Tensor): Tensor {
  const [b, heads, t, d] = x.sizes as readonly [number, number, number, number]
  const [row, head, column, feature] = x.steps as readonly [number, number, number, number]
  if (isGradEnabled() || head !== d * feature) return flatten(transpose(x, 1, 2), -2)
  return new Tensor(x.storage, [b, t, heads * d], [row, column, feature], x.offset)
}

/** Queries, keys and values from one projection [B, T, 3 * H * D], split into heads: [B, H, T, D] each, views. */
export function threeByHeads(x: Tensor, headDim: number): readonly [q: Tensor, k: Tensor, v: Tensor] {
  if (isGradEnabled()) {
    const [q, k, v] = chunk(x, 3, -1) as [Tensor, Tensor, Tensor]
    return [headsOf(q, headDim), headsOf(k, headDim), headsOf(v, headDim)]
  }
  return [headsWithin(x, headDim, 0, 3), headsWithin(x, headDim, 1, 3), headsWithin(x, headDim, 2, 3)]
}

/**
 * One of the equal parts of a projection, split into heads: one view instead of several operators, because each layer
 * makes three for every token.
 */
function headsWithin({ storage, sizes, steps, offset }: Tensor, headDim: number, part: number, parts: number): Tensor {
  const [b, t, width] = sizes as readonly [number, number, number]
  const [row, column, feature] = steps as readonly [number, number, number]
  const heads = width / parts / headDim
  const strides = [row, headDim * feature, column, feature]
  return new Tensor(storage, [b, heads, t, headDim], strides, offset + part * heads * headDim * feature)
}

/** Causal attention from q [B, Hq, T, D] to k and v [B, Hk, T, D] and to the content of the cache: [B, Hq, T, D]. */
export function attend({ q, k, v }: Projected, columns: Columns, options: AttendOptions): Tensor {
  const { layer, scale, window, turn = null, dropoutP = 0, generator } = options
  const {
    q: query,
    keys,
    values,
    attnMask,
    offset,
  } = turn === null
    ? { q, ...seenBy(k, v, columns, layer, window) }
    : turnedAndSeen({ q, k, v }, turn, columns, layer, window)
  return scaledDotProductAttention(query, keys, values, {
    attnMask,
    isCausal: true,
    offset,
    window,
    scale,
    dropoutP,
    generator,
  })
}
