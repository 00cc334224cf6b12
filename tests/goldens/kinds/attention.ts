import type { Tensor } from '../../../lib/core/tensor.js'
import * as nn from '../../../lib/nn/index.js'
import * as ops from '../../../lib/ops/index.js'
import type { Given } from '../cases.js'
import { bool, type Kinds, largest, module, op } from './kind.js'

/** The named parameters of the case as tensors. */
const parameter = (given: Given, name: string) => given.tensor(`param.${name}`)

const block = (given: Given): nn.TransformerLayerOptions => ({
  dimFeedforward: given.arg('dimFeedforward'),
  normFirst: given.option('normFirst', false),
  activation: given.option<'relu' | 'gelu'>('activation', 'relu'),
  layerNormEps: given.option('layerNormEps', 1e-5),
  bias: given.option('bias', true),
  dropout: 0,
})

/** -Infinity above the diagonal, as in the cases of decoders. */
const later = (target: Tensor) => nn.Transformer.generateSquareSubsequentMask(target.size(1), { device: target.device })

/** A mask among the case's inputs, with PyTorch's meaning, or null if the case has none. */
const hides = (given: Given, name: string) => (given.has(`in.${name}`) ? bool(given.in(name)) : null)

const scores: { readonly [score: string]: (given: Given) => ops.ScoreFunction } = {
  general: (given) => (q, k) => ops.generalScores(q, k, parameter(given, 'w')),
  cosine: (given) => (q, k) => ops.cosineScores(ops.matmul(q, parameter(given, 'w')), k, { scale: 5 }),
}

export const kinds: Kinds = {
  scaledDotProductAttention: op((given) => {
    const attnMask = given.has('in.mask') ? bool(given.in('mask')) : given.has('in.bias') ? given.in('bias') : null
    const lengths = given.option<number[] | null>('lengths', null)
    return ops.scaledDotProductAttention(given.in('q'), given.in('k'), given.in('v'), {
      attnMask,
      isCausal: given.arg('isCausal'),
      scale: given.option<number | undefined>('scale', undefined),
      offset: given.option<number | undefined>('offset', undefined),
      window: given.option<number | undefined>('window', undefined),
      lengths: lengths && ops.tensor(lengths, { dtype: 'int32', device: given.device }),
    })
  }, largest),
  additiveAttention: op(
    (given) =>
      ops.attention(given.in('q'), given.in('k'), given.in('v'), {
        score: (q, k) =>
          ops.additiveScores(q, k, parameter(given, 'wq'), parameter(given, 'wk'), parameter(given, 'v')),
      }),
    largest,
  ),
  customScoreAttention: op((given) => {
    const score = scores[given.arg<string>('score')]
    if (score === undefined) throw new Error(`there is no score ${given.arg('score')}`)
    return ops.attention(given.in('q'), given.in('k'), given.in('v'), { score: score(given) })
  }, largest),
  alibiAttention: op(
    (given) =>
      ops.scaledDotProductAttention(given.in('q'), given.in('k'), given.in('v'), {
        alibi: true,
        isCausal: given.option('isCausal', true),
      }),
    largest,
  ),
  rotaryEmbedding: op((given) =>
    ops.rotaryEmbedding(given.in('x'), {
      base: given.option('base', 10_000),
      layout: given.option<'halves' | 'pairs'>('layout', 'halves'),
      offset: given.option('offset', 0),
      dims: given.option<number | undefined>('dims', undefined),
      scaling: given.option<ops.RotaryScaling | null>('scaling', null),
    }),
  ),
  sinusoidalEncoding: op((given) => ops.sinusoidalEncoding(given.in('x'), { offset: given.option('offset', 0) })),
  multiheadAttention: module(
    (given) =>
      new nn.MultiheadAttention(given.arg('embedDim'), given.arg('numHeads'), {
        kdim: given.option<number | undefined>('kdim', undefined),
        vdim: given.option<number | undefined>('vdim', undefined),
        bias: given.option('bias', true),
        addBiasKv: given.option('addBiasKv', false),
        addZeroAttn: given.option('addZeroAttn', false),
      }),
    (m: nn.MultiheadAttention, given) => {
      const [q, k, v] = [given.in('q'), given.in('k'), given.in('v')]
      const inputs = { keyPaddingMask: hides(given, 'keyPaddingMask'), attnMask: hides(given, 'attnMask') }
      return given.has('out.1')
        ? m.forward(q, k, v, {
            ...inputs,
            needWeights: true,
            averageAttnWeights: given.values('out.1').shape.length === 3,
          })
        : m.forward(q, k, v, inputs)
    },
  ),
  transformerEncoderLayer: module(
    (given) => new nn.TransformerEncoderLayer(given.arg('dModel'), given.arg('nhead'), block(given)),
    (m: nn.TransformerEncoderLayer, given) =>
      m.forward(given.in('x'), {
        srcKeyPaddingMask: hides(given, 'keyPaddingMask'),
        isCausal: given.option('isCausal', false),
      }),
  ),
  transformerDecoderLayer: module(
    (given) => new nn.TransformerDecoderLayer(given.arg('dModel'), given.arg('nhead'), block(given)),
    (m: nn.TransformerDecoderLayer, given) =>
      m.forward(given.in('x'), given.in('memory'), { tgtMask: later(given.in('x')), tgtIsCausal: true }),
  ),
  transformerEncoder: module(
    (given) =>
      new nn.TransformerEncoder(
        () => new nn.TransformerEncoderLayer(given.arg('dModel'), given.arg('nhead'), block(given)),
        given.arg('numLayers'),
        { norm: given.option('finalNorm', false) ? (new nn.LayerNorm(given.arg<number>('dModel')) as nn.Model) : null },
      ),
    (m: nn.TransformerEncoder, given) => m.forward(given.in('x')),
  ),
  transformer: module(
    (given) =>
      new nn.Transformer({
        dModel: given.arg('dModel'),
        nhead: given.arg('nhead'),
        numEncoderLayers: given.arg('numEncoderLayers'),
        numDecoderLayers: given.arg('numDecoderLayers'),
        ...block(given),
      }),
    (m: nn.Transformer, given) =>
      m.forward(given.in('src'), given.in('tgt'), { tgtMask: later(given.in('tgt')), tgtIsCausal: true }),
  ),
}
