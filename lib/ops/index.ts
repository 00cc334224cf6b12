/**
 * All operators, under their public names: all that the file of a family exports is public, so that none is listed. What the
 * families share among themselves stands in other files. Importing this puts the methods on Tensor: each family its own.
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
