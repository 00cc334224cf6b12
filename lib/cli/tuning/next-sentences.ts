/**
 * The objective of BERT: masked tokens in pairs of sentences. In half of the pairs the sentences follow one another in
 * a document of the shards.
 */
import { ValueError } from '../../core/errors.js'
import type { Dataset } from '../../data/dataset.js'
import { AutoModel } from '../../models/auto.js'
import { maskedLM } from '../../pretrain/masked.js'
import { type MaskableRow, type MaskedBatchesOptions, maskedBatches } from '../../pretrain/masking.js'
import { nextSentencePairs } from '../../pretrain/next-sentence.js'
import type { TokenShards } from '../../pretrain/shards.js'
import type { Tokenizer } from '../../text/tokenizer/tokenizer.js'
import type { Objective } from '../../train/objective.js'
import type { TaskBatch } from '../tasks/formats.js'
import type { TaskModel } from '../tasks/tasks.js'
import { countText } from '../words.js'
import type { Pretraining } from './objectives.js'

/**
 * Ends of sentences: after a mark with a space behind it, after a Chinese or Japanese mark, and at the end of a line.
 */
const ends = /(?<=[.!?…]["'”’)\]]?)\s+|(?<=[。！？][”’」』）]?)(?![”’」』）])|\n+/u

/** The sentences of a text. */
export function sentencesOf(text: string): string[] {
  return text
    .split(ends)
    .map((each) => each.trim())
    .filter((each) => each !== '')
}

/** The sentences of each document. All are in memory. */
async function documentsIn(shards: TokenShards, tokenizer: Tokenizer): Promise<string[][]> {
  // A window has at least two tokens.
  if (shards.tokens < 2) return []
  const { ids, ends: within } = await shards.windows({ length: shards.tokens, documents: true }).get(0)
  const bounds = [0, ...within, ids.length]
  return bounds.slice(1).map((end, i) => {
    const own = ids.subarray(bounds[i], end)
    return sentencesOf(tokenizer.decode(own, { skipSpecialTokens: true })).filter(
      (each) => tokenizer.encode(each, { specialTokens: false }).ids.length > 0,
    )
  })
}

export function nextSentences(options: Pick<MaskedBatchesOptions, 'probability' | 'wholeWords'>): Pretraining {
  const pairs = new Map<TokenShards, Dataset<MaskableRow>>()
  const lonely = new Map<TokenShards, number>()
  const pairsOf = (shards: TokenShards) => pairs.get(shards) as Dataset<MaskableRow>
  return {
    name: 'masked',
    task: 'fill-mask',
    async load(from) {
      const model = await AutoModel.forPreTraining(from)
      if (model.config.types < 2)
        throw new ValueError(
          'AutoModel',
          'type_vocab_size is 1, but the two sentences of a pair have two types; give 2',
        )
      return model
    },
    objective: maskedLM() as unknown as Objective<TaskModel, TaskBatch, string>,
    async open(shards, tokenizer, { length }) {
      const documents = await documentsIn(shards, tokenizer)
      lonely.set(shards, documents.filter((sentences) => sentences.length === 1).length)
      pairs.set(shards, nextSentencePairs(documents, tokenizer, { maxLength: length }))
    },
    rows: (shards) => pairsOf(shards).length,
    left: (shards) => {
      const count = lonely.get(shards) ?? 0
      return count === 0 ? null : `${countText(count)} documents of one sentence begin none, because nothing follows it`
    },
    batches: (shards, tokenizer, { batchSize }, pass) =>
      maskedBatches(pairsOf(shards), tokenizer, { ...options, batchSize, ...pass }),
  }
}
