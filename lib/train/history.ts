/** The history of a training, and the records of its steps. */
import { printed } from '../core/host.js'
import { plotEpochs } from './plot.js'
import type { MemoryChoice } from './preflight/budget.js'
import { summarize } from './progress.js'

/** A step that was submitted. Its numbers are still on the device. */
export interface StepRecord {
  /** The epoch's number, from 0. */
  readonly epoch: number
  /** The step's number within the epoch, from 0. */
  readonly index: number
  /** The step's number over all epochs, from 0. */
  readonly step: number
  /** Items in the batches of the step. */
  readonly items: number
  /** The loss, once it has arrived. Waiting for it at every step makes the training slower. */
  loss(): Promise<number>
  /** The number of rows or tokens over which the loss is a mean, once it has arrived. */
  counted(): Promise<number>
}

/**
 * The values of a record under the names of metrics. They are `Any` if the metrics are unknown, because any name may be
 * one.
 */
type Measured<M extends string, Any> = { readonly [metric in M]: string extends M ? Any : number }

/**
 * Numbers of a pass: every metric, and the summed losses divided by their count, which is the number of rows in the
 * short form. M names the metrics of the Trainer that measured them, and any other name does not compile. Without M any
 * name may be a metric's.
 */
export type PassRecord<M extends string = string> = { readonly loss: number } & Measured<M, number>

/** Numbers of an epoch: those of its training, and those of the validation after it. M is that of `PassRecord`. */
export type EpochRecord<M extends string = string> = {
  /** The epoch's number, from 0. A second `fit` of a Trainer continues the count of the first. */
  readonly epoch: number
  readonly loss: number
  readonly seconds: number
  readonly lr: number
  readonly validation?: PassRecord<M>
} & Measured<M, number | PassRecord | undefined>

/** Numbers of a validation within a training, measured after a step. */
export type ValidationRecord<M extends string = string> = PassRecord<M> & {
  /** The epoch's number, from 0, as in the epoch's record. */
  readonly epoch: number
  /** The number of the Trainer's steps before it. */
  readonly step: number
}

/** The first loss that was not finite. */
export interface NonFinite {
  /** The epoch's number, from 0. */
  readonly epoch: number
  /** The batch's number within the epoch, from 0, or null for a validation's mean. */
  readonly index: number | null
  readonly loss: number
}

/**
 * Measurements of an epoch's training, without its validations. If the epoch was interrupted, they begin where the fit
 * resumed.
 */
export interface Telemetry {
  /** The epoch's number, from 0, as in the epoch's record. */
  readonly epoch: number
  readonly itemsPerSecond: number
  /** Present if the loss counts units other than items, such as tokens. */
  readonly countedPerSecond?: number
  /** The share of the time in which the loop waited for data, in [0, 1]. */
  readonly waiting: number
  /**
   * The share of the machine's peak of multiply-adds, in [0, 1]. Present with a run or loggers, if the peak is known.
   */
  readonly peakShare?: number
  /** The largest number of bytes in tensors since the program began. */
  readonly peakBytes: number
}

/** `console.log` prints it, and its text form is, one line for each epoch, with a plot of the curves. */
export interface History<M extends string = string> {
  readonly epochs: readonly EpochRecord<M>[]
  /** Records of all validations: one for each epoch, or at the steps that `validateEvery` gives. */
  readonly validations: readonly ValidationRecord<M>[]
  /** One for each epoch. */
  readonly telemetry: readonly Telemetry[]
  /**
   * The reason why the training ended before its last epoch: a callback's text, or `aborted: ...`, `failed: ...`;
   * otherwise null.
   */
  readonly stopped: string | null
  /** The place at which the loss first was NaN or infinite, or null. */
  readonly nonFinite: NonFinite | null
  /**
   * The choice for the largest batch that makes the training fit in the `memory` given to `fit`; null without that
   * option.
   */
  readonly memory: MemoryChoice | null
}

/** The history of a fit so far. */
export class TrainingHistory<M extends string> implements History<M> {
  readonly epochs: EpochRecord<M>[] = []
  readonly validations: ValidationRecord<M>[] = []
  readonly telemetry: Telemetry[] = []
  stopped: string | null = null
  nonFinite: NonFinite | null = null
  memory: MemoryChoice | null = null

  toString(): string {
    const lines = this.epochs.map(
      (record) => `  epoch ${record.epoch + 1}: ${summarize(record)}  lr ${record.lr}  ${record.seconds.toFixed(1)} s`,
    )
    if (this.memory !== null) lines.push(`  memory: ${this.memory}`)
    if (this.stopped !== null) lines.push(`  stopped: ${this.stopped}`)
    if (this.nonFinite !== null) {
      const { epoch, index, loss } = this.nonFinite
      lines.push(`  first ${loss}: epoch ${epoch + 1}, ${index === null ? 'validation' : `batch ${index + 1}`}`)
    }
    if (lines.length === 0) return 'History {}'
    const curves = plotEpochs(this.epochs)
    return `History {\n${lines.join('\n')}${curves === '' ? '' : `\n${curves.replaceAll(/^/gm, '  ')}`}\n}`
  }

  [printed](): string {
    return this.toString()
  }
}

/** Paths of the numbers in an epoch's record. */
export function monitorsOf(metrics: readonly string[], validated: boolean): readonly string[] {
  const measured = ['loss', ...metrics]
  return [...measured, ...(validated ? measured.map((name) => `validation.${name}`) : []), 'lr', 'seconds', 'epoch']
}
