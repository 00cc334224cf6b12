/** Learning to find masked tokens, and measures of how well a model finds them. */
import { noGrad } from '../autograd/mode.js'
import { kindOf, ValueError } from '../core/errors.js'
import { scope } from '../core/scope.js'
import { Tensor } from '../core/tensor.js'
import type { BertPreTraining, PreTrainingInputs, PreTrainingScores } from '../models/bert.js'
import type { EncoderInputs } from '../models/encoder.js'
import type { LabelledInputs } from '../models/heads.js'
import { Module } from '../nn/module.js'
import { crossEntropy } from '../ops/loss/index.js'
import { argmax } from '../ops/reduce/index.js'
import { reshape } from '../ops/shape/index.js'
import { checkBatches, onePass } from '../train/checks.js'
import { Guard } from '../train/guard.js'
import type { Loss, Objective } from '../train/objective.js'
import type { Batches } from '../train/options.js'
import type { MaskedBatch } from './masking.js'

/** An encoder that scores every token, as from `AutoModel.forMaskedLM` and `AutoModel.forPreTraining`. */
export interface MaskedModel extends Module {
  forward(ids: Tensor, inputs?: EncoderInputs): Tensor | PreTrainingScores
  loss(ids: Tensor, inputs: LabelledInputs): Loss
}

/** Whether the model also judges pairs. */
const judgesPairs = (model: MaskedModel): boolean =>
  'seq_relationship' in ((model as { readonly cls?: object }).cls ?? {})

function checkPairs(op: string, model: MaskedModel, { nextSentenceLabels }: MaskedBatch): void {
  const judges = judgesPairs(model)
  if (judges === (nextSentenceLabels !== undefined)) return
  throw new ValueError(
    op,
    judges
      ? 'the model judges pairs of sentences, too, but the batch has no nextSentenceLabels; make rows by nextSentencePairs, or take AutoModel.forMaskedLM'
      : 'the batch has nextSentenceLabels, but the model does not judge pairs; take AutoModel.forPreTraining, or rows of single texts',
  )
}

/**
 * The objective of masked language models: summed cross entropy of the chosen tokens over batches of `maskedBatches`.
 * If the model also judges pairs of sentences, the mean over chosen tokens and the mean over pairs are added, as in
 * BERT.
 */
export function maskedLM(): Objective<MaskedModel, MaskedBatch> {
  const op = 'maskedLM'
  return {
    loss(model, batch) {
      const { ids, labels, ...rest } = checkMasked(op, batch)
      checkPairs(op, model, batch)
      const { nextSentenceLabels, ...inputs } = rest
      if (nextSentenceLabels === undefined) return model.loss(ids, { ...inputs, labels })
      const given: PreTrainingInputs = { ...inputs, labels, nextSentenceLabels }
      return (model as Module as BertPreTraining).loss(ids, given)
    },
    predict(model, batch) {
      const { ids, labels: _, nextSentenceLabels: __, ...inputs } = checkMasked(op, batch)
      return scoresOf(model.forward(ids, inputs)).predictions
    },
  }
}

function checkMasked(op: string, batch: MaskedBatch): MaskedBatch {
  const { ids, labels } = (batch ?? {}) as Partial<MaskedBatch>
  if (!(ids instanceof Tensor && labels instanceof Tensor))
    throw new ValueError(op, `the batch is ${kindOf(batch)}, but must have ids and labels, as maskedBatches gives`)
  return batch
}

const scoresOf = (output: Tensor | PreTrainingScores): { predictions: Tensor; nextSentence?: Tensor } =>
  output instanceof Tensor ? { predictions: output } : output

/** Scores of how well a model finds masked tokens. */
export interface MaskedScores {
  /** Mean cross entropy of the chosen tokens, in nats. */
  readonly loss: number
  /** e to the loss: the effective number of tokens between which the model hesitates. */
  readonly perplexity: number
  /** The share of chosen tokens that the model finds. */
  readonly accuracy: number
  /** The number of chosen tokens. */
  readonly tokens: number
  /** The share of pairs that the model judges correctly, if it judges pairs. */
  readonly nextSentenceAccuracy?: number
}

/** Scores a model over batches of `maskedBatches`, in evaluation mode. Throws ValueError if no token was chosen. */
export async function evaluateMasked(model: MaskedModel, batches: Batches<MaskedBatch>): Promise<MaskedScores> {
  const op = 'evaluateMasked'
  if (!(model instanceof Module && typeof model.loss === 'function'))
    throw new ValueError(
      op,
      `the model is ${kindOf(model)}, but must be one that fills tokens in, such as AutoModel.forMaskedLM gives`,
    )
  checkBatches(op, batches)
  return Guard.of(model).evaluating(op, async (check) => {
    let [total, tokens, right, pairs, judged] = [0, 0, 0, 0, 0]
    for await (const batch of onePass(op, batches)) {
      check()
      checkMasked(op, batch)
      checkPairs(op, model, batch)
      const { ids, labels, nextSentenceLabels, ...inputs } = batch
      const reads = scope(() =>
        noGrad(() => {
          const { predictions, nextSentence } = scoresOf(model.forward(ids, inputs))
          const rows = reshape(predictions, [labels.numel, predictions.sizes.at(-1) as number])
          const loss = crossEntropy(rows, reshape(labels, [labels.numel]), { ignoreIndex: -100, reduction: 'sum' })
          return {
            loss: loss.data(),
            guesses: argmax(rows, -1).data(),
            labels: labels.data(),
            judgements: nextSentence === undefined ? null : argmax(nextSentence, -1).data(),
            follows: nextSentenceLabels?.data() ?? null,
          }
        }),
      )
      const [guesses, wanted] = [await reads.guesses, await reads.labels]
      let chosen = 0
      for (let i = 0; i < wanted.length; i++) {
        if (wanted[i] === -100) continue
        chosen++
        if (guesses[i] === wanted[i]) right++
      }
      tokens += chosen
      if (chosen > 0) total += (await reads.loss)[0] as number
      const [judgements, follows] = [await reads.judgements, await reads.follows]
      if (judgements === null || follows === null) continue
      pairs += follows.length
      judged += judgements.reduce<number>((sum, each, i) => sum + (each === follows[i] ? 1 : 0), 0)
    }
    if (tokens === 0)
      throw new ValueError(op, 'no token of the batches was chosen, so there is nothing to score; give more rows')
    const loss = total / tokens
    return {
      ...{ loss, perplexity: Math.exp(loss), accuracy: right / tokens, tokens },
      ...(pairs > 0 && { nextSentenceAccuracy: judged / pairs }),
    }
  })
}
