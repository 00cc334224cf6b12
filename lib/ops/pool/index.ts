/** Pooling over windows of [N, C, D, H, W], [N, C, H, W] or [N, C, L], each also without N. */
export {
  type AdaptiveMaxPoolOptions,
  adaptiveAvgPool1d,
  adaptiveAvgPool2d,
  adaptiveMaxPool1d,
  adaptiveMaxPool2d,
  type OutputSize,
  type OutputSize3d,
} from './adaptive.js'
export { adaptiveAvgPool3d, adaptiveMaxPool3d } from './adaptive-volume.js'
export { type AvgPool1dOptions, type AvgPool2dOptions, avgPool1d, avgPool2d } from './average.js'
export {
  type LpPool1dOptions,
  type LpPool2dOptions,
  type LpPool3dOptions,
  lpPool1d,
  lpPool2d,
  lpPool3d,
} from './lp.js'
export { type MaxPool1dOptions, type MaxPool2dOptions, maxPool1d, maxPool2d, type WithIndices } from './max.js'
export {
  type MaxUnpool1dOptions,
  type MaxUnpool2dOptions,
  type MaxUnpool3dOptions,
  maxUnpool1d,
  maxUnpool2d,
  maxUnpool3d,
} from './unpool.js'
export { type AvgPool3dOptions, avgPool3d, type MaxPool3dOptions, maxPool3d } from './volume.js'
