/** The comparison of a run's result with another model on the same rows: the model before its training, or another run's. */
import { stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { manualSeed } from '../../core/generator.js'
import { DataLoader } from '../../data/loader.js'
import { readConfig } from '../../models/config.js'
import { checkRows } from '../../tasks/rows/rows.js'
import { AutoTokenizer } from '../../text/tokenizer/folder.js'
import type { Estimate, MetricReport } from '../../train/report/bootstrap.js'
import { Report } from '../../train/report/report.js'
import { type Loaded, loadFinetune } from '../config/config.js'
import { UsageError } from '../exit.js'
import type { TaskRow } from '../tasks/formats.js'
import { headOf, type TaskModel, taskOf } from '../tasks/tasks.js'
import { evaluationOf, measuring } from './evaluation.js'
import { type Data, type Rows, seedOf } from './material.js'
import { placeOf } from './repeats.js'
import { loadTuned, type Tuned } from './result.js'

const fail = (why: string): never => {
  throw new UsageError(`--against: ${why}`)
}

/** The result of another run, which must do the same. */
async function otherRun(given: string, { format, labelling }: Tuned): Promise<Tuned> {
  const other = await loadTuned(await loadFinetune(given))
  if (other.format !== format) fail(`${given} learned rows of the format '${other.format}', but these are '${format}'`)
  if (!isDeepStrictEqual(other.labelling.labels, labelling.labels))
    fail(
      `${given} has the classes ${other.labelling.labels.join(', ')}, but the run has ${labelling.labels.join(', ')}; compare runs of the same classes`,
    )
  return other
}

/** Throws UsageError if a folder's own head has other classes, whose answers would be counted as the run's. */
async function checkClasses(folder: string, labels: readonly string[]): Promise<void> {
  const { id2label } = await readConfig('AutoModel', join(folder, 'config.json'))
  const names = Object.values((id2label ?? {}) as { readonly [number: string]: unknown })
  const isUnnamed = names.every((name) => /^LABEL_\d+$/.test(String(name)))
  if (labels.length > 0 && !isUnnamed && !isDeepStrictEqual(names, [...labels]))
    fail(
      `the head of ${folder} has the classes ${names.join(', ')}, but the run has ${labels.join(', ')}; name a model with the same classes in the same order`,
    )
}

/** The model of a folder, with the run's classes. Says which of its weights are new, because these know nothing. */
async function ofFolder(loaded: Loaded, folder: string, { format, labelling }: Tuned): Promise<TaskModel> {
  manualSeed(seedOf(loaded))
  const classes = labelling.labels.length === 0 ? null : labelling
  const model = await taskOf(format).load(folder, classes, {}, () => undefined)
  const { unused } = headOf(model, format)
  const begun = model.newWeights.filter((name) => !unused.some((part) => name.startsWith(`${part}.`)))
  if (begun.length === 0) await checkClasses(folder, labelling.labels)
  else
    console.error(
      `--against: ${folder} lacks ${begun.join(', ')}, or has them in another size, so these begin at random: its numbers are those of a model that has not learned the task`,
    )
  return model
}

/** The other model: a folder's, or the result of the run of a config. Throws UsageError if it does not fit the rows. */
export async function loadAgainst(loaded: Loaded, tuned: Tuned, given: string, rows: Rows): Promise<TaskModel> {
  const path = resolve(given)
  const found = await stat(path).catch(() => null)
  if (found === null)
    return fail(`${given}: there is no such folder or config; name a model's folder, or a run's config`)
  const isConfig = !found.isDirectory()
  if (!isConfig && (await stat(join(path, 'adapter_config.json')).catch(() => null)) !== null)
    fail(`${given} holds an adapter, which is no model alone; name the config of its run`)
  const other = isConfig ? await otherRun(given, tuned) : null
  const tokenizer =
    other?.tokenizer ??
    ((await stat(join(path, 'tokenizer.json')).catch(() => null)) === null ? null : await AutoTokenizer.load(path))
  // Rows are in the run's tokens, whose numbers mean other texts to another tokenizer.
  if (tokenizer !== null && !isDeepStrictEqual(tokenizer.toJSON(), tuned.tokenizer.toJSON()))
    fail(
      `${given} has another tokenizer than the run, so both cannot be measured on the same tokens; name another model`,
    )
  const model = other?.model ?? (await ofFolder(loaded, given, tuned))
  checkRows(rows as Parameters<typeof checkRows>[0], model)
  return model
}

const alone = (value: number): Estimate => ({ value, low: null, high: null })

/** Numbers of both models that are measured without outputs of single rows, so that nothing can be resampled. */
async function totals(loaded: Loaded, tuned: Tuned, base: TaskModel, rows: Rows): Promise<Report> {
  const [own, other] = [
    await evaluationOf(loaded, tuned, rows),
    await evaluationOf(loaded, { ...tuned, model: base }, rows),
  ]
  const { loss = Number.NaN, ...metrics } = own
  const compared = Object.entries(metrics).map(([name, value]): [string, MetricReport] => {
    const before = other[name] ?? Number.NaN
    return [name, { ...alone(value), base: alone(before), difference: alone(value - before) }]
  })
  return new Report(
    {
      ...{ rows: rows.length, loss, baseLoss: other['loss'] ?? null },
      ...{ metrics: Object.fromEntries(compared), classes: null, forgetting: null },
    },
    null,
    0.95,
  )
}

/**
 * Numbers of the result beside those of the other model. Classes have intervals, confusion, calibration and the rows
 * with the worst errors, named by their places in the files.
 */
export async function comparisonOf(
  loaded: Loaded,
  tuned: Tuned,
  base: TaskModel,
  rows: Rows,
  { places, heldPlaces, validation }: Data,
): Promise<Report> {
  if (tuned.format !== 'classification') return totals(loaded, tuned, base, rows)
  const { batchSize = 1 } = loaded.config.train ?? {}
  const own = rows === validation ? (heldPlaces ?? places) : places
  // Batches in the order of the rows, because the report tells a row by its number.
  return measuring(loaded, tuned, rows).report(new DataLoader(rows, { batchSize }), {
    against: base,
    rowName: (row) => placeOf(rows, own, row, rows.get(row) as TaskRow as { readonly source?: number }),
    ...(tuned.labelling.kind === 'class' && { classes: [...tuned.labelling.labels] }),
  })
}
