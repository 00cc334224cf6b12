import * as f from '../../lib/index.js'
import { type Case, type ErrorCase, type Input, normal } from './case.js'
import { type PublicCall, sound, t } from './sound.js'
import type { ZeroSizes } from './zero.js'

interface Lstm {
  readonly name: string
  readonly steps: number
  readonly batch: number
  readonly input: number
  readonly hidden: number
  readonly layers?: number
  readonly bidirectional?: boolean
  readonly batchFirst?: boolean
  readonly initial?: boolean
  readonly bias?: boolean
}

const networks: readonly Lstm[] = [
  { name: 'one step of one number', steps: 1, batch: 1, input: 1, hidden: 1 },
  { name: 'ragged', steps: 3, batch: 5, input: 7, hidden: 9, initial: true },
  { name: 'without biases', steps: 3, batch: 2, input: 3, hidden: 4, bias: false },
  {
    name: 'both directions, two layers',
    steps: 4,
    batch: 3,
    input: 5,
    hidden: 6,
    layers: 2,
    bidirectional: true,
    initial: true,
  },
  { name: 'batch first', steps: 4, batch: 3, input: 5, hidden: 6, batchFirst: true },
  { name: 'no batch at all', steps: 3, batch: 0, input: 2, hidden: 3 },
  { name: 'larger than a block', steps: 7, batch: 33, input: 31, hidden: 70 },
]

function caseOf({ name, steps, batch, input, hidden, layers = 1, bidirectional = false, ...more }: Lstm): Case {
  const { batchFirst = false, initial = false, bias = true } = more
  const directions = bidirectional ? 2 : 1
  const sets = layers * directions
  const x = normal(batchFirst ? [batch, steps, input] : [steps, batch, input])
  const states = initial ? [normal([sets, batch, hidden]), normal([sets, batch, hidden])] : []
  const weights: Input[] = []
  for (let i = 0; i < sets; i++) {
    const size = i < directions ? input : directions * hidden
    weights.push(normal([4 * hidden, size], 0.3), normal([4 * hidden, hidden], 0.3))
    if (bias) weights.push(normal([4 * hidden], 0.3), normal([4 * hidden], 0.3))
  }
  return {
    op: 'lstm',
    name,
    inputs: [x, ...states, ...weights],
    call(first, ...rest) {
      const given = initial ? ([rest[0], rest[1]] as [f.Tensor, f.Tensor]) : undefined
      const all = rest.slice(states.length)
      const per = bias ? 4 : 2
      const sets = Array.from({ length: all.length / per }, (_, i) => ({
        wIh: all[i * per] as f.Tensor,
        wHh: all[i * per + 1] as f.Tensor,
        bIh: all[i * per + 2] && bias ? (all[i * per + 2] as f.Tensor) : null,
        bHh: all[i * per + 3] && bias ? (all[i * per + 3] as f.Tensor) : null,
      }))
      const { output, state } = f.lstm(first as f.Tensor, sets, { initial: given, batchFirst, bidirectional })
      return [output, ...state]
    },
    // Through every step and layer, the sums of one step feed those of the next.
    length: layers * steps * (input + hidden * 4 + batch),
    roundings: 16 * steps * layers,
  }
}

export const cases: readonly Case[] = [
  ...networks.map(caseOf),
  {
    op: 'lstm',
    name: 'only the last state goes on',
    inputs: [normal([3, 2, 4]), normal([12, 4], 0.3), normal([12, 3], 0.3)],
    call: (x, wIh, wHh) =>
      f.lstm(x as f.Tensor, [{ wIh: wIh as f.Tensor, wHh: wHh as f.Tensor, bIh: null, bHh: null }]).state[0],
    length: 60,
    roundings: 48,
  },
  {
    op: 'lstm',
    name: 'a sequence without a batch',
    inputs: [normal([3, 4]), normal([12, 4], 0.3), normal([12, 3], 0.3)],
    call: (x, wIh, wHh) =>
      f.lstm(x as f.Tensor, [{ wIh: wIh as f.Tensor, wHh: wHh as f.Tensor, bIh: null, bHh: null }]).output,
    length: 60,
    roundings: 48,
  },
]

const good = { wIh: normal([12, 4]), wHh: normal([12, 3]) }

export const errors: readonly ErrorCase[] = [
  {
    op: 'lstm',
    name: 'all that does not fit, at once',
    code: 'ERR_SHAPE',
    mentions: ['x is [3, 2, 5]', '[12, 4]', 'must be 4', '[7]'],
    call: (make) =>
      f.lstm(make(normal([3, 2, 5])), [{ wIh: make(good.wIh), wHh: make(good.wHh), bIh: make(normal([7])), bHh: null }])
        .output,
  },
  {
    op: 'lstm',
    name: 'no weights',
    code: 'ERR_VALUE',
    mentions: ['0'],
    call: (make) => f.lstm(make(normal([3, 2, 5])), []).output,
  },
  {
    op: 'lstm',
    name: 'an initial state of another size',
    code: 'ERR_SHAPE',
    mentions: ['[1, 2, 4]', '[1, 2, 3]'],
    call: (make) =>
      f.lstm(make(normal([3, 2, 4])), [{ wIh: make(good.wIh), wHh: make(good.wHh), bIh: null, bHh: null }], {
        initial: [make(normal([1, 2, 4])), make(normal([1, 2, 3]))],
      }).output,
  },
  {
    op: 'lstm',
    name: 'dropout NaN',
    code: 'ERR_VALUE',
    mentions: ['NaN', 'dropout'],
    call: (make) =>
      f.lstm(make(normal([3, 2, 4])), [{ wIh: make(good.wIh), wHh: make(good.wHh), bIh: null, bHh: null }], {
        dropout: Number.NaN,
        training: true,
      }).output,
  },
]

export const calls: readonly PublicCall[] = [
  sound('lstm', f.lstm, () => [
    t(3, 2, 4),
    [{ wIh: t(12, 4), wHh: t(12, 3), bIh: t(12), bHh: t(12) }],
    { batchFirst: false, bidirectional: false, training: true, dropout: 0, initial: [t(1, 2, 3), t(1, 2, 3)] },
  ]),
]

export const zeroSizes: { readonly [call: string]: ZeroSizes } = {
  lstm: {
    sizes: { t: 3, b: 2, i: 4, h: 5 },
    inputs: ({ t = 0, b = 0, i = 0, h = 0 }) => [
      normal([t, b, i]),
      normal([4 * h, i]),
      normal([4 * h, h]),
      normal([4 * h]),
      normal([4 * h]),
    ],
    call: ([x, wIh, wHh, bIh, bHh]) => {
      const { output, state } = f.lstm(x as f.Tensor, [{ wIh, wHh, bIh, bHh } as f.LstmWeights])
      return [output, ...state]
    },
  },
}
