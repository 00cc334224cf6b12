/** A progress bar in a terminal. Elsewhere it shows nothing. */
import type { SingleBar } from 'cli-progress'
import { kindOf, ValueError } from '../core/errors.js'
import { inNode, nodeModule } from '../core/host.js'
import type { Callback, TrainingContext } from './callbacks.js'
import type { EpochRecord } from './history.js'
import { plotEpochs } from './plot.js'

// Loaded only in a terminal, because it takes a fifth of an import's time.
const cliProgress = () =>
  nodeModule('node:module').createRequire(import.meta.url)('cli-progress') as typeof import('cli-progress')

/** `loss 0.1234  accuracy 0.98  validation.loss 0.11` */
export function summarize(record: EpochRecord): string {
  const numbers: string[] = []
  const visit = (value: unknown, path: string) => {
    if (typeof value === 'number') numbers.push(`${path} ${value.toPrecision(4)}`)
    else if (value !== null && typeof value === 'object')
      for (const [key, inner] of Object.entries(value)) visit(inner, path ? `${path}.${key}` : key)
  }
  const { epoch: _epoch, seconds: _seconds, lr: _lr, ...rest } = record
  visit(rest, '')
  return numbers.join('  ')
}

/**
 * Shows epoch, steps, speed and the last epoch's numbers, and at the end a plot of the curves. Silent in a browser, and
 * if the stream is not a terminal. Throws ValueError for a stream that cannot be written.
 */
export function progressBar(
  stream: NodeJS.WriteStream | undefined = inNode ? nodeModule('node:process').stderr : undefined,
): Callback {
  if (stream === undefined) return {}
  if (typeof stream?.write !== 'function')
    throw new ValueError('progressBar', `the stream is ${kindOf(stream)}, but must be writable, such as process.stderr`)
  if (!stream.isTTY) return {}
  let bar: SingleBar | null = null
  let done = ''
  const epochs: EpochRecord[] = []
  const open = (context: TrainingContext, epoch: number) => {
    bar = new (cliProgress().SingleBar)({
      stream,
      format: `epoch ${epoch + 1}/${context.epochs} {bar} {value}/{total} steps  {duration_formatted}  {numbers}`,
      hideCursor: true,
      clearOnComplete: false,
      fps: 10,
    })
    bar.start(context.stepsPerEpoch ?? 0, 0, { numbers: done })
  }
  return {
    onStep(step, context) {
      if (bar === null) open(context, step.epoch)
      bar?.update(step.index + 1)
    },
    onEpochEnd(epoch) {
      done = summarize(epoch)
      epochs.push(epoch)
      bar?.update({ numbers: done })
      bar?.stop()
      bar = null
    },
    onEnd() {
      bar?.stop()
      bar = null
      const curves = plotEpochs(epochs.splice(0), { within: stream.columns || 80 })
      if (curves !== '') stream.write(`${curves}\n`)
    },
  }
}
