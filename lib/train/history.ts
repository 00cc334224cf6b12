/** What a training leaves behind, and what its steps tell. */

/** A step that was submitted. Its numbers are on the device still. */
export interface StepRecord {
  /** From 0. */
  readonly epoch: number
  /** Within the epoch, from 0. */
  readonly index: number
  /** Over all epochs, from 0. */
  readonly step: number
  /** Items in the batch. */
  readonly items: number
  /** The loss, once it is there; waiting for it at every step makes the training slower. */
  loss(): Promise<number>
}

/** Numbers of a pass: the mean loss over items, and every metric. */
export interface PassRecord {
  readonly loss: number
  readonly [metric: string]: number
}

export interface EpochRecord {
  readonly epoch: number
  readonly loss: number
  readonly seconds: number
  readonly lr: number
  readonly validation?: PassRecord
  readonly [metric: string]: number | PassRecord | undefined
}

export interface History {
  readonly epochs: readonly EpochRecord[]
  /** Why the training ended before its last epoch, or null. */
  readonly stopped: string | null
}
