/**
 * Reductions. Sums and extremes walk over x once and accumulate in float64. So memory is read in order, whichever
 * dimensions are reduced. out's strides along these are 0.
 */
import { ValueError } from '../../core/errors.js'
import { countOf } from '../../core/shape.js'
import type { KernelArguments, Kernels } from '../table/index.js'
import type { HostView } from './view.js'
import { around, walk } from './walk.js'

type Fold = (
  total: Float64Array,
  at: number,
  step: number,
  x: HostView['data'],
  i: number,
  di: number,
  n: number,
) => void

/** Folds x into one float64 for each element of out. */
function fold(out: HostView, x: HostView, initial: number, row: Fold): Float64Array {
  const total = new Float64Array(countOf(out.shape)).fill(initial)
  const strides = out.strides.map((stride, d) => (out.shape[d] === 1 ? 0 : stride))
  walk(x.shape, [x, { offset: 0, strides }], (n, [i = 0, at = 0], [di = 0, step = 0]) =>
    row(total, at, step, x.data, i, di, n),
  )
  return total
}

function extreme(initial: number, pick: (a: number, b: number) => number) {
  return ({ out, x }: { out: HostView; x: HostView }) => {
    const total = fold(out, x, initial, (total, at, step, x, i, di, n) => {
      for (let k = 0; k < n; k++) total[at + k * step] = pick(total[at + k * step] as number, x[i + k * di] as number)
    })
    out.data.set(total, out.offset)
  }
}

/** Throws for a sum that an int32 cannot hold, at once on this device. */
function held(op: string, out: HostView, sum: number, what = 'sum'): number {
  if (out.dtype !== 'int32' || Math.trunc(sum) === (sum | 0)) return sum
  throw new ValueError(
    op,
    `a ${what} is beyond what int32 holds; convert the tensor with .to('float32') before it is ${what === 'sum' ? 'summed' : 'multiplied'}`,
  )
}

function sum({ out, x, scale }: KernelArguments<'sum', HostView>): void {
  const total = fold(out, x, 0, (total, at, step, x, i, di, n) => {
    if (step === 0) {
      let row = 0
      for (let k = 0; k < n; k++) row += x[i + k * di] as number
      total[at] = (total[at] as number) + row
    } else {
      for (let k = 0; k < n; k++) total[at + k * step] = (total[at + k * step] as number) + (x[i + k * di] as number)
    }
  })
  for (let i = 0; i < total.length; i++) out.data[out.offset + i] = held('sum', out, scale * (total[i] as number))
}

/** The position along dim of the first element that no other beats; NaN beats all. */
function position(beats: (a: number, b: number) => boolean) {
  return ({ out, x, dim }: KernelArguments<'argmax', HostView>) => {
    const size = x.shape[dim] ?? 1
    const stride = x.strides[dim] ?? 0
    walk(out.shape, [out, x], (n, [o = 0, i = 0], [step = 0, di = 0]) => {
      for (let k = 0; k < n; k++) {
        const first = i + k * di
        let best = x.data[first] as number
        let index = 0
        for (let j = 1; j < size && !Number.isNaN(best); j++) {
          const value = x.data[first + j * stride] as number
          if (beats(value, best) || Number.isNaN(value)) {
            best = value
            index = j
          }
        }
        out.data[o + k * step] = index
      }
    })
  }
}

function cumsum({ out, x, dim, reverse }: KernelArguments<'cumsum', HostView>): void {
  const { outer, size, inner } = around(x.shape, dim)
  const step = reverse ? -inner : inner
  for (let a = 0; a < outer; a++) {
    for (let b = 0; b < inner; b++) {
      let at = a * size * inner + b + (reverse ? (size - 1) * inner : 0)
      let total = 0
      for (let j = 0; j < size; j++, at += step) {
        total += x.data[x.offset + at] as number
        out.data[out.offset + at] = held('cumsum', out, total)
      }
    }
  }
}

/** Walks along dim. `step` combines the result so far with the next element. */
function running(
  out: HostView,
  x: HostView,
  dim: number,
  reverse: boolean,
  start: number,
  step: (total: number, value: number) => number,
): void {
  const { outer, size, inner } = around(x.shape, dim)
  const stride = reverse ? -inner : inner
  for (let a = 0; a < outer; a++) {
    for (let b = 0; b < inner; b++) {
      let at = a * size * inner + b + (reverse ? (size - 1) * inner : 0)
      let total = start
      for (let j = 0; j < size; j++, at += stride) {
        total = step(total, x.data[x.offset + at] as number)
        out.data[out.offset + at] = total
      }
    }
  }
}

/** The position along dim of the last element so far that no other beats; NaN beats all. */
function bestSoFar(beats: (a: number, b: number) => boolean) {
  return ({ out, x, dim }: KernelArguments<'cummax', HostView>) => {
    const { outer, size, inner } = around(x.shape, dim)
    for (let a = 0; a < outer; a++) {
      for (let b = 0; b < inner; b++) {
        const first = a * size * inner + b
        let best = Number.NaN
        let index = 0
        for (let j = 0; j < size; j++) {
          const value = x.data[x.offset + first + j * inner] as number
          if (j === 0 || Number.isNaN(value) || (!Number.isNaN(best) && beats(value, best))) {
            best = value
            index = j
          }
          out.data[out.offset + first + j * inner] = index
        }
      }
    }
  }
}

/** log(exp(a) + exp(b)). */
function logOfBoth(a: number, b: number): number {
  const [less, more] = a < b ? [a, b] : [b, a]
  // Two equal infinities give that infinity, not NaN.
  return less === more && !Number.isFinite(more) ? more : more + Math.log1p(Math.exp(less - more))
}

export const reduce = {
  sum,
  amax: extreme(Number.NEGATIVE_INFINITY, Math.max),
  amin: extreme(Number.POSITIVE_INFINITY, Math.min),
  argmax: position((a, b) => a > b),
  argmin: position((a, b) => a < b),
  cumsum,
  cumprod: ({ out, x, dim }) =>
    running(out, x, dim, false, 1, (total, value) => held('cumprod', out, total * value, 'product')),
  cummax: bestSoFar((a, b) => a >= b),
  cummin: bestSoFar((a, b) => a <= b),
  logcumsumexp: ({ out, x, dim, reverse }) => running(out, x, dim, reverse, Number.NEGATIVE_INFINITY, logOfBoth),
} satisfies Pick<
  Kernels<HostView>,
  'sum' | 'amax' | 'amin' | 'argmax' | 'argmin' | 'cumsum' | 'cumprod' | 'cummax' | 'cummin' | 'logcumsumexp'
>
