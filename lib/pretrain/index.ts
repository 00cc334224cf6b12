/** Pre-training: a corpus in shards of tokens, packed rows, objectives, and measures of what a model has learned. */

export { type CausalBatch, causalLM, type LanguageModel } from '../tasks/index.js'
export {
  type ContrastiveBatches,
  type ContrastiveLoss,
  type ContrastiveOptions,
  contrastive,
  type Encoder,
  Projected,
  type VectorModel,
  type ViewBatch,
} from './contrastive.js'
export { type AutoEncoder, type DenoisingOptions, denoising } from './denoising.js'
export type { Deduplication } from './duplicates.js'
export { type CausalScores, type EvaluateCausalOptions, evaluateCausal } from './language.js'
export type { CorpusCounts, PreparedOptions, TokenDType } from './manifest.js'
export { evaluateMasked, type MaskedModel, type MaskedScores, maskedLM } from './masked.js'
export {
  type MaskableOptions,
  type MaskableRow,
  type MaskedBatch,
  type MaskedBatchesOptions,
  type MaskedRow,
  type MaskingOptions,
  maskableRow,
  maskedBatches,
  masking,
} from './masking.js'
export { type NextSentenceOptions, nextSentencePairs } from './next-sentence.js'
export { type PackableRow, type PackedBatch, type PackedOptions, type PackedRow, packed } from './packed.js'
export { type CorpusRow, type CorpusTokenizer, type PrepareOptions, prepare } from './prepare.js'
export {
  type FeatureSet,
  type LinearProbeOptions,
  linearProbe,
  type NeighboursOptions,
  nearestNeighbours,
  type ProbeScores,
} from './probe.js'
export {
  openShards,
  type ShardBatchesOptions,
  type Shards,
  TokenShards,
  type WindowBatch,
  type WindowOptions,
  type WindowRow,
} from './shards.js'
export {
  corruptSpans,
  type SpanBatch,
  type SpanBatchesOptions,
  type SpannedRow,
  type SpanOptions,
  type SpanRow,
  spanBatches,
} from './spans.js'
export {
  loadTableAutoEncoder,
  TableAutoEncoder,
  type TableAutoEncoderOptions,
  type TableColumn,
  type TableRow,
} from './table.js'
