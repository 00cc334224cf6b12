export { idx, type IdxContent, readIdx, type Split } from './idx.js'
export { mnist } from './mnist.js'
