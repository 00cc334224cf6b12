/** The result of a tokenizer for a text, and its truncation and padding. Semantics: Hugging Face tokenizers. */
import { ValueError } from '../../core/errors.js'

/** A text in tokens. All lists have an entry for each token. */
export interface Encoding {
  readonly ids: readonly number[]
  readonly tokens: readonly string[]
  /** 0 for the first text and 1 for the second, if the tokenizer distinguishes them. */
  readonly typeIds: readonly number[]
  /** 0 for padding. */
  readonly attentionMask: readonly (0 | 1)[]
  /** 1 for added tokens: special tokens and padding. */
  readonly specialTokensMask: readonly (0 | 1)[]
  /** [from, to) in UTF-16 units of the token's text, as `String.slice` counts; [0, 0] for added tokens. */
  readonly offsets: readonly (readonly [from: number, to: number])[]
  /** The word of the text to which a token belongs, counted from 0; null for added tokens. */
  readonly words: readonly (number | null)[]
  /** The text of a pair from which a token comes; null for added tokens. */
  readonly sequences: readonly (0 | 1 | null)[]
  /** Tokens that truncation cut off, in windows that overlap by `stride` tokens. */
  readonly overflowing: readonly Encoding[]
}

/** An encoding under construction, to whose lists tokens are added. */
export interface Draft {
  /** The text in which offsets count, while there is only one. */
  readonly text: string
  ids: number[]
  tokens: string[]
  typeIds: number[]
  attentionMask: (0 | 1)[]
  specialTokensMask: (0 | 1)[]
  offsets: (readonly [number, number])[]
  words: (number | null)[]
  sequences: (0 | 1 | null)[]
  overflowing: Draft[]
}

export function emptyDraft(text = ''): Draft {
  return {
    text,
    ids: [],
    tokens: [],
    typeIds: [],
    attentionMask: [],
    specialTokensMask: [],
    offsets: [],
    words: [],
    sequences: [],
    overflowing: [],
  }
}

const lists = [
  'ids',
  'tokens',
  'typeIds',
  'attentionMask',
  'specialTokensMask',
  'offsets',
  'words',
  'sequences',
] as const

/** The form for programs. */
export function encodingOf(draft: Draft): Encoding {
  const { text: _, overflowing, ...own } = draft
  return { ...own, overflowing: overflowing.map(encodingOf) }
}

/** The same change of every list. */
function eachList(draft: Draft, change: <T>(list: T[], name: (typeof lists)[number]) => T[]): Draft {
  const changed = { ...draft }
  for (const name of lists) (changed as { [name: string]: unknown })[name] = change(draft[name] as unknown[], name)
  return changed
}

function sliced(draft: Draft, from: number, to: number): Draft {
  return { ...eachList(draft, (list) => list.slice(from, to)), overflowing: [] }
}

/** Two encodings, one after the other. Each overflowing part of the first is combined with each of the second. */
export function joined(first: Draft, second: Draft): Draft {
  const own = (a: Draft, b: Draft): Draft => ({
    ...eachList(a, (list, name) => list.concat(b[name] as never)),
    overflowing: [],
  })
  const overflowing = [
    ...first.overflowing.flatMap((part) => [own(part, second), ...second.overflowing.map((other) => own(part, other))]),
    ...second.overflowing.map((other) => own(first, other)),
  ]
  return { ...own(first, second), overflowing }
}

export type Truncation = 'longestFirst' | 'first' | 'second'
export type Side = 'left' | 'right'

/**
 * Cuts to this many tokens, on one side. The rest is kept in windows of that size, which share `stride` tokens with the
 * one before.
 */
function cut(draft: Draft, most: number, stride: number, side: Side): Draft {
  const count = draft.ids.length
  if (most >= count) return draft
  if (most === 0) return { ...emptyDraft(), overflowing: [draft] }
  if (stride >= most)
    throw new ValueError(
      'encode',
      `stride is ${stride}, but must be below ${most}, the number of a text's tokens that maxLength allows`,
    )
  const windows: Draft[] = []
  for (let i = 0; ; i += most - stride) {
    const [from, to] = side === 'right' ? [i, Math.min(i + most, count)] : [Math.max(0, count - i - most), count - i]
    windows.push(sliced(draft, from, to))
    if (side === 'right' ? to === count : from === 0) break
  }
  return { ...(windows[0] as Draft), overflowing: windows.slice(1) }
}

/** Cuts one text or two to `most` tokens together. */
export function truncated(
  first: Draft,
  second: Draft | null,
  most: number,
  how: { readonly truncation: Truncation; readonly stride: number; readonly side: Side },
): readonly [first: Draft, second: Draft | null] {
  const { truncation, stride, side } = how
  const [n, m] = [first.ids.length, second?.ids.length ?? 0]
  const over = n + m - most
  if (over <= 0) return [first, second]
  if (most === 0) return [cut(first, 0, 0, side), second && cut(second, 0, 0, side)]
  if (truncation === 'longestFirst') {
    if (second === null) return [cut(first, most, stride, side), null]
    // The shorter text stays whole while it has at most half.
    let [short, long] = n > m ? [m, n] : [n, m]
    long = short > most ? short : Math.max(short, most - short)
    if (short + long > most) {
      short = Math.floor(most / 2)
      long = short + (most % 2)
    }
    const [a, b] = n > m ? [long, short] : [short, long]
    return [cut(first, a, stride, side), cut(second, b, stride, side)]
  }
  const target = truncation === 'second' && second !== null ? second : first
  const left = target.ids.length - over
  if (left <= 0)
    throw new ValueError(
      'encode',
      `the ${truncation} text has ${target.ids.length} tokens, but ${over} must be removed; use a larger maxLength, or truncation 'longestFirst'`,
    )
  const shorter = cut(target, left, stride, side)
  return target === first ? [shorter, second] : [first, shorter]
}

export interface Pad {
  readonly id: number
  readonly token: string
  readonly typeId: number
}

/** Pads to this many tokens, including overflowing parts. */
export function padded(draft: Draft, length: number, { id, token, typeId }: Pad, side: Side): Draft {
  const overflowing = draft.overflowing.map((part) => padded(part, length, { id, token, typeId }, side))
  const more = length - draft.ids.length
  if (more <= 0) return { ...draft, overflowing }
  const fill: { readonly [N in (typeof lists)[number]]: Draft[N][number] } = {
    ids: id,
    tokens: token,
    typeIds: typeId,
    attentionMask: 0,
    specialTokensMask: 1,
    offsets: [0, 0],
    words: null,
    sequences: null,
  }
  const longer = eachList(draft, (list, name) => {
    const filling = new Array(more).fill(fill[name])
    return side === 'right' ? list.concat(filling) : filling.concat(list)
  })
  return { ...longer, overflowing }
}
