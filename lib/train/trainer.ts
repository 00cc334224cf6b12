/**
 * The Trainer: fits, and steps for a program's own loop, with everything around them. `epochs.ts` has the epochs of a fit,
 * `stepping.ts` the steps, and `looking.ts` evaluations.
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
import { epochsOf, goOn, planOf, type Run } from './run.js'
import { interruption, openSaver, type Saver } from './saver.js'
import { Stepping } from './stepping.js'
import { endAll, Tellings } from './tell.js'

/**
 * Trains a model. In the short form it takes a batch's input, and gives what the loss function takes. Modules are trained in the mode that they are in (see `Module.train`); `steps` and `fit` wait between steps
 * while an evaluation of the model runs, whoever began it. M names the metrics, B is a batch.
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

  /** Throws ValueError for options that cannot work, such as an optimizer over another model's parameters. */
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

  /** The options that it was made with. */
  get options(): CommonOptions<M> {
    return this.#options
  }

  /** Whether a fit or a loop over steps is under way. */
  get running(): boolean {
    return this.#running
  }

  /** The history of the last `fit`, also of one that failed or was aborted. */
  get history(): History<M> {
    return this.#history
  }

  /**
   * Trains for `epochs` passes, or until `steps` or `minutes` are over, whichever is first; measures the validation set after each
   * pass or as `validateEvery` says. A second fit goes on counting epochs and steps. A loss that is not finite is told of once, by a
   * warning of the process, and in the history. Throws ValueError where there is nothing to train on or to train.
   */
  async fit(batches: Batches<B>, options: FitOptions<B> = {}): Promise<History<M>> {
    const op = 'Trainer.fit'
    checkFit(op, options, this.#options.checkpoints)
    const { steps, validation, signal, resume, memory, progress = true } = options
    const { Budget } = memory === undefined ? { Budget: null } : await import('./preflight/index.js')
    const budget = Budget === null ? null : new Budget(op, this.#stepping.subject(), memory)
    const run = this.#begin(op, batches, epochsOf(options), signal, steps)
    run.budget = budget
    run.heldOut = new HeldOut(validation, batches)
    const history = run.history
    this.#history = history
    const context: { -readonly [K in keyof TrainingContext]: TrainingContext[K] } = {
      model: this.model,
      epochs: 0,
      stepsPerEpoch: stepsIn(batches, this.#stepping.accumulate),
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
      recording = await Recording.open(op, this.#options, batches, history)
      run.journal = recording.journal
      const parts = this.#partsOf(run, recording)
      saver = await openSaver(op, parts, this.#metrics, resume)
      const plan = planOf(
        options,
        saver?.from?.fit ?? { epochs: this.#stepping.epochs, steps: this.#stepping.steps, time: 0 },
      )
      if (saver?.from != null) {
        goOn(run, saver.from)
        this.#stepping.steps = saver.from.steps
        this.#stepping.epochs = saver.from.epochs
      }
      this.#tell.neverValidates(op, plan, context.stepsPerEpoch)
      context.epochs = plan.epochs
      await recording.begin(parts, options, saver?.from ?? null, this.#stepping.epochs, context)
      const callbacks: Callback<M>[] = [...(this.#options.callbacks ?? []), ...(progress ? [progressBar()] : [])]
      for (const callback of callbacks) {
        await callback.onStart?.(context)
        started.push(callback)
      }
      callbacks.push(recording.journal)
      saver?.loadCallbacks()
      saver?.watch((interrupted) => {
        run.signal = signal === undefined ? interrupted : AbortSignal.any([signal, interrupted])
      })
      const parties = { stepping: this.#stepping, looking: this.#looking, averaged: this.#averaged, tell: this.#tell }
      await new Epochs({ run, plan, saver, callbacks, context, ...parties }).run()
      await saver?.finish()
      this.#averaged?.finish()
      failed = false
    } catch (error) {
      if (!(run.signal?.aborted && error === run.signal.reason)) {
        history.stopped ??= `failed: ${String(error)}`
        throw error
      }
      history.stopped ??= error === interruption ? interruption : `aborted: ${String(error)}`
      await saver?.finish()
      this.#averaged?.finish()
      failed = false
    } finally {
      saver?.unwatch()
      run.pass?.end()
      // The folder must not be given back while a checkpoint is being written.
      await saver?.finish().catch(() => undefined)
      await endAll(started, context, failed).finally(async () => {
        await recording?.end()
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
   * The steps of `epochs` passes, one by one, for a loop of one's own. Each has been submitted when it is seen. Throws ValueError for
   * a Trainer with callbacks, checkpoints, a run or loggers, which are `fit`'s alone.
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
   * Loss and metrics over a set, without gradients, in evaluation mode; modes are put back after. During a training its next
   * step waits for it. Throws ValueError where there are no batches, or something else changes the weights meanwhile.
   */
  async evaluate(batches: Batches<B>, options: EvaluateOptions = {}): Promise<PassRecord<M>> {
    const op = 'Trainer.evaluate'
    const { signal, model } = checkOptions(op, options, { signal: true, model: true })
    checkBatches(op, batches)
    checkSignal(op, signal)
    return this.#looking.measure(op, 'batches', batches, signal, model)
  }

  /**
   * What the model makes of each batch, one by one, without gradients, in evaluation mode. A batch may be as in training, or in the
   * short form an input without its target. Each output is the program's; no training step runs until the loop is left.
   */
  async *predict(batches: Batches<B | Tensor>, options: EvaluateOptions = {}): AsyncGenerator<Tensor> {
    const op = 'Trainer.predict'
    const { signal, model } = checkOptions(op, options, { signal: true, model: true })
    checkBatches(op, batches)
    checkSignal(op, signal)
    yield* this.#looking.predict(op, batches, signal, model)
  }

  /**
   * Looks for what wastes a training before it begins, on a batch, or on the first of batches; with batches all labels are looked at
   * too, and with `validation` all rows: the first loss beside what chance gives, a gradient at every parameter that learns or what cut
   * it off, some steps on one batch, labels that are wrong, ignored or never seen, rows that stand in both sets, memory and time.
   *
   * Steps run on copies: model, optimizer, random numbers and the place in the data are as they were, to the bit. What a model keeps in
   * private #fields or closures is out of reach. Throws ValueError for batches of which one that is looked at is gone.
   */
  async check(data: B | Batches<B>, options: CheckOptions<B> = {}): Promise<CheckReport> {
    if (this.#running) throw new ValueError('Trainer.check', 'the Trainer is running; check before the training')
    const { check } = await import('./preflight/index.js')
    const isShort = (this.#options as AnyOptions).loss !== undefined
    return check({ ...this.#stepping.subject(), isShort }, data, options)
  }

  /**
   * The peak memory of a training step on a batch, or on the first of batches, which are put back to where they were. Nothing is
   * computed: the step runs on a device without elements, and what it would allocate is counted. The model's blocks (see
   * `nn.WithBlocks`) are taken to be computed again in the backward pass with `checkpointing`, and each batch to be cut along its rows
   * into `parts`, as `fit({ memory })` does.
   *
   * Memory of callbacks, of metrics and of batches that are made ahead is not in it, nor is the scratch space of kernels. Throws
   * ValueError for a step that reads elements, or takes tensors that are neither in a property of the model nor in the batch.
   */
  async predictMemory(data: B | Batches<B>, options: PredictOptions = {}): Promise<MemoryPrediction> {
    const { predictMemory } = await import('./preflight/index.js')
    return predictMemory(this.#stepping.subject(), data, options)
  }

  /**
   * What the model can do on a test set: its loss, the Trainer's metrics with intervals by the bootstrap (rows are drawn anew, so that the
   * set's batches need rows of one shape), and of a classifier confusion, calibration and the rows it was most wrong about. With
   * `against` the same of another model, such as the one before its fine-tuning, on the same rows, and the difference. Outputs of all rows
   * are in memory at once. Throws ValueError where a batch has no tensor for its output or target.
   */
  async report(test: Batches<B>, options: ReportOptions<B> = {}): Promise<Report> {
    const op = 'Trainer.report'
    const { guard } = this.#looking.own
    if (guard.turn !== null) await guard.turn
    // From here to the end, so that both sets are looked at in one state of the weights.
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
    if (this.#running) throw new ValueError('Trainer', 'is running already; one training at a time')
    this.#running = true
    this.#tell.scheduleEnds(op, stepsIn(batches, this.#stepping.accumulate), epochs, steps)
    return {
      op,
      batches,
      signal,
      history: new TrainingHistory<M>(),
      epoch: this.#stepping.epochs,
      pass: null,
      from: null,
      thrift: this.#thrift(op),
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
