/** Events of a training, and the loggers that receive them. */

interface Told {
  /** Milliseconds since 1970. */
  readonly time: number
  /** The number of steps that the Trainer has taken by then. */
  readonly step: number
  /** The epoch's number, from 0. */
  readonly epoch: number
}

/** Numbers by name: `loss`, `validation.accuracy`. */
export interface Numbers {
  readonly [name: string]: number
}

/** A fit begins, or resumes from a checkpoint. */
export interface StartEvent extends Told {
  readonly type: 'start'
  readonly resumed: boolean
  /** Present if `resume` was asked for, but there is no checkpoint yet. */
  readonly checkpointMissing?: true
}

/**
 * Numbers of one step, or means since the event before. They are `loss`, `lr`, `itemsPerSecond` and `waiting`, the
 * share of the time in which the loop waited for data. `countedPerSecond` is there if the loss counts units other than
 * items, such as tokens. `gradNorm` is that of this step, before clipping. `peakShare` is the share of the machine's
 * peak of multiply-adds. `peakBytes` is the largest number of bytes in tensors since the program began.
 */
export interface StepEvent extends Told {
  readonly type: 'step'
  readonly numbers: Numbers
}

/** Loss and metrics of a validation. */
export interface ValidationEvent extends Told {
  readonly type: 'validation'
  readonly numbers: Numbers
}

/** The epoch's record, by paths, with the same means as a step's, over the whole epoch. */
export interface EpochEvent extends Told {
  readonly type: 'epoch'
  readonly numbers: Numbers
}

/** A fit ends. `stopped` gives the reason if this is before its last epoch. */
export interface EndEvent extends Told {
  readonly type: 'end'
  readonly stopped: string | null
}

export type TrainingEvent = StartEvent | StepEvent | ValidationEvent | EpochEvent | EndEvent

/** The progress of the run when a fit began: all 0 for a new one. */
export interface Reached {
  readonly steps: number
  /** The number of complete epochs. */
  readonly epochs: number
  /** The number of steps before the last validation, or -1 without any. */
  readonly validated: number
}

/** A fit in the form for its loggers, before the first event. */
export interface Session {
  /** Whether the fit resumes from a checkpoint. Earlier log entries for anything after that checkpoint must be cut. */
  readonly resumed: boolean
  /** Present if the fit should resume, but there is no checkpoint yet. */
  readonly checkpointMissing?: true
  readonly reached: Reached
  /** Paths of the numbers in an epoch's record. */
  readonly monitors: readonly string[]
  /** Infinity if another limit ends the training. */
  readonly epochs: number
}

/**
 * A receiver of a training's events. An error in a logger during the training is reported by one warning, and does not
 * end the training.
 */
export interface Logger {
  /** Throws if it cannot log, for example because a path cannot be written. */
  open?(session: Session): void | Promise<void>
  /** Must not wait. Slow work must be done later. */
  log(event: TrainingEvent): void
  /**
   * Writes the events so far. Called before a checkpoint is complete, because a killed run that resumes from it does not
   * make them again.
   */
  flush?(): void | Promise<void>
  /** Called once for each `open`, however the training ends. */
  close?(): void | Promise<void>
}

/** Whether an event belongs to the run up to the checkpoint, rather than to the part that is done again. */
export function isReached(
  { type, step, epoch }: Pick<TrainingEvent, 'type' | 'step' | 'epoch'>,
  reached: Reached,
): boolean {
  if (type === 'epoch') return epoch < reached.epochs
  if (type === 'validation') return step <= reached.validated
  return step <= reached.steps
}
