/** The division of rows into parts, so that parts have their sizes, classes their shares, and groups stay whole. */
import { permutation } from '../core/draws.js'
import { shown, ValueError } from '../core/errors.js'
import type { Generator } from '../core/generator.js'
import { warn } from '../core/host.js'

/** A key that distinguishes classes and groups. */
export type Key = string | number | boolean

/** Class and group of each row, or null if there are none. */
export interface Units {
  readonly classes: readonly Key[] | null
  readonly groups: readonly Key[] | null
}

/** Throws ValueError for classes of one row, which the part without it would not know. */
export function checkClasses(op: string, classes: readonly Key[] | null): void {
  if (classes === null) return
  const all = gather([...classes.keys()], classes)
  const single = [...all].filter(([, rows]) => rows.length === 1)
  if (single.length === 0) return
  const named = single.slice(0, 4).map(([key, [row]]) => `${shown(key)} (row ${row})`)
  throw new ValueError(
    op,
    `${single.length} of ${all.size} classes to stratify by have one row, which can be in one part only: ${named.join(', ')}` +
      `${single.length > named.length ? ', ...' : ''}; give each class at least two rows, leave these rows out, or leave stratify out`,
  )
}

/** Warns of classes with fewer rows than folds. */
export function tellRare(op: string, classes: readonly Key[] | null, folds: number): void {
  if (classes === null) return
  const all = gather([...classes.keys()], classes)
  const rare = [...all].filter(([, rows]) => rows.length < folds)
  if (rare.length === 0) return
  const named = rare.slice(0, 4).map(([key, rows]) => `${shown(key)} (${rows.length})`)
  warn(
    `[${op}] ${rare.length} classes have fewer rows than the ${folds} folds, some of which hold out none of them: ` +
      `${named.join(', ')}${rare.length > named.length ? ', ...' : ''}; use fewer folds, or give these classes more rows`,
  )
}

/** The rows of each part, in order. `sizes` must add up to all rows. Throws ValueError if a part would be empty. */
export function allot(
  op: string,
  names: readonly string[],
  sizes: readonly number[],
  { classes, groups }: Units,
  generator: Generator,
): number[][] {
  const count = sizes.reduce((sum, size) => sum + size, 0)
  const order = permutation(count, generator, op)
  const parts =
    groups === null
      ? byClass(sizes, gather(order, classes), count)
      : byGroup(sizes, [...gather(order, groups).values()], classes, count)
  const empty = parts.findIndex((part) => part.length === 0)
  if (empty >= 0)
    throw new ValueError(
      op,
      `no group is left for ${names[empty]}: there are ${new Set(groups).size} groups of ${count} rows; hold out larger or fewer parts`,
    )
  return parts.map((part) => part.sort((a, b) => a - b))
}

/** Rows by their keys, in the given order, or all in one list if there are no keys. */
function gather(order: readonly number[], keys: readonly Key[] | null): Map<Key | null, number[]> {
  const lists = new Map<Key | null, number[]>()
  for (const row of order) {
    const key = keys === null ? null : (keys[row] as Key)
    const list = lists.get(key)
    if (list) list.push(row)
    else lists.set(key, [row])
  }
  return lists
}

/**
 * Each part in turn takes its share, rounded down, of the remaining rows of each class. Then it takes single rows of
 * the classes whose shares were rounded down the most, up to its size.
 */
function byClass(sizes: readonly number[], classes: Map<unknown, number[]>, count: number): number[][] {
  const left = [...classes.values()]
  let rows = count
  return sizes.map((size) => {
    const shares = left.map((list) => (size * list.length) / rows)
    const taken = shares.map(Math.floor)
    const missing = size - taken.reduce((sum, n) => sum + n, 0)
    const largest = [...shares.keys()].sort((a, b) => ((shares[b] as number) % 1) - ((shares[a] as number) % 1))
    for (const i of largest.slice(0, missing)) taken[i] = (taken[i] as number) + 1
    rows -= size
    return left.flatMap((list, i) => list.splice(0, taken[i]))
  })
}

/**
 * Each group in turn goes to the part that is farthest from its sizes (of each class) without it, and nearest with it.
 */
function byGroup(
  sizes: readonly number[],
  groups: readonly number[][],
  classes: readonly Key[] | null,
  count: number,
): number[][] {
  const places = new Map<Key | null, number>()
  const classOf = (row: number): number => {
    const key = classes === null ? null : (classes[row] as Key)
    if (!places.has(key)) places.set(key, places.size)
    return places.get(key) as number
  }
  const totals: number[] = []
  for (const row of groups.flat()) totals[classOf(row)] = (totals[classOf(row)] ?? 0) + 1
  /** The number of rows of each class that each part still lacks. */
  const lacks = sizes.map((size) => totals.map((total) => (total * size) / count))
  const parts: number[][] = sizes.map(() => [])
  for (const group of groups) {
    const own = new Map<number, number>()
    for (const row of group) own.set(classOf(row), (own.get(classOf(row)) ?? 0) + 1)
    // The change of the squared distance, weighted so that rare classes count as much as others.
    const worse = lacks.map((lack) => {
      let sum = 0
      for (const [c, n] of own) sum += (n * (n - 2 * (lack[c] as number))) / (totals[c] as number) ** 2
      return sum
    })
    const best = worse.indexOf(Math.min(...worse))
    for (const row of group) parts[best]?.push(row)
    const lack = lacks[best] as number[]
    for (const [c, n] of own) lack[c] = (lack[c] as number) - n
  }
  return parts
}
