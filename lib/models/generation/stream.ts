/** Streams a text token by token, or piece by piece. */
import { checkOptions, type OptionNames } from '../../core/options.js'
import { checkRoom, type Decodable, PromptDecoder, promptsOf } from './decoder.js'
import { type Beginning, choose } from './generate.js'
import { type Ends, type Plan, planOf, type SamplingOptions, samplingNames } from './options.js'
import { PieceWriter } from './pieces.js'
import type { Rows } from './rows.js'
import { type Finish, finishOf } from './stop.js'

export interface StreamOptions extends SamplingOptions {}

const names: OptionNames<StreamOptions> = samplingNames

/** Implements `CausalModel.stream`. */
export function stream(
  model: Decodable,
  given: readonly number[],
  options: StreamOptions,
): AsyncGenerator<number | string, Finish> {
  const op = `${model.constructor.name}.stream`
  return streamOf(op, options, model, ({ maxNewTokens }) => {
    const [prompt = []] = promptsOf(op, given, model.inputEmbedding().weight.sizes[0] as number)
    checkRoom(op, model, [prompt], maxNewTokens)
    return { prompts: [prompt], open: () => new PromptDecoder(model, [prompt], maxNewTokens) }
  })
}

/** The single text that continues `begin`, according to the options. Returns the reason why it ended. */
export async function* streamOf(
  op: string,
  options: StreamOptions,
  ends: Ends,
  begin: (plan: Plan) => Beginning,
): AsyncGenerator<number | string, Finish> {
  const plan = planOf(op, checkOptions(op, options, names), ends)
  const { prompts, open } = begin(plan)
  const prompt = prompts[0] as readonly number[]
  const decoder = open(1)
  try {
    return yield* plan.tokenizer === null ? tokensOf(decoder, prompt, plan) : piecesOf(decoder, prompt, plan)
  } finally {
    decoder.dispose()
  }
}

async function* tokensOf(decoder: Rows, prompt: readonly number[], plan: Plan): AsyncGenerator<number, Finish> {
  const added: number[] = []
  plan.signal?.throwIfAborted()
  for (let logits = await decoder.start(); ; logits = await decoder.next(added.slice(-1))) {
    plan.signal?.throwIfAborted()
    const { token } = choose(plan, logits[0] as Float32Array, prompt, added, false)
    added.push(token)
    yield token
    const finish = finishOf(plan, added)
    if (finish !== null) return finish
  }
}

async function* piecesOf(decoder: Rows, prompt: readonly number[], plan: Plan): AsyncGenerator<string, Finish> {
  const writer = new PieceWriter(plan)
  let finish: Finish = 'length'
  for await (const token of tokensOf(decoder, prompt, plan)) {
    if (plan.stopTokens.includes(token)) {
      finish = 'token'
      break
    }
    const piece = writer.push(token)
    if (piece !== '') yield piece
    if (writer.ended) return 'string'
  }
  const rest = writer.end()
  if (rest !== '') yield rest
  return writer.ended ? 'string' : finish
}
