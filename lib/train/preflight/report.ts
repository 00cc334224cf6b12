/** The report of a check. */
import { printed } from '../../core/host.js'
import type { Cut } from './graph.js'
import type { LabelRecord } from './labels.js'
import type { OverlapRecord } from './overlap.js'
import { formatBytes, type MemoryPrediction } from './predict.js'

export interface Finding {
  /** A fault wastes the training. A warning may describe something intended. */
  readonly level: 'fault' | 'warning'
  readonly about: 'loss' | 'gradients' | 'overfit' | 'labels' | 'rows' | 'memory'
  /** The finding in words, with the remedy. */
  readonly text: string
}

export interface CheckResults {
  /**
   * The loss of the batch before any step, beside the loss of guessing. That is ln of the number of classes, or null if
   * the loss function does not tell it.
   */
  readonly loss: { readonly first: number; readonly chance: number | null; readonly classes: number | null } | null
  /** Parameters that learn, those that get a gradient from the loss, and the reasons why others get none. */
  readonly gradients: {
    readonly learning: number
    readonly reached: number
    readonly cut: readonly Cut[]
    /** Paths of parameters whose gradient is 0 everywhere. */
    readonly zero: readonly string[]
    /** Paths of parameters whose gradient is not finite. */
    readonly nonFinite: readonly string[]
  } | null
  /** The losses of steps on one batch, by the Trainer's optimizer with a fresh state, or null if none was tried. */
  readonly overfit: { readonly losses: readonly number[] } | null
  readonly labels: LabelRecord | null
  readonly rows: OverlapRecord | null
  readonly memory: MemoryPrediction | null
  /**
   * The measured seconds of a step, and the seconds of an epoch as predicted from it, or null if the number of batches
   * is unknown.
   */
  readonly time: { readonly step: number; readonly epoch: number | null } | null
}

/** The report of `Trainer.check`. `console.log` prints everything in lines, which are also its text form. */
export class CheckReport implements CheckResults {
  readonly findings: readonly Finding[]
  readonly loss: CheckResults['loss']
  readonly gradients: CheckResults['gradients']
  readonly overfit: CheckResults['overfit']
  readonly labels: LabelRecord | null
  readonly rows: OverlapRecord | null
  readonly memory: MemoryPrediction | null
  readonly time: CheckResults['time']

  constructor(results: CheckResults, findings: readonly Finding[]) {
    this.findings = findings
    this.loss = results.loss
    this.gradients = results.gradients
    this.overfit = results.overfit
    this.labels = results.labels
    this.rows = results.rows
    this.memory = results.memory
    this.time = results.time
  }

  /** Whether no fault was found, that is, nothing that wastes the training. */
  get ok(): boolean {
    return this.findings.every(({ level }) => level !== 'fault')
  }

  toString(): string {
    const faults = this.findings.filter(({ level }) => level === 'fault').length
    const rows = Object.entries(this.#lines()).filter(([, text]) => text !== null)
    return [
      `Check: ${plural(faults, 'fault')}, ${plural(this.findings.length - faults, 'warning')}`,
      ...rows.map(([name, text]) => `  ${name.padEnd(11)}${text}`),
      ...this.findings.map(({ level, about, text }) => `  ${level} (${about}): ${text}`),
    ].join('\n')
  }

  [printed](): string {
    return this.toString()
  }

  #lines(): { readonly [name: string]: string | null } {
    const { loss, gradients, overfit, labels, rows, memory, time } = this
    const losses = overfit?.losses ?? []
    return {
      loss:
        loss &&
        `${short(loss.first)} at first${loss.chance === null ? '' : `; chance gives ${short(loss.chance)} (${loss.classes} classes)`}`,
      gradients: gradients && `at ${gradients.reached} of ${plural(gradients.learning, 'parameter')} that learn`,
      overfit:
        overfit &&
        `${short(losses[0] ?? Number.NaN)} to ${short(losses.at(-1) ?? Number.NaN)} in ${losses.length - 1} steps on one batch`,
      labels:
        labels &&
        `${labels.count}, ${percent(labels.ignored)} ignored, ${labels.outOfRange} out of range, ${labels.neverSeenCount} of ${labels.classes} classes never seen, ${percent(labels.largestShare)} of the most frequent`,
      rows:
        rows &&
        `${rows.both} of ${rows.validation} of the validation are among ${rows.training} of the training${rows.isComplete ? '' : ' that were looked at'}`,
      memory: memory && `${formatBytes(memory.peak)} at the peak, and ${formatBytes(memory.others)} besides`,
      time:
        time &&
        `${(1000 * time.step).toPrecision(3)} ms a step${time.epoch === null ? '' : `, ${duration(time.epoch)} an epoch`}`,
    }
  }
}

const short = (value: number) => String(Number(value.toPrecision(4)))
const percent = (share: number) => `${(100 * share).toFixed(1)}%`
const plural = (count: number, what: string) => `${count} ${what}${count === 1 ? '' : 's'}`

function duration(seconds: number): string {
  if (seconds < 60) return `${seconds.toPrecision(2)} s`
  return seconds < 3600 ? `${(seconds / 60).toFixed(1)} minutes` : `${(seconds / 3600).toFixed(1)} hours`
}
