/** Options of a Trainer and of its methods. */
import type { AutocastDType } from '../autograd/autocast.js'
import type { Tensor } from '../core/tensor.js'
import type { Module } from '../nn/module.js'
import type { Averaging } from '../optim/average.js'
import type { Optimizer } from '../optim/optimizer.js'
import type { Schedule } from '../optim/schedule.js'
import type { Callback } from './callbacks.js'
import type { CheckpointOptions } from './checkpoints.js'
import type { Batch, Loss, Objective } from './objective.js'
import type { Metrics } from './pass.js'
import type { Logger } from './record/events.js'

/**
 * Batches: a DataLoader, a list, or a function that makes an iterable for each pass. An iterator, as a generator gives, makes one
 * pass only.
 */
export type Batches<B> = AsyncIterable<B> | Iterable<B> | (() => AsyncIterable<B> | Iterable<B>)

/** The result of a model. */
type OutputOf<Mod> = Mod extends { forward(x: never): infer O } ? O : never

/** How a batch gets its loss: one of three. */
export type Learning<Mod extends Module, B, M extends string> =
  | {
      /**
       * The short form, over batches of [input, target]: from the model's output and the target to one number, a mean over the
       * batch's rows. Where rows count differently, as tokens do, take `step` or `objective`.
       */
      readonly loss: (output: OutputOf<Mod>, target: Tensor) => Tensor
      /** Functions that make a metric for each pass: `{ accuracy: metrics.accuracy }`; or metrics. */
      readonly metrics?: Metrics<M, NoInfer<OutputOf<Mod>>>
      readonly step?: undefined
      readonly objective?: undefined
    }
  | {
      /** Over batches of any form: runs the model itself. */
      readonly step: (batch: B) => Loss
      /** Functions that make a metric for each pass: `{ accuracy: metrics.accuracy }`; or metrics. */
      readonly metrics?: Metrics<M, never>
      readonly loss?: undefined
      readonly objective?: undefined
    }
  | {
      /** Over batches of any form, and for any model of its kind. */
      readonly objective: Objective<Mod, B, M>
      /** Besides the objective's own: functions that make a metric for each pass: `{ accuracy: metrics.accuracy }`; or metrics. */
      readonly metrics?: Metrics<M, never>
      readonly loss?: undefined
      readonly step?: undefined
    }

/** Options of a Trainer, however it learns. M names the metrics. */
export interface CommonOptions<M extends string> {
  /** Over parameters of the model. */
  readonly optimizer: Optimizer
  readonly callbacks?: readonly Callback<NoInfer<M>>[]
  /** A schedule of this optimizer. Its lengths, such as tMax, count steps, or epochs if `scheduleEvery` says so. */
  readonly schedule?: Schedule
  /** When the schedule is stepped: after every 'step' of the optimizer (default), or after every 'epoch'. */
  readonly scheduleEvery?: 'step' | 'epoch'
  /**
   * Batches a step: gradients of so many are summed before the optimizer steps, as if they were one batch. Default 1. The last
   * step of a pass takes those that are left.
   */
  readonly accumulate?: number
  /**
   * Averages of the weights over the steps, such as `optim.ema(0.999)` or `optim.swa()`: validations measure them, what `onValidation` sees of
   * the model are they, and the model has them for its weights when a fit ends without an error. Buffers, such as running statistics, are the model's own.
   */
  readonly average?: Averaging
  /** Steps of the Trainer before averages begin. Default 0. */
  readonly averageAfter?: number
  /** The most the common norm of the optimised parameters' gradients may be. */
  readonly clipGradNorm?: number
  /**
   * The run's folder, made where it is missing: `fit` writes `run.json` (configuration, versions, seeds, machine), `events.jsonl` (what
   * loggers are told) and `checkpoints/` there. With `checkpoints: { folder }` it is that one. No two fits may have it at once.
   */
  readonly run?: string
  /** Told what happens in a fit: `consoleLogger()`, `csvLogger(path)`, `tensorBoard(folder)`, `jsonLines(path)`. */
  readonly loggers?: readonly Logger[]
  /** Steps between what loggers and the run's folder are told of steps, as means over them. Default: about ten times a second. */
  readonly logEvery?: number
  /** Whether loggers and the run's folder are told the norm of gradients that nobody clips. Default false. */
  readonly gradNorm?: boolean
  /**
   * Lets `fit` write checkpoints, from which one with `resume: 'auto'` goes on: `{ folder: 'runs/first', every: '10 minutes', keep: 3 }`.
   * Ctrl-C then ends the fit after the running step, with a checkpoint; a second one ends the process.
   */
  readonly checkpoints?: CheckpointOptions
  /**
   * Whether the model's blocks (see `nn.WithBlocks`) are computed again in the backward pass instead of kept, which costs one more
   * forward pass and saves most of the memory of activations. Gradients have the same bits. Default false.
   */
  readonly checkpointing?: boolean
  /**
   * Whether each step waits for its loss and gradients and, where one is not finite, ends the training with ValueError before the
   * optimizer steps: the step runs again, watched, with the same random numbers, and the error names the first operator, its module and
   * the step. Without it a loss that is not finite is told of when it is there, and the next step is looked through. Default false.
   */
  readonly detectAnomaly?: boolean
  /** 'bfloat16': model and loss run under `autocast`, in training and evaluation. Default 'float32'. */
  readonly precision?: AutocastDType
}

/** M names the metrics, which its records hold; B is a batch. */
export type TrainerOptions<M extends string = string, B = Batch, Mod extends Module = Module> = CommonOptions<M> &
  Learning<Mod, B, M>

export interface FitOptions<B = Batch> {
  /** Passes over the batches. Default 1; with `steps` or `minutes` as many as it takes. */
  readonly epochs?: number
  /** Ends after so many steps of the optimizer, in the middle of a pass too. */
  readonly steps?: number
  /** Ends with the step that is running after so many minutes. */
  readonly minutes?: number
  readonly validation?: Batches<B>
  /** Steps between validations, and one at the end. Default: one after every epoch. */
  readonly validateEvery?: number
  /** Ends the training after the running step; `fit` then gives the history so far, whose `stopped` tells the reason. */
  readonly signal?: AbortSignal
  /**
   * 'auto': goes on from the newest whole checkpoint in the folder of `checkpoints`, if there is one, as if the run had never
   * been cut: with the same program and data it ends with the same weights, to the bit. `epochs`, `steps` and `minutes` count from the
   * run's beginning. Batches that are no DataLoader must come in the same order again.
   */
  readonly resume?: 'auto'
  /**
   * The most that tensors of the training may take at once, such as '8 GB', '512 MiB' or a number of bytes; what is in memory besides,
   * as data, does not count, nor does scratch space of kernels. Where a step is predicted to take more, batches are cut along their rows into parts whose
   * gradients add up, and where that is not enough the model's blocks are computed again in the backward pass. `history.memory` says what
   * was chosen. Throws ValueError where nothing fits, with the smallest prediction. Parts draw random numbers of their own.
   */
  readonly memory?: number | string
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
  /** Another model in the place of the Trainer's, such as an `Ensemble`. Not with `step`, which runs a model of its own choice. */
  readonly model?: Module
}

/** As the checks and the loop see them, whatever the model gives and the batches are. */
export type AnyOptions = CommonOptions<string> & {
  readonly loss?: undefined | ((output: never, target: Tensor) => Tensor)
  readonly step?: undefined | ((batch: never) => Loss)
  readonly objective?: undefined | Objective<never, never, string>
  readonly metrics?: Metrics<string, never>
}
