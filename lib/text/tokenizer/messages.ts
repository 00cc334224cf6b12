/** The messages between a tokenizer and its thread. */
import type { EncodedBatch } from './batch.js'
import type { EncodeOptions, TokenizerSettings } from './tokenizer.js'

/** A text, or a pair of two. */
export type Given = string | readonly [first: string, second: string]

export type BatchOptions = Omit<EncodeOptions, 'pair' | 'stride'>

/** The data that the thread is started with. */
export interface EncodingTask {
  readonly json: unknown
  readonly settings: TokenizerSettings
}

export interface EncodingAsked {
  readonly id: number
  readonly texts: readonly Given[]
  readonly options: BatchOptions
}

/** A text that cannot be encoded, counted from the first of its part, and why. */
export interface Fault {
  readonly text: number
  readonly message: string
}

/** A part of a batch, or the first of its texts that cannot be encoded. */
export type EncodingAnswer = { readonly id: number } & ({ readonly part: EncodedBatch } | Fault)
