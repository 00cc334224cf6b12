/** Sound calls of pre-training: corpora, batches of masked, spanned and packed rows, objectives, scores and probes. */
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as f from '../../lib/index.js'
import { bertArchitectures } from '../../lib/models/bert.js'
import { gpt2 } from '../../lib/models/index.js'
import * as pretrain from '../../lib/pretrain/index.js'
import { Tokenizer } from '../../lib/text/tokenizer/tokenizer.js'
import type { PublicCall } from '../cases/sound.js'
import { small, special, wordpiece } from '../unit/tasks.js'
import { collector } from './collect.js'

const { entries, add } = collector()

/** The first batch of a loader, into which the rows are made. */
const first = async (batches: AsyncIterable<unknown>) => {
  for await (const batch of batches) return batch
  return null
}

const tokenizer = wordpiece()
const folder = mkdtempSync(join(tmpdir(), 'firesteel-pretrain-'))
/** A tokenizer with the sentinels of spans, and with a token that ends a text. */
const spanning = new Tokenizer(tokenizer.toJSON(), { special: { ...special, eos: '[SEP]' } })
spanning.addTokens(['<extra_id_0>', '<extra_id_1>', '<extra_id_2>'], { special: true })
const row = () => pretrain.maskableRow('it fits a backend', tokenizer)
const documents = () => [
  ['it fits', 'no binary', 'a backend'],
  ['one', 'two'],
]
const shards = pretrain.prepare(documents().flat(), tokenizer, join(folder, 'shards'))
const ids = () => f.tensor([[1, 2, 3]], { dtype: 'int32' })
const language = () => gpt2({ vocabSize: 8, layers: 1, width: 4, heads: 1, context: 8, dropout: 0 })
const features = () => ({ features: f.rand([4, 2]), labels: f.tensor([0, 1, 0, 1], { dtype: 'int32' }) })
const options = { batchSize: 1, shuffle: true, seed: 1, dropLast: true }

add('maskableRow', pretrain.maskableRow as never, () => ['it fits', tokenizer, { maxLength: 8 }], 'encodeBatch')
add('masking', pretrain.masking as never, () => [tokenizer, { probability: 0.5, wholeWords: true }])
add(
  'maskedBatches',
  (...args: never[]) => first((pretrain.maskedBatches as (...given: never[]) => AsyncIterable<unknown>)(...args)),
  () => [[row()], tokenizer, { probability: 0.5, wholeWords: true, ...options }],
  'masking',
  'DataLoader',
  'Generator',
)
add('nextSentencePairs', pretrain.nextSentencePairs as never, () => [documents(), tokenizer, { maxLength: 16 }])
add('corruptSpans', pretrain.corruptSpans as never, () => [spanning, { probability: 0.3, meanSpan: 2 }])
add(
  'spanBatches',
  (...args: never[]) => first((pretrain.spanBatches as (...given: never[]) => AsyncIterable<unknown>)(...args)),
  () => [[{ ids: [5, 6, 7, 8] }], spanning, { probability: 0.3, meanSpan: 2, ...options }],
  'corruptSpans',
  'DataLoader',
  'Generator',
)
add(
  'packed',
  (...args: never[]) => first((pretrain.packed as (...given: never[]) => AsyncIterable<unknown>)(...args)),
  () => [
    [{ ids: [1, 2, 3] }, { ids: [4, 5], labels: [4, -100] }],
    { length: 4, batchSize: 1, buffer: 2, long: 'split', dropLast: false },
  ],
  'DataLoader',
  'IterableDataset',
)
add('maskedLM', pretrain.maskedLM, () => [])
add('denoising', pretrain.denoising as never, () => [{ noise: 'masking', amount: 0.2, loss: 'crossEntropy' }])
add('contrastive', pretrain.contrastive as never, () => [{ loss: 'infoNce', temperature: 0.1 }])
add('contrastive', pretrain.contrastive as never, () => [{ loss: 'triplet', margin: 0.5 }])
add(
  'Projected',
  (...args: never[]) => new pretrain.Projected(...(args as unknown as [never, never])),
  () => [new f.nn.Linear(2, 2), new f.nn.Linear(2, 2)],
)
add('evaluateCausal', pretrain.evaluateCausal as never, () => [
  language(),
  [{ ids: ids() }],
  { text: { tokens: 3, bytes: 9 } },
])
add('evaluateMasked', pretrain.evaluateMasked as never, () => [
  small(bertArchitectures.maskedLM),
  [{ ids: ids(), labels: ids() }],
])
add('linearProbe', pretrain.linearProbe as never, () => [features(), features(), { c: 0.5, standardise: false }])
add('nearestNeighbours', pretrain.nearestNeighbours as never, () => [
  features(),
  features(),
  { k: 2, temperature: 0.1 },
])
let prepared = 0
add(
  'prepare',
  async (...args: never[]) => {
    const made = await (pretrain.prepare as (...given: never[]) => Promise<pretrain.Shards>)(...args)
    await made.close()
  },
  () => [
    Array.from({ length: 20 }, (_, i) => `text ${i}`),
    tokenizer,
    join(folder, `prepared-${prepared++}`),
    {
      ...{ validation: 0.5, deduplicate: true, similarity: 0.8, seed: 1, endToken: 3, shardTokens: 4 },
      ...{ onProgress: () => undefined, signal: new AbortController().signal },
    },
  ],
  'openShards',
)
add(
  'openShards',
  async (from) => {
    await shards
    const opened = await pretrain.openShards(from)
    await opened.close()
  },
  () => [join(folder, 'shards')],
)

const table = (...args: never[]) => new pretrain.TableAutoEncoder(...(args as unknown as [never, never]))
add('TableAutoEncoder', table, () => [
  [{ name: 'age', mean: 40, deviation: 10 }],
  { hiddenSizes: [2, 1], missing: 'mean' },
])
const tableFolder = (async () => {
  const model = new pretrain.TableAutoEncoder([{ name: 'age', mean: 40, deviation: 10 }], { hiddenSizes: [2] })
  await model.save(join(folder, 'table'))
})()
add(
  'loadTableAutoEncoder',
  async (from) => {
    await tableFolder
    return pretrain.loadTableAutoEncoder(from)
  },
  () => [join(folder, 'table')],
)

export const pretrainCalls: readonly PublicCall[] = entries
