/**
 * A run as a folder: `run.json` describes it, `events.jsonl` has its events, and `checkpoints/` has the states from
 * which it resumes. Only one fit at a time has it.
 */
import { ValueError } from '../../core/errors.js'
import { writeAtomically } from '../../io/atomic.js'
import { makeFolder } from '../../io/folders.js'
import type { Logger } from './events.js'
import { jsonLines, toldSteps } from './lines.js'
import { FolderLock } from './lock.js'
import { Buffer, join, readFile } from './system.js'

/** The form of `run.json`: the run, and each of its fits. */
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

  /** Takes the folder. Throws ValueError if another fit has it, or if it cannot be made. */
  static async take(op: string, folder: string): Promise<RunFolder> {
    await makeFolder(op, folder)
    return new RunFolder(op, folder, await FolderLock.take(op, folder))
  }

  /** Throws if the folder belongs to a different run than that of a Trainer which has taken this many steps. */
  async checkOwn(steps: number): Promise<void> {
    const told = await toldSteps(join(this.#folder, 'events.jsonl'))
    if (told > steps)
      throw new ValueError(
        this.#op,
        `${this.#folder} already has a run of ${told} steps; name another folder, or remove it, or continue it ` +
          "(resume: 'auto') if it has checkpoints",
      )
  }

  /** Writes the run and another fit on it into `run.json`. `anew` drops earlier fits. */
  async describe(run: object, session: object, anew: boolean): Promise<void> {
    const path = join(this.#folder, 'run.json')
    const before = anew ? [] : await sessionsOf(path)
    const file: RunFile = { format: 1, ...run, sessions: [...before, session] }
    await writeAtomically(path, [Buffer.from(`${JSON.stringify(file, null, 2)}\n`)], this.#op)
  }

  /** Takes the folder again if it was made anew. Throws ValueError if another fit has it by now. */
  renew(): Promise<void> {
    return this.#lock.renew(this.#op)
  }

  release(): void {
    this.#lock.release()
  }
}

/** Empty if the file is missing or was changed by hand. */
async function sessionsOf(path: string): Promise<readonly object[]> {
  try {
    const { sessions } = JSON.parse(await readFile(path, 'utf8')) as Partial<RunFile>
    return Array.isArray(sessions) ? sessions : []
  } catch {
    return []
  }
}
