/** Metrics: functions that make one. A Trainer uses it, or the program itself. Those for texts are in `text`. */
export { type AccuracyOptions, accuracy, topK } from './accuracy.js'
export {
  type BalancedAccuracyOptions,
  balancedAccuracy,
  type CohenKappaOptions,
  type ConfusionOptions,
  cohenKappa,
  confusionMatrix,
  matthews,
  type PairOptions,
} from './confusion.js'
export {
  type Average,
  type AverageOptions,
  type ClassOptions,
  type ClassReport,
  type FBetaOptions,
  f1,
  fBeta,
  jaccard,
  perClass,
  precision,
  recall,
} from './counts.js'
export type { PrecisionRecallCurve, RocCurve } from './curves.js'
export { type EntityF1Options, entityF1 } from './entities.js'
export type { From, ShapeOptions, ThresholdOptions } from './given.js'
export { type BitsPerByteOptions, bitsPerByte, type PerplexityOptions, perplexity } from './language.js'
export { type Metric, type MetricState, measure, type ResumableMetric } from './metric.js'
export {
  type BrierOptions,
  brier,
  type CalibrationOptions,
  calibrationError,
  type LogLossOptions,
  logLoss,
  type ProbabilityOptions,
} from './probability.js'
export {
  type AreaOptions,
  averagePrecision,
  prAuc,
  precisionRecallCurve,
  type RankingOptions,
  type RocAucOptions,
  type RocCurveOptions,
  rocAuc,
  rocCurve,
} from './ranking.js'
export {
  explainedVariance,
  type KeptOptions,
  mae,
  mape,
  maxError,
  medianAbsoluteError,
  mse,
  pearson,
  type RegressionOptions,
  r2,
  rmse,
  spearman,
} from './regression.js'
export { RunningMean } from './running.js'
export { answerExactMatch, answerF1 } from './text/answers.js'
export { type BleuOptions, bleu } from './text/bleu.js'
export { type ChrfOptions, chrf } from './text/chrf.js'
export { characterErrorRate, type ErrorRateOptions, wordErrorRate } from './text/edits.js'
export { type RougeOptions, type RougeReport, type RougeScore, type RougeType, rouge } from './text/rouge.js'
export { type TerOptions, ter } from './text/ter.js'
export type { References, TextMetric } from './text/text.js'
export type { TokenizerName } from './text/tokenizers.js'
