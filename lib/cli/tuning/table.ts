/** The job of a pre-training on a table of numbers: a denoising auto-encoder of its rows. */
import { createHash } from 'node:crypto'
import { Generator, manualSeed } from '../../core/generator.js'
import type { Tensor } from '../../core/tensor.js'
import { TensorDataset } from '../../data/dataset.js'
import { DataLoader } from '../../data/loader.js'
import { splitRows } from '../../data/split.js'
import type { Module } from '../../nn/module.js'
import { fromTypedArray } from '../../ops/creation.js'
import { denoising } from '../../pretrain/denoising.js'
import { loadTableAutoEncoder, TableAutoEncoder, type TableColumn } from '../../pretrain/table.js'
import type { Objective } from '../../train/objective.js'
import { type Loaded, placed } from '../config/config.js'
import type { TableConfig } from '../config/schema.js'
import { dataFiles } from '../data/rows.js'
import { type NumberTable, readTable } from '../data/table.js'
import { UsageError } from '../exit.js'
import { version } from '../version.js'
import { countText } from '../words.js'
import type { Job } from './job.js'
import { withoutSearch } from './manifest.js'
import { resultFolder } from './output.js'
import type { WorkBatch } from './plan.js'

interface TableData {
  readonly model: TableAutoEncoder
  readonly files: readonly string[]
  readonly table: NumberTable
  /** The rows that are learned, and those held out, by their numbers. */
  readonly train: readonly number[]
  readonly validation: readonly number[]
}

/** Reads the table, and makes the model after the seed is set, so the same config makes the same weights. */
export async function readTableData(loaded: Loaded<TableConfig>): Promise<TableData> {
  const { config, resolve } = loaded
  const { file, columns, missing, validation: held } = config.table
  const seed = config.train?.seed ?? 0
  const files = await placed(loaded, ['table', 'file'], () => dataFiles([file].flat().map(resolve)))
  const from = config.model
  const before =
    typeof from === 'string' ? await placed(loaded, ['model'], () => loadTableAutoEncoder(resolve(from))) : null
  if (before !== null) checkSame(loaded, before)
  const taken = missing ?? before?.missing ?? 'refuse'
  const own = await placed(
    loaded,
    ['table', 'columns'],
    () => checkTwice(columns) ?? before?.columns.map(({ name }) => name),
  )
  const table = await readTable(files, { columns: own, mayBeEmpty: taken === 'mean' })
  const all = Array.from({ length: table.rows }, (_, i) => i)
  const { train, validation } =
    held === undefined || held === 0
      ? { train: all, validation: [] }
      : await placed(loaded, ['table', 'validation'], () => splitRows(all, { validation: held, seed }))
  manualSeed(seed)
  const model =
    before ??
    new TableAutoEncoder(await placed(loaded, ['table'], () => statistics(table, train)), {
      hiddenSizes: (from as { readonly hiddenSizes: readonly number[] }).hiddenSizes,
      missing: taken,
    })
  return { model, files, table, train, validation }
}

function checkTwice(columns: readonly string[] | undefined): readonly string[] | undefined {
  const twice = columns?.find((name, i) => columns.indexOf(name) !== i)
  if (twice !== undefined) throw new UsageError(`'${twice}' is named twice; name each column once`)
  return columns
}

/** Throws UsageError for columns or empty fields that are not those of the model whose weights are gone on with. */
function checkSame({ config, source }: Loaded<TableConfig>, { columns, missing }: TableAutoEncoder): void {
  const names = columns.map(({ name }) => name)
  const { table } = config
  if (table.columns !== undefined && table.columns.join('\n') !== names.join('\n'))
    throw new UsageError(
      `${source.place(['table', 'columns'])}: table.columns is ${table.columns.join(', ')}, but the model has ${names.join(', ')}; leave it out to take those`,
    )
  if (table.missing !== undefined && table.missing !== missing)
    throw new UsageError(
      `${source.place(['table', 'missing'])}: table.missing is ${table.missing}, but the model has ${missing}; leave it out to take that`,
    )
}

/** Means and deviations over the rows that are learned. Throws UsageError for columns that cannot be standardised. */
function statistics(table: NumberTable, rows: readonly number[]): TableColumn[] {
  return table.columns.map((name, column) => {
    // Welford's recurrence, which loses no digits where the mean is large beside the deviation.
    let [count, mean, squares] = [0, 0, 0]
    for (const row of rows) {
      const number = table.get(row, column)
      if (Number.isNaN(number)) continue
      const step = number - mean
      mean += step / ++count
      squares += step * (number - mean)
    }
    const deviation = Math.sqrt(squares / count)
    const advice = 'leave it out of table.columns'
    if (count === 0) throw new UsageError(`column '${name}' is empty in all rows that are learned; ${advice}`)
    if (!Number.isFinite(deviation))
      throw new UsageError(`column '${name}' has numbers too large to be squared; ${advice}`)
    if (deviation <= 1e-12 * Math.abs(mean))
      throw new UsageError(`column '${name}' is ${mean} in all rows that are learned, which teaches nothing; ${advice}`)
    return { name, mean, deviation }
  })
}

/** Rows of the table, standardised: [rows, columns]. Empty fields are 0, the mean. */
function standardised({ table, model: { columns } }: TableData, rows: readonly number[]): Tensor {
  const values = new Float32Array(rows.length * columns.length)
  rows.forEach((row, i) => {
    columns.forEach(({ mean, deviation }, j) => {
      const number = table.get(row, j)
      values[i * columns.length + j] = Number.isNaN(number) ? 0 : (number - mean) / deviation
    })
  })
  return fromTypedArray(values, [rows.length, columns.length])
}

/** The objective of a config, and its options. */
export function denoisingOf({ objective }: TableConfig): { noise: 'normal' | 'masking'; amount: number } {
  const { noise = 'normal', amount = 0.3 } = typeof objective === 'object' ? objective.denoising : {}
  return { noise, amount }
}

export function tableText({ table, model, train, validation }: TableData): string {
  const held = validation.length === 0 ? '' : ` and ${countText(validation.length)} for validation`
  const empty = table.empty === 0 ? '' : `; ${countText(table.empty)} empty fields are taken as the mean`
  return `${countText(train.length)} rows of ${countText(model.columns.length)} numbers${held}${empty}`
}

/** Reads the table before it trains. */
export async function tablePretraining(loaded: Loaded<TableConfig>): Promise<Job> {
  const { config } = loaded
  const { batchSize = 64, seed = 0 } = config.train ?? {}
  const objective = await placed(loaded, ['objective'], () => denoising(denoisingOf(config)))
  const data = await readTableData(loaded)
  const { model, table, train, validation } = data
  const rows = new TensorDataset(standardised(data, train))
  const held = validation.length === 0 ? null : new TensorDataset(standardised(data, validation))
  const first = rows.batch(Array.from({ length: Math.min(batchSize, train.length) }, (_, i) => i))
  const digest = createHash('sha256').update(JSON.stringify(model.columns))
  for (const part of [rows, ...(held === null ? [] : [held])]) digest.update(part.tensors[0].dataSync())
  const folder = resultFolder(loaded)
  return {
    work: {
      model,
      // It only ever gets this model and the rows of this table.
      objective: objective as unknown as Objective<Module, WorkBatch, string>,
      loader: new DataLoader(rows, { batchSize, shuffle: true, generator: new Generator(seed) }),
      validation: held && new DataLoader(held, { batchSize }),
      longest: first,
      middle: first,
      counted: 'numbers',
      parameters: () => model.parameters(),
      callbacks: [],
      lr: 1e-3,
    },
    manifest: {
      format: 1,
      firesteel: version(),
      config: withoutSearch(config),
      rows: { format: 'table', count: table.rows, digest: digest.digest('hex'), labels: [], kind: 'class' },
      model: folder,
    },
    figures: {
      rows: train.length,
      validation: validation.length,
      columns: table.columns,
      emptyFields: table.empty,
    },
    figuresText: tableText(data),
    facts: {
      format: 'table',
      task: 'feature-extraction',
      held: validation.length,
      ...(typeof config.model === 'string' && { base: config.model }),
      data: [config.table.file].flat(),
      library: 'firesteel',
      training: `Pre-trained as a denoising auto-encoder on ${countText(train.length)} rows of ${table.columns.join(', ')}.`,
    },
    save: async (card) => {
      await model.save(folder, { card })
      return folder
    },
    close: async () => undefined,
  }
}
