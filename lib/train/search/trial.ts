/** A running trial: the information for the program, and the callback that watches its training. */
import { ValueError } from '../../core/errors.js'
import type { Resumable } from '../../core/generator.js'
import { beginsAnew, type Callback, monitored, type TrainingContext } from '../callbacks.js'
import type { EpochRecord } from '../history.js'

/** The goal of a search. */
export interface Goal {
  /** The path of the number in an epoch's record, such as 'validation.accuracy'. */
  readonly monitor: string
  /** Whether larger values are better. */
  readonly maximise: boolean
}

/** The values of the monitored number, each with its epoch, counted from 1. */
export type Curve = readonly (readonly [epoch: number, value: number])[]

/** Whether a value is better than another one. */
export const isBetter = ({ maximise }: Goal, value: number, other: number): boolean =>
  maximise ? value > other : value < other

/** The best value of a curve up to an epoch, or null if there is none. */
export function bestUpTo(goal: Goal, curve: Curve, epoch: number): number | null {
  let best: number | null = null
  for (const [at, value] of curve) if (at <= epoch && (best === null || isBetter(goal, value, best))) best = value
  return best
}

/** The smallest number of trials whose median is used. */
const fewest = 4

/**
 * The reason why a trial should end: so far it is worse than the median of earlier trials at the same epoch. Null if it
 * should continue, and if fewer than four trials reached that epoch.
 */
export function medianFault(goal: Goal, curve: Curve, epoch: number, before: readonly Curve[]): string | null {
  const own = bestUpTo(goal, curve, epoch)
  const others = before
    .filter((each) => each.some(([at]) => at >= epoch))
    .map((each) => bestUpTo(goal, each, epoch))
    .filter((value) => value !== null)
    .sort((a, b) => a - b)
  if (own === null || others.length < fewest) return null
  const [low, high] = [others[(others.length - 1) >> 1] as number, others[others.length >> 1] as number]
  const median = low / 2 + high / 2
  if (!isBetter(goal, median, own)) return null
  return `${goal.monitor} was ${own} at best after epoch ${epoch}, and the median of ${others.length} trials before it ${median}`
}

/** The state of a trial, as a checkpoint keeps it. */
export interface TrialState {
  readonly curve: Curve
  readonly pruned: string | null
}

/**
 * A trial of a search: its number, passes, seed and folder, and a callback for `fit` that ends a training without
 * prospects.
 */
export class Trial implements Callback, Resumable<TrialState> {
  /** The trial's number, from 0. */
  readonly number: number
  /** The number of passes over the data planned for it: `fit(train, { epochs: trial.epochs })`. */
  readonly epochs: number
  /** The rung of successive halving, from 0. */
  readonly rung: number
  /**
   * Determined by the search's seed and the trial's number. The default generator gets this seed before the trial
   * begins.
   */
  readonly seed: number
  /**
   * The trial's own folder, which is not made. With `checkpoints: { folder: trial.folder }` and `resume: 'auto'`, a
   * trial that was killed continues where it was, and so does a trial at the next rung of successive halving.
   */
  readonly folder: string
  /** Aborted with the search. */
  readonly signal: AbortSignal
  readonly [beginsAnew] = true
  readonly #goal: Goal
  readonly #hopeless: (curve: Curve, epoch: number) => string | null
  #curve: [epoch: number, value: number][] = []
  #pruned: string | null = null

  constructor(
    place: Pick<Trial, 'number' | 'epochs' | 'rung' | 'seed' | 'folder' | 'signal'>,
    goal: Goal,
    hopeless: (curve: Curve, epoch: number) => string | null,
  ) {
    this.number = place.number
    this.epochs = place.epochs
    this.rung = place.rung
    this.seed = place.seed
    this.folder = place.folder
    this.signal = place.signal
    this.#goal = goal
    this.#hopeless = hopeless
  }

  /** The values of the monitored number so far. */
  get curve(): Curve {
    return this.#curve
  }

  /** The reason why its training was ended, or null if it was not. */
  get pruned(): string | null {
    return this.#pruned
  }

  onStart({ monitors }: TrainingContext): void {
    const { monitor } = this.#goal
    if (!monitors.includes(monitor))
      throw new ValueError(
        'search',
        `there is no '${monitor}' to search for, but only ${monitors.join(', ')}; give the Trainer that metric, or give fit a validation set`,
      )
  }

  onEpochEnd(epoch: EpochRecord, context: TrainingContext): void {
    this.report(epoch.epoch + 1, monitored(epoch, this.#goal.monitor))
    if (this.#pruned !== null) context.stop(`pruned: ${this.#pruned}`)
  }

  /**
   * Records the value after an epoch, counted from 1, and returns whether the trial should continue. Trainings without
   * a Trainer call it. Throws ValueError for epochs out of order.
   */
  report(epoch: number, value: number): boolean {
    const last = this.#curve.at(-1)?.[0] ?? 0
    if (!Number.isSafeInteger(epoch) || epoch <= last)
      throw new ValueError('Trial.report', `epoch is ${String(epoch)}, but must be a whole number above ${last}`)
    if (!Number.isFinite(value)) this.#pruned ??= `${this.#goal.monitor} was ${String(value)} after epoch ${epoch}`
    else {
      this.#curve.push([epoch, value])
      // At its last epoch there is nothing left to save.
      if (epoch < this.epochs) this.#pruned ??= this.#hopeless(this.#curve, epoch)
    }
    return this.#pruned === null
  }

  stateDict(): TrialState {
    return { curve: this.#curve.map(([epoch, value]) => [epoch, value] as const), pruned: this.#pruned }
  }

  loadStateDict({ curve, pruned }: TrialState): void {
    this.#curve = curve.map(([epoch, value]) => [epoch, value])
    this.#pruned = pruned
  }
}
