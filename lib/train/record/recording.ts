/** The record of one fit: the run's folder, if it has one, and the loggers. */
import type { Module } from '../../nn/module.js'
import type { TrainingHistory } from '../history.js'
import type { Batches, CommonOptions } from '../options.js'
import type { Config, Place } from '../resume.js'
import { describeRun, describeSession, fingerprintOf } from './describe.js'
import type { Reached } from './events.js'
import { RunFolder } from './folder.js'
import { Journal, type JournalOptions } from './journal.js'
import { folderOf } from './place.js'

/** A fit that is about to begin. */
interface Beginning {
  readonly model: Module
  readonly batches: Batches<unknown>
  readonly config: () => Config
  /** Options of the fit. */
  readonly fit: object
  /** Whether it may go on from what the folder has; then the run in it is this one. */
  readonly resume: boolean
  /** Where it goes on; null where it does not. */
  readonly from: Place | null
  /** How far the Trainer is. */
  readonly steps: number
  readonly epochs: number
  /** Epochs of the Trainer at the end. */
  readonly planned: number
  readonly monitors: readonly string[]
}

export class Recording {
  readonly journal: Journal
  /** The fingerprint of the data, for `run.json` and checkpoints. */
  readonly fingerprint: string | null
  readonly #folder: RunFolder | null
  readonly #options: JournalOptions

  private constructor(
    options: JournalOptions,
    history: TrainingHistory<string>,
    folder: RunFolder | null,
    of: string | null,
  ) {
    this.journal = new Journal(options, history)
    this.fingerprint = of
    this.#folder = folder
    this.#options = options
  }

  /** Takes the run's folder; null where nothing is to be recorded. Throws ValueError where another fit has the folder. */
  static async open(
    op: string,
    {
      run,
      checkpoints,
      loggers = [],
      logEvery,
      gradNorm = false,
      clipGradNorm,
      precision,
      optimizer,
    }: CommonOptions<never>,
    batches: unknown,
    history: TrainingHistory<string>,
  ): Promise<Recording | null> {
    const path = folderOf(run, checkpoints?.folder)
    if (path === undefined && loggers.length === 0) return null
    const folder = path === undefined ? null : await RunFolder.take(op, path)
    const [parameter] = optimizer.parameters()
    const options: JournalOptions = {
      loggers: folder === null ? loggers : [folder.events, ...loggers],
      every: logEvery,
      gradNorm: gradNorm && clipGradNorm === undefined,
      device: (parameter as NonNullable<typeof parameter>).device,
      bfloat16: precision === 'bfloat16',
      lr: () => optimizer.paramGroups[0]?.lr ?? Number.NaN,
    }
    try {
      return new Recording(options, history, folder, folder === null ? null : await fingerprintOf(batches))
    } catch (error) {
      folder?.release()
      throw error
    }
  }

  /** Writes what the run is, and opens the loggers. */
  async begin({ resume, from, steps, epochs, planned, monitors, config, ...described }: Beginning): Promise<void> {
    const reached: Reached =
      from === null
        ? { steps, epochs, validated: steps > 0 ? Number.POSITIVE_INFINITY : -1 }
        : {
            steps: from.steps,
            epochs: from.within === null ? from.epochs : from.epochs - 1,
            validated: from.history.validations.at(-1)?.step ?? -1,
          }
    if (this.#folder !== null) {
      if (!resume) await this.#folder.checkOwn(steps)
      await this.#folder.describe(
        describeRun({ ...described, config: config(), fingerprint: this.fingerprint }),
        describeSession(this.#options.device, described.batches, reached.steps),
        reached.steps === 0,
      )
    }
    await this.journal.open({ resumed: from !== null, reached, monitors, epochs: planned })
  }

  /** However the fit ends. Throws nothing. */
  async end(): Promise<void> {
    await this.journal.end()
    this.#folder?.release()
  }
}
