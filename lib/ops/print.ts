/** Tensors as people read them. */
import type { Tensor } from '../core/tensor.js'
import { dataSync } from './read.js'

const edge = 3
const summarizeAbove = 1000

/** Positions of a dimension that are shown: all, or the edges with a gap (-1). */
function shown(size: number, summarize: boolean): number[] {
  if (!summarize || size <= 2 * edge) return Array.from({ length: size }, (_, i) => i)
  return [...Array.from({ length: edge }, (_, i) => i), -1, ...Array.from({ length: edge }, (_, i) => size - edge + i)]
}

/** A loop, because a call takes no more arguments than the stack has room for: eight dimensions show 6^8 numbers. */
function largestOf(values: readonly number[], least: number): number {
  return values.reduce((largest, value) => Math.max(largest, value), least)
}

function formatNumbers(values: readonly number[], x: Tensor): (value: number) => string {
  if (x.dtype === 'bool') return (value) => (value ? 'true' : 'false')
  if (!x.dtype.includes('float')) return String
  const finite = values.filter(Number.isFinite).map(Math.abs)
  const largest = largestOf(finite, 0)
  const smallest = finite.reduce((least, v) => (v > 0 && v < least ? v : least), Number.POSITIVE_INFINITY)
  if (finite.every(Number.isInteger) && largest < 1e8)
    return (value) => (Number.isFinite(value) ? `${value}.` : String(value))
  if (largest >= 1e5 || smallest < 1e-4)
    return (value) => (Number.isFinite(value) ? value.toExponential(4) : String(value))
  return (value) => (Number.isFinite(value) ? value.toFixed(4) : String(value))
}

/** The elements in brackets, long dimensions shortened, then shape, dtype and device. Waits for the elements. */
export function format(x: Tensor): string {
  if (x.storage.freed) return 'Tensor (freed)'
  const flat = dataSync(x)
  const summarize = flat.length > summarizeAbove
  const values: number[] = []
  const collect = (dim: number, at: number): void => {
    if (dim === x.ndim) return void values.push(flat[at] as number)
    const size = x.sizes[dim] as number
    for (const i of shown(size, summarize)) if (i >= 0) collect(dim + 1, at * size + i)
  }
  collect(0, 0)
  const text = formatNumbers(values, x)
  const width = largestOf(
    values.map((value) => text(value).length),
    1,
  )
  const build = (dim: number, at: number): string => {
    if (dim === x.ndim) return text(flat[at] as number).padStart(x.ndim === 0 ? 0 : width)
    const size = x.sizes[dim] as number
    const parts = shown(size, summarize).map((i) => (i < 0 ? '...' : build(dim + 1, at * size + i)))
    const gap = dim === x.ndim - 1 ? ', ' : `,${'\n'.repeat(x.ndim - 1 - dim)}${' '.repeat(dim + 1)}`
    return `[${parts.join(gap)}]`
  }
  return `${build(0, 0)}\n${x.describe()}`
}
