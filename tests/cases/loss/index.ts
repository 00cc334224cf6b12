/** The cases of losses, by the kind of their targets. */
import * as ctc from './ctc.js'
import * as labels from './labels.js'
import * as linear from './linear.js'
import * as pairs from './pairs.js'
import * as vectors from './vectors.js'

const all = [labels, linear, pairs, vectors, ctc]

export const cases = all.flatMap((each) => each.cases)
export const errors = all.flatMap((each) => each.errors)
export const calls = all.flatMap((each) => each.calls)
export const zeroSizes = {
  ...labels.zeroSizes,
  ...linear.zeroSizes,
  ...pairs.zeroSizes,
  ...vectors.zeroSizes,
  ...ctc.zeroSizes,
}
export { layers } from './layers.js'
