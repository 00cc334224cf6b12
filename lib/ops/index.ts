/** All operators, under their public names; importing this puts the methods on Tensor. */
import './methods.js'

export * from './attention.js'
export { type Conv2dOptions, conv2d, type Pair } from './conv.js'
export {
  arange,
  type CreationOptions,
  eye,
  fromTypedArray,
  full,
  type NestedArray,
  ones,
  tensor,
  zeros,
} from './creation.js'
export * from './elementwise/index.js'
export { embedding, gather, indexSelect } from './indexing.js'
export { type CrossEntropyOptions, crossEntropy, mseLoss, type Reduction } from './loss.js'
export { linear, matmul } from './matmul.js'
export { type BatchNormOptions, batchNorm, type LayerNormOptions, layerNorm } from './norm.js'
export { type AvgPool2dOptions, avgPool2d, type MaxPool2dOptions, maxPool2d } from './pool.js'
export { dropout, rand, randint, randn } from './random.js'
export { type LstmOptions, type LstmWeights, lstm } from './recurrent.js'
export { amax, amin, argmax, argmin, cumsum, logsumexp, mean, std, sum, variance } from './reduce.js'
export * from './shape.js'
export { logSoftmax, softmax } from './softmax.js'
