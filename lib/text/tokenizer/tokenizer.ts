/**
 * Tokenizers of Hugging Face's `tokenizer.json`: normalizer, pre-tokenizer, model, post-processor and decoder, one
 * after another. Results are those of the tokenizers library, except that offsets count UTF-16 units, as JavaScript's
 * strings do.
 */
import { kindOf, shown, ValueError } from '../../core/errors.js'
import { inNode, nextTurn } from '../../core/host.js'
import { checkFlag, checkOptions, listOf, type OptionNames, ownOptions } from '../../core/options.js'
import { AddedFinder, type AddedToken } from './added.js'
import { Aligned } from './aligned.js'
import { type EncodedBatch, encodePart, joinedBatch, longestOf } from './batch.js'
import { type Decoder, decoderOf } from './decoder.js'
import {
  type Draft,
  type Encoding,
  emptyDraft,
  encodingOf,
  padded,
  type Side,
  type Truncation,
  truncated,
} from './encoding.js'
import { Fields } from './fields.js'
import type { BatchOptions, Given } from './messages.js'
import { type Model, modelOf } from './model.js'
import { type Normalizer, normalizerOf } from './normalizer.js'
import { type PostProcessor, postProcessorOf, together } from './post-processor.js'
import { type PreTokenizer, preTokenizerOf } from './pre-tokenizer.js'
import { EncodingThread, encodeParts, isBrief } from './threads.js'
import { checkId } from './vocabulary.js'

export interface EncodeOptions {
  /** A second text, which is encoded after the first. */
  readonly pair?: string
  /** Whether special tokens are added, as the tokenizer's post-processor says. Default true. */
  readonly specialTokens?: boolean
  /** The most tokens of a result, including special ones. Default: any number. */
  readonly maxLength?: number
  /**
   * The text that is cut if `maxLength` is exceeded: the longer text first, or only one of them. Default
   * 'longestFirst'.
   */
  readonly truncation?: Truncation
  /** The end that is cut. Default: the tokenizer's `truncationSide`. */
  readonly truncationSide?: Side
  /** Tokens that each window in `overflowing` shares with the one before it. Default 0. */
  readonly stride?: number
  /** Pads to the longest of the batch, or to this many tokens. Default: no padding. */
  readonly padding?: 'longest' | number
  /** The end that is padded. Default: the tokenizer's `paddingSide`. */
  readonly paddingSide?: Side
  /** Rounds the length of the padding up to a multiple of this. */
  readonly padToMultipleOf?: number
}

const encodeNames: OptionNames<EncodeOptions> = {
  pair: true,
  specialTokens: true,
  maxLength: true,
  truncation: true,
  truncationSide: true,
  stride: true,
  padding: true,
  paddingSide: true,
  padToMultipleOf: true,
}

const { pair: _, ...batchNames } = encodeNames
const { stride: _stride, ...asyncNames } = batchNames

const isGiven = (text: unknown): text is Given =>
  typeof text === 'string' ||
  (Array.isArray(text) && text.length === 2 && typeof text[0] === 'string' && typeof text[1] === 'string')

/** The most tokens to which a text is padded. No model takes as many. */
const mostPadding = 2 ** 20

export interface DecodeOptions {
  /** Whether special tokens are left out. Default true. */
  readonly skipSpecialTokens?: boolean
}

/** Special tokens by their role. Their names are those of Hugging Face's files without `_token`. */
export const roles = ['bos', 'eos', 'unk', 'sep', 'pad', 'cls', 'mask'] as const
export type Role = (typeof roles)[number]
/** The roles that a special token can have. */
export const roleNames: OptionNames<{ readonly [R in Role]?: string }> = {
  bos: true,
  eos: true,
  unk: true,
  sep: true,
  pad: true,
  cls: true,
  mask: true,
}

export interface TokenizerSettings {
  /** The tokens of each role. */
  readonly special?: { readonly [R in Role]?: string }
  readonly paddingSide?: Side
  readonly truncationSide?: Side
  /** The most tokens that the model takes. */
  readonly maxLength?: number | null
  /** A template for chats, in Jinja; or several by name, one of which is `default`. */
  readonly chatTemplate?: string | { readonly [name: string]: string } | null
}

const settingNames: OptionNames<TokenizerSettings> = {
  special: true,
  paddingSide: true,
  truncationSide: true,
  maxLength: true,
  chatTemplate: true,
}

/** The settings, each with a value. Throws ValueError for wrong ones. */
function settingsOf(op: string, settings: TokenizerSettings): Required<TokenizerSettings> {
  const {
    special = {},
    paddingSide = 'right',
    truncationSide = 'right',
    maxLength = null,
    chatTemplate = null,
  } = checkOptions(op, settings, settingNames)
  checkOptions(op, special, roleNames, 'special')
  for (const [role, token] of Object.entries(special))
    if (typeof token !== 'string') throw new ValueError(op, `special.${role} is ${shown(token)}, but must be a token`)
  for (const [name, side] of Object.entries({ paddingSide, truncationSide }))
    if (side !== 'left' && side !== 'right')
      throw new ValueError(op, `${name} is ${shown(side)}, but must be 'left' or 'right'`)
  if (maxLength !== null && !(Number.isFinite(maxLength) && maxLength > 0))
    throw new ValueError(op, `maxLength is ${shown(maxLength)}, but must be a positive number, or null`)
  const isTable = typeof chatTemplate === 'object' && chatTemplate !== null && kindOf(chatTemplate) === 'an object'
  const templates: readonly unknown[] = isTable ? Object.values(chatTemplate) : [chatTemplate ?? '']
  if (!templates.every((template) => typeof template === 'string'))
    throw new ValueError(op, `chatTemplate is ${shown(chatTemplate)}, but must be a template, or templates by name`)
  return { special, paddingSide, truncationSide, maxLength, chatTemplate }
}

export interface AddTokensOptions {
  /** Whether `decode` leaves them out by default. Default false. */
  readonly special?: boolean
}

/** An added token, as a file has it. */
interface FileToken {
  readonly id: number
  readonly content: string
  readonly single_word: boolean
  readonly lstrip: boolean
  readonly rstrip: boolean
  readonly normalized: boolean
  readonly special: boolean
}

/** A tokenizer of a `tokenizer.json`: texts to tokens and back, with the results of Hugging Face tokenizers. */
export class Tokenizer {
  readonly paddingSide: Side
  readonly truncationSide: Side
  /**
   * The most tokens that the model takes according to the folder, or null if it does not say. `encode` does not cut by
   * itself.
   */
  readonly maxLength: number | null
  readonly chatTemplate: string | { readonly [name: string]: string } | null
  /** Special tokens by their role. */
  readonly special: { readonly [R in Role]?: string }
  readonly #json: { readonly [name: string]: unknown }
  readonly #normalizer: Normalizer | null
  readonly #preTokenizer: PreTokenizer | null
  readonly #model: Model
  readonly #postProcessor: PostProcessor | null
  readonly #decoder: Decoder | null
  readonly #padTypeId: number
  readonly #tokens = new Map<number, string>()
  readonly #added = new Map<string, { readonly id: number; readonly token: AddedToken }>()
  #raw!: AddedFinder
  #normalized!: AddedFinder
  /**
   * The texts that decoders get for added tokens that are searched for in normalized text: the normalized text, as in
   * Hugging Face's tokenizers.
   */
  #decoded!: ReadonlyMap<number, string>
  #size = 0
  #thread: EncodingThread | null = null

  /**
   * Makes a tokenizer from the value of a tokenizer.json. Errors name `path`. The file's own padding and truncation are
   * ignored, because `encode` has options for them. The padding token alone is taken from there if no other is given.
   * Throws ValueError for a part that is malformed or unknown.
   */
  constructor(json: unknown, settings: TokenizerSettings = {}, path = 'tokenizer.json', op = 'Tokenizer') {
    const fields = new Fields(op, path, json)
    this.#json = json as { readonly [name: string]: unknown }
    const part = <T>(name: string, make: (fields: Fields) => T): T | null => {
      const table = fields.optional(name)
      return table && make(table)
    }
    this.#model = modelOf(fields.table('model'))
    this.#normalizer = part('normalizer', normalizerOf)
    this.#preTokenizer = part('pre_tokenizer', preTokenizerOf)
    this.#postProcessor = part('post_processor', postProcessorOf)
    this.#decoder = part('decoder', decoderOf)
    for (const [token, id] of this.#model.vocabulary) this.#register(token, id)
    if (fields.has('added_tokens'))
      for (const table of fields.tables('added_tokens')) {
        const content = table.text('content')
        const id = checkId(table, table.raw('id'), JSON.stringify(content.slice(0, 50)))
        this.#add(id, {
          content,
          special: table.flag('special', false),
          singleWord: table.flag('single_word', false),
          lstrip: table.flag('lstrip', false),
          rstrip: table.flag('rstrip', false),
          normalized: table.flag('normalized', !table.flag('special', false)),
        })
      }
    this.#index()
    const padding = fields.optional('padding')
    this.#padTypeId = padding?.count('pad_type_id', 0) ?? 0
    const { special, paddingSide, truncationSide, maxLength, chatTemplate } = settingsOf(op, settings)
    const pad = special.pad ?? padding?.text('pad_token')
    this.special = pad === undefined ? { ...special } : { ...special, pad }
    this.paddingSide = paddingSide
    this.truncationSide = truncationSide
    this.maxLength = maxLength
    this.chatTemplate = chatTemplate
    for (const [role, token] of Object.entries(this.special))
      if (this.idOf(token) === undefined)
        fields.fail(`has no token ${JSON.stringify(token)}, which it names as its ${role} token`)
  }

  #register(token: string, id: number): void {
    this.#tokens.set(id, token)
    this.#size = Math.max(this.#size, id + 1)
  }

  #add(id: number, token: AddedToken): void {
    this.#added.set(token.content, { id, token })
    this.#register(token.content, id)
  }

  /** Rebuilds the finders after tokens were added. */
  #index(): void {
    const all = [...this.#added.values()].map(({ id, token }) => [id, token] as const)
    const normalizer = this.#normalizer
    const normalizedText = (content: string) => (normalizer ? normalizer(Aligned.of(content)).text : content)
    this.#decoded = new Map(
      all.flatMap(([id, { content, normalized }]) => (normalized ? [[id, normalizedText(content)] as const] : [])),
    )
    this.#raw = new AddedFinder(
      all.filter(([, token]) => !token.normalized),
      (content) => content,
    )
    this.#normalized = new AddedFinder(
      all.filter(([, token]) => token.normalized),
      normalizedText,
    )
  }

  /** One more than the highest id: the rows that an embedding needs. */
  get size(): number {
    return this.#size
  }

  idOf(token: string): number | undefined {
    return this.#added.get(token)?.id ?? this.#model.vocabulary.get(token)
  }

  tokenOf(id: number): string | undefined {
    return this.#tokens.get(id)
  }

  /** The id of a role's token, or null if the tokenizer has none. */
  idFor(role: Role): number | null {
    if (!roles.includes(role))
      throw new ValueError('idFor', `the role is ${shown(role)}, but must be one of ${roles.join(', ')}`)
    const token = this.special[role]
    return token === undefined ? null : (this.idOf(token) ?? null)
  }

  /** Ids of the tokens that `decode` leaves out by default. */
  get specialIds(): ReadonlySet<number> {
    return new Set([...this.#added.values()].filter(({ token }) => token.special).map(({ id }) => id))
  }

  /**
   * Adds tokens that are found in every text as they are. Returns the number of those with a new id, after all others.
   * A token that was added before keeps the way it is found; only `special` may change.
   */
  addTokens(tokens: readonly string[], options: AddTokensOptions = {}): number {
    const op = 'addTokens'
    const { special = false } = checkOptions(op, options, { special: true })
    checkFlag(op, 'special', special)
    if (!Array.isArray(tokens))
      throw new ValueError(op, `the tokens are ${kindOf(tokens)}, but must be a list of texts`)
    for (const token of tokens)
      if (typeof token !== 'string' || token === '')
        throw new ValueError(op, `a token is ${kindOf(token)}, but must be a text that is not empty`)
    const before = this.#size
    for (const content of tokens) {
      const fresh = { content, singleWord: false, lstrip: false, rstrip: false, normalized: !special }
      this.#add(this.idOf(content) ?? this.#size, { ...(this.#added.get(content)?.token ?? fresh), special })
    }
    this.#index()
    // The thread knows none of them; batches that wait are encoded as when they were asked for.
    this.#thread?.retire()
    this.#thread = null
    return this.#size - before
  }

  /**
   * A text in tokens. Throws ValueError if options contradict each other, if one text of a pair cannot be cut far
   * enough, or if padding is requested without a token for it.
   */
  encode(text: string, options: EncodeOptions = {}): Encoding {
    const op = 'encode'
    checkOptions(op, options, encodeNames)
    const { pair } = options
    return this.#encodeAll(op, [pair === undefined ? text : [text, pair]], options)[0] as Encoding
  }

  /** Several texts, or pairs of them, in tokens, padded together. Throws like `encode`. */
  encodeBatch(
    texts: readonly (string | readonly [first: string, second: string])[],
    options: Omit<EncodeOptions, 'pair'> = {},
  ): Encoding[] {
    const op = 'encodeBatch'
    checkOptions(op, options, batchNames)
    if (!Array.isArray(texts)) throw new ValueError(op, `the texts are ${kindOf(texts)}, but must be a list`)
    return this.#encodeAll(op, texts, options)
  }

  #encodeAll(
    op: string,
    texts: readonly (string | readonly [string, string])[],
    options: Omit<EncodeOptions, 'pair'>,
  ): Encoding[] {
    this.#check(op, options)
    const drafts = texts.map((text) => this.#encodeOne(op, text, options))
    const filling = this.#filling(op, options)
    if (filling === null) return drafts.map(encodingOf)
    const length = filling.lengthOf(drafts.reduce((longest, { ids }) => Math.max(longest, ids.length), 0))
    return drafts.map((draft) => encodingOf(padded(draft, length, filling, filling.side)))
  }

  /** The way in which texts are filled up; null if they are not. Throws ValueError where there is no token for it. */
  #filling(op: string, options: Omit<EncodeOptions, 'pair'>) {
    const { padding, paddingSide: side = this.paddingSide, padToMultipleOf: multiple = 1 } = options
    if (padding === undefined) return null
    const token = this.special.pad
    const id = this.idFor('pad')
    if (token === undefined || id === null)
      throw new ValueError(
        op,
        'padding is requested, but the tokenizer has no padding token; load it with { padToken }',
      )
    const lengthOf = (longest: number) => Math.ceil((padding === 'longest' ? longest : padding) / multiple) * multiple
    return { id, token, typeId: this.#padTypeId, side, lengthOf }
  }

  /**
   * Does the same as `encodeBatch`, but returns arrays of numbers. It encodes in a thread that holds the tokenizer, so
   * the event loop is free meanwhile. The calling thread encodes batches of at most 4096 UTF-16 units, and all batches
   * if there are no threads. The thread starts with the first batch that needs it, keeps no process alive, and ends
   * after 30 seconds without a text, or by `dispose`. Rejects with the errors that `encode` throws and the place of the
   * text, and with WorkerError if the thread ends.
   */
  async encodeBatchAsync(texts: readonly Given[], options: BatchOptions = {}): Promise<EncodedBatch> {
    const op = 'encodeBatchAsync'
    const own = ownOptions(op, options, asyncNames)
    if (!Array.isArray(texts)) throw new ValueError(op, `the texts are ${kindOf(texts)}, but must be a list`)
    const given: readonly Given[] = [...texts]
    for (const [i, text] of given.entries())
      if (!isGiven(text))
        throw new ValueError(op, `text ${i} is ${kindOf(text)}, but must be a string, or a pair of two`)
    this.#check(op, own)
    const filling = this.#filling(op, own)
    const { padding: _padding, paddingSide: _side, padToMultipleOf: _multiple, ...encoding } = own
    const brief = isBrief(given)
    const rest = brief ? () => Promise.resolve() : nextTurn
    let parts: readonly EncodedBatch[]
    if (brief || !inNode)
      parts = await encodeParts(op, given, async (part) => {
        await rest()
        return encodePart(part, (text) => this.encodeBatch([text], encoding))
      })
    else {
      if (this.#thread?.alive !== true) {
        const { special, paddingSide, truncationSide } = this
        const settings = { special, paddingSide, truncationSide }
        this.#thread = new EncodingThread(op, { json: this.toJSON(), settings })
      }
      parts = await this.#thread.encode(op, given, encoding)
    }
    return joinedBatch(parts, filling && { ...filling, length: filling.lengthOf(longestOf(parts)) }, rest)
  }

  /**
   * Ends the thread of `encodeBatchAsync`, if there is one, and rejects the batches that wait for it. A later batch
   * starts another thread.
   */
  async dispose(): Promise<void> {
    const thread = this.#thread
    this.#thread = null
    await thread?.end()
  }

  #check(op: string, options: Omit<EncodeOptions, 'pair'>): void {
    const { specialTokens, maxLength, truncation, truncationSide, stride, padding, paddingSide, padToMultipleOf } =
      options
    const count = (name: string, value: unknown, least: number, most = Number.MAX_SAFE_INTEGER) => {
      if (value === undefined || (Number.isSafeInteger(value) && Number(value) >= least && Number(value) <= most))
        return
      const range = most === Number.MAX_SAFE_INTEGER ? `of at least ${least}` : `from ${least} to ${most}`
      throw new ValueError(op, `${name} is ${shown(value)}, but must be an integer ${range}`)
    }
    const choice = (name: string, value: unknown, choices: readonly string[]) => {
      if (value !== undefined && !choices.includes(value as string))
        throw new ValueError(op, `${name} is ${shown(value)}, but must be one of ${choices.join(', ')}`)
    }
    const needs = (name: string, value: unknown, other: string, given: unknown) => {
      if (value !== undefined && given === undefined)
        throw new ValueError(op, `${name} has no effect without ${other}; give both, or neither`)
    }
    if (specialTokens !== undefined) checkFlag(op, 'specialTokens', specialTokens)
    count('maxLength', maxLength, 0)
    count('stride', stride, 0)
    count('padToMultipleOf', padToMultipleOf, 1, mostPadding)
    if (padding !== 'longest') count('padding', padding, 0, mostPadding)
    choice('truncation', truncation, ['longestFirst', 'first', 'second'])
    choice('truncationSide', truncationSide, ['left', 'right'])
    choice('paddingSide', paddingSide, ['left', 'right'])
    for (const [name, value] of Object.entries({ truncation, truncationSide, stride }))
      needs(name, value, 'maxLength', maxLength)
    for (const [name, value] of Object.entries({ paddingSide, padToMultipleOf })) needs(name, value, 'padding', padding)
  }

  #encodeOne(op: string, given: string | readonly [string, string], options: Omit<EncodeOptions, 'pair'>): Draft {
    const texts = typeof given === 'string' ? [given] : given
    if (!Array.isArray(texts) || texts.length > 2 || !texts.every((text) => typeof text === 'string'))
      throw new ValueError(op, `a text is ${kindOf(given)}, but must be a string, or a pair of two`)
    const { specialTokens = true, maxLength, truncation = 'longestFirst', stride = 0 } = options
    const side = options.truncationSide ?? this.truncationSide
    let [first, second = null] = texts.map((text, i) => this.#draft(text, i as 0 | 1)) as [Draft, Draft?]
    if (truncation === 'second' && second === null)
      throw new ValueError(op, "truncation is 'second', but there is only one text")
    if (maxLength !== undefined) {
      const added = specialTokens ? (this.#postProcessor?.added(second !== null) ?? 0) : 0
      if (added > maxLength)
        throw new ValueError(op, `maxLength is ${maxLength}, but there are ${added} special tokens; give a larger one`)
      ;[first, second] = truncated(first, second, maxLength - added, { truncation, stride, side })
    }
    const drafts = second === null ? [first] : [first, second]
    return together(this.#postProcessor?.process(drafts, specialTokens) ?? drafts)
  }

  /** The tokens of one text, without those that are added. */
  #draft(text: string, sequence: 0 | 1): Draft {
    const draft = emptyDraft(text)
    let word = 0
    const push = (id: number, token: string, from: number, to: number) => {
      draft.ids.push(id)
      draft.tokens.push(token)
      draft.typeIds.push(sequence)
      draft.attentionMask.push(1)
      draft.specialTokensMask.push(0)
      draft.offsets.push([from, to])
      draft.words.push(word)
      draft.sequences.push(sequence)
    }
    const pushAdded = (part: Aligned, id: number) => {
      const length = part.text.length
      push(id, part.text, length > 0 ? part.startOf(0) : part.origin, length > 0 ? part.endOf(length - 1) : part.origin)
      word++
    }
    // Half a surrogate pair has no UTF-8, and so no tokens.
    const whole = Aligned.of(text.replace(/\p{Surrogate}/gu, '\ufffd'))
    for (const outer of this.#raw.split(whole)) {
      if (outer.id !== null) {
        pushAdded(outer.text, outer.id)
        continue
      }
      const normalized = this.#normalizer?.(outer.text) ?? outer.text
      for (const { text: part, id } of this.#normalized.split(normalized)) {
        if (id !== null) {
          pushAdded(part, id)
          continue
        }
        const piece = part.slice(0, part.text.length)
        for (const each of this.#preTokenizer?.([piece]) ?? [piece]) {
          if (each.text === '') continue
          for (const token of this.#model.tokenize(each.text))
            push(token.id, token.text, each.startOf(token.from), each.endOf(token.to - 1))
          word++
        }
      }
    }
    return draft
  }

  /** The text of tokens. Unknown ids are left out, as in Hugging Face's tokenizers. */
  decode(ids: Iterable<number>, options: DecodeOptions = {}): string {
    const op = 'decode'
    const { skipSpecialTokens = true } = checkOptions(op, options, { skipSpecialTokens: true })
    checkFlag(op, 'skipSpecialTokens', skipSpecialTokens)
    const tokens: string[] = []
    for (const id of listOf(op, 'ids', ids, 'a list of numbers')) {
      const token = this.#tokens.get(id)
      if (token === undefined) continue
      if (skipSpecialTokens && this.#added.get(token)?.token.special) continue
      tokens.push(this.#decoded.get(id) ?? token)
    }
    return this.#decoder === null ? tokens.join(' ') : this.#decoder(tokens).join('')
  }

  /** The value of a tokenizer.json, including tokens that were added after it was read. */
  toJSON(): { readonly [name: string]: unknown } {
    const added = [...this.#added.values()]
      .map(({ id, token }): FileToken => {
        const { content, singleWord: single_word, lstrip, rstrip, normalized, special } = token
        return { id, content, single_word, lstrip, rstrip, normalized, special }
      })
      .sort((a, b) => a.id - b.id)
    return { ...this.#json, added_tokens: added }
  }
}
