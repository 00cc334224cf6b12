/** Events as lines of a file: JSON, or a table for a spreadsheet. */

import { makeFolder } from '../../io/folders.js'
import { checkPath } from '../../io/refusal.js'
import { Appender } from './appender.js'
import { isReached, type Logger, type Reached, type TrainingEvent } from './events.js'
import { Buffer, createReadStream, dirname, stat } from './system.js'

/** JSON has no form for these numbers, so they become texts. */
const words = (_key: string, value: unknown) =>
  typeof value === 'number' && !Number.isFinite(value) ? String(value) : value

export const lineOf = (event: TrainingEvent): string => `${JSON.stringify(event, words)}\n`

/** The event in a line, or null if it has none. */
export function eventOf(line: string): TrainingEvent | null {
  try {
    const event = JSON.parse(line) as TrainingEvent | null
    return typeof event?.type === 'string' && Number.isFinite(event.step) && Number.isFinite(event.epoch) ? event : null
  } catch {
    return null
  }
}

/**
 * The number of bytes in a file's first complete lines that all fulfil a condition, or 0 if there is no file. Events
 * are in the order of time, so all events after the first unreached one will happen again.
 */
export async function reachedBytes(path: string, stays: (line: string, index: number) => boolean): Promise<number> {
  if ((await stat(path).catch(() => null)) === null) return 0
  let kept = 0
  let index = 0
  let rest: Buffer = Buffer.alloc(0)
  for await (const chunk of createReadStream(path)) {
    const bytes = Buffer.concat([rest, chunk as Buffer])
    let from = 0
    for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10, from)) {
      if (!stays(bytes.toString('utf8', from, end), index++)) return kept
      kept += end + 1 - from
      from = end + 1
    }
    rest = bytes.subarray(from)
  }
  return kept
}

/** The largest number of steps in the events of a file, or 0 if there are none. */
export async function toldSteps(path: string): Promise<number> {
  let most = 0
  await reachedBytes(path, (line) => {
    const event = eventOf(line)
    if (event !== null && event.type !== 'start' && event.type !== 'end') most = Math.max(most, event.step)
    return true
  })
  return most
}

/** The number of bytes of the events that a run had reached. */
function reachedEvents(path: string, reached: Reached): Promise<number> {
  return reachedBytes(path, (line) => {
    const event = eventOf(line)
    return event !== null && isReached(event, reached)
  })
}

/**
 * Writes each event as a line of JSON (NaN and infinite numbers as texts), which is the form of `events.jsonl` in a
 * run's folder. A resumed run adds to the file, and any other run replaces it.
 */
export function jsonLines(path: string): Logger {
  const op = 'jsonLines'
  checkPath(op, 'write', path)
  let file: Appender | null = null
  return {
    async open({ reached }) {
      await makeFolder(op, dirname(path))
      file = await Appender.open(op, path, reached.steps === 0 ? 0 : await reachedEvents(path, reached))
    },
    log(event) {
      file?.append(lineOf(event))
    },
    flush: () => file?.flush(),
    async close() {
      await file?.close()
      file = null
    },
  }
}
