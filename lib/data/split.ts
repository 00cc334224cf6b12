/** Disjoint parts of rows: at random, with each class in proportion, or with no group in two of them. */
import { permutation } from '../core/draws.js'
import { kindOf, shown, ValueError } from '../core/errors.js'
import { checkGenerator, defaultGenerator, Generator } from '../core/generator.js'
import { checkOptions, listOf, ownOptions } from '../core/options.js'
import { allot, checkClasses, type Key, tellRare, type Units } from './allot.js'
import { checkSource, Dataset, Subset } from './dataset.js'
import { IterableDataset, type PassState } from './iterable.js'

/** The way to find a row's class or group: the name of a field, a function, or a list with one for each row. */
export type By<R> = (keyof R & string) | ((row: R) => Key) | readonly Key[] | Int32Array | Uint8Array

interface Choice<R> {
  /**
   * Each part has its share of each class (of this field, for example). A class needs two rows, as in scikit-learn,
   * because one row can be in one part only. Not for streams.
   */
  readonly stratify?: By<R>
  /** Rows of one group go to one part, so sizes are met only as well as groups allow. */
  readonly groups?: By<R>
  /** The same seed gives the same parts. Default: drawn from the default generator. */
  readonly seed?: number
}

export interface SplitOptions<R> extends Choice<R> {
  /** Held-out rows: a share between 0 and 1, or a number of rows. */
  readonly validation?: number
  readonly test?: number
}

export interface FoldOptions<R> extends Choice<R> {
  /** Default 5. */
  readonly folds?: number
}

/** `train`, and the parts that options request. */
export type Parts<O, P> = { readonly train: P } & { readonly [K in keyof O & ('validation' | 'test')]: P }

/** Rows that can be split by index. */
type Indexed<R, B> = readonly R[] | Dataset<R, B>

/**
 * The rows in disjoint parts: `const { train, validation } = splitRows(rows, { validation: 0.1, seed: 0 })`. Arrays
 * become arrays and datasets `Subset`s, with their rows in order. Shares are rounded to rows. Every part of an iterable
 * dataset reads all rows and keeps its own, chosen row by row (or group by group) with the probability of the share.
 * Throws ValueError if a part would be empty, or if a class to stratify by has only one row.
 */
export function splitRows<R, const O extends SplitOptions<NoInfer<R>>>(
  rows: IterableDataset<R>,
  options: O,
): Parts<O, IterableDataset<R>>
export function splitRows<R, B, const O extends SplitOptions<NoInfer<R>>>(
  rows: Dataset<R, B>,
  options: O,
): Parts<O, Subset<R, B>>
export function splitRows<R, const O extends SplitOptions<NoInfer<R>>>(
  rows: readonly R[],
  options: O,
): Parts<O, readonly R[]>
export function splitRows<R>(rows: Indexed<R, unknown> | IterableDataset<R>, options: SplitOptions<R>): object {
  const op = 'splitRows'
  const { seed, ...sizes } = ownOptions<SplitOptions<R>>(op, options, {
    validation: true,
    test: true,
    stratify: true,
    groups: true,
    seed: true,
  })
  const held = (['validation', 'test'] as const).filter((name) => sizes[name] !== undefined)
  if (held.length === 0)
    throw new ValueError(
      op,
      'no rows are held out; say how many, as in { validation: 0.1 } or { validation: 500, test: 500 }',
    )
  for (const name of held) checkSize(op, name, sizes[name] as number)
  const shares = held.map((name) => sizes[name] as number)
  if (rows instanceof IterableDataset) return splitStream(rows, held, shares, options)
  const count = lengthOf(op, rows)
  const counts = shares.map((size) => (size < 1 ? Math.round(size * count) : size))
  const rest = count - counts.reduce((sum, size) => sum + size, 0)
  const empty = held.find((_, i) => counts[i] === 0)
  if (empty !== undefined || rest < 1)
    throw new ValueError(
      op,
      `${empty ?? 'train'} would be empty: ${held.map((name, i) => `${name} is ${shares[i]}`).join(', ')}, and there are ${count} rows`,
    )
  const names = ['train', ...held]
  const units = unitsOf(op, rows, options)
  checkClasses(op, units.classes)
  const parts = allot(op, names, [rest, ...counts], units, generatorOf(op, seed))
  return Object.fromEntries(names.map((name, i) => [name, part(rows, parts[i] as number[])]))
}

export interface Fold<P> {
  readonly train: P
  readonly validation: P
}

/**
 * Returns `folds` pairs of parts. Each row is held out in exactly one of them. `stratify` and `groups` are as for
 * `splitRows`, but a class may have fewer rows than there are folds, some of which then hold out none of it; a warning
 * says so, as in scikit-learn. Throws ValueError if there are fewer rows, or groups, than folds.
 */
export function kFold<R, B>(rows: Dataset<R, B>, options?: FoldOptions<NoInfer<R>>): readonly Fold<Subset<R, B>>[]
export function kFold<R>(rows: readonly R[], options?: FoldOptions<NoInfer<R>>): readonly Fold<readonly R[]>[]
export function kFold<R>(rows: Indexed<R, unknown>, options: FoldOptions<R> = {}): readonly Fold<unknown>[] {
  const op = 'kFold'
  const {
    folds = 5,
    seed,
    ...by
  } = ownOptions<FoldOptions<R>>(op, options, {
    folds: true,
    stratify: true,
    groups: true,
    seed: true,
  })
  const count = lengthOf(op, rows)
  if (!Number.isSafeInteger(folds) || folds < 2 || folds > count)
    throw new ValueError(op, `folds is ${shown(folds)}, but must be an integer from 2 to the number of rows, ${count}`)
  const names = Array.from({ length: folds }, (_, i) => `fold ${i}`)
  const sizes = names.map((_, i) => Math.floor(count / folds) + (i < count % folds ? 1 : 0))
  const units = unitsOf(op, rows, by)
  tellRare(op, units.classes, folds)
  const parts = allot(op, names, sizes, units, generatorOf(op, seed))
  const foldOf = new Uint32Array(count)
  for (const [i, own] of parts.entries()) for (const row of own) foldOf[row] = i
  return parts.map((own, i) => {
    const others = Array.from({ length: count }, (_, row) => row).filter((row) => foldOf[row] !== i)
    return { train: part(rows, others), validation: part(rows, own) }
  })
}

export interface RandomSplitOptions {
  /** Default: the default generator. */
  readonly generator?: Generator
}

/**
 * Parts of these lengths, each in a random order, like PyTorch's random_split. Lengths are numbers of rows that add up
 * to all, or shares that add up to 1. Shares are rounded down, and the remaining rows go to the first parts. Throws
 * ValueError for lengths that add up to neither.
 */
export function randomSplit<R, B>(
  rows: Dataset<R, B>,
  lengths: readonly number[],
  options?: RandomSplitOptions,
): readonly Subset<R, B>[]
export function randomSplit<R>(
  rows: readonly R[],
  lengths: readonly number[],
  options?: RandomSplitOptions,
): readonly (readonly R[])[]
export function randomSplit<R>(
  rows: Indexed<R, unknown>,
  lengths: readonly number[],
  options: RandomSplitOptions = {},
): readonly unknown[] {
  const op = 'randomSplit'
  const { generator } = checkOptions(op, options, { generator: true })
  checkGenerator(op, generator)
  const count = lengthOf(op, rows)
  const own = listOf(op, 'lengths', lengths, 'an array of numbers')
  if (own.length === 0 || !own.every((length) => typeof length === 'number' && length >= 0))
    throw new ValueError(op, `lengths are ${shown(own)}, but must be numbers of at least 0`)
  const sum = own.reduce((total, length) => total + length, 0)
  const whole = own.every(Number.isSafeInteger)
  if (!(whole && sum === count) && Math.abs(sum - 1) > 1e-9)
    throw new ValueError(
      op,
      `lengths ${shown(own)} add up to ${sum}, but must add up to the ${count} rows, or to 1 if they are shares`,
    )
  const counts = whole && sum === count ? own : own.map((share) => Math.floor(share * count + 1e-9))
  for (let i = 0, left = count - counts.reduce((a, b) => a + b, 0); i < left; i++)
    counts[i % counts.length] = (counts[i % counts.length] as number) + 1
  const order = permutation(count, generator ?? defaultGenerator(), op)
  let from = 0
  return counts.map((length) => part(rows, order.slice(from, (from += length))))
}

function part<R>(rows: Indexed<R, unknown>, indices: readonly number[]): unknown {
  return rows instanceof Dataset ? new Subset(rows, indices) : indices.map((index) => (rows as readonly R[])[index])
}

function lengthOf(op: string, rows: unknown): number {
  if (Array.isArray(rows)) return rows.length
  if (rows instanceof IterableDataset)
    throw new ValueError(op, 'the rows are a stream; read all of them first: await dataset.toArray()')
  if (!(rows instanceof Dataset))
    throw new ValueError(op, `rows are ${kindOf(rows)}, but must be an array or a Dataset`)
  checkSource(op, rows)
  return rows.length
}

function checkSize(op: string, name: string, size: number): void {
  if (typeof size !== 'number' || !(size > 0 && (size < 1 || Number.isSafeInteger(size))))
    throw new ValueError(op, `${name} is ${shown(size)}, but must be a share between 0 and 1, or a number of rows`)
}

function generatorOf(op: string, seed: number | undefined): Generator {
  if (seed === undefined) return defaultGenerator().split()
  if (!Number.isSafeInteger(seed) || seed < 0)
    throw new ValueError(op, `seed is ${shown(seed)}, but must be a non-negative integer`)
  return new Generator(seed)
}

function unitsOf<R>(op: string, rows: Indexed<R, unknown>, { stratify, groups }: Choice<R>): Units {
  const all = (name: string, by: By<R> | undefined) => (by === undefined ? null : keysOf(op, name, rows, by))
  return { classes: all('stratify', stratify), groups: all('groups', groups) }
}

function keysOf<R>(op: string, name: string, rows: Indexed<R, unknown>, by: By<R>): readonly Key[] {
  if (typeof by === 'object') {
    const own = listOf<Key>(op, name, by, 'a field, a function of a row, or a list with an entry for each row')
    if (own.length !== rows.length)
      throw new ValueError(op, `${name} has ${own.length} entries, but there are ${rows.length} rows`)
    return own.map((key, i) => checkKey(op, name, i, key))
  }
  return Array.from({ length: rows.length }, (_, i) => {
    const row = rows instanceof Dataset ? rows.get(i) : (rows[i] as R)
    if (row instanceof Promise) {
      row.catch(() => undefined)
      throw new ValueError(
        op,
        `rows of the dataset arrive later (get returns promises); give ${name} as a list with an entry for each row`,
      )
    }
    return keyOf(op, name, i, row as R, by)
  })
}

function keyOf<R>(op: string, name: string, index: number, row: R, by: By<R>): Key {
  if (typeof by === 'function') return checkKey(op, name, index, by(row))
  if (typeof by !== 'string')
    throw new ValueError(
      op,
      `${name} is ${kindOf(by)}, but must be a field, a function of a row, or a list with an entry for each`,
    )
  if (typeof row !== 'object' || row === null || !(by in row))
    throw new ValueError(op, `row ${index} has no ${kindOf(by)} to ${name === 'groups' ? 'group' : 'stratify'} by`)
  return checkKey(op, name, index, row[by])
}

function checkKey(op: string, name: string, index: number, key: unknown): Key {
  if (typeof key === 'string' || typeof key === 'boolean' || (typeof key === 'number' && !Number.isNaN(key))) return key
  throw new ValueError(op, `${name} of row ${index} is ${kindOf(key)}, but must be text, a number or a boolean`)
}

interface StreamState {
  readonly index: number
  readonly rows: PassState
}

function splitStream<R>(
  rows: IterableDataset<R>,
  held: readonly string[],
  shares: readonly number[],
  { stratify, groups, seed }: SplitOptions<R>,
): object {
  const op = 'splitRows'
  const advice = 'read all rows first: splitRows(await rows.toArray(), ...)'
  if (shares.some((share) => share >= 1))
    throw new ValueError(op, `the rows are a stream, so only shares can be held out, not numbers of rows; ${advice}`)
  if (stratify !== undefined) throw new ValueError(op, `the rows are a stream, so classes are not known; ${advice}`)
  if (typeof groups === 'object')
    throw new ValueError(op, 'the rows are a stream; give groups as a field or a function of a row')
  if (groups !== undefined && typeof groups !== 'function' && typeof groups !== 'string')
    throw new ValueError(op, `groups is ${kindOf(groups)}, but must be a field or a function of a row`)
  const sum = shares.reduce((total, share) => total + share, 0)
  if (sum >= 1) throw new ValueError(op, `train would be empty: ${held.join(' and ')} are ${sum} of the rows`)
  const origin = generatorOf(op, seed).stateDict()
  const chance = new Generator(0)
  /** A number in [0, 1), the same for a row, or a group, in every pass and part. */
  const at = (offset: number) => {
    chance.loadStateDict({ ...origin, offset })
    return chance.random()
  }
  const nameOf = (row: R, index: number): string => {
    const u = at(groups === undefined ? index : hash(keyOf(op, 'groups', index, row, groups)))
    let upTo = 0
    return held.find((_, i) => u < (upTo += shares[i] as number)) ?? 'train'
  }
  const only = (name: string) =>
    new IterableDataset<R>((from) => {
      const state = from as StreamState | undefined
      let index = state?.index ?? 0
      const pass = rows.pass(state?.rows)
      async function* kept(): AsyncGenerator<R, void, void> {
        for await (const row of pass) if (nameOf(row, index++) === name) yield row
      }
      return Object.assign(kept(), { state: (): StreamState => ({ index, rows: pass.state() }) })
    })
  return Object.fromEntries(['train', ...held].map((name) => [name, only(name)]))
}

/** FNV-1a of a key and its kind, in 32 bits. */
function hash(key: Key): number {
  let bits = 0x811c9dc5
  for (const byte of new TextEncoder().encode(`${typeof key} ${key}`)) bits = Math.imul(bits ^ byte, 0x01000193)
  return bits >>> 0
}
