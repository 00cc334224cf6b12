/** The training loop: short enough to be copied, and never more than two steps ahead of the device. */
import { type AutocastDType, autocast } from '../autograd/autocast.js'
import { zeroGrad } from '../autograd/backward.js'
import { noGrad } from '../autograd/mode.js'
import { shown, ValueError } from '../core/errors.js'
import { checkOptions } from '../core/options.js'
import { scope } from '../core/scope.js'
import type { Tensor } from '../core/tensor.js'
import { type Model, type Module, type Parameter, trainModes } from '../nn/module.js'
import { clipGradNorm } from '../optim/clip.js'
import type { Optimizer } from '../optim/optimizer.js'
import type { Schedule } from '../optim/schedule.js'
import type { Callback, TrainingContext } from './callbacks.js'
import {
  checkBatch,
  checkBatches,
  checkEpochs,
  checkGraph,
  checkLoss,
  checkOutput,
  checkPasses,
  checkReached,
  checkSignal,
  checkTrainer,
  checkWiring,
  noBatches,
  onePass,
} from './checks.js'
import { Guard } from './guard.js'
import { type EpochRecord, type History, type PassRecord, type StepRecord, TrainingHistory } from './history.js'
import { type Metrics, Pass } from './pass.js'
import { progressBar } from './progress.js'

/**
 * Batches of [input, target]: a DataLoader, a list, or a function that makes an iterable for each pass. An iterator, as a
 * generator gives, makes one pass only.
 */
export type Batches<B> = AsyncIterable<B> | Iterable<B> | (() => AsyncIterable<B> | Iterable<B>)

export type Batch = readonly [input: Tensor, target: Tensor]

/** M names the metrics, which its records hold; Out is what the model gives. */
export interface TrainerOptions<M extends string = string, Out = Tensor> {
  /** Over parameters of the model. */
  readonly optimizer: Optimizer
  /** From the model's output and the target to one number, a mean over the batch; batches are weighed by their rows. */
  readonly loss: (output: Out, target: Tensor) => Tensor
  /** Functions that make a metric for each pass: `{ accuracy: metrics.accuracy }`; or metrics. */
  readonly metrics?: Metrics<M, NoInfer<Out>>
  readonly callbacks?: readonly Callback<NoInfer<M>>[]
  /** Of this optimizer. Its lengths, such as tMax, count what `scheduleEvery` says: steps. */
  readonly schedule?: Schedule
  /** When the schedule is stepped: after every 'step' of the optimizer (default), or after every 'epoch'. */
  readonly scheduleEvery?: 'step' | 'epoch'
  /** The most the common norm of the optimised parameters' gradients may be. */
  readonly clipGradNorm?: number
  /** 'bfloat16': model and loss run under `autocast`, in training and evaluation. Default 'float32'. */
  readonly precision?: AutocastDType
}

export interface FitOptions {
  /** Default 1. */
  readonly epochs?: number
  readonly validation?: Batches<Batch>
  /** Ends the training after the running step; `fit` then rejects with its reason, and `history` tells what there was. */
  readonly signal?: AbortSignal
  /** A bar in a terminal. Default true. */
  readonly progress?: boolean
}

export interface StepsOptions {
  /** Default 1. */
  readonly epochs?: number
  readonly signal?: AbortSignal
}

export interface EvaluateOptions {
  readonly signal?: AbortSignal
}

/** One training under way. */
interface Run<M extends string, Out> {
  readonly op: string
  readonly batches: Batches<Batch>
  readonly signal: AbortSignal | undefined
  readonly history: TrainingHistory<M>
  epoch: number
  /** The last epoch's. */
  pass: Pass<M, Out> | null
}

/**
 * Trains a model: a module that takes a batch's input, and gives what the loss function takes, a tensor most often. Modules are trained in the mode that they are in (see `Module.train`); `steps` and `fit` wait between steps
 * while an evaluation of the model runs, whoever began it.
 */
export class Trainer<M extends string = string, Out = Tensor> {
  readonly model: Module
  readonly #forward: (x: Tensor) => Out
  /** Runs model and loss in the precision asked for. */
  readonly #precisely: <R>(fn: () => R) => R
  readonly #options: TrainerOptions<M, Out>
  readonly #guard: Guard
  #steps = 0
  #running = false
  #toldSchedule = false
  #toldUnstepped = false
  #history = new TrainingHistory<M>()

  /** Throws ValueError for options that cannot work, such as an optimizer over another model's parameters. */
  constructor(model: Model<never, Out>, options: TrainerOptions<M, Out>) {
    checkTrainer(model, options)
    checkWiring([...model.parameters()], options.optimizer.parameters())
    const { precision = 'float32' } = options
    this.model = model
    this.#forward = (x) => model.forward(x as never)
    this.#precisely = precision === 'float32' ? (fn) => fn() : (fn) => autocast(precision, fn)
    this.#options = options
    this.#guard = Guard.of(model)
  }

  /** What the last `fit` has gathered; that of one that failed or was aborted too. */
  get history(): History<M> {
    return this.#history
  }

  /**
   * Trains for `epochs` passes; measures the validation set after each. A loss that is not finite is told of once, by a
   * warning of the process, and in the history. Throws ValueError where there is nothing to train on or to train.
   */
  async fit(batches: Batches<Batch>, options: FitOptions = {}): Promise<History<M>> {
    const op = 'Trainer.fit'
    checkOptions(op, options, { epochs: true, validation: true, signal: true, progress: true })
    const { epochs = 1, validation, signal, progress = true } = options
    if (typeof progress !== 'boolean')
      throw new ValueError(op, `progress is ${shown(progress)}, but must be true or false`)
    if (validation !== undefined) {
      checkEpochs(op, epochs)
      checkBatches(op, validation)
      checkPasses(op, 'validation batches', validation, epochs)
    }
    const run = this.#begin(op, batches, epochs, signal)
    const history = run.history
    this.#history = history
    const callbacks = [...(this.#options.callbacks ?? []), ...(progress ? [progressBar()] : [])]
    const context: TrainingContext = {
      model: this.model,
      epochs,
      stepsPerEpoch: lengthOf(batches),
      monitors: this.#monitors(validation !== undefined),
      stop: (reason) => {
        history.stopped ??= reason
      },
    }
    const started: Callback<M>[] = []
    let failed = true
    try {
      for (const callback of callbacks) {
        await callback.onStart?.(context)
        started.push(callback)
      }
      for (let epoch = 0; epoch < epochs && history.stopped === null; epoch++) {
        const record = await this.#fitEpoch(run, epoch, validation, callbacks, context)
        history.epochs.push(record)
        for (const callback of callbacks) await callback.onEpochEnd?.(record, context)
      }
      failed = false
    } catch (error) {
      history.stopped ??= signal?.aborted ? `aborted: ${String(signal.reason)}` : `failed: ${String(error)}`
      throw error
    } finally {
      run.pass?.end()
      await endAll(started, context, failed).finally(() => {
        this.#running = false
      })
    }
    return history
  }

  async #fitEpoch(
    run: Run<M, Out>,
    epoch: number,
    validation: Batches<Batch> | undefined,
    callbacks: readonly Callback<M>[],
    context: TrainingContext,
  ): Promise<EpochRecord<M>> {
    const started = performance.now()
    let lr = Number.NaN
    for await (const step of this.#epoch(run, epoch)) {
      lr = this.#options.optimizer.paramGroups[0]?.lr ?? Number.NaN
      for (const callback of callbacks) {
        const done = callback.onStep?.(step, context)
        if (done !== undefined) await done
      }
      if (run.history.stopped !== null) break
    }
    const pass = run.pass as Pass<M, Out>
    const training = await pass.record().finally(() => pass.end())
    const { signal } = run
    const measured = validation && {
      validation: await this.#measure(run.op, 'validation batches', validation, signal),
    }
    if (measured && !Number.isFinite(measured.validation.loss))
      tellNonFinite(run, epoch, null, measured.validation.loss)
    return { epoch, ...training, seconds: (performance.now() - started) / 1000, lr, ...measured }
  }

  /** The steps of `epochs` passes, one by one, for a loop of one's own. Each has been submitted when it is seen. */
  async *steps(batches: Batches<Batch>, options: StepsOptions = {}): AsyncGenerator<StepRecord> {
    const op = 'Trainer.steps'
    const { epochs = 1, signal } = checkOptions(op, options, { epochs: true, signal: true })
    const run = this.#begin(op, batches, epochs, signal)
    try {
      for (let epoch = 0; epoch < epochs; epoch++) {
        yield* this.#epoch(run, epoch)
        await run.pass?.settle()
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
  async evaluate(batches: Batches<Batch>, options: EvaluateOptions = {}): Promise<PassRecord<M>> {
    const op = 'Trainer.evaluate'
    const { signal } = checkOptions(op, options, { signal: true })
    checkBatches(op, batches)
    checkSignal(op, signal)
    return this.#measure(op, 'batches', batches, signal)
  }

  #measure(op: string, name: string, batches: Batches<Batch>, signal: AbortSignal | undefined): Promise<PassRecord<M>> {
    return this.#guard.evaluating(op, async (checkUnchanged) => {
      const pass = new Pass(op, this.#metrics)
      try {
        for await (const batch of onePass(op, batches)) {
          signal?.throwIfAborted()
          const [input, target] = checkBatch(op, batch)
          checkUnchanged()
          const { read } = scope(() =>
            noGrad(() => {
              const [output, loss] = this.#run(op, input, target)
              pass.observe(output, target)
              return { read: loss.data() }
            }),
          )
          await pass.submitted(firstOf(read), items(input))
        }
        if (pass.batches === 0) throw noBatches(op, name)
        return await pass.record()
      } finally {
        pass.end()
      }
    })
  }

  /** Claims the Trainer for one training. */
  #begin(op: string, batches: Batches<Batch>, epochs: number, signal: AbortSignal | undefined): Run<M, Out> {
    checkBatches(op, batches)
    checkSignal(op, signal)
    checkEpochs(op, epochs)
    checkPasses(op, 'batches', batches, epochs)
    signal?.throwIfAborted()
    if (this.#running) throw new ValueError('Trainer', 'is running already; one training at a time')
    this.#running = true
    this.#tellScheduleEnds(op, batches, epochs)
    return { op, batches, signal, history: new TrainingHistory<M>(), epoch: 0, pass: null }
  }

  /** The steps of one pass. Its losses and metrics are in `run.pass`, which the caller ends. */
  async *#epoch(run: Run<M, Out>, epoch: number): AsyncGenerator<StepRecord> {
    const { op, batches, signal } = run
    const { optimizer, schedule, scheduleEvery } = this.#options
    const optimized = optimizer.parameters()
    if (!optimized.some((parameter) => parameter.requiresGrad))
      throw new ValueError(
        op,
        `all of the optimizer's ${optimized.length} parameters are frozen; unfreeze what is to learn`,
      )
    // Gradients from before the training would add up, as would those of parameters that nobody steps.
    const stepped = new Set(optimized)
    const others = [...this.model.parameters()].filter((parameter) => !stepped.has(parameter))
    this.#tellUnstepped(op, stepped)
    optimizer.zeroGrad()
    run.pass?.end()
    const pass = new Pass(op, this.#metrics, (loss, index) => {
      if (!Number.isFinite(loss)) tellNonFinite(run, epoch, index, loss)
    })
    run.pass = pass
    run.epoch = epoch
    let index = 0
    for await (const batch of onePass(op, batches)) {
      signal?.throwIfAborted()
      const [input, target] = checkBatch(op, batch)
      if (this.#guard.busy) await this.#guard.quiet()
      // Before each step, because a callback may have called eval() for a prediction.
      trainModes(this.model)
      const { read } = this.#guard.step(() => this.#step(run, input, target, others))
      const loss = firstOf(read)
      const submitted = pass.submitted(loss, items(input))
      // Awaited below; while a callback takes its time, an error must not count as unhandled.
      submitted.catch(() => undefined)
      yield { epoch, index: index++, step: this.#steps++, items: items(input), loss: () => loss }
      await submitted
    }
    if (index === 0) throw noBatches(op, 'batches')
    await pass.settle()
    if (scheduleEvery === 'epoch') schedule?.step()
  }

  #run(op: string, input: Tensor, target: Tensor): readonly [output: Out, loss: Tensor] {
    return this.#precisely(() => {
      const output = this.#forward(input)
      checkOutput(op, output)
      const loss = this.#options.loss(output, target)
      checkLoss(op, loss)
      return [output, loss] as const
    })
  }

  /** One step; returns its loss, which is being read. Everything that it made is freed here. */
  #step(
    run: Run<M, Out>,
    input: Tensor,
    target: Tensor,
    others: readonly Parameter[],
  ): { readonly read: ReturnType<Tensor['data']> } {
    const { optimizer, clipGradNorm: maxNorm } = this.#options
    const pass = run.pass as Pass<M, Out>
    return scope(() => {
      const [output, loss] = this.#run(run.op, input, target)
      checkGraph(run.op, loss)
      loss.backward()
      if (pass.batches === 0) checkReached(run.op, optimizer.parameters())
      if (maxNorm !== undefined) clipGradNorm(optimizer.parameters(), maxNorm)
      optimizer.step()
      optimizer.zeroGrad()
      zeroGrad(others)
      this.#stepSchedule(run)
      pass.observe(output, target)
      // Read last, so that waiting for it is waiting for the step.
      return { read: loss.data() }
    })
  }

  #stepSchedule({ op }: Run<M, Out>): void {
    const { schedule, scheduleEvery = 'step' } = this.#options
    if (schedule === undefined || scheduleEvery !== 'step') return
    schedule.step()
    const { end, steps } = schedule
    if (end !== null && steps > end)
      this.#tellSchedule(op, `came to its end after ${end} steps, but the training goes on`)
  }

  /** Where the number of steps is known, before a night is spent at the last rate, which may be 0. */
  #tellScheduleEnds(op: string, batches: Batches<Batch>, epochs: number): void {
    const { schedule, scheduleEvery = 'step' } = this.#options
    const each = scheduleEvery === 'epoch' ? 1 : lengthOf(batches)
    if (schedule === undefined || schedule.end === null || each === null) return
    const planned = epochs * each
    if (schedule.steps + planned > schedule.end)
      this.#tellSchedule(
        op,
        `ends after ${schedule.end} steps, of which ${schedule.steps} are taken, but this training takes ${planned}`,
      )
  }

  #tellSchedule(op: string, what: string): void {
    if (this.#toldSchedule) return
    this.#toldSchedule = true
    process.emitWarning(
      `[${op}] the schedule ${what}; a schedule counts steps: multiply epochs by the batches of one, make a new schedule for ` +
        "a new training, or give the Trainer scheduleEvery: 'epoch'",
    )
  }

  /** Says once what learns nothing because nobody steps it, such as an adapter that came after a list of parameters. */
  #tellUnstepped(op: string, stepped: ReadonlySet<Parameter>): void {
    if (this.#toldUnstepped) return
    const left = this.model
      .namedParameters()
      .filter(([, parameter]) => parameter.requiresGrad && !stepped.has(parameter))
    if (left.length === 0) return
    this.#toldUnstepped = true
    const names = left.slice(0, 4).map(([name]) => name)
    process.emitWarning(
      `[${op}] ${left.length} parameters of the model want gradients, but are not in the optimizer, and stay as they are: ` +
        `${names.join(', ')}${left.length > names.length ? ', ...' : ''}; add them (model.parameters() sees layers that come later, ` +
        'a list does not), or freeze them',
    )
  }

  get #metrics(): Metrics<M, Out> {
    return this.#options.metrics ?? ({} as Metrics<M, Out>)
  }

  /** The numbers of an epoch's record, by their paths. */
  #monitors(validated: boolean): readonly string[] {
    const measured = ['loss', ...Object.keys(this.#metrics)]
    return [...measured, ...(validated ? measured.map((name) => `validation.${name}`) : []), 'lr', 'seconds', 'epoch']
  }
}

/** Ends all callbacks, whatever one of them throws. Their errors do not hide the one that the training failed with. */
async function endAll(
  callbacks: readonly Pick<Callback, 'onEnd'>[],
  context: TrainingContext,
  failed: boolean,
): Promise<void> {
  const errors: unknown[] = []
  for (const callback of callbacks) {
    try {
      await callback.onEnd?.(context)
    } catch (error) {
      errors.push(error)
    }
  }
  for (const error of failed ? errors : errors.slice(1))
    process.emitWarning(`[Trainer.fit] a callback's onEnd failed too: ${String(error)}`)
  if (!failed && errors.length > 0) throw errors[0]
}

/** Says once a training that a loss is not finite. */
function tellNonFinite(
  { op, history }: Pick<Run<string, unknown>, 'op' | 'history'>,
  epoch: number,
  index: number | null,
  loss: number,
): void {
  if (history.nonFinite !== null) return
  history.nonFinite = { epoch, index, loss }
  const where =
    index === null ? `of the validation after epoch ${epoch + 1}` : `of batch ${index + 1} of epoch ${epoch + 1}`
  process.emitWarning(
    `[${op}] the loss ${where} is ${loss}; look for such numbers in the data, or take a smaller learning rate or clipGradNorm`,
  )
}

async function firstOf(read: ReturnType<Tensor['data']>): Promise<number> {
  return (await read)[0] as number
}

/** The number of batches, where they know it. */
function lengthOf(batches: Batches<Batch>): number | null {
  if (typeof batches === 'function' || !('length' in batches)) return null
  return Number.isSafeInteger(batches.length) ? (batches.length as number) : null
}

/** Items in a batch: the size of its first dimension. */
function items(input: Tensor): number {
  return input.sizes[0] ?? 1
}
