/** Options of optimisers: merging them with defaults, and checking their values. */
import { shown, ValueError } from '../core/errors.js'
import { checkOptions, type OptionNames } from '../core/options.js'

/** Default values of options. `lr` may lack one, and must then be given. */
export type Defaults<O extends { lr: number }> = Omit<O, 'lr'> & { readonly lr?: number }

/** The names of all options. */
export function optionNames<O extends { lr: number }>(defaults: Defaults<O>): OptionNames<O> {
  return Object.fromEntries(['lr', ...Object.keys(defaults)].map((name) => [name, true])) as OptionNames<O>
}

/**
 * Options over defaults. An undefined option counts as left out. Options are read by name, because an object of a class
 * may have them as getters.
 */
export function overlaid<O extends object>(given: object, defaults: object, names: OptionNames<O>): O {
  const options: { [name: string]: unknown } = { ...defaults }
  for (const name of Object.keys(names)) {
    const value = (given as { readonly [name: string]: unknown })[name]
    if (value !== undefined) options[name] = value
  }
  return options as O
}

/** A copy of the options. Throws a ValueError that names all unknown names and wrong values. */
export function checkedOptions<O extends object>(
  op: string,
  options: O,
  names: OptionNames<O>,
  faults: readonly (string | false)[],
): O {
  checkOptions(op, options, names)
  const found = faults.filter((fault): fault is string => fault !== false)
  if (found.length > 0) throw new ValueError(op, found.join('; '))
  return { ...options }
}

/** Faults of values of another kind than their defaults, and of an `lr` that is below 0. */
export function kindFaults(options: { readonly lr: number }, defaults: object): (string | false)[] {
  const values = options as { readonly [name: string]: unknown }
  const kinds = Object.entries(defaults).map(([name, usual]: [string, unknown]) => {
    if (name === 'lr') return false
    return notOfKind(name, values[name], usual)
  })
  return [notAtLeast('lr', options.lr, 0), ...kinds]
}

function notOfKind(name: string, value: unknown, usual: unknown): string | false {
  if (typeof usual === 'number') return !Number.isFinite(value) && wrong(name, value, 'must be a finite number')
  if (typeof usual === 'boolean') return notFlag(name, value)
  if (Array.isArray(usual) && usual.every(Number.isFinite)) {
    const fits = Array.isArray(value) && value.length === usual.length && value.every(Number.isFinite)
    return !fits && wrong(name, value, `must be ${usual.length} finite numbers in a list`)
  }
  return typeof usual === 'string' && typeof value !== 'string' && wrong(name, value, 'must be a text')
}

const wrong = (name: string, value: unknown, rule: string): string => `${name} is ${shown(value)}, but ${rule}`

export const notAtLeast = (name: string, value: unknown, least: number): string | false =>
  !(typeof value === 'number' && Number.isFinite(value) && value >= least) &&
  wrong(name, value, `must be at least ${least} and finite`)

export const notFlag = (name: string, value: unknown): string | false =>
  typeof value !== 'boolean' && wrong(name, value, 'must be true or false')

export const notWithin = (name: string, value: unknown, least: number, below: number): string | false =>
  !(typeof value === 'number' && value >= least && value < below) &&
  wrong(name, value, `must be a number in [${least}, ${below})`)

/** The fault of a value that is not two decays in [0, 1); false if it has none. */
export const notBetas = (betas: unknown): string | false =>
  !(Array.isArray(betas) && betas.length === 2 && betas.every((beta) => notWithin('', beta, 0, 1) === false)) &&
  `betas are ${shown(betas)}, but must be two numbers in [0, 1)`
