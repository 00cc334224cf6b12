/**
 * LSTM (Hochreiter and Schmidhuber, 1997) with gates i, f, g, o as in PyTorch: one fused kernel per layer and
 * direction.
 */
import { apply, checkTensor, type TensorSpec } from '../../autograd/operator.js'
import { empty, run } from '../../backend/dispatch.js'
import { formatShape, shown, ValueError } from '../../core/errors.js'
import { checkOptions, type OptionNames } from '../../core/options.js'
import type { Tensor } from '../../core/tensor.js'
import { like } from '../common.js'
import { kernel, operator } from '../operator.js'
import { lstmStep, walkLayer } from './cell-steps.js'
import {
  type Direction,
  type Recurrence,
  type RecurrentOptions,
  type RecurrentWeights,
  recurrentNames,
  runLayers,
} from './layers.js'
import { three, two } from './steps.js'

interface LstmLayer {
  readonly reverse: boolean
}

/**
 * Inputs of a layer in one direction: x [T, B, I], h0, c0 [B, H], wIh [4H, I], wHh [4H, H], bIh, bHh [4H], lengths [B].
 */
type LayerInputs = [
  x: Tensor,
  h0: Tensor | null,
  c0: Tensor | null,
  wIh: Tensor,
  wHh: Tensor,
  bIh: Tensor | null,
  bHh: Tensor | null,
  lengths: Tensor | null,
]

/**
 * Results: all states [T, B, H], the last h and c [B, H]. Extra: activated gates and cells of all steps, if anything
 * wants a gradient.
 */
const lstmRecord = operator<
  LayerInputs,
  LstmLayer,
  [out: Tensor, hn: Tensor, cn: Tensor],
  [gates: Tensor | null, cells: Tensor | null]
>({
  name: 'lstm',
  outputs: 3,
  infer([x, , , , wHh]) {
    const [t = 0, b = 0] = x.sizes
    const h = wHh.sizes[1] ?? 0
    const spec = (...shape: number[]): TensorSpec => like(x, shape)
    return [spec(t, b, h), spec(b, h), spec(b, h), spec(t, b, 4 * h), spec(t, b, h)]
  },
  forward: kernel(
    'lstm_forward',
    ([x, h0, c0, wIh, wHh, bIh, bHh, lengths], { reverse }, { out, hn, cn, gates, cells }) => ({
      out,
      hn,
      cn,
      gates,
      cells,
      x,
      h0,
      c0,
      wIh,
      wHh,
      bIh,
      bHh,
      lengths,
      reverse,
    }),
  ),
  composite([x, h0, c0, wIh, wHh, bIh, bHh, lengths], { reverse }) {
    return three(lstmLayer(x, [h0, c0], { weights: { wIh, wHh, bIh, bHh }, reverse, lengths }))
  },
  gradient: {
    saves: () => ({ inputs: [0, 1, 2, 3, 4, 5, 6, 7], outputs: [0, 3, 4] }),
    fused: true,
    kernels: ['lstm_backward'],
    backward(ctx, [dy, dhn, dcn]) {
      const x = ctx.input(0)
      const wanted = (i: number) => {
        const { shape, dtype } = ctx.spec(i)
        return ctx.needs[i] ? empty(x.device, shape, dtype, 'lstm backward') : null
      }
      const [dx, dh0, dc0, dwIh, dwHh] = [wanted(0), wanted(1), wanted(2), wanted(3), wanted(4)]
      // Both biases have the same gradient.
      const dbias = wanted(5) ?? wanted(6)
      run('lstm_backward', {
        dx,
        dh0,
        dc0,
        dwIh,
        dwHh,
        dbias,
        dy,
        dhn,
        dcn,
        x,
        h0: ctx.input(1),
        c0: ctx.input(2),
        wIh: ctx.input(3),
        wHh: ctx.input(4),
        lengths: ctx.input(7),
        out: ctx.output(0),
        gates: ctx.output(3),
        cells: ctx.output(4),
        reverse: ctx.attrs.reverse,
      })
      return [dx, dh0, dc0, dwIh, dwHh, ctx.needs[5] ? dbias : null, ctx.needs[6] ? dbias : null, null]
    },
  },
})

/** The weights of one layer in one direction. */
export interface LstmWeights extends RecurrentWeights {
  /** The projection [P, H]: h is its product with o tanh(c), of P numbers, and wHh is [4 H, P]. */
  readonly wHr?: Tensor | null
}

export interface LstmOptions extends RecurrentOptions {
  /** The initial state [h0, c0], each [layers * directions, B, H]; zeros if left out. */
  readonly initial?: readonly [Tensor, Tensor] | undefined
}

const lstmNames: OptionNames<LstmOptions> = { initial: true, ...recurrentNames }

/** One layer by operators. */
function lstmLayer(
  x: Tensor,
  states: readonly (Tensor | null)[],
  direction: Direction<LstmWeights>,
): readonly Tensor[] {
  return walkLayer(x, states, lstmSizes(direction.weights), direction, lstmStep)
}

const lstmSizes = ({ wHh, wHr }: LstmWeights): readonly [number, number] => [
  wHh.sizes[1] ?? 0,
  (wHr ? wHr.sizes[1] : wHh.sizes[1]) ?? 0,
]

const recurrence: Recurrence<LstmWeights> = {
  op: 'lstm',
  gates: 4,
  states: ['h0', 'c0'],
  sizes: lstmSizes,
  checkMore(faults, layer, { wHh, wHr }) {
    if (!wHr) return
    checkTensor('lstm', 'wHr', wHr)
    faults.check(
      wHr.ndim === 2 && wHr.sizes[0] === wHh.sizes[1],
      () => `layer ${layer}: wHr must be [${wHh.sizes[1]}, H], but is ${formatShape(wHr.sizes)}`,
    )
  },
  run(x, states, direction) {
    const { weights, reverse, lengths } = direction
    if (weights.wHr) return lstmLayer(x, states, direction)
    const { wIh, wHh, bIh, bHh } = weights
    return apply(lstmRecord, [x, states[0] ?? null, states[1] ?? null, wIh, wHh, bIh, bHh, lengths], { reverse })
  },
}

/**
 * Runs layers of weights (for each layer the forward direction, then the backward one) over a sequence x [T, B, I].
 * Returns the states of the last layer [T, B, directions * H] and the last [h, c] of every layer and direction. A
 * sequence without a batch, [T, I], works too. `lengths` ends each sequence, as with PyTorch's packed sequences. Later
 * steps give 0 and leave its state unchanged, and the backward direction begins at its own last step. If the weights
 * have `wHr`, h has as many numbers as wHr has rows. Throws a ShapeError that names all misfits.
 */
export function lstm(
  x: Tensor,
  weights: readonly LstmWeights[],
  options: LstmOptions = {},
): { output: Tensor; state: [Tensor, Tensor] } {
  checkOptions('lstm', options, lstmNames)
  const { initial } = options
  if (initial !== undefined && (!Array.isArray(initial) || initial.length !== 2))
    throw new ValueError('lstm', `the initial state is ${shown(initial)}, but must be [h0, c0]`)
  const { output, states } = runLayers(recurrence, x, weights, options, initial ?? null)
  return { output, state: two(states) }
}
