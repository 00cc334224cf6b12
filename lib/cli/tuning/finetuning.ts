/** The job of a fine-tuning. */
import { byLength } from '../../tasks/by-length.js'
import { tokensIn } from '../../tasks/rows/rows.js'
import type { Loaded } from '../config/config.js'
import type { TaskBatch } from '../tasks/formats.js'
import { taskOf } from '../tasks/tasks.js'
import { figuresText, rowFigures } from './figures.js'
import type { Job } from './job.js'
import { manifestOf } from './manifest.js'
import { listOf, makeModel, type Rows, readData, seedOf } from './material.js'
import { applyMethod, methodText } from './method.js'
import { isAdapter } from './output.js'
import { saveResult } from './result.js'

/** The batches of the longest rows and of those of middle length. */
async function sampleBatches(rows: Rows, batchSize: number): Promise<readonly [longest: TaskBatch, middle: TaskBatch]> {
  const lengths = listOf(rows).map(tokensIn)
  const order = lengths.map((_, i) => i).sort((a, b) => (lengths[b] as number) - (lengths[a] as number))
  const from = Math.max(0, (order.length - batchSize) >> 1)
  return [await rows.batch(order.slice(0, batchSize)), await rows.batch(order.slice(from, from + batchSize))]
}

/** Reads the data before the model is loaded, because faults are there more often. */
export async function finetuning(loaded: Loaded): Promise<Job> {
  const { batchSize = 1 } = loaded.config.train ?? {}
  const data = await readData(loaded)
  const model = await makeModel(loaded, data)
  const { parameters, callbacks, lr } = await applyMethod(loaded, model)
  const [longest, middle] = await sampleBatches(data.train, batchSize)
  const figures = rowFigures(data)
  return {
    work: {
      model,
      objective: taskOf(data.format).objective(data.labelling),
      loader: byLength(data.train, { batchSize, seed: seedOf(loaded) }),
      validation: data.validation && byLength(data.validation, { batchSize, shuffle: false }),
      longest,
      middle,
      parameters,
      callbacks,
      lr,
    },
    manifest: manifestOf(loaded, data),
    figures,
    figuresText: figuresText(figures),
    facts: {
      format: data.format,
      held: figures.validation,
      base: loaded.config.model,
      data: [loaded.config.data.file].flat(),
      library: isAdapter(loaded) ? 'peft' : 'transformers',
      training: `Method: ${methodText(loaded.config.method)}.`,
    },
    save: (card) => saveResult(loaded, model, data.tokenizer, card),
    close: async () => undefined,
  }
}
