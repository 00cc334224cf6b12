/** The job of a pre-training: a corpus in shards, and a model from its beginning. */
import { createHash } from 'node:crypto'
import { kindOf } from '../../core/errors.js'
import { manualSeed } from '../../core/generator.js'
import { onInterrupt } from '../../core/host.js'
import { IterableDataset } from '../../data/iterable.js'
import { AutoModel } from '../../models/auto.js'
import type { CausalModel } from '../../models/causal.js'
import type { CorpusCounts } from '../../pretrain/manifest.js'
import { prepare } from '../../pretrain/prepare.js'
import type { Shards } from '../../pretrain/shards.js'
import { AutoTokenizer, saveTokenizer } from '../../text/tokenizer/folder.js'
import type { Tokenizer } from '../../text/tokenizer/tokenizer.js'
import { type Loaded, placed } from '../config/config.js'
import type { PretrainConfig } from '../config/schema.js'
import { columnsOf } from '../data/read.js'
import { dataFiles, placedRows } from '../data/rows.js'
import { Interruption, UsageError } from '../exit.js'
import { taskOf } from '../tasks/tasks.js'
import { version } from '../version.js'
import { countText } from '../words.js'
import type { Job } from './job.js'
import { resultFolder } from './output.js'

export interface Corpus {
  readonly tokenizer: Tokenizer
  readonly shards: Shards
}

/** The documents of the corpus. Throws UsageError with the place of a row that has no text. */
async function* documents(files: readonly string[], column: string): AsyncGenerator<string> {
  for await (const { row, place } of placedRows(files)) {
    const value = row[column]
    if (typeof value === 'string') yield value
    else if (Object.hasOwn(row, column))
      throw new UsageError(
        `${place}: '${column}' is ${kindOf(value)}, but must be a text; leave the row out, or mend it`,
      )
    else
      throw new UsageError(
        `${place}: there is no column '${column}'; the row has ${columnsOf(row)}; name the right one by corpus.column`,
      )
  }
}

/** Makes the shards of a corpus, or opens those that are there. A call that was cut goes on. */
export async function openCorpus(loaded: Loaded<PretrainConfig>): Promise<Corpus> {
  const { config, resolve } = loaded
  const { file, folder, column = 'text', validation, deduplicate, similarity, seed } = config.corpus
  const files = await placed(loaded, ['corpus', 'file'], () => dataFiles([file].flat().map(resolve)))
  const tokenizer = await placed(loaded, ['tokenizer'], () => AutoTokenizer.load(resolve(config.tokenizer)))
  const interruption = new Interruption('stopped; the same command goes on from here')
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
    // Damaged tokens are tokens too, so that a training would tell nothing of them.
    await placed(loaded, ['corpus', 'folder'], async () => {
      await shards.train.verify()
      await shards.validation.verify()
    })
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

/** The model, made after the seed is set, so that the same config makes the same weights. */
async function makeModel(loaded: Loaded<PretrainConfig>, { size }: Tokenizer): Promise<CausalModel> {
  const { config, resolve, source } = loaded
  manualSeed(config.train?.seed ?? 0)
  const { model: given } = config
  const model = await placed(loaded, ['model'], () =>
    typeof given === 'string'
      ? AutoModel.forCausalLM(resolve(given))
      : AutoModel.forCausalLM({ vocab_size: size, ...given }),
  )
  if (model.config.vocabSize < size)
    throw new UsageError(
      `${source.place(['model'])}: model: the model knows ${model.config.vocabSize} tokens, but the tokenizer has ${size}; give vocab_size: ${size}, or leave it out`,
    )
  return model
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

async function jobOf(loaded: Loaded<PretrainConfig>, { tokenizer, shards }: Corpus): Promise<Job> {
  const { config, resolve, source } = loaded
  const { train: { batchSize = 1, seed = 0 } = {} } = config
  const model = await makeModel(loaded, tokenizer)
  const { length = model.config.context, documents: within = false } = config
  if (length > model.positionLimit)
    throw new UsageError(
      `${source.place(['length'])}: length is ${length}, but the model has ${model.positionLimit} positions; give at most ${model.positionLimit}`,
    )
  const shape = { length, documents: within, batchSize }
  const loader = await placed(loaded, [config.length === undefined ? 'corpus' : 'length'], () =>
    shards.train.batches({ ...shape, shuffle: true, seed }),
  )
  const validation = shards.validation.tokens < length ? null : shards.validation.batches(shape)
  const windows = shards.train.windows({ length, documents: within })
  // Windows are all of one length.
  const first = await windows.batch(Array.from({ length: Math.min(batchSize, windows.length) }, (_, i) => i))
  const digest = createHash('sha256')
    .update(JSON.stringify([shards.tokenizer, shards.counts, shards.options, shards.train.tokens]))
    .digest('hex')
  const folder = resultFolder(loaded)
  return {
    work: {
      model,
      objective: taskOf('text').objective({ labels: [], kind: 'class' }),
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
      config,
      rows: { format: 'text', count: shards.counts.kept, digest, labels: [], kind: 'class' },
      model: folder,
      tokenizer: resolve(config.tokenizer),
    },
    figures: {
      ...shards.counts,
      tokens: shards.train.tokens,
      validationTokens: shards.validation.tokens,
      windows: windows.length,
    },
    figuresText: shardsText(shards),
    facts: {
      format: 'text',
      held: validation === null ? 0 : shards.validation.windows({ length, documents: within }).length,
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
