/**
 * Runs texts through an encoder for predictions: as tokens, in padded batches, in evaluation mode and without a graph.
 */
import { noGrad } from '../../autograd/mode.js'
import { kindOf, shown, ValueError } from '../../core/errors.js'
import { scope } from '../../core/scope.js'
import type { Tensor } from '../../core/tensor.js'
import type { Embedding } from '../../nn/embedding.js'
import { captureModes, type Module } from '../../nn/module.js'
import { castTo } from '../../ops/convert.js'
import type { Encoding } from '../../text/tokenizer/encoding.js'
import type { EncodeOptions, Tokenizer } from '../../text/tokenizer/tokenizer.js'
import { type TextInputs, textInputs } from './inputs.js'

/** The parts of an encoder that predictions need. */
export interface PredictingModel extends Module {
  readonly config: { readonly vocabSize: number; readonly context: number; readonly padToken: number | null }
  inputEmbedding(): Embedding
}

export interface TextsOptions {
  /** The number of texts in a batch. Default 16. */
  readonly batchSize?: number
}

/** Options for texts that are cut rather than read in windows. */
export interface CutOptions extends TextsOptions {
  /** Cuts a text to this many tokens. Default: a text with more tokens than the model has positions is an error. */
  readonly maxLength?: number
}

/** A pair of texts in the form for programs. */
export interface TextPair {
  readonly text: string
  readonly pair: string
}

export function checkTokenizer(op: string, tokenizer: Tokenizer): void {
  if (typeof tokenizer?.encode !== 'function' || typeof tokenizer.idFor !== 'function')
    throw new ValueError(
      op,
      `tokenizer is ${kindOf(tokenizer)}, but must be a Tokenizer, such as AutoTokenizer.load returns`,
    )
}

export function checkCount(
  op: string,
  name: string,
  value: number,
  least: number,
  most = Number.MAX_SAFE_INTEGER,
): void {
  if (!Number.isSafeInteger(value) || value < least || value > most)
    throw new ValueError(
      op,
      `${name} is ${shown(value)}, but must be an integer ${most === Number.MAX_SAFE_INTEGER ? `of at least ${least}` : `from ${least} to ${most}`}`,
    )
}

/**
 * The most tokens of a text or a window: the requested number, or otherwise the model's or the tokenizer's limit,
 * whichever is smaller.
 */
export function lengthFor(
  op: string,
  model: PredictingModel,
  tokenizer: Tokenizer,
  maxLength: number | undefined,
  usual?: number,
): number {
  const { context } = model.config
  if (maxLength !== undefined) checkCount(op, 'maxLength', maxLength, 1, context)
  return maxLength ?? Math.min(context, tokenizer.maxLength ?? context, usual ?? context)
}

/** The given texts as a list, and whether a single one was given. */
export function listOfTexts<T>(
  op: string,
  given: T | readonly T[],
  isText: (value: unknown) => boolean,
  form: string,
): { readonly texts: readonly T[]; readonly single: boolean } {
  const texts: readonly unknown[] = Array.isArray(given) ? given : [given]
  const wrong = texts.findIndex((text) => !isText(text))
  if (wrong >= 0)
    throw new ValueError(
      op,
      `${Array.isArray(given) ? `text ${wrong}` : 'the text'} is ${kindOf(texts[wrong])}, but must be ${form}${Array.isArray(given) ? '' : ', or a list of them'}`,
    )
  return { texts: texts as readonly T[], single: !Array.isArray(given) }
}

/**
 * Throws ValueError for a text that does not fit the model, because it is too long or has tokens that the model does
 * not know.
 */
export function checkEncodings(op: string, model: PredictingModel, encodings: readonly Encoding[]): void {
  const { vocabSize, context } = model.config
  for (const [i, { ids, tokens }] of encodings.entries()) {
    if (ids.length === 0) throw new ValueError(op, `text ${i} has no tokens; leave it out`)
    if (ids.length > context)
      throw new ValueError(
        op,
        `text ${i} has ${ids.length} tokens, but the model has ${context} positions; give { maxLength: ${context} } to cut it, or shorter texts`,
      )
    const unknown = ids.findIndex((id) => id >= vocabSize)
    if (unknown >= 0)
      throw new ValueError(
        op,
        `text ${i} has the token ${ids[unknown]} (${kindOf(tokens[unknown])}), but the model's vocabulary has ${vocabSize} tokens; load the ` +
          'tokenizer from its own folder',
      )
  }
}

/** Texts as tokens, cut if that is requested. */
export function encodeTexts(
  op: string,
  model: PredictingModel,
  tokenizer: Tokenizer,
  texts: readonly (string | TextPair)[],
  maxLength: number | undefined,
): readonly Encoding[] {
  checkTokenizer(op, tokenizer)
  const options: EncodeOptions =
    maxLength === undefined ? {} : { maxLength: lengthFor(op, model, tokenizer, maxLength) }
  const encodings = texts.map((text) =>
    typeof text === 'string'
      ? tokenizer.encode(text, options)
      : tokenizer.encode(text.text, { ...options, pair: text.pair }),
  )
  checkEncodings(op, model, encodings)
  return encodings
}

/** Rows of a result, one for each text. `values` are in row-major order of `sizes`. */
export interface ResultRow {
  readonly values: Float32Array
  readonly sizes: readonly number[]
}

/**
 * Runs the model on all texts, grouped by length. Returns for each text its rows of every tensor from `run`, [B, ..].
 * They include columns of padding at the end of dimension 1, if that is the dimension of tokens.
 */
export async function runTexts(
  model: PredictingModel,
  encodings: readonly Encoding[],
  batchSize: number,
  run: (inputs: TextInputs, batch: readonly Encoding[]) => readonly Tensor[],
  withTypes: boolean,
): Promise<readonly (readonly ResultRow[])[]> {
  const order = Array.from(encodings.keys()).sort((a, b) => lengthOf(encodings[a]) - lengthOf(encodings[b]))
  const results = new Array<readonly ResultRow[]>(encodings.length)
  const { device } = model.inputEmbedding().weight
  const pad = model.config.padToken ?? 0
  for (let from = 0; from < order.length; from += batchSize) {
    const rows = order.slice(from, from + batchSize)
    const batch = rows.map((row) => encodings[row] as Encoding)
    const texts = batch.map(({ ids, typeIds }) => (withTypes ? { ids, tokenTypeIds: typeIds } : { ids }))
    const outputs = predicting(model, () => run(textInputs(texts, pad, device), batch).map((x) => castTo(x, 'float32')))
    const data = (await Promise.all(outputs.map((x) => x.data()))) as Float32Array[]
    for (const [i, row] of rows.entries())
      results[row] = outputs.map(({ sizes }, k) => {
        const own = sizes.slice(1)
        const count = own.reduce((product, size) => product * size, 1)
        return { values: (data[k] as Float32Array).slice(i * count, (i + 1) * count), sizes: own }
      })
    for (const output of outputs) output.dispose()
  }
  return results
}

const lengthOf = (encoding: Encoding | undefined): number => encoding?.ids.length ?? 0

/**
 * Runs the function with the model in evaluation mode and without a graph, and frees everything except its result. Then
 * modes are restored.
 */
export function predicting<R>(model: Module, run: () => R): R {
  const restore = captureModes(model)
  model.eval()
  try {
    return scope(() => noGrad(run))
  } finally {
    restore()
  }
}

/** softmax, in double precision. */
export function softmaxOf(logits: ArrayLike<number>): Float64Array {
  const scores = Float64Array.from(logits)
  const most = scores.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY)
  let sum = 0
  for (let i = 0; i < scores.length; i++) sum += scores[i] = Math.exp((scores[i] as number) - most)
  return scores.map((score) => score / sum)
}

/** The index of the largest score. The first if several are equal. */
export function largest(scores: ArrayLike<number>): number {
  let best = 0
  for (let i = 1; i < scores.length; i++) if ((scores[i] as number) > (scores[best] as number)) best = i
  return best
}
