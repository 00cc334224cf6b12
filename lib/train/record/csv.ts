/** Events of one kind as a table. */
import { shown, ValueError } from '../../core/errors.js'
import { checkOptions } from '../../core/options.js'
import { makeFolder } from '../../io/folders.js'
import { checkPath } from '../../io/refusal.js'
import { Appender } from './appender.js'
import { isReached, type Logger } from './events.js'
import { reachedBytes } from './lines.js'
import { dirname } from './system.js'

export interface CsvLoggerOptions {
  /** The kind of events that become rows: 'epoch' (default), 'step' or 'validation'. */
  readonly rows?: 'epoch' | 'step' | 'validation'
}

const rates = ['itemsPerSecond', 'countedPerSecond', 'waiting', 'peakShare', 'peakBytes'] as const

const cell = (text: string) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text)

/**
 * Writes a table with a row for each epoch, or for each reported step or validation. An unknown number leaves its cell
 * empty. A resumed run adds to its table, and any other run replaces it. Throws ValueError for a table whose columns
 * differ from the run's.
 */
export function csvLogger(path: string, options: CsvLoggerOptions = {}): Logger {
  const op = 'csvLogger'
  checkPath(op, 'write', path)
  const { rows = 'epoch' } = checkOptions(op, options, { rows: true })
  if (rows !== 'epoch' && rows !== 'step' && rows !== 'validation')
    throw new ValueError(op, `rows are ${shown(rows)}, but must be 'epoch', 'step' or 'validation'`)
  let file: Appender | null = null
  let names: readonly string[] = []
  return {
    async open({ reached, monitors }) {
      const measured = monitors.filter((name) => name !== 'epoch')
      names = {
        epoch: [...measured, ...rates],
        step: ['loss', 'lr', 'gradNorm', ...rates],
        validation: measured.flatMap((name) => (name.startsWith('validation.') ? [name.slice(11)] : [])),
      }[rows]
      const header = ['epoch', 'step', 'time', ...names].map(cell).join(',')
      await makeFolder(op, dirname(path))
      const stays = (line: string, index: number) => {
        if (index > 0) {
          const [epoch, step] = line.split(',').map(Number)
          return isReached({ type: rows, epoch: epoch as number, step: step as number }, reached)
        }
        if (line === header) return true
        throw new ValueError(op, `${path} has the columns ${line}, but this run has ${header}; name another file`)
      }
      const kept = reached.steps === 0 ? 0 : await reachedBytes(path, stays)
      file = await Appender.open(op, path, kept)
      if (kept === 0) file.append(`${header}\n`)
    },
    log(event) {
      if (event.type !== rows) return
      const values = names.map((name) => event.numbers[name]?.toString() ?? '')
      file?.append(`${[event.epoch, event.step, new Date(event.time).toISOString(), ...values].join(',')}\n`)
    },
    flush: () => file?.flush(),
    async close() {
      await file?.close()
      file = null
    },
  }
}
