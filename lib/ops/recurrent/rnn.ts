/** RNN (Elman, 1990), whose state is a function of the input and of the previous state. */
import { apply, type TensorSpec } from '../../autograd/operator.js'
import { checkOptions, type OptionNames } from '../../core/options.js'
import type { Tensor } from '../../core/tensor.js'
import { like } from '../common.js'
import { kernel, operator } from '../operator.js'
import { checkNonlinearity, type Nonlinearity, rnnSteps, walkLayer } from './cell-steps.js'
import {
  type LayerInputs,
  type Recurrence,
  type RecurrentOptions,
  type RecurrentWeights,
  recurrentNames,
  runLayers,
} from './layers.js'
import { entry, two } from './steps.js'

interface RnnLayer {
  readonly nonlinearity: Nonlinearity
  readonly reverse: boolean
}

const sizes = ({ wHh }: RecurrentWeights): readonly number[] => [wHh.sizes[1] ?? 0]

/** Results: all states [T, B, H], the last h [B, H]. */
const rnnRecord = operator<LayerInputs, RnnLayer, [out: Tensor, hn: Tensor]>({
  name: 'rnn',
  outputs: 2,
  infer([x, , , wHh]) {
    const [t = 0, b = 0] = x.sizes
    const h = wHh.sizes[1] ?? 0
    const spec = (...shape: number[]): TensorSpec => like(x, shape)
    return [spec(t, b, h), spec(b, h)]
  },
  forward: kernel('rnn_forward', ([x, h0, wIh, wHh, bIh, bHh, lengths], { nonlinearity, reverse }, { out, hn }) => ({
    out,
    hn,
    x,
    h0,
    wIh,
    wHh,
    bIh,
    bHh,
    lengths,
    relu: nonlinearity === 'relu',
    reverse,
  })),
  composite([x, h0, wIh, wHh, bIh, bHh, lengths], { nonlinearity, reverse }) {
    const direction = { weights: { wIh, wHh, bIh, bHh }, reverse, lengths }
    return two(walkLayer(x, [h0], sizes(direction.weights), direction, rnnSteps[nonlinearity]))
  },
  gradient: {
    saves: () => ({ inputs: [0, 1, 2, 3, 4, 5, 6], outputs: [0] }),
    backward: kernel('rnn_backward', (ctx, [dy, dhn], { dx, dh0, dwIh, dwHh, dbIh, dbHh }) => ({
      dx,
      dh0,
      dwIh,
      dwHh,
      dbIh,
      dbHh,
      dy,
      dhn,
      x: ctx.input(0),
      h0: ctx.input(1),
      wIh: ctx.input(2),
      wHh: ctx.input(3),
      lengths: ctx.input(6),
      out: ctx.output(0),
      relu: ctx.attrs.nonlinearity === 'relu',
      reverse: ctx.attrs.reverse,
    })),
  },
})

export interface RnnOptions extends RecurrentOptions {
  /** The initial state h0 [layers * directions, B, H]; zeros if left out. */
  readonly initial?: Tensor | undefined
  /** Default tanh. */
  readonly nonlinearity?: Nonlinearity
}

const rnnNames: OptionNames<RnnOptions> = { initial: true, nonlinearity: true, ...recurrentNames }

const recurrence = (nonlinearity: Nonlinearity): Recurrence<RecurrentWeights> => ({
  op: 'rnn',
  gates: 1,
  states: ['h0'],
  sizes,
  run: (x, [h0 = null], { weights: { wIh, wHh, bIh, bHh }, reverse, lengths }) =>
    apply(rnnRecord, [x, h0, wIh, wHh, bIh, bHh, lengths], { nonlinearity, reverse }),
})

/**
 * Runs layers of weights (for each layer the forward direction, then the backward one) over a sequence x [T, B, I]: h =
 * tanh(x wIh^T + bIh + h' wHh^T + bHh), or relu of it. Returns the states of the last layer [T, B, directions * H] and
 * the last h of every layer and direction [layers * directions, B, H]. A sequence without a batch, [T, I], works too.
 * `lengths` are those of `lstm`. Throws a ShapeError that names all misfits.
 */
export function rnn(
  x: Tensor,
  weights: readonly RecurrentWeights[],
  options: RnnOptions = {},
): { output: Tensor; state: Tensor } {
  checkOptions('rnn', options, rnnNames)
  const { initial, nonlinearity = 'tanh' } = options
  checkNonlinearity('rnn', nonlinearity)
  const given = initial === undefined ? null : [initial]
  const { output, states } = runLayers(recurrence(nonlinearity), x, weights, options, given)
  return { output, state: entry(states, 0) }
}
