/** Golden kinds that are short trainings: the loss of every step, and the parameters at the end. */
import type { Tensor } from '../../lib/core/tensor.js'
import * as nn from '../../lib/nn/index.js'
import * as ops from '../../lib/ops/index.js'
import type { Given } from './cases.js'
import { makeOptimizer } from './optimizers.js'
import type { Comparison, Runs } from './run.js'

/** A parameter's sizes, which determine the sizes of its layer. */
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
  return new nn.Sequential(...(layers as readonly nn.Layer[])) as unknown as Model
}

/**
 * `beforeBatchNorm` names a bias that the following batch norm cancels. Its gradient is 0 except for rounding, and Adam
 * turns that rounding into steps of up to the learning rate, so the bias can be compared only to that accuracy.
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
    // A step's rounding errors enter the next step. They grow over the steps as over a sum of that many elements of
    // each layer.
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

export const runs: Runs = {
  'train.mlp': training(mlp, 'x'),
  'train.cnn': training((given) => new Cnn(given), 'x', 'conv1.bias'),
  'train.lstm': training((given) => new Tagger(given), 'ids'),
}
