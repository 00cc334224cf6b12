/** Measures of how well a model continues texts: its loss, perplexity and bits per byte. */
import { noGrad } from '../autograd/mode.js'
import { kindOf, shown, ValueError } from '../core/errors.js'
import { checkOptions } from '../core/options.js'
import { scope } from '../core/scope.js'
import { Tensor } from '../core/tensor.js'
import type { CausalModel } from '../models/causal.js'
import { Module } from '../nn/module.js'
import type { CausalBatch } from '../tasks/rows/causal.js'
import { checkBatches, onePass } from '../train/checks.js'
import { Guard } from '../train/guard.js'
import type { Batches } from '../train/options.js'

export interface EvaluateCausalOptions {
  /** A part of a corpus, such as `shards.validation`, which tells the bytes of an average token. */
  readonly text?: { readonly tokens: number; readonly bytes: number }
}

export interface CausalScores {
  /** Mean cross entropy of a token, in nats. */
  readonly loss: number
  /** e to the loss. */
  readonly perplexity: number
  /** The number of predicted tokens. */
  readonly tokens: number
  /**
   * The loss for each byte of text, in bits, by which models with different vocabularies can be compared. Only with
   * `text`.
   */
  readonly bitsPerByte?: number
}

/** Scores a model over batches of tokens, in evaluation mode. Throws ValueError if there is no token to predict. */
export async function evaluateCausal(
  model: CausalModel,
  batches: Batches<CausalBatch>,
  options: EvaluateCausalOptions = {},
): Promise<CausalScores> {
  const op = 'evaluateCausal'
  const { text } = checkOptions(op, options, { text: true })
  if (!(model instanceof Module && typeof model.loss === 'function'))
    throw new ValueError(
      op,
      `the model is ${kindOf(model)}, but must be one that predicts tokens, such as AutoModel.forCausalLM gives`,
    )
  checkBatches(op, batches)
  if (text !== undefined && !(text?.tokens > 0 && text.bytes > 0))
    throw new ValueError(
      op,
      `text has ${shown(text?.tokens)} tokens and ${shown(text?.bytes)} bytes, but must have some of both, as shards.validation`,
    )
  return Guard.of(model).evaluating(op, async (check) => {
    let [total, tokens] = [0, 0]
    for await (const batch of onePass(op, batches)) {
      check()
      const { ids, ...inputs } = batch ?? {}
      if (!(ids instanceof Tensor))
        throw new ValueError(op, `the batch is ${kindOf(batch)}, but must have ids, as packed and shards give`)
      const loss = scope(() =>
        noGrad(() => {
          const { total: sum, count } = model.loss(ids, inputs)
          return { total: sum.data(), count: typeof count === 'number' ? [count] : count.data() }
        }),
      )
      total += (await loss.total)[0] as number
      tokens += (await loss.count)[0] as number
    }
    if (tokens === 0)
      throw new ValueError(op, 'no token of the batches was to be predicted; give more, or other labels')
    const loss = total / tokens
    return {
      ...{ loss, perplexity: Math.exp(loss), tokens },
      ...(text !== undefined && { bitsPerByte: ((loss / Math.LN2) * text.tokens) / text.bytes }),
    }
  })
}
