/** The job of a pre-training: a corpus in shards, and a new model. */
import { createHash } from 'node:crypto'
import { kindOf } from '../../core/errors.js'
import { manualSeed } from '../../core/generator.js'
import { onInterrupt } from '../../core/host.js'
import { IterableDataset } from '../../data/iterable.js'
import type { CorpusCounts } from '../../pretrain/manifest.js'
import { prepare } from '../../pretrain/prepare.js'
import type { Shards, TokenShards } from '../../pretrain/shards.js'
import { AutoTokenizer, saveTokenizer } from '../../text/tokenizer/folder.js'
import type { Tokenizer } from '../../text/tokenizer/tokenizer.js'
import { type Loaded, placed } from '../config/config.js'
import type { PretrainConfig } from '../config/schema.js'
import { columnsOf } from '../data/read.js'
import { dataFiles, placedRows } from '../data/rows.js'
import { Interruption, UsageError } from '../exit.js'
import { positionsOf, type TaskModel } from '../tasks/tasks.js'
import { version } from '../version.js'
import { countText } from '../words.js'
import type { Job } from './job.js'
import { withoutSearch } from './manifest.js'
import { type Pretraining, pretrainingOf, sameEachPass } from './objectives.js'
import { resultFolder } from './output.js'
import type { PlacedBatches, WorkBatch } from './plan.js'

export interface Corpus {
  readonly tokenizer: Tokenizer
  readonly shards: Shards
}

/** The documents of the corpus. Throws UsageError with the place of a row that has no text. */
async function* documents(files: readonly string[], column: string): AsyncGenerator<string> {
  for await (const placed of placedRows(files)) {
    const { row } = placed
    const value = row[column]
    if (typeof value === 'string') yield value
    else if (Object.hasOwn(row, column))
      throw new UsageError(
        `${placed.place}: '${column}' is ${kindOf(value)}, but must be a text; leave the row out, or correct it`,
      )
    else
      throw new UsageError(
        `${placed.place}: there is no column '${column}'; the row has ${columnsOf(row)}; name the right one with corpus.column`,
      )
  }
}

/** Makes the shards of a corpus, or opens existing ones. Resumes a call that was interrupted. */
export async function openCorpus(loaded: Loaded<PretrainConfig>): Promise<Corpus> {
  const { config, resolve } = loaded
  const { file, folder, column = 'text', validation, deduplicate, similarity, seed } = config.corpus
  const files = await placed(loaded, ['corpus', 'file'], () => dataFiles([file].flat().map(resolve)))
  const tokenizer = await placed(loaded, ['tokenizer'], () => AutoTokenizer.load(resolve(config.tokenizer)))
  const interruption = new Interruption('stopped; the same command continues from here')
  const controller = new AbortController()
  const unwatch = onInterrupt(() => controller.abort(interruption))
  let told = Date.now()
  try {
    const shards = await placed(loaded, ['corpus'], () =>
      prepare(new IterableDataset(() => documents(files, column)), tokenizer, resolve(folder), {
        ...(validation !== undefined && { validation }),
        ...(deduplicate !== undefined && { deduplicate }),
        ...(similarity !== undefined && { similarity }),
        ...(seed !== undefined && { seed }),
        signal: controller.signal,
        onProgress: (counts) => {
          if (Date.now() - told < 10_000) return
          told = Date.now()
          process.stderr.write(`${countsText(counts)}\n`)
        },
      }),
    )
    // Damaged tokens are still tokens, so a training would not notice them.
    try {
      await placed(loaded, ['corpus', 'folder'], async () => {
        await shards.train.verify()
        await shards.validation.verify()
      })
    } catch (error) {
      await shards.close()
      throw error
    }
    return { tokenizer, shards }
  } catch (error) {
    throw controller.signal.aborted ? interruption : error
  } finally {
    unwatch()
  }
}

/** `1,000 texts: 900 kept, 20 empty, ...` */
export function countsText({ read, kept, empty, exactDuplicates, nearDuplicates, notCompared }: CorpusCounts): string {
  const others = Object.entries({
    empty,
    'exact duplicates': exactDuplicates,
    'near duplicates': nearDuplicates,
    'not compared with all that are alike': notCompared,
  }).flatMap(([name, count]) => (count === 0 ? [] : [`${countText(count)} ${name}`]))
  return `${countText(read)} texts: ${[`${countText(kept)} kept`, ...others].join(', ')}`
}

/** The contents of shards, in words. */
export function shardsText({ train, validation, counts }: Shards): string {
  const held = validation.tokens === 0 ? '' : ` and ${countText(validation.tokens)} for validation`
  return `${countsText(counts)}; ${countText(train.tokens)} tokens${held}`
}

/** Whether rows are pairs of sentences. */
const rowsVary = ({ objective }: PretrainConfig): boolean =>
  typeof objective === 'object' && 'masked' in objective && objective.masked.nextSentence === true

const unmeasured = ({ validation }: Shards, length: number): string =>
  `nothing is measured, because the ${countText(validation.tokens)} tokens for validation fill no row of ${length}; raise corpus.validation, with another corpus.folder, or give a smaller length`

/** The model is made after the seed is set, so the same config makes the same weights. */
async function makeModel(
  loaded: Loaded<PretrainConfig>,
  { load }: Pretraining,
  { size }: Tokenizer,
): Promise<TaskModel> {
  const { config, resolve, source } = loaded
  manualSeed(config.train?.seed ?? 0)
  const { model: given } = config
  const model = await placed(loaded, ['model'], () =>
    load(typeof given === 'string' ? resolve(given) : { vocab_size: size, ...given }),
  )
  if (model.config.vocabSize < size)
    throw new UsageError(
      `${source.place(['model'])}: model: the model knows ${model.config.vocabSize} tokens, but the tokenizer has ${size}; give vocab_size: ${size}, or leave it out`,
    )
  return model
}

/** The number of tokens in a window. Throws UsageError if the model does not tell it, or has fewer positions. */
function lengthOf({ config, source }: Loaded<PretrainConfig>, model: TaskModel): number {
  const { length = model.config.context } = config
  const limit = positionsOf(model)
  if (length === undefined)
    throw new UsageError(
      `${source.place(['length'])}: length is missing, and the model's positions have no limit; give the number of tokens in a row, such as length: 512`,
    )
  if (length > limit)
    throw new UsageError(
      `${source.place(['length'])}: length is ${length}, but the model has ${limit} positions; give at most ${limit}`,
    )
  return length
}

/** Prepares the corpus before the model is made. */
export async function pretraining(loaded: Loaded<PretrainConfig>): Promise<Job> {
  const corpus = await openCorpus(loaded)
  try {
    return await jobOf(loaded, corpus)
  } catch (error) {
    await corpus.shards.close()
    throw error
  }
}

/** The first batch. Rows that the objective cannot use are reported at their place in the config. */
async function firstOf(loaded: Loaded<PretrainConfig>, batches: PlacedBatches): Promise<WorkBatch> {
  const name = loaded.config.objective === undefined ? 'corpus' : 'objective'
  return placed(loaded, [name], async () => {
    for await (const batch of batches) return batch
    throw new UsageError('the corpus has no rows; give more text')
  })
}

async function jobOf(loaded: Loaded<PretrainConfig>, { tokenizer, shards }: Corpus): Promise<Job> {
  const { config, resolve, source } = loaded
  const { train: { batchSize = 1, seed = 0 } = {}, documents = false } = config
  const kind = pretrainingOf(config.objective)
  if (documents && kind.name !== 'causal')
    throw new UsageError(
      `${source.place(['documents'], 'key')}: documents is for the objective 'causal', but the objective is '${kind.name}'; leave it out`,
    )
  const model = await makeModel(loaded, kind, tokenizer)
  const length = lengthOf(loaded, model)
  const shape = { length, documents, batchSize }
  const made = (part: TokenShards, pass: { readonly shuffle: boolean; readonly seed: number }) =>
    kind.batches(part, tokenizer, shape, pass)
  const isHeld = shards.validation.tokens >= length
  await placed(loaded, ['objective'], async () => {
    for (const part of [shards.train, ...(isHeld ? [shards.validation] : [])]) await kind.open?.(part, tokenizer, shape)
  })
  const [loader, windows] = await placed(loaded, [config.length === undefined ? 'corpus' : 'length'], () => [
    made(shards.train, { shuffle: true, seed }),
    kind.rows(shards.train, shape),
  ])
  const validation = isHeld ? sameEachPass(() => made(shards.validation, { shuffle: false, seed })) : null
  // All windows have the same length.
  const first = await firstOf(loaded, made(shards.train, { shuffle: false, seed }))
  const digest = createHash('sha256')
    .update(JSON.stringify([shards.tokenizer, shards.counts, shards.options, shards.train.tokens]))
    .digest('hex')
  const folder = resultFolder(loaded)
  return {
    work: {
      model,
      objective: kind.objective,
      loader,
      validation,
      longest: first,
      middle: first,
      parameters: () => model.parameters(),
      callbacks: [],
      lr: 6e-4,
    },
    manifest: {
      format: 1,
      firesteel: version(),
      config: withoutSearch(config),
      rows: { format: 'text', count: shards.counts.kept, digest, labels: [], kind: 'class' },
      model: folder,
      tokenizer: resolve(config.tokenizer),
    },
    figures: {
      ...shards.counts,
      tokens: shards.train.tokens,
      validationTokens: shards.validation.tokens,
      windows,
    },
    figuresText: [
      shardsText(shards),
      `${countText(windows)} rows of ${kind.name === 'masked' && rowsVary(config) ? 'at most ' : ''}${length} tokens`,
      ...[kind.left(shards.train, shape)].filter((text) => text !== null),
      ...(isHeld || (config.corpus.validation ?? 0) === 0 ? [] : [unmeasured(shards, length)]),
    ].join('; '),
    facts: {
      format: 'text',
      task: kind.task,
      held: isHeld ? kind.rows(shards.validation, shape) : 0,
      ...(typeof config.model === 'string' && { base: config.model }),
      data: [config.corpus.file].flat(),
      library: 'transformers',
      training: `Pre-trained on ${countText(shards.train.tokens)} tokens in windows of ${length}.`,
    },
    save: async (card) => {
      await model.save(folder, { log: console.error, card })
      await saveTokenizer(tokenizer, folder)
      return folder
    },
    close: () => shards.close(),
  }
}
