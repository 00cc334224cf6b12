/**
 * Recurrence: one layer, one direction. The LSTM (Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al.
 * 2000):
 *
 *   i, f, o = sigmoid(a_i, a_f, a_o)   g = tanh(a_g)   a = x wIh^T + bIh + h' wHh^T + bHh
 *   c = f c' + i g                     h = o tanh(c)
 *
 * the GRU (Cho et al. 2014) in PyTorch's form:
 *
 *   r, z = sigmoid(a_r, a_z)   n = tanh(x wIn^T + bIn + r (h' wHn^T + bHn))   h = (1 - z) n + z h'
 *
 * and h = tanh(a), or relu(a), of the RNN. T time steps, B rows of a batch, I inputs, H hidden units; h' and c' are the
 * state before the step. Rows of the weights and columns of `gates` are ordered i, f, g, o, and r, z, n.
 */
import { ValueError } from '../../core/errors.js'
import type { KernelArguments, Kernels } from '../table/index.js'
import type { HostView } from './view.js'

/** Element i of a dense view. */
function get(view: HostView, i: number): number {
  return view.data[view.offset + i] as number
}

function set(view: HostView, i: number, value: number): void {
  view.data[view.offset + i] = value
}

/** A dense view in float64, or zeros if there is none. */
function read(view: HostView | null, count: number): Float64Array {
  const values = new Float64Array(count)
  if (view) for (let i = 0; i < count; i++) values[i] = get(view, i)
  return values
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

/** A row or a column of a matrix: its beginning, and the distance between its elements. */
interface Line {
  readonly of: Float64Array
  readonly from: number
  readonly step: number
}

function dot(count: number, a: Line, b: Line): number {
  let total = 0
  for (let i = 0; i < count; i++) total += (a.of[a.from + i * a.step] as number) * (b.of[b.from + i * b.step] as number)
  return total
}

function sigmoid(x: number): number {
  return 1 / (1 + Math.exp(-x))
}

/** The order in which a layer steps through time, and the steps of each batch row that count. */
interface Walk {
  readonly T: number
  readonly B: number
  readonly I: number
  readonly H: number
  /** The time steps in the order in which the layer takes them. */
  readonly order: readonly number[]
  counts(t: number, b: number): boolean
  /** The row of a kept state that holds the state before the step [t, b]; null if that is the initial state. */
  before(t: number, b: number): number | null
}

function walkOf(x: HostView, out: HostView, lengths: HostView | null, reverse: boolean): Walk {
  const [T, B, I] = x.shape as [number, number, number]
  // An empty batch takes no steps, because a walk over 2^31 steps that compute nothing would not end.
  const order = Array.from({ length: B === 0 ? 0 : T }, (_, t) => t)
  if (reverse) order.reverse()
  const length = (b: number) => (lengths ? Math.max(0, Math.min(T, get(lengths, b))) : T)
  return {
    T: order.length,
    B,
    I,
    H: out.shape[2] as number,
    order,
    counts: (t, b) => t < length(b),
    before(t, b) {
      if (t === (reverse ? length(b) - 1 : 0)) return null
      return (reverse ? t + 1 : t - 1) * B + b
    },
  }
}

/** Element j of the state before a step. */
function stateBefore({ B, H, before }: Walk, row: number, j: number, kept: HostView, initial: HostView | null): number {
  const from = before(Math.floor(row / B), row % B)
  if (from !== null) return get(kept, from * H + j)
  return initial ? get(initial, (row % B) * H + j) : 0
}

interface Weights {
  readonly x: HostView
  readonly wIh: HostView
  readonly wHh: HostView
  readonly bIh: HostView | null
  readonly bHh: HostView | null
}

/** The parts of gate column k at a row [t, b] that come from the input and from the state. */
function partsOf({ x, wIh, wHh, bIh, bHh }: Weights, { T, I, H, B }: Walk) {
  const rows = (wIh.shape as [number])[0]
  const [inputs, ofInput, ofState] = [read(x, T * B * I), read(wIh, rows * I), read(wHh, rows * H)]
  return {
    input: (row: number, k: number) =>
      (bIh ? get(bIh, k) : 0) + dot(I, { of: inputs, from: row * I, step: 1 }, { of: ofInput, from: k * I, step: 1 }),
    state: (h: Float64Array, row: number, k: number) =>
      (bHh ? get(bHh, k) : 0) + dot(H, { of: h, from: (row % B) * H, step: 1 }, { of: ofState, from: k * H, step: 1 }),
  }
}

/**
 * Runs `cell(row, j, h)`, which gives the new h of a unit, through all steps. Rows that do not count keep their state
 * and give 0.
 */
function forward(
  walk: Walk,
  { out, hn, h0 }: { out: HostView; hn: HostView; h0: HostView | null },
  cell: (row: number, j: number, h: Float64Array) => number,
  idle: (row: number, j: number) => void,
): void {
  const { B, H } = walk
  let h = read(h0, B * H)
  for (const t of walk.order) {
    const next = h.slice()
    for (let b = 0; b < B; b++)
      for (let j = 0; j < H; j++) {
        const row = t * B + b
        if (walk.counts(t, b)) next[b * H + j] = cell(row, j, h)
        else idle(row, j)
        set(out, row * H + j, walk.counts(t, b) ? (next[b * H + j] as number) : 0)
      }
    h = next
  }
  fill(hn, (n) => h[n] as number)
}

function lstm_forward(args: KernelArguments<'lstm_forward', HostView>): void {
  const { out, cn, gates, cells } = args
  const walk = walkOf(args.x, out, args.lengths, args.reverse)
  const { B, H } = walk
  const parts = partsOf(args, walk)
  const c = read(args.c0, B * H)
  const keep = (row: number, j: number, values: readonly number[]) => {
    if (cells) set(cells, row * H + j, c[(row % B) * H + j] as number)
    if (gates) for (const [q, gate] of values.entries()) set(gates, (row * 4 + q) * H + j, gate)
  }
  forward(
    walk,
    args,
    (row, j, h) => {
      const a = (q: number) => parts.input(row, q * H + j) + parts.state(h, row, q * H + j)
      const [i, f, g, o] = [sigmoid(a(0)), sigmoid(a(1)), Math.tanh(a(2)), sigmoid(a(3))]
      const cell = f * (c[(row % B) * H + j] as number) + i * g
      c[(row % B) * H + j] = cell
      keep(row, j, [i, f, g, o])
      return o * Math.tanh(cell)
    },
    (row, j) => keep(row, j, [0, 0, 0, 0]),
  )
  fill(cn, (n) => c[n] as number)
}

function gru_forward(args: KernelArguments<'gru_forward', HostView>): void {
  const { out, gates } = args
  const walk = walkOf(args.x, out, args.lengths, args.reverse)
  const { B, H } = walk
  const parts = partsOf(args, walk)
  const keep = (row: number, j: number, values: readonly number[]) => {
    if (gates) for (const [q, gate] of values.entries()) set(gates, (row * 4 + q) * H + j, gate)
  }
  forward(
    walk,
    args,
    (row, j, h) => {
      const r = sigmoid(parts.input(row, j) + parts.state(h, row, j))
      const z = sigmoid(parts.input(row, H + j) + parts.state(h, row, H + j))
      const state = parts.state(h, row, 2 * H + j)
      const n = Math.tanh(parts.input(row, 2 * H + j) + r * state)
      keep(row, j, [r, z, n, state])
      return n + z * ((h[(row % B) * H + j] as number) - n)
    },
    (row, j) => keep(row, j, [0, 0, 0, 0]),
  )
}

function rnn_forward(args: KernelArguments<'rnn_forward', HostView>): void {
  const walk = walkOf(args.x, args.out, args.lengths, args.reverse)
  const parts = partsOf(args, walk)
  forward(
    walk,
    args,
    (row, j, h) => {
      const a = parts.input(row, j) + parts.state(h, row, j)
      return args.relu ? Math.max(a, 0) : Math.tanh(a)
    },
    () => {},
  )
}

interface Backward {
  readonly dx: HostView | null
  readonly dh0: HostView | null
  readonly dwIh: HostView | null
  readonly dwHh: HostView | null
  readonly dy: HostView | null
  readonly dhn: HostView | null
  readonly x: HostView
  readonly h0: HostView | null
  readonly wIh: HostView
  readonly wHh: HostView
  readonly out: HostView
}

/** The gradients that a unit's step passes back, computed from the gradient of its new h. */
interface Handed {
  /** The gradients of the gates before their activation, for the input and for the state. */
  readonly input: readonly number[]
  readonly state: readonly number[]
  /** The part of the gradient that reaches the old h directly, not through the gates. */
  readonly kept: number
}

/**
 * Goes back through time: computes the gradients of the gates, and of the state before each step. Returns the biases'
 * gradients by gate column.
 */
function backward(
  walk: Walk,
  gateCount: number,
  { dx, dh0, dwIh, dwHh, dy, dhn, x, h0, wIh, wHh, out }: Backward,
  cell: (row: number, j: number, dhidden: number) => Handed,
): { input: (k: number) => number; state: (k: number) => number } {
  const { T, B, I, H } = walk
  const K = gateCount * H
  const ofInput = new Float64Array(T * B * K)
  const ofState = new Float64Array(T * B * K)
  const [inputs, inputWeights, stateWeights] = [read(x, T * B * I), read(wIh, K * I), read(wHh, K * H)]
  /** The state before each row; unset for steps that do not count. */
  const before = new Float64Array(T * B * H)
  let dh = read(dhn, B * H)
  for (const t of walk.order.toReversed()) {
    const kept = new Float64Array(B * H)
    for (let b = 0; b < B; b++)
      for (let j = 0; j < H; j++) {
        const row = t * B + b
        const through = dh[b * H + j] as number
        if (!walk.counts(t, b)) {
          kept[b * H + j] = through
          continue
        }
        const handed = cell(row, j, through + (dy ? get(dy, row * H + j) : 0))
        kept[b * H + j] = handed.kept
        before[row * H + j] = stateBefore(walk, row, j, out, h0)
        for (let q = 0; q < gateCount; q++) {
          ofInput[row * K + q * H + j] = handed.input[q] as number
          ofState[row * K + q * H + j] = handed.state[q] as number
        }
      }
    dh = kept.map((value, n) => {
      const row = t * B + Math.floor(n / H)
      return value + dot(K, { of: ofState, from: row * K, step: 1 }, { of: stateWeights, from: n % H, step: H })
    })
  }
  fill(dh0, (n) => dh[n] as number)
  fill(dx, (n) =>
    dot(K, { of: ofInput, from: Math.floor(n / I) * K, step: 1 }, { of: inputWeights, from: n % I, step: I }),
  )
  fill(dwIh, (n) => dot(T * B, { of: ofInput, from: Math.floor(n / I), step: K }, { of: inputs, from: n % I, step: I }))
  fill(dwHh, (n) => dot(T * B, { of: ofState, from: Math.floor(n / H), step: K }, { of: before, from: n % H, step: H }))
  return {
    input: (k) => sum(T * B, (row) => ofInput[row * K + k] as number),
    state: (k) => sum(T * B, (row) => ofState[row * K + k] as number),
  }
}

function lstm_backward(args: KernelArguments<'lstm_backward', HostView>): void {
  const { dc0, dbias, c0, out, gates, cells } = args
  const walk = walkOf(args.x, out, args.lengths, args.reverse)
  const { B, H } = walk
  const dc = read(args.dcn, B * H)
  const sums = backward(walk, 4, args, (row, j, dhidden) => {
    const at = (row % B) * H + j
    const gate = (q: number) => get(gates, (row * 4 + q) * H + j)
    const [i, f, g, o] = [gate(0), gate(1), gate(2), gate(3)]
    const tanhCell = Math.tanh(get(cells, row * H + j))
    const dcell = (dc[at] as number) + dhidden * o * (1 - tanhCell * tanhCell)
    const grads = [
      dcell * g * i * (1 - i),
      dcell * stateBefore(walk, row, j, cells, c0) * f * (1 - f),
      dcell * i * (1 - g * g),
      dhidden * tanhCell * o * (1 - o),
    ]
    dc[at] = dcell * f
    return { input: grads, state: grads, kept: 0 }
  })
  fill(dc0, (n) => dc[n] as number)
  fill(dbias, sums.input)
}

function gru_backward(args: KernelArguments<'gru_backward', HostView>): void {
  const { dbIh, dbHh, h0, out, gates } = args
  const walk = walkOf(args.x, out, args.lengths, args.reverse)
  const { H } = walk
  const sums = backward(walk, 3, args, (row, j, dhidden) => {
    const gate = (q: number) => get(gates, (row * 4 + q) * H + j)
    const [r, z, n, state] = [gate(0), gate(1), gate(2), gate(3)]
    const dn = dhidden * (1 - z) * (1 - n * n)
    const dr = dn * state * r * (1 - r)
    const dz = dhidden * (stateBefore(walk, row, j, out, h0) - n) * z * (1 - z)
    return { input: [dr, dz, dn], state: [dr, dz, dn * r], kept: dhidden * z }
  })
  fill(dbIh, sums.input)
  fill(dbHh, sums.state)
}

function rnn_backward(args: KernelArguments<'rnn_backward', HostView>): void {
  const { dbIh, dbHh, out, relu } = args
  const walk = walkOf(args.x, out, args.lengths, args.reverse)
  const sums = backward(walk, 1, args, (row, j, dhidden) => {
    const h = get(out, row * walk.H + j)
    const grads = [relu ? (h <= 0 ? 0 : dhidden) : dhidden * (1 - h * h)]
    return { input: grads, state: grads, kept: 0 }
  })
  fill(dbIh, sums.input)
  fill(dbHh, sums.state)
}

function sequence_mask({ out, lengths }: KernelArguments<'sequence_mask', HostView>): void {
  const [T, B] = out.shape as [number, number]
  for (let b = 0; b < B; b++) {
    const length = get(lengths, b)
    if (length < 1 || length > T)
      throw new ValueError('lengths', `the length of sequence ${b} is ${length}, but must be from 1 to ${T}`)
  }
  fill(out, (n) => (Math.floor(n / B) < get(lengths, n % B) ? 1 : 0))
}

export const recurrent = {
  sequence_mask,
  lstm_forward,
  lstm_backward,
  gru_forward,
  gru_backward,
  rnn_forward,
  rnn_backward,
} satisfies Partial<Kernels<HostView>>
