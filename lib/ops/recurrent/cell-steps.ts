/**
 * The steps of LSTM, GRU and RNN by operators, and one layer of them in one direction, of which cells and composites
 * are made.
 */
import { autocastDType, withAutocast } from '../../autograd/autocast.js'
import { shown, ValueError } from '../../core/errors.js'
import type { Tensor } from '../../core/tensor.js'
import { precise } from '../convert.js'
import { zeros } from '../creation.js'
import { add, mul, relu, sigmoid, sub, tanh } from '../elementwise/index.js'
import { linear } from '../matmul.js'
import { split } from '../shape/index.js'
import type { Direction, RecurrentWeights } from './layers.js'
import { sequenceMask } from './lengths.js'
import { entry, partsOf, three, two, walkSteps } from './steps.js'

/**
 * Runs a recurrence under autocast in float32 as a whole, as the fused layers do, because a state's roundings add up
 * over time.
 */
export function asOne<R>(fn: () => R): R {
  return autocastDType() === null ? fn() : withAutocast('float32', fn)
}

/**
 * Computes the state after a step from `input`, x's part of the gates [B, G H], and the state before. h comes first.
 */
export type Step<W> = (input: Tensor, state: readonly Tensor[], weights: W) => readonly Tensor[]

/** The weights of an LSTM's step; see LstmWeights. */
interface Projected extends RecurrentWeights {
  readonly wHr?: Tensor | null
}

const gatesOf = (x: Tensor, count: number): readonly Tensor[] =>
  split(x, new Array(count).fill((x.sizes[1] ?? 0) / count), 1)

export const lstmStep: Step<Projected> = (input, state, { wHh, bHh, wHr }) => {
  const [h, c] = two(state)
  const gates = gatesOf(add(input, linear(h, wHh, bHh)), 4)
  const [[i, f, g], o] = [three(gates), entry(gates, 3)]
  const cell = add(mul(sigmoid(f), c), mul(sigmoid(i), tanh(g)))
  const hidden = mul(sigmoid(o), tanh(cell))
  return [wHr ? linear(hidden, wHr) : hidden, cell]
}

export const gruStep: Step<RecurrentWeights> = (input, state, { wHh, bHh }) => {
  const before = entry(state, 0)
  const [xr, xz, xn] = three(gatesOf(input, 3))
  const [hr, hz, hn] = three(gatesOf(linear(before, wHh, bHh), 3))
  const candidate = tanh(add(xn, mul(sigmoid(add(xr, hr)), hn)))
  return [add(candidate, mul(sigmoid(add(xz, hz)), sub(before, candidate)))]
}

const rnnStep =
  (activation: (x: Tensor) => Tensor): Step<RecurrentWeights> =>
  (input, state, { wHh, bHh }) => [activation(add(input, linear(entry(state, 0), wHh, bHh)))]

/** The function with which an RNN makes its state. */
export type Nonlinearity = 'tanh' | 'relu'

export function checkNonlinearity(op: string, value: unknown): void {
  if (value !== 'tanh' && value !== 'relu')
    throw new ValueError(op, `nonlinearity is ${shown(value)}, but must be 'tanh' or 'relu'`)
}

export const rnnSteps: { readonly [N in Nonlinearity]: Step<RecurrentWeights> } = {
  tanh: rnnStep(tanh),
  relu: rnnStep(relu),
}

/**
 * Runs one layer in one direction over x [T, B, I]. Returns all outputs, and each part of the last state; `sizes` are
 * the sizes of the parts.
 */
export function walkLayer<W extends RecurrentWeights>(
  given: Tensor,
  states: readonly (Tensor | null)[],
  sizes: readonly number[],
  { weights, reverse, lengths }: Direction<W>,
  step: Step<W>,
): readonly Tensor[] {
  const x = precise(given)
  const [steps = 0, batch = 0] = x.sizes
  const { dtype, device } = x
  const initial = sizes.map((size, i) => {
    const state = states[i]
    return state ? precise(state) : zeros([batch, size], { dtype, device })
  })
  if (steps === 0) return [zeros([0, batch, sizes[0] ?? 0], { dtype, device }), ...initial]
  return asOne(() => {
    const inputs = partsOf(linear(x, weights.wIh, weights.bIh))
    const mask = lengths === null ? null : sequenceMask(lengths, steps)
    const walk = { reverse, truncate: Number.POSITIVE_INFINITY, mask }
    const { output, state } = walkSteps(steps, initial, walk, (time, before) => {
      const after = step(entry(inputs, time), before, weights)
      return { output: entry(after, 0), state: after }
    })
    return [output, ...state]
  })
}
