/** A model card: what a folder's README.md says of a model that was trained. */
import { kindOf, shown, ValueError } from '../../core/errors.js'
import { inNode } from '../../core/host.js'
import { checkOptions } from '../../core/options.js'
import type { History } from '../history.js'
import { escaped } from '../page.js'
import { version } from '../record/describe.js'
import { process } from '../record/system.js'
import type { Estimate, MetricReport } from './bootstrap.js'
import type { SetReport } from './report.js'

export interface ModelCardOptions {
  readonly name: string
  /** The model that training began with: a name of a hub, or a path. */
  readonly base?: string
  /** Data that the model learned from, in the order of importance: names of data sets, or files. */
  readonly data?: readonly string[]
  /** Languages by their codes: 'zh', 'en'. */
  readonly language?: readonly string[]
  readonly license?: string
  /** How it was trained, in words: strategy, epochs, learning rate. */
  readonly training?: string
  /** The purpose of the model, and where it fails, in words. */
  readonly notes?: string
  /** The history of its fit, whose last epoch is told. */
  readonly history?: Pick<History, 'epochs' | 'stopped'>
  /** Numbers on a test set, as `trainer.report` gives them. */
  readonly report?: SetReport
}

const texts = ['base', 'license', 'training', 'notes'] as const
const lists = ['data', 'language'] as const

/** Text in a cell of a table, or on a line. */
const cell = (text: unknown): string => escaped(text).replaceAll('|', '\\|').replace(/\s+/g, ' ')
/** Four digits. */
const short = (value: number): string => String(Number(value.toPrecision(4)))

const span = ({ value, low, high }: Estimate): string =>
  low === null || high === null ? short(value) : `${short(value)} (${short(low)} to ${short(high)})`

/** A text in the head, in double quotes: JSON's are YAML's. */
const quoted = (text: string): string => JSON.stringify(text)

/**
 * The text of a model card, with the head that the hub of Hugging Face reads: for the README.md in a model's folder. It says what it was
 * told, the figures of a report and of a history, and the versions; nothing is made up for what is left out.
 */
export function modelCard(options: ModelCardOptions): string {
  const op = 'modelCard'
  checkOptions(op, options, {
    ...{ name: true, base: true, data: true, language: true, license: true },
    ...{ training: true, notes: true, history: true, report: true },
  })
  const { name, base, data = [], language = [], license, training, notes, history, report } = options
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
  if (history !== undefined && !Array.isArray(history?.epochs))
    throw new ValueError(op, `history is ${kindOf(history)}, but must be what fit gave`)
  if (report !== undefined && (typeof report?.metrics !== 'object' || typeof report.rows !== 'number'))
    throw new ValueError(op, `report is ${kindOf(report)}, but must be what trainer.report gave`)
  const head = [
    '---',
    'library_name: firesteel',
    ...(base === undefined ? [] : [`base_model: ${quoted(base)}`]),
    ...(license === undefined ? [] : [`license: ${quoted(license)}`]),
    ...(language.length === 0 ? [] : ['language:', ...language.map((each) => `- ${quoted(each)}`)]),
    '---',
  ]
  const parts = [
    `# ${cell(name)}`,
    ...(base === undefined ? [] : [`Fine-tuned from ${cell(base)}.`]),
    ...(notes === undefined ? [] : [escaped(notes)]),
    ...(data.length === 0 ? [] : ['## Data', data.map((each) => `- ${cell(each)}`).join('\n')]),
    ...(training === undefined && history === undefined ? [] : ['## Training']),
    ...(training === undefined ? [] : [escaped(training)]),
    ...(history === undefined ? [] : [ofHistory(history)]),
    ...(report === undefined ? [] : ['## Evaluation', ofReport(report)]),
    '## Versions',
    `Firesteel ${version() ?? 'of an unknown version'}${inNode ? `, Node ${process.version}` : ''}.`,
  ]
  return `${head.join('\n')}\n\n${parts.join('\n\n')}\n`
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
  return `${rows} rows; intervals are of resampled rows.\n\n${table(heads, [losses, ...lines])}`
}

function table(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.map(cell).join(' | ')} |`
  return [line(heads), `|${heads.map(() => ' --- |').join('')}`, ...rows.map(line)].join('\n')
}
