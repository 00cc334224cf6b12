/**
 * The common part of LSTM, GRU and RNN: layers in one or two directions over a sequence, and the checks of their
 * arguments.
 */
import { checkDType, checkTensor } from '../../autograd/operator.js'
import { Faults, formatShape, kindOf, namedAs, ValueError } from '../../core/errors.js'
import { checkGenerator, type Generator } from '../../core/generator.js'
import { checkFlag, type OptionNames } from '../../core/options.js'
import type { Tensor } from '../../core/tensor.js'
import { anyFloating, checkProbability } from '../common.js'
import { dropout } from '../dropout.js'
import { cat, select, transpose, unsqueeze } from '../shape/index.js'
import { checkLengths, type SequenceLengths, sequenceMask, withoutPadding } from './lengths.js'
import { entry, stacked } from './steps.js'
import { inFloat32 } from './wide.js'

/** The weights of one layer in one direction, of G gates: [G H, inputs], [G H, H], [G H], [G H]. */
export interface RecurrentWeights {
  readonly wIh: Tensor
  readonly wHh: Tensor
  readonly bIh: Tensor | null
  readonly bHh: Tensor | null
}

export interface RecurrentOptions {
  /**
   * The number of steps that count in each sequence. Default: all. Other steps give 0, and leave the state unchanged.
   */
  readonly lengths?: SequenceLengths | undefined
  /** Whether x and the result are [B, T, ...] instead of [T, B, ...]. Default false. */
  readonly batchFirst?: boolean
  readonly bidirectional?: boolean
  /** Dropout between layers, in training. Default 0. */
  readonly dropout?: number
  readonly training?: boolean
  readonly generator?: Generator | undefined
}

export const recurrentNames: OptionNames<RecurrentOptions> = {
  lengths: true,
  batchFirst: true,
  bidirectional: true,
  dropout: true,
  training: true,
  generator: true,
}

/** Inputs of a GRU's or RNN's layer in one direction: x [T, B, I], h0 [B, H], the weights, lengths [B]. */
export type LayerInputs = [
  x: Tensor,
  h0: Tensor | null,
  wIh: Tensor,
  wHh: Tensor,
  bIh: Tensor | null,
  bHh: Tensor | null,
  lengths: Tensor | null,
]

/** One layer in one direction. */
export interface Direction<W> {
  readonly weights: W
  readonly reverse: boolean
  /** [B] int32. */
  readonly lengths: Tensor | null
}

/**
 * A recurrence: its name, its number of gates, and how it runs a layer over x [T, B, I] from states [B, ...] (null for
 * zeros).
 */
export interface Recurrence<W extends RecurrentWeights> {
  readonly op: string
  readonly gates: number
  /** The names of the parts of a state. */
  readonly states: readonly string[]
  /** The sizes of the parts of a state. */
  sizes(weights: W): readonly number[]
  checkMore?(faults: Faults, layer: number, weights: W): void
  run(x: Tensor, states: readonly (Tensor | null)[], direction: Direction<W>): readonly Tensor[]
}

export interface Layers {
  readonly output: Tensor
  /** The parts of the state, each [layers * directions, B, ...]. */
  readonly states: readonly Tensor[]
}

/**
 * Checks a layer's weights. `given` is the sequence as the program gave it, which is to blame if the first layer's
 * weights otherwise agree.
 */
function checkLayer<W extends RecurrentWeights>(
  { op, gates, sizes, checkMore }: Recurrence<W>,
  index: number,
  given: Tensor,
  weights: W,
  inputSize: number,
): void {
  const { wIh, wHh, bIh, bHh } = weights
  const faults = new Faults()
  const [state = 0] = sizes(weights)
  const rows = gates * (sizes(weights).at(-1) ?? 0)
  const symbols = gates === 1 ? 'H' : `${gates} H`
  faults.check(
    wHh.ndim === 2 && wHh.sizes[0] === rows && wHh.sizes[1] === state,
    () => `layer ${index}: wHh must be [${symbols}, H], but is ${formatShape(wHh.sizes)}`,
  )
  const inputToBlame = index === 0 && wIh.ndim === 2 && wIh.sizes[0] === rows
  faults.check(
    wIh.ndim === 2 && wIh.sizes[0] === rows && wIh.sizes[1] === inputSize,
    inputToBlame
      ? () =>
          `x is ${formatShape(given.sizes)}, but the first layer takes ${wIh.sizes[1]} numbers a step ` +
          `(wIh is ${formatShape(wIh.sizes)}): the last size of x must be ${wIh.sizes[1]}`
      : () => `layer ${index}: wIh must be [${rows}, ${inputSize}], but is ${formatShape(wIh.sizes)}`,
  )
  for (const b of [bIh, bHh])
    faults.check(
      !b || (b.ndim === 1 && b.sizes[0] === rows),
      () => `layer ${index}: a bias must be [${rows}], but is ${formatShape(b?.sizes ?? [])}`,
    )
  checkMore?.(faults, index, weights)
  faults.throwShape(op, [given.sizes, wIh.sizes, wHh.sizes])
}

/** Checks everything that does not depend on sizes. Returns the options with their defaults. */
function checkCall<W extends RecurrentWeights>(
  { op, states }: Recurrence<W>,
  x: Tensor,
  weights: readonly W[],
  options: RecurrentOptions,
  initial: readonly Tensor[] | null,
) {
  const { batchFirst = false, bidirectional = false, dropout: p = 0, training = false, generator } = options
  checkTensor(op, 'x', x)
  checkDType(op, 'x', x, anyFloating)
  for (const [name, flag] of Object.entries({ batchFirst, bidirectional, training })) checkFlag(op, name, flag)
  checkGenerator(op, generator)
  if (!Array.isArray(weights))
    throw new ValueError(
      op,
      `the weights are ${kindOf(weights)}, but must be a list with one entry for each layer and direction`,
    )
  checkProbability(op, p, 'dropout')
  for (const [i, state] of (initial ?? []).entries()) checkTensor(op, states[i] ?? 'the state', state)
  const directions = bidirectional ? 2 : 1
  if (weights.length === 0 || weights.length % directions !== 0)
    throw new ValueError(op, `${weights.length} sets of weights do not divide into layers of ${directions} directions`)
  const faults = new Faults()
  faults.check(
    x.ndim === 2 || x.ndim === 3,
    () => `x must be ${batchFirst ? '[B, T, I]' : '[T, B, I]'} or [T, I], but is ${formatShape(x.sizes)}`,
  )
  faults.throwShape(op, [x.sizes])
  for (const w of weights) for (const name of ['wIh', 'wHh'] as const) checkTensor(op, name, w?.[name])
  return { batchFirst, directions, p, training, generator }
}

/** The parts of the initial state as [layers * directions, B, ...], or none. */
function checkInitial<W extends RecurrentWeights>(
  { op, sizes }: Recurrence<W>,
  initial: readonly Tensor[] | null,
  weights: readonly W[],
  x: Tensor,
  batch: number,
): readonly Tensor[] {
  const faults = new Faults()
  const first = weights[0] as W
  const states = (initial ?? []).map((s) => (x.ndim === 2 && s.ndim === 2 ? unsqueeze(s, 1) : s))
  for (const [i, s] of states.entries()) {
    const wanted = [weights.length, batch, sizes(first)[i] ?? 0]
    faults.check(
      formatShape(s.sizes) === formatShape(wanted),
      () => `an initial state is ${formatShape(s.sizes)}, but must be ${formatShape(wanted)}`,
    )
  }
  faults.throwShape(op, [x.sizes])
  return states
}

/** Runs layers of weights (for each layer the forward direction, then the backward one) over a sequence. */
export function runLayers<W extends RecurrentWeights>(
  recurrence: Recurrence<W>,
  x: Tensor,
  weights: readonly W[],
  options: RecurrentOptions,
  initial: readonly Tensor[] | null,
): Layers {
  const { op } = recurrence
  const { batchFirst, directions, p, training, generator } = checkCall(recurrence, x, weights, options, initial)
  const single = x.ndim === 2
  let sequence = single ? unsqueeze(x, 1) : batchFirst ? transpose(x, 0, 1) : x
  const [steps = 0, batch = 0] = sequence.sizes
  const states = checkInitial(recurrence, initial, weights, x, batch)
  if (single && options.lengths !== undefined)
    throw new ValueError(
      op,
      `x is ${formatShape(x.sizes)}, a single sequence, whose steps all count; leave lengths out`,
    )
  const lengths = checkLengths(op, options.lengths, [steps, batch], x.device)
  if (lengths !== null)
    sequence = withoutPadding(
      sequence,
      namedAs(op, () => sequenceMask(lengths, steps)),
    )
  const last = recurrence.states.map((): Tensor[] => [])
  for (let layer = 0; layer * directions < weights.length; layer++) {
    const outputs: Tensor[] = []
    for (let direction = 0; direction < directions; direction++) {
      const index = layer * directions + direction
      const w = weights[index] as W
      checkLayer(recurrence, layer, x, w, sequence.sizes[2] as number)
      const before = recurrence.states.map((_, i) => (states[i] ? select(states[i], 0, index) : null))
      const made = inFloat32(sequence, before, w, (wide, states, weights) =>
        recurrence.run(wide, states, { weights, reverse: direction === 1, lengths }),
      )
      outputs.push(entry(made, 0))
      for (const [i, parts] of last.entries()) parts.push(entry(made, i + 1))
    }
    const [only] = outputs
    sequence = only !== undefined && outputs.length === 1 ? only : cat(outputs, 2)
    const more = (layer + 1) * directions < weights.length
    if (more && p > 0 && training) sequence = dropout(sequence, p, { training, generator })
  }
  const output = single ? select(sequence, 1, 0) : batchFirst ? transpose(sequence, 0, 1) : sequence
  const all = last.map((parts) => (single ? select(stacked(parts), 1, 0) : stacked(parts)))
  return { output, states: all }
}
