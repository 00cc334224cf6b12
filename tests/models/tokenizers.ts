/**
 * Compares tokenizers with Hugging Face's tokenizers 0.23 (and templates with jinja2): ids, tokens, offsets in UTF-16
 * units, decoded texts, pairs, and batches that are cut and padded.
 *
 * Usage: npm run test:tokenizers. TOKENIZERS_DIR names another folder of the same form, such as drawn_tokenizers.py
 * writes, or MODELS_DIR one that has it as `tokenizers`. Prints `N passed, N failed`. The exit code is 1 if a case
 * fails.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { renderWithSpans } from '../../lib/text/chat/spans.js'
import {
  AutoTokenizer,
  applyChatTemplate,
  type ChatMessage,
  ChatTemplate,
  type ChatVariables,
  type EncodeOptions,
  type Encoding,
  encodeChat,
} from '../../lib/text/index.js'

type Pairs = readonly (readonly [number, number])[]

interface Single {
  readonly text: string
  readonly ids: readonly number[]
  readonly tokens: readonly string[]
  readonly offsets: Pairs
  readonly offsets_utf16?: Pairs
  readonly decoded: string
  readonly decoded_with_special: string
}

interface Row {
  readonly ids: readonly number[]
  readonly attention_mask: readonly number[]
  readonly special_tokens_mask: readonly number[]
  readonly overflowing: readonly (readonly number[])[]
}

interface Batch {
  readonly texts: readonly string[]
  readonly pad_token: string
  readonly padding: {
    readonly length: number | null
    readonly direction?: 'left' | 'right'
    readonly pad_to_multiple_of?: number
  }
  readonly truncation: { readonly max_length: number; readonly stride?: number; readonly direction?: 'left' | 'right' }
  readonly rows: readonly Row[]
}

interface Pair {
  readonly text: readonly [string, string]
  readonly ids: readonly number[]
  readonly type_ids: readonly number[]
  readonly tokens: readonly string[]
  readonly offsets: Pairs
  readonly offsets_utf16?: Pairs
  readonly special_tokens_mask: readonly number[]
}

interface Chat {
  readonly messages: readonly ChatMessage[]
  readonly rendered: string
  readonly rendered_with_prompt: string
  readonly ids: readonly number[]
  readonly assistant_mask: readonly number[]
}

interface Cases {
  readonly single: readonly Single[]
  readonly without_special: readonly Single[]
  readonly batch: readonly Batch[]
  readonly pair: Pair
  readonly pairs?: readonly Pair[]
  readonly chat?: readonly Chat[]
}

export interface Tally {
  passed: number
  failed: number
}

/** Runs a check. If it throws, it has failed. */
export type Check = (name: string, run: () => void | Promise<void>) => Promise<void>

export function tallied(): { readonly tally: Tally; readonly check: Check } {
  const tally = { passed: 0, failed: 0 }
  const check: Check = async (name, run) => {
    try {
      await run()
      tally.passed++
    } catch (error) {
      tally.failed++
      console.log(`FAILED ${name}: ${(error as Error).message}`)
    }
  }
  return { tally, check }
}

/** Throws unless two values are equal as JSON. */
export function same(what: string, got: unknown, expected: unknown): void {
  const [own, theirs] = [JSON.stringify(got), JSON.stringify(expected)]
  if (own !== theirs) throw new Error(`${what}: ${own?.slice(0, 300)}, expected ${theirs?.slice(0, 300)}`)
}

function sameSingle(encoding: Encoding, expected: Omit<Single, 'decoded' | 'decoded_with_special'>): void {
  same('ids', encoding.ids, expected.ids)
  same('tokens', encoding.tokens, expected.tokens)
  same('offsets', encoding.offsets, expected.offsets_utf16 ?? expected.offsets)
}

function optionsOf({ padding, truncation }: Batch): EncodeOptions {
  return {
    padding: padding.length ?? 'longest',
    maxLength: truncation.max_length,
    ...(padding.direction && { paddingSide: padding.direction }),
    ...(padding.pad_to_multiple_of && { padToMultipleOf: padding.pad_to_multiple_of }),
    ...(truncation.stride && { stride: truncation.stride }),
    ...(truncation.direction && { truncationSide: truncation.direction }),
  }
}

async function checkFolder(name: string, folder: string, check: Check): Promise<void> {
  const cases = JSON.parse(readFileSync(join(folder, 'cases.json'), 'utf8')) as Cases
  const tokenizer = await AutoTokenizer.load(folder)
  for (const [kind, specialTokens] of [
    ['single', true],
    ['without_special', false],
  ] as const)
    for (const each of cases[kind])
      await check(`${name} ${kind} ${JSON.stringify(each.text.slice(0, 30))}`, () => {
        sameSingle(tokenizer.encode(each.text, { specialTokens }), each)
        same('decoded', tokenizer.decode(each.ids), each.decoded)
        same(
          'decoded with special',
          tokenizer.decode(each.ids, { skipSpecialTokens: false }),
          each.decoded_with_special,
        )
      })
  for (const [i, chat] of (cases.chat ?? []).entries())
    await check(`${name} chat ${i}`, async () => {
      const { messages, ids, assistant_mask, rendered, rendered_with_prompt } = chat
      same('text', await applyChatTemplate(messages, { tokenizer }), rendered)
      same('prompt', await applyChatTemplate(messages, { tokenizer, addGenerationPrompt: true }), rendered_with_prompt)
      const encoded = await encodeChat(messages, { tokenizer })
      same('ids', encoded.ids, ids)
      same('learned', encoded.learned, assistant_mask)
    })
  for (const [i, each] of [cases.pair, ...(cases.pairs ?? [])].entries())
    await check(`${name} pair ${i}`, () => {
      const { text, type_ids, special_tokens_mask, ...expected } = each
      const encoding = tokenizer.encode(text[0], { pair: text[1] })
      sameSingle(encoding, { ...expected, text: text[0] })
      same('types', encoding.typeIds, type_ids)
      same('special', encoding.specialTokensMask, special_tokens_mask)
    })
  for (const [i, batch] of cases.batch.entries()) {
    const padding = await AutoTokenizer.load(folder, { padToken: batch.pad_token })
    await check(`${name} batch ${i}`, () => {
      const rows = padding.encodeBatch(batch.texts, optionsOf(batch)).map((row) => ({
        ids: row.ids,
        attention_mask: row.attentionMask,
        special_tokens_mask: row.specialTokensMask,
        overflowing: row.overflowing.map(({ ids }) => ids),
      }))
      same('rows', rows, batch.rows)
    })
  }
}

interface ChatCase {
  readonly template: string
  readonly name: string
  readonly messages: readonly ChatMessage[]
  readonly options: ChatVariables
  readonly text?: string
  readonly learn?: Pairs
  readonly error?: string
}

/**
 * Templates: the text, and the part of it that the assistant must produce; or the template's own words if it refuses.
 */
export async function checkChats(file: string, check: Check): Promise<void> {
  for (const { name, template, messages, options, ...expected } of JSON.parse(readFileSync(file, 'utf8')) as ChatCase[])
    await check(`chat ${name}`, async () => {
      const compiled = await ChatTemplate.compile(template)
      const run = () => renderWithSpans('test', compiled, messages, { variables: options, answers: 'all' })
      if (expected.error !== undefined) {
        let refused = ''
        try {
          run()
        } catch (error) {
          refused = (error as Error).message
        }
        if (!refused.includes(expected.error)) throw new Error(`${refused || 'no error'}, expected ${expected.error}`)
        return
      }
      const { text, learn } = run()
      same('text', text, expected.text)
      same('learn', learn, expected.learn)
    })
}

/** Checks every folder with cases.json under `folder`. */
export async function checkTokenizers(folder: string, check: Check): Promise<void> {
  for (const name of readdirSync(folder).sort())
    if (existsSync(join(folder, name, 'cases.json'))) await checkFolder(name, join(folder, name), check)
}

/** Checks the cases of a folder that has `tokenizers` and `chat`. */
export async function checkTexts(folder: string, check: Check): Promise<void> {
  await checkTokenizers(join(folder, 'tokenizers'), check)
  const chats = join(folder, 'chat', 'cases.json')
  if (existsSync(chats)) await checkChats(chats, check)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { tally, check } = tallied()
  const { TOKENIZERS_DIR: tokenizers, MODELS_DIR: models } = process.env
  if (tokenizers !== undefined) await checkTokenizers(tokenizers, check)
  else await checkTexts(models ?? fileURLToPath(new URL('data/', import.meta.url)), check)
  console.log(`${tally.passed} passed, ${tally.failed} failed`)
  if (tally.failed > 0 || tally.passed === 0) process.exitCode = 1
}
