/**
 * Cases with sizes of real models, drawn at random: channels to 600, sequences to 2,000, vocabularies to 60,000. They
 * cross every block of the kernels, which the small cases do not. `torch` states the same call for PyTorch, so that
 * `tests/fuzz/torch_answers.py` can compute the right result. Each costs at most about 10^8 multiplications.
 */
import * as f from '../../lib/index.js'
import { bits, type Case, type Input, integers, label, normal, positive, type Random } from './case.js'

/** The call for PyTorch: a function of `torch_answers.py`, and its options. */
export interface TorchCall {
  readonly fn: string
  readonly options: { readonly [name: string]: unknown }
}

export interface LargeCase extends Case {
  readonly torch: TorchCall
}

/** The source of sizes and choices. */
export class Draw {
  readonly random: Random
  constructor(random: Random) {
    this.random = random
  }

  integer(least: number, most: number): number {
    return least + Math.floor(this.random() * (most - least + 1))
  }

  pick<T>(values: readonly T[]): T {
    return values[Math.floor(this.random() * values.length)] as T
  }

  chance(share: number): boolean {
    return this.random() < share
  }

  /**
   * A number from 1 to `most`. It is equally often small, anywhere, or within one of a multiple of a power of two,
   * where blocks end.
   */
  size(most: number): number {
    const how = this.random()
    if (how < 0.25) return this.integer(1, Math.min(most, 9))
    if (how < 0.55) return this.integer(1, most)
    const block = this.pick([8, 16, 24, 32, 48, 64, 128, 256, 512].filter((b) => b <= most || b === 8))
    const near = block * this.integer(1, Math.max(1, Math.floor(most / block))) + this.integer(-1, 1)
    return Math.min(most, Math.max(1, near))
  }
}

const budget = 1e8

/** `most`, or as much of it as the budget leaves if each unit costs `each`. */
const within = (most: number, each: number) => Math.max(1, Math.min(most, Math.floor(budget / each)))

export function made(
  op: string,
  torch: TorchCall,
  inputs: readonly Input[],
  length: number,
  call: Case['call'],
): LargeCase {
  const shapes = inputs.map(({ shape }) => label(shape)).join(', ')
  return { op, name: `${shapes} ${JSON.stringify(torch.options)}`, inputs, length, roundings: 64, call, torch }
}

function convolution(draw: Draw): LargeCase {
  const [kh, kw] = draw.pick([
    [1, 1],
    [1, 1],
    [3, 3],
    [3, 3],
    [3, 3],
    [5, 5],
    [2, 2],
    [7, 7],
    [4, 4],
    [1, 3],
    [6, 6],
  ] as const)
  const depthwise = draw.chance(0.1)
  const groups = depthwise ? draw.size(300) : draw.pick([1, 1, 1, 1, 2, 3])
  const channels = depthwise ? 1 : draw.size(600 / groups)
  const stride = draw.pick([1, 1, 1, 2, 2, 3])
  const padding = draw.pick([0, Math.floor(kh / 2), Math.floor(kh / 2), 1])
  const dilation = draw.pick([1, 1, 1, 1, 2])
  const least = Math.max(kh, kw) * dilation
  const height = least + draw.pick([0, 1, 3, 6, 9, 13, 25, 30])
  const width = least + draw.pick([0, 1, 3, 6, 9, 13, 25, 31])
  const batch = draw.integer(1, 3)
  const positions = Math.ceil(height / stride) * Math.ceil(width / stride) * batch
  const filters = depthwise
    ? draw.integer(1, 2)
    : draw.size(within(600 / groups, positions * channels * kh * kw * groups))
  const options = { stride, padding, dilation, groups }
  return made(
    'conv2d',
    { fn: 'conv2d', options },
    [
      normal([batch, channels * groups, height, width]),
      normal([filters * groups, channels, kh, kw], 1 / Math.sqrt(channels * kh * kw)),
      ...(draw.chance(0.5) ? [normal([filters * groups])] : []),
    ],
    Math.max(channels * kh * kw, filters * kh * kw, positions),
    (x, w, b) => f.conv2d(x, w, b ?? null, options),
  )
}

function product(draw: Draw): LargeCase {
  const batch = draw.pick([[], [], [draw.integer(1, 4)]])
  const [m, k] = [draw.size(700), draw.size(2000)]
  const n = draw.size(within(700, m * k * (batch[0] ?? 1)))
  const [ta, tb] = [draw.chance(0.4), draw.chance(0.4)]
  return made(
    'matmul',
    { fn: 'matmul', options: { transposeA: ta, transposeB: tb } },
    [normal([...batch, ...(ta ? [k, m] : [m, k])], 1 / Math.sqrt(k)), normal([...batch, ...(tb ? [n, k] : [k, n])])],
    Math.max(m, k, n),
    (a, b) => f.matmul(ta ? f.transpose(a, -1, -2) : a, tb ? f.transpose(b, -1, -2) : b),
  )
}

function linearLayer(draw: Draw): LargeCase {
  const [rows, i] = [draw.size(300), draw.size(1500)]
  const o = draw.size(within(1500, rows * i))
  return made(
    'linear',
    { fn: 'linear', options: {} },
    [normal([rows, i]), normal([o, i], 1 / Math.sqrt(i)), ...(draw.chance(0.6) ? [normal([o])] : [])],
    Math.max(rows, i, o),
    (x, w, b) => f.linear(x, w, b ?? null),
  )
}

function attention(draw: Draw): LargeCase {
  const size = draw.pick([1, 8, 16, 31, 32, 33, 40, 64, 64, 80, 96, 128, 129])
  const valueSize = draw.chance(0.7) ? size : draw.pick([8, 17, 64, 65])
  const keyHeads = draw.integer(1, 3)
  const heads = keyHeads * draw.pick([1, 1, 2, 3])
  const batch = draw.integer(1, 2)
  const queries = draw.size(2000)
  const keys = draw.size(within(2000, queries * (size + valueSize) * heads * batch))
  const isCausal = draw.chance(0.4)
  const mask: Input[] = draw.chance(0.6)
    ? []
    : [draw.chance(0.5) ? bits([queries, keys], 0.8) : normal([queries, keys])]
  return made(
    'attention',
    { fn: 'attention', options: { isCausal } },
    [
      normal([batch, heads, queries, size]),
      normal([batch, keyHeads, keys, size]),
      normal([batch, keyHeads, keys, valueSize]),
      ...mask.map((input) => ({ ...input, differentiable: false })),
    ],
    (queries + keys) * heads + size + valueSize,
    (q, k, v, attnMask) => f.scaledDotProductAttention(q, k, v, { isCausal, attnMask: attnMask ?? null }),
  )
}

function recurrent(draw: Draw): LargeCase {
  const [steps, batch, input] = [draw.size(60), draw.size(70), draw.size(200)]
  const hidden = draw.size(within(300, steps * batch * 4 * (input + 100)))
  const set = [normal([4 * hidden, input], 1 / Math.sqrt(input)), normal([4 * hidden, hidden], 1 / Math.sqrt(hidden))]
  return made(
    'lstm',
    { fn: 'lstm', options: {} },
    [normal([steps, batch, input]), ...set, normal([4 * hidden]), normal([4 * hidden])],
    steps * (input + hidden * 4 + batch),
    (x, wIh, wHh, bIh, bHh) => f.lstm(x, [{ wIh, wHh, bIh: bIh ?? null, bHh: bHh ?? null }] as never).output,
  )
}

function norms(draw: Draw): LargeCase {
  if (draw.chance(0.5)) {
    const [rows, width] = [draw.size(500), draw.size(3000)]
    return made(
      'layer_norm',
      { fn: 'layerNorm', options: {} },
      [normal([rows, width], 1, 0.5), positive([width]), normal([width])],
      2 * Math.max(rows, width),
      (x, w, b) => f.layerNorm(x, [width], w, b),
    )
  }
  const channels = draw.size(300)
  const shape = [draw.integer(2, 9), channels, draw.size(30), draw.size(30)]
  return made(
    'batch_norm',
    { fn: 'batchNorm', options: {} },
    [normal(shape, 1, 0.5), positive([channels]), normal([channels])],
    2 * (shape[0] as number) * (shape[2] as number) * (shape[3] as number),
    (x, weight, bias) => f.batchNorm(x, null, null, { training: true, weight: weight ?? null, bias: bias ?? null }),
  )
}

function rows(draw: Draw): LargeCase {
  const width = draw.size(draw.pick([100, 3000, 60_000]))
  const count = draw.size(Math.max(1, Math.min(500, Math.floor(1.5e6 / width))))
  const fn = draw.pick(['softmax', 'logSoftmax', 'cumsum', 'logsumexp', 'sum', 'amax', 'variance'] as const)
  const dim = draw.chance(0.7) ? 1 : 0
  // The rounding error of a running sum is of the size of the sum itself.
  return made(
    fn,
    { fn, options: { dim } },
    [normal([count, width], fn === 'softmax' ? 3 : 1)],
    2 * Math.max(count, width),
    (x) => (f[fn] as (x: f.Tensor, dim: number) => f.Tensor)(x, dim),
  )
}

function labels(draw: Draw): LargeCase {
  const classes = draw.size(draw.pick([10, 1000, 60_000]))
  const count = draw.size(Math.max(1, Math.min(300, Math.floor(2e6 / classes))))
  const options = { labelSmoothing: draw.pick([0, 0, 0.1]), reduction: draw.pick(['mean', 'sum', 'none'] as const) }
  return made(
    'cross_entropy',
    { fn: 'crossEntropy', options },
    [normal([count, classes], 3), integers([count], 0, classes)],
    classes + count,
    (x, y) => f.crossEntropy(x, y as f.Tensor, options),
  )
}

function lookups(draw: Draw): LargeCase {
  const width = draw.size(500)
  const entries = draw.size(Math.min(60_000, Math.floor(2e6 / width)))
  const count = draw.size(Math.max(1, Math.min(3000, Math.floor(2e6 / width))))
  return made(
    'embedding',
    { fn: 'embedding', options: {} },
    [integers([count], 0, entries), normal([entries, width])],
    count,
    (ids, table) => f.embedding(ids as f.Tensor, table as f.Tensor),
  )
}

function pools(draw: Draw): LargeCase {
  const kernelSize = draw.integer(1, 4)
  const padding = draw.integer(0, Math.floor(kernelSize / 2))
  const stride = draw.integer(1, 3)
  const fn = draw.pick(['maxPool2d', 'avgPool2d'] as const)
  const shape = [draw.integer(1, 3), draw.size(100), draw.integer(4, 70), draw.integer(4, 70)]
  const options = { kernelSize, padding, stride }
  return made(fn, { fn, options }, [normal(shape)], kernelSize * kernelSize + 1, (x) =>
    f[fn](x, kernelSize, { padding, stride }),
  )
}

function elements(draw: Draw): LargeCase {
  const fn = draw.pick(['exp', 'gelu', 'silu', 'tanh', 'sigmoid', 'erf', 'mish', 'softplus', 'sin'] as const)
  return made(fn, { fn, options: {} }, [normal([draw.size(200_000)], 2)], 1, (x) => f[fn](x))
}

/** Families with more blocks to cross are drawn more often. */
const families = [
  ...[convolution, convolution, convolution, convolution, product, product, linearLayer, attention, attention],
  ...[recurrent, norms, norms, rows, rows, labels, lookups, pools, elements],
]

export function drawLarge(random: Random): LargeCase {
  const draw = new Draw(random)
  return draw.pick(families)(draw)
}
