/** Texts: tokenizers, and readers of files that never hold a whole file in memory. */
export * from '../data/text/index.js'
export {
  applyChatTemplate,
  type ChatRow,
  type ChatRowsOptions,
  type ChatTemplateOptions,
  type ChatTokens,
  chatRows,
  type EncodeChatOptions,
  type EncodedChat,
  encodeChat,
  type Learn,
} from './chat/chat.js'
export type { Span } from './chat/spans.js'
export { type ChatMessage, ChatTemplate, type ChatVariables } from './chat/template.js'
export type { AddedToken } from './tokenizer/added.js'
export type { EncodedBatch } from './tokenizer/batch.js'
export type { Encoding, Side, Truncation } from './tokenizer/encoding.js'
export { AutoTokenizer, type LoadTokenizerOptions, saveTokenizer } from './tokenizer/folder.js'
export type { BatchOptions } from './tokenizer/messages.js'
export {
  type AddTokensOptions,
  type DecodeOptions,
  type EncodeOptions,
  type Role,
  Tokenizer,
  type TokenizerSettings,
} from './tokenizer/tokenizer.js'
export { type TrainableTokenizer, type TrainTokenizerOptions, trainTokenizer } from './train/train.js'
