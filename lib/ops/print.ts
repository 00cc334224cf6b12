/** Tensors as text for people. */

import { withAutocast } from '../autograd/autocast.js'
import { noGrad } from '../autograd/mode.js'
import { type DType, isBlocks } from '../core/dtype.js'
import { defineMethods } from '../core/methods.js'
import { scope } from '../core/scope.js'
import type { Shape } from '../core/shape.js'
import type { Tensor } from '../core/tensor.js'
import { castTo } from './convert.js'
import { dataSync } from './read.js'
import { cat, narrow } from './shape/index.js'

const edge = 3
const summarizeAbove = 1000

/** The count of numbers in the text, or of brackets if there are more, because even empty tensors have some. */
function linesOf(sizes: Shape): number {
  let lists = 1
  let most = 1
  for (const size of sizes) {
    lists *= size
    most = Math.max(most, lists)
  }
  return most
}

/**
 * A copy of the shown part: the first and last entries of each long dimension. Views of every corner are taken first,
 * and only these are joined, because an expanded tensor may be too large to copy.
 */
function edgesOf(x: Tensor): Tensor {
  const corners = (view: Tensor, dim: number): Tensor => {
    if (dim === view.ndim) return view
    // Blocks are not cut.
    if (dim === view.ndim - 1 && isBlocks(view.dtype)) return corners(castTo(view, 'float32'), dim)
    const size = view.sizes[dim] as number
    if (size <= 2 * edge) return corners(view, dim + 1)
    const ends = [narrow(view, dim, 0, edge), narrow(view, dim, size - edge, edge)]
    return cat(
      ends.map((end) => corners(end, dim + 1)),
      dim,
    )
  }
  return scope(() => noGrad(() => withAutocast(null, () => corners(x, 0))))
}

/** A loop is used, because eight dimensions show 6^8 numbers, and the arguments of a call must fit on the stack. */
function largestOf(values: readonly number[], least: number): number {
  return values.reduce((largest, value) => Math.max(largest, value), least)
}

function formatNumbers(values: readonly number[], x: Tensor): (value: number) => string {
  if (x.dtype === 'bool') return (value) => (value ? 'true' : 'false')
  if (!x.dtype.includes('float') && !isBlocks(x.dtype)) return String
  const finite = values.filter(Number.isFinite).map(Math.abs)
  const largest = largestOf(finite, 0)
  const smallest = finite.reduce((least, v) => (v > 0 && v < least ? v : least), Number.POSITIVE_INFINITY)
  if (finite.every(Number.isInteger) && largest < 1e8)
    return (value) => (Number.isFinite(value) ? `${value}.` : String(value))
  if (largest >= 1e5 || smallest < 1e-4)
    return (value) => (Number.isFinite(value) ? value.toExponential(4) : String(value))
  return (value) => (Number.isFinite(value) ? value.toFixed(4) : String(value))
}

/**
 * The elements in brackets, with long dimensions shortened, then shape, dtype and device. Meta tensors show only these.
 * Waits for the elements.
 */
export function format(x: Tensor): string {
  if (x.storage.freed) return 'Tensor (freed)'
  if (x.device.kind === 'meta') return `${x.describe()}, without elements`
  const summarize = linesOf(x.sizes) > summarizeAbove
  const kept = summarize ? edgesOf(x) : x
  const flat = dataSync(kept)
  if (kept !== x) kept.dispose()
  const values: number[] = []
  const collect = (dim: number, at: number): void => {
    if (dim === x.ndim) return void values.push(flat[at] as number)
    const size = kept.sizes[dim] as number
    for (let i = 0; i < size; i++) collect(dim + 1, at * size + i)
  }
  collect(0, 0)
  const text = formatNumbers(values, x)
  const width = largestOf(
    values.map((value) => text(value).length),
    1,
  )
  const build = (dim: number, at: number): string => {
    if (dim === x.ndim) return text(flat[at] as number).padStart(x.ndim === 0 ? 0 : width)
    const size = kept.sizes[dim] as number
    const parts = Array.from({ length: size }, (_, i) => build(dim + 1, at * size + i))
    if (size < (x.sizes[dim] as number)) parts.splice(edge, 0, '...')
    const gap = dim === x.ndim - 1 ? ', ' : `,${'\n'.repeat(x.ndim - 1 - dim)}${' '.repeat(dim + 1)}`
    return `[${parts.join(gap)}]`
  }
  return `${build(0, 0)}\n${x.describe()}`
}

declare module '../core/tensor.js' {
  interface Tensor<S extends Shape = Shape, D extends DType = DType> {
    toString(): string
  }
}

defineMethods({
  toString() {
    return format(this)
  },
})
