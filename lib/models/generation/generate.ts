/** Writing on: tokens that follow prompts. */
import { shown, ValueError } from '../../core/errors.js'
import { defaultGenerator } from '../../core/generator.js'
import { type OptionNames, ownOptions } from '../../core/options.js'
import type { Tensor } from '../../core/tensor.js'
import { type BeamPlan, searchBeams } from './beams.js'
import { checkRoom, type Decodable, PromptDecoder, promptsOf } from './decoder.js'
import { type Ends, type Plan, planOf, type SamplingOptions, samplingNames } from './options.js'
import type { Rows } from './rows.js'
import { best, draw, logProbabilities } from './scores.js'
import { type Finish, finishOf, textOf } from './stop.js'

export interface GenerateOptions extends SamplingOptions {
  /** Also the logarithm of the probability that the model, before penalties and filters, gave to each new token. Default false. */
  readonly logProbs?: boolean
  /** Beams of a beam search. Default 1: none. */
  readonly beams?: number
  /** How many texts of each prompt's beams are given, the best first. Default 1. */
  readonly returnSequences?: number
  /** The power of its new length that a text's score is divided by: above 0 longer ones are preferred. Default 1. */
  readonly lengthPenalty?: number
  /**
   * When a beam search ends. False, the default: once no text that goes on is better, by its length now, than those that ended;
   * 'never': than it could become; true: once `beams` texts ended.
   */
  readonly earlyStopping?: boolean | 'never'
}

export const generateNames: OptionNames<GenerateOptions> = {
  ...samplingNames,
  logProbs: true,
  beams: true,
  returnSequences: true,
  lengthPenalty: true,
  earlyStopping: true,
}

/** The most beams of a search: each prompt has a row in memory for each of them. */
const mostBeams = 4096

/** A text that was written. */
export interface Generated {
  /** The new tokens, the stop token included. */
  readonly tokens: readonly number[]
  readonly finish: Finish
  /** With a tokenizer: the new text, without what ended it. */
  readonly text?: string
  readonly logProbs?: readonly number[]
  /** The number that the texts of a beam search are compared by. */
  readonly score?: number
}

function beamPlan(op: string, options: GenerateOptions, plan: Plan): (BeamPlan & { readonly returned: number }) | null {
  const { beams = 1, returnSequences = 1, lengthPenalty = 1, earlyStopping = false, logProbs = false } = options
  for (const [name, value] of Object.entries({ beams, returnSequences }))
    if (!Number.isSafeInteger(value) || value < 1 || value > mostBeams)
      throw new ValueError(op, `${name} is ${shown(value)}, but must be an integer from 1 to ${mostBeams}`)
  if (typeof lengthPenalty !== 'number' || !Number.isFinite(lengthPenalty))
    throw new ValueError(op, `lengthPenalty is ${shown(lengthPenalty)}, but must be a finite number`)
  if (typeof earlyStopping !== 'boolean' && earlyStopping !== 'never')
    throw new ValueError(op, `earlyStopping is ${shown(earlyStopping)}, but must be true, false or 'never'`)
  if (typeof logProbs !== 'boolean')
    throw new ValueError(op, `logProbs is ${shown(logProbs)}, but must be true or false`)
  if (beams === 1) {
    const idle = (['returnSequences', 'lengthPenalty', 'earlyStopping'] as const).filter(
      (name) => options[name] !== undefined,
    )
    if (idle.length > 0) throw new ValueError(op, `${idle.join(', ')} are of a beam search; set beams to 2 or more`)
    return null
  }
  if (plan.sample)
    throw new ValueError(op, 'beams take the best tokens, but sample, or an option of sampling, is given')
  if (logProbs) throw new ValueError(op, 'logProbs are given of single texts; a beam search gives their score')
  if (returnSequences > beams)
    throw new ValueError(op, `returnSequences is ${returnSequences}, but a search of ${beams} beams has no more texts`)
  return { beams, lengthPenalty, earlyStopping, returned: returnSequences }
}

/** A token that was chosen, and the logarithm of its probability where that is wanted. */
export interface Chosen {
  readonly token: number
  readonly logProb: number | null
}

/** The next token of a text. */
export function choose(
  plan: Plan,
  logits: Float32Array,
  prompt: readonly number[],
  added: readonly number[],
  logProbs: boolean,
): Chosen {
  // A vocabulary is large: its scores are copied only to be changed.
  const scores = plan.changes ? new Float64Array(logits) : logits
  if (scores instanceof Float64Array) plan.process(scores, prompt, added)
  const token = plan.sample ? draw(scores, (plan.generator ?? defaultGenerator()).random()) : best(scores)
  return { token, logProb: logProbs ? (logProbabilities(logits)[token] as number) : null }
}

interface Row {
  readonly prompt: readonly number[]
  readonly tokens: number[]
  readonly logProbs: number[]
  finish: Finish | null
}

/** The beginnings of texts, and rows in which they are written on. */
export interface Beginning {
  /** The first tokens of each text. */
  readonly prompts: readonly (readonly number[])[]
  /** Each prompt becomes `copies` rows. */
  open(copies: number): Rows
}

/** As `CausalModel.generate` says: the texts of each prompt, one after the other. */
export function generate(
  model: Decodable,
  given: Tensor | readonly number[] | readonly (readonly number[])[],
  options: GenerateOptions,
): Promise<Generated[]> {
  const op = `${model.constructor.name}.generate`
  return write(op, options, model, ({ maxNewTokens }) => {
    const prompts = promptsOf(op, given, model.inputEmbedding().weight.sizes[0] as number)
    checkRoom(op, model, prompts, maxNewTokens)
    return { prompts, open: (copies) => new PromptDecoder(model, prompts, maxNewTokens, copies) }
  })
}

/** Texts that begin as `begin` says, by the options. */
export async function write(
  op: string,
  options: GenerateOptions,
  ends: Ends,
  begin: (plan: Plan) => Beginning,
): Promise<Generated[]> {
  const {
    logProbs = false,
    beams: _b,
    returnSequences: _r,
    lengthPenalty: _l,
    earlyStopping: _e,
    ...sampling
  } = ownOptions(op, options, generateNames)
  const plan = planOf(op, sampling, ends)
  const search = beamPlan(op, options, plan)
  const { prompts, open } = begin(plan)
  plan.signal?.throwIfAborted()
  const decoder = open(search?.beams ?? 1)
  try {
    if (search !== null) {
      const texts = await searchBeams(decoder, prompts, plan, search)
      return texts.flatMap((found) =>
        found
          .slice(0, search.returned)
          .map(({ tokens, score, finish }) => ({ tokens, finish, ...textFor(plan, tokens, finish), score })),
      )
    }
    const texts = await writeRows(decoder, prompts, plan, logProbs)
    return texts.map((row) => {
      const finish = row.finish as Finish
      return {
        tokens: row.tokens,
        finish,
        ...textFor(plan, row.tokens, finish),
        ...(logProbs ? { logProbs: row.logProbs } : {}),
      }
    })
  } finally {
    decoder.dispose()
  }
}

function textFor(plan: Plan, tokens: readonly number[], finish: Finish): { readonly text?: string } {
  const text = textOf(plan, tokens, finish)
  return text === undefined ? {} : { text }
}

/** Rows that ended leave the batch, so that they cost nothing. */
async function writeRows(
  decoder: Rows,
  prompts: readonly (readonly number[])[],
  plan: Plan,
  logProbs: boolean,
): Promise<Row[]> {
  const rows: Row[] = prompts.map((prompt) => ({ prompt, tokens: [], logProbs: [], finish: null }))
  let going = rows
  let logits = await decoder.start()
  for (;;) {
    going.forEach((row, i) => {
      const { token, logProb } = choose(plan, logits[i] as Float32Array, row.prompt, row.tokens, logProbs)
      row.tokens.push(token)
      if (logProb !== null) row.logProbs.push(logProb)
      row.finish = finishOf(plan, row.tokens)
    })
    const left = going.flatMap((row, i) => (row.finish === null ? [i] : []))
    if (left.length === 0) return rows
    plan.signal?.throwIfAborted()
    if (left.length < going.length) decoder.reorder(left)
    going = going.filter(({ finish }) => finish === null)
    logits = await decoder.next(going.map(({ tokens }) => tokens.at(-1) as number))
  }
}
