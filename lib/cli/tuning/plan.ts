/** The Trainer that a config asks for, and the length of its training. */

import type { Resumable } from '../../core/generator.js'
import type { Tensor } from '../../core/tensor.js'
import type { LayerGroup } from '../../finetune/groups.js'
import type { Module } from '../../nn/module.js'
import * as optim from '../../optim/index.js'
import { type Callback, earlyStopping } from '../../train/callbacks.js'
import type { Objective } from '../../train/objective.js'
import type { FitOptions } from '../../train/options.js'
import type { Logger } from '../../train/record/events.js'
import { Trainer } from '../../train/trainer.js'
import type { Loaded } from '../config/config.js'
import type { FinetuneConfig } from '../config/schema.js'
import { UsageError } from '../exit.js'
import type { TaskBatch } from '../tasks/formats.js'

type Train = NonNullable<FinetuneConfig['train']>

/** The part of a config that describes the training. */
export type TrainingConfig = Pick<FinetuneConfig, 'train' | 'output'>

/** A batch of texts in tokens, or of a table's rows. */
export type WorkBatch = TaskBatch | readonly [rows: Tensor]

/** Batches that know their number and their place. */
export interface PlacedBatches extends AsyncIterable<WorkBatch>, Resumable<unknown> {
  readonly length: number
}

/** The parameters of an optimizer, with their settings. */
export type Learning = optim.Parameters | readonly LayerGroup[]

/** A model with its training material. */
export interface Work {
  readonly model: Module
  readonly objective: Objective<Module, WorkBatch, string>
  readonly loader: PlacedBatches
  /** Null if no rows are held out. */
  readonly validation: PlacedBatches | null
  /** The batch that takes the most memory, and one of middle length. */
  readonly longest: WorkBatch
  readonly middle: WorkBatch
  /** The learning rate if the config has none. */
  readonly lr: number
  /** The parameters for the optimizer, at the config's rate. */
  parameters(lr: number): Learning
  /** The units that the objective's loss counts. Default: tokens. */
  readonly counted?: string
  /** Callbacks of the method. */
  readonly callbacks: readonly Callback[]
}

export interface TrainingPlan extends Pick<Work, 'loader' | 'validation' | 'longest' | 'middle'> {
  readonly trainer: Trainer<string, WorkBatch, Module>
  readonly fit: FitOptions<WorkBatch>
  /** Null if only minutes end the training. */
  readonly totalSteps: number | null
}

const optimizers = {
  adamw: (parameters: Learning, options: Rates) => new optim.AdamW(parameters, options),
  adam: (parameters: Learning, options: Rates) => new optim.Adam(parameters, options),
  sgd: (parameters: Learning, options: Rates) => new optim.SGD(parameters, options),
  lion: (parameters: Learning, options: Rates) => new optim.Lion(parameters, options),
}

interface Rates {
  readonly lr: number
  readonly weightDecay?: number
}

/** The number of steps at which the training ends, whichever limit comes first. */
function stepsOf({ epochs, steps, minutes }: Train, stepsPerEpoch: number): number | null {
  const passes = epochs ?? (steps === undefined && minutes === undefined ? 1 : undefined)
  const limits = [...(passes === undefined ? [] : [passes * stepsPerEpoch]), ...(steps === undefined ? [] : [steps])]
  return limits.length === 0 ? null : Math.min(...limits)
}

function scheduleOf(
  loaded: Loaded<TrainingConfig>,
  optimizer: optim.Optimizer,
  totalSteps: number | null,
): optim.Schedule | undefined {
  const { schedule = 'constant' } = loaded.config.train ?? {}
  const [kind, { warmup = 0 }] =
    typeof schedule === 'string'
      ? ([schedule, {}] as const)
      : (Object.entries(schedule)[0] as [string, { readonly warmup?: number | undefined }])
  if (kind === 'constant' && warmup === 0) return undefined
  const fail = (path: readonly string[], why: string) => {
    throw new UsageError(`${loaded.source.place(path)}: ${path.join('.')} ${why}`)
  }
  if (warmup >= 1 && !Number.isInteger(warmup))
    fail(['train', 'schedule', kind, 'warmup'], `is ${warmup}, but must be a share below 1 or a whole number of steps`)
  if (totalSteps === null && (kind !== 'constant' || warmup < 1))
    fail(
      ['train', 'schedule'],
      'needs an end, but only train.minutes ends the training; give train.epochs or train.steps',
    )
  const warmupSteps = warmup < 1 ? Math.round(warmup * (totalSteps ?? 0)) : warmup
  if (kind === 'constant') return new optim.WarmupConstantLR(optimizer, { warmupSteps })
  if (totalSteps !== null && warmupSteps >= totalSteps)
    fail(
      ['train', 'schedule', kind, 'warmup'],
      `takes ${warmupSteps} steps, but the training has ${totalSteps}; make it shorter`,
    )
  if (kind === 'slanted') return new optim.SlantedTriangularLR(optimizer, { totalSteps: totalSteps as number })
  const lengths = { warmupSteps, totalSteps: totalSteps as number }
  return kind === 'linear' ? new optim.WarmupLinearLR(optimizer, lengths) : new optim.WarmupCosineLR(optimizer, lengths)
}

interface PlanOptions {
  /** Whether to resume the run in the config's output folder. */
  readonly resume: boolean
  readonly loggers: readonly Logger[]
  /** Called when the training holds the folder of the run, before its first step. */
  readonly onStart: () => Promise<void>
}

/** The Trainer of a config. */
export function planOf(
  loaded: Loaded<TrainingConfig>,
  { model, objective, loader, validation, longest, middle, lr, parameters, callbacks }: Work,
  { resume, loggers, onStart }: PlanOptions,
): TrainingPlan {
  const { config, resolve, source } = loaded
  const train = config.train ?? {}
  const { accumulate = 1, epochs, steps, minutes, memory, validateEvery } = train
  for (const name of ['validateEvery', 'earlyStopping'] as const)
    if (train[name] !== undefined && validation === null)
      throw new UsageError(
        `${source.place(['train', name], 'key')}: train.${name} is given, but no rows are held out for measuring; hold some out, as in validation: 0.05`,
      )
  const totalSteps = stepsOf(train, Math.ceil(loader.length / accumulate))
  if (validateEvery !== undefined && totalSteps !== null && validateEvery > totalSteps)
    throw new UsageError(
      `${source.place(['train', 'validateEvery'])}: train.validateEvery is ${validateEvery}, but the training has ${totalSteps} steps, so it would be measured only at its end; give at most ${totalSteps}, or leave it out`,
    )
  const rate = train.lr ?? lr
  const optimizer = optimizers[train.optimizer ?? 'adamw'](parameters(rate), {
    lr: rate,
    ...(train.weightDecay !== undefined && { weightDecay: train.weightDecay }),
  })
  const schedule = scheduleOf(loaded, optimizer, totalSteps)
  const { every, keep } = train.checkpoints ?? {}
  const trainer = new Trainer<string, WorkBatch, Module>(model, {
    optimizer,
    objective,
    accumulate,
    clipGradNorm: train.clipGradNorm ?? 1,
    precision: train.precision ?? 'float32',
    loggers,
    checkpoints: {
      folder: resolve(config.output),
      ...(every !== undefined && { every }),
      ...(keep !== undefined && { keep }),
    },
    ...(schedule && { schedule }),
    ...(train.checkpointing !== undefined && { checkpointing: train.checkpointing }),
    callbacks: [
      { onStart },
      ...callbacks,
      ...(train.earlyStopping === undefined
        ? []
        : [earlyStopping({ patience: train.earlyStopping, restoreBest: true })]),
    ],
  })
  return {
    trainer,
    loader,
    validation,
    longest,
    middle,
    totalSteps,
    fit: {
      progress: false,
      ...(epochs !== undefined && { epochs }),
      ...(steps !== undefined && { steps }),
      ...(minutes !== undefined && { minutes }),
      ...(memory !== undefined && { memory }),
      ...(validateEvery !== undefined && { validateEvery }),
      ...(validation && { validation }),
      ...(resume && { resume: 'auto' as const }),
    },
  }
}
