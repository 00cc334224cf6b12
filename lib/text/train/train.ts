/** Tokenizers trained on texts. */
import { isIterable } from '../../core/engine.js'
import { kindOf, shown, ValueError } from '../../core/errors.js'
import { checkFlag, checkOptions, listOf } from '../../core/options.js'
import { Aligned } from '../tokenizer/aligned.js'
import { byteCharacters } from '../tokenizer/bytes.js'
import { Fields } from '../tokenizer/fields.js'
import { normalizerOf } from '../tokenizer/normalizer.js'
import { preTokenizerOf } from '../tokenizer/pre-tokenizer.js'
import { type Role, roleNames, Tokenizer } from '../tokenizer/tokenizer.js'
import { trainMerges } from './merges.js'

export type TrainableTokenizer = 'bpe' | 'wordpiece'

export interface TrainTokenizerOptions {
  /** The most tokens: special ones, characters and merges together. There are fewer if the texts have no more pairs. */
  readonly vocabSize: number
  /** Special tokens, which have the first ids. Default: none for 'bpe', BERT's five for 'wordpiece'. */
  readonly special?: readonly string[]
  /** Rarer pairs are not merged. Default 0, as in Hugging Face tokenizers. */
  readonly minFrequency?: number
  /** The roles of special tokens, such as `{ eos: '<|end|>' }`. Default for 'wordpiece': those of BERT's names. */
  readonly roles?: { readonly [R in Role]?: string }
  /** Whether 'wordpiece' makes texts lower case and removes accents. Default true. */
  readonly lowercase?: boolean
}

const bertRoles: { readonly [token: string]: Role } = {
  '[PAD]': 'pad',
  '[UNK]': 'unk',
  '[CLS]': 'cls',
  '[SEP]': 'sep',
  '[MASK]': 'mask',
}

interface Plan {
  readonly special: readonly string[]
  readonly alphabet: readonly string[]
  readonly prefix: string
  readonly parts: { readonly [part: string]: unknown }
  readonly model: (vocabulary: ReadonlyMap<string, number>, merges: readonly (readonly [string, string])[]) => unknown
}

/** Like GPT-2's: bytes as characters, and words with the space before them. */
function bpePlan(special: readonly string[]): Plan {
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true }
  return {
    special,
    alphabet: byteCharacters,
    prefix: '',
    parts: {
      normalizer: null,
      pre_tokenizer: byteLevel,
      post_processor: { ...byteLevel, trim_offsets: false },
      decoder: byteLevel,
    },
    model: (vocabulary, merges) => ({
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: Object.fromEntries(vocabulary),
      merges,
    }),
  }
}

/** Like BERT's: words and punctuation, whose pieces but the first begin with ##. */
function wordPiecePlan(special: readonly string[], lowercase: boolean): Plan {
  const piece = (token: string, type_id: number) => ({ SpecialToken: { id: token, type_id } })
  const text = (id: 'A' | 'B', type_id: number) => ({ Sequence: { id, type_id } })
  const table = (token: string) => ({ id: token, ids: [special.indexOf(token)], tokens: [token] })
  const framed = special.includes('[CLS]') && special.includes('[SEP]')
  const single = [piece('[CLS]', 0), text('A', 0), piece('[SEP]', 0)]
  return {
    special,
    alphabet: [],
    prefix: '##',
    parts: {
      normalizer: {
        type: 'BertNormalizer',
        clean_text: true,
        handle_chinese_chars: true,
        strip_accents: null,
        lowercase,
      },
      pre_tokenizer: { type: 'BertPreTokenizer' },
      post_processor: framed
        ? {
            type: 'TemplateProcessing',
            single,
            pair: [...single, text('B', 1), piece('[SEP]', 1)],
            special_tokens: { '[CLS]': table('[CLS]'), '[SEP]': table('[SEP]') },
          }
        : null,
      decoder: { type: 'WordPiece', prefix: '##', cleanup: true },
    },
    model: (vocabulary) => ({
      type: 'WordPiece',
      unk_token: '[UNK]',
      continuing_subword_prefix: '##',
      max_input_chars_per_word: 100,
      vocab: Object.fromEntries(vocabulary),
    }),
  }
}

async function countWords(
  op: string,
  texts: Iterable<string> | AsyncIterable<string>,
  { parts }: Plan,
): Promise<Map<string, number>> {
  const fields = new Fields(op, 'the plan', parts)
  const normalizer = fields.optional('normalizer')
  const normalize = normalizer === null ? (text: Aligned) => text : normalizerOf(normalizer)
  const split = preTokenizerOf(fields.table('pre_tokenizer'))
  const counts = new Map<string, number>()
  if (!isIterable(texts))
    throw new ValueError(op, `the texts are ${kindOf(texts)}, but must be a list of texts, or a stream of them`)
  let index = 0
  for await (const text of texts) {
    if (typeof text !== 'string') throw new ValueError(op, `text ${index} is ${kindOf(text)}, but must be a string`)
    const whole = normalize(Aligned.of(text.replace(/\p{Surrogate}/gu, '\ufffd')))
    for (const { text: word } of split([whole])) if (word !== '') counts.set(word, (counts.get(word) ?? 0) + 1)
    index++
  }
  return counts
}

/**
 * Trains a tokenizer: byte pair encoding over bytes, like GPT-2's, or WordPiece, like BERT's. The same texts in the
 * same order give the same tokenizer, and that of 'bpe' equals the one that Hugging Face tokenizers trains. Save it by
 * `saveTokenizer`. Throws ValueError for a value that is not a text, and if `vocabSize` has no room for special tokens
 * and characters.
 */
export async function trainTokenizer(
  kind: TrainableTokenizer,
  texts: Iterable<string> | AsyncIterable<string>,
  options: TrainTokenizerOptions,
): Promise<Tokenizer> {
  const op = 'trainTokenizer'
  const names = { vocabSize: true, special: true, minFrequency: true, roles: true, lowercase: true } as const
  const { vocabSize, minFrequency = 0, lowercase, roles, special } = checkOptions(op, options, names)
  if (roles !== undefined) checkOptions(op, roles, roleNames, 'roles')
  if (kind !== 'bpe' && kind !== 'wordpiece')
    throw new ValueError(op, `the kind is ${kindOf(kind)}, but must be 'bpe' or 'wordpiece'`)
  for (const [name, value] of Object.entries({ vocabSize, minFrequency }))
    if (!Number.isSafeInteger(value) || value < 0 || value > 2 ** 24)
      throw new ValueError(op, `${name} is ${shown(value)}, but must be an integer from 0 to ${2 ** 24}`)
  if (lowercase !== undefined) checkFlag(op, 'lowercase', lowercase)
  if (lowercase !== undefined && kind === 'bpe')
    throw new ValueError(op, "lowercase is given, but 'bpe' keeps texts as they are; make them lower case yourself")
  const wanted =
    special === undefined
      ? kind === 'bpe'
        ? []
        : Object.keys(bertRoles)
      : listOf(op, 'special', special, 'a list of texts')
  for (const [i, token] of wanted.entries())
    if (typeof token !== 'string' || token === '' || wanted.indexOf(token) !== i)
      throw new ValueError(
        op,
        `special has ${kindOf(token)} at ${i}, but must be a list of different texts that are not empty`,
      )
  if (kind === 'wordpiece' && !wanted.includes('[UNK]'))
    throw new ValueError(op, "special must contain '[UNK]', which replaces words that have no pieces")
  const plan = kind === 'bpe' ? bpePlan(wanted) : wordPiecePlan(wanted, lowercase ?? true)
  const counts = await countWords(op, texts, plan)
  const { vocabulary, merges } = trainMerges({ ...plan, counts, vocabSize, minFrequency })
  if (vocabulary.size > vocabSize)
    throw new ValueError(
      op,
      `vocabSize is ${vocabSize}, but special tokens and characters alone take ${vocabulary.size}; raise it, or give texts with fewer different characters`,
    )
  const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: true }
  const json = {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: wanted.map((content, id) => ({ id, content, ...flags })),
    ...plan.parts,
    model: plan.model(vocabulary, merges),
  }
  const own = wanted.flatMap((token) => (kind === 'wordpiece' && bertRoles[token] ? [[bertRoles[token], token]] : []))
  return new Tokenizer(json, { special: { ...Object.fromEntries(own), ...roles } }, 'the trained tokenizer', op)
}
