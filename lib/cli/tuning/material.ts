/** All inputs of a fine-tuning: the tokenizer, the rows and the model. Each error has its place in the config. */
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { manualSeed } from '../../core/generator.js'
import type { Dataset } from '../../data/dataset.js'
import { splitRows } from '../../data/split.js'
import { type ConfigJson, readConfig } from '../../models/config.js'
import { checkRows } from '../../tasks/rows/rows.js'
import { AutoTokenizer } from '../../text/tokenizer/folder.js'
import type { Tokenizer } from '../../text/tokenizer/tokenizer.js'
import { type Loaded, placed } from '../config/config.js'
import type { FinetuneConfig } from '../config/schema.js'
import { columnsOf, type ReadRows, readRows, tableAdvice } from '../data/read.js'
import { dataFiles, type Places, placedRows } from '../data/rows.js'
import { UsageError } from '../exit.js'
import {
  type FormatName,
  formatOf,
  formats,
  type RowSettings,
  type TaskBatch,
  type TaskRow,
  type TaskRows,
} from '../tasks/formats.js'
import { type Labelling, labellingOf, positionsOf, type TaskModel, taskOf } from '../tasks/tasks.js'
import { isAdapter } from './output.js'

export type Rows = Dataset<TaskRow, TaskBatch>

export interface Data {
  readonly tokenizer: Tokenizer
  readonly format: FormatName
  readonly labelling: Labelling
  readonly train: Rows
  /** Null if no rows are held out. */
  readonly validation: Rows | null
  /** General rows that are mixed into the others, or null without any. */
  readonly replay: Rows | null
  /** All rows of `data.file`, including those held out. */
  readonly all: TaskRows
  /** The rows of all files, which know how many of them were cut or left out. */
  readonly read: readonly TaskRows[]
  /** The places of the rows of `data.file`. */
  readonly places: Places
  /** The places of the rows for validation, or null if these are rows of `data.file`. */
  readonly heldPlaces: Places | null
}

export const seedOf = ({ config }: Loaded): number => config.train?.seed ?? 0

/** The rows of a dataset, one at a time. */
export function* eachOf(rows: Rows): Generator<TaskRow> {
  for (let i = 0; i < rows.length; i++) yield rows.get(i) as TaskRow
}

async function checkFolder(path: string): Promise<void> {
  const found = await stat(path).catch(() => null)
  if (found === null)
    throw new UsageError(`${path}: there is no such folder; \`firesteel pull owner/name\` fetches one`)
  if (!found.isDirectory()) throw new UsageError(`${path} is a file, but must be a folder with config.json and weights`)
}

/** The folder of the tokenizer: the model's folder, unless the config names another. */
export function tokenizerFolder({ config, resolve }: Loaded): string {
  return resolve(config.tokenizer ?? (config.model as string))
}

/** Whether a model's folder has a tokenizer of its own, and the other folder has another one. */
async function isOfAnother(model: string, tokenizer: string): Promise<boolean> {
  const [own, given] = await Promise.all(
    [model, tokenizer].map((folder) => readFile(join(folder, 'tokenizer.json')).catch(() => null)),
  )
  return own !== null && own !== undefined && given !== null && given !== undefined && !own.equals(given)
}

/** The config.json of a model that begins with random weights. */
const sizesOf = (given: object, { size }: Tokenizer): ConfigJson => ({ vocab_size: size, ...given })

/** Throws UsageError for options that a model with random initial weights cannot have. */
function checkBeginning(loaded: Loaded): void {
  const { config, source } = loaded
  if (config.tokenizer === undefined)
    throw new UsageError(
      `${source.place(['model'])}: model is a table, which has no tokenizer; name a tokenizer's folder with tokenizer`,
    )
  if (isAdapter(loaded))
    throw new UsageError(
      `${source.place(['method'])}: method learns beside weights that do not change, but the model's weights are random; use another method, such as full`,
    )
}

/**
 * The tokenizer and the rows, without loading the model. Advice about a label depends on whether the config may still
 * name other classes, which those of a finished run are not.
 */
export async function readData(loaded: Loaded, { labelsAreFixed = false } = {}): Promise<Data> {
  const { config, resolve, source } = loaded
  const { data } = config
  const from = typeof config.model === 'string' ? resolve(config.model) : null
  if (from !== null) await placed(loaded, ['model'], () => checkFolder(from))
  else checkBeginning(loaded)
  const filesOf = (path: readonly string[], given: string | readonly string[]) =>
    placed(loaded, path, () => dataFiles([given].flat().map(resolve)))
  const files = await filesOf(['data', 'file'], data.file)
  const format = data.format ?? (await guessed(files, data.columns))
  checkFormat(loaded, format)
  const tokenizer = await placed(loaded, [config.tokenizer === undefined ? 'model' : 'tokenizer'], () =>
    AutoTokenizer.load(tokenizerFolder(loaded)),
  )
  if (from !== null && (await isOfAnother(from, tokenizerFolder(loaded))))
    console.error(
      `${source.place(['tokenizer'])}: warning: tokenizer is ${config.tokenizer}, but ${from} has a different tokenizer.json, with which its weights were probably trained; leave tokenizer out, unless the numbers of the tokens agree`,
    )
  // The sizes alone are read, without weights.
  const sizes = await placed(loaded, ['model'], async () => {
    const json =
      from === null
        ? sizesOf(config.model as object, tokenizer)
        : await readConfig('AutoModel', join(from, 'config.json'))
    return fitting(format, () => taskOf(format).load(json, null, { device: 'meta' }))
  })
  const columns = promptColumns(config)
  const limit = positionsOf(sizes) - columns
  if (data.maxLength !== undefined && data.maxLength > limit)
    throw new UsageError(
      `${source.place(['data', 'maxLength'])}: data.maxLength is ${data.maxLength}, but the model has ${limit} positions${columns === 0 ? '' : ` beside the prompt's ${columns}`}; give at most ${limit}`,
    )
  const settings: RowSettings = {
    columns: data.columns ?? {},
    learn: data.learn,
    template: data.template,
    labels: data.labels,
    kind: data.labelKind,
    prefix: data.prefix,
    most:
      data.maxLength ??
      Math.min(
        tokenizer.maxLength ?? Number.POSITIVE_INFINITY,
        (sizes.config.context ?? Number.POSITIVE_INFINITY) - columns,
        limit,
      ),
  }
  const readIn = (paths: readonly string[], own: RowSettings, isMeasured = labelsAreFixed): Promise<ReadRows> =>
    readRows(paths, format, own.columns, own.kind, async (rows) => {
      const made = await formats[format].read(rows, tokenizer, own)
      checkRows(made, sizes)
      return made
    }).catch((error: unknown) => {
      if (isMeasured && error instanceof UsageError)
        error.message = error.message.replaceAll(
          'mend the row, or add it to data.labels',
          'no row to learn from has it, so mend the row, or leave it out',
        )
      throw error
    })
  const { rows: all, places } = await readIn(files, settings)
  const labelling = labellingOf(all, data.labelKind)
  const classes = labelling.kind === 'number' || labelling.labels.length === 0 ? {} : { labels: labelling.labels }
  /** Rows of files that must not be the ones in `also`. */
  const readOther = async (path: readonly string[], given: string | readonly string[], also: readonly string[]) => {
    const paths = await filesOf(path, given)
    const both = paths.find((each) => also.includes(each))
    if (both !== undefined) throw new UsageError(bothText(loaded, path, both))
    return { paths, ...(await readIn(paths, { ...settings, ...classes }, labelsAreFixed || data.labels === undefined)) }
  }
  const { validation } = data
  const general = config.replay && (await readOther(['replay', 'file'], config.replay.file, files))
  const read = [all, ...(general ? [general.rows] : [])]
  const shared = { tokenizer, format, labelling, all, read, places, heldPlaces: null, replay: general?.rows ?? null }
  if (validation === undefined) return { ...shared, train: all, validation: null }
  if (typeof validation === 'string') {
    const held = await readOther(['data', 'validation'], validation, [...files, ...(general?.paths ?? [])])
    const own = { read: [...read, held.rows], heldPlaces: held.places }
    return { ...shared, ...own, train: all, validation: held.rows }
  }
  const parts = await placed(loaded, ['data', 'validation'], () =>
    splitRows(all, { validation, seed: seedOf(loaded), ...togetherness(all, format, labelling) }),
  )
  return { ...shared, ...parts }
}

/** Loads a model. The error about a model of another kind says which rows ask for this kind. */
async function fitting<T>(format: FormatName, load: () => Promise<T>): Promise<T> {
  try {
    return await load()
  } catch (error) {
    if (error instanceof Error && error.message.includes('but the known ones are'))
      error.message += `, because the rows are of the format '${format}'; name a model of these, or other rows, or their format with data.format`
    throw error
  }
}

/** The message about a file that is named in two places of a config. */
function bothText({ source }: Loaded, path: readonly string[], file: string): string {
  const why = path[0] === 'replay' ? 'so its rows are not general' : 'so it measures nothing'
  const instead = path[0] === 'replay' ? 'another file, or leave replay out' : 'another file, or a share such as 0.1'
  return `${source.place(path)}: ${path.join('.')} is ${file}, which the training learns from too, ${why}; name ${instead}`
}

/** The number of the model's positions that a prompt takes. */
function promptColumns({ method }: FinetuneConfig): number {
  return typeof method === 'object' && 'prompt' in method ? method.prompt.tokens : 0
}

/** Windows of one text must not be split between the parts, and both parts get their share of each class. */
function togetherness(all: TaskRows, format: FormatName, { kind }: Labelling): object {
  const rows = () => eachOf(all) as Iterable<{ readonly source?: number; readonly label?: number }>
  if (format === 'answers') return { groups: Array.from(rows(), ({ source }) => source) }
  if (format !== 'classification' || kind !== 'class') return {}
  const labels = Array.from(rows(), ({ label = 0 }) => label)
  const counts = new Map<number, number>()
  for (const label of labels) counts.set(label, (counts.get(label) ?? 0) + 1)
  const [largest = 0] = [...counts].reduce((most, each) => (each[1] > most[1] ? each : most), [0, 0])
  // A class of one row cannot be in both parts, so its row is drawn with those of the largest class.
  return { stratify: labels.map((label) => (counts.get(label) === 1 ? largest : label)) }
}

/** The format that the first row indicates. Throws UsageError if it indicates none. */
export async function guessed(files: readonly string[], columns: RowSettings['columns'] = {}): Promise<FormatName> {
  for await (const { row, place } of placedRows(files)) {
    const format = formatOf(row, columns)
    if (format !== null) return format
    const known = Object.entries(formats).map(([name, { columns: own }]) => `${own.join(', ')} (${name})`)
    throw new UsageError(
      `${place}: the row has ${columnsOf(row)}, which fits no format; the known ones are ${known.join('; ')}; name the format with data.format, and its columns with data.columns${tableAdvice(row)}`,
    )
  }
  throw new UsageError(`${files.join(', ')}: there are no rows; give a file with a row on each line`)
}

/** Throws UsageError for options that the format does not use. */
function checkFormat({ config, source }: Loaded, format: FormatName): void {
  const uses: {
    readonly [name in
      | 'learn'
      | 'template'
      | 'labels'
      | 'labelKind'
      | 'classWeights'
      | 'prefix'
      | 'contrast']: readonly FormatName[]
  } = {
    learn: ['chat'],
    template: ['chat'],
    labels: ['classification', 'tokens'],
    labelKind: ['classification'],
    classWeights: ['classification'],
    prefix: ['translation'],
    contrast: ['pairs'],
  }
  const { columns, optional = [] } = formats[format]
  const known: readonly string[] = [...columns, ...optional]
  for (const name of Object.keys(config.data.columns ?? {}))
    if (!known.includes(name))
      throw new UsageError(
        `${source.place(['data', 'columns', name], 'key')}: rows of the format '${format}' have no column for data.columns.${name}; there are ${known.join(', ')}`,
      )
  for (const [name, of] of Object.entries(uses) as [keyof typeof uses, readonly FormatName[]][])
    if (config.data[name] !== undefined && !of.includes(format))
      throw new UsageError(
        `${source.place(['data', name], 'key')}: data.${name} is for ${of.join(' and ')}, but the rows are of the format '${format}'; leave it out`,
      )
}

/** The model is made after the seed is set, so the same config makes the same weights. */
export async function makeModel(loaded: Loaded, { format, labelling, tokenizer }: Data): Promise<TaskModel> {
  const { config, resolve, source } = loaded
  const { model } = config
  manualSeed(seedOf(loaded))
  const classes = labelling.labels.length === 0 ? null : labelling
  const from = typeof model === 'string' ? resolve(model) : sizesOf(model, tokenizer)
  const onNewSize = (line: string) => console.error(`${source.place(['model'])}: ${line}`)
  return placed(loaded, ['model'], () => taskOf(format).load(from, classes, {}, onNewSize))
}
