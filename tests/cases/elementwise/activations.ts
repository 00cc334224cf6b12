/** Cases of the activations that are composed of other functions, and of the layers of all activations. */
import * as f from '../../../lib/index.js'
import { awayFrom, type Case, constant, type ErrorCase, exactly, integers, normal, noSteps } from '../case.js'
import { layer, type PublicCall, sound, t } from '../sound.js'
import { mn, named, type Unary, unaryZeros, type ZeroSizes } from '../zero.js'
import { kinkAt, type Make, smooth, unary } from './forms.js'

const { nn } = f

type Activation = (x: f.Tensor) => f.Tensor
const plain: { readonly [name: string]: readonly [Activation, Make] } = {
  selu: [f.selu, kinkAt(0)],
  celu: [f.celu, kinkAt(0)],
  softsign: [f.softsign, kinkAt(0)],
  logSigmoid: [f.logSigmoid, smooth],
  tanhshrink: [f.tanhshrink, smooth],
  softshrink: [f.softshrink, kinkAt(-0.5, 0.5)],
  hardshrink: [f.hardshrink, kinkAt(-0.5, 0.5)],
  hardtanh: [f.hardtanh, kinkAt(-1, 1)],
  relu6: [f.relu6, kinkAt(0, 6)],
  hardsigmoid: [f.hardsigmoid, kinkAt(-3, 3)],
  threshold: [(x) => f.threshold(x, 0.25, -1), kinkAt(0.25)],
  rrelu: [f.rrelu, kinkAt(0)],
}
const options: readonly [string, string, Activation, readonly number[]][] = [
  ['celu', 'alpha', (x) => f.celu(x, { alpha: 0.7 }), [0]],
  ['celu', 'a negative alpha', (x) => f.celu(x, { alpha: -2 }), [0]],
  ['softshrink', 'lambd', (x) => f.softshrink(x, { lambd: 0.3 }), [-0.3, 0.3]],
  ['softshrink', 'no lambd', (x) => f.softshrink(x, { lambd: 0 }), []],
  ['hardshrink', 'lambd', (x) => f.hardshrink(x, { lambd: 0.3 }), [-0.3, 0.3]],
  ['hardshrink', 'a negative lambd', (x) => f.hardshrink(x, { lambd: -0.3 }), []],
  ['hardtanh', 'limits', (x) => f.hardtanh(x, { minVal: -2, maxVal: 0.5 }), [-2, 0.5]],
  ['rrelu', 'limits', (x) => f.rrelu(x, { lower: 0.2, upper: 0.8 }), [0]],
  [
    'rrelu',
    'in training',
    (x) => f.rrelu(x, { lower: 0.2, upper: 0.8, training: true, generator: new f.Generator(3) }),
    [0],
  ],
]

const special = exactly([15], 'float', [
  ...[Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0, -0, 1, -1, 20, -20, 87, -87, 3, -3],
  ...[0.5, -0.5],
])

export const cases: readonly Case[] = [
  ...Object.entries(plain).flatMap(([op, [call, input]]) => unary(op, (x) => call(x), input)),
  ...Object.entries(plain).map(([op, [call]]) => ({
    op,
    name: 'NaN, infinities and zeros',
    inputs: [{ ...special, differentiable: true }],
    call: (x: f.Tensor) => call(x),
    without: noSteps,
  })),
  ...options.map(([op, name, call, points]) => ({ op, name, inputs: [awayFrom([67], points)], call })),
  ...[0, 1, -1].map((dim) => ({
    op: 'glu',
    name: `dimension ${dim}`,
    inputs: [normal([4, 6, 2])],
    call: (x: f.Tensor) => f.glu(x, dim),
  })),
  ...(
    [
      [[2, 4, 5], [4]],
      [[2, 4, 5], [1]],
      [[2, 4], [4]],
      [[3, 33], [33]],
      [[7], [1]],
      [[], [1]],
      [[5], []],
      [[0, 3], [3]],
    ] as const
  ).map(([x, weight]) => ({
    op: 'prelu',
    name: `[${x}] by [${weight}]`,
    inputs: [awayFrom(x, [0]), normal(weight)],
    call: f.prelu,
    length: Math.max(
      1,
      x.reduce((a: number, b) => a * b, 1),
    ),
  })),
  { op: 'prelu', name: 'ends', inputs: [special, constant(normal([1]))], call: f.prelu, length: 15 },
]

const x = normal([3, 4])

export const errors: readonly ErrorCase[] = [
  ...[...Object.keys(plain), 'glu']
    .map(
      (op): ErrorCase => ({
        op,
        name: 'integers',
        code: 'ERR_DTYPE',
        mentions: ['int32', ".to('float32')"],
        call: (make) => (f as unknown as { [name: string]: Activation })[op]?.(make(integers([4], 0, 9))) as f.Tensor,
      }),
    )
    .filter(({ op }) => op !== 'threshold'),
  {
    op: 'threshold',
    name: 'NaN',
    code: 'ERR_VALUE',
    mentions: ['value', 'NaN'],
    call: (make) => f.threshold(make(x), 0, Number.NaN),
  },
  {
    op: 'celu',
    name: 'alpha 0',
    code: 'ERR_VALUE',
    mentions: ['alpha', '0'],
    call: (make) => f.celu(make(x), { alpha: 0 }),
  },
  {
    op: 'softshrink',
    name: 'a negative lambd',
    code: 'ERR_VALUE',
    mentions: ['lambd', '-1'],
    call: (make) => f.softshrink(make(x), { lambd: -1 }),
  },
  {
    op: 'hardtanh',
    name: 'limits in reverse',
    code: 'ERR_VALUE',
    mentions: ['2', '1'],
    call: (make) => f.hardtanh(make(x), { minVal: 2, maxVal: 1 }),
  },
  {
    op: 'rrelu',
    name: 'limits in reverse',
    code: 'ERR_VALUE',
    mentions: ['0.5', '0.25'],
    call: (make) => f.rrelu(make(x), { lower: 0.5, upper: 0.25 }),
  },
  {
    op: 'glu',
    name: 'an odd size',
    code: 'ERR_SHAPE',
    mentions: ['[4, 3]', '3'],
    call: (make) => f.glu(make(normal([4, 3]))),
  },
  {
    op: 'prelu',
    name: 'other channels',
    code: 'ERR_SHAPE',
    mentions: ['[3]', '4', '[3, 4]'],
    call: (make) => f.prelu(make(x), make(normal([3]))),
  },
  {
    op: 'prelu',
    name: 'a weight of two dimensions',
    code: 'ERR_SHAPE',
    mentions: ['[1, 1]'],
    call: (make) => f.prelu(make(x), make(normal([1, 1]))),
  },
]

const limits = () => ({ lower: 0.1, upper: 0.3, training: true, generator: new f.Generator(1) })

export const calls: readonly PublicCall[] = [
  ...(['selu', 'softsign', 'logSigmoid', 'tanhshrink', 'relu6', 'hardsigmoid'] as const).map((name) =>
    sound(name, f[name], () => [t(2, 3)]),
  ),
  sound('celu', f.celu, () => [t(3), { alpha: 1 }]),
  sound('softshrink', f.softshrink, () => [t(3), { lambd: 0.5 }]),
  sound('hardshrink', f.hardshrink, () => [t(3), { lambd: 0.5 }]),
  sound('hardtanh', f.hardtanh, () => [t(3), { minVal: -1, maxVal: 1 }]),
  sound('threshold', f.threshold, () => [t(3), 0.5, 1]),
  sound('rrelu', f.rrelu, () => [t(3), limits()], 'leakyRelu', 'mul', 'where', 'rand'),
  sound('glu', f.glu, () => [t(2, 4), 1], 'mul'),
  sound('prelu', f.prelu, () => [t(2, 4), t(4)], 'mul', 'where'),
]

export const layers: readonly PublicCall[] = [
  ...layer(
    'SELU',
    nn.SELU,
    () => [],
    () => [t(2, 3)],
    'selu',
  ),
  ...layer(
    'CELU',
    nn.CELU,
    () => [{ alpha: 2 }],
    () => [t(2, 3)],
    'celu',
  ),
  ...layer(
    'Softsign',
    nn.Softsign,
    () => [],
    () => [t(2, 3)],
    'softsign',
  ),
  ...layer(
    'LogSigmoid',
    nn.LogSigmoid,
    () => [],
    () => [t(2, 3)],
    'logSigmoid',
  ),
  ...layer(
    'Tanhshrink',
    nn.Tanhshrink,
    () => [],
    () => [t(2, 3)],
    'tanhshrink',
  ),
  ...layer(
    'ReLU6',
    nn.ReLU6,
    () => [],
    () => [t(2, 3)],
    'relu6',
  ),
  ...layer(
    'Hardsigmoid',
    nn.Hardsigmoid,
    () => [],
    () => [t(2, 3)],
    'hardsigmoid',
  ),
  ...layer(
    'Softshrink',
    nn.Softshrink,
    () => [0.25],
    () => [t(2, 3)],
    'softshrink',
  ),
  ...layer(
    'Hardshrink',
    nn.Hardshrink,
    () => [0.25],
    () => [t(2, 3)],
    'hardshrink',
  ),
  ...layer(
    'Hardtanh',
    nn.Hardtanh,
    () => [{ minVal: -1, maxVal: 2 }],
    () => [t(2, 3)],
    'hardtanh',
  ),
  ...layer(
    'Threshold',
    nn.Threshold,
    () => [0.5, 1],
    () => [t(2, 3)],
    'threshold',
  ),
  ...layer(
    'RReLU',
    nn.RReLU,
    () => [{ lower: 0.1, upper: 0.3, generator: new f.Generator(1) }],
    () => [t(2, 3)],
    'rrelu',
  ),
  ...layer(
    'PReLU',
    nn.PReLU,
    () => [{ numParameters: 3, init: 0.1 }],
    () => [t(2, 3)],
    'prelu',
  ),
  ...layer(
    'GLU',
    nn.GLU,
    () => [1],
    () => [t(2, 4)],
    'glu',
  ),
  ...layer(
    'SwiGLU',
    nn.SwiGLU,
    () => [1],
    () => [t(2, 4)],
    'swiglu',
  ),
  ...layer(
    'Softmin',
    nn.Softmin,
    () => [1],
    () => [t(2, 4)],
    'softmin',
  ),
  ...layer(
    'Softmax2d',
    nn.Softmax2d,
    () => [],
    () => [t(2, 3, 4, 5)],
    'softmax',
  ),
]

export const zeroSizes: { readonly [call: string]: ZeroSizes } = {
  ...named(
    Object.keys(plain).filter((name) => name !== 'threshold'),
    (fn: Unary) => unaryZeros((x) => fn(x)),
  ),
  threshold: unaryZeros((x) => f.threshold(x, 0, 1)),
  glu: {
    sizes: mn,
    inputs: ({ m = 0, n = 0 }) => [normal([m, n])],
    call: ([x]) => f.glu(x as f.Tensor),
  },
  prelu: {
    sizes: { m: 3, n: 1 },
    inputs: ({ m = 0, n = 0 }) => [normal([m, n]), normal([1])],
    call: ([x, w]) => f.prelu(x as f.Tensor, w as f.Tensor),
  },
}
