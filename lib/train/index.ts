export {
  type BestWeightsOptions,
  bestWeights,
  type Callback,
  type EarlyStoppingOptions,
  type EarlyStoppingState,
  earlyStopping,
  type TrainingContext,
} from './callbacks.js'
export type { CheckpointOptions } from './checkpoints.js'
export { Ensemble, type EnsembleOptions, type Voter } from './ensemble.js'
export {
  type FindLearningRateOptions,
  findLearningRate,
  type LearningRateCurve,
  type RatedLoss,
} from './find-learning-rate.js'
export type { EpochRecord, History, NonFinite, PassRecord, StepRecord, Telemetry, ValidationRecord } from './history.js'
export type { Metric } from './metrics/index.js'
export * as metrics from './metrics/index.js'
export type { Batch, Loss, Objective } from './objective.js'
export type {
  Batches,
  CommonOptions,
  EvaluateOptions,
  FitOptions,
  Learning,
  StepsOptions,
  TrainerOptions,
} from './options.js'
export type { Metrics } from './pass.js'
export type {
  CheckOptions,
  CheckReport,
  CheckResults,
  Cut,
  Finding,
  LabelRecord,
  MemoryChoice,
  MemoryPrediction,
  OverlapRecord,
  PredictOptions,
} from './preflight/index.js'
export { progressBar } from './progress.js'
export { type ConsoleLoggerOptions, consoleLogger } from './record/console.js'
export { type CsvLoggerOptions, csvLogger } from './record/csv.js'
export type {
  EndEvent,
  EpochEvent,
  Logger,
  Numbers,
  Reached,
  Session,
  StartEvent,
  StepEvent,
  TrainingEvent,
  ValidationEvent,
} from './record/events.js'
export { jsonLines } from './record/lines.js'
export { tensorBoard } from './record/tensorboard.js'
export type { Estimate, MetricReport } from './report/bootstrap.js'
export { type ModelCardOptions, modelCard } from './report/card.js'
export type { CalibrationBin, ClassesReport, WorstExample } from './report/classes.js'
export type { Report, ReportOptions, SetReport } from './report/report.js'
export * from './search/index.js'
export { type SnapshotOptions, type Snapshots, snapshots } from './snapshots.js'
export { averageWeights, type Soup, type SoupOptions } from './soup.js'
export { Trainer } from './trainer.js'
