/** Calls of transformer blocks and stacks, which belong to the family of attention. */
import * as f from '../../lib/index.js'
import { bools, layer, type PublicCall, t } from './sound.js'

const { nn } = f
const inner = [
  'MultiheadAttention',
  'MultiheadAttention.forward',
  'scaledDotProductAttention',
  'layerNorm',
  'linear',
  'add',
]
const lengths = () => f.tensor([2], { dtype: 'int32' })
const block = { dimFeedforward: 6, dropout: 0, layerNormEps: 1e-3, normFirst: true, bias: false } as const
const own = { tgtMask: null, tgtIsCausal: true, tgtWindow: 2 } as const
const decoder = () => ({
  ...own,
  tgtKeyPaddingMask: bools(1, 3),
  tgtLengths: lengths(),
  memoryMask: t(3, 2),
  memoryKeyPaddingMask: bools(1, 2),
  memoryIsCausal: false,
  memoryLengths: lengths(),
})

export const layers: readonly PublicCall[] = [
  ...layer(
    'MultiheadAttention',
    nn.MultiheadAttention,
    (): ConstructorParameters<typeof nn.MultiheadAttention> => [
      4,
      2,
      { kdim: 3, vdim: 5, addBiasKv: true, addZeroAttn: true, bias: false, dropout: 0.1 },
    ],
    () => [
      ...[t(1, 3, 4), t(1, 2, 3), t(1, 2, 5)],
      { attnMask: bools(3, 2), keyPaddingMask: bools(1, 2), needWeights: true, averageAttnWeights: false },
    ],
    ...['MultiheadAttention', 'attention', 'linear', 'Linear'],
  ),
  ...layer(
    'TransformerDecoderLayer',
    nn.TransformerDecoderLayer,
    (): ConstructorParameters<typeof nn.TransformerDecoderLayer> => [
      4,
      2,
      { ...block, activation: 'gelu', batchFirst: true },
    ],
    () => [t(1, 3, 4), t(1, 2, 4), decoder()],
    ...['TransformerDecoderLayer', ...inner],
  ),
  ...layer(
    'TransformerEncoder',
    nn.TransformerEncoder,
    (): ConstructorParameters<typeof nn.TransformerEncoder> => [
      () => new nn.TransformerEncoderLayer(4, 2, block),
      2,
      { norm: new nn.LayerNorm(4) as f.nn.Model },
    ],
    () => [t(1, 3, 4), { mask: t(3, 3), srcKeyPaddingMask: bools(1, 3), isCausal: true, offset: 0, window: 2 }],
    ...['TransformerEncoderLayer', 'TransformerEncoderLayer.forward', ...inner],
  ),
  ...layer(
    'TransformerDecoder',
    nn.TransformerDecoder,
    (): ConstructorParameters<typeof nn.TransformerDecoder> => [
      () => new nn.TransformerDecoderLayer(4, 2, block),
      2,
      { norm: new nn.LayerNorm(4) as f.nn.Model },
    ],
    () => [t(1, 3, 4), t(1, 2, 4), decoder()],
    ...['TransformerDecoderLayer', 'TransformerDecoderLayer.forward', ...inner],
  ),
  ...layer(
    'Transformer',
    nn.Transformer,
    (): ConstructorParameters<typeof nn.Transformer> => [
      { dModel: 4, nhead: 2, numEncoderLayers: 1, numDecoderLayers: 1, ...block, activation: 'gelu' },
    ],
    () => [
      ...[t(1, 2, 4), t(1, 3, 4)],
      { srcMask: t(2, 2), srcKeyPaddingMask: bools(1, 2), srcIsCausal: true, srcLengths: lengths(), ...decoder() },
    ],
    ...['TransformerEncoder', 'TransformerDecoder', 'TransformerEncoderLayer', 'TransformerDecoderLayer'],
    ...['TransformerEncoder.forward', 'TransformerDecoder.forward'],
    ...['TransformerEncoderLayer.forward', 'TransformerDecoderLayer.forward', 'Transformer', ...inner],
  ),
]
