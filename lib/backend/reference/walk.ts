/**
 * The walk with which reference kernels handle strides. It goes over a shape in row-major order, in rows as long as the
 * layouts allow, so that dense operands form a single row. Each kernel loops over a row in a literal loop of its own.
 * V8 compiles a loop well if it sees one operation and one kind of array.
 */
import { countOf } from '../../core/shape.js'
import type { HostView } from './view.js'

/** The layout of an operand's elements. A stride of 0 repeats an element. */
export interface Layout {
  readonly offset: number
  readonly strides: readonly number[]
}

/**
 * Handles a row. `at[i]` is the position of operand i's first element in the row, and `step[i]` the distance to its
 * next one.
 */
export type Row = (length: number, at: readonly number[], step: readonly number[]) => void

/** Fills a dense view with zeros. */
export function clear(view: HostView): void {
  view.data.fill(0, view.offset, view.offset + countOf(view.shape))
}

/** A dense view as outer x size x inner around `dim`, for kernels that loop along one dimension. */
export function around(shape: readonly number[], dim: number): { outer: number; size: number; inner: number } {
  return {
    outer: countOf(shape.slice(0, dim)),
    size: shape[dim] ?? 1,
    inner: countOf(shape.slice(dim + 1)),
  }
}

/** Drops dimensions of size 1, and joins neighbours through which every operand steps evenly. */
function collapse(shape: readonly number[], operands: readonly Layout[]): { sizes: number[]; strides: number[][] } {
  const sizes: number[] = []
  const strides: number[][] = []
  for (let d = shape.length - 1; d >= 0; d--) {
    const n = shape[d] as number
    if (n === 1) continue
    const last = sizes.length - 1
    const inner = strides[last]
    const size = sizes[last] as number
    if (inner?.every((stride, i) => operands[i]?.strides[d] === stride * size)) {
      sizes[last] = size * n
    } else {
      sizes.push(n)
      strides.push(operands.map((operand) => operand.strides[d] as number))
    }
  }
  return { sizes, strides }
}

/** Calls `row` for every row of `shape`: never for an empty shape, and once with one element for a scalar. */
export function walk(shape: readonly number[], operands: readonly Layout[], row: Row): void {
  if (countOf(shape) === 0) return
  const at = operands.map((operand) => operand.offset)
  // From here on the innermost dimension comes first.
  const { sizes, strides } = collapse(shape, operands)
  const length = sizes[0] ?? 1
  const step = strides[0] ?? operands.map(() => 1)
  if (sizes.length < 2) {
    row(length, at, step)
    return
  }
  const index = new Array<number>(sizes.length).fill(0)
  for (;;) {
    row(length, at, step)
    let d = 1
    for (; d < sizes.length; d++) {
      const stride = strides[d] as number[]
      const n = sizes[d] as number
      const next = (index[d] as number) + 1
      const move = next < n ? 1 : 1 - n
      for (let i = 0; i < at.length; i++) at[i] = (at[i] as number) + move * (stride[i] as number)
      index[d] = next < n ? next : 0
      if (next < n) break
    }
    if (d === sizes.length) return
  }
}
