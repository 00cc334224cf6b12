/**
 * The objectives of pre-training that a config can name, each with its model and its batches from the shards' windows.
 */
import { FunctionDataset } from '../../data/dataset.js'
import { AutoModel } from '../../models/auto.js'
import type { ConfigJson } from '../../models/config.js'
import { maskedLM } from '../../pretrain/masked.js'
import { maskableRow, maskedBatches } from '../../pretrain/masking.js'
import type { TokenShards } from '../../pretrain/shards.js'
import { spanBatches } from '../../pretrain/spans.js'
import { seq2seq } from '../../tasks/seq2seq.js'
import type { Tokenizer } from '../../text/tokenizer/tokenizer.js'
import type { Objective } from '../../train/objective.js'
import type { PretrainConfig } from '../config/schema.js'
import type { TaskBatch } from '../tasks/formats.js'
import { type TaskModel, taskOf } from '../tasks/tasks.js'
import { countText } from '../words.js'
import { nextSentences } from './next-sentences.js'
import type { PlacedBatches } from './plan.js'

export type ObjectiveName = 'causal' | 'masked' | 'spans'

interface Shape {
  /** The number of tokens in a row, including those that the tokenizer puts around it. */
  readonly length: number
  readonly documents: boolean
  readonly batchSize: number
}

interface Pass {
  readonly shuffle: boolean
  readonly seed: number
}

export interface Pretraining {
  readonly name: ObjectiveName
  /** The hub's name for the purpose of such models. */
  readonly task: string
  load(from: string | ConfigJson): Promise<TaskModel>
  readonly objective: Objective<TaskModel, TaskBatch, string>
  /** Reads the material of rows. Called before the other two. */
  open?(shards: TokenShards, tokenizer: Tokenizer, shape: Shape): Promise<void>
  /** The number of rows in the shards. */
  rows(shards: TokenShards, shape: Shape): number
  /** The part of the shards that no row holds, in words, or null. */
  left(shards: TokenShards, shape: Shape): string | null
  batches(shards: TokenShards, tokenizer: Tokenizer, shape: Shape, pass: Pass): PlacedBatches
}

/** An objective that only ever gets the models and batches of its own kind. */
const general = (objective: unknown) => objective as Objective<TaskModel, TaskBatch, string>

/** The tokens at the end that fill no window. Each window begins with the last token of the one before. */
function leftOf({ tokens }: TokenShards, windows: { readonly length: number }, length: number): string | null {
  const left = tokens - 1 - windows.length * (length - 1)
  return left <= 0 ? null : `the last ${countText(left)} tokens fill none, so that they are not learned`
}

const causal: Pretraining = {
  name: 'causal',
  task: 'text-generation',
  load: (from) => AutoModel.forCausalLM(from),
  objective: taskOf('text').objective({ labels: [], kind: 'class' }),
  rows: (shards, { length, documents }) => shards.windows({ length, documents }).length,
  left: (shards, { length, documents }) => leftOf(shards, shards.windows({ length, documents }), length),
  batches: (shards, _, shape, { shuffle, seed }) => shards.batches({ ...shape, shuffle, ...(shuffle && { seed }) }),
}

type Table = Exclude<PretrainConfig['objective'], string | undefined>
type Masked = Exclude<Extract<Table, { masked: unknown }>['masked'], undefined>
type Spans = Exclude<Extract<Table, { spans: unknown }>['spans'], undefined>

/**
 * The number of tokens that the tokenizer adds to each row: [CLS] and [SEP] for an encoder, the end token for an
 * encoder-decoder.
 */
const added = { masked: 2, spans: 1 }

/** Windows of a shard's tokens. Together with the added tokens they fill rows. */
const windowsOf = (name: keyof typeof added, shards: TokenShards, { length }: Shape) =>
  shards.windows({ length: Math.max(2, length - added[name]), documents: false })

const leftOver = (name: keyof typeof added) => (shards: TokenShards, shape: Shape) =>
  leftOf(shards, windowsOf(name, shards, shape), Math.max(2, shape.length - added[name]))

function defined<T extends object>(table: T): { [name in keyof T]: Exclude<T[name], undefined> } {
  const entries = Object.entries(table).filter(([, value]) => value !== undefined)
  return Object.fromEntries(entries) as { [name in keyof T]: Exclude<T[name], undefined> }
}

const masked = (options: Masked): Pretraining => ({
  name: 'masked',
  task: 'fill-mask',
  load: (from) => AutoModel.forMaskedLM(from),
  objective: general(maskedLM()),
  rows: (shards, shape) => windowsOf('masked', shards, shape).length,
  left: leftOver('masked'),
  batches: (shards, tokenizer, shape, pass) => {
    const windows = windowsOf('masked', shards, shape)
    // Windows are turned back into text, because the tokenizer decides what a word is, and adds its special tokens to
    // each row.
    const rows = new FunctionDataset(windows.length, async (index) => {
      const { ids } = await windows.get(index)
      return maskableRow(tokenizer.decode(ids, { skipSpecialTokens: true }), tokenizer, { maxLength: shape.length })
    })
    return maskedBatches(rows, tokenizer, { ...defined(options), batchSize: shape.batchSize, ...pass })
  },
})

const spans = (options: Spans): Pretraining => ({
  name: 'spans',
  task: 'translation',
  load: (from) => AutoModel.forSeq2Seq(from),
  objective: general(seq2seq()),
  rows: (shards, shape) => windowsOf('spans', shards, shape).length,
  left: leftOver('spans'),
  batches: (shards, tokenizer, shape, pass) => {
    const windows = windowsOf('spans', shards, shape)
    return spanBatches(windows, tokenizer, { ...defined(options), batchSize: shape.batchSize, ...pass })
  },
})

export function pretrainingOf(given: PretrainConfig['objective'] = 'causal'): Pretraining {
  if (given === 'causal') return causal
  if (given === 'masked') return masked({})
  if (given === 'spans') return spans({})
  if (!('masked' in given)) return spans(given.spans)
  const { nextSentence = false, ...options } = given.masked
  return nextSentence ? nextSentences(defined(options)) : masked(options)
}

/** Batches that are the same in each pass, so that a resumed run measures the same as one without interruption. */
export function sameEachPass(make: () => PlacedBatches): PlacedBatches {
  const first = make()
  return {
    length: first.length,
    stateDict: () => first.stateDict(),
    loadStateDict: (state) => first.loadStateDict(state),
    [Symbol.asyncIterator]: () => make()[Symbol.asyncIterator](),
  }
}
