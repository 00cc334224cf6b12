export { Picture } from '../data/picture.js'
export { type ColorJitterOptions, colorJitter } from './colour.js'
export type { DecodeOptions } from './decode.js'
export { folderOf, type ImageFolder, imageFolder } from './folder.js'
export {
  centerCrop,
  type RandomCropOptions,
  type RandomErasingOptions,
  type RandomResizedCropOptions,
  type RotationOptions,
  randomCrop,
  randomErasing,
  randomHorizontalFlip,
  randomResizedCrop,
  randomRotation,
  randomVerticalFlip,
  resize,
} from './geometry.js'
export { pictures, picturesOf } from './idx.js'
export { cutmix, type ImageBatch, type MixOptions, mixup } from './mix.js'
export { type NormalizeOptions, normalize } from './normalize.js'
export { ImageProcessor, type PixelsOptions, type ProcessorJson, preprocess } from './preprocess.js'
export { type RandAugmentOptions, randAugment } from './rand-augment.js'
export { augment, type ImageStep, type PictureRow, type Size } from './step.js'
export { type TwoViews, twoViews } from './views.js'
