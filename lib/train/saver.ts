/** Saves a run during its training, and finds it again. */
import { onInterrupt, warn } from '../core/host.js'
import { visitTensors } from '../core/scope.js'
import { CallbackFields } from './callback-fields.js'
import { beginsAnew } from './callbacks.js'
import { type CheckpointOptions, Checkpoints } from './checkpoints.js'
import { type Metrics, Pass } from './pass.js'
import { folderOf } from './record/place.js'
import { type Config, captureRun, configOf, loadCallbacks, type Parts, type Place, restoreRun } from './resume.js'

/** The reason in the history of a fit that was interrupted from the keyboard. */
export const interruption = 'interrupted (SIGINT)'

export class Saver {
  /** The saved place of the run, or null if it starts from the beginning. */
  readonly from: Place | null
  readonly #parts: Parts
  readonly #config: Config
  readonly #checkpoints: Checkpoints
  /** The file and the content of the checkpoint from which the run continues, until callbacks have their states. */
  #found: { readonly path: string; readonly state: unknown } | null
  #unwatch: (() => void) | null = null
  /** The fields of callbacks since they started; null before. */
  #fields: CallbackFields | null = null

  private constructor(
    parts: Parts,
    config: Config,
    checkpoints: Checkpoints,
    from: Place | null,
    found: { readonly path: string; readonly state: unknown } | null,
  ) {
    this.#parts = parts
    this.#config = config
    this.#checkpoints = checkpoints
    this.from = from
    this.#found = found
  }

  /**
   * With `resume` the run continues from its newest checkpoint, if there is one. Without it the folder must have no
   * checkpoint of another run.
   */
  static async open(
    op: string,
    parts: Parts,
    options: CheckpointOptions & { readonly folder: string },
    resume: boolean,
    renew: () => Promise<void>,
  ): Promise<Saver> {
    const checkpoints = new Checkpoints(options, renew)
    const config = configOf(parts)
    if (!resume) {
      await checkpoints.checkOwn(op, parts.steps)
      return new Saver(parts, config, checkpoints, null, null)
    }
    const found = await checkpoints.newest(op)
    if (found === null) return new Saver(parts, config, checkpoints, null, null)
    return new Saver(parts, config, checkpoints, restoreRun(op, found.path, parts, config, found.state), found)
  }

  /**
   * Restores the states of callbacks, which have started by now, and frees the loaded tensors: each part has its own
   * copy. From here on, fields of callbacks without a state are watched.
   */
  loadCallbacks(): void {
    this.#fields = new CallbackFields(this.#parts.options.callbacks ?? [])
    if (this.#found === null) return
    const { path, state } = this.#found
    this.#found = null
    loadCallbacks(path, this.#parts, state)
    visitTensors(state, (tensor) => tensor.dispose())
  }

  /** Returns a signal that the first SIGINT aborts. A second one ends the process, as usual. */
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

  /** Begins to write the current state of the run. `logged` resolves when the events of its steps are written. */
  async save(placeOf: () => Promise<Place>, logged: () => Promise<void>): Promise<void> {
    this.#fields?.tell('Trainer.fit')
    await this.#checkpoints.write(async () => {
      const place = await placeOf()
      return { step: place.steps, state: captureRun(this.#parts, this.#config, place) }
    }, logged)
  }

  finish(): Promise<void> {
    return this.#checkpoints.finish()
  }

  /** Ends a run that is still in the state that was saved last (see `Checkpoints.end`). */
  end(): Promise<void> {
    return this.#checkpoints.end()
  }
}

/**
 * The saver of a run, if checkpoints are asked for. It holds the saved state if the fit is to go on from one. `renew`
 * takes the run's folder again.
 */
export async function openSaver(
  op: string,
  parts: Parts,
  metrics: Metrics<string, never>,
  resume: 'auto' | undefined,
  renew: () => Promise<void>,
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
  const saver = await Saver.open(op, parts, { ...checkpoints, folder }, resume === 'auto', renew)
  // Loggers learn this from the start event, and a caller that made the folder for this training already knows.
  const knows = loggers.length > 0 || callbacks.some((callback) => beginsAnew in callback)
  if (resume === 'auto' && saver.from === null && !knows)
    warn(`[${op}] starts from the beginning, because there is no checkpoint in ${folder} to resume from`)
  return saver
}
