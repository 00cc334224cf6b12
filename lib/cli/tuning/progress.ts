/** The progress of a training, with the remaining time. */
import type { Logger, Numbers } from '../../train/record/events.js'
import { durationText } from '../words.js'

interface ProgressOptions {
  /** Null if only time ends the training. */
  readonly totalSteps: () => number | null
  readonly minutes: number | undefined
  readonly stream: NodeJS.WriteStream
  /** The units that a loss counts. Default: tokens. */
  readonly counted?: string
  /** Milliseconds since 1970. Default: the clock's. */
  readonly now?: () => number
}

/** Milliseconds between two lines outside of a terminal. */
const pause = 10_000

const numberText = (value: number) =>
  Math.abs(value) < 1e-3 && value !== 0 ? value.toExponential(1) : value.toPrecision(4)

function numbersText(numbers: Numbers, counted: string): string {
  const shown = ['loss', 'validation.loss', 'lr'].flatMap((name) =>
    numbers[name] === undefined ? [] : [`${name} ${numberText(numbers[name])}`],
  )
  const { countedPerSecond } = numbers
  return [...shown, ...(countedPerSecond === undefined ? [] : [`${Math.round(countedPerSecond)} ${counted}/s`])].join(
    '  ',
  )
}

/**
 * Writes one line that is overwritten in a terminal. Elsewhere it writes a line from time to time, and one for each
 * epoch and validation.
 */
export function progressLogger({
  totalSteps,
  minutes,
  stream,
  counted = 'tokens',
  now = Date.now,
}: ProgressOptions): Logger {
  let [began, first, told, total] = [now(), 0, 0, null as number | null]
  let open = false
  const write = (text: string, isLasting: boolean) => {
    if (stream.isTTY) stream.write(`\r\u001b[2K${text}${isLasting ? '\n' : ''}`)
    else stream.write(`${text}\n`)
    open = stream.isTTY && !isLasting
  }
  const left = (step: number): string => {
    const passed = (now() - began) / 1000
    const byTime = minutes === undefined ? Number.POSITIVE_INFINITY : 60 * minutes - passed
    const bySteps =
      total === null || step <= first ? Number.POSITIVE_INFINITY : (passed * (total - step)) / (step - first)
    const seconds = Math.max(0, Math.min(byTime, bySteps))
    return Number.isFinite(seconds) ? `  ${durationText(seconds)} left` : ''
  }
  return {
    open(session) {
      ;[began, first, told, total] = [now(), session.reached.steps, now(), totalSteps()]
    },
    log(event) {
      const at = `epoch ${event.epoch + 1}  step ${event.step}${total === null ? '' : `/${total}`}`
      if (event.type === 'start' && event.resumed) write(`continues after step ${event.step}`, true)
      if (event.type === 'step' && (stream.isTTY || now() - told >= pause)) {
        told = now()
        write(`${at}  ${numbersText(event.numbers, counted)}${left(event.step)}`, false)
      }
      if (event.type === 'validation') write(`${at}  validation: ${numbersText(event.numbers, counted)}`, true)
      if (event.type === 'epoch') write(`${at}  ${numbersText(event.numbers, counted)}`, true)
    },
    close() {
      if (open) stream.write('\n')
      open = false
    },
  }
}
