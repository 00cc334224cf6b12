/** The record of one fit: the telemetry in its history, and its run's folder and loggers, if there are any. */
import type { TrainingContext } from '../callbacks.js'
import type { TrainingHistory } from '../history.js'
import type { CommonOptions, FitOptions } from '../options.js'
import { configOf, type Parts, type Place } from '../resume.js'
import { describeRun, describeSession, fingerprintOf } from './describe.js'
import type { Reached } from './events.js'
import { RunFolder } from './folder.js'
import { Journal, type JournalOptions } from './journal.js'
import { folderOf } from './place.js'

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

  /** Takes the run's folder, if there is one. Throws ValueError if another fit has the folder. */
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
  ): Promise<Recording> {
    const path = folderOf(run, checkpoints?.folder)
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

  /**
   * Writes the description of the run, and opens the loggers. A fit resumes at `from`, or continues after this many
   * `epochs` of the Trainer.
   */
  async begin(
    parts: Parts,
    options: FitOptions<unknown>,
    from: Place | null,
    epochs: number,
    { epochs: planned, monitors }: TrainingContext,
  ): Promise<void> {
    const { model, batches, steps } = parts
    const reached: Reached =
      from === null
        ? { steps, epochs, validated: steps > 0 ? Number.POSITIVE_INFINITY : -1 }
        : {
            steps: from.steps,
            epochs: from.within === null ? from.epochs : from.epochs - 1,
            validated: from.history.validations.at(-1)?.step ?? -1,
          }
    if (this.#folder !== null) {
      // With `resume` the run in the folder is this one, even if it has no checkpoint yet.
      if (options.resume === undefined) await this.#folder.checkOwn(steps)
      const { epochs: wanted, steps: most, minutes, validateEvery } = options
      await this.#folder.describe(
        describeRun({
          ...{ model, batches, config: configOf(parts), fingerprint: this.fingerprint },
          fit: { epochs: wanted, steps: most, minutes, validateEvery },
        }),
        describeSession(this.#options.device, batches, reached.steps),
        reached.steps === 0,
      )
    }
    const missing = options.resume !== undefined && from === null
    await this.journal.open({
      ...{ resumed: from !== null, reached, monitors, epochs: planned },
      ...(missing && { checkpointMissing: true }),
    })
  }

  /** Takes the run's folder again if it was made anew. Throws ValueError if another fit has it by now. */
  async renew(): Promise<void> {
    await this.#folder?.renew()
  }

  /** Called however the fit ends. Throws nothing. */
  async end(): Promise<void> {
    await this.journal.end()
    this.#folder?.release()
  }
}
