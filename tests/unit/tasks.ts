/** Small models and tokenizers that the tests of tasks share. */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { Generator } from '../../lib/core/generator.js'
import { type Architecture, fromConfig } from '../../lib/models/architecture.js'
import type { PretrainedModel } from '../../lib/models/index.js'
import { Tokenizer } from '../../lib/text/tokenizer/tokenizer.js'

const data = fileURLToPath(new URL('../models/data/tokenizers/', import.meta.url))

export const special = { pad: '[PAD]', unk: '[UNK]', cls: '[CLS]', sep: '[SEP]', mask: '[MASK]' } as const

/** The small WordPiece tokenizer with 1,200 tokens, as a BERT folder would have it. */
export function wordpiece(maxLength: number | null = null): Tokenizer {
  return new Tokenizer(JSON.parse(readFileSync(`${data}wordpiece/tokenizer.json`, 'utf8')), { special, maxLength })
}

export const bertSizes = {
  vocab_size: 1200,
  hidden_size: 16,
  num_attention_heads: 2,
  num_hidden_layers: 1,
  intermediate_size: 24,
  max_position_embeddings: 48,
  hidden_dropout_prob: 0,
  attention_probs_dropout_prob: 0,
  initializer_range: 0.2,
} as const

export const distilbertSizes = {
  vocab_size: 1200,
  dim: 16,
  n_heads: 2,
  n_layers: 1,
  hidden_dim: 24,
  max_position_embeddings: 48,
  dropout: 0,
  attention_dropout: 0,
  qa_dropout: 0,
  seq_classif_dropout: 0,
  initializer_range: 0.2,
} as const

/** A model of the architecture, with weights that differ enough to tell outputs apart. */
export function small<C extends object, M extends PretrainedModel<C>>(of: Architecture<C, M>, more: object = {}): M {
  const sizes = of.modelTypes[0] === 'distilbert' ? distilbertSizes : bertSizes
  return fromConfig('test', of, { ...sizes, ...more }, { generator: new Generator(3) })
}

/** Names of classes as in `config.json`. */
export const labelled = (...labels: string[]) => ({
  id2label: Object.fromEntries(labels.map((label, i) => [i, label])),
})
