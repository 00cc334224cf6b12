/**
 * The text of a config with the places of its values: one parser reads YAML and JSON, and modules give their default
 * export.
 */
import { readdir, stat } from 'node:fs/promises'
import { basename, dirname, extname, resolve } from 'node:path'
import {
  type Alias,
  type Document,
  isAlias,
  isMap,
  isNode,
  isPair,
  isScalar,
  LineCounter,
  parseDocument,
  visit,
  type YAMLMap,
} from 'yaml'
import { isFiresteelError } from '../../core/errors.js'
import { nearest } from '../../core/nearest.js'
import { InputFile } from '../../io/input.js'
import { refusal } from '../../io/refusal.js'
import { UsageError } from '../exit.js'
import { mostLevels, tooDeepAt, tooDeepIn } from './depth.js'
import { loadModule } from './module.js'

/** Name endings of configs. */
const texts = ['.yaml', '.yml', '.json']
const modules = ['.ts', '.mts', '.js', '.mjs']

/** A config is a page or two. A larger file is something else. */
const mostBytes = 2 ** 20

export type Path = readonly (string | number)[]

/** A config before it is checked. */
export class Source {
  readonly path: string
  readonly #document: Document
  /** Null for a module, which has no places. */
  readonly #lines: LineCounter | null
  readonly #set: string[][] = []

  private constructor(path: string, document: Document, lines: LineCounter | null) {
    this.path = path
    this.#document = document
    this.#lines = lines
  }

  /** Throws UsageError with line and column if the file is neither YAML nor JSON. */
  static async read(path: string): Promise<Source> {
    const kind = extname(path).toLowerCase()
    const found = await stat(path).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return null
      throw withoutName(refusal('firesteel', 'read', path, error))
    })
    if (found === null && path !== '') throw new UsageError(await missing(path))
    if (texts.includes(kind)) return Source.#ofText(path, await textOf(path), kind === '.json')
    if (modules.includes(kind) && found?.isFile()) return Source.#ofModule(path)
    throw new UsageError(
      `${path === '' ? 'an empty path' : path} is ${found?.isDirectory() ? 'a folder' : 'not named like a config'}; give the path of a .yaml, .json, .ts or .mjs file, which \`firesteel init\` writes`,
    )
  }

  static #ofText(path: string, text: string, isJson: boolean): Source {
    const lines = new LineCounter()
    const deep = tooDeepAt(text)
    if (deep !== null) {
      const { line, column } = placeOf(text, deep)
      throw new UsageError(`${path}:${line}:${column}: ${tooDeep}`)
    }
    if (text.trim() === '') throw new UsageError(`${path} is empty; \`firesteel init\` writes a first config`)
    // `<<: *name` takes over a table's entries, as in YAML 1.1, because that is what most anchors are for.
    const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, logLevel: 'error', merge: !isJson })
    const [fault] = [...document.errors, ...document.warnings]
    if (fault !== undefined) {
      const { line, col } = lines.linePos(fault.pos[0])
      throw new UsageError(`${path}:${line}:${col}: this is not valid ${isJson ? 'JSON' : 'YAML'}: ${faultText(fault)}`)
    }
    if (isJson) checkJson(path, text, lines)
    const lost = unknownAlias(document)
    if (lost !== null) {
      const { line, col } = lines.linePos(lost.range?.[0] ?? 0)
      throw new UsageError(
        `${path}:${line}:${col}: *${lost.source} repeats a value, but no value before it is named &${lost.source}; name one, or write the value out`,
      )
    }
    if (document.contents === null) throw new UsageError(`${path} is empty; \`firesteel init\` writes a first config`)
    return new Source(path, document, lines)
  }

  static async #ofModule(path: string): Promise<Source> {
    return new Source(path, parseDocument(JSON.stringify(await loadModule(path))), null)
  }

  /** The folder to which the config's paths are relative. */
  get folder(): string {
    return dirname(resolve(this.path))
  }

  /** `train.lr=1e-4`: the value is YAML. Throws UsageError if the text is not an assignment. */
  set(assignment: string): void {
    const [, name, text] = /^([^=\s]+)=(.*)$/s.exec(assignment) ?? []
    const path = name?.split('.') ?? []
    const said = assignment.length > 80 ? `${assignment.slice(0, 80)}...` : assignment
    if (text === undefined || path.includes(''))
      throw new UsageError(`--set ${said}: give a name and a value, as in --set train.lr=1e-4`)
    if (path.length > mostLevels || tooDeepAt(text) !== null) throw new UsageError(`--set ${said}: ${tooDeep}`)
    const value = parseDocument(text)
    const [fault] = [...value.errors, ...value.warnings]
    if (fault !== undefined) throw new UsageError(`--set ${said}: the value is not valid YAML: ${faultText(fault)}`)
    if (!isMap(this.#document.contents)) return
    // Tables on the way replace values that are not tables, such as 'full' in method.lora.rank.
    let table = this.#document.contents as YAMLMap
    for (const key of path.slice(0, -1)) {
      let inner: unknown = table.get(key, true)
      // A table that is named and repeated elsewhere is copied, so that only this one changes.
      if (isAlias(inner)) {
        inner = inner.resolve(this.#document)?.clone()
        table.set(key, inner)
      }
      if (!isMap(inner)) {
        inner = this.#document.createNode({})
        table.set(key, inner)
      }
      table = inner as YAMLMap
    }
    table.set(path.at(-1), value.contents ?? null)
    this.#set.push(path)
  }

  /**
   * The config without the keys that the user keeps for anchors. Throws UsageError for a config that is nested too
   * deeply, because no message could be written about it.
   */
  get value(): unknown {
    const value = withoutOwnKeys(this.#document.toJS({ maxAliasCount: 100 }))
    const deep = tooDeepIn(value)
    if (deep !== null) throw new UsageError(`${this.place(deep)}: ${tooDeep}`)
    return value
  }

  /** The value at a path, or undefined if there is none. */
  at(path: Path): unknown {
    let value = this.value
    for (const key of path)
      value =
        typeof value === 'object' && value !== null
          ? Object.entries(value).find(([name]) => name === String(key))?.[1]
          : undefined
    return value
  }

  /** `config.yaml:4:11` for a value or its key. If there is no such value, the place of the nearest table around it. */
  place(path: Path, of: 'key' | 'value' = 'value'): string {
    const set = this.#set.findLast((each) => each.every((key, i) => i >= path.length || key === String(path[i])))
    if (set !== undefined && (set.length <= path.length || this.#isMade(path))) return `--set ${set.join('.')}`
    if (this.#lines === null) return this.path
    for (let length = path.length; length >= 0; length--) {
      const found = this.#nodeAt(path.slice(0, length), length === path.length ? of : 'key')
      if (found === null) continue
      const { line, col } = this.#lines.linePos(found)
      return `${this.path}:${line}:${col}`
    }
    return this.path
  }

  /** Whether the value is a table made by `--set`, which has no place in the text. */
  #isMade(path: Path): boolean {
    const node: unknown = path.length === 0 ? null : this.#document.getIn(path, true)
    return isNode(node) && !node.range
  }

  #nodeAt(path: Path, of: 'key' | 'value'): number | null {
    const start = (node: unknown) => (isNode(node) && node.range ? node.range[0] : null)
    if (path.length === 0) return start(this.#document.contents)
    const around: unknown = this.#document.getIn(path.slice(0, -1), true)
    const key = path.at(-1)
    const table = path.length === 1 ? this.#document.contents : around
    if (isMap(table)) {
      const pair = table.items.find(
        (each) => isPair(each) && isScalar(each.key) && String(each.key.value) === String(key),
      )
      if (pair === undefined) return null
      return of === 'key' ? start(pair.key) : (start(pair.value) ?? start(pair.key))
    }
    return start(this.#document.getIn(path, true))
  }
}

const tooDeep = `tables and lists are nested more than ${mostLevels} levels deep, but a config needs no more than 4; take levels away`

/**
 * Top-level keys that hold tables to be repeated elsewhere by an alias. Docker Compose has `x-`, and GitLab a full stop.
 */
export const ownKeys = /^(x-|\.)/

function withoutOwnKeys(config: unknown): unknown {
  if (typeof config !== 'object' || config === null || Array.isArray(config)) return config
  return Object.fromEntries(Object.entries(config).filter(([key]) => !ownKeys.test(key)))
}

/** The first alias whose anchor does not stand before it, or null. */
function unknownAlias(document: Document): Alias | null {
  let found: Alias | null = null
  visit(document, {
    Alias(_, alias) {
      if (alias.resolve(document) !== undefined) return undefined
      found = alias
      return visit.BREAK
    },
  })
  return found
}

/** Line and column of an offset, both from 1. */
function placeOf(text: string, offset: number): { readonly line: number; readonly column: number } {
  const before = text.slice(0, offset).split('\n')
  return { line: before.length, column: (before.at(-1) as string).length + 1 }
}

/** The message for a missing config, with the configs in its folder. */
async function missing(path: string): Promise<string> {
  const folder = dirname(resolve(path))
  const names = await readdir(folder).catch(() => null)
  if (names === null) return `${path}: there is no such config, nor the folder ${folder}; give the path of a config`
  const kinds = [...texts, ...modules].filter((kind) => kind !== '.js' && kind !== '.ts')
  const configs = names.filter((name) => kinds.includes(extname(name).toLowerCase())).sort()
  const near = nearest(basename(path), configs)
  const shown = configs.slice(0, 5).join(', ') + (configs.length > 5 ? ` and ${configs.length - 5} more` : '')
  const there = configs.length === 0 ? `${folder} has no config` : `${folder} has ${shown}`
  const meant = near === null ? '' : `; did you mean '${near}'?`
  return `${path}: there is no such config${meant}${near === null ? ';' : ''} ${there}; \`firesteel init ${path}\` writes one`
}

/** An error of reading without the name of a function, which would mean nothing to the user. */
const withoutName = (error: unknown): unknown =>
  isFiresteelError(error) ? new UsageError(error.message.replace(`[${error.op}] `, '')) : error

async function textOf(path: string): Promise<string> {
  const file = await InputFile.open('firesteel', path).catch((error: unknown) => {
    throw withoutName(error)
  })
  try {
    if (file.size > mostBytes)
      throw new UsageError(`${path} has ${file.size} bytes, but a config has at most ${mostBytes}`)
    return new TextDecoder('utf-8', { fatal: true }).decode(await file.head(mostBytes))
  } catch (error) {
    throw error instanceof TypeError ? new UsageError(`${path} is not UTF-8 text; save it as UTF-8`) : error
  } finally {
    await file.close()
  }
}

/** Plain words for the most frequent faults. */
function faultText({ code, message }: { readonly code: string; readonly message: string }): string {
  if (code === 'TAB_AS_INDENT') return 'a tab indents the line; use spaces'
  if (code === 'DUPLICATE_KEY') return 'the same key stands in this table twice; leave one out'
  if (code === 'BAD_INDENT') return 'the line is indented differently from its neighbours'
  if (code === 'BLOCK_AS_IMPLICIT_KEY')
    return 'a key stands where the value before it goes on; indent the line as its neighbours are'
  if (code === 'MULTIPLE_DOCS') return 'a second document begins here, but a config is one; leave the line --- out'
  if (code === 'TAG_RESOLVE_FAILED') return 'a tag stands before the value; leave the tag out'
  if (code === 'MULTILINE_IMPLICIT_KEY') return 'the line has no colon and blank behind its key, as in model: ./model'
  return message
}

/** The YAML parser accepts more than JSON. */
function checkJson(path: string, text: string, lines: LineCounter): void {
  try {
    JSON.parse(text)
  } catch (error) {
    const { message } = error as Error
    const at = /position (\d+)/.exec(message)?.[1]
    const { line, col } = lines.linePos(Number(at ?? 0))
    throw new UsageError(`${path}:${at === undefined ? '' : `${line}:${col}:`} this is not valid JSON: ${message}`)
  }
}
