/**
 * Post-processors of tokenizer.json: they add special tokens and types, and trim spaces from offsets. The semantics are
 * those of Hugging Face tokenizers.
 */
import { type Draft, emptyDraft, joined } from './encoding.js'
import type { Fields } from './fields.js'
import { checkId } from './vocabulary.js'

export interface PostProcessor {
  /** The number of tokens that it adds to one text, or to two. */
  added(pair: boolean): number
  /** The final texts one by one. Special tokens are texts of their own. */
  process(texts: readonly Draft[], special: boolean): readonly Draft[]
}

const spaces = /^[Ġ\p{White_Space}]*/u
const spacesAtEnd = /[Ġ\p{White_Space}]*$/u

/** A place this many characters forward or back, in UTF-16 units. */
function moved(text: string, place: number, characters: number): number {
  let at = place
  for (let left = Math.abs(characters); left > 0; left--) {
    if (characters < 0) at -= /[\udc00-\udfff]/.test(text.charAt(at - 1)) ? 2 : 1
    else at += /[\ud800-\udbff]/.test(text.charAt(at)) ? 2 : 1
  }
  return at
}

/** Offsets without the spaces at the beginning and end of byte-level tokens. */
function trimOffsets(draft: Draft, prefix: boolean): Draft {
  const offsets = draft.offsets.map(([from, to], i): readonly [number, number] => {
    const token = draft.tokens[i] as string
    const leading = spaces.exec(token)?.[0].length ?? 0
    const trailing = spacesAtEnd.exec(token)?.[0].length ?? 0
    if (leading === 0 && trailing === 0) return [from, to]
    // A single space before the text may have been added. Several were not.
    const put = prefix && leading === 1 && (i === 0 || from === 0)
    const start = put ? from : Math.min(moved(draft.text, from, leading), to)
    return [start, to >= trailing ? Math.max(moved(draft.text, to, -trailing), start) : to]
  })
  return { ...draft, offsets, overflowing: draft.overflowing.map((part) => trimOffsets(part, prefix)) }
}

function withType(draft: Draft, typeId: number): Draft {
  const typeIds = draft.ids.map(() => typeId)
  return { ...draft, typeIds, overflowing: draft.overflowing.map((part) => withType(part, typeId)) }
}

function specialDraft(ids: readonly number[], tokens: readonly string[], typeId: number): Draft {
  const all = <T>(value: T) => ids.map(() => value)
  return {
    ...emptyDraft(),
    ids: [...ids],
    tokens: [...tokens],
    typeIds: all(typeId),
    attentionMask: all(1),
    specialTokensMask: all(1),
    offsets: all([0, 0] as const),
    words: all(null),
    sequences: all(null),
  }
}

/** A piece of a template: a text by its letter, or special tokens. */
interface Piece {
  readonly typeId: number
  readonly text: 0 | 1 | null
  readonly ids: readonly number[]
  readonly tokens: readonly string[]
}

function templatePieces(fields: Fields, name: 'single' | 'pair'): readonly Piece[] {
  const special = fields.optional('special_tokens')
  return fields.tables(name).map((entry): Piece => {
    const sequence = entry.optional('Sequence')
    if (sequence !== null)
      return {
        typeId: sequence.count('type_id', 0),
        text: sequence.choice('id', ['A', 'B']) === 'A' ? 0 : 1,
        ids: [],
        tokens: [],
      }
    const token = entry.table('SpecialToken')
    const found = special?.optional(token.text('id'))
    if (!found) return token.fail('is not one of special_tokens', 'id')
    const ids = found.list('ids').map((id) => checkId(found, id, 'a special token'))
    const tokens = found.list('tokens').map(String)
    if (tokens.length !== ids.length) found.fail('does not have as many entries as ids', 'tokens')
    return { typeId: token.count('type_id', 0), text: null, ids, tokens }
  })
}

function template(fields: Fields): PostProcessor {
  const pieces = [templatePieces(fields, 'single'), templatePieces(fields, 'pair')] as const
  return {
    added: (pair) => pieces[pair ? 1 : 0].reduce((sum, { ids }) => sum + ids.length, 0),
    process(texts, special) {
      return pieces[texts.length > 1 ? 1 : 0].flatMap(({ typeId, text, ids, tokens }) => {
        if (text !== null) {
          const draft = texts[text] ?? fields.fail('uses a second text, but has only one', 'single')
          return [withType(draft, typeId)]
        }
        return special ? [specialDraft(ids, tokens, typeId)] : []
      })
    },
  }
}

/** A token of the form `[token, id]`. */
function namedToken(fields: Fields, name: string): readonly [id: number, token: string] {
  const [token, id] = fields.list(name)
  return [checkId(fields, id, name), typeof token === 'string' ? token : fields.fail('is not a [token, id] pair', name)]
}

/** `[CLS] A [SEP] B [SEP]`, or RoBERTa's `<s> A </s></s> B </s>` with one type. */
function fixed(fields: Fields, roberta: boolean): PostProcessor {
  const [cls, sep] = [namedToken(fields, 'cls'), namedToken(fields, 'sep')]
  const trims = roberta && fields.flag('trim_offsets', true)
  const prefix = roberta && fields.flag('add_prefix_space', true)
  const mark = ([id, token]: readonly [number, string], typeId: number) => specialDraft([id], [token], typeId)
  return {
    added: (pair) => (pair ? (roberta ? 4 : 3) : 2),
    process(texts, special) {
      const own = texts.map((text) => {
        const trimmed = trims ? trimOffsets(text, prefix) : text
        return roberta ? withType(trimmed, 0) : trimmed
      })
      const [first, second] = own as [Draft, Draft | undefined]
      if (!special) return own
      const typed = roberta ? first : withType(first, 0)
      const start = [mark(cls, 0), typed, mark(sep, 0)]
      if (second === undefined) return start
      return roberta ? [...start, mark(sep, 0), second, mark(sep, 0)] : [...start, withType(second, 1), mark(sep, 1)]
    },
  }
}

function byteLevel(fields: Fields): PostProcessor {
  const [trims, prefix] = [fields.flag('trim_offsets', true), fields.flag('add_prefix_space', true)]
  return { added: () => 0, process: (texts) => (trims ? texts.map((text) => trimOffsets(text, prefix)) : texts) }
}

export function postProcessorOf(fields: Fields): PostProcessor {
  const type = fields.text('type')
  switch (type) {
    case 'TemplateProcessing':
      return template(fields)
    case 'BertProcessing':
      return fixed(fields, false)
    case 'RobertaProcessing':
      return fixed(fields, true)
    case 'ByteLevel':
      return byteLevel(fields)
    case 'Sequence': {
      const steps = fields.tables('processors').map(postProcessorOf)
      return {
        added: (pair) => steps.reduce((sum, step) => sum + step.added(pair), 0),
        process: (texts, special) => steps.reduce((drafts, step) => step.process(drafts, special), texts),
      }
    }
    default:
      return fields.fail(`is ${JSON.stringify(type)}, which is not a supported post-processor`, 'type')
  }
}

/** The texts and the tokens around them as one. A template may name neither, and then there are no tokens. */
export function together(drafts: readonly Draft[]): Draft {
  return drafts.length === 0 ? emptyDraft() : drafts.reduce((whole, draft) => joined(whole, draft))
}
