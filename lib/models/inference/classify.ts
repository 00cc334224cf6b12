/** Classifies texts. */
import { type OptionNames, ownOptions } from '../../core/options.js'
import type { Tokenizer } from '../../text/tokenizer/tokenizer.js'
import type { SequenceClassifier } from '../heads.js'
import { type CutOptions, checkCount, encodeTexts, listOfTexts, runTexts, type TextPair } from './run.js'
import { type Classified, type VerdictOptions, verdicts } from './verdict.js'

export type { Activation, Classified } from './verdict.js'

export interface ClassifyOptions extends CutOptions, VerdictOptions {}

const classifyNames: OptionNames<ClassifyOptions> = {
  batchSize: true,
  maxLength: true,
  activation: true,
  threshold: true,
}

const isText = (value: unknown): boolean => {
  if (typeof value === 'string') return true
  const { text, pair } = (typeof value === 'object' && value !== null ? value : {}) as {
    readonly [name: string]: unknown
  }
  return typeof text === 'string' && typeof pair === 'string'
}

/** Implements `SequenceClassifier.classify`. */
export async function classify(
  model: SequenceClassifier,
  tokenizer: Tokenizer,
  given: string | TextPair | readonly (string | TextPair)[],
  options: ClassifyOptions,
): Promise<Classified | Classified[]> {
  const op = `${model.constructor.name}.classify`
  const { batchSize = 16, maxLength, ...rest } = ownOptions(op, options, classifyNames)
  checkCount(op, 'batchSize', batchSize, 1)
  const verdict = verdicts(op, model.config, rest)
  const { texts, single } = listOfTexts(op, given, isText, 'a text, or { text, pair }')
  const encodings = encodeTexts(op, model, tokenizer, texts, maxLength)
  const rows = await runTexts(
    model,
    encodings,
    batchSize,
    ({ ids, ...inputs }) => [model.forward(ids, inputs)],
    model.body.hasTypes,
  )
  const told = rows.map(([logits]) => verdict(logits?.values ?? new Float32Array()))
  return single ? (told[0] as Classified) : told
}
