/** The model card of a run, from its record, its history and its numbers on the held-out rows. */
import { readFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import type { History } from '../../train/history.js'
import type { ModelCardOptions } from '../../train/report/card.js'
import type { SetReport } from '../../train/report/report.js'
import type { FormatName } from '../tasks/formats.js'
import { perplexed } from './evaluation.js'
import type { TrainingPlan } from './plan.js'

/** A job's description of itself. */
export interface CardFacts extends Pick<ModelCardOptions, 'base' | 'data' | 'library' | 'task' | 'training'> {
  readonly format: FormatName | 'table'
  /** The number of held-out rows. */
  readonly held: number
}

/** The hub's names of models for rows of a format. */
const tasks: { readonly [name in FormatName]: string } = {
  chat: 'text-generation',
  completion: 'text-generation',
  text: 'text-generation',
  classification: 'text-classification',
  tokens: 'token-classification',
  answers: 'question-answering',
  translation: 'translation',
  pairs: 'sentence-similarity',
}

export async function cardOf(
  output: string,
  { format, held, ...facts }: CardFacts,
  plan: TrainingPlan,
  history: History,
): Promise<ModelCardOptions> {
  const run = JSON.parse(await readFile(join(output, 'run.json'), 'utf8')) as object
  const report = await reportOf(plan, format, held)
  const { epochs, stopped } = history
  return {
    name: basename(output),
    ...(format !== 'table' && { task: tasks[format] }),
    ...facts,
    run,
    ...(epochs.length > 0 && { history: { epochs, stopped } }),
    ...(report !== null && { report }),
  }
}

/** Numbers on the held-out rows. Those of classes have intervals, because their outputs have a row for each example. */
async function reportOf({ trainer, validation }: TrainingPlan, format: FormatName | 'table', held: number) {
  if (validation === null) return null
  if (format === 'classification') return trainer.report(validation)
  const { loss, ...measured } = await trainer.evaluate(validation)
  const numbers = Object.entries(perplexed({ ...measured, loss }, format))
  const none = { low: null, high: null, base: null, difference: null }
  const metrics = numbers.flatMap(([name, value]) =>
    name === 'loss' || typeof value !== 'number' ? [] : [[name, { value, ...none }] as const],
  )
  return { rows: held, loss, baseLoss: null, metrics: Object.fromEntries(metrics) } satisfies SetReport
}
