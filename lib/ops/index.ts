/**
 * All operators under their public names. Everything that a family's file exports is public, so that no operator is
 * listed by hand; helpers that families share stand in other files. Importing this adds each family's methods to
 * Tensor.
 */
import './convert.js'
import './gradients.js'
import './inplace.js'
import './print.js'
import './read.js'

export * from './attention/index.js'
export * from './conv.js'
export * from './creation.js'
export * from './dropout.js'
export * from './einsum.js'
export * from './elementwise/index.js'
export * from './indexing/index.js'
export * from './interpolate/index.js'
export * from './like.js'
export * from './loss/index.js'
export * from './matmul.js'
export * from './norm/index.js'
export * from './pool/index.js'
export * from './products.js'
export * from './random.js'
export * from './recurrent/index.js'
export * from './reduce/index.js'
export * from './shape/index.js'
export * from './softmax.js'
export * from './sort/index.js'
export * from './statistics.js'
export * from './vectors.js'
