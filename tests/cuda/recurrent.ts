/**
 * LSTM, GRU and RNN through time, in both directions, with and without lengths and states. Sizes are around the blocks
 * of units and of columns. Some cases have more rows than a product over many steps takes. Compared with the reference
 * device in float64, forward and backward, and twice to the same bits. Any difference is an error.
 */
import { device } from '../../lib/backend/devices.js'
import * as f from '../../lib/index.js'

const gpu = device('cuda')
const reference = device('reference')
const checks = process.env['FIRESTEEL_EMULATOR_CHECK'] === '1'
const cells = { lstm: 4, gru: 3, rnn: 1 } as const

interface Layer {
  readonly cell: keyof typeof cells
  /** Steps, rows, inputs and units. */
  readonly sizes: readonly [T: number, B: number, I: number, H: number]
  readonly lengths: boolean
  readonly initial: boolean
  readonly bias: boolean
}

let state = 7
const numbers = (count: number): Float32Array =>
  Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return (state / 2 ** 31 - 1) / 2
  })

/** A tensor, which on the reference device is float64. */
const place = (values: Float32Array, shape: readonly number[], on: f.Device): f.Tensor =>
  on === reference
    ? f.fromTypedArray(Float64Array.from(values), [...shape], { dtype: 'float64', device: on })
    : f.fromTypedArray(values, [...shape], { device: on })

/** All results, then the gradients of a weighted sum of them. */
function outcome(on: f.Device, layer: Layer, given: readonly Float32Array[]): number[][] {
  return f.scope(() => {
    const [T, B, I, H] = layer.sizes
    const K = cells[layer.cell] * H
    let next = 0
    const make = (...shape: number[]) => {
      const values = given[next++] as Float32Array
      const made = place(values, shape, on)
      made.requiresGrad = true
      return made
    }
    const x = make(T, B, I)
    const inputs: f.Tensor[] = [x]
    const weights = [0, 1].map(() => {
      const direction = { wIh: make(K, I), wHh: make(K, H), bIh: make(K), bHh: make(K) }
      inputs.push(...Object.values(direction).slice(0, layer.bias ? 4 : 2))
      return layer.bias ? direction : { ...direction, bIh: null, bHh: null }
    })
    const [h0, c0] = [make(2, B, H), make(2, B, H)]
    if (layer.initial) inputs.push(h0, ...(layer.cell === 'lstm' ? [c0] : []))
    const lengths = f.fromTypedArray(
      Int32Array.from({ length: B }, (_, b) => 1 + (b % T)),
      [B],
      { device: on },
    )
    const options = { bidirectional: true, ...(layer.lengths ? { lengths } : {}) }
    const results = (() => {
      if (layer.cell === 'lstm') {
        const { output, state } = f.lstm(x, weights, { ...options, ...(layer.initial ? { initial: [h0, c0] } : {}) })
        return [output, ...state]
      }
      const start = layer.initial ? { initial: h0 } : {}
      const { output, state } =
        layer.cell === 'gru'
          ? f.gru(x, weights, { ...options, ...start })
          : f.rnn(x, weights, { ...options, ...start, nonlinearity: layer.bias ? 'tanh' : 'relu' })
      return [output, state]
    })()
    const factors = results.map((result) => {
      const values = given[next++] as Float32Array
      return place(values, result.shape, on)
    })
    const gradients = f.grad(results, inputs, { gradOutputs: factors })
    return [...results, ...gradients].map((t) => Array.from((t as f.Tensor).dataSync()))
  })
}

function check(layer: Layer): void {
  const [T, B, I, H] = layer.sizes
  const K = cells[layer.cell] * H
  const direction = [K * I, K * H, K, K]
  const state = 2 * B * H
  const counts = [T * B * I, ...direction, ...direction, state, state, T * state, state, state]
  const given = counts.map(numbers)
  const found = outcome(gpu, layer, given)
  // One run is enough if there are many rows.
  const again = B > 10 ? found : outcome(gpu, layer, given)
  for (const [k, values] of outcome(reference, layer, given).entries()) {
    const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 1)
    const allowed = 2 ** -23 * (64 + T * (I + H) + Math.sqrt(T * B)) * largest
    for (const [i, value] of values.entries()) {
      const [one, two] = [found[k]?.[i] as number, again[k]?.[i] as number]
      const where = `${JSON.stringify(layer)}: value ${k}, element ${i}`
      if (!Object.is(one, two)) throw new Error(`${where} is ${one}, then ${two}`)
      if (!(Math.abs(one - value) <= allowed)) throw new Error(`${where} is ${one}, and should be ${value}`)
    }
  }
}

for (const cell of ['lstm', 'gru', 'rnn'] as const) {
  const plain = { cell, lengths: false, initial: false, bias: false }
  const full = { cell, lengths: true, initial: true, bias: true }
  check({ ...plain, sizes: [3, 2, 4, 5] })
  check({ ...full, sizes: [4, 9, 3, 5] })
  if (checks) continue
  // Units and columns around blocks of 256 and 32.
  check({ ...full, sizes: [2, 17, 2, 15] })
  check({ ...full, lengths: false, sizes: [2, 16, 2, 16] })
  check({ ...plain, lengths: true, initial: true, sizes: [2, 257, 1, 1] })
  check({ ...plain, bias: true, sizes: [1, 5, 1, 11] })
  // Steps with 4096 rows together, forward and backward.
  check({ ...full, sizes: [3, 2048, 1, 1] })
}
