/** Loss and metrics of a run's result. */
import { SGD } from '../../optim/sgd.js'
import { byLength } from '../../tasks/by-length.js'
import { Trainer } from '../../train/trainer.js'
import type { Loaded } from '../config/config.js'
import type { FormatName, TaskBatch, TaskRow } from '../tasks/formats.js'
import { contrastOf, floatsOf, type TaskModel, taskOf } from '../tasks/tasks.js'
import type { Rows } from './material.js'
import type { Tuned } from './result.js'

/** Formats whose loss is that of the next token, so that its exponential is the perplexity. */
const written: readonly FormatName[] = ['chat', 'completion', 'text', 'translation']

/** The numbers, with the perplexity if the model writes text. */
export function perplexed<N extends { readonly loss: number }>(numbers: N, format: FormatName | 'table'): N {
  return { ...numbers, ...(format !== 'table' && written.includes(format) && { perplexity: Math.exp(numbers.loss) }) }
}

/** A Trainer that only measures. */
export function measuring({ config }: Loaded, { model, format, labelling }: Tuned, rows: Rows) {
  const { precision = 'float32' } = config.train ?? {}
  return new Trainer<string, TaskBatch, TaskModel>(model, {
    // A Trainer needs an optimizer, but this one never steps.
    optimizer: new SGD(floatsOf(model), { lr: 0 }),
    objective: taskOf(format).objective(labelling, contrastOf(rows.get(0) as TaskRow, config.data.contrast)),
    precision,
  })
}

/** Numbers by name: the loss, the metrics of the task, and the perplexity if the model writes text. */
export async function evaluationOf(
  loaded: Loaded,
  tuned: Tuned,
  rows: Rows,
): Promise<{ readonly [name: string]: number }> {
  const { batchSize = 1 } = loaded.config.train ?? {}
  const measured = await measuring(loaded, tuned, rows).evaluate(byLength(rows, { batchSize, shuffle: false }))
  const numbers = Object.entries(perplexed(measured, tuned.format)).filter(([, value]) => typeof value === 'number')
  return Object.fromEntries(numbers)
}
