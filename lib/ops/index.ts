/** All operators, under their public names; importing this puts the methods on Tensor. */
import './gradients.js'
import './methods.js'

export { type AttentionOptions, scaledDotProductAttention } from './attention.js'
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
export {
  abs,
  add,
  clamp,
  cos,
  div,
  elu,
  eq,
  erf,
  exp,
  floor,
  type GeluOptions,
  ge,
  gelu,
  gt,
  hardswish,
  le,
  leakyRelu,
  log,
  log1p,
  lt,
  maximum,
  minimum,
  mish,
  mul,
  ne,
  neg,
  pow,
  reciprocal,
  relu,
  rsqrt,
  sigmoid,
  sign,
  silu,
  sin,
  softplus,
  sqrt,
  square,
  sub,
  tanh,
  where,
} from './elementwise/index.js'
export { embedding, gather, indexSelect } from './indexing.js'
export { type CrossEntropyOptions, crossEntropy, mseLoss, type Reduction } from './loss.js'
export { linear, matmul } from './matmul.js'
export { type BatchNormOptions, batchNorm, type LayerNormOptions, layerNorm } from './norm.js'
export { type AvgPool2dOptions, avgPool2d, type MaxPool2dOptions, maxPool2d } from './pool.js'
export { dropout, rand, randint, randn } from './random.js'
export { type LstmOptions, type LstmWeights, lstm } from './recurrent.js'
export { amax, amin, argmax, argmin, cumsum, logsumexp, mean, std, sum, variance } from './reduce.js'
export {
  cat,
  chunk,
  clone,
  contiguous,
  detach,
  expand,
  flatten,
  narrow,
  pad,
  permute,
  reshape,
  type SliceIndex,
  select,
  slice,
  split,
  squeeze,
  stack,
  transpose,
  unsqueeze,
  view,
} from './shape.js'
export { logSoftmax, softmax } from './softmax.js'
