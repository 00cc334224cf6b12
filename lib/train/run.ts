/** A training in progress. */
import { ValueError } from '../core/errors.js'
import type { HeldOut } from './held-out.js'
import type { EpochRecord, TrainingHistory, ValidationRecord } from './history.js'
import type { Batches, FitOptions } from './options.js'
import type { Pass } from './pass.js'
import type { Budget } from './preflight/budget.js'
import type { Thrift } from './preflight/thrift.js'
import type { Journal } from './record/journal.js'
import type { Place, Within } from './resume.js'

export interface Run<M extends string> {
  readonly op: string
  readonly batches: Batches<unknown>
  signal: AbortSignal | undefined
  readonly history: TrainingHistory<M>
  epoch: number
  /** The pass of the last epoch. */
  pass: Pass<M> | null
  /** The place from which the next epoch continues, or null for its beginning. */
  from: Within | null
  thrift: Thrift
  /** Chooses `thrift`. Null if no memory limit was given. */
  budget: Budget | null
  /** Whether a loss was not finite, so the next step must be watched. */
  suspects: boolean
  /**
   * The place in the data from which the next pass continues, as in the checkpoint. Null if the data get there on their
   * own.
   */
  data: unknown
  /** The measurements of a fit and the events for loggers, or null for steps without a fit. */
  journal: Journal | null
  /** Whether the checkpoint at the fit's end, from which a longer fit continues, is written. */
  isSaved: boolean
  heldOut: HeldOut
  /** Returns the pass's current place in the data, if the data know it. */
  loader: () => unknown
}

/** The end of a fit, and the steps at which it validates. */
export interface Plan {
  /** The point at which the fit began, counted from before any interruption. */
  readonly first: { readonly epochs: number; readonly steps: number; readonly began: number }
  /** Epochs of the Trainer, including those before this fit. */
  readonly epochs: number
  /** Steps of the Trainer, including those before this fit. */
  readonly steps: number
  /** The moment at which the fit ends, on the clock of performance.now(). */
  readonly time: number
  readonly validation: Batches<unknown> | undefined
  readonly validateEvery: number | undefined
}

/** Continues a run from the place in a checkpoint. */
export function goOn<M extends string>(run: Run<M>, { within, data, validation, history }: Place): void {
  run.from = within
  run.data = data
  run.heldOut.prepare(run.op, validation)()
  run.history.epochs.push(...(history.epochs as readonly EpochRecord<M>[]))
  run.history.validations.push(...(history.validations as readonly ValidationRecord<M>[]))
  run.history.telemetry.push(...(history.telemetry ?? []))
  run.history.nonFinite = history.nonFinite
  run.history.stopped = history.stopped
}

/**
 * Throws ValueError if the place of a checkpoint lies beyond the end of the fit that should continue from it: its state
 * is not the one that the program asks for.
 */
export function checkReached(op: string, plan: Plan, { steps, epochs }: Place): void {
  const { first } = plan
  const ends = [
    ['steps', plan.steps - first.steps, steps - first.steps],
    ['epochs', plan.epochs - first.epochs, epochs - first.epochs],
  ] as const
  for (const [name, asked, done] of ends)
    if (done > asked)
      throw new ValueError(
        op,
        `${name} is ${asked}, but the run's checkpoint is ${name === 'steps' ? `after ${done} steps` : `in epoch ${done} or after it`}, and ${name} count from the ` +
          `beginning of the run; give at least ${done}, or begin a new run in another folder`,
      )
}

/** The number of passes that a fit may make. */
export function epochsOf({ epochs, steps, minutes }: FitOptions<unknown>): number {
  return epochs ?? (steps === undefined && minutes === undefined ? 1 : Number.POSITIVE_INFINITY)
}

/** The plan of a fit that began after this many epochs and steps and has already taken this many milliseconds. */
export function planOf(
  options: FitOptions<unknown>,
  first: { readonly epochs: number; readonly steps: number; readonly time: number },
): Plan {
  const { steps, minutes, validation, validateEvery } = options
  const began = performance.now() - first.time
  return {
    first: { ...first, began },
    epochs: first.epochs + epochsOf(options),
    steps: first.steps + (steps ?? Number.POSITIVE_INFINITY),
    time: began + (minutes ?? Number.POSITIVE_INFINITY) * 60_000,
    validation,
    validateEvery,
  }
}
