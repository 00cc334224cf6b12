export { type Callback, type EarlyStoppingOptions, earlyStopping, type TrainingContext } from './callbacks.js'
export type { EpochRecord, History, NonFinite, PassRecord, StepRecord } from './history.js'
export type { Metric } from './metrics.js'
export * as metrics from './metrics.js'
export type { Metrics } from './pass.js'
export { progressBar } from './progress.js'
export {
  type Batch,
  type Batches,
  type EvaluateOptions,
  type FitOptions,
  type StepsOptions,
  Trainer,
  type TrainerOptions,
} from './trainer.js'
