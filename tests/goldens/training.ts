/** Golden kinds that are whole runs: optimisers on a quadratic, clipping, schedules, and short trainings. */
import type { Tensor } from '../../lib/core/tensor.js'
import * as nn from '../../lib/nn/index.js'
import * as ops from '../../lib/ops/index.js'
import * as optim from '../../lib/optim/index.js'
import type { Given } from './cases.js'

/** Pairs of what came out and what was expected, each with the number of steps or elements that errors grew over. */
export interface Comparison {
  readonly what: string
  readonly got: ArrayLike<number>
  readonly expected: ArrayLike<number>
  readonly reduces: number
  /** An absolute bound instead, where rounding decides the value. */
  readonly bound?: number
}

type Options = { readonly [name: string]: unknown }

function makeOptimizer(
  kind: string,
  params: ConstructorParameters<typeof optim.SGD>[0],
  options: Options,
): optim.SGD | optim.Adam {
  const given = options as { lr: number }
  if (kind === 'sgd') return new optim.SGD(params, given)
  return kind === 'adam' ? new optim.Adam(params, given) : new optim.AdamW(params, given)
}

/** ((a w - b)^2).mean() + 0.1 (w^4).sum(), the parameter after every step. */
function quadratic(kind: string) {
  return (given: Given): Comparison[] => {
    const [a, b] = [given.in('a'), given.in('b')]
    const w = new nn.Parameter(given.in('w').clone())
    const optimizer = makeOptimizer(kind, [w], given.golden.args)
    const expected = given.values('out.0')
    const rows: number[] = []
    for (let step = 0; step < (expected.shape[0] as number); step++) {
      optimizer.zeroGrad()
      const residual = ops.sub(ops.matmul(a, w), b)
      const loss = ops.add(ops.mean(ops.square(residual)), ops.mul(ops.sum(ops.pow(w, 4) as Tensor), 0.1)) as Tensor
      loss.backward()
      optimizer.step()
      rows.push(...w.dataSync())
    }
    return [{ what: 'parameters', got: rows, expected: expected.data, reduces: expected.data.length ** 2 }]
  }
}

function clip(given: Given): Comparison[] {
  const gradients = given.roles('in.').map((name) => given.in(name))
  const parameters = gradients.map((gradient) => {
    const parameter = new nn.Parameter(ops.zeros(gradient.shape, { device: given.device }) as Tensor)
    parameter.grad = gradient.clone()
    return parameter
  })
  const norm = optim.clipGradNorm(parameters, given.arg('maxNorm'))
  const total = given.golden.scalars?.['totalNorm'] as number
  return [
    ...parameters.map((p, i) => ({
      what: `gradient ${i}`,
      got: (p.grad as Tensor).dataSync(),
      expected: given.values(`out.${i}`).data,
      reduces: 16,
    })),
    { what: 'total norm', got: [norm.item()], expected: [total], reduces: 16 },
  ]
}

function schedule(make: (optimizer: optim.SGD, given: Given) => optim.Schedule) {
  return (given: Given): Comparison[] => {
    const optimizer = new optim.SGD([new nn.Parameter(ops.zeros([1], { device: given.device }) as Tensor)], { lr: 0.1 })
    const rate = make(optimizer, given)
    const expected = given.golden.scalars?.['lr'] as readonly number[]
    const rows = expected.map(() => {
      const lr = optimizer.paramGroups[0]?.lr ?? Number.NaN
      rate.step()
      return lr
    })
    return [{ what: 'lr', got: rows, expected, reduces: 1 }]
  }
}

/** A parameter's sizes, which tell the sizes of its layer. */
const sizes = (given: Given, name: string) => given.values(`param.${name}`).shape as [number, number, number, number]

class Cnn extends nn.Module {
  readonly conv1: nn.Conv2d
  readonly bn: nn.BatchNorm2d
  readonly conv2: nn.Conv2d
  readonly fc: nn.Linear
  constructor(given: Given) {
    super()
    const [first, channels, kernel] = sizes(given, 'conv1.weight')
    const [second, , kernel2] = sizes(given, 'conv2.weight')
    const [classes, features] = sizes(given, 'fc.weight')
    this.conv1 = new nn.Conv2d(channels, first, kernel, { padding: 1 })
    this.bn = new nn.BatchNorm2d(first)
    this.conv2 = new nn.Conv2d(first, second, kernel2)
    this.fc = new nn.Linear(features, classes)
  }
  forward(x: Tensor): Tensor {
    const pooled = ops.maxPool2d(ops.relu(this.bn.forward(this.conv1.forward(x))), 2)
    return this.fc.forward(ops.flatten(ops.relu(this.conv2.forward(pooled)), 1)) as Tensor
  }
}

class Tagger extends nn.Module {
  readonly embedding: nn.Embedding
  readonly lstm: nn.LSTM
  readonly head: nn.Linear
  constructor(given: Given) {
    super()
    const [words, width] = sizes(given, 'embedding.weight')
    const [classes, hidden] = sizes(given, 'head.weight')
    this.embedding = new nn.Embedding(words, width)
    this.lstm = new nn.LSTM(width, hidden, { batchFirst: true })
    this.head = new nn.Linear(hidden, classes)
  }
  forward(ids: Tensor): Tensor {
    return this.head.forward(this.lstm.forward(this.embedding.forward(ids)).output) as Tensor
  }
}

interface Model extends nn.Module {
  forward(x: Tensor): Tensor
}

const activations = {
  tanh: () => new nn.Tanh(),
  relu: () => new nn.ReLU(),
  gelu: () => new nn.GELU(),
  sigmoid: () => new nn.Sigmoid(),
}

function mlp(given: Given): Model {
  const widths = given.arg<number[]>('layers')
  const layers = widths.slice(1).flatMap((size, i) => {
    const linear = new nn.Linear(widths[i] as number, size)
    return i === widths.length - 2
      ? [linear]
      : [linear, activations[given.arg<keyof typeof activations>('activation')]()]
  })
  return new nn.Sequential(...(layers as never)) as unknown as Model
}

/**
 * `beforeBatchNorm` names a bias that the batch norm behind it cancels: its gradient is 0 but for rounding, and Adam turns
 * that rounding into steps of up to the learning rate. It can only be held to that.
 */
function training(make: (given: Given) => Model, input: string, beforeBatchNorm?: string) {
  return (given: Given): Comparison[] => {
    const model = make(given)
    model.to(given.device)
    nn.loadStateDict(model, new Map(given.roles('param.').map((name) => [name, given.tensor(`param.${name}`)])), {
      strict: false,
    })
    const options = Object.fromEntries(
      Object.entries(given.golden.args).filter(([name]) => ['lr', 'momentum', 'weightDecay'].includes(name)),
    )
    const optimizer = makeOptimizer(given.arg('optimizer'), model.parameters(), options)
    const losses: number[] = []
    const target = given.in('target')
    const steps = given.arg<number>('steps')
    for (let step = 0; step < steps; step++) {
      optimizer.zeroGrad()
      const logits = model.forward(given.in(input))
      const classes = logits.shape[logits.ndim - 1] as number
      const loss = ops.crossEntropy(ops.reshape(logits, [-1, classes]), ops.reshape(target, [target.numel]))
      loss.backward()
      optimizer.step()
      losses.push(loss.item())
    }
    // Rounding errors of a step feed into the next: they grow over the steps as over a sum of that many elements of each layer.
    const reduces = steps ** 2 * 1000
    const trained = [...model.namedParameters()].map(([name, p]) => ({
      what: name,
      got: p.dataSync(),
      expected: given.values(`out.${name}`).data,
      reduces,
      ...(name === beforeBatchNorm ? { bound: 2 * steps * given.arg<number>('lr') } : {}),
    }))
    return [
      { what: 'losses', got: losses, expected: given.golden.scalars?.['loss'] as readonly number[], reduces },
      ...trained,
    ]
  }
}

export const runs: { readonly [kind: string]: (given: Given) => Comparison[] } = {
  'optimizer.sgd': quadratic('sgd'),
  'optimizer.adam': quadratic('adam'),
  'optimizer.adamw': quadratic('adamw'),
  clipGradNorm: clip,
  'schedule.cosine': schedule(
    (optimizer, given) =>
      new optim.CosineAnnealingLR(optimizer, { tMax: given.arg('tMax'), etaMin: given.arg('etaMin') }),
  ),
  'schedule.linear': schedule(
    (optimizer, given) =>
      new optim.LinearLR(optimizer, {
        startFactor: given.arg('startFactor'),
        endFactor: given.arg('endFactor'),
        totalIters: given.arg('totalIters'),
      }),
  ),
  'train.mlp': training(mlp, 'x'),
  'train.cnn': training((given) => new Cnn(given), 'x', 'conv1.bias'),
  'train.lstm': training((given) => new Tagger(given), 'ids'),
}
