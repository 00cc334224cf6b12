/** A model card: the description of a trained model in its folder's README.md. */
import { kindOf, shown, ValueError } from '../../core/errors.js'
import { inNode } from '../../core/host.js'
import { checkOptions, type OptionNames } from '../../core/options.js'
import type { History } from '../history.js'
import { escaped } from '../page.js'
import { version } from '../record/describe.js'
import { process } from '../record/system.js'
import type { Estimate, MetricReport } from './bootstrap.js'
import type { SetReport } from './report.js'

export interface ModelCardOptions {
  readonly name: string
  /** The model with which training began: a name on a hub, or a path. */
  readonly base?: string
  /** The data from which the model learned, in the order of importance: names of data sets, or files. */
  readonly data?: readonly string[]
  /** Languages by their codes: 'zh', 'en'. */
  readonly language?: readonly string[]
  readonly license?: string
  /** The library that loads the folder: 'transformers', 'peft'. Default 'firesteel'. */
  readonly library?: string
  /**
   * The model's purpose, in the hub's terms: 'text-classification'. With a report, its numbers are also given to the
   * hub.
   */
  readonly task?: string
  /** The way it was trained, in words: strategy, epochs, learning rate. */
  readonly training?: string
  /** The model's purpose and its weaknesses, in words. */
  readonly notes?: string
  /** The contents of the run's `run.json`: the number of weights that learned, the number of rows, and the options. */
  readonly run?: object
  /** The history of its fit. The card tells its last epoch. */
  readonly history?: Pick<History, 'epochs' | 'stopped'>
  /** Numbers on a test set, as `trainer.report` gives them. */
  readonly report?: SetReport
}

const texts = ['base', 'license', 'library', 'task', 'training', 'notes'] as const
const lists = ['data', 'language'] as const

/** Text for a cell of a table, or for one line. */
const cell = (text: unknown): string => escaped(text).replaceAll('|', '\\|').replace(/\s+/g, ' ')
/** Four digits. */
const short = (value: number): string => String(Number(value.toPrecision(4)))

const span = ({ value, low, high }: Estimate): string =>
  low === null || high === null ? short(value) : `${short(value)} (${short(low)} to ${short(high)})`

/** A text in the head, in double quotes. JSON's form of a string is also YAML's. */
const quoted = (text: string): string => JSON.stringify(text)

export const cardNames: OptionNames<ModelCardOptions> = {
  ...{ name: true, base: true, data: true, language: true, license: true },
  ...{ library: true, task: true, training: true, notes: true, run: true, history: true, report: true },
}

/**
 * The text of a model card, with the head that the hub of Hugging Face reads: for the README.md in a model's folder. It
 * contains the given options, the figures of a report and of a history, and the versions. Nothing is invented for
 * options that are left out. Throws ValueError for an option of the wrong type.
 */
export function modelCard(options: ModelCardOptions): string {
  const op = 'modelCard'
  checkOptions(op, options, cardNames)
  const { name, base, data = [], training, notes, run, history, report } = options
  if (typeof name !== 'string' || name.trim() === '')
    throw new ValueError(op, `name is ${shown(name)}, but must be a text`)
  for (const key of texts) {
    const value: unknown = options[key]
    if (value !== undefined && typeof value !== 'string')
      throw new ValueError(op, `${key} is ${shown(value)}, but must be a text`)
  }
  for (const key of lists) {
    const value: unknown = options[key]
    if (value !== undefined && !(Array.isArray(value) && value.every((each) => typeof each === 'string')))
      throw new ValueError(op, `${key} is ${shown(value)}, but must be a list of texts`)
  }
  if (run !== undefined && (typeof run !== 'object' || run === null))
    throw new ValueError(op, `run is ${kindOf(run)}, but must be the parsed content of run.json`)
  if (history !== undefined && !Array.isArray(history?.epochs))
    throw new ValueError(op, `history is ${kindOf(history)}, but must be a result of fit`)
  if (report !== undefined && (typeof report?.metrics !== 'object' || typeof report.rows !== 'number'))
    throw new ValueError(op, `report is ${kindOf(report)}, but must be a result of trainer.report`)
  const parts = [
    `# ${cell(name)}`,
    ...(base === undefined ? [] : [`Fine-tuned from ${cell(base)}.`]),
    ...(notes === undefined ? [] : [escaped(notes)]),
    ...(data.length === 0 ? [] : ['## Data', data.map((each) => `- ${cell(each)}`).join('\n')]),
    ...(training === undefined && run === undefined && history === undefined ? [] : ['## Training']),
    ...(training === undefined ? [] : [escaped(training)]),
    ...(run === undefined ? [] : [ofRun(run)]),
    ...(history === undefined ? [] : [ofHistory(history)]),
    ...(report === undefined ? [] : ['## Evaluation', ofReport(report)]),
    '## Versions',
    `Firesteel ${version() ?? 'of an unknown version'}${inNode ? `, Node ${process.version}` : ''}.`,
  ]
  return `${headOf(options).join('\n')}\n\n${parts.join('\n\n')}\n`
}

/** The head in YAML, between lines of hyphens. */
function headOf(options: ModelCardOptions): string[] {
  const { name, base, license, language = [], library = 'firesteel', task, report } = options
  return [
    '---',
    `library_name: ${plainOr(library)}`,
    ...(base === undefined ? [] : [`base_model: ${quoted(base)}`]),
    ...(license === undefined ? [] : [`license: ${quoted(license)}`]),
    ...(language.length === 0 ? [] : ['language:', ...language.map((each) => `- ${quoted(each)}`)]),
    ...(task === undefined ? [] : [`pipeline_tag: ${plainOr(task)}`]),
    ...(library === 'firesteel' ? [] : ['tags:', '- firesteel']),
    ...(task === undefined || report === undefined ? [] : indexOf(name, task, report)),
    '---',
  ]
}

/** A name without quotes, if YAML allows that. */
const plainOr = (text: string): string => (/^[a-z][a-z0-9-]*$/.test(text) ? text : quoted(text))

/** Numbers in the form in which the hub shows them beside a model. It has no place for numbers that are not finite. */
function indexOf(name: string, task: string, { loss, metrics }: SetReport): string[] {
  const values: readonly (readonly [string, number])[] = [
    ['loss', loss],
    ...Object.entries(metrics).map(([metric, { value }]) => [metric, value] as const),
  ]
  const found = values.filter(([, value]) => Number.isFinite(value))
  if (found.length === 0) return []
  return [
    'model-index:',
    `- name: ${quoted(name)}`,
    '  results:',
    `  - task:\n      type: ${plainOr(task)}`,
    '    dataset:\n      name: rows held back\n      type: held-out',
    '    metrics:',
    ...found.map(([metric, value]) => `    - type: ${quoted(metric)}\n      value: ${value}`),
  ]
}

/** The lines about weights, rows and options from a run's record. A part that is missing from it is left out. */
function ofRun(run: object): string {
  const { model, data, config, fit } = run as {
    readonly model?: { readonly parameters?: unknown; readonly trainable?: unknown }
    readonly data?: { readonly rows?: unknown; readonly batches?: unknown }
    readonly config?: object
    readonly fit?: object
  }
  const counts = Object.entries({
    weights: model?.parameters,
    'weights that learned': model?.trainable,
    rows: data?.rows,
    batches: data?.batches,
  }).flatMap(([name, value]) => (typeof value === 'number' ? [[name, value.toLocaleString('en')]] : []))
  return table(['', 'value'], [...counts, ...ofConfig({ ...fit, ...config })])
}

/** Options with a value. The options of an optimizer's groups are listed once, with the values of all groups. */
function ofConfig(config: object): string[][] {
  const found = new Map<string, Set<string>>()
  for (const [name, value] of Object.entries(config)) {
    if (value === null || value === undefined || value === false || value === 'false') continue
    const [, own = name] = /^(.*) of the optimizer's group \d+$/.exec(name) ?? []
    found.set(own, (found.get(own) ?? new Set()).add(typeof value === 'object' ? JSON.stringify(value) : String(value)))
  }
  return [...found].map(([name, values]) => [name, [...values].join(', ')])
}

function ofHistory({ epochs, stopped }: Pick<History, 'epochs' | 'stopped'>): string {
  const last = epochs.at(-1)
  if (last === undefined) return 'No epoch was finished.'
  const { validation, ...training } = last
  const numbers = (record: object) =>
    Object.entries(record).flatMap(([name, value]) => (typeof value === 'number' ? [[name, value] as const] : []))
  const rows = [
    ...numbers(training).filter(([name]) => name !== 'epoch'),
    ...numbers(validation ?? {}).map(([name, value]) => [`validation ${name}`, value] as const),
  ]
  const end = stopped === null ? '' : ` Stopped: ${cell(stopped)}.`
  return [
    `${last.epoch + 1} epochs; after the last one:${end}`,
    table(
      ['', 'value'],
      rows.map(([name, value]) => [name, short(value)]),
    ),
  ].join('\n\n')
}

function ofReport({ rows, loss, baseLoss, metrics }: SetReport): string {
  const ofBase = baseLoss !== null
  const heads = ['', 'model', ...(ofBase ? ['base model', 'difference'] : [])]
  const line = (name: string, { base, difference, ...own }: MetricReport) => [
    ...[name, span(own)],
    ...(base === null || difference === null ? [] : [span(base), span(difference)]),
  ]
  const losses = ['loss', short(loss), ...(ofBase ? [short(baseLoss), short(loss - baseLoss)] : [])]
  const lines = Object.entries(metrics).map(([name, each]) => line(name, each))
  const spans = Object.values(metrics).some(({ low }) => low !== null)
  return `${rows} rows${spans ? '; intervals are of resampled rows' : ''}.\n\n${table(heads, [losses, ...lines])}`
}

function table(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.map(cell).join(' | ')} |`
  return [line(heads), `|${heads.map(() => ' --- |').join('')}`, ...rows.map(line)].join('\n')
}
