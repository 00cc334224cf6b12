/** Learning to continue texts. */
import { ValueError } from '../core/errors.js'
import { Tensor } from '../core/tensor.js'
import type { Module } from '../nn/module.js'
import { ne, where } from '../ops/elementwise/index.js'
import type { Loss, Objective } from '../train/objective.js'
import { checkText } from './model.js'
import type { CausalBatch } from './rows/causal.js'

interface CausalInputs {
  readonly attentionMask?: Tensor | null
  readonly positions?: Tensor | null
  readonly documents?: Tensor | null
}

/** A model that predicts the next token. It computes its loss itself, so that it need not keep the scores. */
export interface LanguageModel extends Module {
  forward(ids: Tensor, inputs?: CausalInputs): Tensor
  loss(ids: Tensor, inputs?: CausalInputs & { readonly labels?: Tensor | null }): Loss
}

/**
 * The objective of models that predict the next token: summed cross entropy of each label given the tokens before it,
 * over the labels that are learned. Works with every model of `AutoModel.forCausalLM`, and with batches { ids, labels?,
 * attentionMask?, positions?, documents? } as `completionRows`, `paddedRows`, `packed` and shards give them. Without
 * labels all tokens are learned. It has no metrics, because it keeps no scores; the perplexity is e to the loss.
 * `predict` gives scores [B, T, vocabSize].
 */
export function causalLM(): Objective<LanguageModel, CausalBatch> {
  const op = 'causalLM'
  const beside = ({ ids, ...rest }: CausalBatch): Omit<CausalBatch, 'ids'> => {
    const unknown = Object.keys(rest).filter(
      (name) => !['attentionMask', 'positions', 'documents', 'labels'].includes(name),
    )
    if (unknown.length > 0)
      throw new ValueError(
        op,
        `the batch holds ${unknown.join(', ')}, which no causal model takes; leave it out of the rows`,
      )
    return rest
  }
  return {
    loss(model, batch) {
      checkText(op, batch)
      const { labels, ...rest } = beside(batch)
      // Padding is never learned, even if the rows do not mark it.
      if (labels === undefined && rest.attentionMask instanceof Tensor)
        return model.loss(batch.ids, { ...rest, labels: where(ne(rest.attentionMask, 0), batch.ids, -100) })
      return model.loss(batch.ids, { ...rest, ...(labels === undefined ? {} : { labels }) })
    },
    predict(model, batch) {
      checkText(op, batch)
      const { labels: _, ...rest } = beside(batch)
      return model.forward(batch.ids, rest)
    },
  }
}
