/** Texts: readers of files, none of which is in memory whole, and tokenizers. */
export * from '../data/text/index.js'
export type { AddedToken } from './tokenizer/added.js'
export type { Encoding, Side, Truncation } from './tokenizer/encoding.js'
export { AutoTokenizer, type LoadTokenizerOptions, saveTokenizer } from './tokenizer/folder.js'
export {
  type AddTokensOptions,
  type DecodeOptions,
  type EncodeOptions,
  type Role,
  Tokenizer,
  type TokenizerSettings,
} from './tokenizer/tokenizer.js'
