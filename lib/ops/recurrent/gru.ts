/** GRU (Cho et al., 2014) in the form of PyTorch and cuDNN: gates r, z, n, where r multiplies the state's part of n. */
import { apply, type TensorSpec } from '../../autograd/operator.js'
import { checkOptions, type OptionNames } from '../../core/options.js'
import type { Tensor } from '../../core/tensor.js'
import { like } from '../common.js'
import { kernel, operator } from '../operator.js'
import { gruStep, walkLayer } from './cell-steps.js'
import {
  type LayerInputs,
  type Recurrence,
  type RecurrentOptions,
  type RecurrentWeights,
  recurrentNames,
  runLayers,
} from './layers.js'
import { entry, two } from './steps.js'

const sizes = ({ wHh }: RecurrentWeights): readonly number[] => [wHh.sizes[1] ?? 0]

/** Results: all states [T, B, H], the last h [B, H]. Extra: the gates at all steps, if anything wants a gradient. */
const gruRecord = operator<
  LayerInputs,
  { readonly reverse: boolean },
  [out: Tensor, hn: Tensor],
  [gates: Tensor | null]
>({
  name: 'gru',
  outputs: 2,
  infer([x, , , wHh]) {
    const [t = 0, b = 0] = x.sizes
    const h = wHh.sizes[1] ?? 0
    const spec = (...shape: number[]): TensorSpec => like(x, shape)
    return [spec(t, b, h), spec(b, h), spec(t, b, 4 * h)]
  },
  forward: kernel('gru_forward', ([x, h0, wIh, wHh, bIh, bHh, lengths], { reverse }, { out, hn, gates }) => ({
    out,
    hn,
    gates,
    x,
    h0,
    wIh,
    wHh,
    bIh,
    bHh,
    lengths,
    reverse,
  })),
  composite([x, h0, wIh, wHh, bIh, bHh, lengths], { reverse }) {
    const direction = { weights: { wIh, wHh, bIh, bHh }, reverse, lengths }
    return two(walkLayer(x, [h0], sizes(direction.weights), direction, gruStep))
  },
  gradient: {
    saves: () => ({ inputs: [0, 1, 2, 3, 4, 5, 6], outputs: [0, 2] }),
    backward: kernel('gru_backward', (ctx, [dy, dhn], { dx, dh0, dwIh, dwHh, dbIh, dbHh }) => ({
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
      gates: ctx.output(2),
      reverse: ctx.attrs.reverse,
    })),
  },
})

export interface GruOptions extends RecurrentOptions {
  /** The initial state h0 [layers * directions, B, H]; zeros if left out. */
  readonly initial?: Tensor | undefined
}

const gruNames: OptionNames<GruOptions> = { initial: true, ...recurrentNames }

const recurrence: Recurrence<RecurrentWeights> = {
  op: 'gru',
  gates: 3,
  states: ['h0'],
  sizes,
  run: (x, [h0 = null], { weights: { wIh, wHh, bIh, bHh }, reverse, lengths }) =>
    apply(gruRecord, [x, h0, wIh, wHh, bIh, bHh, lengths], { reverse }),
}

/**
 * Runs layers of weights (for each layer the forward direction, then the backward one) over a sequence x [T, B, I]:
 *
 * r, z = sigmoid(x wIh^T + bIh + h' wHh^T + bHh) n = tanh(x wIn^T + bIn + r (h' wHn^T + bHn)) h = (1 - z) n + z h'
 *
 * Rows of the weights are in the order r, z, n. Returns the states of the last layer [T, B, directions * H] and the
 * last h of every layer and direction [layers * directions, B, H]. A sequence without a batch, [T, I], works too.
 * `lengths` are those of `lstm`. Throws a ShapeError that names all misfits.
 */
export function gru(
  x: Tensor,
  weights: readonly RecurrentWeights[],
  options: GruOptions = {},
): { output: Tensor; state: Tensor } {
  checkOptions('gru', options, gruNames)
  const { initial } = options
  const { output, states } = runLayers(recurrence, x, weights, options, initial === undefined ? null : [initial])
  return { output, state: entry(states, 0) }
}
