/**
 * Operators under their names in `torch.nn.functional`. Families of which only a part belongs here are listed name by
 * name.
 */
export * from '../ops/attention/index.js'
export * from '../ops/conv.js'
export * from '../ops/dropout.js'
export * from '../ops/elementwise/activations.js'
export { glu, prelu, type RreluOptions, rrelu, swiglu } from '../ops/elementwise/gated.js'
export * from '../ops/elementwise/piecewise.js'
export {
  type EmbeddingBagOptions,
  type EmbeddingOptions,
  embedding,
  embeddingBag,
  oneHot,
} from '../ops/indexing/index.js'
export * from '../ops/interpolate/index.js'
export * from '../ops/loss/index.js'
export { linear } from '../ops/matmul.js'
export * from '../ops/norm/index.js'
export * from '../ops/pool/index.js'
export { bilinear } from '../ops/products.js'
export * from '../ops/recurrent/index.js'
export {
  type CosineSimilarityOptions,
  cosineSimilarity,
  type NormalizeOptions,
  normalize,
} from '../ops/reduce/index.js'
export * from '../ops/shape/channels.js'
export { fold, type PadMode, type PadOptions, pad, type UnfoldOptions, unfold } from '../ops/shape/index.js'
export * from '../ops/softmax.js'
