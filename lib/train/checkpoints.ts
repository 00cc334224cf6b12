/** The checkpoints of a run: written during the training, pruned to the newest, and found again. */
import { kindOf, shown, ValueError } from '../core/errors.js'
import type { Resumable } from '../core/generator.js'
import { inNode, warn } from '../core/host.js'
import { checkOptions } from '../core/options.js'
import { writeAtomically } from '../io/atomic.js'
import { checkpointFile, readCheckpoint } from '../io/checkpoint.js'
import { makeFolder } from '../io/folders.js'
import { noFiles, refusal } from '../io/refusal.js'
import { join, randomUUID, readdir, rm, tmpdir } from '../io/system.js'

export interface CheckpointOptions {
  /** The run's folder, whose checkpoints are in `checkpoints/`. It is made if missing. Default: the Trainer's `run`. */
  readonly folder?: string
  /**
   * Steps between checkpoints, or a time: '30 seconds', '10 minutes' (default), '2 hours'. The end of a fit also gets a
   * checkpoint. If the folder takes the first of a fit and later refuses one (deleted, unmounted, full), a warning says
   * so, and the fit goes on. It makes a missing folder anew. The last checkpoint goes to a folder for temporary files
   * if it must.
   */
  readonly every?: number | string
  /** The number of newest checkpoints to keep. Default 3. */
  readonly keep?: number
  /** Other parts of the run that have a state, by name, such as a `WeightAverage` that a callback updates. */
  readonly also?: { readonly [name: string]: Resumable<unknown> }
}

const units: { readonly [unit: string]: number } = { second: 1e3, minute: 6e4, hour: 3.6e6 }

/** '10 minutes' in milliseconds, or null if the text is not a time. */
function milliseconds(text: string): number | null {
  const [, count, unit] = /^(\d+(?:\.\d+)?) (second|minute|hour)s?$/.exec(text) ?? []
  const time = Number(count) * (units[unit ?? ''] ?? Number.NaN)
  return time > 0 ? time : null
}

export function checkCheckpoints(options: unknown, run: string | undefined): void {
  const op = 'Trainer'
  const names = { folder: true, every: true, keep: true, also: true } as const
  const { folder, every, keep, also } = checkOptions(op, options as CheckpointOptions, names, 'checkpoints')
  const fail = (message: string): never => {
    throw new ValueError(op, `checkpoints: ${message}`)
  }
  if (!(folder === undefined && run !== undefined) && (typeof folder !== 'string' || folder === ''))
    fail(`folder is ${shown(folder)}, but must be a path`)
  if (!inNode) fail(noFiles)
  const steps = Number.isSafeInteger(every) && (every as number) > 0
  if (every !== undefined && !steps && !(typeof every === 'string' && milliseconds(every) !== null))
    fail(`every is ${shown(every)}, but must be a positive number of steps, or a time such as '10 minutes'`)
  if (keep !== undefined && !(Number.isSafeInteger(keep) && keep >= 1))
    fail(`keep is ${shown(keep)}, but must be a positive integer`)
  for (const [name, part] of Object.entries(also ?? {}))
    if (typeof part?.stateDict !== 'function' || typeof part.loadStateDict !== 'function')
      fail(`also.${name} is ${kindOf(part)}, but must have stateDict() and loadStateDict()`)
}

const nameOf = (step: number) => `step-${String(step).padStart(10, '0')}.safetensors`
const namePattern = /^step-(\d{10,})\.safetensors$/

/** The checkpoints in a run's folder, the newest first. */
async function listed(folder: string): Promise<{ readonly step: number; readonly path: string }[]> {
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return []
    throw new ValueError('Trainer.fit', `cannot read the checkpoints in ${folder}: ${error.message}`)
  })
  return names
    .flatMap((name) => {
      const step = namePattern.exec(name)?.[1]
      return step === undefined ? [] : [{ step: Number(step), path: join(folder, name) }]
    })
    .sort((a, b) => b.step - a.step)
}

/** A checkpoint that the folder did not take. */
interface Missed {
  readonly step: number
  readonly state: unknown
  readonly error: ValueError
  /** The number of checkpoints that the folder has not taken since it last took one. */
  readonly count: number
}

/**
 * Writes one checkpoint at a time. One that is due while another is being written waits for it. A folder that took a
 * checkpoint and then refuses one has vanished or is full. The training goes on, because a stop would lose more, and
 * the next checkpoint is tried in its time.
 */
export class Checkpoints {
  readonly #run: string
  readonly #folder: string
  readonly #steps: number
  readonly #time: number
  readonly #keep: number
  readonly #renew: () => Promise<void>
  #written = -1
  #last = performance.now()
  #writing: Promise<void> = Promise.resolve()
  #failed: { readonly error: unknown } | null = null
  /** Whether the folder has taken a checkpoint. One that never did is a mistake of the program. */
  #took = false
  #missed: Missed | null = null

  /** `renew` takes the run's folder again, which may have been made anew. It throws if another run has it. */
  constructor(
    { folder, every = '10 minutes', keep = 3 }: CheckpointOptions & { readonly folder: string },
    renew: () => Promise<void>,
  ) {
    this.#run = folder
    this.#folder = join(folder, 'checkpoints')
    this.#steps = typeof every === 'number' ? every : Number.POSITIVE_INFINITY
    this.#time = typeof every === 'string' ? (milliseconds(every) as number) : Number.POSITIVE_INFINITY
    this.#keep = keep
    this.#renew = renew
  }

  /** Whether a checkpoint is due after a step. Throws the error of the last write that failed. */
  due(step: number): boolean {
    if (this.#failed !== null) throw this.#failed.error
    if (step === this.#written) return false
    return step % this.#steps === 0 || performance.now() - this.#last >= this.#time
  }

  /**
   * Throws if the folder holds checkpoints of another run. All are of another run if the Trainer has taken no step yet.
   */
  async checkOwn(op: string, steps: number): Promise<void> {
    const [newest] = await listed(this.#folder)
    if (newest !== undefined && (steps === 0 || newest.step > steps))
      throw new ValueError(
        op,
        `${this.#folder} already has checkpoints up to step ${newest.step}; continue from them (resume: 'auto'), or name another folder`,
      )
  }

  /**
   * Begins to write a state, which `capture` returns once no other is being written. Resolves when the state is
   * captured and its tensors are being read, while the file is still being written. The file is not there before
   * `logged` has resolved, which must not fail.
   */
  async write(
    capture: () => Promise<{ readonly step: number; readonly state: unknown }>,
    logged: () => Promise<void>,
  ): Promise<void> {
    await this.finish()
    const { step, state } = await capture()
    const events = logged()
    this.#written = step
    this.#last = performance.now()
    const { path, chunks } = checkpointFile(join(this.#folder, nameOf(step)), state, 'Trainer.fit')
    this.#writing = (async () => {
      try {
        await makeFolder('Trainer.fit', this.#folder)
        await this.#renew()
        await events
        await writeAtomically(path, chunks, 'Trainer.fit')
        await this.#prune(step)
        this.#tellTaken(step)
      } catch (error) {
        if (this.#took && error instanceof ValueError) this.#miss(step, state, error)
        else this.#failed = { error }
      }
    })()
  }

  async #prune(step: number): Promise<void> {
    const all = await listed(this.#folder)
    // Checkpoints after this step are ones from which the run could not resume.
    const stale = all.filter((each) => each.step > step)
    const whole = all.filter((each) => each.step <= step)
    for (const { path } of [...stale, ...whole.slice(this.#keep)])
      await rm(path, { force: true }).catch((error) => {
        throw refusal('Trainer.fit', 'write', path, error)
      })
  }

  #tellTaken(step: number): void {
    if (this.#missed !== null)
      warn(`[Trainer.fit] ${this.#folder} takes checkpoints again, from step ${step}; it lacks ${this.#missed.count}`)
    this.#took = true
    this.#missed = null
  }

  #miss(step: number, state: unknown, error: ValueError): void {
    // Only the first is told, because every step may have one.
    if (this.#missed === null)
      warn(
        `${error.message}; the training goes on without the checkpoint of step ${step}, and tries the next one in its time`,
      )
    this.#missed = { step, state, error, count: (this.#missed?.count ?? 0) + 1 }
  }

  /**
   * Ends a run whose state is still that of its last checkpoint. If the folder did not take that one, it goes to a new
   * folder for temporary files, and a warning names this. Throws the error of a write that ended the run.
   */
  async end(): Promise<void> {
    await this.finish()
    if (this.#missed === null) return
    const { step, state, error } = this.#missed
    this.#missed = null
    const run = join(tmpdir(), `firesteel-run-${randomUUID()}`)
    const told = `${error.message}; ${this.#run} lacks the last checkpoint, of step ${step}`
    try {
      const { path, chunks } = checkpointFile(join(run, 'checkpoints', nameOf(step)), state, 'Trainer.fit')
      await makeFolder('Trainer.fit', join(run, 'checkpoints'))
      await writeAtomically(path, chunks, 'Trainer.fit')
    } catch (second) {
      if (!(second instanceof ValueError)) throw second
      warn(`${told}, and no other folder took it (${second.message}); save the model before the process ends`)
      return
    }
    warn(`${told}, which is in ${run} instead; copy its checkpoints back, or go on from that folder (resume: 'auto')`)
  }

  /** Waits for the checkpoint being written. Throws the error if that failed. */
  async finish(): Promise<void> {
    await this.#writing
    if (this.#failed !== null) throw this.#failed.error
  }

  /**
   * The state and path of the newest complete checkpoint, or null if there is none. Warns of those that are not
   * complete.
   */
  async newest(op: string): Promise<{ readonly path: string; readonly state: unknown } | null> {
    const all = await listed(this.#folder)
    let fault: unknown
    for (const { step, path } of all) {
      try {
        const state = await readCheckpoint(path, op)
        this.#written = step
        return { path, state }
      } catch (error) {
        if (!(error instanceof ValueError)) throw error
        fault = error
        warn(`${error.message}; trying the checkpoint before it`)
      }
    }
    if (all.length > 0)
      throw Object.assign(
        new ValueError(
          op,
          `none of the ${all.length} checkpoints in ${this.#folder} is complete; put copies of them back, if there are any, or begin a new ` +
            'run: name another folder, or remove these files',
        ),
        { cause: fault },
      )
    return null
  }
}
