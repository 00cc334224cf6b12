/**
 * A run as a folder: `run.json` says what it is, `events.jsonl` what happened, `checkpoints/` has what it goes on from. One fit at
 * a time has it.
 */
import { ValueError } from '../../core/errors.js'
import { writeAtomically } from '../../io/atomic.js'
import type { Logger } from './events.js'
import { jsonLines, toldSteps } from './lines.js'
import { FolderLock } from './lock.js'
import { makeFolder } from './place.js'
import { Buffer, join, readFile } from './system.js'

/** The form of `run.json`: the run, and each fit that worked on it. */
interface RunFile {
  readonly format: 1
  readonly sessions: readonly object[]
}

export class RunFolder {
  readonly #op: string
  readonly #folder: string
  readonly #lock: FolderLock
  /** Writes `events.jsonl`. */
  readonly events: Logger

  private constructor(op: string, folder: string, lock: FolderLock) {
    this.#op = op
    this.#folder = folder
    this.#lock = lock
    this.events = jsonLines(join(folder, 'events.jsonl'))
  }

  /** Takes the folder. Throws ValueError where another fit has it, or it cannot be made. */
  static async take(op: string, folder: string): Promise<RunFolder> {
    await makeFolder(op, folder)
    return new RunFolder(op, folder, await FolderLock.take(op, folder))
  }

  /** Throws where the folder tells of another run than that of a Trainer which has taken so many steps. */
  async checkOwn(steps: number): Promise<void> {
    const told = await toldSteps(join(this.#folder, 'events.jsonl'))
    if (told > steps)
      throw new ValueError(
        this.#op,
        `${this.#folder} has a run of ${told} steps already; name another folder, or remove it, or go on with it ` +
          "(resume: 'auto') if it has checkpoints",
      )
  }

  /** Says in `run.json` what the run is, and that another fit works on it; `anew` forgets those before. */
  async describe(run: object, session: object, anew: boolean): Promise<void> {
    const path = join(this.#folder, 'run.json')
    const before = anew ? [] : await sessionsOf(path)
    const file: RunFile = { format: 1, ...run, sessions: [...before, session] }
    await writeAtomically(path, [Buffer.from(`${JSON.stringify(file, null, 2)}\n`)], this.#op)
  }

  release(): void {
    this.#lock.release()
  }
}

/** None where the file is missing or was changed by hand. */
async function sessionsOf(path: string): Promise<readonly object[]> {
  try {
    const { sessions } = JSON.parse(await readFile(path, 'utf8')) as Partial<RunFile>
    return Array.isArray(sessions) ? sessions : []
  } catch {
    return []
  }
}
