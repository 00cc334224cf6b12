/** Tasks: the objectives by which they are learned, and their rows in tokens. */
export { byLength, type LengthBatchesOptions } from './by-length.js'
export { causalLM, type LanguageModel } from './causal.js'
export { type ClassificationBatch, type ClassificationOptions, classification, regression } from './classification.js'
export type { ForwardInputs, ScoringModel } from './model.js'
export { type AnsweringModel, questionAnswering } from './question-answering.js'
export {
  type AnswerBatch,
  type AnswerRow,
  type AnswerSpan,
  type QaRowsOptions,
  qaRows,
  type SquadAnswers,
} from './rows/answers.js'
export {
  type CausalBatch,
  type CausalRow,
  type CompletionRowsOptions,
  completionRows,
  paddedRows,
} from './rows/causal.js'
export type { Label, LabelKind } from './rows/labels.js'
export { type PairBatch, type PairRow, type PairRowsOptions, pairRows } from './rows/pairs.js'
export type { Field, Rows } from './rows/read.js'
export {
  checkRows,
  type RowFacts,
  type TextInputs,
  TokenizedRows,
  type TokenList,
  type Vocabulary,
} from './rows/rows.js'
export { type Seq2SeqBatch, type Seq2SeqRow, type Seq2SeqRowsOptions, seq2seqRows } from './rows/seq2seq.js'
export type { RowList } from './rows/store.js'
export { type TextBatch, type TextRow, type TextRowsOptions, textRows } from './rows/text.js'
export { type TaggedRow, type TokenBatch, type TokenRowsOptions, tokenRows } from './rows/tokens.js'
export {
  type CosineLossOptions,
  type NegativesLossOptions,
  sentenceEmbeddings,
  type TripletLossOptions,
} from './sentence-embeddings.js'
export { type Seq2SeqOptions, seq2seq, type WritingModel } from './seq2seq.js'
export { chooseThreshold, type ThresholdChoice, type ThresholdChoiceOptions } from './threshold.js'
export {
  type EntityClassificationOptions,
  type TokenClassificationOptions,
  tokenClassification,
} from './token-classification.js'
