/** Generates the tokens that follow prompts. */
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
  /**
   * Whether to also return the log probability that the model, before penalties and filters, gave to each new token.
   * Default false.
   */
  readonly logProbs?: boolean
  /** The number of beams in a beam search. Default 1, which means no beam search. */
  readonly beams?: number
  /**
   * The number of texts for each prompt: of its beams, the best first, or independent draws if tokens are sampled.
   * Default 1.
   */
  readonly returnSequences?: number
  /** A text's score is divided by its new length to this power. Above 0 longer texts are preferred. Default 1. */
  readonly lengthPenalty?: number
  /**
   * The end of a beam search. false (default) ends it once no unfinished text is better, at its present length, than
   * the finished ones. 'never' ends it once none can become better. true ends it once `beams` texts are finished.
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

/** The most beams of a search. Each beam of a prompt takes a row in memory. */
const mostBeams = 4096

/** A generated text. */
export interface Generated {
  /** The new tokens, including the stop token. */
  readonly tokens: readonly number[]
  readonly finish: Finish
  /** The new text, without the stop token or string that ended it. Present with a tokenizer. */
  readonly text?: string
  readonly logProbs?: readonly number[]
  /** The number by which the texts of a beam search are compared. */
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
    if (options.returnSequences !== undefined && !plan.sample)
      throw new ValueError(op, 'returnSequences has an effect only in sampling or a beam search; set beams or sample')
    const idle = (['lengthPenalty', 'earlyStopping'] as const).filter((name) => options[name] !== undefined)
    if (idle.length > 0)
      throw new ValueError(op, `${idle.join(', ')} have an effect only in a beam search; set beams to 2 or more`)
    return null
  }
  if (plan.sample)
    throw new ValueError(op, 'beams take the best tokens, but sample, or an option of sampling, is given')
  if (logProbs)
    throw new ValueError(
      op,
      'logProbs are not available in a beam search, which gives scores of whole texts; leave logProbs out',
    )
  if (returnSequences > beams)
    throw new ValueError(
      op,
      `returnSequences is ${returnSequences}, but a search with ${beams} beams has only that many texts`,
    )
  return { beams, lengthPenalty, earlyStopping, returned: returnSequences }
}

/** A chosen token, with its log probability if that is requested. */
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
  // A vocabulary is large, so its scores are copied only if they will be changed.
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

/** The beginnings of texts, and rows that continue them. */
export interface Beginning {
  /** The first tokens of each text. */
  readonly prompts: readonly (readonly number[])[]
  /** Turns each prompt into `copies` rows. */
  open(copies: number): Rows
}

/** Implements `CausalModel.generate`: the texts of each prompt, one after the other. */
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

/** Texts that continue `begin`, according to the options. */
export async function write(
  op: string,
  options: GenerateOptions,
  ends: Ends,
  begin: (plan: Plan) => Beginning,
): Promise<Generated[]> {
  const own = ownOptions(op, options, generateNames)
  const { logProbs = false, beams: _b, returnSequences: _r, lengthPenalty: _l, earlyStopping: _e, ...sampling } = own
  const plan = planOf(op, sampling, ends)
  const search = beamPlan(op, own, plan)
  const { prompts, open } = begin(plan)
  plan.signal?.throwIfAborted()
  const copies = search?.beams ?? own.returnSequences ?? 1
  const decoder = open(copies)
  try {
    if (search !== null) {
      const texts = await searchBeams(decoder, prompts, plan, search)
      return texts.flatMap((found) =>
        found
          .slice(0, search.returned)
          .map(({ tokens, score, finish }) => ({ tokens, finish, ...textFor(plan, tokens, finish), score })),
      )
    }
    const begun = prompts.flatMap((prompt) => new Array<readonly number[]>(copies).fill(prompt))
    const texts = await writeRows(decoder, begun, plan, logProbs)
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

/** Finished rows leave the batch, so they cost nothing. */
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
