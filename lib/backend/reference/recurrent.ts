/**
 * The LSTM (Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000): one layer, one direction.
 *
 *   i, f, o = sigmoid(a_i, a_f, a_o)   g = tanh(a_g)   a = x wIh^T + bIh + h' wHh^T + bHh
 *   c = f c' + i g                     h = o tanh(c)
 *
 * T time steps, B rows of a batch, I inputs, H hidden units; h' and c' are the state before the step. Rows of the
 * weights and columns of `gates` are ordered i, f, g, o.
 */
import type { KernelArguments, Kernels } from '../table/index.js'
import type { HostView } from './view.js'

/** Element i of a dense view. */
function get(view: HostView, i: number): number {
  return view.data[view.offset + i] as number
}

function set(view: HostView, i: number, value: number): void {
  view.data[view.offset + i] = value
}

/** A dense view in float64, or zeros where there is none. */
function read(view: HostView | null, count: number): Float64Array {
  return Float64Array.from({ length: count }, (_, i) => (view ? get(view, i) : 0))
}

/** Writes every element of a dense view that is wanted, by its position. */
function fill(view: HostView | null, value: (n: number) => number): void {
  if (!view) return
  const count = view.shape.reduce((product, size) => product * size, 1)
  for (let n = 0; n < count; n++) set(view, n, value(n))
}

function sum(count: number, term: (i: number) => number): number {
  let total = 0
  for (let i = 0; i < count; i++) total += term(i)
  return total
}

function sigmoid(x: number): number {
  return 1 / (1 + Math.exp(-x))
}

/** The time steps in the order in which the layer takes them. */
function steps(T: number, reverse: boolean): number[] {
  const times = Array.from({ length: T }, (_, t) => t)
  return reverse ? times.reverse() : times
}

function sizes(x: HostView, out: HostView): { T: number; B: number; I: number; H: number } {
  const [T, B, I] = x.shape as [number, number, number]
  // Without rows no step has anything to do, however many there are.
  return { T: B === 0 ? 0 : T, B, I, H: out.shape[2] as number }
}

function lstm_forward(args: KernelArguments<'lstm_forward', HostView>): void {
  const { out, hn, cn, gates, cells, x, wIh, wHh, bIh, bHh } = args
  const { T, B, I, H } = sizes(x, out)
  const bias = read(bIh, 4 * H).map((b, k) => b + (bHh ? get(bHh, k) : 0))
  let h = read(args.h0, B * H)
  const c = read(args.c0, B * H)
  for (const t of steps(T, args.reverse)) {
    const next = new Float64Array(B * H)
    for (let b = 0; b < B; b++) {
      const row = t * B + b
      const preactivation = (k: number) =>
        (bias[k] as number) +
        sum(I, (m) => get(x, row * I + m) * get(wIh, k * I + m)) +
        sum(H, (m) => (h[b * H + m] as number) * get(wHh, k * H + m))
      for (let j = 0; j < H; j++) {
        const i = sigmoid(preactivation(j))
        const f = sigmoid(preactivation(H + j))
        const g = Math.tanh(preactivation(2 * H + j))
        const o = sigmoid(preactivation(3 * H + j))
        const cell = f * (c[b * H + j] as number) + i * g
        c[b * H + j] = cell
        next[b * H + j] = o * Math.tanh(cell)
        set(out, row * H + j, next[b * H + j] as number)
        if (cells) set(cells, row * H + j, cell)
        if (gates) for (const [q, gate] of [i, f, g, o].entries()) set(gates, (row * 4 + q) * H + j, gate)
      }
    }
    h = next
  }
  fill(hn, (n) => h[n] as number)
  fill(cn, (n) => c[n] as number)
}

function lstm_backward(args: KernelArguments<'lstm_backward', HostView>): void {
  const { dx, dh0, dc0, dwIh, dwHh, dbias, dy, x, h0, c0, wIh, wHh, out, gates, cells } = args
  const { T, B, I, H } = sizes(x, out)
  const order = steps(T, args.reverse)
  const first = order[0]
  /** Of a state kept for each row [t, b], element j of the step before. */
  const before = (row: number, j: number, kept: HostView, initial: HostView | null): number => {
    if (Math.floor(row / B) !== first) return get(kept, (row + (args.reverse ? B : -B)) * H + j)
    return initial ? get(initial, (row % B) * H + j) : 0
  }

  // Against the order of time: the gradients of the gates before their activation, and of the state before each step.
  const dgates = new Float64Array(T * B * 4 * H)
  const dgate = (row: number, k: number) => dgates[row * 4 * H + k] as number
  let dh = read(args.dhn, B * H)
  const dc = read(args.dcn, B * H)
  for (const t of order.toReversed()) {
    for (let b = 0; b < B; b++) {
      const row = t * B + b
      for (let j = 0; j < H; j++) {
        const gate = (q: number) => get(gates, (row * 4 + q) * H + j)
        const [i, f, g, o] = [gate(0), gate(1), gate(2), gate(3)]
        const tanhCell = Math.tanh(get(cells, row * H + j))
        const dhidden = (dh[b * H + j] as number) + (dy ? get(dy, row * H + j) : 0)
        const dcell = (dc[b * H + j] as number) + dhidden * o * (1 - tanhCell * tanhCell)
        dgates[row * 4 * H + j] = dcell * g * i * (1 - i)
        dgates[row * 4 * H + H + j] = dcell * before(row, j, cells, c0) * f * (1 - f)
        dgates[row * 4 * H + 2 * H + j] = dcell * i * (1 - g * g)
        dgates[row * 4 * H + 3 * H + j] = dhidden * tanhCell * o * (1 - o)
        dc[b * H + j] = dcell * f
      }
    }
    dh = Float64Array.from({ length: B * H }, (_, n) => {
      const row = t * B + Math.floor(n / H)
      return sum(4 * H, (k) => dgate(row, k) * get(wHh, k * H + (n % H)))
    })
  }
  fill(dh0, (n) => dh[n] as number)
  fill(dc0, (n) => dc[n] as number)

  fill(dx, (n) => sum(4 * H, (k) => dgate(Math.floor(n / I), k) * get(wIh, k * I + (n % I))))
  fill(dwIh, (n) => sum(T * B, (row) => dgate(row, Math.floor(n / I)) * get(x, row * I + (n % I))))
  fill(dwHh, (n) => sum(T * B, (row) => dgate(row, Math.floor(n / H)) * before(row, n % H, out, h0)))
  fill(dbias, (k) => sum(T * B, (row) => dgate(row, k)))
}

export const recurrent = { lstm_forward, lstm_backward } satisfies Pick<
  Kernels<HostView>,
  'lstm_forward' | 'lstm_backward'
>
