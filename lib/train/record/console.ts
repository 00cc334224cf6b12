/** Lines about a training for human readers, in a terminal or the log of a service. */
import { kindOf, ValueError } from '../../core/errors.js'
import { inNode } from '../../core/host.js'
import { checkFlag, checkOptions } from '../../core/options.js'
import type { Logger, Numbers, TrainingEvent } from './events.js'
import { process } from './system.js'

export interface ConsoleLoggerOptions {
  /** Whether steps and validations also get lines, rather than only epochs. Default false. */
  readonly steps?: boolean
  /** Default process.stdout, or in a browser its console. */
  readonly stream?: { write(text: string): unknown }
}

const units = ['', 'k', 'M', 'G', 'T'] as const

/** 12345 as 12.3k. */
function short(value: number): string {
  const power = Math.min(units.length - 1, Math.max(0, Math.floor(Math.log10(Math.abs(value)) / 3)))
  return Number.isFinite(power) && power > 0
    ? `${(value / 1000 ** power).toPrecision(3)}${units[power]}`
    : value.toPrecision(3)
}

const percent = (share: number) => `${(100 * share).toFixed(0)} %`

/** Numbers with their own form. */
const forms: { readonly [name: string]: (value: number) => string } = {
  itemsPerSecond: (value) => `${short(value)} items/s`,
  countedPerSecond: (value) => `${short(value)} counted/s`,
  waiting: (value) => `${percent(value)} waiting for data`,
  peakShare: (value) => `${percent(value)} of peak`,
  peakBytes: (value) => `${short(value)}B at most`,
  seconds: (value) => `${value.toFixed(1)} s`,
}

const listed = (numbers: Numbers) =>
  Object.entries(numbers)
    .map(([name, value]) => forms[name]?.(value) ?? `${name} ${value.toPrecision(4)}`)
    .join('  ')

const standard = () => (inNode ? process.stdout : { write: (text: string) => console.log(text.trimEnd()) })

/**
 * Writes a line for each epoch: its numbers, items per second, and the limiting factor. Throws ValueError for a stream
 * that cannot be written.
 */
export function consoleLogger(options: ConsoleLoggerOptions = {}): Logger {
  const op = 'consoleLogger'
  const { steps = false, stream = standard() } = checkOptions(op, options, { steps: true, stream: true })
  checkFlag(op, 'steps', steps)
  if (typeof stream?.write !== 'function')
    throw new ValueError(op, `the stream is ${kindOf(stream)}, but must be writable, such as process.stdout`)
  const lineOf = (event: TrainingEvent): string | null => {
    const at = `epoch ${event.epoch + 1}, step ${event.step}`
    switch (event.type) {
      case 'start':
        if (event.checkpointMissing) return 'starts from the beginning, because there is no checkpoint to resume from'
        return event.resumed ? `continues after step ${event.step}` : null
      case 'end':
        return event.stopped === null ? null : `stopped at step ${event.step}: ${event.stopped}`
      case 'epoch':
        return `${at}: ${listed(event.numbers)}`
      default:
        return steps ? `${at}: ${event.type === 'validation' ? 'validation ' : ''}${listed(event.numbers)}` : null
    }
  }
  return {
    log(event) {
      const line = lineOf(event)
      if (line !== null) stream.write(`${line}\n`)
    },
  }
}
