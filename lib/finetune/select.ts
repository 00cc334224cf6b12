/**
 * Selecting layers by name, as PEFT does. A name that selects nothing is an error that lists the layers, or a warning
 * if PEFT ignores it.
 */
import { kindOf, shown, ValueError } from '../core/errors.js'
import { warn } from '../core/host.js'
import { nearby } from '../core/nearest.js'
import { Module } from '../nn/module.js'
import { newBudget, Pattern } from './pattern.js'

export type Named<M = Module> = readonly [path: string, module: M]

/** Whether a path is the name, or ends with it after a dot. */
export function endsWith(path: string, name: string): boolean {
  return path === name || path.endsWith(`.${name}`)
}

/** Names in an error, which may leave some of a large model out. */
export function listed(names: readonly string[], most = 40, separator = ', '): string {
  if (names.length === 0) return 'none'
  const more = names.length > most ? `${separator}and ${names.length - most} more` : ''
  return names.slice(0, most).join(separator) + more
}

/** Names in an error as a list, so that a path such as 0 is not read as a number. */
export function quoted(names: readonly string[]): string {
  return names.length === 0 ? 'none' : `[${listed(names.map((name) => `'${name}'`))}]`
}

/** A model of more layers than these has too many to list in an error. */
const few = 12

/** The last parts of a path, as many as the name has. A number alone names no kind of layer, so such a path stays whole. */
function endOf(path: string, name: string): string {
  const parts = path.split('.').slice(-name.split('.').length)
  return parts.every((part) => /^\d+$/.test(part)) ? path : parts.join('.')
}

/**
 * Paths to choose from, in an error about names that are none of them: all of a small model, and otherwise the distinct
 * ends, which name layers too. Names that resemble the wrong ones come after them.
 */
export function choices(paths: readonly string[], wrong: readonly string[] = []): string {
  const near = wrong.flatMap((name) => nearby(name, [...new Set(paths.map((path) => endOf(path, name)))]))
  const meant = near.length === 0 ? '' : `; did you mean ${listed([...new Set(near)].map(shown), few, ' or ')}?`
  if (paths.length <= few) return quoted(paths) + meant
  const ends = [...new Set(paths.map((path) => endOf(path, '')))]
  return `${quoted(ends)}, the ends of ${paths.length} names such as '${paths[paths.length >> 1]}'${meant}`
}

/** Throws unless it is a list of names. */
export function checkNames(op: string, option: string, names: unknown): asserts names is readonly string[] {
  if (!Array.isArray(names) || names.some((name) => typeof name !== 'string' || name === ''))
    throw new ValueError(op, `${option} is ${shown(names)}, but must be a list of names`)
}

/** Throws unless it is a module. */
export function checkModel(op: string, model: unknown): void {
  if (!(model instanceof Module)) throw new ValueError(op, `the model is ${kindOf(model)}, but must be a module`)
}

/**
 * The modules that a list names, by path or last part. Throws naming every entry that names none, together with `why`'s
 * reason if modules exist but cannot be chosen.
 */
export function byNames<M>(
  op: string,
  option: string,
  names: readonly string[],
  among: readonly Named<M>[],
  why: (isNamed: (path: string) => boolean) => string = () => '',
): Named<M>[] {
  const lost = names.filter((name) => !among.some(([path]) => endsWith(path, name)))
  if (lost.length > 0)
    throw new ValueError(
      op,
      `${option} names ${quoted(lost)}, but ${why((path) => lost.some((name) => endsWith(path, name)))}the names to choose from are ${choices(
        among.map(([path]) => path),
        lost,
      )}`,
    )
  return among.filter(([path]) => names.some((name) => endsWith(path, name)))
}

/**
 * Returns for each path the value of the first key that matches, or undefined. A key is a regular expression. It
 * matches a whole path, or the end of a path after a dot. Warns of keys that match no path.
 */
export function byPatterns(
  op: string,
  option: string,
  values: { readonly [pattern: string]: number } | undefined,
  paths: readonly string[],
): (number | undefined)[] {
  if (values === undefined) return paths.map(() => undefined)
  if (typeof values !== 'object' || values === null || Array.isArray(values))
    throw new ValueError(op, `${option} is ${shown(values)}, but must be an object of numbers by name`)
  const budget = newBudget()
  const keys = Object.entries(values).map(([key, value]) => {
    // The key alone comes first, because a bracket of its own must not close the group around it.
    new Pattern(key, op, `a key of ${option}`)
    return { key, value, pattern: new Pattern(`(.*\\.)?(${key})$`, op, `a key of ${option}`, budget), used: false }
  })
  const found = paths.map((path) => {
    let chosen: number | undefined
    for (const each of keys) {
      if (!each.pattern.matches(path)) continue
      each.used = true
      chosen ??= each.value
    }
    return chosen
  })
  const lost = keys.filter(({ used }) => !used).map(({ key }) => key)
  // PEFT ignores them, so a file may have some, for example for layers that its author has removed.
  if (lost.length > 0)
    warn(
      `[${op}] ${option} has ${quoted(lost)}, which match${lost.length === 1 ? 'es' : ''} no adapted layer; these are ${choices(paths, lost)}`,
      { type: 'FiresteelWarning', code: 'FIRESTEEL_ADAPTER' },
    )
  return found
}
