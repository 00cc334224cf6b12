/** Softmax along one dimension, shifted by the largest element so that nothing overflows; sums in float64. */
import type { Kernels } from '../table/index.js'
import type { HostView } from './view.js'
import { around } from './walk.js'

/** Calls f with the offset of each line along dim, within a dense tensor. */
function lines(shape: readonly number[], dim: number, f: (start: number, size: number, step: number) => void): void {
  const { outer, size, inner } = around(shape, dim)
  for (let a = 0; a < outer; a++) for (let b = 0; b < inner; b++) f(a * size * inner + b, size, inner)
}

interface Forward {
  readonly out: HostView
  readonly x: HostView
  readonly dim: number
}

function softmax_forward({ out, x, dim }: Forward): void {
  const e = new Float64Array(x.shape[dim] ?? 1)
  lines(x.shape, dim, (start, size, step) => {
    const from = x.offset + start
    const to = out.offset + start
    const largest = maximum(x, from, size, step)
    let sum = 0
    for (let j = 0; j < size; j++) {
      const value = Math.exp((x.data[from + j * step] as number) - largest)
      e[j] = value
      sum += value
    }
    for (let j = 0; j < size; j++) out.data[to + j * step] = (e[j] as number) / sum
  })
}

function log_softmax_forward({ out, x, dim }: Forward): void {
  lines(x.shape, dim, (start, size, step) => {
    const from = x.offset + start
    const to = out.offset + start
    const largest = maximum(x, from, size, step)
    let sum = 0
    for (let j = 0; j < size; j++) sum += Math.exp((x.data[from + j * step] as number) - largest)
    const logSum = Math.log(sum)
    for (let j = 0; j < size; j++) out.data[to + j * step] = (x.data[from + j * step] as number) - largest - logSum
  })
}

function maximum(x: HostView, from: number, size: number, step: number): number {
  let largest = Number.NEGATIVE_INFINITY
  for (let j = 0; j < size; j++) largest = Math.max(largest, x.data[from + j * step] as number)
  return largest
}

interface Backward {
  readonly dx: HostView
  readonly dy: HostView
  readonly y: HostView
  readonly dim: number
}

function softmax_backward({ dx, dy, y, dim }: Backward): void {
  lines(dx.shape, dim, (start, size, step) => {
    const [to, g, p] = [dx.offset + start, dy.offset + start, y.offset + start]
    let dot = 0
    for (let j = 0; j < size * step; j += step) dot += (dy.data[g + j] as number) * (y.data[p + j] as number)
    for (let j = 0; j < size * step; j += step) {
      dx.data[to + j] = (y.data[p + j] as number) * ((dy.data[g + j] as number) - dot)
    }
  })
}

function log_softmax_backward({ dx, dy, y, dim }: Backward): void {
  lines(dx.shape, dim, (start, size, step) => {
    const [to, g, p] = [dx.offset + start, dy.offset + start, y.offset + start]
    let sum = 0
    for (let j = 0; j < size * step; j += step) sum += dy.data[g + j] as number
    for (let j = 0; j < size * step; j += step) {
      dx.data[to + j] = (dy.data[g + j] as number) - Math.exp(y.data[p + j] as number) * sum
    }
  })
}

export const softmax = {
  softmax_forward,
  softmax_backward,
  log_softmax_forward,
  log_softmax_backward,
} satisfies Pick<
  Kernels<HostView>,
  'softmax_forward' | 'softmax_backward' | 'log_softmax_forward' | 'log_softmax_backward'
>
