/** Learning to write a text in response to a text. */
import { type OptionNames, ownOptions } from '../core/options.js'
import type { Tensor } from '../core/tensor.js'
import type { Module } from '../nn/module.js'
import type { Loss, Objective } from '../train/objective.js'
import { checkSmoothing } from './classification.js'
import { checkText, labelsIn } from './model.js'
import type { Seq2SeqBatch } from './rows/seq2seq.js'

/** The inputs of an encoder-decoder besides the ids that it reads. */
interface WritingInputs {
  readonly attentionMask?: Tensor | null
  readonly labels: Tensor
}

/** A model that writes a text for another one. It computes its loss itself. */
export interface WritingModel extends Module {
  forward(ids: Tensor, inputs: WritingInputs): Tensor
  loss(ids: Tensor, inputs: WritingInputs & { readonly labelSmoothing?: number }): Loss
}

export interface Seq2SeqOptions {
  /** The share of each label that is spread over all tokens, in [0, 1]. Default 0. */
  readonly labelSmoothing?: number
}

const seq2seqNames: OptionNames<Seq2SeqOptions> = { labelSmoothing: true }

/**
 * The objective of encoder-decoders: summed cross entropy of each label given the source text and the labels before it,
 * over the labels that are not -100. Works with every model of `AutoModel.forSeq2Seq`, over batches of `seq2seqRows`.
 * It has no metrics, because it keeps no scores. `predict` gives scores [B, T, vocabSize] at the labels' places.
 */
export function seq2seq(options: Seq2SeqOptions = {}): Objective<WritingModel, Seq2SeqBatch> {
  const op = 'seq2seq'
  const { labelSmoothing = 0 } = ownOptions(op, options, seq2seqNames)
  checkSmoothing(op, labelSmoothing)
  const inputs = (batch: Seq2SeqBatch): WritingInputs => {
    checkText(op, batch)
    const { attentionMask } = batch
    return { labels: labelsIn(op, batch), ...(attentionMask === undefined ? {} : { attentionMask }) }
  }
  return {
    loss: (model, batch) =>
      model.loss(batch.ids, { ...inputs(batch), ...(labelSmoothing === 0 ? {} : { labelSmoothing }) }),
    predict: (model, batch) => model.forward(batch.ids, inputs(batch)),
  }
}
