/**
 * The Trainer: fits, and steps for a program's own loop, with everything around them. `epochs.ts` has the epochs of a
 * fit, `stepping.ts` the steps, and `looking.ts` evaluations.
 */
import { ValueError } from '../core/errors.js'
import { checkOptions } from '../core/options.js'
import type { Tensor } from '../core/tensor.js'
import type { Module } from '../nn/module.js'
import { Averaged } from './averaged.js'
import type { Callback, TrainingContext } from './callbacks.js'
import {
  checkBare,
  checkBatches,
  checkEpochs,
  checkFit,
  checkPasses,
  checkSignal,
  checkTrainer,
  checkWiring,
  stepsIn,
} from './checks.js'
import { Epochs } from './epochs.js'
import { HeldOut } from './held-out.js'
import { type History, monitorsOf, type PassRecord, type StepRecord, TrainingHistory } from './history.js'
import { Looking } from './looking.js'
import type { Batch } from './objective.js'
import type {
  AnyOptions,
  Batches,
  CommonOptions,
  EvaluateOptions,
  FitOptions,
  StepsOptions,
  TrainerOptions,
} from './options.js'
import type { Metrics } from './pass.js'
import type { CheckOptions, CheckReport, MemoryPrediction, PredictOptions } from './preflight/index.js'
import { blockGroups, noBlocks, noThrift, type Thrift } from './preflight/thrift.js'
import { progressBar } from './progress.js'
import { Recording } from './record/recording.js'
import type { Report, ReportOptions } from './report/report.js'
import { type Config, givenOptions, isResumable, type Parts } from './resume.js'
import { checkReached, epochsOf, goOn, planOf, type Run } from './run.js'
import { interruption, openSaver, type Saver } from './saver.js'
import { Stepping } from './stepping.js'
import { endAll, Tellings } from './tell.js'

/**
 * Trains a model. In the short form the model takes a batch's input and returns the loss function's input. Modules are
 * trained in their current mode (see `Module.train`). `steps` and `fit` wait between steps while an evaluation of the
 * model is running, whichever code began it. M names the metrics, and B is a batch.
 */
export class Trainer<M extends string = string, B = Batch, Mod extends Module = Module> {
  readonly model: Mod
  readonly #options: CommonOptions<M>
  readonly #metrics: Metrics<M, never>
  readonly #given: Config
  readonly #averaged: Averaged | null
  readonly #looking: Looking<M>
  readonly #stepping: Stepping<M>
  #running = false
  readonly #tell: Tellings
  #history = new TrainingHistory<M>()

  /** Throws ValueError for options that cannot work, such as an optimizer of another model's parameters. */
  constructor(model: Mod, options: TrainerOptions<M, B, Mod>) {
    checkTrainer(model, options as AnyOptions)
    checkWiring([...model.parameters()], options.optimizer.parameters())
    this.model = model
    this.#metrics = { ...options.objective?.metrics, ...options.metrics } as Metrics<M, never>
    this.#options = options
    this.#given = givenOptions(options.optimizer, options.schedule)
    const { average, averageAfter = 0 } = options
    this.#averaged = average === undefined ? null : new Averaged(model, average, averageAfter)
    this.#tell = new Tellings(model, this.#options)
    this.#looking = new Looking(model, this.#options as AnyOptions, this.#metrics, this.#tell)
    this.#stepping = new Stepping({
      ...{ model, options: this.#options, metrics: this.#metrics },
      ...{ looked: this.#looking.own, averaged: this.#averaged, tell: this.#tell },
    })
  }

  /** The options given to the constructor. */
  get options(): CommonOptions<M> {
    return this.#options
  }

  /** Whether a fit or a loop over steps is in progress. */
  get running(): boolean {
    return this.#running
  }

  /** The history of the last `fit`, even if that failed or was aborted. */
  get history(): History<M> {
    return this.#history
  }

  /**
   * Trains for `epochs` passes, or until `steps` or `minutes` are over, whichever comes first. Measures the validation
   * set after each pass, or at the steps that `validateEvery` gives. A second fit continues the count of epochs and
   * steps. A loss that is not finite is reported once by a warning of the process, and in the history. Throws
   * ValueError if there is nothing to train on or to train.
   */
  async fit(batches: Batches<B>, options: FitOptions<B> = {}): Promise<History<M>> {
    const op = 'Trainer.fit'
    checkFit(op, options, this.#options.checkpoints)
    const { steps, validation, signal, resume, memory, progress = true } = options
    const { Budget } = memory === undefined ? { Budget: null } : await import('./preflight/index.js')
    const budget = Budget === null ? null : new Budget(op, this.#stepping.subject(), memory)
    checkBatches(op, batches)
    const heldOut = new HeldOut(validation, batches)
    const stepsPerEpoch = stepsIn(batches, this.#stepping.accumulate)
    const run = this.#begin(op, batches, epochsOf(options), signal, steps)
    run.budget = budget
    run.heldOut = heldOut
    const history = run.history
    this.#history = history
    const context: { -readonly [K in keyof TrainingContext]: TrainingContext[K] } = {
      model: this.model,
      epochs: 0,
      stepsPerEpoch,
      monitors: monitorsOf(Object.keys(this.#metrics), validation !== undefined),
      stop: (reason) => {
        history.stopped ??= reason
      },
    }
    const started: Callback<M>[] = []
    let failed = true
    let saver: Saver | null = null
    let recording: Recording | null = null
    try {
      const record = await Recording.open(op, this.#options, batches, history)
      recording = record
      run.journal = record.journal
      const parts = this.#partsOf(run, record)
      saver = await openSaver(op, parts, this.#metrics, resume, () => record.renew())
      const plan = planOf(
        options,
        saver?.from?.fit ?? { epochs: this.#stepping.epochs, steps: this.#stepping.steps, time: 0 },
      )
      if (saver?.from != null) {
        checkReached(op, plan, saver.from)
        goOn(run, saver.from)
        this.#stepping.steps = saver.from.steps
        this.#stepping.epochs = saver.from.epochs
      }
      this.#tell.neverValidates(op, plan, context.stepsPerEpoch)
      context.epochs = plan.epochs
      await record.begin(parts, options, saver?.from ?? null, this.#stepping.epochs, context)
      const callbacks: Callback<M>[] = [...(this.#options.callbacks ?? []), ...(progress ? [progressBar()] : [])]
      for (const callback of callbacks) {
        await callback.onStart?.(context)
        started.push(callback)
      }
      callbacks.push(record.journal)
      saver?.loadCallbacks()
      saver?.watch((interrupted) => {
        run.signal = signal === undefined ? interrupted : AbortSignal.any([signal, interrupted])
      })
      const parties = { stepping: this.#stepping, looking: this.#looking, averaged: this.#averaged, tell: this.#tell }
      await new Epochs({ run, plan, saver, callbacks, context, ...parties }).run()
      await saver?.end()
      this.#averaged?.finish()
      failed = false
    } catch (error) {
      if (!(run.signal?.aborted && error === run.signal.reason)) {
        history.stopped ??= `failed: ${String(error)}`
        throw error
      }
      history.stopped ??= error === interruption ? interruption : `aborted: ${String(error)}`
      await saver?.end()
      this.#averaged?.finish()
      failed = false
    } finally {
      saver?.unwatch()
      run.pass?.end()
      // The folder must not be given back while a checkpoint is being written.
      await saver?.finish().catch(() => undefined)
      await endAll(started, context, failed)
        .finally(() => recording?.end())
        .finally(() => {
          this.#looking.own.guard.unfit()
          this.#running = false
        })
    }
    return history
  }

  #partsOf(run: Run<M>, recording: Recording): Parts {
    return {
      model: this.model,
      average: this.#averaged?.average ?? null,
      options: this.#options as unknown as CommonOptions<string>,
      metrics: Object.keys(this.#metrics),
      batches: run.batches,
      heldOut: run.heldOut,
      fingerprint: recording.fingerprint,
      steps: this.#stepping.steps,
      given: this.#given,
    }
  }

  /**
   * Yields the steps of `epochs` passes, one by one, to a program's own loop. Each has already been submitted when the
   * loop gets it. Throws ValueError for a Trainer with callbacks, checkpoints, a run or loggers, which only `fit` uses.
   */
  async *steps(batches: Batches<B>, options: StepsOptions = {}): AsyncGenerator<StepRecord> {
    const op = 'Trainer.steps'
    const { epochs = 1, signal } = checkOptions(op, options, { epochs: true, signal: true })
    checkEpochs(op, epochs)
    const run = this.#begin(op, batches, epochs, signal)
    try {
      checkBare(op, this.#options)
      for (let epoch = 0; epoch < epochs; epoch++) {
        const pass = this.#stepping.beginPass(run)
        yield* this.#stepping.stepsOf(run, null, signal)
        await pass.settle()
      }
    } finally {
      run.pass?.end()
      this.#running = false
    }
  }

  /**
   * Loss and metrics over a set, without gradients and in evaluation mode. Modes are restored afterwards. A training
   * waits with its next step until the evaluation has ended. Throws ValueError if there are no batches, or if other
   * code changes the weights meanwhile.
   */
  async evaluate(batches: Batches<B>, options: EvaluateOptions = {}): Promise<PassRecord<M>> {
    const op = 'Trainer.evaluate'
    const { signal, model } = checkOptions(op, options, { signal: true, model: true })
    checkBatches(op, batches)
    checkSignal(op, signal)
    return this.#looking.measure(op, 'batches', batches, signal, model)
  }

  /**
   * The model's output for each batch, one by one, without gradients and in evaluation mode. A batch may have its
   * training form, or, in the short form, be an input without its target. The caller owns each output. No training step
   * runs until the loop has ended.
   */
  async *predict(batches: Batches<B | Tensor>, options: EvaluateOptions = {}): AsyncGenerator<Tensor> {
    const op = 'Trainer.predict'
    const { signal, model } = checkOptions(op, options, { signal: true, model: true })
    checkBatches(op, batches)
    checkSignal(op, signal)
    yield* this.#looking.predict(op, batches, signal, model)
  }

  /**
   * Looks for problems that would waste a training, before it begins. `data` is a batch, or batches of which the first
   * is tried. With batches it also checks all labels, and with `validation` all rows. The report compares the first
   * loss with the loss of guessing. It names each learning parameter that gets no gradient, and the cause. It shows
   * some steps on one batch, labels that are wrong, ignored or never seen, rows in both sets, memory and time.
   *
   * Steps run on copies: model, optimizer, random numbers and the place in the data stay as they were, to the bit. A
   * model's private #fields and closures are out of reach. Throws ValueError for batches that would be used up by
   * looking at one.
   */
  async check(data: B | Batches<B>, options: CheckOptions<B> = {}): Promise<CheckReport> {
    if (this.#running) throw new ValueError('Trainer.check', 'the Trainer is running; check before the training')
    const { check } = await import('./preflight/index.js')
    const isShort = (this.#options as AnyOptions).loss !== undefined
    return check({ ...this.#stepping.subject(), isShort }, data, options)
  }

  /**
   * The peak memory of a training step on a batch, or on the first of batches, whose place is then restored. Nothing is
   * computed: the step runs on a device without elements, and its allocations are counted. With `checkpointing` the
   * model's blocks (see `nn.WithBlocks`) are computed again in the backward pass. With `parts` each batch is cut along
   * its rows, as by `fit({ memory })`.
   *
   * The prediction leaves out the memory of callbacks, of metrics and of batches made ahead, and the kernels' scratch
   * space. Throws ValueError for a step that reads elements, or that takes tensors which are neither in a property of
   * the model nor in the batch.
   */
  async predictMemory(data: B | Batches<B>, options: PredictOptions = {}): Promise<MemoryPrediction> {
    const { predictMemory } = await import('./preflight/index.js')
    return predictMemory(this.#stepping.subject(), data, options)
  }

  /**
   * Measures the model on a test set: its loss, and the Trainer's metrics with bootstrap intervals. For a classifier it
   * adds confusion, calibration and the rows with the worst errors. The bootstrap resamples rows, so the set's batches
   * need rows of one shape. With `against` it measures another model, such as the one before fine-tuning, on the same
   * rows, and the difference. Outputs of all rows are in memory at once. Throws ValueError if a batch has no tensor as
   * its output or target.
   */
  async report(test: Batches<B>, options: ReportOptions<B> = {}): Promise<Report> {
    const op = 'Trainer.report'
    const { guard } = this.#looking.own
    if (guard.turn !== null) await guard.turn
    // The evaluation lasts to the end, so that both sets are looked at in one state of the weights.
    const evaluation = guard.evaluate(op)
    try {
      const { report } = await import('./report/report.js')
      const looking = (model: Module | undefined) => this.#looking.at(op, model)
      const made = await report(op, { metrics: this.#metrics, looking }, test, options)
      evaluation.check()
      return made
    } finally {
      evaluation.end()
    }
  }

  /** Claims the Trainer for one training. */
  #begin(
    op: string,
    batches: Batches<unknown>,
    epochs: number,
    signal: AbortSignal | undefined,
    steps = Number.POSITIVE_INFINITY,
  ): Run<M> {
    checkBatches(op, batches)
    checkSignal(op, signal)
    checkPasses(op, 'batches', batches, epochs)
    signal?.throwIfAborted()
    if (this.#running) throw new ValueError('Trainer', 'is already running; run one training at a time')
    const thrift = this.#thrift(op)
    this.#tell.scheduleEnds(op, stepsIn(batches, this.#stepping.accumulate), epochs, steps)
    if (op === 'Trainer.fit') this.#looking.own.guard.fit(op)
    // From here nothing may throw, because only the end of the training gives both back.
    this.#running = true
    return {
      op,
      batches,
      signal,
      history: new TrainingHistory<M>(),
      epoch: this.#stepping.epochs,
      pass: null,
      from: null,
      thrift,
      budget: null,
      suspects: false,
      data: null,
      journal: null,
      isSaved: false,
      heldOut: new HeldOut(null, null),
      loader: isResumable(batches) ? () => batches.stateDict() : () => null,
    }
  }

  #thrift(op: string): Thrift {
    if (!this.#options.checkpointing) return noThrift
    const recomputed = blockGroups(this.model)
    if (recomputed === null) throw noBlocks(op, this.model)
    return { parts: 1, recomputed }
  }
}
