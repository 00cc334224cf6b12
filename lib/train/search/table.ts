/**
 * The table of a search on the disk: `search.json` describes the search, and `trials.jsonl` has a line for each
 * completed trial at each rung. A line is on the disk before the next trial begins, so a search that was killed
 * continues after it.
 */
import type { FileHandle } from 'node:fs/promises'
import { ValueError } from '../../core/errors.js'
import { writeAtomically } from '../../io/atomic.js'
import { readJson } from '../../io/json.js'
import { refusal } from '../../io/refusal.js'
import { reachedBytes } from '../record/lines.js'
import { Buffer, join, open, stat } from '../record/system.js'
import type { Setting } from './space.js'
import type { Curve } from './trial.js'

/** The end of a trial. */
export interface TrialRecord<V = { readonly [name: string]: Setting }> {
  /** The trial's number, from 0. */
  readonly trial: number
  /** The rung of successive halving at which it ended, from 0. */
  readonly rung: number
  /** The number of passes planned for it. */
  readonly epochs: number
  readonly values: V
  /** 'pruned': its training was ended before its last epoch. 'failed': it threw, or its number was not finite. */
  readonly state: 'done' | 'pruned' | 'failed'
  /** The searched number. Null if the trial failed, or was pruned before there was a number. */
  readonly value: number | null
  /** The reason why it was pruned or failed, otherwise null. */
  readonly reason: string | null
  /** The values of the monitored number after each epoch that the trial reported. */
  readonly curve: Curve
  readonly seconds: number
}

const states: readonly unknown[] = ['done', 'pruned', 'failed']
const isNumber = (value: unknown): boolean => typeof value === 'number'

function recordOf(line: string): TrialRecord | null {
  try {
    const record = JSON.parse(line) as Partial<TrialRecord> | null
    const { trial, rung, epochs, values, state, value, reason, curve, seconds } = record ?? {}
    const isWhole =
      [trial, rung, epochs, seconds].every(isNumber) &&
      typeof values === 'object' &&
      values !== null &&
      states.includes(state) &&
      (isNumber(value) || (value === null && state !== 'done')) &&
      (reason === null || typeof reason === 'string') &&
      Array.isArray(curve) &&
      curve.every((pair: unknown) => Array.isArray(pair) && pair.length === 2 && pair.every(isNumber))
    return isWhole ? (record as TrialRecord) : null
  } catch {
    return null
  }
}

const keyOf = (trial: number, rung: number): string => `${trial}/${rung}`

export class Table {
  readonly #op: string
  readonly #path: string
  readonly #file: FileHandle
  readonly #records: Map<string, TrialRecord>
  #end: number

  private constructor(op: string, path: string, file: FileHandle, records: Map<string, TrialRecord>, end: number) {
    this.#op = op
    this.#path = path
    this.#file = file
    this.#records = records
    this.#end = end
  }

  /**
   * Opens the table of a folder, or begins it. Throws ValueError if the folder holds another search, or a line that
   * does not belong to a search. A last line that a kill cut short is dropped, and its trial runs again.
   */
  static async open(op: string, folder: string, what: { readonly [name: string]: unknown }): Promise<Table> {
    const described = join(folder, 'search.json')
    const path = join(folder, 'trials.jsonl')
    if (await exists(described)) checkSame(op, folder, (await readJson(op, described)) as object, what)
    else if (await exists(path))
      throw new ValueError(
        op,
        `${folder} has a trials.jsonl, but no search.json, which describes its search; name another folder`,
      )
    else await writeAtomically(described, [Buffer.from(`${JSON.stringify(what, null, 2)}\n`)], op)
    const records = new Map<string, TrialRecord>()
    const end = await reachedBytes(path, (line, index) => {
      const record = recordOf(line)
      if (record === null)
        throw new ValueError(
          op,
          `${path}, line ${index + 1}, is not a record of a trial; remove that line to run the trial again`,
        )
      records.set(keyOf(record.trial, record.rung), record)
      return true
    })
    try {
      const file = await open(path, end === 0 ? 'w' : 'r+')
      await file.truncate(end)
      return new Table(op, path, file, records, end)
    } catch (error) {
      throw refusal(op, 'write', path, error)
    }
  }

  get(trial: number, rung: number): TrialRecord | undefined {
    return this.#records.get(keyOf(trial, rung))
  }

  /** Adds a record. It is on the disk when the promise resolves. */
  async add(record: TrialRecord): Promise<void> {
    const bytes = Buffer.from(`${JSON.stringify(record)}\n`)
    try {
      for (let done = 0; done < bytes.length; ) {
        const { bytesWritten } = await this.#file.write(bytes, done, bytes.length - done, this.#end + done)
        if (bytesWritten === 0) throw Object.assign(new Error('the system wrote none of the bytes'), { errno: 0 })
        done += bytesWritten
      }
      await this.#file.sync()
    } catch (error) {
      throw refusal(this.#op, 'write', this.#path, error)
    }
    this.#end += bytes.length
    this.#records.set(keyOf(record.trial, record.rung), record)
  }

  close(): Promise<void> {
    return this.#file.close()
  }
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => null)) !== null
}

/** Throws ValueError unless the folder's search is this one. */
function checkSame(op: string, folder: string, before: object, now: { readonly [name: string]: unknown }): void {
  // The value goes through JSON, as the stored one did.
  const wanted = JSON.parse(JSON.stringify(now)) as { readonly [name: string]: unknown }
  for (const [name, value] of Object.entries(wanted)) {
    const had: unknown = (before as { readonly [name: string]: unknown } | null)?.[name]
    if (JSON.stringify(had) !== JSON.stringify(value))
      throw new ValueError(
        op,
        `${folder} has a search whose ${name} is ${JSON.stringify(had)}, but is now ${JSON.stringify(value)}; ` +
          'name another folder, or remove this one',
      )
  }
}
