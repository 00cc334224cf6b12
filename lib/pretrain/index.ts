/** Pre-training: a corpus in shards of tokens, packed rows, objectives and what a model has learned. */
export type { Deduplication } from './duplicates.js'
export type { CorpusCounts, PreparedOptions, TokenDType } from './manifest.js'
export { type PackableRow, type PackedBatch, type PackedOptions, type PackedRow, packed } from './packed.js'
export { type CorpusRow, type CorpusTokenizer, type PrepareOptions, prepare } from './prepare.js'
export {
  openShards,
  type ShardBatchesOptions,
  type Shards,
  type TokenBatch,
  TokenShards,
  type WindowOptions,
  type WindowRow,
} from './shards.js'
