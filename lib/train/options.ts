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
 * Batches: a DataLoader, a list, or a function that makes an iterable for each pass. An iterator, such as a
 * generator's, serves only one pass.
 */
export type Batches<B> = AsyncIterable<B> | Iterable<B> | (() => AsyncIterable<B> | Iterable<B>)

/** The result of a model. */
type OutputOf<Mod> = Mod extends { forward(x: never): infer O } ? O : never

/** The way a batch gets its loss, which is one of three. */
export type Learning<Mod extends Module, B, M extends string> =
  | {
      /**
       * The short form, for batches of [input, target]: from the model's output and the target to one number, a mean
       * over the batch's rows. If rows have different weights, as with tokens, use `step` or `objective`.
       */
      readonly loss: (output: OutputOf<Mod>, target: Tensor) => Tensor
      /** Functions that make a metric for each pass: `{ accuracy: metrics.accuracy }`; or metrics. */
      readonly metrics?: Metrics<M, NoInfer<OutputOf<Mod>>>
      readonly step?: undefined
      readonly objective?: undefined
    }
  | {
      /** Allows batches of any form. It runs the model itself. */
      readonly step: (batch: B) => Loss
      /** Functions that make a metric for each pass: `{ accuracy: metrics.accuracy }`; or metrics. */
      readonly metrics?: Metrics<M, never>
      readonly loss?: undefined
      readonly objective?: undefined
    }
  | {
      /** Allows batches of any form, and any model of its kind. */
      readonly objective: Objective<Mod, B, M>
      /**
       * Metrics besides the objective's own: functions that make one for each pass, `{ accuracy: metrics.accuracy }`,
       * or metrics.
       */
      readonly metrics?: Metrics<M, never>
      readonly loss?: undefined
      readonly step?: undefined
    }

/** Options of a Trainer, however it learns. M names the metrics. */
export interface CommonOptions<M extends string> {
  /** An optimizer of the model's parameters. */
  readonly optimizer: Optimizer
  readonly callbacks?: readonly Callback<NoInfer<M>>[]
  /** A schedule of this optimizer. Its lengths, such as tMax, count steps, or epochs if `scheduleEvery` says so. */
  readonly schedule?: Schedule
  /** The moment of the schedule's steps: after every 'step' of the optimizer (default), or after every 'epoch'. */
  readonly scheduleEvery?: 'step' | 'epoch'
  /**
   * Batches in a step: the gradients of this many batches are summed before the optimizer steps, as if they were one
   * batch. Default 1. The last step of a pass takes the remaining batches.
   */
  readonly accumulate?: number
  /**
   * Averages of the weights over the steps, such as `optim.ema(0.999)` or `optim.swa()`. Validations measure them,
   * `onValidation` sees them in the model, and the model has them as its weights when a fit ends without an error.
   * Buffers, such as running statistics, are the model's own.
   */
  readonly average?: Averaging
  /** The number of the Trainer's steps before averages begin. Default 0. */
  readonly averageAfter?: number
  /** The largest allowed common norm of the optimised parameters' gradients. */
  readonly clipGradNorm?: number
  /**
   * The run's folder, which is made if it is missing. `fit` writes `run.json` (configuration, versions, seeds,
   * machine), `events.jsonl` (the events for loggers) and `checkpoints/` there. It may be the same as in `checkpoints:
   * { folder }`. Only one fit at a time can have it.
   */
  readonly run?: string
  /** Loggers of the events in a fit: `consoleLogger()`, `csvLogger(path)`, `tensorBoard(folder)`, `jsonLines(path)`. */
  readonly loggers?: readonly Logger[]
  /**
   * The number of steps between reports to loggers and the run's folder, which are means over these steps. Default:
   * about ten reports a second.
   */
  readonly logEvery?: number
  /** Whether loggers and the run's folder get the norm of gradients that are not clipped. Default false. */
  readonly gradNorm?: boolean
  /**
   * Lets `fit` write checkpoints, from which a fit with `resume: 'auto'` continues: `{ folder: 'runs/first', every: '10
   * minutes', keep: 3 }`. Ctrl-C then ends the fit after the running step, with a checkpoint. A second one ends the
   * process.
   */
  readonly checkpoints?: CheckpointOptions
  /**
   * Whether the backward pass computes the model's blocks (see `nn.WithBlocks`) again instead of keeping their
   * activations. That saves most of the memory of activations, and costs one more forward pass. Gradients have the same
   * bits. Default false.
   */
  readonly checkpointing?: boolean
  /**
   * Whether each step waits for its loss and gradients. If one is not finite, the training ends with ValueError before
   * the optimizer steps. The step then runs again, watched and with the same random numbers, and the error names the
   * first operator, its module and the step. Without this option a loss that is not finite is reported once it arrives,
   * and the next step is examined. Default false.
   */
  readonly detectAnomaly?: boolean
  /** 'bfloat16': model and loss run under `autocast`, in training and evaluation. Default 'float32'. */
  readonly precision?: AutocastDType
}

/** M names the metrics, which its records hold; B is a batch. */
export type TrainerOptions<M extends string = string, B = Batch, Mod extends Module = Module> = CommonOptions<M> &
  Learning<Mod, B, M>

export interface FitOptions<B = Batch> {
  /** Passes over the batches. Default 1; with `steps` or `minutes` as many as needed. */
  readonly epochs?: number
  /** Ends after this many steps of the optimizer, even in the middle of a pass. */
  readonly steps?: number
  /** Ends after this many minutes, with the step that is running then. */
  readonly minutes?: number
  readonly validation?: Batches<B>
  /** Steps between validations, and one at the end. Default: one after every epoch. */
  readonly validateEvery?: number
  /**
   * Ends the training after the running step. `fit` then returns the history so far, whose `stopped` tells the reason.
   */
  readonly signal?: AbortSignal
  /**
   * 'auto': continues from the newest complete checkpoint in the folder of `checkpoints`, if there is one, as if the
   * run had never been interrupted. With the same program and data it ends with the same weights, to the bit. `epochs`,
   * `steps` and `minutes` count from the run's beginning; fewer than the checkpoint has already taken are an error.
   * Batches that are not a DataLoader must have the same order again.
   */
  readonly resume?: 'auto'
  /**
   * The most memory that tensors of the training may take at once, such as '8 GB', '512 MiB' or a number of bytes.
   * Other memory, such as data and the kernels' scratch space, does not count. If a step is predicted to take more,
   * batches are cut along their rows into parts whose gradients add up. If that is not enough, the model's blocks are
   * computed again in the backward pass. `history.memory` tells the choice. Throws ValueError, with the smallest
   * prediction, if nothing fits. Parts draw their own random numbers.
   */
  readonly memory?: number | string
  /** Whether a terminal shows a progress bar. Default true. */
  readonly progress?: boolean
}

export interface StepsOptions {
  /** Default 1. */
  readonly epochs?: number
  readonly signal?: AbortSignal
}

export interface EvaluateOptions {
  readonly signal?: AbortSignal
  /**
   * Another model instead of the Trainer's, such as an `Ensemble`. Not with `step`, which runs a model of its own
   * choice.
   */
  readonly model?: Module
}

/** The options as the checks and the loop see them, whatever the model gives and the batches are. */
export type AnyOptions = CommonOptions<string> & {
  readonly loss?: undefined | ((output: never, target: Tensor) => Tensor)
  readonly step?: undefined | ((batch: never) => Loss)
  readonly objective?: undefined | Objective<never, never, string>
  readonly metrics?: Metrics<string, never>
}
