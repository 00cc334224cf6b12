/** All operators, under their public names; importing this puts the methods on Tensor. */
import './methods.js'

export * from './attention.js'
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
export { avgPool2d, type AvgPool2dOptions, maxPool2d, type MaxPool2dOptions } from './pool.js'
export { conv2d, type Conv2dOptions, type Pair } from './conv.js'
export * from './elementwise/index.js'
export { embedding, gather, indexSelect } from './indexing.js'
export { crossEntropy, type CrossEntropyOptions, mseLoss, type Reduction } from './loss.js'
export { linear, matmul } from './matmul.js'
export { batchNorm, type BatchNormOptions, layerNorm, type LayerNormOptions } from './norm.js'
export { dropout, rand, randint, randn } from './random.js'
export { lstm, type LstmOptions, type LstmWeights } from './recurrent.js'
export { amax, amin, argmax, argmin, cumsum, logsumexp, mean, std, sum, variance } from './reduce.js'
export * from './shape.js'
export { logSoftmax, softmax } from './softmax.js'
