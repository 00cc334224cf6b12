/**
 * The modes of interpolation along one axis. Each is a table of the terms of each result, a sparse matrix stored by
 * rows. Formulas are PyTorch's (aten/src/ATen/native/UpSample.h and cpu/UpSampleKernel.cpp).
 */
import { askHeap, checkEntries, mostEntries } from '../../core/room.js'

/** A sparse matrix [results, length], row by row. */
export interface Table {
  readonly length: number
  readonly results: number
  /** The ends of each result's terms, after a leading 0. */
  readonly ends: readonly number[]
  /** The position in the source of each term, and its weight. */
  readonly index: readonly number[]
  readonly weights: readonly number[]
}

type Term = readonly [index: number, weight: number]

/** The bytes of the heap that a position takes, with its terms and those of the gradient. */
const bytesOfPosition = 200

/** Throws ValueError or OutOfMemoryError if the lists of an axis do not fit in the JavaScript heap. */
function checkAxis(length: number, results: number): void {
  const [count, advice] = [length + results, 'take a smaller size']
  checkEntries('interpolate', count, mostEntries / 4, 'positions along a dimension', advice)
  askHeap(bytesOfPosition * count, 'interpolate', `${count} positions along a dimension`, advice)
}

function table(length: number, results: number, termsOf: (r: number) => readonly Term[]): Table {
  checkAxis(length, results)
  const ends = [0]
  const index: number[] = []
  const weights: number[] = []
  for (let r = 0; r < results; r++) {
    for (const [at, weight] of termsOf(r)) {
      index.push(at)
      weights.push(weight)
    }
    ends.push(index.length)
  }
  return { length, results, ends, index, weights }
}

/** The table of the gradient. */
export function transposed({ length, results, ends, index, weights }: Table): Table {
  const terms: Term[][] = Array.from({ length }, () => [])
  for (let r = 0; r < results; r++)
    for (let k = ends[r] as number; k < (ends[r + 1] as number); k++)
      terms[index[k] as number]?.push([r, weights[k] as number])
  return table(results, length, (i) => terms[i] ?? [])
}

/** An axis: its sizes, and the number of source positions per step of the result if the program gave it. */
export interface Axis {
  readonly length: number
  readonly results: number
  readonly scale: number | null
}

/** The number of source positions per step of the result. */
function stepOf({ length, results, scale }: Axis, alignCorners: boolean): number {
  if (alignCorners) return results > 1 ? (length - 1) / (results - 1) : 0
  return scale !== null ? 1 / scale : length / results
}

/** floor in float32, as PyTorch rounds positions. A position barely below a whole number counts as that number. */
const floor = (x: number): number => Math.floor(Math.fround(x))

export function nearest(axis: Axis): Table {
  const { length, results } = axis
  const step = stepOf(axis, false)
  return table(length, results, (r) => [[Math.min(floor(r * step), length - 1), 1]])
}

export function nearestExact(axis: Axis): Table {
  const { length, results } = axis
  const step = stepOf(axis, false)
  return table(length, results, (r) => [[Math.min(floor(Math.max(0, step * (r + 0.5) - 0.5) + 0.5), length - 1), 1]])
}

/**
 * Linear interpolation. Both neighbours always count, so a NaN or infinity shows even at a weight of 0, as in PyTorch.
 */
export function linear(axis: Axis, alignCorners: boolean): Table {
  const { length, results } = axis
  const step = stepOf(axis, alignCorners)
  return table(length, results, (r) => {
    if (length === results)
      return [
        [r, 1],
        [r, 0],
      ]
    const position = alignCorners ? step * r : Math.max(0, step * (r + 0.5) - 0.5)
    const first = Math.min(Math.floor(position), length - 1)
    const share = Math.min(Math.max(position - first, 0), 1)
    return [
      [first, 1 - share],
      [Math.min(first + 1, length - 1), share],
    ]
  })
}

/** Keys' cubic convolution (1981) at distance x, with the slope `a`. */
function cubicWeight(x: number, a: number): number {
  const d = Math.abs(x)
  if (d <= 1) return ((a + 2) * d - (a + 3)) * d * d + 1
  return d < 2 ? ((a * d - 5 * a) * d + 8 * a) * d - 4 * a : 0
}

export function cubic(axis: Axis, alignCorners: boolean): Table {
  const { length, results } = axis
  const step = stepOf(axis, alignCorners)
  return table(length, results, (r) => {
    const position = alignCorners ? step * r : step * (r + 0.5) - 0.5
    const first = Math.min(floor(position), length - 1)
    const share = Math.min(Math.max(position - first, 0), 1)
    return [-1, 0, 1, 2].map((i) => [Math.min(Math.max(first + i, 0), length - 1), cubicWeight(share - i, -0.75)])
  })
}

/** The mean over the part of the source that each result covers: adaptive average pooling. */
export function area(length: number, results: number): Table {
  return table(length, results, (r) => {
    const start = Math.floor((r * length) / results)
    const count = Math.ceil(((r + 1) * length) / results) - start
    return Array.from({ length: count }, (_, i) => [start + i, 1 / count])
  })
}

/** A filter of antialiasing: its radius, and its value at a distance. */
interface Filter {
  readonly reach: number
  at(x: number): number
}

const sinc = (x: number): number => (x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x))

export const filters = {
  linear: { reach: 1, at: (x) => Math.max(0, 1 - Math.abs(x)) },
  cubic: { reach: 2, at: (x) => cubicWeight(x, -0.5) },
  lanczos: { reach: 3, at: (x) => (Math.abs(x) < 3 ? sinc(x) * sinc(x / 3) : 0) },
} as const satisfies { readonly [name: string]: Filter }

/** Weighted means over as much of the source as a step of the result covers, as in Pillow's resizing. */
export function filtered(axis: Axis, alignCorners: boolean, { reach, at }: Filter): Table {
  const { length, results } = axis
  const step = stepOf(axis, alignCorners)
  const wide = Math.max(step, 1)
  return table(length, results, (r) => {
    const centre = step * (r + 0.5)
    const start = Math.max(Math.trunc(centre - reach * wide + 0.5), 0)
    const end = Math.min(Math.trunc(centre + reach * wide + 0.5), length)
    const weights = Array.from({ length: Math.max(0, end - start) }, (_, i) => at((start + i - centre + 0.5) / wide))
    const total = weights.reduce((a, b) => a + b, 0)
    return weights.map((weight, i) => [start + i, total === 0 ? weight : weight / total])
  })
}
