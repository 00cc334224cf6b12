/** The history of a training, and the records of its steps. */
import { printed } from '../core/host.js'
import { plotEpochs } from './plot.js'
import type { MemoryChoice } from './preflight/budget.js'
import { summarize } from './progress.js'

/** A step that was submitted. Its numbers are on the device still. */
export interface StepRecord {
  /** From 0. */
  readonly epoch: number
  /** Within the epoch, from 0. */
  readonly index: number
  /** Over all epochs, from 0. */
  readonly step: number
  /** Items in the batches of the step. */
  readonly items: number
  /** The loss, once it is there; waiting for it at every step makes the training slower. */
  loss(): Promise<number>
  /** The rows or tokens that the loss is a mean over, once it is there. */
  counted(): Promise<number>
}

/** The values of a record under the names of metrics. They are `Any` where the metrics are unknown, because any name may be one. */
type Measured<M extends string, Any> = { readonly [metric in M]: string extends M ? Any : number }

/**
 * Numbers of a pass: the summed losses over what they count, in the short form the rows, and every metric. M names the metrics of the Trainer that measured them: another
 * name does not compile. Without M any name may be a metric's.
 */
export type PassRecord<M extends string = string> = { readonly loss: number } & Measured<M, number>

/** Numbers of an epoch: those of its training, and of the validation after it. M is as of `PassRecord`. */
export type EpochRecord<M extends string = string> = {
  /** From 0; a second `fit` of a Trainer goes on where the first ended. */
  readonly epoch: number
  readonly loss: number
  readonly seconds: number
  readonly lr: number
  readonly validation?: PassRecord<M>
} & Measured<M, number | PassRecord | undefined>

/** Numbers of a validation within a training, measured behind a step. */
export type ValidationRecord<M extends string = string> = PassRecord<M> & {
  /** From 0, as in the epoch's record. */
  readonly epoch: number
  /** Steps of the Trainer before it. */
  readonly step: number
}

/** The first loss that was not finite. */
export interface NonFinite {
  /** From 0. */
  readonly epoch: number
  /** The batch's number within the epoch, from 0; null for a validation's mean. */
  readonly index: number | null
  readonly loss: number
}

/** The measurements of an epoch's training, its validations left out; of an epoch that was cut, those since the fit went on. */
export interface Telemetry {
  /** From 0, as in the epoch's record. */
  readonly epoch: number
  readonly itemsPerSecond: number
  /** Where the loss counts something else than items, such as tokens. */
  readonly countedPerSecond?: number
  /** The share of the time in which the loop waited for data, in [0, 1]. */
  readonly waiting: number
  /** The share of the multiply-adds that the machine can do, in [0, 1]; with a run or loggers, where it is known. */
  readonly peakShare?: number
  /** The most bytes that tensors took since the program began. */
  readonly peakBytes: number
}

/** `console.log` of it, and it as text, is a line an epoch, with a plot of the curves. */
export interface History<M extends string = string> {
  readonly epochs: readonly EpochRecord<M>[]
  /** Records of all validations: one an epoch, or as `validateEvery` says. */
  readonly validations: readonly ValidationRecord<M>[]
  /** One an epoch. */
  readonly telemetry: readonly Telemetry[]
  /** Why the training ended before its last epoch: what a callback said, or `aborted: ...`, `failed: ...`; or null. */
  readonly stopped: string | null
  /** Where the loss first was NaN or infinite, or null. */
  readonly nonFinite: NonFinite | null
  /** The choice for the largest batch by which the training fits in the `memory` that `fit` was given; null without. */
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
