/** Replay: batches of general data among those of a task, so that a model does not forget its pre-training. */
import { shown, ValueError } from '../core/errors.js'
import type { Resumable } from '../core/generator.js'
import { checkOptions } from '../core/options.js'
import { checkBatches, lengthOf, noBatches, onePass } from '../train/checks.js'
import type { Batches } from '../train/options.js'
import { hasState, isResumable } from '../train/resume.js'

export interface ReplayOptions {
  /** The share of general batches among all, between 0 and 1. */
  readonly share: number
}

/** The position in one of the two sources. */
interface SourceState {
  /** The number of batches of its pass that were given. */
  readonly given: number
  /** The source's own state; null for a source without one. */
  readonly place: unknown
}

/** The position of a replay. */
export interface ReplayState {
  readonly share: number
  readonly task: SourceState
  readonly general: SourceState
  /** The number of general batches given in the pass. */
  readonly replayed: number
}

/** Batches of one source, pass after pass, and the position in it. */
class Place<B> {
  readonly #op: string
  readonly #batches: Batches<B>
  #pass: AsyncIterator<B> | Iterator<B> | null = null
  #given = 0

  constructor(op: string, batches: Batches<B>) {
    this.#op = op
    this.#batches = batches
  }

  get given(): number {
    return this.#given
  }

  /** The next batch of the pass. A new pass begins if none is under way. Undefined at its end. */
  async next(): Promise<{ readonly batch: B } | undefined> {
    this.#pass ??= await this.#begin()
    const { done, value } = await this.#pass.next()
    if (done) {
      this.#pass = null
      this.#given = 0
      return undefined
    }
    this.#given++
    return { batch: value }
  }

  async #begin(): Promise<AsyncIterator<B> | Iterator<B>> {
    const source = onePass(this.#op, this.#batches)
    const pass = Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]()
    // A source with a state continues by itself.
    for (let i = 0; !isResumable(this.#batches) && i < this.#given; i++)
      if ((await pass.next()).done)
        throw new ValueError(
          this.#op,
          `the batches end after ${i}, but ${this.#given} were taken before; continue with the same data`,
        )
    return pass
  }

  state(): SourceState {
    const [batches, pass] = [this.#batches, this.#pass]
    if (!isResumable(batches)) return { given: this.#given, place: null }
    return { given: this.#given, place: hasState(pass) ? pass.state() : batches.stateDict() }
  }

  load({ given, place }: SourceState): void {
    this.#pass = null
    if (isResumable(this.#batches)) this.#batches.loadStateDict(place)
    this.#given = given
  }

  /** Ends the pass, whose position `state` still tells. */
  async leave(): Promise<void> {
    await this.#pass?.return?.()
  }

  /** Lets the next pass begin from the start. */
  restart(): void {
    this.#pass = null
    this.#given = 0
  }
}

/** Batches of a task with general ones among them; see `replay`. */
export class Replay<B> implements AsyncIterable<B>, Resumable<ReplayState> {
  readonly share: number
  readonly #batches: Batches<B>
  readonly #task: Place<B>
  readonly #general: Place<B>
  /** The number of general batches given in the pass. */
  #replayed = 0
  /** Whether the last pass was left before its end, with no state loaded since. */
  #left = false

  constructor(batches: Batches<B>, general: Batches<B>, options: ReplayOptions) {
    const op = 'replay'
    checkBatches(op, batches)
    checkBatches(op, general)
    const { share } = checkOptions(op, options, { share: true })
    if (!(typeof share === 'number' && share > 0 && share < 1))
      throw new ValueError(op, `share is ${shown(share)}, but must lie between 0 and 1`)
    if (batches === general)
      throw new ValueError(op, 'the batches of the task and the general ones are the same object; make two loaders')
    this.share = share
    this.#batches = batches
    this.#task = new Place(op, batches)
    this.#general = new Place(op, general)
  }

  /** The number of batches in one pass, or NaN if the task's source does not know it. */
  get length(): number {
    const own = lengthOf(this.#batches)
    return own === null ? Number.NaN : own + this.#before(own)
  }

  /** The number of general batches that come with the first `count` of the task. */
  #before(count: number): number {
    // A share such as 0.1 is not exact in binary, and must not lose a batch for that reason.
    return Math.floor((count * this.share) / (1 - this.share) + 1e-9)
  }

  stateDict(): ReplayState {
    return { share: this.share, task: this.#task.state(), general: this.#general.state(), replayed: this.#replayed }
  }

  /** Lets the next pass continue where the state was taken. Throws ValueError for a state of another share. */
  loadStateDict(state: ReplayState): void {
    const op = 'Replay.loadStateDict'
    const isCount = (value: unknown) => Number.isSafeInteger(value) && (value as number) >= 0
    if (![state?.task?.given, state?.general?.given, state?.replayed].every(isCount))
      throw new ValueError(op, `the state is ${shown(state)}, but must be a result of stateDict()`)
    if (state.share !== this.share)
      throw new ValueError(op, `share is ${this.share}, but was ${shown(state.share)} in the state`)
    this.#task.load(state.task)
    this.#general.load(state.general)
    this.#replayed = state.replayed
    this.#left = false
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<B, void, void> {
    if (this.#left) {
      this.#task.restart()
      this.#replayed = 0
    }
    this.#left = true
    try {
      for (;;) {
        // The batch is counted before it is given, because a state is taken while the batch is used.
        for (const due = this.#before(this.#task.given); this.#replayed < due; ) {
          const batch = await this.#nextGeneral()
          this.#replayed++
          yield batch
        }
        const next = await this.#task.next()
        if (next === undefined) break
        yield next.batch
      }
      this.#replayed = 0
      this.#left = false
    } finally {
      if (this.#left) await this.#task.leave()
    }
  }

  async #nextGeneral(): Promise<B> {
    const next = (await this.#general.next()) ?? (await this.#general.next())
    if (next === undefined) throw noBatches('replay', 'general batches')
    return next.batch
  }
}

/**
 * Batches of a task with batches of general data spread evenly among them, so that `share` of all are general, against
 * forgetting. A pass is one over the task's batches. General batches continue from pass to pass, and start again when
 * they are used up. Both must be batches of one kind, for one objective.
 *
 *     await trainer.fit(replay(taskLoader, generalLoader, { share: 0.2 }), { epochs: 3 })
 *
 * It is part of checkpoints, like its loaders. Throws ValueError for a share that is not between 0 and 1, and while
 * training if there is no general batch.
 */
export function replay<B>(batches: Batches<B>, general: Batches<B>, options: ReplayOptions): Replay<B> {
  return new Replay(batches, general, options)
}
