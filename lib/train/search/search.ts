/** The search: the choice of trials, their rungs and their order. The table does the rest. */
import { kindOf, shown, ValueError } from '../../core/errors.js'
import { defaultGenerator, Generator, manualSeed } from '../../core/generator.js'
import { warn } from '../../core/host.js'
import { checkOptions } from '../../core/options.js'
import { makeFolder } from '../../io/folders.js'
import { monitored } from '../callbacks.js'
import { checkSignal } from '../checks.js'
import { FolderLock } from '../record/lock.js'
import { join } from '../record/system.js'
import { Distribution, gridPoint, gridSize, randomPoint, type Setting, type SettingsOf, type Space } from './space.js'
import { ranks, rowNames, Study } from './study.js'
import { Table, type TrialRecord } from './table.js'
import { type Curve, type Goal, medianFault, Trial } from './trial.js'

/**
 * The goal of a search: the path of a number in an epoch's record, such as 'validation.accuracy'. Exactly one of the
 * two is given.
 */
export type SearchGoal =
  | { readonly maximise: string; readonly minimise?: undefined }
  | { readonly minimise: string; readonly maximise?: undefined }

export interface SearchPlan<S extends Space> {
  /** A distribution for each setting: `{ lr: logUniform(1e-5, 1e-2), width: choice(64, 128) }`. */
  readonly space: S
  /**
   * 'random' (default): each trial draws its settings. 'grid': all points, only for spaces of `choice` and `integer`.
   */
  readonly method?: 'random' | 'grid'
  /** The number of trials to draw, at most 10,000. Required, except for a grid, which has one trial for each point. */
  readonly trials?: number
  /**
   * Successive halving: all trials train for the first number of epochs, the best of them for the second, and so on.
   * The share of trials that continues is the inverse of the growth in epochs: with [1, 3, 9] the best third (rounded
   * up).
   */
  readonly halving?: { readonly epochs: readonly number[] }
  /** The epochs of every trial, if there is no halving. Default 1. */
  readonly epochs?: number
  /**
   * 'median': a trial is ended once its best value so far is worse than the median, at the same epoch, of at least four
   * earlier trials. Default: a trial is ended only if its number is NaN or infinite.
   */
  readonly prune?: 'median'
  /** The seed of all trials' settings, and of the seeds with which they begin. Default 0. */
  readonly seed?: number
  /** Ends the search. The running trial is dropped, and the study has the ones before it. */
  readonly signal?: AbortSignal
}

export type SearchOptions<S extends Space> = SearchPlan<S> & SearchGoal

/** The result of a trial: the searched number, or the history of a fit, whose last epoch holds it. */
export type TrialResult = number | { readonly epochs: readonly object[] }

/** The largest number of trials in a search. */
const mostTrials = 10_000

interface Plan {
  readonly goal: Goal
  readonly space: Space
  readonly method: 'random' | 'grid'
  readonly trials: number
  readonly rungs: readonly number[]
  readonly prune: 'median' | undefined
  readonly seed: number
  readonly signal: AbortSignal | undefined
}

/**
 * Runs trials with settings from a space, one after the other, and keeps their table in a folder. A search that was
 * killed continues after the last completed trial. It gives the same results as one without interruption if trials
 * depend only on their settings and `trial.seed`. The default generator is seeded anew before each trial, and restored
 * at the end. A trial that throws is recorded as failed, and the others continue. A later call for the same folder may
 * ask for more `trials`, but all other options must stay the same.
 *
 * Throws ValueError for options that cannot work, if the folder holds another search, and while another process uses
 * it.
 */
export async function search<const S extends Space>(
  folder: string,
  options: SearchOptions<S>,
  run: (settings: SettingsOf<S>, trial: Trial) => TrialResult | Promise<TrialResult>,
): Promise<Study<SettingsOf<S>>> {
  const op = 'search'
  const plan = planOf(op, options as SearchOptions<Space>)
  if (typeof run !== 'function')
    throw new ValueError(op, `needs a function that runs a trial, not ${kindOf(run)}: async (settings, trial) => ...`)
  plan.signal?.throwIfAborted()
  await makeFolder(op, folder)
  const lock = await FolderLock.take(op, folder)
  const random = defaultGenerator().stateDict()
  let table: Table | null = null
  try {
    const { goal, space, method, rungs, prune = null, seed } = plan
    const described = Object.entries(space).map(([name, { kind, given }]) => [name, kind, ...given])
    const { monitor, maximise } = goal
    table = await Table.open(op, folder, { format: 1, monitor, maximise, method, rungs, prune, seed, space: described })
    const found = await new Searching(plan, folder, table, run as Run).all()
    return new Study(goal, space, found.trials, found.stopped) as Study<SettingsOf<S>>
  } finally {
    await table?.close()
    lock.release()
    defaultGenerator().loadStateDict(random)
  }
}

type Settings = { readonly [name: string]: Setting }
type Run = (settings: Settings, trial: Trial) => TrialResult | Promise<TrialResult>

class Searching {
  readonly #plan: Plan
  readonly #folder: string
  readonly #table: Table
  readonly #run: Run
  readonly #signal: AbortSignal

  constructor(plan: Plan, folder: string, table: Table, run: Run) {
    this.#plan = plan
    this.#folder = folder
    this.#table = table
    this.#run = run
    this.#signal = plan.signal ?? new AbortController().signal
  }

  /** Every trial with its state at its last rung, in order. */
  async all(): Promise<{ readonly trials: TrialRecord[]; readonly stopped: string | null }> {
    const { goal, trials, rungs } = this.#plan
    const last = new Map<number, TrialRecord>()
    let asked = Array.from({ length: trials }, (_, number) => number)
    let stopped: string | null = null
    for (let rung = 0; rung < rungs.length && stopped === null; rung++) {
      const records: TrialRecord[] = []
      for (const number of asked) {
        const record = this.#table.get(number, rung) ?? (await this.#one(number, rung, records))
        if (record === null) {
          stopped = `aborted: ${String(this.#signal.reason)}`
          break
        }
        records.push(record)
        last.set(number, record)
      }
      const [now = 1, next = now] = rungs.slice(rung)
      asked = records
        .filter(({ state }) => state === 'done')
        .sort((a, b) => ranks(goal, a, b))
        .slice(0, Math.ceil((records.length * now) / next))
        .map(({ trial }) => trial)
        .sort((a, b) => a - b)
    }
    const all = [...last.values()].sort((a, b) => a.trial - b.trial)
    tellFailed(all)
    return { trials: all, stopped }
  }

  #settings(number: number): Settings {
    const { space, method, seed } = this.#plan
    return method === 'grid' ? gridPoint(space, number) : randomPoint(space, new Generator(seed, 2 * number + 1))
  }

  /** Runs a trial and records its end. Null if the search was aborted. `before` are the earlier trials of its rung. */
  async #one(number: number, rung: number, before: readonly TrialRecord[]): Promise<TrialRecord | null> {
    if (this.#signal.aborted) return null
    const { goal, rungs, prune, seed } = this.#plan
    const values = this.#settings(number)
    const epochs = rungs[rung] as number
    const place = {
      ...{ number, rung, epochs, signal: this.#signal },
      seed: new Generator(seed, 2 * number + 2).randint(0, 2 ** 32),
      folder: join(this.#folder, 'trials', String(number).padStart(4, '0')),
    }
    const curves = before.filter(({ state }) => state !== 'failed').map(({ curve }) => curve)
    const hopeless = (curve: Curve, epoch: number) =>
      prune === undefined ? null : medianFault(goal, curve, epoch, curves)
    const trial = new Trial(place, goal, hopeless)
    manualSeed(trial.seed)
    const started = performance.now()
    let end: Pick<TrialRecord, 'state' | 'value' | 'reason'>
    try {
      end = endOf(goal, trial, await this.#run({ ...values }, trial))
    } catch (error) {
      end = { state: 'failed', value: null, reason: error instanceof Error ? String(error) : `threw ${kindOf(error)}` }
    }
    if (this.#signal.aborted) return null
    const seconds = (performance.now() - started) / 1000
    const record: TrialRecord = { trial: number, rung, epochs, values, ...end, curve: trial.curve, seconds }
    await this.#table.add(record)
    return record
  }
}

/** The end of a trial that did not throw. */
function endOf(goal: Goal, { curve, pruned }: Trial, result: unknown): Pick<TrialRecord, 'state' | 'value' | 'reason'> {
  if (pruned !== null) return { state: 'pruned', value: curve.at(-1)?.[1] ?? null, reason: pruned }
  const failed = (reason: string) => ({ state: 'failed' as const, value: null, reason })
  let value = result
  if (typeof result === 'object' && result !== null && 'epochs' in result && Array.isArray(result.epochs)) {
    const epoch: unknown = result.epochs.at(-1)
    if (epoch === undefined) return failed('the history has no epochs')
    value = monitored(epoch as object, goal.monitor)
    if (!Number.isFinite(value)) return failed(`${goal.monitor} of the last epoch is ${shown(value)}`)
  }
  if (typeof value !== 'number' || !Number.isFinite(value))
    return failed(`the trial gave ${shown(value)}, but must give a finite number, or the history of a fit`)
  return { state: 'done', value, reason: null }
}

function tellFailed(trials: readonly TrialRecord[]): void {
  const failed = trials.filter(({ state }) => state === 'failed')
  const [first] = failed
  if (first !== undefined)
    warn(
      `[search] ${failed.length} of ${trials.length} trials failed; the first, trial ${first.trial}: ${first.reason}`,
    )
}

function planOf(op: string, options: SearchOptions<Space>): Plan {
  checkOptions(op, options, {
    ...{ space: true, method: true, trials: true, halving: true, epochs: true },
    ...{ prune: true, seed: true, signal: true, maximise: true, minimise: true },
  })
  const { method = 'random', prune, seed = 0, signal } = options
  const space = spaceOf(op, options.space)
  if (method !== 'random' && method !== 'grid')
    throw new ValueError(op, `method is ${shown(method)}, but must be 'random' or 'grid'`)
  if (prune !== undefined && prune !== 'median')
    throw new ValueError(op, `prune is ${shown(prune)}, but must be 'median', or left out`)
  if (!Number.isSafeInteger(seed) || seed < 0)
    throw new ValueError(op, `seed is ${shown(seed)}, but must be a whole number of at least 0`)
  checkSignal(op, signal)
  const goal = goalOf(op, options)
  return {
    goal,
    space,
    method,
    prune,
    seed,
    signal,
    trials: trialsOf(op, options, method),
    rungs: rungsOf(op, options),
  }
}

function spaceOf(op: string, space: Space): Space {
  const isTable = typeof space === 'object' && space !== null && !Array.isArray(space)
  const entries = isTable ? Object.entries(space) : []
  if (entries.length === 0)
    throw new ValueError(op, `space is ${kindOf(space)}, but must name settings: { lr: logUniform(1e-5, 1e-2) }`)
  for (const [name, each] of entries) {
    if (!(each instanceof Distribution))
      throw new ValueError(
        op,
        `space.${name} is ${shown(each)}, but must be choice(...), uniform(low, high), logUniform(low, high) or integer(low, high)`,
      )
    if (rowNames.includes(name))
      throw new ValueError(
        op,
        `space has a setting ${name}, which is already a column of the table; give it another name`,
      )
  }
  return Object.fromEntries(entries)
}

function goalOf(op: string, { maximise, minimise }: SearchOptions<Space>): Goal {
  if ((maximise === undefined) === (minimise === undefined))
    throw new ValueError(op, "needs exactly one goal: maximise: 'validation.accuracy', or minimise: 'validation.loss'")
  const monitor: unknown = maximise ?? minimise
  if (typeof monitor !== 'string' || monitor === '')
    throw new ValueError(
      op,
      `${maximise === undefined ? 'minimise' : 'maximise'} is ${shown(monitor)}, but must be a path such as 'validation.loss'`,
    )
  return { monitor, maximise: maximise !== undefined }
}

function trialsOf(op: string, { space, trials }: SearchOptions<Space>, method: 'random' | 'grid'): number {
  const isCount = Number.isSafeInteger(trials) && (trials as number) >= 1 && (trials as number) <= mostTrials
  if (method === 'random') {
    if (!isCount)
      throw new ValueError(op, `trials is ${shown(trials)}, but must be a whole number from 1 to ${mostTrials}`)
    return trials as number
  }
  const size = gridSize(op, space)
  if (size > mostTrials)
    throw new ValueError(op, `the grid has ${size} points, but at most ${mostTrials} are tried; use method 'random'`)
  if (trials !== undefined && trials !== size)
    throw new ValueError(op, `trials is ${shown(trials)}, but the grid has ${size} points; leave trials out`)
  return size
}

function rungsOf(op: string, { halving, epochs }: SearchOptions<Space>): readonly number[] {
  const isEpochs = (value: unknown) => Number.isSafeInteger(value) && (value as number) >= 1
  if (halving === undefined) {
    if (epochs !== undefined && !isEpochs(epochs))
      throw new ValueError(op, `epochs is ${shown(epochs)}, but must be a positive integer`)
    return [epochs ?? 1]
  }
  if (epochs !== undefined)
    throw new ValueError(op, 'epochs and halving both set how long trials train; leave epochs out')
  checkOptions(op, halving, { epochs: true }, 'halving')
  const rungs: readonly number[] = Array.isArray(halving.epochs) ? [...halving.epochs] : []
  const rises = rungs.every((each, i) => isEpochs(each) && each > (rungs[i - 1] ?? 0))
  if (rungs.length === 0 || !rises)
    throw new ValueError(
      op,
      `halving.epochs is ${shown(halving.epochs)}, but must be increasing positive integers, such as [1, 3, 9]`,
    )
  return rungs
}
