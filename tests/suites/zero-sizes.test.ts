/**
 * Every public operator with each of its sizes 0 in turn, and with all of them: forward and backward are the same on every
 * device, with PyTorch's shapes and numbers, or the same typed error where PyTorch refuses too.
 */
import { describe, expect, it } from 'vitest'
import * as f from '../../lib/index.js'
import * as ops from '../../lib/ops/index.js'
import { bits, type Case, distinct, exactly, type Input, integers, normal, positive } from '../cases/case.js'
import { compare, devices, type Outcome, reference, runCase } from './support.js'

type Sizes = { readonly [name: string]: number }
interface Entry {
  readonly sizes: Sizes
  inputs(sizes: Sizes): readonly Input[]
  call(inputs: readonly f.Tensor[], sizes: Sizes): f.Tensor | readonly f.Tensor[]
  /** Which sizes of 0 are refused, as in PyTorch (whose conv2d of no channels gives no channels); with all 0 it is refused too where one of them is. */
  readonly refuses?: readonly string[]
  /** What each result is filled with where such a size is 0: what PyTorch gives. */
  readonly fills?: { readonly [size: string]: number }
}

type Unary = (x: f.Tensor) => f.Tensor | readonly f.Tensor[]
const mn = { m: 3, n: 2 }
const unary = (call: Unary, more: Partial<Entry> = {}): Entry => ({
  sizes: mn,
  inputs: ({ m = 0, n = 0 }) => [positive([m, n])],
  call: ([x]) => call(x as f.Tensor),
  ...more,
})
const creation = (call: (sizes: Sizes) => f.Tensor): Entry => ({ sizes: mn, inputs: () => [], call: (_, s) => call(s) })
const named = (names: readonly string[], entry: (fn: never) => Entry): { readonly [name: string]: Entry } =>
  Object.fromEntries(names.map((name) => [name, entry((ops as unknown as { [name: string]: never })[name] as never)]))

const elementwise = [
  ...[
    'abs',
    'clone',
    'contiguous',
    'cos',
    'detach',
    'elu',
    'erf',
    'exp',
    'floor',
    'gelu',
    'hardswish',
    'leakyRelu',
    'log',
  ],
  ...['log1p', 'mish', 'neg', 'reciprocal', 'relu', 'rsqrt', 'sigmoid', 'sign', 'silu', 'sin', 'softplus', 'sqrt'],
  ...['square', 'tanh', 'flatten', 'squeeze'],
]
const pairs = ['add', 'sub', 'mul', 'div', 'maximum', 'minimum', 'pow', 'eq', 'ne', 'lt', 'le', 'gt', 'ge']
const image = { n: 2, c: 2, h: 5, w: 4 }
const imageOf = ({ n = 0, c = 0, h = 0, w = 0 }: Sizes) => [distinct([n, c, h, w])]

const entries: { readonly [name: string]: Entry } = {
  ...named(elementwise, (fn: Unary) => unary(fn)),
  ...named(pairs, (fn: (a: f.Tensor, b: f.Tensor) => f.Tensor) => ({
    sizes: mn,
    inputs: ({ m = 0, n = 0 }) => [positive([m, n]), positive([n])],
    call: ([a, b]) => fn(a as f.Tensor, b as f.Tensor),
  })),
  ...named(['softmax', 'logSoftmax', 'cumsum'], (fn: (x: f.Tensor, dim: number) => f.Tensor) => unary((x) => fn(x, 1))),
  where: {
    sizes: mn,
    inputs: ({ m = 0, n = 0 }) => [bits([m, n]), normal([m, n]), normal([1, n])],
    call: ([c, a, b]) => f.where(c as f.Tensor, a as f.Tensor, b as f.Tensor),
  },
  clamp: unary((x) => f.clamp(x, 0, 1)),
  dropout: unary((x) => f.dropout(x, 0.5, { generator: new f.Generator(1) })),
  sum: unary((x) => f.sum(x, 0), { fills: { m: 0 } }),
  'sum of all': unary((x) => f.sum(x), { fills: { m: 0, n: 0 } }),
  mean: unary((x) => f.mean(x, 0), { fills: { m: Number.NaN } }),
  'mean of all': unary((x) => f.mean(x), { fills: { m: Number.NaN, n: Number.NaN } }),
  variance: unary((x) => f.variance(x, 0), { fills: { m: Number.NaN } }),
  'variance of all': unary((x) => f.variance(x), { fills: { m: Number.NaN, n: Number.NaN } }),
  std: unary((x) => f.std(x, 0), { fills: { m: Number.NaN } }),
  'std of all': unary((x) => f.std(x), { fills: { m: Number.NaN, n: Number.NaN } }),
  logsumexp: unary((x) => f.logsumexp(x, 0), { fills: { m: Number.NEGATIVE_INFINITY } }),
  ...named(['amax', 'amin', 'argmax', 'argmin'], (fn: (x: f.Tensor, dim: number) => f.Tensor) => ({
    ...unary((x) => fn(x, 0), { refuses: ['m'] }),
    inputs: ({ m = 0, n = 0 }) => [distinct([m, n])],
  })),
  'amax of all': unary((x) => f.amax(x), { refuses: ['m', 'n'] }),
  'argmax of all': unary((x) => f.argmax(x), { refuses: ['m', 'n'] }),
  matmul: {
    sizes: { b: 2, m: 3, k: 4, n: 5 },
    inputs: ({ b = 0, m = 0, k = 0, n = 0 }) => [normal([b, m, k]), normal([k, n])],
    call: ([a, b]) => f.matmul(a as f.Tensor, b as f.Tensor),
    fills: { k: 0 },
  },
  'matmul of vectors': {
    sizes: { k: 4 },
    inputs: ({ k = 0 }) => [normal([k]), normal([k])],
    call: ([a, b]) => f.matmul(a as f.Tensor, b as never),
    fills: { k: 0 },
  },
  linear: {
    sizes: { t: 2, m: 3, k: 4, n: 5 },
    inputs: ({ t = 0, m = 0, k = 0, n = 0 }) => [
      normal([t, m, k]),
      normal([n, k]),
      exactly([n], 'float', new Array<number>(n).fill(7)),
    ],
    call: ([x, w, b]) => f.linear(x as f.Tensor, w as never, b as never),
    fills: { k: 7 },
  },
  indexSelect: {
    sizes: { m: 3, n: 2, i: 4 },
    inputs: ({ m = 0, n = 0, i = 0 }) => [normal([m, n]), integers([i], 0, 3)],
    call: ([x, i]) => f.indexSelect(x as f.Tensor, 0, i as f.Tensor),
    refuses: ['m'],
  },
  embedding: {
    sizes: { m: 3, n: 2, i: 4, j: 2 },
    inputs: ({ m = 0, n = 0, i = 0, j = 0 }) => [integers([i, j], 0, 3), normal([m, n])],
    call: ([i, w]) => f.embedding(i as f.Tensor, w as f.Tensor, { paddingIdx: (w as f.Tensor).shape[0] ? 1 : null }),
    refuses: ['m'],
  },
  gather: {
    sizes: { m: 3, n: 2, i: 4 },
    inputs: ({ m = 0, n = 0, i = 0 }) => [normal([m, n]), integers([i, n], 0, 3)],
    call: ([x, i]) => f.gather(x as f.Tensor, 0, i as f.Tensor),
    refuses: ['m'],
  },
  maxPool2d: { sizes: image, inputs: imageOf, call: ([x]) => f.maxPool2d(x as f.Tensor, 2), refuses: ['h', 'w'] },
  avgPool2d: { sizes: image, inputs: imageOf, call: ([x]) => f.avgPool2d(x as f.Tensor, 2), refuses: ['h', 'w'] },
  conv2d: {
    sizes: { ...image, o: 3 },
    inputs: ({ n = 0, c = 0, h = 0, w = 0, o = 0 }) => [normal([n, c, h, w]), normal([o, c, 2, 2]), normal([o])],
    call: ([x, w, b]) => f.conv2d(x as f.Tensor, w as f.Tensor, b as f.Tensor),
    refuses: ['c', 'h', 'w', 'o'],
  },
  layerNorm: {
    sizes: mn,
    inputs: ({ m = 0, n = 0 }) => [normal([m, n]), normal([n]), normal([n])],
    call: ([x, w, b]) => f.layerNorm(x as f.Tensor, [(x as f.Tensor).shape[1] as number], w as f.Tensor, b as f.Tensor),
  },
  batchNorm: {
    sizes: { m: 3, n: 2, t: 4 },
    inputs: ({ m = 0, n = 0, t = 0 }) => [normal([m, n, t]), normal([n]), normal([n])],
    call: ([x, weight, bias]) => f.batchNorm(x as f.Tensor, null, null, { weight, bias, training: true } as never),
  },
  crossEntropy: {
    sizes: mn,
    inputs: ({ m = 0, n = 0 }) => [normal([m, n]), exactly([m], 'int32', [0, 1, 1].slice(0, m))],
    call: ([x, y]) => f.crossEntropy(x as f.Tensor, y as f.Tensor),
    refuses: ['n'],
    fills: { m: Number.NaN },
  },
  mseLoss: {
    sizes: mn,
    inputs: ({ m = 0, n = 0 }) => [normal([m, n]), normal([m, n])],
    call: ([x, y]) => f.mseLoss(x as f.Tensor, y as f.Tensor),
    fills: { m: Number.NaN, n: Number.NaN },
  },
  scaledDotProductAttention: {
    sizes: { b: 2, h: 2, t: 3, s: 4, d: 8, e: 8 },
    inputs: ({ b = 0, h = 0, t = 0, s = 0, d = 0, e = 0 }) => [
      normal([b, h, t, d]),
      normal([b, h, s, d]),
      normal([b, h, s, e]),
    ],
    call: ([q, k, v]) => f.scaledDotProductAttention(q as f.Tensor, k as f.Tensor, v as f.Tensor),
    fills: { s: 0 },
  },
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
  cat: {
    sizes: { m: 3, n: 2, k: 4 },
    inputs: ({ m = 0, n = 0, k = 0 }) => [normal([m, n]), normal([k, n])],
    call: (list) => f.cat(list, 0),
  },
  stack: {
    sizes: mn,
    inputs: ({ m = 0, n = 0 }) => [normal([m, n]), normal([m, n])],
    call: (list) => f.stack(list, 1),
  },
  chunk: unary((x) => f.chunk(x, 2, 0)),
  split: unary((x) => f.split(x, 2, 0)),
  expand: {
    sizes: mn,
    inputs: ({ n = 0 }) => [normal([1, n])],
    call: ([x], { m = 0, n = 0 }) => f.expand(x as f.Tensor, [m, n]),
  },
  narrow: unary((x) => f.narrow(x, 0, 0, x.shape[0] as number)),
  permute: unary((x) => f.permute(x, [1, 0])),
  transpose: unary((x) => f.transpose(x, 0, 1)),
  reshape: unary((x) => f.reshape(x, [x.shape[1] as number, x.shape[0] as number])),
  view: unary((x) => f.view(x, [x.shape[1] as number, 1, x.shape[0] as number])),
  unsqueeze: unary((x) => f.unsqueeze(x, 1)),
  select: unary((x) => f.select(x, 0, 0), { refuses: ['m'] }),
  slice: unary((x) => f.slice(x, [0, 2], null)),
  pad: unary((x) => f.pad(x, [1, 1, 0, 2], 3), { fills: { m: 3, n: 3 } }),
  zeros: creation(({ m = 0, n = 0 }) => f.zeros([m, n])),
  ones: creation(({ m = 0, n = 0 }) => f.ones([m, n])),
  full: creation(({ m = 0, n = 0 }) => f.full([m, n], 2)),
  eye: creation(({ m = 0, n = 0 }) => f.eye(m, n)),
  arange: creation(({ m = 0 }) => f.arange(0, m)),
  rand: creation(({ m = 0, n = 0 }) => f.rand([m, n], { generator: new f.Generator(1) })),
  randn: creation(({ m = 0, n = 0 }) => f.randn([m, n], { generator: new f.Generator(1) })),
  randint: creation(({ m = 0, n = 0 }) => f.randint(0, 9, [m, n], { generator: new f.Generator(1) })),
  tensor: creation(({ m = 0, n = 0 }) => f.tensor(Array.from({ length: m }, () => new Array<number>(n).fill(1)))),
  fromTypedArray: creation(({ m = 0, n = 0 }) => f.fromTypedArray(new Float32Array(m * n), [m, n])),
}

it('covers every public operator', () => {
  const tried = new Set(Object.keys(entries).map((name) => name.split(' ')[0]))
  expect(Object.keys(ops).filter((name) => !tried.has(name))).toEqual([])
})

/** Each size 0 in turn, none of them, and all. */
function variants(sizes: Sizes): readonly (readonly [string, Sizes])[] {
  const names = Object.keys(sizes)
  return [
    ['none', sizes] as const,
    ...names.map((name) => [name, { ...sizes, [name]: 0 }] as const),
    ['all', Object.fromEntries(names.map((name) => [name, 0]))] as const,
  ]
}

interface Failure {
  readonly code: string
  readonly op: string
}

describe.each(Object.entries(entries))('%s', (name, { sizes, inputs, call, refuses = [], fills = {} }) => {
  it.each(variants(sizes))('with %s of its sizes 0', (which, given) => {
    const c: Case = {
      op: name,
      name: which,
      inputs: inputs(given),
      call: (...made) => call(made, given),
      length: 16,
    }
    const outcomes = devices.map((device): Outcome | Failure => {
      const before = f.defaultDevice()
      f.setDefaultDevice(device)
      try {
        return runCase(c, device, 'float32')
      } catch (error) {
        const { code, op } = error as f.FiresteelError
        if (code === undefined || code === 'ERR_INTERNAL') throw error
        // The addon names the kernel that found an index out of range.
        return {
          code,
          op: op
            .replace(/_forward$/, '')
            .replaceAll('_', '')
            .toLowerCase(),
        }
      } finally {
        f.setDefaultDevice(before)
      }
    })
    const first = outcomes[devices.indexOf(reference)] as Outcome | Failure
    const refused = which === 'all' ? undefined : refuses.includes(which)
    for (const [i, outcome] of outcomes.entries()) {
      const device = (devices[i] as f.Device).name
      if ('code' in first || 'code' in outcome) expect(outcome, device).toEqual(first)
      else compare(c, outcome, first, 'float32')
      if (refused !== undefined) expect('code' in outcome, `${device}: ${JSON.stringify(outcome)}`).toBe(refused)
      if ('code' in outcome) {
        expect(name.toLowerCase()).toContain(outcome.op)
        continue
      }
      // A gradient has its input's shape, and nothing that flows into it is invented.
      for (const [k, input] of c.inputs.entries()) {
        const gradient = outcome.gradients[k]
        if (gradient) expect(gradient.shape, `gradient ${k} on ${device}`).toEqual(input.shape)
      }
      const fill = fills[which]
      if (fill !== undefined)
        for (const { data } of outcome.outputs) for (const value of data) expect(value, device).toBe(fill)
      const empty = outcome.outputs.every(({ data }) => data.length === 0)
      if (empty)
        for (const gradient of outcome.gradients)
          for (const value of gradient?.data ?? []) expect(Math.abs(value), device).toBe(0)
    }
  })
})
