/** Renaming and exclusion of a state's names, before they are compared with the model's. */
import { isMap } from '../core/engine.js'
import { kindOf, shown, ValueError } from '../core/errors.js'
import type { TensorSource } from '../io/source.js'

export interface NamingOptions {
  /**
   * Maps the state's names to the model's: a function, or a table of names of tensors or modules. `{ fc: 'head' }`
   * turns fc.weight into head.weight, `{ module: '' }` turns module.fc.weight into fc.weight, and `{ '': 'body' }` puts
   * every name without a longer match into `body`.
   */
  readonly rename?: ((name: string) => string) | ReadonlyMap<string, string> | { readonly [name: string]: string }
  /**
   * The parts that stay as they are: the model's names of tensors or modules, or patterns. Matching names are neither
   * loaded nor missing nor unexpected.
   */
  readonly exclude?: string | RegExp | readonly (string | RegExp)[]
}

/** The test of a regular expression without the state of the flags g and y, which would skip every second match. */
export function stateless(pattern: RegExp): (text: string) => boolean {
  const own = new RegExp(pattern)
  return (text) => {
    own.lastIndex = 0
    return own.test(text)
  }
}

function tableOf(op: string, rename: unknown): ReadonlyMap<string, string> {
  if (typeof rename !== 'object' || rename === null || Array.isArray(rename))
    throw new ValueError(op, `rename is ${kindOf(rename)}, but must be a function, or an object or a Map of names`)
  const table = new Map<string, string>(isMap(rename) ? (rename as Map<string, string>) : Object.entries(rename))
  for (const [from, to] of table)
    if (typeof from !== 'string' || typeof to !== 'string')
      throw new ValueError(op, `rename maps ${shown(from)} to ${shown(to)}, but both must be names`)
  return table
}

/** Renames by a table, by the longest prefix in it, and adds that prefix to `used`. */
function byTable(table: ReadonlyMap<string, string>, name: string, used: Set<string>): string {
  for (let end = name.length; ; end = end === 0 ? -1 : name.lastIndexOf('.', end - 1)) {
    const from = name.slice(0, Math.max(0, end))
    const to = table.get(from)
    if (to !== undefined) {
      used.add(from)
      const rest = end < 0 ? name : name.slice(end + 1)
      return to === '' || rest === '' ? to + rest : `${to}.${rest}`
    }
    if (end < 0) return name
  }
}

/** The names of a state, translated to the model's. */
export class Naming {
  readonly problems: readonly string[]
  readonly #op: string
  /** The state's own names, by the model's. */
  readonly #originals = new Map<string, string>()
  readonly #excluded: readonly { readonly text: string; readonly fits: (name: string) => boolean }[]

  /** Throws ValueError for wrong options. Misfits with the names are listed in `problems`. */
  constructor(op: string, names: Iterable<string>, { rename, exclude = [] }: NamingOptions) {
    this.#op = op
    this.#excluded = (Array.isArray(exclude) ? exclude : [exclude]).map((each: unknown) => {
      if (each instanceof RegExp) return { text: String(each), fits: stateless(each) }
      if (typeof each !== 'string' || each === '')
        throw new ValueError(op, `exclude has ${shown(each)}, but must hold names and patterns`)
      return { text: `'${each}'`, fits: (name) => name === each || name.startsWith(`${each}.`) }
    })
    const problems: string[] = []
    const table = rename === undefined || typeof rename === 'function' ? null : tableOf(op, rename)
    const used = new Set<string>()
    for (const original of names) {
      const name = table ? byTable(table, original, used) : this.#called(rename as (name: string) => string, original)
      const other = this.#originals.get(name)
      if (other === undefined) this.#originals.set(name, original)
      else problems.push(`${other} and ${original} are both renamed ${name}; give each a name of its own`)
    }
    for (const from of table?.keys() ?? [])
      if (!used.has(from)) problems.push(`rename has '${from}', but the state has no such name`)
    this.problems = problems
  }

  #called(rename: ((name: string) => string) | undefined, original: string): string {
    if (rename === undefined) return original
    const name: unknown = rename(original)
    if (typeof name !== 'string')
      throw new ValueError(this.#op, `rename gave ${kindOf(name)} for ${original}, but must give a name`)
    return name
  }

  /** The state's names, translated to the model's. */
  get names(): readonly string[] {
    return [...this.#originals.keys()]
  }

  /** The state's own name for a name of the model. */
  originalOf(name: string): string | undefined {
    return this.#originals.get(name)
  }

  /** A name as errors show it, with the state's own name if that differs. */
  describe(name: string): string {
    const original = this.#originals.get(name) ?? name
    return original === name ? String(name) : `${name} (${original} in the state)`
  }

  excludes(name: string): boolean {
    return this.#excluded.some(({ fits }) => fits(name))
  }

  /** The entries of `exclude` that match none of these names. */
  idle(names: readonly string[]): readonly string[] {
    return this.#excluded.filter(({ fits }) => !names.some(fits)).map(({ text }) => text)
  }

  /** A source under the model's names. It is open as long as the source that it wraps. */
  source(source: TensorSource): TensorSource {
    const own = (name: string) => this.originalOf(name) ?? name
    return {
      path: source.path,
      names: this.names,
      spec: (name) => (this.#originals.has(name) ? source.spec(own(name)) : undefined),
      read: (name, into, from) => source.read(own(name), into, from),
      readSync: (name, into, from) => source.readSync(own(name), into, from),
      lend: (name, from, count, load) => source.lend?.(own(name), from, count, load) ?? null,
      close: () => source.close(),
    }
  }
}
