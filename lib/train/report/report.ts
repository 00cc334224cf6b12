/** The model's quality on rows that it has not learned. */
import { kindOf, shown, ValueError } from '../../core/errors.js'
import { printed } from '../../core/host.js'
import { checkOptions } from '../../core/options.js'
import { writeAtomically } from '../../io/atomic.js'
import { checkPath } from '../../io/refusal.js'
import type { Module } from '../../nn/module.js'
import { checkBatches, checkSignal } from '../checks.js'
import type { Batches } from '../options.js'
import { digits } from '../page.js'
import type { Metrics } from '../pass.js'
import { Buffer } from '../record/system.js'
import { bootstrap, type Estimate, type MetricReport } from './bootstrap.js'
import { type ClassesReport, classesOf } from './classes.js'
import { type Collected, collect, type Looking } from './collect.js'

export interface ReportOptions<B = unknown> {
  /** Another model to compare with the Trainer's on the same rows, such as the one before its fine-tuning. */
  readonly against?: Module
  /**
   * A second set, of tasks that the model could do before. Its numbers and those of `against` show how much was
   * forgotten.
   */
  readonly forgetting?: Batches<B>
  /** Names of the classes, in their order. Default: their numbers. */
  readonly classes?: readonly string[]
  /** The number of resamples for the intervals, at most 10,000. Default 500, and 0 for no intervals. */
  readonly resamples?: number
  /** The share of resamples within an interval. Default 0.95. */
  readonly confidence?: number
  /** The seed of the resamples. Default 0. */
  readonly seed?: number
  /** The number of worst rows to show. Default 10. */
  readonly worst?: number
  /** The name of a row in the report, by its place in the set from 0, such as its line in a file. Default: its place. */
  readonly rowName?: (row: number) => string
  readonly signal?: AbortSignal
}

/** Numbers on one set, of the model and of the base model. */
export interface SetReport {
  readonly rows: number
  readonly loss: number
  readonly baseLoss: number | null
  readonly metrics: { readonly [name: string]: MetricReport }
}

interface Found extends SetReport {
  readonly classes: ClassesReport | null
  readonly forgetting: SetReport | null
}

const mostResamples = 10_000

/** Numbers of a model on a test set. `console.log` prints all of them in lines, which are also its text form. */
export class Report implements SetReport {
  readonly rows: number
  readonly loss: number
  readonly baseLoss: number | null
  /** Each metric with its interval, the base model's value, and the difference. */
  readonly metrics: { readonly [name: string]: MetricReport }
  /** Confusion, calibration and the worst rows of a classifier, or null for other models. */
  readonly classes: ClassesReport | null
  /** The same numbers on the second set, or null without one. */
  readonly forgetting: SetReport | null
  /** Names of the classes, or null if they have none. */
  readonly names: readonly string[] | null
  /** The share of resamples within an interval. */
  readonly confidence: number

  constructor(found: Found, names: readonly string[] | null, confidence: number) {
    this.rows = found.rows
    this.loss = found.loss
    this.baseLoss = found.baseLoss
    this.metrics = found.metrics
    this.classes = found.classes
    this.forgetting = found.forgetting
    this.names = names
    this.confidence = confidence
  }

  /** The name of a class. */
  nameOf(place: number): string {
    return this.names?.[place] ?? String(place)
  }

  /**
   * Writes the report: as one page if the path ends in '.html', as data for '.json', as text for '.txt'. Throws
   * ValueError for other endings, and if the system refuses.
   */
  async save(path: string): Promise<void> {
    const op = 'Report.save'
    checkPath(op, 'write', path)
    const ending = /\.(html|json|txt)$/.exec(path)?.[1]
    if (ending === undefined) throw new ValueError(op, `path is ${shown(path)}, but must end in .html, .json or .txt`)
    const text =
      ending === 'html'
        ? (await import('./page.js')).reportPage(this)
        : ending === 'json'
          ? JSON.stringify(this, null, 2)
          : String(this)
    await writeAtomically(path, [Buffer.from(`${text}\n`)], op)
  }

  toString(): string {
    const { classes, forgetting } = this
    const lines = linesOf(this, `${this.rows} rows`)
    if (classes !== null) {
      lines.push(`  calibration error ${digits(classes.calibrationError)}`)
      if (classes.ignored > 0) lines.push(`  ${classes.ignored} rows without a label of the classes`)
      for (const { row, name, label, predicted, probability } of classes.worst.slice(0, 5)) {
        // The worst of few rows may be right.
        const found = predicted === label ? 'which is right' : `taken for ${this.nameOf(predicted)}`
        lines.push(
          `  ${name ?? `row ${row}`}: ${this.nameOf(label)}, ${found} (probability of its own ${digits(probability)})`,
        )
      }
    }
    if (forgetting !== null) lines.push(...linesOf(forgetting, `of before: ${forgetting.rows} rows`))
    return `Report {\n${lines.join('\n')}\n}`
  }

  [printed](): string {
    return this.toString()
  }
}

/** `0.91 (0.88 to 0.94)`. */
export function spanOf({ value, low, high }: Estimate): string {
  return low === null || high === null ? digits(value) : `${digits(value)} (${digits(low)} to ${digits(high)})`
}

function linesOf({ loss, baseLoss, metrics }: SetReport, head: string): string[] {
  const lines = [`  ${head}`, `  loss ${digits(loss)}${baseLoss === null ? '' : `, base ${digits(baseLoss)}`}`]
  for (const [name, each] of Object.entries(metrics)) {
    const { base, difference } = each
    const against = base === null || difference === null ? '' : `, base ${spanOf(base)}, more by ${spanOf(difference)}`
    lines.push(`  ${name} ${spanOf(each)}${against}`)
  }
  return lines
}

/** The Trainer's parts that a report needs. */
export interface Reporting {
  readonly metrics: Metrics<string, never>
  readonly looking: (model: Module | undefined) => Looking
}

export async function report(
  op: string,
  { metrics, looking }: Reporting,
  test: Batches<unknown>,
  options: ReportOptions<unknown>,
): Promise<Report> {
  const { against, forgetting, classes, resamples, confidence, seed, worst, rowName, signal } = checked(op, options)
  checkBatches(op, test)
  const models = [looking(undefined), ...(against === undefined ? [] : [looking(against)])]
  const set = async <R>(batches: Batches<unknown>, more: (own: Collected) => Promise<R>) => {
    const sets: Collected[] = []
    try {
      for (const each of models) sets.push(await collect(op, each, batches, signal))
      const [own, base = null] = sets as [Collected, Collected?]
      if (base !== null && base.rows !== own.rows)
        throw new ValueError(
          op,
          `the set had ${own.rows} rows for the model, but ${base.rows} for \`against\`; give batches that can be read twice`,
        )
      const found = await bootstrap(op, metrics, own, base, { resamples, confidence, seed }, signal)
      const numbers = { rows: own.rows, loss: own.loss, baseLoss: base?.loss ?? null, metrics: found }
      return { ...numbers, more: await more(own) }
    } finally {
      for (const { output, target } of sets) {
        output.dispose()
        target.dispose()
      }
    }
  }
  const { more, ...numbers } = await set(test, (own) => classesOf(own, worst, rowName))
  if (classes !== null && more !== null && classes.length !== more.confusion.length)
    throw new ValueError(op, `classes has ${classes.length} names, but the model has ${more.confusion.length} classes`)
  const before = forgetting === undefined ? null : await set(forgetting, async () => null)
  const second = before && { rows: before.rows, loss: before.loss, baseLoss: before.baseLoss, metrics: before.metrics }
  return new Report({ ...numbers, classes: more, forgetting: second }, classes, confidence)
}

function checked(op: string, options: ReportOptions<unknown>) {
  const known = { against: true, forgetting: true, classes: true, resamples: true } as const
  checkOptions(op, options, { ...known, confidence: true, seed: true, worst: true, rowName: true, signal: true })
  const { against, forgetting, classes, resamples = 500, confidence = 0.95, seed = 0, worst = 10 } = options
  const { rowName = () => null, signal } = options
  if (typeof rowName !== 'function')
    throw new ValueError(op, `rowName is ${kindOf(rowName)}, but must be a function of a row's place`)
  const whole = (name: string, value: number, most: number) => {
    if (!Number.isSafeInteger(value) || value < 0 || value > most)
      throw new ValueError(op, `${name} is ${shown(value)}, but must be a whole number from 0 to ${most}`)
  }
  whole('resamples', resamples, mostResamples)
  whole('seed', seed, Number.MAX_SAFE_INTEGER)
  whole('worst', worst, Number.MAX_SAFE_INTEGER)
  if (!(typeof confidence === 'number' && confidence > 0 && confidence < 1))
    throw new ValueError(op, `confidence is ${shown(confidence)}, but must be between 0 and 1`)
  const isNames = Array.isArray(classes) && classes.every((name) => typeof name === 'string')
  if (classes !== undefined && !isNames)
    throw new ValueError(op, `classes is ${shown(classes)}, but must be a list of their names`)
  if (forgetting !== undefined) checkBatches(op, forgetting)
  checkSignal(op, signal)
  const names = classes === undefined ? null : [...classes]
  return { against, forgetting, classes: names, resamples, confidence, seed, worst, rowName, signal }
}
