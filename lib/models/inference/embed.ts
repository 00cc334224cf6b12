/** Computes vectors of texts. */
import { shown, ValueError } from '../../core/errors.js'
import { checkFlag, type OptionNames, ownOptions } from '../../core/options.js'
import type { Tensor } from '../../core/tensor.js'
import { castTo } from '../../ops/convert.js'
import { clamp, div, mul, where } from '../../ops/elementwise/index.js'
import { amax, normalize, sum } from '../../ops/reduce/index.js'
import { select, unsqueeze } from '../../ops/shape/index.js'
import type { Tokenizer } from '../../text/tokenizer/tokenizer.js'
import type { EncoderBody } from '../encoder.js'
import { type CutOptions, checkCount, encodeTexts, listOfTexts, runTexts } from './run.js'

/**
 * The way in which the states of a text's tokens become one vector: their mean, the first token's state, or the largest
 * value of each number.
 */
export type Pooling = 'mean' | 'cls' | 'max'

const poolings: readonly Pooling[] = ['mean', 'cls', 'max']

export interface PoolingOptions {
  /** Default 'mean'. */
  readonly pooling?: Pooling
  /** Whether vectors have length 1. Default true. */
  readonly normalize?: boolean
}

export interface EmbedOptions extends CutOptions, PoolingOptions {}

const embedNames: OptionNames<EmbedOptions> = { batchSize: true, maxLength: true, pooling: true, normalize: true }

export function checkPooling(op: string, { pooling, normalize: unit }: PoolingOptions): void {
  if (pooling !== undefined && !poolings.includes(pooling))
    throw new ValueError(
      op,
      `pooling is ${shown(pooling)}, but must be one of ${poolings.map((each) => `'${each}'`).join(', ')}`,
    )
  if (unit !== undefined) checkFlag(op, 'normalize', unit)
}

/** One vector from the states of a text's tokens: [B, T, width] and the mask [B, T] -> [B, width]. */
export function pooled(
  states: Tensor,
  mask: Tensor | null,
  { pooling = 'mean', normalize: unit = true }: PoolingOptions,
): Tensor {
  const vectors = together(states, mask, pooling)
  return unit ? normalize(vectors, { dim: -1 }) : vectors
}

function together(states: Tensor, mask: Tensor | null, pooling: Pooling): Tensor {
  if (pooling === 'cls') return select(states, 1, 0)
  const seen = mask === null ? null : unsqueeze(castTo(mask, 'bool'), -1)
  if (pooling === 'max') {
    const hidden = seen === null ? states : where(seen, states, Number.NEGATIVE_INFINITY)
    return amax(hidden, 1)
  }
  if (seen === null) return div(sum(states, 1), states.sizes[1] as number)
  const weights = castTo(seen, states.dtype)
  return div(sum(mul(states, weights), 1), clamp(sum(weights, 1), 1e-9))
}

/** Implements `EncoderBody.embed` for texts. */
export async function embedTexts(
  model: EncoderBody,
  tokenizer: Tokenizer,
  given: string | readonly string[],
  options: EmbedOptions,
): Promise<Float32Array | Float32Array[]> {
  const op = `${model.constructor.name}.embed`
  const { batchSize = 16, maxLength, ...how } = ownOptions(op, options, embedNames)
  checkCount(op, 'batchSize', batchSize, 1)
  checkPooling(op, how)
  const { texts, single } = listOfTexts(op, given, (value) => typeof value === 'string', 'a text')
  const encodings = encodeTexts(op, model, tokenizer, texts, maxLength)
  const rows = await runTexts(
    model,
    encodings,
    batchSize,
    ({ ids, ...inputs }) => [pooled(model.forward(ids, inputs), inputs.attentionMask, how)],
    model.hasTypes,
  )
  const vectors = rows.map(([vector]) => vector?.values as Float32Array)
  return single ? (vectors[0] as Float32Array) : vectors
}
