/** The space of a search: a distribution for each setting. A table can hold its values as text. */
import { shown, ValueError } from '../../core/errors.js'
import type { Generator } from '../../core/generator.js'

/** A value of a setting. */
export type Setting = number | string | boolean | null

type Kind = 'choice' | 'uniform' | 'logUniform' | 'integer'

/** The values that a setting may take. */
export class Distribution<T extends Setting = Setting> {
  readonly kind: Kind
  /** The values of a choice, or the lowest and highest value of other kinds. */
  readonly given: readonly Setting[]
  /** Draws a value. */
  readonly sample: (generator: Generator) => T
  /** The number of values, or Infinity if they cannot be listed. */
  readonly count: number
  /** The value at a place, for distributions whose values can be listed. */
  readonly at: (place: number) => T

  constructor(
    kind: Kind,
    given: readonly Setting[],
    sample: (generator: Generator) => T,
    count = Number.POSITIVE_INFINITY,
    at: (place: number) => T = () => {
      throw new ValueError(kind, 'has no list of values')
    },
  ) {
    this.kind = kind
    this.given = given
    this.sample = sample
    this.count = count
    this.at = at
  }
}

/** Settings by name, each with its distribution. */
export type Space = { readonly [name: string]: Distribution }

/** The values that a trial of a space gets. */
export type SettingsOf<S extends Space> = {
  readonly [name in keyof S]: S[name] extends Distribution<infer T> ? T : never
}

const isSetting = (value: unknown): value is Setting =>
  value === null || typeof value === 'string' || typeof value === 'boolean' || Number.isFinite(value)

/**
 * One of the values, all equally likely. Throws ValueError if there are none, if two are the same, or if one is not a
 * finite number, text, boolean or null.
 */
export function choice<const T extends readonly Setting[]>(...values: T): Distribution<T[number]> {
  const op = 'choice'
  if (values.length === 0) throw new ValueError(op, 'needs values to choose from, such as choice(64, 128, 256)')
  values.forEach((value: unknown, i) => {
    if (!isSetting(value))
      throw new ValueError(
        op,
        `value ${i + 1} is ${shown(value)}, but must be a finite number, a text, true, false or null; choose a name, and map it to what you need in the trial`,
      )
    if (values.indexOf(value) < i) throw new ValueError(op, `has ${shown(value)} twice; give each value once`)
  })
  const at = (place: number) => values[place] as T[number]
  return new Distribution<T[number]>(
    op,
    values,
    (generator) => at(generator.randint(0, values.length)),
    values.length,
    at,
  )
}

function checkRange(op: string, low: unknown, high: unknown, what: string, fits: (value: number) => boolean): void {
  const each = (value: unknown) => typeof value === 'number' && Number.isFinite(value) && fits(value)
  if (!(each(low) && each(high) && (low as number) < (high as number)))
    throw new ValueError(op, `needs ${what} low < high, but low is ${shown(low)} and high is ${shown(high)}`)
}

/** A number from low up to high, uniformly distributed. Throws ValueError unless low < high. */
export function uniform(low: number, high: number): Distribution<number> {
  checkRange('uniform', low, high, 'finite numbers', () => true)
  // The difference of the largest numbers would overflow.
  return new Distribution('uniform', [low, high], (generator) => {
    const part = generator.random()
    return low * (1 - part) + high * part
  })
}

/**
 * A number from low up to high whose logarithm is uniformly distributed, such as a learning rate. Throws ValueError
 * unless 0 < low < high.
 */
export function logUniform(low: number, high: number): Distribution<number> {
  checkRange('logUniform', low, high, 'positive numbers', (value) => value > 0)
  const [from, to] = [Math.log(low), Math.log(high)]
  return new Distribution('logUniform', [low, high], (generator) => {
    const part = generator.random()
    // exp rounds, so its result is kept within the range.
    return Math.min(high, Math.max(low, Math.exp(from * (1 - part) + to * part)))
  })
}

/** A whole number from low to high, both included. Throws ValueError unless low < high. */
export function integer(low: number, high: number): Distribution<number> {
  checkRange('integer', low, high, 'whole numbers', Number.isSafeInteger)
  if (!Number.isSafeInteger(high - low + 1))
    throw new ValueError('integer', `has too many numbers between ${low} and ${high}; bring them closer together`)
  const at = (place: number) => low + place
  const count = high - low + 1
  return new Distribution('integer', [low, high], (generator) => at(Math.floor(generator.random() * count)), count, at)
}

/** The number of points in the grid of a space. Throws ValueError if the values of a setting cannot be listed. */
export function gridSize(op: string, space: Space): number {
  let size = 1
  for (const [name, { kind, count }] of Object.entries(space)) {
    if (count === Number.POSITIVE_INFINITY)
      throw new ValueError(
        op,
        `method is 'grid', but space.${name} is ${kind}, which has no list of values; list the values to try: choice(...)`,
      )
    size *= count
  }
  return size
}

/** The point of a grid at a place. The last setting changes fastest. */
export function gridPoint(space: Space, place: number): { readonly [name: string]: Setting } {
  const point: { [name: string]: Setting } = {}
  let rest = place
  for (const [name, { count, at }] of Object.entries(space).reverse()) {
    point[name] = at(rest % count)
    rest = Math.floor(rest / count)
  }
  return Object.fromEntries(Object.keys(space).map((name) => [name, point[name] as Setting]))
}

/** A point of the space from the numbers of a generator, which the settings draw in their order. */
export function randomPoint(space: Space, generator: Generator): { readonly [name: string]: Setting } {
  return Object.fromEntries(Object.entries(space).map(([name, each]) => [name, each.sample(generator)]))
}
