/** The two ends of a language model: the embedding of its vocabulary, and the layer that computes its scores. */
import { noGrad } from '../autograd/mode.js'
import { isFloating } from '../core/dtype.js'
import { namedAs, shown, ValueError } from '../core/errors.js'
import { outsideFrames } from '../core/scope.js'
import { Embedding } from '../nn/embedding.js'
import { Linear } from '../nn/linear.js'
import { Parameter } from '../nn/module.js'
import { mean } from '../ops/reduce/index.js'
import { cat, expand, narrow } from '../ops/shape/index.js'
import type { PretrainedModel } from './pretrained.js'

/** Marks labels that are not learned. */
export const ignored = -100

export interface Ends {
  readonly embedding: Embedding
  readonly head: Linear
}

/**
 * Tokens that end a text: those of `generation_config.json`, or otherwise of `config.json`. Throws ValueError for an
 * invalid one, because without it no text would ever end.
 */
export function endTokensOf(
  { constructor: { name }, generationConfig }: PretrainedModel,
  configured: unknown,
): readonly number[] {
  const own: unknown = generationConfig?.['eos_token_id'] ?? null
  const value = own ?? configured ?? []
  const tokens: readonly unknown[] = Array.isArray(value) ? value : [value]
  if (tokens.every((token) => Number.isSafeInteger(token) && Number(token) >= 0)) return tokens as readonly number[]
  const file = own === null ? 'config.json' : 'generation_config.json'
  throw new ValueError(
    name,
    `eos_token_id of ${file} is ${shown(value)}, but must be a token id, a list of them, or null; correct it, or give stopTokens`,
  )
}

/** Whether the head's weight is the embedding's. */
export function isTied({ embedding, head }: Ends): boolean {
  return embedding.weight.storage === head.weight.storage
}

function resizedTable(weight: Parameter, count: number): Parameter {
  const [rows, width] = weight.sizes as readonly [number, number]
  const kept = narrow(weight, 0, 0, Math.min(rows, count))
  const more = count - rows
  const value = noGrad(() =>
    more <= 0 ? kept.clone() : cat([kept, expand(mean(weight, 0, { keepdim: true }), [more, width])], 0),
  )
  return new Parameter(value, weight.requiresGrad)
}

/**
 * New layers for a vocabulary of `count` tokens, tied like these ones. Remaining rows are kept, and new ones are the
 * mean of all. Throws ValueError if the layers have adapters.
 */
export function resizedEnds(op: string, ends: Ends, count: number): Ends {
  const { embedding, head } = ends
  if (!Number.isSafeInteger(count) || count < 1)
    throw new ValueError(op, `count is ${shown(count)}, but must be a positive integer`)
  for (const layer of [embedding, head])
    if (layer.adapters.names.length > 0)
      throw new ValueError(
        op,
        `the layer has the adapter '${layer.adapters.names[0]}'; resize before adapters are applied`,
      )
  const resized = (weight: Parameter): Parameter => namedAs(op, () => resizedTable(weight, count))
  return outsideFrames(() => {
    const { embeddingDim, paddingIdx } = embedding
    const weight = resized(embedding.weight)
    const padding = paddingIdx !== null && paddingIdx < count ? paddingIdx : null
    return {
      embedding: Object.assign(new Embedding(count, embeddingDim, { device: 'meta', paddingIdx: padding }), { weight }),
      head: Object.assign(new Linear(embeddingDim, count, { device: 'meta', bias: false }), {
        weight: isTied(ends) ? weight : resized(head.weight),
      }),
    }
  })
}

/**
 * Whether the head consists only of its weight, so that a loss can be computed without the logits, which may take most
 * of the memory.
 */
export function isBare(head: Linear): boolean {
  return head.adapters.names.length === 0 && !head.hasForwardHooks && isFloating(head.weight.dtype)
}
