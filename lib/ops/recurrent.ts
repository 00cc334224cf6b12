/** LSTM (Hochreiter and Schmidhuber, 1997), gates i, f, g, o as in PyTorch: one fused kernel a layer and direction. */
import { apply, checkDType, checkTensor, type TensorSpec } from '../autograd/operator.js'
import { empty, run } from '../backend/dispatch.js'
import { Faults, formatShape, kindOf, shown, ValueError } from '../core/errors.js'
import { checkGenerator, type Generator } from '../core/generator.js'
import { checkFlag, checkOptions, type OptionNames } from '../core/options.js'
import type { Tensor } from '../core/tensor.js'
import { checkProbability, floating, like } from './common.js'
import { zeros } from './creation.js'
import { dropout } from './dropout.js'
import { add, mul, sigmoid, tanh } from './elementwise/index.js'
import { linear } from './matmul.js'
import { kernel, operator } from './operator.js'
import { cat, select, split, stack, transpose, unsqueeze } from './shape/index.js'

interface LstmLayer {
  readonly reverse: boolean
}

/** Inputs of a layer in one direction: x [T, B, I], h0, c0 [B, H], wIh [4H, I], wHh [4H, H], bIh, bHh [4H]. */
type LayerInputs = [
  x: Tensor,
  h0: Tensor | null,
  c0: Tensor | null,
  wIh: Tensor,
  wHh: Tensor,
  bIh: Tensor | null,
  bHh: Tensor | null,
]

/** Results: all states [T, B, H], the last h and c [B, H]. Extra: activated gates and cells of all steps, if anything wants a gradient. */
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
  forward: kernel('lstm_forward', ([x, h0, c0, wIh, wHh, bIh, bHh], { reverse }, { out, hn, cn, gates, cells }) => ({
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
    reverse,
  })),
  composite([x, h0, c0, wIh, wHh, bIh, bHh], { reverse }) {
    const [steps = 0, batch = 0] = x.sizes
    const hidden = wHh.sizes[1] as number
    const start = () => zeros([batch, hidden], { dtype: x.dtype, device: x.device })
    let h: Tensor = h0 ?? start()
    let c: Tensor = c0 ?? start()
    const projected = linear(x, wIh, bIh)
    const states = new Array<Tensor>(steps)
    for (let k = 0; k < steps; k++) {
      const t = reverse ? steps - 1 - k : k
      const gates = add(select(projected, 0, t), linear(h, wHh, bHh))
      const [pi, pf, pg, po] = split(gates, [hidden, hidden, hidden, hidden], 1)
      const [i, f, g, o] = [sigmoid(pi), sigmoid(pf), tanh(pg), sigmoid(po)]
      c = add(mul(f, c), mul(i, g))
      h = mul(o, tanh(c))
      states[t] = h
    }
    const out = steps === 0 ? zeros([0, batch, hidden], { dtype: x.dtype, device: x.device }) : stack(states, 0)
    return [out, h, c]
  },
  gradient: {
    saves: () => ({ inputs: [0, 1, 2, 3, 4, 5, 6], outputs: [0, 3, 4] }),
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
        out: ctx.output(0),
        gates: ctx.output(3),
        cells: ctx.output(4),
        reverse: ctx.attrs.reverse,
      })
      return [dx, dh0, dc0, dwIh, dwHh, ctx.needs[5] ? dbias : null, ctx.needs[6] ? dbias : null]
    },
  },
})

/** The weights of one layer in one direction. */
export interface LstmWeights {
  readonly wIh: Tensor
  readonly wHh: Tensor
  readonly bIh: Tensor | null
  readonly bHh: Tensor | null
}

export interface LstmOptions {
  /** [h0, c0], each [layers * directions, B, H]; zeros if left out. */
  readonly initial?: readonly [Tensor, Tensor] | undefined
  /** x and the result are [B, T, ...] instead of [T, B, ...]. */
  readonly batchFirst?: boolean
  readonly bidirectional?: boolean
  /** Between layers, in training. */
  readonly dropout?: number
  readonly training?: boolean
  readonly generator?: Generator | undefined
}

const lstmNames: OptionNames<LstmOptions> = {
  initial: true,
  batchFirst: true,
  bidirectional: true,
  dropout: true,
  training: true,
  generator: true,
}

/** `given` is the whole sequence as the program gave it, which is to blame if the first layer's weights agree otherwise. */
function checkLayer(index: number, given: Tensor, { wIh, wHh, bIh, bHh }: LstmWeights, inputSize: number): void {
  const faults = new Faults()
  const hidden = wHh.sizes[1] ?? 0
  faults.check(
    wHh.ndim === 2 && wHh.sizes[0] === 4 * hidden,
    () => `layer ${index}: wHh must be [4 H, H], but is ${formatShape(wHh.sizes)}`,
  )
  const inputToBlame = index === 0 && wIh.ndim === 2 && wIh.sizes[0] === 4 * hidden
  faults.check(
    wIh.ndim === 2 && wIh.sizes[0] === 4 * hidden && wIh.sizes[1] === inputSize,
    inputToBlame
      ? () =>
          `x is ${formatShape(given.sizes)}, but the first layer takes ${wIh.sizes[1]} numbers a step ` +
          `(wIh is ${formatShape(wIh.sizes)}): the last size of x must be ${wIh.sizes[1]}`
      : () => `layer ${index}: wIh must be [${4 * hidden}, ${inputSize}], but is ${formatShape(wIh.sizes)}`,
  )
  for (const b of [bIh, bHh])
    faults.check(
      !b || (b.ndim === 1 && b.sizes[0] === 4 * hidden),
      () => `layer ${index}: a bias must be [${4 * hidden}], but is ${formatShape(b?.sizes ?? [])}`,
    )
  faults.throwShape('lstm', [given.sizes, wIh.sizes, wHh.sizes])
}

/**
 * Runs layers of weights (for each layer the forward direction, then the backward one) over a sequence x [T, B, I].
 * Returns the states of the last layer [T, B, directions * H] and the last [h, c] of every layer and direction.
 * A sequence without a batch, [T, I], works too. Throws ShapeError naming all misfits.
 */
export function lstm(
  x: Tensor,
  weights: readonly LstmWeights[],
  options: LstmOptions = {},
): { output: Tensor; state: [Tensor, Tensor] } {
  checkOptions('lstm', options, lstmNames)
  const { initial, batchFirst = false, bidirectional = false, dropout: p = 0, training = false, generator } = options
  checkTensor('lstm', 'x', x)
  checkDType('lstm', 'x', x, floating)
  for (const [name, flag] of [
    ['batchFirst', batchFirst],
    ['bidirectional', bidirectional],
    ['training', training],
  ] as const)
    checkFlag('lstm', name, flag)
  checkGenerator('lstm', generator)
  if (!Array.isArray(weights))
    throw new ValueError(
      'lstm',
      `the weights are ${kindOf(weights)}, but must be a list, one entry a layer and direction`,
    )
  checkProbability('lstm', p, 'dropout')
  if (initial !== undefined) {
    if (!Array.isArray(initial) || initial.length !== 2)
      throw new ValueError('lstm', `the initial state is ${shown(initial)}, but must be [h0, c0]`)
    checkTensor('lstm', 'h0', initial[0])
    checkTensor('lstm', 'c0', initial[1])
  }
  const directions = bidirectional ? 2 : 1
  if (weights.length === 0 || weights.length % directions !== 0)
    throw new ValueError('lstm', `${weights.length} sets of weights do not make layers of ${directions} directions`)
  const faults = new Faults()
  faults.check(
    x.ndim === 2 || x.ndim === 3,
    () => `x must be ${batchFirst ? '[B, T, I]' : '[T, B, I]'} or [T, I], but is ${formatShape(x.sizes)}`,
  )
  faults.throwShape('lstm', [x.sizes])
  for (const w of weights) for (const name of ['wIh', 'wHh'] as const) checkTensor('lstm', name, w?.[name])
  const single = x.ndim === 2
  const batchDim = single ? 1 : batchFirst ? 0 : 1
  let sequence = single ? unsqueeze(x, 1) : batchFirst ? transpose(x, 0, 1) : x
  const hidden = weights[0]?.wHh.sizes[1] ?? 0
  const state = initial?.map((s) => (single && s.ndim === 2 ? unsqueeze(s, 1) : s))
  const wanted = [weights.length, sequence.sizes[1] as number, hidden]
  for (const s of state ?? [])
    faults.check(
      formatShape(s.sizes) === formatShape(wanted),
      () => `an initial state is ${formatShape(s.sizes)}, but must be ${formatShape(wanted)}`,
    )
  faults.throwShape('lstm', [x.sizes])
  const last: [Tensor[], Tensor[]] = [[], []]
  for (let layer = 0; layer * directions < weights.length; layer++) {
    const outputs: Tensor[] = []
    for (let direction = 0; direction < directions; direction++) {
      const index = layer * directions + direction
      const w = weights[index] as LstmWeights
      checkLayer(layer, x, w, sequence.sizes[2] as number)
      const at = (s: Tensor | undefined) => (s ? select(s, 0, index) : null)
      const [out, hn, cn] = apply(lstmRecord, [sequence, at(state?.[0]), at(state?.[1]), w.wIh, w.wHh, w.bIh, w.bHh], {
        reverse: direction === 1,
      })
      outputs.push(out)
      last[0].push(hn)
      last[1].push(cn)
    }
    const [only] = outputs
    sequence = only !== undefined && outputs.length === 1 ? only : cat(outputs, 2)
    const more = (layer + 1) * directions < weights.length
    if (more && p > 0 && training) sequence = dropout(sequence, p, { training, generator })
  }
  const output = single ? select(sequence, batchDim, 0) : batchFirst ? transpose(sequence, 0, 1) : sequence
  const stacked = (states: readonly Tensor[]): Tensor => {
    const [only] = states
    const all = only !== undefined && states.length === 1 ? unsqueeze(only, 0) : stack(states, 0)
    return single ? select(all, 1, 0) : all
  }
  return { output, state: [stacked(last[0]), stacked(last[1])] }
}
