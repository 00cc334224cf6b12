/** The result of a search: a table of its trials. */
import { shown, ValueError } from '../../core/errors.js'
import { printed } from '../../core/host.js'
import { writeAtomically } from '../../io/atomic.js'
import { checkPath } from '../../io/refusal.js'
import { Buffer } from '../record/system.js'
import type { Setting, Space } from './space.js'
import type { TrialRecord } from './table.js'
import { type Goal, isBetter } from './trial.js'

/** A row of `study.top`, flat, for `console.table`. V is the settings. */
export type TrialRow<V = { readonly [name: string]: Setting }> = V & {
  readonly trial: number
  readonly value: number
  readonly epochs: number
}

/** The names in a row that are not settings. */
export const rowNames: readonly string[] = ['trial', 'value', 'epochs']

/** The trials of a search. `console.log` prints a table, which is also its text form. */
export class Study<V = { readonly [name: string]: Setting }> {
  /** The goal of the search: the path of a number in an epoch's record. */
  readonly monitor: string
  /** Whether larger values are better. */
  readonly maximise: boolean
  /** All trials in their order, each with its state at its last rung. */
  readonly trials: readonly TrialRecord<V>[]
  /** The reason why the search ended before its last trial, or null if it did not. */
  readonly stopped: string | null
  readonly #space: Space

  constructor(goal: Goal, space: Space, trials: readonly TrialRecord<V>[], stopped: string | null) {
    this.monitor = goal.monitor
    this.maximise = goal.maximise
    this.trials = trials
    this.stopped = stopped
    this.#space = space
  }

  /** The number of trials that threw, or whose number was not finite. */
  get failed(): number {
    return this.trials.filter(({ state }) => state === 'failed').length
  }

  /** The number of trials that were ended before their last epoch. */
  get pruned(): number {
    return this.trials.filter(({ state }) => state === 'pruned').length
  }

  /** The best trial, or null if none was completed. */
  get best(): TrialRecord<V> | null {
    return this.#ranked()[0] ?? null
  }

  /**
   * Completed trials: those of later rungs first, within a rung the better first, and among equals the earlier first.
   */
  #ranked(): TrialRecord<V>[] {
    const goal: Goal = { monitor: this.monitor, maximise: this.maximise }
    return this.trials.filter(({ state }) => state === 'done').sort((a, b) => ranks(goal, a, b))
  }

  /** The best `n` trials, the best first, or fewer if fewer were completed. */
  top(n: number): TrialRow<V>[] {
    if (!Number.isSafeInteger(n) || n < 1)
      throw new ValueError('Study.top', `n is ${shown(n)}, but must be a positive integer`)
    return this.#ranked()
      .slice(0, n)
      .map(({ trial, value, epochs, values }) => ({ trial, value: value as number, epochs, ...values }))
  }

  /** Plain data, for JSON. */
  toJSON(): object {
    const { monitor, maximise, stopped, trials } = this
    return { monitor, maximise, stopped, trials }
  }

  /**
   * Writes the study: as one page with a table and a picture of each setting if the path ends in '.html', as data for
   * '.json'. Throws ValueError for other endings, and if the system refuses.
   */
  async save(path: string): Promise<void> {
    const op = 'Study.save'
    checkPath(op, 'write', path)
    const ending = /\.(html|json)$/.exec(path)?.[1]
    if (ending === undefined) throw new ValueError(op, `path is ${shown(path)}, but must end in .html or .json`)
    const text =
      ending === 'json'
        ? `${JSON.stringify(this, null, 2)}\n`
        : (await import('./page.js')).studyPage(this as Study, this.#space, this.#ranked() as TrialRecord[])
    await writeAtomically(path, [Buffer.from(text)], op)
  }

  toString(): string {
    const { monitor, maximise, trials, failed, pruned, stopped } = this
    const lines = this.top(10).map(
      ({ trial, value, epochs, ...values }) =>
        `  ${monitor} ${value}  trial ${trial}, ${epochs} epochs: ${JSON.stringify(values)}`,
    )
    const counts = `${trials.length} trials, ${failed} failed, ${pruned} pruned`
    const end = stopped === null ? '' : `\n  stopped: ${stopped}`
    return `Study { ${maximise ? 'most' : 'least'} ${monitor}: ${counts}\n${lines.join('\n')}${end}\n}`
  }

  [printed](): string {
    return this.toString()
  }
}

/** The order of two completed trials, the better first. */
export function ranks(goal: Goal, a: TrialRecord<unknown>, b: TrialRecord<unknown>): number {
  const [first, second] = [a.value as number, b.value as number]
  if (a.rung !== b.rung) return b.rung - a.rung
  if (first !== second) return isBetter(goal, first, second) ? -1 : 1
  return a.trial - b.trial
}
