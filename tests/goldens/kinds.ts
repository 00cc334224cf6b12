/** How each kind of golden case is run through the public operators and modules. */
import type { Tensor } from '../../lib/core/tensor.js'
import * as nn from '../../lib/nn/index.js'
import * as ops from '../../lib/ops/index.js'
import type { Given } from './cases.js'

/** What a kind made: outputs in order, tensors by the role of what is expected, and parameters whose gradients are checked. */
export interface Outcome {
  readonly outputs: readonly Tensor[]
  readonly parameters?: ReadonlyMap<string, Tensor>
  readonly buffers?: ReadonlyMap<string, Tensor>
}

export interface Kind {
  run(given: Given): Outcome
  /** Length of the longest sum behind one element: what the tolerance grows with. */
  reduces(given: Given): number
}

const one = () => 1

/** An operator over the case's inputs in their order. */
function op(fn: (given: Given) => Tensor | readonly Tensor[], reduces: (given: Given) => number = one): Kind {
  return {
    run(given) {
      const made = fn(given)
      return { outputs: Array.isArray(made) ? (made as readonly Tensor[]) : [made as Tensor] }
    },
    reduces,
  }
}

const unary = (fn: (x: Tensor) => Tensor) => op((given) => fn(given.in('x')))
const binary = (fn: (a: Tensor, b: Tensor) => Tensor) => op((given) => fn(given.in('a'), given.in('b')), largest)

/** The largest input's number of elements: a bound on any sum over it. */
function largest(given: Given): number {
  return Math.max(1, ...given.roles('in.').map((name) => given.values(`in.${name}`).data.length))
}

function reduction(fn: (x: Tensor, dim: number[] | null, options: { keepdim: boolean }) => Tensor): Kind {
  return op((given) => fn(given.in('x'), given.arg('dim'), { keepdim: given.arg('keepdim') }), largest)
}

/** A module whose parameters (and buffers) are set to the case's, run on its inputs. */
function module(make: (given: Given) => nn.Module, call: (m: never, given: Given) => Tensor | readonly Tensor[]): Kind {
  return {
    run(given) {
      const built = make(given).to(given.device)
      const parameters = new Map(built.namedParameters())
      nn.loadStateDict(built, new Map(given.roles('param.').map((name) => [name, given.tensor(`param.${name}`)])), {
        strict: false,
      })
      const missing = [...parameters.keys()].filter((name) => !given.has(`param.${name}`))
      if (missing.length > 0) throw new Error(`${given.golden.name} has no values for ${missing.join(', ')}`)
      const made = call(built as never, given)
      return {
        outputs: Array.isArray(made) ? (made as readonly Tensor[]) : [made as Tensor],
        parameters,
        buffers: new Map(built.namedBuffers()),
      }
    },
    reduces: (given) =>
      Math.max(largest(given), ...given.roles('param.').map((name) => given.values(`param.${name}`).data.length)),
  }
}

function conv(given: Given): nn.Module {
  const option = <T>(name: string) => given.arg<T>(name)
  return new nn.Conv2d(option<number>('inChannels'), option<number>('outChannels'), option<ops.Pair>('kernelSize'), {
    stride: option<ops.Pair>('stride'),
    padding: option<ops.Pair>('padding'),
    dilation: option<ops.Pair>('dilation'),
    groups: option<number>('groups'),
    bias: option<boolean>('bias'),
  })
}

function batchNorm(given: Given): nn.Module {
  const Layer = given.golden.kind === 'batchNorm1d' ? nn.BatchNorm1d : nn.BatchNorm2d
  const layer = new Layer(given.arg<number>('numFeatures'), { momentum: given.arg('momentum'), eps: given.arg('eps') })
  const training = given.arg<boolean>('training')
  // An evaluation leaves its running statistics alone: what is expected after the call is what was there before.
  if (!training)
    nn.loadStateDict(layer, new Map(given.roles('buffer.').map((name) => [name, given.tensor(`buffer.${name}`)])), {
      strict: false,
    })
  return layer.train(training)
}

const bool = (x: Tensor): Tensor => x.to('bool')

export const kinds: { readonly [kind: string]: Kind } = {
  ...Object.fromEntries(
    (
      [
        'relu',
        'silu',
        'sigmoid',
        'tanh',
        'softplus',
        'elu',
        'leakyRelu',
        'mish',
        'hardswish',
        'exp',
        'sin',
        'cos',
        'erf',
        'neg',
        'abs',
        'square',
        'log',
        'sqrt',
        'rsqrt',
        'reciprocal',
        'log1p',
      ] as const
    ).map((name) => [name, unary((x) => ops[name](x))]),
  ),
  gelu: op((given) => ops.gelu(given.in('x'), { approximate: given.option('approximate', 'none') })),
  add: binary((a, b) => ops.add(a, b)),
  sub: binary((a, b) => ops.sub(a, b)),
  mul: binary((a, b) => ops.mul(a, b)),
  div: binary((a, b) => ops.div(a, b)),
  maximum: binary((a, b) => ops.maximum(a, b)),
  minimum: binary((a, b) => ops.minimum(a, b)),
  pow: op((given) => ops.pow(given.in('x'), given.arg<number>('exponent'))),
  clamp: op((given) => ops.clamp(given.in('x'), given.arg('min'), given.arg('max'))),
  where: op((given) => ops.where(bool(given.in('condition')), given.in('a'), given.in('b'))),

  sum: reduction(ops.sum),
  mean: reduction(ops.mean),
  amax: reduction(ops.amax),
  logsumexp: reduction(ops.logsumexp),
  var: op(
    (given) =>
      ops.variance(given.in('x'), given.arg('dim'), {
        keepdim: given.arg('keepdim'),
        correction: given.arg('correction'),
      }),
    largest,
  ),
  softmax: op((given) => ops.softmax(given.in('x'), given.arg('dim')), largest),
  logSoftmax: op((given) => ops.logSoftmax(given.in('x'), given.arg('dim')), largest),
  cumsum: op((given) => ops.cumsum(given.in('x'), given.arg('dim')), largest),

  permute: op((given) => ops.permute(given.in('x'), given.arg('dims'))),
  reshape: op((given) => ops.reshape(given.in('x'), given.arg<number[]>('shape'))),
  slice: op((given) => {
    const [start, end] = [given.arg<number[]>('start'), given.arg<number[]>('end')]
    return ops.slice(given.in('x'), ...start.map((from, i) => [from, end[i] as number] as const))
  }),
  pad: op((given) => ops.pad(given.in('x'), given.arg('pad'), given.arg('value'))),
  cat: op((given) => ops.cat([given.in('a'), given.in('b')], given.arg('dim'))),
  stack: op((given) => ops.stack([given.in('a'), given.in('b')], given.arg('dim'))),
  expand: op(
    (given) => ops.expand(given.in('x'), given.arg<number[]>('shape')),
    (given) => given.arg<number[]>('shape').reduce((a, b) => a * b, 1),
  ),
  indexSelect: op((given) => ops.indexSelect(given.in('x'), given.arg('dim'), given.in('index')), largest),
  gather: op((given) => ops.gather(given.in('x'), given.arg('dim'), given.in('index')), largest),
  embedding: {
    run(given) {
      const weight = given.tensor('param.weight')
      return {
        outputs: [ops.embedding(given.in('ids'), weight, { paddingIdx: given.option('paddingIdx', null) })],
        parameters: new Map([['weight', weight]]),
      }
    },
    reduces: largest,
  },

  matmul: op((given) => ops.matmul(given.in('a'), given.in('b')), largest),
  linear: {
    run(given) {
      const [weight, bias] = [given.tensor('param.weight'), given.tensor('param.bias')]
      return {
        outputs: [ops.linear(given.in('x'), weight, bias)],
        parameters: new Map([
          ['weight', weight],
          ['bias', bias],
        ]),
      }
    },
    reduces: largest,
  },

  conv2d: module(conv, (m: nn.Conv2d, given) => m.forward(given.in('x'))),
  maxPool2d: op((given) =>
    ops.maxPool2d(given.in('x'), given.arg('kernelSize'), {
      stride: given.arg('stride'),
      padding: given.arg('padding'),
    }),
  ),
  avgPool2d: op(
    (given) =>
      ops.avgPool2d(given.in('x'), given.arg('kernelSize'), {
        stride: given.arg('stride'),
        padding: given.arg('padding'),
        countIncludePad: given.arg('countIncludePad'),
      }),
    largest,
  ),
  batchNorm1d: module(batchNorm, (m: nn.BatchNorm1d, given) => m.forward(given.in('x'))),
  batchNorm2d: module(batchNorm, (m: nn.BatchNorm2d, given) => m.forward(given.in('x'))),
  layerNorm: module(
    (given) => new nn.LayerNorm(given.arg<number[]>('normalizedShape'), { eps: given.arg('eps') }),
    (m: nn.LayerNorm, given) => m.forward(given.in('x')),
  ),

  crossEntropy: op((given) => {
    const weight = given.option<number[] | null>('weight', null)
    return ops.crossEntropy(given.in('logits'), given.in('target'), {
      reduction: given.option('reduction', 'mean'),
      ignoreIndex: given.option('ignoreIndex', -100),
      labelSmoothing: given.option('labelSmoothing', 0),
      weight: weight && ops.tensor(weight, { device: given.device }),
    })
  }, largest),
  mseLoss: op(
    (given) => ops.mseLoss(given.in('input'), given.in('target'), { reduction: given.arg('reduction') }),
    largest,
  ),

  lstm: module(
    (given) =>
      new nn.LSTM(given.arg('inputSize'), given.arg('hiddenSize'), {
        numLayers: given.arg('numLayers'),
        bidirectional: given.arg('bidirectional'),
        batchFirst: given.arg('batchFirst'),
      }),
    (m: nn.LSTM, given) => {
      const { output, state } = m.forward(
        given.in('x'),
        given.has('in.h0') ? [given.in('h0'), given.in('c0')] : undefined,
      )
      return [output, ...state]
    },
  ),

  scaledDotProductAttention: op((given) => {
    const attnMask = given.has('in.mask') ? bool(given.in('mask')) : given.has('in.bias') ? given.in('bias') : null
    return ops.scaledDotProductAttention(given.in('q'), given.in('k'), given.in('v'), {
      attnMask,
      isCausal: given.arg('isCausal'),
      scale: given.option<number | undefined>('scale', undefined),
    })
  }, largest),
  multiheadAttention: module(
    (given) => new nn.MultiheadAttention(given.arg('embedDim'), given.arg('numHeads')),
    (m: nn.MultiheadAttention, given) => m.forward(given.in('q'), given.in('k'), given.in('v')),
  ),
  transformerEncoderLayer: module(
    (given) =>
      new nn.TransformerEncoderLayer(given.arg('dModel'), given.arg('nhead'), {
        dimFeedforward: given.arg('dimFeedforward'),
        normFirst: given.arg('normFirst'),
        activation: given.arg('activation'),
        dropout: 0,
      }),
    (m: nn.TransformerEncoderLayer, given) => m.forward(given.in('x')),
  ),
}
