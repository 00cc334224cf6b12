/**
 * Regular expressions of Python, as in PEFT's files. The time of a match is bounded by the pattern and the text: every
 * place in the pattern is tried once at every place in the text, and nothing is tried again. JavaScript's engine
 * backtracks: `(a+)+b` from a stranger's file would occupy the program for years.
 *
 * It supports literals, `.`, classes, `\d \w \s` and their opposites, `\b \B \A \Z ^ $`, groups (plain, `(?:...)` and
 * named), `|`, the quantifiers `* + ? {m} {m,} {,n} {m,n}` (lazy ones match the same texts), lookahead `(?=...)
 * (?!...)` and lookbehind `(?<=...) (?<!...)`. Other features of Python (back references, flags, possessive
 * quantifiers) are refused, because a pattern with another meaning must not match instead.
 */
import { ValueError } from '../core/errors.js'

type Test = (char: string) => boolean

type Node =
  | { readonly kind: 'char'; readonly test: Test }
  | { readonly kind: 'assert'; readonly holds: (text: string, at: number) => boolean }
  | { readonly kind: 'look'; readonly inner: Node; readonly wanted: boolean; readonly behind: number }
  | { readonly kind: 'sequence' | 'choice'; readonly parts: readonly Node[] }
  | { readonly kind: 'repeat'; readonly inner: Node; readonly least: number; readonly most: number }

/** A place in the pattern. `accept` has no successor, and `split` has two, which a loop sets once it knows them. */
type State = { readonly id: number } & (
  | { readonly kind: 'accept' }
  | { readonly kind: 'split'; ways: State[] }
  | { readonly kind: 'char'; readonly test: Test; readonly next: State }
  | { readonly kind: 'assert'; readonly holds: (text: string, at: number) => boolean; readonly next: State }
  | {
      readonly kind: 'look'
      readonly inner: State
      readonly wanted: boolean
      /** The distance before the place at which the inner pattern begins. */
      readonly behind: number
      readonly next: State
    }
)

const longest = 2 ** 16
const deepest = 100
const mostStates = 200_000
/** The most places tried for one text, which take less than a second. */
const mostSteps = 1e6

/** The most places that patterns may try together, which take some seconds. */
export interface Budget {
  steps: number
}

export function newBudget(): Budget {
  return { steps: 5e7 }
}

const isWord: Test = (char) => /[\p{L}\p{N}_]/u.test(char)
const isDigit: Test = (char) => /\p{Nd}/u.test(char)
const isSpace: Test = (char) => /\s/.test(char)
const classes = new Map<string, Test>([
  ['d', isDigit],
  ['w', isWord],
  ['s', isSpace],
  ['D', (char) => !isDigit(char)],
  ['W', (char) => !isWord(char)],
  ['S', (char) => !isSpace(char)],
])
const controls = new Map([
  ['n', '\n'],
  ['t', '\t'],
  ['r', '\r'],
  ['f', '\f'],
  ['v', '\v'],
])

const atStart = (_: string, at: number) => at === 0
const atEnd = (text: string, at: number) => at === text.length
function atBoundary(text: string, at: number): boolean {
  const word = (i: number) => i >= 0 && i < text.length && isWord(text[i] as string)
  return word(at - 1) !== word(at)
}

/** The length of all texts that a part matches, or null if they have several lengths. */
function widthOf(node: Node): number | null {
  switch (node.kind) {
    case 'char':
      return 1
    case 'assert':
    case 'look':
      return 0
    case 'sequence':
      return node.parts.reduce<number | null>((sum, part) => {
        const own = widthOf(part)
        return sum === null || own === null ? null : sum + own
      }, 0)
    case 'choice': {
      const [first = 0, ...others] = node.parts.map(widthOf)
      return others.every((each) => each === first) ? first : null
    }
    case 'repeat': {
      const own = widthOf(node.inner)
      return own === null || (node.least !== node.most && own > 0) ? null : own * node.least
    }
  }
}

class Parser {
  readonly #text: string
  readonly #fail: (why: string) => never
  #at = 0
  #depth = 0

  constructor(text: string, fail: (why: string) => never) {
    this.#text = text
    this.#fail = fail
  }

  parse(): Node {
    const node = this.#choice()
    if (this.#at < this.#text.length) this.#fail(`the ')' at ${this.#at} ends no group`)
    return node
  }

  #take(text: string): boolean {
    if (!this.#text.startsWith(text, this.#at)) return false
    this.#at += text.length
    return true
  }

  #choice(): Node {
    if (++this.#depth > deepest) this.#fail(`its groups are nested more than ${deepest} deep`)
    const parts = [this.#sequence()]
    while (this.#take('|')) parts.push(this.#sequence())
    this.#depth--
    return { kind: 'choice', parts }
  }

  #sequence(): Node {
    const parts: Node[] = []
    while (this.#at < this.#text.length && !'|)'.includes(this.#text[this.#at] as string)) parts.push(this.#repeated())
    return { kind: 'sequence', parts }
  }

  #repeated(): Node {
    const inner = this.#atom()
    const range = this.#range()
    if (range === null) return inner
    const [least, most] = range
    if (most < least) this.#fail(`a quantifier asks for at least ${least} and at most ${most}`)
    if (this.#take('+')) this.#fail('possessive quantifiers are not supported')
    this.#take('?')
    if (this.#range() !== null) this.#fail(`there are two quantifiers in a row before ${this.#at}`)
    return { kind: 'repeat', inner, least, most }
  }

  #range(): readonly [least: number, most: number] | null {
    if (this.#take('*')) return [0, Number.POSITIVE_INFINITY]
    if (this.#take('+')) return [1, Number.POSITIVE_INFINITY]
    if (this.#take('?')) return [0, 1]
    // Braces without numbers are literals.
    const found = /^\{(\d*)(,?)(\d*)\}/.exec(this.#text.slice(this.#at, this.#at + 32))
    if (found === null) return null
    const [all, least = '', comma, most = ''] = found
    if (least === '' && comma === '') return null
    this.#at += all.length
    return [Number(least), comma === '' ? Number(least) : most === '' ? Number.POSITIVE_INFINITY : Number(most)]
  }

  #atom(): Node {
    const char = this.#text[this.#at++] as string
    switch (char) {
      case '.':
        return { kind: 'char', test: (c) => c !== '\n' }
      case '^':
        return { kind: 'assert', holds: atStart }
      case '$':
        return { kind: 'assert', holds: atEnd }
      case '*':
      case '+':
      case '?':
        return this.#fail(`there is nothing that '${char}' at ${this.#at - 1} repeats`)
      case '(':
        return this.#group()
      case '[':
        return { kind: 'char', test: this.#class() }
      case '\\':
        return this.#escaped()
      default:
        return { kind: 'char', test: (c) => c === char }
    }
  }

  #group(): Node {
    let look: boolean | null = null
    let isBehind = false
    if (this.#take('?')) {
      if (this.#take('=')) look = true
      else if (this.#take('!')) look = false
      else if (this.#take('<=') || this.#take('<!')) {
        isBehind = true
        look = this.#text[this.#at - 1] === '='
      } else if (this.#take('P<')) {
        const name = /^[A-Za-z_]\w*>/.exec(this.#text.slice(this.#at))
        if (name === null) return this.#fail('a group has no name between (?P< and >')
        this.#at += name[0].length
      } else if (!this.#take(':')) this.#fail(`(?${this.#text.slice(this.#at, this.#at + 2)} is not supported`)
    }
    const inner = this.#choice()
    if (!this.#take(')')) this.#fail("a ')' is missing")
    if (look === null) return inner
    const behind = isBehind ? widthOf(inner) : 0
    if (behind === null) return this.#fail('lookbehind supports only texts of one length, as in Python')
    return { kind: 'look', inner, wanted: look, behind }
  }

  #escaped(): Node {
    const char = this.#text[this.#at]
    switch (char) {
      case 'b':
      case 'B':
        this.#at++
        return { kind: 'assert', holds: (text, at) => atBoundary(text, at) === (char === 'b') }
      case 'A':
        this.#at++
        return { kind: 'assert', holds: atStart }
      case 'Z':
        this.#at++
        return { kind: 'assert', holds: atEnd }
      default: {
        const meant = this.#escape()
        return { kind: 'char', test: typeof meant === 'string' ? (c) => c === meant : meant }
      }
    }
  }

  /** The part that follows a backslash, inside a class or outside. */
  #escape(): string | Test {
    const char = this.#text[this.#at++]
    if (char === undefined) return this.#fail('it ends with a backslash')
    const meant = classes.get(char) ?? controls.get(char)
    if (meant !== undefined) return meant
    if (/[A-Za-z0-9]/.test(char)) return this.#fail(`\\${char} is not supported`)
    return char
  }

  #class(): Test {
    const negated = this.#take('^')
    const tests: Test[] = []
    const start = this.#at
    for (;;) {
      const char = this.#text[this.#at++]
      if (char === undefined) return this.#fail("a ']' is missing")
      // A bracket that comes first is a literal.
      if (char === ']' && this.#at - 1 > start) break
      const low = char === '\\' ? this.#escape() : char
      const ranged = this.#text[this.#at] === '-' && this.#text[this.#at + 1] !== ']'
      if (!ranged || this.#text[this.#at + 1] === undefined)
        tests.push(typeof low === 'string' ? (c) => c === low : low)
      else {
        this.#at++
        const high = this.#take('\\') ? this.#escape() : (this.#text[this.#at++] as string)
        if (typeof low !== 'string' || typeof high !== 'string' || high < low)
          return this.#fail('a class has an invalid range')
        tests.push((c) => c >= low && c <= high)
      }
    }
    return (char) => tests.some((test) => test(char)) !== negated
  }
}

/** A pattern as PEFT uses it. Throws ValueError for an invalid pattern, and for unsupported features. */
export class Pattern {
  readonly source: string
  readonly #op: string
  readonly #start: State
  readonly #budget: Budget
  #states = 0
  #steps = 0

  /** `op` and `what` (the option or field that holds it) are named in errors. */
  constructor(source: string, op: string, what: string, budget: Budget = newBudget()) {
    this.source = source
    this.#budget = budget
    this.#op = op
    const fail = (why: string): never => {
      throw new ValueError(
        op,
        `${what} ${JSON.stringify(source.slice(0, 200))} is not a supported regular expression: ${why}`,
      )
    }
    if (source.length > longest) fail(`it has ${source.length} characters, but at most ${longest} are supported`)
    const compile = (node: Node, next: State): State => {
      const id = ++this.#states
      if (id > mostStates) fail(`its repetitions need more than ${mostStates} places`)
      switch (node.kind) {
        case 'char':
        case 'assert':
          return { ...node, id, next }
        case 'look':
          return { ...node, id, inner: compile(node.inner, { kind: 'accept', id: 0 }), next }
        case 'choice':
          return { kind: 'split', id, ways: node.parts.map((part) => compile(part, next)) }
        case 'sequence':
          return node.parts.reduceRight((after, part) => compile(part, after), next)
        case 'repeat': {
          const { inner, least, most } = node
          let state = next
          if (most === Number.POSITIVE_INFINITY) {
            const loop: State = { kind: 'split', id, ways: [next] }
            loop.ways.unshift(compile(inner, loop))
            state = loop
          } else
            for (let i = least; i < most; i++)
              state = { kind: 'split', id: ++this.#states, ways: [compile(inner, state), next] }
          for (let i = 0; i < least; i++) state = compile(inner, state)
          return state
        }
      }
    }
    const end: State = { kind: 'assert', id: ++this.#states, holds: atEnd, next: { kind: 'accept', id: 0 } }
    this.#start = compile(new Parser(source, fail).parse(), end)
  }

  /** Whether all of the text matches, like Python's `re.fullmatch`. */
  matches(text: string): boolean {
    this.#steps = Math.min(mostSteps, this.#budget.steps)
    const before = this.#steps
    try {
      return this.#run(this.#start, text, 0, new Map())
    } finally {
      this.#budget.steps -= before - this.#steps
    }
  }

  #run(start: State, text: string, from: number, looks: Map<number, boolean>): boolean {
    const tried = new Set<number>()
    const pending: [State, number][] = [[start, from]]
    for (let top = pending.pop(); top !== undefined; top = pending.pop()) {
      const [state, at] = top
      if (state.kind === 'accept') return true
      const place = state.id * (text.length + 1) + at
      if (tried.size === tried.add(place).size) continue
      if (--this.#steps < 0)
        throw new ValueError(
          this.#op,
          `the regular expression ${JSON.stringify(this.source.slice(0, 200))} takes too long`,
        )
      switch (state.kind) {
        case 'split':
          for (const way of state.ways) pending.push([way, at])
          break
        case 'char':
          if (at < text.length && state.test(text[at] as string)) pending.push([state.next, at + 1])
          break
        case 'assert':
          if (state.holds(text, at)) pending.push([state.next, at])
          break
        case 'look': {
          let found = looks.get(place)
          if (found === undefined) {
            found = state.behind <= at && this.#run(state.inner, text, at - state.behind, looks)
            looks.set(place, found)
          }
          if (found === state.wanted) pending.push([state.next, at])
        }
      }
    }
    return false
  }
}
