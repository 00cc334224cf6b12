/** The result of a search: a table of its trials. */
import { shown, ValueError } from '../../core/errors.js'
import { printed } from '../../core/host.js'
import { writeAtomically } from '../../io/atomic.js'
import { checkPath } from '../../io/refusal.js'
import { Buffer } from '../record/system.js'
import type { Setting, Space } from './space.js'
import type { TrialRecord } from './table.js'
import { type Goal, isBetter } from './trial.js'

/** A row of `study.top`, flat, as `console.table` shows it. V are the settings. */
export type TrialRow<V = { readonly [name: string]: Setting }> = V & {
  readonly trial: number
  readonly value: number
  readonly epochs: number
}

/** The names of a row that are no settings. */
export const rowNames: readonly string[] = ['trial', 'value', 'epochs']

/** The trials of a search. `console.log` of it, and it as text, is a table. */
export class Study<V = { readonly [name: string]: Setting }> {
  /** The goal of the search: the path of a number in an epoch's record. */
  readonly monitor: string
  /** Whether more of it is better. */
  readonly maximise: boolean
  /** All trials in their order, each as it ended at its last rung. */
  readonly trials: readonly TrialRecord<V>[]
  /** Why the search ended before its last trial; null where it did not. */
  readonly stopped: string | null
  readonly #space: Space

  constructor(goal: Goal, space: Space, trials: readonly TrialRecord<V>[], stopped: string | null) {
    this.monitor = goal.monitor
    this.maximise = goal.maximise
    this.trials = trials
    this.stopped = stopped
    this.#space = space
  }

  /** How many trials threw, or gave no finite number. */
  get failed(): number {
    return this.trials.filter(({ state }) => state === 'failed').length
  }

  /** How many trials were ended before their last epoch. */
  get pruned(): number {
    return this.trials.filter(({ state }) => state === 'pruned').length
  }

  /** The best trial; null where none came to its end. */
  get best(): TrialRecord<V> | null {
    return this.#ranked()[0] ?? null
  }

  /** Trials that came to their end: those of later rungs first, of a rung the better first, of equals the earlier. */
  #ranked(): TrialRecord<V>[] {
    const goal: Goal = { monitor: this.monitor, maximise: this.maximise }
    return this.trials.filter(({ state }) => state === 'done').sort((a, b) => ranks(goal, a, b))
  }

  /** The best `n` trials, the best first; fewer where fewer came to their end. */
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
   * Writes the study: as one page with a table and a picture of each setting where the path ends in '.html', as data where it ends in
   * '.json'. Throws ValueError for other endings, and where the system refuses.
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

/** The order of two trials that came to their end, the better first. */
export function ranks(goal: Goal, a: TrialRecord<unknown>, b: TrialRecord<unknown>): number {
  const [first, second] = [a.value as number, b.value as number]
  if (a.rung !== b.rung) return b.rung - a.rung
  if (first !== second) return isBetter(goal, first, second) ? -1 : 1
  return a.trial - b.trial
}
