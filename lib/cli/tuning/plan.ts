/** The Trainer that a config asks for, and how long it trains. */

import type { DataLoader } from '../../data/loader.js'
import type { CausalModel } from '../../models/causal.js'
import * as optim from '../../optim/index.js'
import { earlyStopping } from '../../train/callbacks.js'
import type { Loss } from '../../train/objective.js'
import type { FitOptions } from '../../train/options.js'
import type { Logger } from '../../train/record/events.js'
import { Trainer } from '../../train/trainer.js'
import type { Loaded } from '../config/config.js'
import type { FinetuneConfig } from '../config/schema.js'
import type { TokenRow } from '../data/causal.js'
import { UsageError } from '../exit.js'
import { type CausalBatch, loaderOf, longestBatch } from './batches.js'
import { type Data, seedOf } from './material.js'

type Train = NonNullable<FinetuneConfig['train']>

export interface TrainingPlan {
  readonly trainer: Trainer<string, CausalBatch, CausalModel>
  readonly loader: DataLoader<TokenRow, CausalBatch>
  readonly longest: CausalBatch
  readonly fit: FitOptions<CausalBatch>
  /** Null where only minutes end the training. */
  readonly totalSteps: number | null
}

const optimizers = {
  adamw: (model: CausalModel, options: Rates) => new optim.AdamW(model.parameters(), options),
  adam: (model: CausalModel, options: Rates) => new optim.Adam(model.parameters(), options),
  sgd: (model: CausalModel, options: Rates) => new optim.SGD(model.parameters(), options),
  lion: (model: CausalModel, options: Rates) => new optim.Lion(model.parameters(), options),
}

interface Rates {
  readonly lr: number
  readonly weightDecay?: number
}

/** Steps that end the training, whichever limit comes first. */
function stepsOf({ epochs, steps, minutes }: Train, stepsPerEpoch: number): number | null {
  const passes = epochs ?? (steps === undefined && minutes === undefined ? 1 : undefined)
  const limits = [...(passes === undefined ? [] : [passes * stepsPerEpoch]), ...(steps === undefined ? [] : [steps])]
  return limits.length === 0 ? null : Math.min(...limits)
}

function scheduleOf(loaded: Loaded, optimizer: optim.Optimizer, totalSteps: number | null): optim.Schedule | undefined {
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
  const lengths = { warmupSteps, totalSteps: totalSteps as number }
  return kind === 'linear' ? new optim.WarmupLinearLR(optimizer, lengths) : new optim.WarmupCosineLR(optimizer, lengths)
}

/** The Trainer of a config. `resume` goes on with the run in the config's output. */
export function planOf(
  loaded: Loaded,
  model: CausalModel,
  data: Data,
  { resume, loggers }: { readonly resume: boolean; readonly loggers: readonly Logger[] },
): TrainingPlan {
  const { config, resolve, source } = loaded
  const train = config.train ?? {}
  const { batchSize = 1, accumulate = 1, epochs, steps, minutes, memory, validateEvery } = train
  const pad = data.tokenizer.idFor('pad') ?? 0
  for (const name of ['validateEvery', 'earlyStopping'] as const)
    if (train[name] !== undefined && data.validation === null)
      throw new UsageError(
        `${source.place(['train', name], 'key')}: train.${name} is given, but there is no data.validation; say how much of the data is held back, as in validation: 0.05`,
      )
  const seed = seedOf(loaded)
  const loader = loaderOf(data.train, { batchSize, pad, seed })
  const totalSteps = stepsOf(train, Math.ceil(Math.ceil(data.train.length / batchSize) / accumulate))
  const isLora = typeof config.method === 'object'
  const optimizer = optimizers[train.optimizer ?? 'adamw'](model, {
    lr: train.lr ?? (isLora ? 2e-4 : 2e-5),
    ...(train.weightDecay !== undefined && { weightDecay: train.weightDecay }),
  })
  const schedule = scheduleOf(loaded, optimizer, totalSteps)
  const { every, keep } = train.checkpoints ?? {}
  const trainer = new Trainer<string, CausalBatch, CausalModel>(model, {
    optimizer,
    step: ({ ids, labels }: CausalBatch): Loss => model.loss(ids, { labels }),
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
    ...(train.earlyStopping !== undefined && {
      callbacks: [earlyStopping({ patience: train.earlyStopping, restoreBest: true })],
    }),
  })
  const shape = { batchSize, pad, seed: null }
  return {
    trainer,
    loader,
    longest: longestBatch(data.train, shape),
    totalSteps,
    fit: {
      progress: false,
      ...(epochs !== undefined && { epochs }),
      ...(steps !== undefined && { steps }),
      ...(minutes !== undefined && { minutes }),
      ...(memory !== undefined && { memory }),
      ...(validateEvery !== undefined && { validateEvery }),
      ...(data.validation && { validation: loaderOf(data.validation, shape) }),
      ...(resume && { resume: 'auto' as const }),
    },
  }
}
