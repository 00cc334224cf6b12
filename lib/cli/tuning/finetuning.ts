/** The job of a fine-tuning. */
import { replay } from '../../finetune/replay.js'
import { byLength } from '../../tasks/by-length.js'
import type { PairRow } from '../../tasks/rows/pairs.js'
import { tokensIn } from '../../tasks/rows/rows.js'
import { type Loaded, placed } from '../config/config.js'
import { UsageError } from '../exit.js'
import type { FormatName, TaskBatch, TaskRow } from '../tasks/formats.js'
import { type Contrast, contrastOf, headOf, type TaskModel, taskOf } from '../tasks/tasks.js'
import { figuresText, rowFigures } from './figures.js'
import type { Job } from './job.js'
import { manifestOf } from './manifest.js'
import { type Data, eachOf, makeModel, type Rows, readData, seedOf } from './material.js'
import { applyMethod, methodText } from './method.js'
import { isAdapter } from './output.js'
import type { PlacedBatches } from './plan.js'
import { saveResult } from './result.js'
import { withWeights } from './weights.js'

/** A batch of the longest rows of all parts, and one of rows of middle length from the first part. */
async function sampleBatches(
  parts: readonly Rows[],
  batchSize: number,
): Promise<readonly [longest: TaskBatch, middle: TaskBatch]> {
  const sorted = parts.map((rows) => {
    const lengths = Array.from(eachOf(rows), tokensIn)
    const order = lengths.map((_, i) => i).sort((a, b) => (lengths[b] as number) - (lengths[a] as number))
    return { rows, order, most: lengths[order[0] ?? 0] ?? 0 }
  })
  const [own] = sorted as [(typeof sorted)[number]]
  const longest = sorted.reduce((most, each) => (each.most > most.most ? each : most))
  const from = Math.max(0, (own.order.length - batchSize) >> 1)
  return [
    await longest.rows.batch(longest.order.slice(0, batchSize)),
    await own.rows.batch(own.order.slice(from, from + batchSize)),
  ]
}

/** Batches of the task, with general ones among them if the config asks for these. */
function batchesOf(loaded: Loaded, { train, replay: general }: Data, batchSize: number): PlacedBatches {
  const shuffled = (rows: Rows) => byLength(rows, { batchSize, seed: seedOf(loaded) })
  const { share } = loaded.config.replay ?? {}
  return general === null || share === undefined
    ? shuffled(train)
    : replay(shuffled(train), shuffled(general), { share })
}

/** The objective of the rows. Throws UsageError for a contrast that they cannot serve. */
async function objectiveOf(loaded: Loaded, { train, format, labelling }: Data, batchSize: number) {
  const { source, config } = loaded
  const path = ['data', config.data.contrast === undefined ? 'file' : 'contrast']
  const contrast = contrastOf(train.get(0) as TaskRow, config.data.contrast)
  if (format === 'pairs') checkContrast(source.place(path), contrast, train.get(0) as PairRow, batchSize)
  return placed(loaded, path, () => taskOf(format).objective(labelling, contrast))
}

function checkContrast(place: string, { loss }: Contrast, { negative, score }: PairRow, batchSize: number): void {
  const fail = (why: string) => {
    throw new UsageError(`${place}: ${why}`)
  }
  if (loss === 'triplet' && negative === undefined)
    fail("the loss is 'triplet', but the rows have no negative; add the column, or name it with data.columns.negative")
  if (loss === 'cosine' && score === undefined)
    fail("the loss is 'cosine', but the rows have no score; add the column, or name it with data.columns.score")
  if (loss !== 'cosine' && score !== undefined)
    fail(`the loss is '${loss}', which does not use the rows' score; use 'cosine', or leave the column out`)
  if ((loss ?? 'multipleNegatives') === 'multipleNegatives' && negative === undefined && batchSize === 1)
    fail('each anchor must find its positive among those of its batch, but batches have one row; raise train.batchSize')
}

/** Names of weights that did not come from a folder, without those that the task does not use. */
function newWeightsOf({ config }: Loaded, model: TaskModel, format: FormatName): readonly string[] {
  if (typeof config.model !== 'string') return [...model.namedParameters()].map(([name]) => name)
  const { unused } = headOf(model, format)
  return model.newWeights.filter((name) => !unused.some((part) => name.startsWith(`${part}.`)))
}

function newWeightsText({ config }: Loaded, names: readonly string[]): string {
  if (typeof config.model !== 'string') return '\nall weights are new and begin at random'
  return names.length === 0
    ? ''
    : `\nnew weights, which do not come from ${config.model} and begin at random: ${names.join(', ')}`
}

/**
 * Throws UsageError if an adapter's files would leave out weights that begin at random, because whoever loads them would
 * begin with others.
 */
function checkSaved({ config: { method }, source }: Loaded, names: readonly string[]): void {
  if (typeof method !== 'object') return
  const [kind, saved] =
    'lora' in method
      ? ['lora', method.lora.modulesToSave]
      : 'ia3' in method
        ? ['ia3', method.ia3.modulesToSave]
        : ['', undefined]
  const lost = names.filter((name) => saved?.every((module) => !`.${name}`.includes(`.${module}.`)))
  if (lost.length > 0)
    throw new UsageError(
      `${source.place(['method', kind, 'modulesToSave'])}: method.${kind}.modulesToSave leaves out ${lost.join(', ')}, which begin at random, so that the adapter would be loaded beside other ones; add their modules, or leave it out`,
    )
}

/** The learning rate of a model that begins with random weights. */
const fromBeginning = 6e-4

/** Reads the data before it loads the model, because faults in the data are more frequent. */
export async function finetuning(loaded: Loaded): Promise<Job> {
  const { batchSize = 1 } = loaded.config.train ?? {}
  const data = withWeights(loaded, await readData(loaded))
  const model = await makeModel(loaded, data)
  const newWeights = newWeightsOf(loaded, model, data.format)
  checkSaved(loaded, newWeights)
  const { parameters, callbacks, lr } = await applyMethod(loaded, model, data.format)
  const [longest, middle] = await sampleBatches([data.train, ...(data.replay === null ? [] : [data.replay])], batchSize)
  const figures = rowFigures(data)
  return {
    work: {
      model,
      objective: await objectiveOf(loaded, data, batchSize),
      loader: batchesOf(loaded, data, batchSize),
      validation: data.validation && byLength(data.validation, { batchSize, shuffle: false }),
      longest,
      middle,
      parameters,
      callbacks,
      lr: typeof loaded.config.model === 'string' ? lr : fromBeginning,
    },
    manifest: manifestOf(loaded, data),
    figures: { ...figures, newWeights },
    figuresText: figuresText(figures) + newWeightsText(loaded, newWeights),
    facts: {
      format: data.format,
      held: figures.validation,
      ...(typeof loaded.config.model === 'string' && { base: loaded.config.model }),
      data: [loaded.config.data.file, loaded.config.replay?.file ?? []].flat(),
      library: isAdapter(loaded) ? 'peft' : 'transformers',
      training:
        typeof loaded.config.model === 'string'
          ? `Method: ${methodText(loaded.config.method)}.`
          : `Pre-trained on labelled rows, from random weights; method: ${methodText(loaded.config.method)}.`,
    },
    save: (card) => saveResult(loaded, model, data.tokenizer, card),
    close: async () => undefined,
  }
}
