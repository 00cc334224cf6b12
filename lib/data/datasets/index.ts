export { ImageDataset, type ImageOptions } from '../images.js'
export { type IdxContent, idx, readIdx, type Split } from './idx.js'
export { mnist } from './mnist.js'
