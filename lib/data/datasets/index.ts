export { type IdxContent, idx, readIdx, type Split } from './idx.js'
export { mnist } from './mnist.js'
