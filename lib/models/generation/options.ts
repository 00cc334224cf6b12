/** The checked options of generation. */
import { kindOf, shown, ValueError } from '../../core/errors.js'
import { checkGenerator, Generator } from '../../core/generator.js'
import { checkOptions, type OptionNames } from '../../core/options.js'
import {
  ban,
  banWords,
  minP,
  noRepeatNgrams,
  repetitionPenalty,
  type Scores,
  temperature,
  topK,
  topP,
  typicalP,
} from './scores.js'

/** The part of a tokenizer that generation needs. */
export interface TokenDecoder {
  decode(ids: readonly number[]): string
}

export interface SamplingOptions {
  /** The most new tokens. Default 64. */
  readonly maxNewTokens?: number
  /** The number of new tokens before a text may end. Default 0. */
  readonly minNewTokens?: number
  /**
   * Whether to draw each token by its probability. Default: true if one of the next five options is given, otherwise
   * the best token is taken.
   */
  readonly sample?: boolean
  /** Scores are divided by this number. Default 1. */
  readonly temperature?: number
  /** Keeps only this many best tokens. */
  readonly topK?: number
  /** Keeps only the best tokens, up to this total probability. */
  readonly topP?: number
  /** Keeps only tokens with at least this share of the best one's probability. */
  readonly minP?: number
  /** Keeps only the most typical tokens, up to this total probability. */
  readonly typicalP?: number
  /**
   * Positive scores of tokens that are already in the text are divided by this number, and negative ones multiplied by
   * it. Default 1.
   */
  readonly repetitionPenalty?: number
  /** No run of this many tokens occurs twice. Default: any run may. */
  readonly noRepeatNgramSize?: number
  /** Tokens that are never taken. Default: none. */
  readonly suppressTokens?: readonly number[]
  /**
   * Words, as lists of tokens, whose last token is never taken where the text ends with the others. A word that is one
   * stop token may still end the text. This is transformers' `bad_words_ids`. Default: none.
   */
  readonly badWords?: readonly (readonly number[])[]
  /** Tokens that end a text. Default: those in the folder's generation_config.json or config.json. [] for none. */
  readonly stopTokens?: number | readonly number[]
  /** Strings that end a text as soon as its new part contains one. They need a tokenizer. */
  readonly stopStrings?: string | readonly string[]
  readonly tokenizer?: TokenDecoder
  /**
   * Makes the same texts for the same seed. Default: the `generator` continues, or this thread's generator if none is
   * given.
   */
  readonly seed?: number
  readonly generator?: Generator
  /** Aborting it ends the call with the signal's reason. */
  readonly signal?: AbortSignal
}

export const samplingNames: OptionNames<SamplingOptions> = {
  maxNewTokens: true,
  minNewTokens: true,
  sample: true,
  temperature: true,
  topK: true,
  topP: true,
  minP: true,
  typicalP: true,
  repetitionPenalty: true,
  noRepeatNgramSize: true,
  suppressTokens: true,
  badWords: true,
  stopTokens: true,
  stopStrings: true,
  tokenizer: true,
  seed: true,
  generator: true,
  signal: true,
}

const filters = ['temperature', 'topK', 'topP', 'minP', 'typicalP'] as const

/** Options with a value for each. */
export interface Plan {
  readonly maxNewTokens: number
  readonly sample: boolean
  readonly stopTokens: readonly number[]
  readonly stopStrings: readonly string[]
  readonly tokenizer: TokenDecoder | null
  readonly generator: Generator | undefined
  readonly signal: AbortSignal | undefined
  /** Whether `process` does anything. */
  readonly changes: boolean
  /** Applies penalties and filters to the next token's scores, given the prompt and the new tokens. */
  process(scores: Scores, prompt: readonly number[], added: readonly number[]): void
}

function listOf<T>(value: T | readonly T[] | undefined): readonly T[] {
  return value === undefined ? [] : Array.isArray(value) ? [...value] : [value as T]
}

/** The tokens that end a text if the options do not name them. They are read only in that case. */
export interface Ends {
  readonly endTokens: readonly number[]
}

/** Throws ValueError for each invalid option. */
export function planOf(op: string, options: SamplingOptions, ends: Ends): Plan {
  checkOptions(op, options, samplingNames)
  const must = (name: keyof SamplingOptions, fits: (value: number) => boolean, what: string): number | undefined => {
    const value = options[name]
    if (value === undefined) return undefined
    if (typeof value !== 'number' || !fits(value))
      throw new ValueError(op, `${name} is ${shown(value)}, but must be ${what}`)
    return value
  }
  const count = (least: number) => (value: number) => Number.isSafeInteger(value) && value >= least
  const positive = (value: number) => Number.isFinite(value) && value > 0
  const share = (value: number) => value > 0 && value <= 1
  const maxNewTokens = must('maxNewTokens', count(1), 'an integer of at least 1') ?? 64
  const minNewTokens = must('minNewTokens', count(0), 'an integer of at least 0') ?? 0
  const heat = must('temperature', positive, 'a positive number; for the best token, leave out all options that sample')
  const most = must('topK', count(1), 'an integer of at least 1')
  const mass = must('topP', share, 'a probability above 0, up to 1')
  const least = must('minP', (value) => value >= 0 && value <= 1, 'a share from 0 to 1')
  const typical = must('typicalP', share, 'a probability above 0, up to 1')
  const penalty = must('repetitionPenalty', positive, 'a positive number')
  const ngram = must('noRepeatNgramSize', count(1), 'an integer of at least 1')
  const seed = must('seed', count(0), 'an integer of at least 0')
  if (minNewTokens > maxNewTokens)
    throw new ValueError(op, `minNewTokens is ${minNewTokens}, but must not exceed maxNewTokens, ${maxNewTokens}`)
  const asked = filters.filter((name) => options[name] !== undefined)
  const sample = options.sample ?? asked.length > 0
  if (typeof sample !== 'boolean') throw new ValueError(op, `sample is ${shown(sample)}, but must be true or false`)
  if (!sample && asked.length > 0)
    throw new ValueError(op, `${asked.join(', ')} have an effect only in sampling, but sample is false`)
  checkGenerator(op, options.generator)
  if (!sample && (seed !== undefined || options.generator !== undefined))
    throw new ValueError(
      op,
      'seed and generator are for sampling, but the best token is taken; set sample, or leave them out',
    )
  if (seed !== undefined && options.generator !== undefined)
    throw new ValueError(op, 'both seed and generator are given; leave one out')
  const stopTokens = options.stopTokens === undefined ? ends.endTokens : listOf(options.stopTokens)
  if (!stopTokens.every(count(0)))
    throw new ValueError(op, `stopTokens are ${shown(options.stopTokens)}, but must be token ids`)
  const { suppressTokens = [] } = options
  if (!Array.isArray(suppressTokens) || !suppressTokens.every(count(0)))
    throw new ValueError(op, `suppressTokens are ${shown(suppressTokens)}, but must be a list of token ids`)
  const suppressed = [...new Set(suppressTokens)]
  const { badWords = [] } = options
  const isWord = (word: unknown) => Array.isArray(word) && word.length > 0 && word.every(count(0))
  if (!Array.isArray(badWords) || !badWords.every(isWord))
    throw new ValueError(op, `badWords are ${shown(badWords)}, but must be lists of token ids, such as [[5, 9]]`)
  const words = badWords.filter(([token, ...more]) => more.length > 0 || !stopTokens.includes(token as number))
  const stopStrings = listOf(options.stopStrings)
  if (!stopStrings.every((text) => typeof text === 'string' && text !== ''))
    throw new ValueError(op, `stopStrings are ${shown(options.stopStrings)}, but must be texts that are not empty`)
  const { tokenizer = null, signal } = options
  if (tokenizer !== null && typeof tokenizer?.decode !== 'function')
    throw new ValueError(op, `tokenizer is ${kindOf(tokenizer)}, but must have decode(ids)`)
  if (stopStrings.length > 0 && tokenizer === null)
    throw new ValueError(op, 'stopStrings are searched in text, which needs a tokenizer: { stopStrings, tokenizer }')
  if (signal !== undefined && !(signal instanceof AbortSignal))
    throw new ValueError(op, `signal is ${kindOf(signal)}, but must be an AbortSignal`)
  return {
    maxNewTokens,
    sample,
    stopTokens,
    stopStrings,
    tokenizer,
    generator: seed === undefined ? options.generator : new Generator(seed),
    signal,
    changes:
      asked.length > 0 ||
      penalty !== undefined ||
      ngram !== undefined ||
      minNewTokens > 0 ||
      suppressed.length + words.length > 0,
    process(scores, prompt, added) {
      const looksBack = penalty !== undefined || ngram !== undefined || words.length > 0
      const tokens = looksBack ? [...prompt, ...added] : []
      if (penalty !== undefined) repetitionPenalty(scores, tokens, penalty)
      if (ngram !== undefined) noRepeatNgrams(scores, tokens, ngram)
      if (added.length < minNewTokens) ban(scores, stopTokens)
      ban(scores, suppressed)
      banWords(scores, tokens, words)
      if (
        suppressed.length + words.length >= scores.length &&
        !scores.some((score) => score > Number.NEGATIVE_INFINITY)
      )
        throw new ValueError(op, `suppressTokens and badWords leave none of the ${scores.length} tokens; name fewer`)
      if (heat !== undefined) temperature(scores, heat)
      if (most !== undefined) topK(scores, most)
      if (mass !== undefined) topP(scores, mass)
      if (least !== undefined) minP(scores, least)
      if (typical !== undefined) typicalP(scores, typical)
    },
  }
}
