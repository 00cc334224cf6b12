/** Events of a training, and the loggers that are told them. */

interface Told {
  /** Milliseconds since 1970. */
  readonly time: number
  /** Steps that the Trainer has taken by then. */
  readonly step: number
  /** From 0. */
  readonly epoch: number
}

/** Numbers by name: `loss`, `validation.accuracy`. */
export interface Numbers {
  readonly [name: string]: number
}

/** A fit begins, or goes on from a checkpoint. */
export interface StartEvent extends Told {
  readonly type: 'start'
  readonly resumed: boolean
  /** Whether `resume` was asked for, but there is no checkpoint yet. */
  readonly checkpointMissing?: true
}

/**
 * Numbers of one step, or means since the event before: `loss`, `lr`, `itemsPerSecond`, `countedPerSecond` where the loss counts
 * something else than items, such as tokens, `waiting` (the share of the time in which the loop waited for data), `gradNorm`
 * (of this step, before it was clipped), `peakShare` (of the multiply-adds that the machine can do), `peakBytes` (the most that tensors took
 * since the program began).
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

/** The epoch's record, by paths, with the same means as a step's over the whole epoch. */
export interface EpochEvent extends Told {
  readonly type: 'epoch'
  readonly numbers: Numbers
}

/** A fit ends; `stopped` says why, if before its last epoch. */
export interface EndEvent extends Told {
  readonly type: 'end'
  readonly stopped: string | null
}

export type TrainingEvent = StartEvent | StepEvent | ValidationEvent | EpochEvent | EndEvent

/** How far the run was when a fit began: all 0 for a new one. */
export interface Reached {
  readonly steps: number
  /** Epochs that are complete. */
  readonly epochs: number
  /** The steps before the last validation; -1 without any. */
  readonly validated: number
}

/** A fit, as its loggers see it before the first event. */
export interface Session {
  /** Whether it goes on from a checkpoint. What was logged of it before and lies behind that is to be cut. */
  readonly resumed: boolean
  /** Whether it should go on from one, but there is none yet. */
  readonly checkpointMissing?: true
  readonly reached: Reached
  /** Paths of the numbers in an epoch's record. */
  readonly monitors: readonly string[]
  /** Infinity where the training ends otherwise. */
  readonly epochs: number
}

/**
 * Where the events of a training go. What a logger fails with once the training runs is told by one warning, and does not end
 * the training.
 */
export interface Logger {
  /** Throws where it cannot log, such as a path that cannot be written. */
  open?(session: Session): void | Promise<void>
  /** Must not wait: whatever takes time is to be done later. */
  log(event: TrainingEvent): void
  /** However the training ends; called once for each `open`. */
  close?(): void | Promise<void>
}

/** Whether an event is of the run as a checkpoint has it, and not of what is done again. */
export function isReached(
  { type, step, epoch }: Pick<TrainingEvent, 'type' | 'step' | 'epoch'>,
  reached: Reached,
): boolean {
  if (type === 'epoch') return epoch < reached.epochs
  if (type === 'validation') return step <= reached.validated
  return step <= reached.steps
}
