import * as nn from '../../../lib/nn/index.js'
import * as ops from '../../../lib/ops/index.js'
import { bool, type Kinds, largest, module, op } from './kind.js'

export const kinds: Kinds = {
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
