/** `firesteel generate`: lets a model write a text. */
import { stat } from 'node:fs/promises'
import { text as readAll } from 'node:stream/consumers'
import { isFiresteelError } from '../../core/errors.js'
import type { AutoModel } from '../../models/auto.js'
import type { CausalModel, ChatOptions } from '../../models/causal.js'
import type { Finish } from '../../models/generation/stop.js'
import type { Seq2SeqModel } from '../../models/seq2seq.js'
import type { ChatMessage } from '../../text/chat/template.js'
import type { Tokenizer } from '../../text/tokenizer/tokenizer.js'
import { onlyArgument, parseArguments } from '../arguments.js'
import { loadFinetune } from '../config/config.js'
import { type ExitCode, exitCodes, UsageError } from '../exit.js'
import { checkModelFolder } from '../folder.js'
import type { FormatName } from '../tasks/formats.js'
import { countText } from '../words.js'

const usage = `Usage: firesteel generate CONFIG|FOLDER [--prompt TEXT] [--system TEXT] [--plain] [options]
  CONFIG|FOLDER      the config of a finished run, or a Hugging Face folder
  --prompt           the text to continue or to answer; default: read from stdin
  --system           the system message of a chat
  --plain            uses the prompt as it is, without the chat template
  --max-new-tokens   the most tokens to write; default 256
  --temperature, --top-p, --top-k    draw each token at random; without them, the likeliest is taken
  --seed             the seed of the random draws: the same seed gives the same text
  --set              changes a value of a CONFIG, as in --set output=run2; may be repeated
  --json             prints the prompt, the complete text and finishReason as JSON: 'stop' if the model ended the text,
                     'length' if --max-new-tokens cut it
Why the text ended is told on stderr, too.`

export async function generateCommand(args: readonly string[]): Promise<ExitCode> {
  const text = { type: 'string' } as const
  const flag = { type: 'boolean' } as const
  const { values, positionals } = parseArguments(
    args,
    {
      prompt: text,
      system: text,
      plain: flag,
      'max-new-tokens': text,
      temperature: text,
      'top-p': text,
      'top-k': text,
      seed: text,
      set: { type: 'string', multiple: true },
      json: flag,
      help: flag,
    },
    usage,
  )
  if (values.help) {
    console.log(usage)
    return exitCodes.done
  }
  const path = onlyArgument('generate takes one config or folder', positionals, usage)
  const numberOf = (name: 'max-new-tokens' | 'temperature' | 'top-p' | 'top-k' | 'seed') => {
    const given = values[name]
    if (given === undefined) return undefined
    const value = Number(given)
    if (given.trim() === '' || !Number.isFinite(value))
      throw new UsageError(`--${name} is '${given}', but must be a number`)
    return value
  }
  const [temperature, topP, topK, seed] = [
    numberOf('temperature'),
    numberOf('top-p'),
    numberOf('top-k'),
    numberOf('seed'),
  ]
  const options: ChatOptions = {
    maxNewTokens: numberOf('max-new-tokens') ?? 256,
    ...(temperature !== undefined && { temperature }),
    ...(topP !== undefined && { topP }),
    ...(topK !== undefined && { topK }),
    ...(seed !== undefined && { seed }),
  }
  const tuned = await load(path, values.set ?? [])
  if (values.prompt === undefined && process.stdin.isTTY)
    throw new UsageError(`there is no prompt; give --prompt, or pipe one in\n${usage}`)
  const prompt = values.prompt ?? (await readAll(process.stdin))
  if (prompt.trim() === '') throw new UsageError('the prompt is empty; give a text')
  const isChat =
    !values.plain && (tuned.format === null ? tuned.tokenizer.chatTemplate !== null : tuned.format === 'chat')
  if (values.system !== undefined && !isChat)
    throw new UsageError('--system is for chats, but this model writes plain texts; leave it out')
  let written = ''
  let finish: Finish
  try {
    const writing = pieces(tuned, prompt, { isChat, system: values.system, options })
    for (;;) {
      const { value, done } = await writing.next()
      if (done) {
        finish = value
        break
      }
      written += value
      if (!values.json) process.stdout.write(value)
    }
  } catch (error) {
    if (isFiresteelError(error)) error.message = inOptions(error.message.replace(`[${error.op}] `, ''))
    throw error
  }
  const finishReason = finish === 'length' ? 'length' : 'stop'
  process.stdout.write(values.json ? `${JSON.stringify({ prompt, text: written, finishReason })}\n` : '\n')
  console.error(
    finishReason === 'stop'
      ? 'the model ended the text'
      : `the text was cut at --max-new-tokens, ${countText(options.maxNewTokens as number)}; raise it for a longer text`,
  )
  return exitCodes.done
}

/** A message of the library that names the options of this command. */
const inOptions = (message: string): string =>
  [
    ['maxNewTokens', '--max-new-tokens'],
    ['temperature', '--temperature'],
    ['topP', '--top-p'],
    ['topK', '--top-k'],
    ['seed', '--seed'],
  ].reduce((text, [name, option]) => text.replaceAll(new RegExp(`(?<!-)\\b${name}\\b`, 'g'), option as string), message)

/** A model that writes text. */
interface Writer {
  readonly model: CausalModel | Seq2SeqModel
  readonly tokenizer: Tokenizer
  /** The format of the rows from which it learned, or null for a folder that was not made by a run. */
  readonly format: FormatName | null
  /** The text put before an encoder-decoder's input. */
  readonly prefix: string
}

async function load(path: string, assignments: readonly string[]): Promise<Writer> {
  const isFolder = await stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  )
  if (!isFolder) {
    const [{ loadTuned }, { CausalModel }, { Seq2SeqModel }] = await Promise.all([
      import('../tuning/result.js'),
      import('../../models/causal.js'),
      import('../../models/seq2seq.js'),
    ])
    const loaded = await loadFinetune(path, assignments)
    const { model, tokenizer, format } = await loadTuned(loaded)
    const { prefix = '' } = loaded.config.data
    if (model instanceof CausalModel || model instanceof Seq2SeqModel) return { model, tokenizer, format, prefix }
    throw new UsageError(
      `${path}: the run learned rows of the format '${format}', but only models of chats, completions, texts and translations can write text`,
    )
  }
  if (assignments.length > 0) throw new UsageError('--set changes values of a config, but a folder was given')
  const [{ AutoModel }, { AutoTokenizer }] = await Promise.all([
    import('../../models/auto.js'),
    import('../../text/tokenizer/folder.js'),
  ])
  return {
    model: await writing(path, AutoModel),
    tokenizer: await AutoTokenizer.load(path),
    format: null,
    prefix: '',
  }
}

/** The model of a folder, which writes on or reads one text and writes another. */
async function writing(path: string, { forCausalLM, forSeq2Seq }: typeof AutoModel) {
  await checkModelFolder(path)
  const isOther = (error: unknown) => error instanceof Error && error.message.includes('but the known ones are')
  try {
    return await forCausalLM(path)
  } catch (error) {
    if (!isOther(error)) throw error
    try {
      return await forSeq2Seq(path)
    } catch (second) {
      if (!isOther(second)) throw second
      const [, type] = /model_type is ('[^']*')/.exec((error as Error).message) ?? []
      throw new UsageError(
        `${path}: the model is of the type ${type ?? 'of an encoder'}, which writes no text; name the folder of a language model or of a t5`,
      )
    }
  }
}

interface Writing {
  readonly isChat: boolean
  readonly system: string | undefined
  readonly options: ChatOptions
}

function pieces(
  { model, tokenizer, prefix }: Writer,
  prompt: string,
  { isChat, system, options }: Writing,
): AsyncGenerator<string, Finish> {
  model.eval()
  if (!('chat' in model)) return model.stream([...tokenizer.encode(prefix + prompt).ids], { ...options, tokenizer })
  if (isChat) {
    const messages: ChatMessage[] = [
      ...(system === undefined ? [] : [{ role: 'system', content: system }]),
      { role: 'user', content: prompt },
    ]
    return model.chat(tokenizer, messages, options)
  }
  const ids = [...tokenizer.encode(prompt).ids]
  const end = tokenizer.idFor('eos')
  const stopTokens = [...new Set([...model.endTokens, ...(end === null ? [] : [end])])]
  return model.stream(ids, { stopTokens, ...options, tokenizer })
}
