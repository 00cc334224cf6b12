/** The training loop: short enough to be copied, and never more than two steps ahead of the device. */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { type AutocastDType, autocast } from '../autograd/autocast.js'
import { noGrad } from '../autograd/mode.js'
import { ValueError } from '../core/errors.js'
import { checkOptions } from '../core/options.js'
import { keep, scope } from '../core/scope.js'
import { Tensor } from '../core/tensor.js'
import type { Module } from '../nn/module.js'
import { mul } from '../ops/elementwise/index.js'
import { clipGradNorm } from '../optim/clip.js'
import type { Optimizer } from '../optim/optimizer.js'
import type { Schedule } from '../optim/schedule.js'
import type { Callback, TrainingContext } from './callbacks.js'
import type { EpochRecord, History, PassRecord, StepRecord } from './history.js'
import { type Metric, RunningMean } from './metrics.js'
import { progressBar } from './progress.js'

/** Batches of [input, target]; one pass each time it is iterated. A DataLoader, an array, an async generator's maker. */
export type Batches<B> = AsyncIterable<B> | Iterable<B>

export type Batch = readonly [input: Tensor, target: Tensor]

export interface TrainerOptions {
  readonly optimizer: Optimizer<{ lr: number }>
  /** From the model's output and the target to one number, a mean over the batch. */
  readonly loss: (output: Tensor, target: Tensor) => Tensor
  readonly metrics?: { readonly [name: string]: Metric }
  readonly callbacks?: readonly Callback[]
  /** Stepped after every step. */
  readonly schedule?: Schedule
  /** The most the gradients' common norm may be. */
  readonly clipGradNorm?: number
  /** 'bfloat16': model and loss run under `autocast`, in training and evaluation. Default 'float32'. */
  readonly precision?: AutocastDType
}

export interface FitOptions {
  /** Default 1. */
  readonly epochs?: number
  readonly validation?: Batches<Batch>
  /** Ends the training after the running step; `fit` then rejects with its reason. */
  readonly signal?: AbortSignal
  /** A bar in a terminal. Default true. */
  readonly progress?: boolean
}

/** A module that takes one tensor and gives one. */
interface Model extends Module {
  forward(x: never): Tensor
}

/** How many steps may be submitted before the loss of the first must be there. */
const stepsAhead = 2

function checkBatches(op: string, batches: unknown): void {
  const iterable = typeof batches === 'object' && batches !== null
  if (!iterable || !(Symbol.asyncIterator in batches || Symbol.iterator in batches))
    throw new ValueError(op, `the batches are ${String(batches)}, but must be a DataLoader or another iterable`)
}

export class Trainer {
  readonly model: Module
  readonly #forward: (x: Tensor) => Tensor
  /** Runs model and loss in the precision asked for. */
  readonly #precisely: <R>(fn: () => R) => R
  readonly #options: TrainerOptions
  #steps = 0
  #running = false
  readonly #loss = new RunningMean()
  #stopped: string | null = null

  constructor(model: Model, options: TrainerOptions) {
    checkOptions('Trainer', options, {
      optimizer: true,
      loss: true,
      metrics: true,
      callbacks: true,
      schedule: true,
      clipGradNorm: true,
      precision: true,
    })
    if (typeof options.loss !== 'function')
      throw new ValueError('Trainer', 'needs a loss function: (output, target) => Tensor')
    if (typeof options.optimizer?.step !== 'function') throw new ValueError('Trainer', 'needs an optimizer')
    if (options.clipGradNorm !== undefined && !(options.clipGradNorm > 0))
      throw new ValueError('Trainer', `clipGradNorm is ${String(options.clipGradNorm)}, but must be positive`)
    const { precision = 'float32' } = options
    if (precision !== 'float32' && precision !== 'bfloat16')
      throw new ValueError('Trainer', `precision is '${String(precision)}', but must be 'float32' or 'bfloat16'`)
    this.model = model
    this.#forward = (x) => model.forward(x as never)
    this.#precisely = precision === 'float32' ? (fn) => fn() : (fn) => autocast(precision, fn)
    this.#options = options
  }

  /** Trains for `epochs` passes; measures the validation set after each. */
  async fit(batches: Batches<Batch>, options: FitOptions = {}): Promise<History> {
    checkOptions('Trainer.fit', options, { epochs: true, validation: true, signal: true, progress: true })
    const { epochs = 1, validation, signal, progress = true } = options
    checkBatches('Trainer.fit', batches)
    if (!Number.isInteger(epochs) || epochs < 0)
      throw new ValueError('Trainer.fit', `epochs is ${String(epochs)}, but must be a non-negative integer`)
    const records: EpochRecord[] = []
    const callbacks = [...(this.#options.callbacks ?? []), ...(progress ? [progressBar()] : [])]
    const context: TrainingContext = {
      model: this.model,
      epochs,
      stepsPerEpoch: 'length' in batches && typeof batches.length === 'number' ? batches.length : null,
      stop: (reason) => {
        this.#stopped = reason
      },
    }
    this.#stopped = null
    for (const callback of callbacks) await callback.onStart?.(context)
    try {
      for (let epoch = 0; epoch < epochs && this.#stopped === null; epoch++) {
        const started = performance.now()
        for await (const step of this.#epoch(batches, epoch, signal)) {
          for (const callback of callbacks) callback.onStep?.(step, context)
          if (this.#stopped !== null) break
        }
        const training = await this.#measured()
        const measured = validation
          ? { validation: await this.evaluate(validation, { ...(signal ? { signal } : {}) }) }
          : {}
        const lr = this.#options.optimizer.paramGroups[0]?.lr ?? Number.NaN
        const record: EpochRecord = {
          epoch,
          ...training,
          seconds: (performance.now() - started) / 1000,
          lr,
          ...measured,
        }
        records.push(record)
        for (const callback of callbacks) await callback.onEpochEnd?.(record, context)
      }
    } finally {
      for (const callback of callbacks) await callback.onEnd?.(context)
    }
    return { epochs: records, stopped: this.#stopped }
  }

  /** The steps of `epochs` passes, one by one, for a loop of one's own. Each has been submitted when it is seen. */
  async *steps(
    batches: Batches<Batch>,
    { epochs = 1, signal }: { readonly epochs?: number; readonly signal?: AbortSignal } = {},
  ): AsyncGenerator<StepRecord> {
    for (let epoch = 0; epoch < epochs; epoch++) yield* this.#epoch(batches, epoch, signal)
  }

  /** Loss and metrics over a set, without gradients, in evaluation mode. */
  async evaluate(batches: Batches<Batch>, { signal }: { readonly signal?: AbortSignal } = {}): Promise<PassRecord> {
    const { training } = this.model
    const loss = new RunningMean()
    for (const metric of this.#metrics()) metric.reset()
    this.model.eval()
    try {
      const pace = new Pace()
      for await (const [input, target] of batches) {
        signal?.throwIfAborted()
        const seen = scope(() =>
          noGrad(() => {
            const [output, value] = this.#run(input, target)
            loss.update(mul(value, items(input)) as Tensor, items(input))
            for (const metric of this.#metrics()) metric.update(readable(output), target)
            return value
          }),
        )
        await pace.submitted(seen)
      }
      await pace.finish()
    } finally {
      this.model.train(training)
    }
    return this.#record(loss)
  }

  async *#epoch(batches: Batches<Batch>, epoch: number, signal: AbortSignal | undefined): AsyncGenerator<StepRecord> {
    if (this.#running) throw new ValueError('Trainer', 'is running already; one training at a time')
    this.#running = true
    this.model.train()
    this.#loss.reset()
    for (const metric of this.#metrics()) metric.reset()
    const pace = new Pace()
    try {
      let index = 0
      for await (const batch of batches) {
        signal?.throwIfAborted()
        const [input, target] = checkBatch(batch)
        const loss = this.#step(input, target)
        const read = pace.submitted(loss)
        yield {
          epoch,
          index: index++,
          step: this.#steps++,
          items: items(input),
          loss: () => loss.data().then((values) => values[0] as number),
        }
        await read
      }
      await pace.finish()
    } finally {
      this.#running = false
    }
  }

  #run(input: Tensor, target: Tensor): readonly [output: Tensor, loss: Tensor] {
    return this.#precisely(() => {
      const output = this.#forward(input)
      return [output, this.#options.loss(output, target)] as const
    })
  }

  /** One step; returns its loss. Everything else that it made is freed here. */
  #step(input: Tensor, target: Tensor): Tensor {
    const { optimizer, schedule, clipGradNorm: maxNorm } = this.#options
    return scope(() => {
      const [output, loss] = this.#run(input, target)
      loss.backward()
      if (maxNorm !== undefined) clipGradNorm(parametersOf(this.model), maxNorm)
      optimizer.step()
      optimizer.zeroGrad()
      schedule?.step()
      this.#loss.update(
        noGrad(() => mul(loss.detach(), items(input)) as Tensor),
        items(input),
      )
      for (const metric of this.#metrics())
        metric.update(
          noGrad(() => readable(output.detach())),
          target,
        )
      return noGrad(() => keep(loss.detach().clone()))
    })
  }

  #metrics(): readonly Metric[] {
    return Object.values(this.#options.metrics ?? {})
  }

  #measured(): Promise<PassRecord> {
    return this.#record(this.#loss)
  }

  async #record(loss: RunningMean): Promise<PassRecord> {
    const numbers: { [name: string]: number } = {}
    for (const [name, metric] of Object.entries(this.#options.metrics ?? {})) numbers[name] = await metric.compute()
    return { ...numbers, loss: await loss.compute() }
  }
}

function parametersOf(model: Module): Iterable<Tensor> {
  return model.parameters()
}

/** For metrics, which need not know of bfloat16. */
function readable(output: Tensor): Tensor {
  return output.dtype === 'bfloat16' ? output.to('float32') : output
}

/** Items in a batch: the size of its first dimension. */
function items(input: Tensor): number {
  return input.shape[0] ?? 1
}

function checkBatch(batch: Batch): Batch {
  if (!Array.isArray(batch) || batch.length !== 2 || !(batch[0] instanceof Tensor) || !(batch[1] instanceof Tensor))
    throw new ValueError(
      'Trainer',
      'a batch must be [input, target], two tensors; let the dataset or its collate function make that',
    )
  return batch
}

/** Keeps the program at most two steps ahead of the device, and lets the event loop turn. */
class Pace {
  readonly #losses: Promise<unknown>[] = []

  async submitted(loss: Tensor): Promise<void> {
    const read = loss.data()
    // Whoever awaits it later sees the error; until then it must not count as unhandled.
    read.catch(() => undefined)
    this.#losses.push(read)
    if (this.#losses.length > stepsAhead) await this.#losses.shift()
    // A read that is there at once resolves within the same turn: timers and sockets must get theirs all the same.
    await nextTurn()
  }

  async finish(): Promise<void> {
    for (const loss of this.#losses.splice(0)) await loss
  }
}
