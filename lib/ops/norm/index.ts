/** Normalisation. */
export { type BatchNormOptions, batchNorm } from './batch.js'
export { type GroupNormOptions, groupNorm } from './group.js'
export { type InstanceNormOptions, instanceNorm } from './instance.js'
export { type LayerNormOptions, layerNorm } from './layer.js'
export { type LocalResponseNormOptions, localResponseNorm } from './local-response.js'
export { type RmsNormOptions, rmsNorm } from './rms.js'
