/** Models of texts, as objectives need and call them. */
import { kindOf, ValueError } from '../core/errors.js'
import { Tensor } from '../core/tensor.js'
import type { TextInputs } from '../models/inference/inputs.js'
import type { Module } from '../nn/module.js'

/** The inputs of `forward` of a model of texts besides the ids. */
export interface ForwardInputs {
  readonly attentionMask?: Tensor | null
  readonly tokenTypeIds?: Tensor | null
}

/** A model that gives one tensor: a classifier of texts or of tokens, or any module if batches are [input, labels]. */
export interface ScoringModel extends Module {
  forward(input: Tensor, inputs?: ForwardInputs): Tensor
}

/** Whether the model distinguishes the texts of a pair. A model that does not say so gets what the rows have. */
function takesTypes(model: Module): boolean {
  const { body = model } = model as Module & { readonly body?: object }
  const { hasTypes = true } = body as { readonly hasTypes?: unknown }
  return hasTypes !== false
}

/** Throws unless the batch holds tokens. */
export function checkText(op: string, batch: unknown): asserts batch is TextInputs {
  const { ids } = (typeof batch === 'object' && batch !== null ? batch : {}) as { readonly ids?: unknown }
  if (!(ids instanceof Tensor))
    throw new ValueError(
      op,
      `the batch is ${kindOf(batch)}${typeof batch === 'object' ? ' without ids' : ''}, but must hold { ids, attentionMask, ... }, as the ` +
        'batches of textRows and similar functions do',
    )
}

/** The inputs of `forward` besides the ids. */
export function forwardInputs(model: Module, { attentionMask, tokenTypeIds }: TextInputs): ForwardInputs {
  const types = tokenTypeIds !== undefined && takesTypes(model) ? { tokenTypeIds } : {}
  return { ...(attentionMask === undefined ? {} : { attentionMask }), ...types }
}

/** The labels of a batch. Throws ValueError if it has none. */
export function labelsIn(op: string, batch: unknown, name = 'labels'): Tensor {
  const { [name]: labels } = (typeof batch === 'object' && batch !== null ? batch : {}) as {
    readonly [name: string]: unknown
  }
  if (labels instanceof Tensor) return labels
  throw new ValueError(
    op,
    `the batch has no ${name}, from which the loss is computed; make rows with them, or only predict`,
  )
}
