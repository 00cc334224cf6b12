/** Saves a run while it goes on, and finds it again. */
import { onInterrupt, warn } from '../core/host.js'
import { visitTensors } from '../core/scope.js'
import { beginsAnew } from './callbacks.js'
import { type CheckpointOptions, Checkpoints } from './checkpoints.js'
import { type Metrics, Pass } from './pass.js'
import { folderOf } from './record/place.js'
import { type Config, captureRun, configOf, loadCallbacks, type Parts, type Place, restoreRun } from './resume.js'

/** Why a fit ended that was interrupted from the keyboard. */
export const interruption = 'interrupted (SIGINT)'

export class Saver {
  /** Where the run was, if it goes on. */
  readonly from: Place | null
  readonly #parts: Parts
  readonly #config: Config
  readonly #checkpoints: Checkpoints
  #state: unknown
  #unwatch: (() => void) | null = null

  private constructor(parts: Parts, config: Config, checkpoints: Checkpoints, from: Place | null, state: unknown) {
    this.#parts = parts
    this.#config = config
    this.#checkpoints = checkpoints
    this.from = from
    this.#state = state
  }

  /** With `resume` the run is what its newest checkpoint says, if there is one; without, the folder must have none of another run. */
  static async open(
    op: string,
    parts: Parts,
    options: CheckpointOptions & { readonly folder: string },
    resume: boolean,
  ): Promise<Saver> {
    const checkpoints = new Checkpoints(options)
    const config = configOf(parts)
    if (!resume) {
      await checkpoints.checkOwn(op, parts.steps)
      return new Saver(parts, config, checkpoints, null, null)
    }
    const found = await checkpoints.newest(op)
    if (found === null) return new Saver(parts, config, checkpoints, null, null)
    return new Saver(parts, config, checkpoints, restoreRun(op, found.path, parts, config, found.state), found.state)
  }

  /** Puts back the states of callbacks, which have started by now, and frees what was read: each part has its copy. */
  loadCallbacks(): void {
    if (this.from !== null) loadCallbacks(this.#parts, this.#state)
    visitTensors(this.#state, (tensor) => tensor.dispose())
    this.#state = null
  }

  /** Gives a signal that the first SIGINT aborts; a second one ends the process, as ever. */
  watch(use: (interrupted: AbortSignal) => void): void {
    const controller = new AbortController()
    this.#unwatch = onInterrupt(() => controller.abort(interruption))
    use(controller.signal)
  }

  unwatch(): void {
    this.#unwatch?.()
  }

  due(step: number): boolean {
    return this.#checkpoints.due(step)
  }

  /** Begins to write the run as it is. */
  async save(placeOf: () => Promise<Place>): Promise<void> {
    await this.#checkpoints.write(async () => {
      const place = await placeOf()
      return { step: place.steps, state: captureRun(this.#parts, this.#config, place) }
    })
  }

  finish(): Promise<void> {
    return this.#checkpoints.finish()
  }
}

/** The saver of a run, if checkpoints are asked for. It holds the saved state if the fit is to go on from one. */
export async function openSaver(
  op: string,
  parts: Parts,
  metrics: Metrics<string, never>,
  resume: 'auto' | undefined,
): Promise<Saver | null> {
  const { run, checkpoints, loggers = [], callbacks = [] } = parts.options
  if (checkpoints === undefined) return null
  const pass = new Pass(op, metrics)
  try {
    pass.checkResumable()
  } finally {
    pass.end()
  }
  const folder = folderOf(run, checkpoints.folder) as string
  const saver = await Saver.open(op, parts, { ...checkpoints, folder }, resume === 'auto')
  // Loggers learn it from the event of the start, and whoever made the folder for this training knows.
  const knows = loggers.length > 0 || callbacks.some((callback) => beginsAnew in callback)
  if (resume === 'auto' && saver.from === null && !knows)
    warn(`[${op}] begins anew, because there is no checkpoint in ${folder} to go on from`)
  return saver
}
