import * as f from '../../lib/index.js'
import { type Case, call, type ErrorCase, exactly, type Input, normal } from './case.js'
import { type PublicCall, sound, t } from './sound.js'
import type { ZeroSizes } from './zero.js'

export { layers } from './recurrent-layers.js'

type Op = 'lstm' | 'gru' | 'rnn'

const gatesOf = { lstm: 4, gru: 3, rnn: 1 } as const

interface Network {
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
  readonly lengths?: readonly number[] | 'tensor'
  readonly relu?: boolean
  readonly projection?: number
}

const networks: readonly Network[] = [
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
  {
    name: 'lengths, both directions, two layers, a state',
    steps: 3,
    batch: 3,
    input: 2,
    hidden: 3,
    layers: 2,
    bidirectional: true,
    initial: true,
    lengths: [2, 3, 1],
  },
  {
    name: 'lengths in a tensor, batch first',
    steps: 3,
    batch: 2,
    input: 3,
    hidden: 2,
    bidirectional: true,
    batchFirst: true,
    lengths: 'tensor',
  },
  {
    name: 'lengths, larger than a block',
    steps: 5,
    batch: 33,
    input: 17,
    hidden: 67,
    bidirectional: true,
    initial: true,
    lengths: Array.from({ length: 33 }, (_, i) => 1 + (i % 5)),
  },
]

const only: { readonly [O in Op]: readonly Network[] } = {
  lstm: [
    { name: 'a projection', steps: 3, batch: 2, input: 3, hidden: 5, projection: 2, initial: true },
    {
      name: 'a projection, both directions, two layers, lengths',
      steps: 2,
      batch: 2,
      input: 2,
      hidden: 3,
      layers: 2,
      bidirectional: true,
      projection: 2,
      lengths: [2, 1],
      bias: false,
    },
  ],
  gru: [],
  rnn: [
    { name: 'relu', steps: 3, batch: 4, input: 5, hidden: 6, initial: true, relu: true, bidirectional: true },
    { name: 'relu with lengths', steps: 3, batch: 3, input: 5, hidden: 4, relu: true, lengths: [3, 1, 2] },
  ],
}

interface Weights {
  readonly wIh: f.Tensor
  readonly wHh: f.Tensor
  readonly bIh: f.Tensor | null
  readonly bHh: f.Tensor | null
  readonly wHr: f.Tensor | null
}

/** The functions without the types of their states. */
const run = f as unknown as {
  readonly [O in Op]: (
    x: f.Tensor,
    weights: readonly Weights[],
    options: object,
  ) => { readonly output: f.Tensor; readonly state: f.Tensor | readonly f.Tensor[] }
}

function caseOf(
  op: Op,
  { name, steps, batch, input, hidden, layers = 1, bidirectional = false, ...more }: Network,
): Case {
  const { batchFirst = false, initial = false, bias = true, lengths, relu = false, projection } = more
  const directions = bidirectional ? 2 : 1
  const count = layers * directions
  const rows = gatesOf[op] * hidden
  const state = projection ?? hidden
  const x = normal(batchFirst ? [batch, steps, input] : [steps, batch, input])
  const sizes = op === 'lstm' ? [state, hidden] : [state]
  const states = initial ? sizes.map((size) => normal([count, batch, size])) : []
  const given = lengths === 'tensor' ? [exactly([batch], 'int32', [3, 1])] : []
  const weights: Input[] = []
  for (let i = 0; i < count; i++) {
    weights.push(normal([rows, i < directions ? input : directions * state], 0.3), normal([rows, state], 0.3))
    if (bias) weights.push(normal([rows], 0.3), normal([rows], 0.3))
    if (projection !== undefined) weights.push(normal([projection, hidden], 0.5))
  }
  return {
    op,
    name,
    inputs: [x, ...states, ...given, ...weights],
    call(first, ...rest) {
      const [s, l] = [states.length, states.length + given.length]
      const all = rest.slice(l)
      const per = weights.length / count
      const sets = Array.from({ length: count }, (_, i): Weights => {
        const [wIh, wHh, ...others] = all.slice(i * per, (i + 1) * per)
        const [bIh, bHh] = bias ? others : []
        return {
          wIh: wIh as f.Tensor,
          wHh: wHh as f.Tensor,
          bIh: bIh ?? null,
          bHh: bHh ?? null,
          wHr: projection === undefined ? null : (others.at(-1) ?? null),
        }
      })
      const parts = rest.slice(0, s)
      const made = run[op](first as f.Tensor, sets, {
        initial: s === 0 ? undefined : op === 'lstm' ? parts : parts[0],
        lengths: lengths === 'tensor' ? rest[s] : lengths,
        batchFirst,
        bidirectional,
        ...(relu ? { nonlinearity: 'relu' } : {}),
      })
      return [made.output, ...[made.state].flat()]
    },
    // The sums of one step feed those of the next, through every step and layer.
    length: layers * steps * (input + hidden * 4 + batch),
    roundings: 16 * steps * layers,
    ...(relu ? { without: { 'finite differences': 'a unit may stand at the kink of relu' } } : {}),
  }
}

/** Weights of one layer without biases. */
const bare = (wIh: unknown, wHh: unknown): Weights => ({
  wIh: wIh as f.Tensor,
  wHh: wHh as f.Tensor,
  bIh: null,
  bHh: null,
  wHr: null,
})

const withoutBatch = (op: Op): readonly Case[] => {
  const rows = gatesOf[op] * 3
  const inputs = [normal([rows, 4], 0.3), normal([rows, 3], 0.3)]
  return [
    {
      op,
      name: 'only the last state goes on',
      inputs: [normal([3, 2, 4]), ...inputs],
      call: (x, wIh, wHh) => [run[op](x as f.Tensor, [bare(wIh, wHh)], {}).state].flat()[0] as f.Tensor,
      length: 60,
      roundings: 48,
    },
    {
      op,
      name: 'a sequence without a batch',
      inputs: [normal([3, 4]), ...inputs],
      call: (x, wIh, wHh) => run[op](x as f.Tensor, [bare(wIh, wHh)], {}).output,
      length: 60,
      roundings: 48,
    },
  ]
}

const cellWeights = (gates: number, input: number, hidden: number): Input[] => [
  normal([gates * hidden, input], 0.3),
  normal([gates * hidden, hidden], 0.3),
  normal([gates * hidden], 0.3),
  normal([gates * hidden], 0.3),
]

const weightsOf = ([wIh, wHh, bIh, bHh]: readonly f.Tensor[]) =>
  ({ wIh, wHh, bIh: bIh ?? null, bHh: bHh ?? null }) as f.RecurrentWeights

const cellCases: readonly Case[] = [
  {
    op: 'lstmCell',
    name: 'a step',
    inputs: [normal([3, 4]), normal([3, 5]), normal([3, 5]), ...cellWeights(4, 4, 5)],
    call: (x, h, c, ...w) => f.lstmCell(x as f.Tensor, [h as f.Tensor, c as f.Tensor], weightsOf(w)),
    length: 40,
  },
  {
    op: 'lstmCell',
    name: 'without a batch, from 0',
    inputs: [normal([4]), ...cellWeights(4, 4, 5).slice(0, 2)],
    call: (x, ...w) => f.lstmCell(x as f.Tensor, null, weightsOf(w)),
    length: 40,
  },
  {
    op: 'gruCell',
    name: 'a step',
    inputs: [normal([3, 4]), normal([3, 5]), ...cellWeights(3, 4, 5)],
    call: (x, h, ...w) => f.gruCell(x as f.Tensor, h as f.Tensor, weightsOf(w)),
    length: 40,
  },
  {
    op: 'gruCell',
    name: 'without a batch, from 0',
    inputs: [normal([4]), ...cellWeights(3, 4, 5).slice(0, 2)],
    call: (x, ...w) => f.gruCell(x as f.Tensor, null, weightsOf(w)),
    length: 40,
  },
  {
    op: 'rnnCell',
    name: 'a step',
    inputs: [normal([3, 4]), normal([3, 5]), ...cellWeights(1, 4, 5)],
    call: (x, h, ...w) => f.rnnCell(x as f.Tensor, h as f.Tensor, weightsOf(w)),
    length: 20,
  },
  {
    op: 'rnnCell',
    name: 'relu, without a batch',
    inputs: [normal([4]), normal([5]), ...cellWeights(1, 4, 5)],
    call: (x, h, ...w) => f.rnnCell(x as f.Tensor, h as f.Tensor, weightsOf(w), { nonlinearity: 'relu' }),
    length: 20,
    without: { 'finite differences': 'a unit may stand at the kink of relu' },
  },
]

/** bfloat16 is left out, because the program's cell would round to it. */
const wide = (x: f.Tensor | undefined) => (x?.dtype === 'bfloat16' ? x.to('float32') : (x as f.Tensor))
/** x w^T in elementwise operators, because under autocast a product would be one of bfloat16. */
const times = (x: f.Tensor, w: f.Tensor) => f.sum(f.mul(f.unsqueeze(x, 1), w), 2)

/** h = sin(x whx + h whh), y = softplus(h wyh). */
const elman = (options: object): Case['call'] => {
  return (...inputs) => {
    const [x, h0, whx, whh, wyh] = inputs.map(wide) as [f.Tensor, f.Tensor, f.Tensor, f.Tensor, f.Tensor]
    const { output, state } = f.recurrent(
      (part: f.Tensor, h: f.Tensor) => {
        const next = f.sin(f.add(times(part, whx), times(h, whh)))
        return { output: f.softplus(times(next, wyh)), state: next }
      },
      x,
      { initial: h0, ...options },
    )
    return [output, state]
  }
}

const walked = (shape: readonly number[]): readonly Input[] => [
  normal(shape),
  normal([3, 5]),
  normal([5, 2], 0.5),
  normal([5, 5], 0.5),
  normal([2, 5], 0.5),
]

const scanCases: readonly Case[] = [
  {
    op: 'recurrent',
    name: 'a cell with an output',
    inputs: walked([4, 3, 2]),
    call: elman({}),
    length: 60,
    roundings: 64,
  },
  {
    op: 'recurrent',
    name: 'lengths, batch first, in reverse',
    inputs: walked([3, 4, 2]),
    call: elman({ lengths: [2, 4, 1], batchFirst: true, reverse: true }),
    length: 60,
    roundings: 64,
  },
  {
    op: 'recurrent',
    name: 'truncated',
    inputs: walked([5, 3, 2]),
    call: elman({ truncate: 2 }),
    length: 60,
    roundings: 64,
    without: {
      'finite differences': 'its gradient is cut on purpose; tests/unit/recurrent.test.ts holds it to the parts',
    },
  },
  {
    op: 'recurrent',
    name: 'a state of two tensors, none given',
    inputs: [normal([4, 3, 2])],
    call: (x) => {
      const { output, state } = f.recurrent((part, state: readonly [f.Tensor, f.Tensor] | undefined) => {
        const [a, b] = state ?? [f.mul(part, 0), f.mul(part, 0)]
        return [f.tanh(f.add(f.mul(a, 0.5), part)), f.add(b, a)] as const
      }, x as f.Tensor)
      return [output, ...state]
    },
    roundings: 64,
  },
]

export const cases: readonly Case[] = [
  ...(['lstm', 'gru', 'rnn'] as const).flatMap((op) => [
    ...[...networks, ...only[op]].map((network) => caseOf(op, network)),
    ...withoutBatch(op),
  ]),
  ...cellCases,
  ...scanCases,
  {
    op: 'sequenceMask',
    name: 'three sequences',
    inputs: [exactly([3], 'int32', [2, 4, 1])],
    call: (lengths) => call('sequenceMask', [lengths as f.Tensor], { steps: 4 }),
  },
  {
    op: 'sequenceMask',
    name: 'no sequences',
    inputs: [exactly([0], 'int32', [])],
    call: (lengths) => call('sequenceMask', [lengths as f.Tensor], { steps: 4 }),
  },
]

export const excused = { 'finite differences': 4 } as const

const shapesOf = (op: Op) => {
  const rows = gatesOf[op] * 3
  return { wIh: normal([rows, 4]), wHh: normal([rows, 3]) }
}

const failures = (op: Op): readonly ErrorCase[] => {
  const good = shapesOf(op)
  const rows = gatesOf[op] * 3
  type Make = (input: Input) => f.Tensor
  const weights = (make: Make): Weights => bare(make(good.wIh), make(good.wHh))
  const output = (x: Input, options: (make: Make) => object) => (make: Make) =>
    run[op](make(x), [weights(make)], options(make)).output
  return [
    {
      op,
      name: 'all that does not fit, at once',
      code: 'ERR_SHAPE',
      mentions: ['x is [3, 2, 5]', `[${rows}, 4]`, 'must be 4', '[7]'],
      call: (make) => run[op](make(normal([3, 2, 5])), [{ ...weights(make), bIh: make(normal([7])) }], {}).output,
    },
    {
      op,
      name: 'no weights',
      code: 'ERR_VALUE',
      mentions: ['0'],
      call: (make) => run[op](make(normal([3, 2, 5])), [], {}).output,
    },
    {
      op,
      name: 'an initial state of another size',
      code: 'ERR_SHAPE',
      mentions: ['[1, 2, 4]', '[1, 2, 3]'],
      call: output(normal([3, 2, 4]), (make) => {
        const h = make(normal([1, 2, 4]))
        return { initial: op === 'lstm' ? [h, make(normal([1, 2, 3]))] : h }
      }),
    },
    {
      op,
      name: 'dropout NaN',
      code: 'ERR_VALUE',
      mentions: ['NaN', 'dropout'],
      call: output(normal([3, 2, 4]), () => ({ dropout: Number.NaN, training: true })),
    },
    {
      op,
      name: 'a length beyond the steps',
      code: 'ERR_VALUE',
      mentions: ['lengths[1] is 4', 'from 1 to 3'],
      call: output(normal([3, 2, 4]), () => ({ lengths: [3, 4] })),
    },
    {
      op,
      name: 'a length of 0',
      code: 'ERR_VALUE',
      mentions: ['lengths[0] is 0', 'from 1 to 3'],
      call: output(normal([3, 2, 4]), () => ({ lengths: [0, 3] })),
    },
    {
      op,
      name: 'a length too few',
      code: 'ERR_VALUE',
      mentions: ['1 lengths', '2 sequences'],
      call: output(normal([3, 2, 4]), () => ({ lengths: [3] })),
    },
    {
      op,
      name: 'lengths of floats',
      code: 'ERR_DTYPE',
      mentions: ['int32'],
      call: output(normal([3, 2, 4]), (make) => ({ lengths: make(normal([2])) })),
    },
    {
      op,
      name: 'lengths of one sequence',
      code: 'ERR_VALUE',
      mentions: ['[3, 4]', 'lengths'],
      call: output(normal([3, 4]), () => ({ lengths: [3] })),
    },
  ]
}

const cellFailure = (op: 'lstmCell' | 'gruCell' | 'rnnCell', gates: number): ErrorCase => ({
  op,
  name: 'all that does not fit, at once',
  code: 'ERR_SHAPE',
  mentions: [`wIh is [${3 * gates}, 4]`, '[7]', '[2, 9]'],
  call: (make) => {
    const w = { ...bare(make(normal([3 * gates, 4])), make(normal([3 * gates, 3]))), bIh: make(normal([7])) }
    const [x, h] = [make(normal([2, 5])), make(normal([2, 9]))]
    return op === 'lstmCell' ? f.lstmCell(x, [h, h], w) : f[op](x, h, w)
  },
})

export const errors: readonly ErrorCase[] = [
  ...failures('lstm'),
  ...failures('gru'),
  ...failures('rnn'),
  cellFailure('lstmCell', 4),
  cellFailure('gruCell', 3),
  cellFailure('rnnCell', 1),
  {
    op: 'lstm',
    name: 'a projection of another size',
    code: 'ERR_SHAPE',
    mentions: ['wHr must be [2, H]', '[3, 5]'],
    call: (make) =>
      f.lstm(make(normal([3, 2, 4])), [
        { ...bare(make(normal([20, 4])), make(normal([20, 2]))), wHr: make(normal([3, 5])) },
      ]).output,
  },
  {
    op: 'rnn',
    name: 'a nonlinearity that is none',
    code: 'ERR_VALUE',
    mentions: ["'sin'", "'tanh' or 'relu'"],
    call: (make) => run.rnn(make(normal([3, 2, 4])), [], { nonlinearity: 'sin' }).output,
  },
  {
    op: 'rnnCell',
    name: 'a nonlinearity that is none',
    code: 'ERR_VALUE',
    mentions: ["'sin'", "'tanh' or 'relu'"],
    call: (make) =>
      f.rnnCell(make(normal([2, 4])), null, bare(make(normal([3, 4])), make(normal([3, 3]))), {
        nonlinearity: 'sin' as never,
      }),
  },
  {
    op: 'recurrent',
    name: 'a truncation of no steps',
    code: 'ERR_VALUE',
    mentions: ['truncate is 0'],
    call: (make) => f.recurrent((x) => x, make(normal([3, 2])), { truncate: 0 }).output,
  },
  {
    op: 'recurrent',
    name: 'a cell that gives another state',
    code: 'ERR_VALUE',
    mentions: ['one tensor', 'a list of 2'],
    call: (make) => f.recurrent((x) => [x, x] as never, make(normal([3, 2])), { initial: make(normal([2])) }).output,
  },
  {
    op: 'recurrent',
    name: 'a cell that forgets rows, with lengths',
    code: 'ERR_SHAPE',
    mentions: ['[2, ...]', '[1, 4]'],
    call: (make) =>
      f.recurrent((x: f.Tensor) => f.narrow(x, 0, 0, 1), make(normal([3, 2, 4])), { lengths: [3, 1] }).output,
  },
]

const setOf = (op: Op) => ({
  wIh: t(gatesOf[op] * 3, 4),
  wHh: t(gatesOf[op] * 3, 3),
  bIh: t(gatesOf[op] * 3),
  bHh: t(gatesOf[op] * 3),
})
const options = { batchFirst: false, bidirectional: false, training: true, dropout: 0, lengths: [3, 1] }

/** Not a plain object, because as the last argument that would be options. */
const own = <W extends object>(weights: W): W => Object.assign(Object.create({}) as object, weights)

export const calls: readonly PublicCall[] = [
  sound('lstm', f.lstm, () => [t(3, 2, 4), [setOf('lstm')], { ...options, initial: [t(1, 2, 3), t(1, 2, 3)] }]),
  sound('gru', f.gru, () => [t(3, 2, 4), [setOf('gru')], { ...options, initial: t(1, 2, 3) }]),
  sound('rnn', f.rnn, () => [t(3, 2, 4), [setOf('rnn')], { ...options, initial: t(1, 2, 3), nonlinearity: 'relu' }]),
  sound('lstmCell', f.lstmCell, () => [t(2, 4), [t(2, 3), t(2, 3)], own(setOf('lstm'))], 'linear'),
  sound('gruCell', f.gruCell, () => [t(2, 4), t(2, 3), own(setOf('gru'))], 'linear'),
  sound('rnnCell', f.rnnCell, () => [t(2, 4), t(2, 3), setOf('rnn'), { nonlinearity: 'relu' }], 'linear'),
  sound(
    'recurrent',
    f.recurrent,
    () => [
      (x: f.Tensor, h: f.Tensor) => f.add(x, h),
      t(3, 2, 4),
      { initial: t(2, 4), lengths: [3, 1], batchFirst: false, reverse: true, truncate: 2 },
    ],
    'add',
  ),
]

const sequenceZeros = (op: Op): ZeroSizes => ({
  sizes: { t: 3, b: 2, i: 4, h: 5 },
  inputs: ({ t: steps = 0, b = 0, i = 0, h = 0 }) => [
    normal([steps, b, i]),
    normal([gatesOf[op] * h, i]),
    normal([gatesOf[op] * h, h]),
    normal([gatesOf[op] * h]),
    normal([gatesOf[op] * h]),
  ],
  call: ([x, wIh, wHh, bIh, bHh]) => {
    const { output, state } = run[op](x as f.Tensor, [{ wIh, wHh, bIh, bHh } as Weights], {})
    return [output, ...[state].flat()]
  },
})

const cellZeros = (gates: number, cell: (x: f.Tensor, w: f.RecurrentWeights) => f.Tensor | f.Tensor[]): ZeroSizes => ({
  sizes: { b: 2, i: 4, h: 5 },
  inputs: ({ b = 0, i = 0, h = 0 }) => [normal([b, i]), ...cellWeights(gates, i, h)],
  call: ([x, ...w]) => cell(x as f.Tensor, weightsOf(w)),
})

export const zeroSizes: { readonly [call: string]: ZeroSizes } = {
  lstm: sequenceZeros('lstm'),
  gru: sequenceZeros('gru'),
  rnn: sequenceZeros('rnn'),
  lstmCell: cellZeros(4, (x, w) => f.lstmCell(x, null, w)),
  gruCell: cellZeros(3, (x, w) => f.gruCell(x, null, w)),
  rnnCell: cellZeros(1, (x, w) => f.rnnCell(x, null, w)),
  recurrent: {
    sizes: { t: 3, b: 2, i: 4 },
    inputs: ({ t: steps = 0, b = 0, i = 0 }) => [normal([steps, b, i]), normal([b, i])],
    call: ([x, h]) => {
      const { output, state } = f.recurrent((part, s: f.Tensor) => f.add(part, f.tanh(s)), x as f.Tensor, {
        initial: h as f.Tensor,
      })
      return [output, state]
    },
  },
}
