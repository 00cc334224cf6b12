/** The steps of a training: passes over the batches, in groups of batches whose gradients make one step. */
import { zeroGrad } from '../autograd/backward.js'
import { ValueError } from '../core/errors.js'
import { scope } from '../core/scope.js'
import { type Module, type Parameter, trainModes } from '../nn/module.js'
import { randomState } from '../nn/random-state.js'
import { clipGradNorm } from '../optim/clip.js'
import type { Averaged } from './averaged.js'
import { noBatches, onePass } from './checks.js'
import { divide, type Group, newGroup, sumsOf } from './group.js'
import type { StepRecord } from './history.js'
import { untilAborted } from './interrupt.js'
import { type BatchLearning, learnBatch } from './learn.js'
import type { Looked } from './looking.js'
import type { Sums } from './objective.js'
import type { CommonOptions } from './options.js'
import { type Metrics, meanOf, Pass } from './pass.js'
import { findAnomalies, Sentinel } from './preflight/anomaly.js'
import type { Subject } from './preflight/index.js'
import { behind, hasState, isResumable, type Within } from './resume.js'
import type { Run } from './run.js'
import { notFinite, type Tellings, tellNonFinite, tellSuspects } from './tell.js'

/** The parts of a training. */
interface Training<M extends string> {
  readonly model: Module
  readonly options: CommonOptions<M>
  readonly metrics: Metrics<M, never>
  readonly looked: Looked
  readonly averaged: Averaged | null
  readonly tell: Tellings
}

/** The milliseconds without a batch after which an aborted step is given up. */
const longestGap = 10_000

export class Stepping<M extends string> {
  /** Steps taken and epochs begun by all trainings so far. */
  steps = 0
  epochs = 0
  readonly accumulate: number
  readonly #model: Module
  readonly #options: CommonOptions<M>
  readonly #metrics: Metrics<M, never>
  readonly #looked: Looked
  readonly #averaged: Averaged | null
  readonly #tell: Tellings

  constructor({ model, options, metrics, looked, averaged, tell }: Training<M>) {
    this.accumulate = options.accumulate ?? 1
    this.#model = model
    this.#options = options
    this.#metrics = metrics
    this.#looked = looked
    this.#averaged = averaged
    this.#tell = tell
  }

  /** The learning rate of the first group. */
  get lr(): number {
    return this.#options.optimizer.paramGroups[0]?.lr ?? Number.NaN
  }

  /** The training in the form for the checks that run before it. */
  subject(): Subject {
    const { optimizer, clipGradNorm: maxNorm } = this.#options
    return {
      model: this.#model,
      optimizer,
      measured: this.#looked.measured,
      accumulate: this.accumulate,
      clipGradNorm: maxNorm,
      checkpointing: this.#options.checkpointing ?? false,
    }
  }

  /** Begins an epoch, or continues the one in `run.from`. The caller ends the returned pass. */
  beginPass(run: Run<M>): Pass<M> {
    const { from } = run
    run.from = null
    run.pass?.end()
    run.epoch = from === null ? this.epochs++ : this.epochs - 1
    const pass = new Pass(run.op, this.#metrics, (loss, index) => {
      if (!Number.isFinite(loss)) run.suspects ||= tellNonFinite(run, run.epoch, index, loss)
    })
    run.pass = pass
    if (from !== null) pass.resume(from.pass)
    return pass
  }

  /** The steps of one pass, or the steps after a place within it. Its losses and metrics go to `run.pass`. */
  async *stepsOf(run: Run<M>, from: Within | null, signal: AbortSignal | undefined): AsyncGenerator<StepRecord> {
    const { op } = run
    const pass = run.pass as Pass<M>
    const { optimizer, schedule, scheduleEvery } = this.#options
    const optimized = optimizer.parameters()
    if (!optimized.some((parameter) => parameter.requiresGrad))
      throw new ValueError(
        op,
        `all of the optimizer's ${optimized.length} parameters are frozen; unfreeze those that should learn`,
      )
    // Gradients from before the training would accumulate, as would those of parameters that no optimizer steps.
    const stepped = new Set(optimized)
    const others = [...this.#model.parameters()].filter((parameter) => !stepped.has(parameter))
    this.#tell.unstepped(op, stepped)
    optimizer.zeroGrad()
    let index = from?.index ?? 0
    let group = newGroup()
    const ended = (): StepRecord => {
      const { read, items } = group
      group.counts.end()
      group = newGroup()
      let asked: Promise<Sums> | null = null
      const sums = () => {
        asked ??= sumsOf(read)
        return asked
      }
      return {
        ...{ epoch: run.epoch, index: index++, step: this.steps++, items },
        ...{ loss: () => sums().then(meanOf), counted: () => sums().then(({ count }) => count) },
      }
    }
    const { journal } = run
    try {
      journal?.asks()
      // A run that is saved ends after a whole step, so its batches are waited for.
      const patience = () => (signal === undefined && group.read.length > 0 ? longestGap : 0)
      for await (const batch of untilAborted(this.#passOver(run, from), run.signal, patience)) {
        journal?.given()
        if (group.read.length === 0) signal?.throwIfAborted()
        if (this.#looked.guard.busy) {
          await this.#looked.guard.quiet(op, run.signal)
          run.signal?.throwIfAborted()
        }
        // Repeated before each step, because a callback may have called eval() for a prediction.
        trainModes(this.#model)
        if (run.budget !== null) {
          const { thrift, choice } = run.budget.thriftFor(batch)
          run.thrift = thrift
          if (choice !== null) run.history.memory = choice
        }
        const last = group.read.length + 1 === this.accumulate
        const learn = () => this.#learn(run, batch, group, last ? others : null)
        const { read } = this.#looked.guard.step(() => (journal === null ? learn() : journal.counting(learn)))
        const submitted = pass.submitted(read)
        // This promise is awaited below. Until then, while a callback takes its time, an error must not count as
        // unhandled.
        submitted.catch(() => undefined)
        if (last) yield ended()
        await submitted
        journal?.asks()
      }
      if (group.read.length > 0) {
        this.#looked.guard.step(() => scope(() => this.#update(run, group, others)))
        yield ended()
      }
    } finally {
      group.counts.end()
    }
    if (pass.batches === 0) throw noBatches(op, 'batches')
    await pass.settle()
    if (scheduleEvery === 'epoch') schedule?.step()
  }

  /**
   * The batches of a pass, or the batches after a place within it. `run.loader` tells the place, if the data know it.
   */
  #passOver(run: Run<M>, from: Within | null): AsyncIterable<unknown> | Iterable<unknown> {
    const { op, batches } = run
    if (!isResumable(batches)) {
      const all = onePass(op, batches)
      return from === null ? all : behind(op, all, from.batches)
    }
    // The state is loaded only here, because any other reader of the loader since its checkpoint would have moved the
    // place.
    if (run.data !== null) batches.loadStateDict(run.data)
    run.data = null
    const pass = (batches as unknown as AsyncIterable<unknown>)[Symbol.asyncIterator]()
    run.loader = hasState(pass) ? () => pass.state() : () => batches.stateDict()
    return { [Symbol.asyncIterator]: () => pass }
  }

  /**
   * Adds a batch's gradients to the group's, and takes the step after the last batch of a group. Returns the batch's
   * loss, which is being read. All tensors made here are freed here.
   */
  #learn(
    run: Run<M>,
    batch: unknown,
    group: Group,
    others: readonly Parameter[] | null,
  ): { readonly read: Promise<Sums>; readonly items: number } {
    const { op, thrift } = run
    const pass = run.pass as Pass<M>
    const { optimizer } = this.#options
    const [isSummed, isFirst] = [this.#isSummed(run), pass.batches === 0]
    const measured = (part: unknown) => this.#looked.measured(op, part)
    const check = this.#anomalies(run, batch)
    const learning = { op, measured, optimizer, thrift, isSummed, isFirst, group, check, seen: pass }
    const before = group.items
    return scope(() => {
      const read = learnBatch(learning, batch, () => {
        if (others !== null) this.#update(run, group, others)
      })
      group.read.push(read)
      return { read, items: group.items - before }
    })
  }

  /**
   * The check for numbers that are not finite. It covers every step if `detectAnomaly` is set, and otherwise the step
   * after a loss that was not finite.
   */
  #anomalies(run: Run<M>, batch: unknown): BatchLearning['check'] {
    const { op } = run
    const step = this.steps + 1
    if (run.suspects) {
      run.suspects = false
      tellSuspects(op, step, findAnomalies(op, this.subject(), batch, randomState(this.#model)))
    }
    if (!this.#options.detectAnomaly) return null
    const sentinel = new Sentinel(this.subject())
    return (loss, part) => {
      const found = sentinel.look(op, loss, part)
      if (found !== null) throw notFinite(op, step, found)
    }
  }

  /** Whether gradients are those of sums, which a step divides by the sums' count. */
  #isSummed({ thrift }: Run<M>): boolean {
    return this.accumulate > 1 || thrift.parts > 1
  }

  /** Takes one step of the optimizer with the gradients of a group. */
  #update(run: Run<M>, group: Group, others: readonly Parameter[]): void {
    const { optimizer, clipGradNorm: maxNorm } = this.#options
    const isSummed = this.#isSummed(run)
    const most = run.journal?.asksNorm() ? (maxNorm ?? Number.POSITIVE_INFINITY) : maxNorm
    // Finding the parameters takes a walk over the model, which most steps do not need.
    const optimized = isSummed || most !== undefined ? optimizer.parameters() : []
    if (isSummed) divide(optimized, group.counts.divisor())
    const norm = most === undefined ? null : clipGradNorm(optimized, most)
    run.journal?.norm(norm)
    optimizer.step()
    this.#averaged?.update(this.steps)
    optimizer.zeroGrad()
    zeroGrad(others)
    this.#stepSchedule(run)
  }

  #stepSchedule({ op }: Run<M>): void {
    const { schedule, scheduleEvery = 'step' } = this.#options
    if (schedule === undefined || scheduleEvery !== 'step') return
    schedule.step()
    this.#tell.scheduleEnded(op)
  }
}
