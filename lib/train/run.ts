/** A training under way. */
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
  /** The last epoch's. */
  pass: Pass<M> | null
  /** Where the next epoch goes on; null for its beginning. */
  from: Within | null
  thrift: Thrift
  /** Chooses `thrift`; null where no memory was named. */
  budget: Budget | null
  /** Whether a loss was not finite, so that the next step is to be watched. */
  suspects: boolean
  /** Where the next pass goes on in the data, as the checkpoint has it; null for what comes by itself. */
  data: unknown
  /** The measurements of a fit, and the events for loggers; null for steps alone. */
  journal: Journal | null
  /** Whether the checkpoint of the fit's end is written, which a longer fit goes on from. */
  isSaved: boolean
  heldOut: HeldOut
  /** The place in the data that the pass has now, where they know it. */
  loader: () => unknown
}

/** Where a fit ends, and when it validates. */
export interface Plan {
  /** Where it began, before it was cut too. */
  readonly first: { readonly epochs: number; readonly steps: number; readonly began: number }
  /** Epochs of the Trainer, those before this fit among them. */
  readonly epochs: number
  /** Steps of the Trainer. */
  readonly steps: number
  /** By performance.now(). */
  readonly time: number
  readonly validation: Batches<unknown> | undefined
  readonly validateEvery: number | undefined
}

/** Takes up a run where a checkpoint has it. */
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

/** Passes that a fit may make. */
export function epochsOf({ epochs, steps, minutes }: FitOptions<unknown>): number {
  return epochs ?? (steps === undefined && minutes === undefined ? 1 : Number.POSITIVE_INFINITY)
}

/** The plan of a fit that began with so many epochs and steps, and took so many milliseconds already. */
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
