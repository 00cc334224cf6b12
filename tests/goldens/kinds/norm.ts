import * as nn from '../../../lib/nn/index.js'
import type { Given } from '../cases.js'
import { type Kinds, module } from './kind.js'

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

export const kinds: Kinds = {
  batchNorm1d: module(batchNorm, (m: nn.BatchNorm1d, given) => m.forward(given.in('x'))),
  batchNorm2d: module(batchNorm, (m: nn.BatchNorm2d, given) => m.forward(given.in('x'))),
  layerNorm: module(
    (given) => new nn.LayerNorm(given.arg<number[]>('normalizedShape'), { eps: given.arg('eps') }),
    (m: nn.LayerNorm, given) => m.forward(given.in('x')),
  ),
}
