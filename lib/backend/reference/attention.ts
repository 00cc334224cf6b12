/**
 * Scaled dot-product attention, a row of scores at a time, in float64: P = softmax(scale q k^T + mask), out =
 * dropout(P) v. Both passes make P from the scores. The statistics that the forward pass leaves for the backward pass
 * serve only devices with less precision.
 *
 * Letters: q [B, Hq, Tq, D], k [B, Hk, Tk, D], v [B, Hk, Tk, Dv]; query head h reads key head floor(h / (Hq / Hk)).
 */
import { ValueError } from '../../core/errors.js'
import { philox4 } from '../../core/philox.js'
import type { KernelArguments, Kernels, PhiloxPosition } from '../table/index.js'
import { convert } from './shape.js'
import type { HostView } from './view.js'

type Shared = keyof KernelArguments<'attention_forward', HostView> &
  keyof KernelArguments<'attention_backward', HostView>
type Inputs = Pick<KernelArguments<'attention_forward', HostView>, Exclude<Shared, 'out' | 'statistics'>>

/** A vector: the elements along the last dimension of a view. */
interface Vector {
  readonly data: { [index: number]: number }
  readonly start: number
  readonly stride: number
  readonly size: number
}

function vector(view: HostView, batch: number, head: number, time: number): Vector {
  const [s0 = 0, s1 = 0, s2 = 0, stride = 0] = view.strides
  const start = view.offset + batch * s0 + head * s1 + time * s2
  return { data: view.data, start, stride, size: view.shape[3] ?? 0 }
}

function at(a: Vector, i: number): number {
  return a.data[a.start + i * a.stride] as number
}

function dot(a: Vector, b: Vector): number {
  let sum = 0
  for (let i = 0; i < a.size; i++) sum += at(a, i) * at(b, i)
  return sum
}

/** y += factor * x */
function addScaled(y: Vector, factor: number, x: Vector): void {
  for (let i = 0; i < y.size; i++) y.data[y.start + i * y.stride] = at(y, i) + factor * at(x, i)
}

/** A dense float64 array beside an output of the kernel, in which gradients are summed before they are rounded once. */
function accumulator(out: HostView | null): HostView | null {
  if (!out) return null
  const data = new Float64Array(out.shape.reduce((count, size) => count * size, 1))
  const strides = out.shape.map((_, i) => out.shape.slice(i + 1).reduce((count, size) => count * size, 1))
  return { data, dtype: 'float64', offset: 0, shape: out.shape, strides }
}

function write(out: HostView | null, sums: HostView | null): void {
  if (out && sums) convert(out, sums)
}

/** One query: its position, and the keys that it sees. */
interface Row {
  readonly batch: number
  readonly head: number
  readonly keyHead: number
  readonly query: number
  /** The position among all rows of [B, Hq, Tq]. */
  readonly index: number
  /** The largest score. */
  readonly largest: number
  /** The sum of exp(score - largest). */
  readonly total: number
  /** The first key that takes part. */
  readonly first: number
  /** P by key, from the first visible key to the last. It is valid until the next row. */
  readonly weights: Float64Array
  /** The dropout factor by key: 0 if dropped, else 1 / (1 - dropout). It is valid until the next row. */
  readonly keep: Float64Array
}

function* rows(args: Inputs): Generator<Row> {
  const [B = 0, Hq = 0, Tq = 0] = args.q.shape
  const [, Hk = 1, Tk = 0] = args.k.shape
  const room = new Float64Array(Tk)
  const keep = new Float64Array(Tk).fill(1)
  checkLengths(args.lengths, B, Tk)
  for (let index = 0; index < B * Hq * Tq; index++) {
    const query = index % Tq
    const head = Math.floor(index / Tq) % Hq
    const batch = Math.floor(index / (Tq * Hq))
    const keyHead = Math.floor(head / (Hq / Hk))
    const q = vector(args.q, batch, head, query)
    const takesPart = args.maskBool && vector(args.maskBool, batch, head, query)
    const added = args.maskAdd && vector(args.maskAdd, batch, head, query)
    const position = args.offset + query
    const end = Math.min(position + 1, args.lengths ? (args.lengths.data[args.lengths.offset + batch] as number) : Tk)
    const first = Math.min(end, args.window > 0 ? Math.max(0, position + 1 - args.window) : 0)
    const scores = room.subarray(first, end)
    for (let i = 0; i < scores.length; i++) {
      const key = first + i
      const score = args.scale * dot(q, vector(args.k, batch, keyHead, key)) + (added ? at(added, key) : 0)
      // -Infinity is added rather than assigned, so that a NaN remains one, as with added masks.
      scores[i] = takesPart && at(takesPart, key) === 0 ? score - Infinity : score
    }
    // A NaN shows in the total. A row without keys has the weights 0.
    const largest = scores.reduce((a, b) => Math.max(a, b), -Infinity)
    const shift = largest === -Infinity ? 0 : largest
    const total = scores.reduce((sum, score) => sum + Math.exp(score - shift), 0)
    const weights = scores.map((score) => (total === 0 ? 0 : Math.exp(score - shift) / total))
    if (args.dropout > 0) drop(keep, index * Tk, args.dropout, args.random)
    yield { batch, head, keyHead, query, index, largest, total, first, weights, keep: keep.subarray(first, end) }
  }
}

/** Throws ValueError if a length is impossible for its row of keys. */
function checkLengths(lengths: HostView | null, rows: number, most: number): void {
  for (let b = 0; lengths && b < rows; b++) {
    const length = lengths.data[lengths.offset + b] as number
    if (length < 0 || length > most)
      throw new ValueError(
        'scaledDotProductAttention',
        `lengths holds ${length} at ${b}, but a row has 0 to ${most} real keys; give the number of them`,
      )
  }
}

/** Writes the dropout factors of the elements first, first + 1, ... of [B, Hq, Tq, Tk]. */
function drop(keep: Float64Array, first: number, p: number, random: PhiloxPosition): void {
  const words = new Uint32Array(4)
  const threshold = Math.round(p * 2 ** 32)
  for (let i = 0; i < keep.length; i++) {
    const element = first + i
    if (i === 0 || element % 4 === 0) {
      philox4(random.seed, random.stream, random.offset + Math.floor(element / 4), words)
    }
    keep[i] = (words[element % 4] as number) < threshold ? 0 : 1 / (1 - p)
  }
}

export const attention = {
  attention_forward(args) {
    const { out, statistics, v } = args
    const [, , Tq = 0] = args.q.shape
    const sums = accumulator(out)
    if (!sums) return
    for (const { batch, head, keyHead, query, index, largest, total, first, weights, keep } of rows(args)) {
      const place = statistics.offset + (index - query) * 2 + query
      statistics.data[place] = largest
      statistics.data[place + Tq] = total
      const y = vector(sums, batch, head, query)
      weights.forEach((weight, i) => {
        addScaled(y, weight * (keep[i] as number), vector(v, batch, keyHead, first + i))
      })
    }
    write(out, sums)
  },

  attention_backward(args) {
    const { dy, q, k, v, out, scale } = args
    const [, , Tk = 0] = k.shape
    const dq = accumulator(args.dq)
    const dk = accumulator(args.dk)
    const dv = accumulator(args.dv)
    const dmask = accumulator(args.dmask)
    for (const { batch, head, keyHead, query, index, first, weights, keep } of rows(args)) {
      const gradient = vector(dy, batch, head, query)
      const output = vector(out, batch, head, query)
      const mean = dot(gradient, output) // sum over keys of P dP
      weights.forEach((weight, i) => {
        const key = first + i
        const factor = keep[i] as number
        const dweight = factor * dot(gradient, vector(v, batch, keyHead, key))
        const dscore = weight * (dweight - mean)
        if (dq) addScaled(vector(dq, batch, head, query), scale * dscore, vector(k, batch, keyHead, key))
        if (dk) addScaled(vector(dk, batch, keyHead, key), scale * dscore, vector(q, batch, head, query))
        if (dv) addScaled(vector(dv, batch, keyHead, key), weight * factor, gradient)
        if (dmask) dmask.data[index * Tk + key] = dscore
      })
    }
    write(args.dq, dq)
    write(args.dk, dk)
    write(args.dv, dv)
    write(args.dmask, dmask)
  },
} satisfies Pick<Kernels<HostView>, 'attention_forward' | 'attention_backward'>
