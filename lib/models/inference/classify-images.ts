/** Classifies images. */
import { checkTensor } from '../../autograd/operator.js'
import { ValueError } from '../../core/errors.js'
import { type OptionNames, ownOptions } from '../../core/options.js'
import { Tensor } from '../../core/tensor.js'
import type { Picture } from '../../data/picture.js'
import { ImageProcessor } from '../../images/preprocess.js'
import { castTo } from '../../ops/convert.js'
import { narrow } from '../../ops/shape/index.js'
import type { ImageClassifier } from '../image.js'
import { checkCount, predicting } from './run.js'
import { type Classified, type VerdictOptions, verdicts } from './verdict.js'

/** A picture, or the path of a file, which sharp decodes. */
export type Image = Picture | string

export interface ClassifyImagesOptions extends VerdictOptions {
  /** The processor from pictures to pixels. Default: the one in the model's folder. */
  readonly processor?: ImageProcessor
  /** The number of images in a batch. Default 16. */
  readonly batchSize?: number
}

const names: OptionNames<ClassifyImagesOptions> = {
  processor: true,
  batchSize: true,
  activation: true,
  threshold: true,
}

/** Implements `ImageClassifier.classify`. */
export async function classifyImages(
  model: ImageClassifier,
  images: Tensor | Image | readonly Image[],
  options: ClassifyImagesOptions,
): Promise<Classified | Classified[]> {
  const op = `${model.constructor.name}.classify`
  const { processor, batchSize = 16, ...rest } = ownOptions(op, options, names)
  checkCount(op, 'batchSize', batchSize, 1)
  const verdict = verdicts(op, model.config, rest)
  const { device } = model.body.firstWeight()
  const told: Classified[] = []
  /** Adds the classes of a batch, [N, channels, H, W]. */
  const tell = async (pixels: Tensor): Promise<void> => {
    const scores = predicting(model, () => castTo(model.forward(pixels.to(device) as Tensor), 'float32'))
    const values = (await scores.data()) as Float32Array
    const classes = scores.sizes[1] as number
    for (let at = 0; at < values.length; at += classes) told.push(verdict(values.subarray(at, at + classes)))
    scores.dispose()
  }
  if (images instanceof Tensor) {
    checkTensor(op, 'images', images)
    const count = images.sizes[0] ?? 0
    // The model's own check reports pixels that are not a batch.
    if (images.ndim !== 4 || count <= batchSize) await tell(images)
    else
      for (let at = 0; at < count; at += batchSize) await tell(narrow(images, 0, at, Math.min(batchSize, count - at)))
    return told
  }
  const own = processor ?? processorOf(op, model)
  const list: readonly Image[] = Array.isArray(images) ? images : [images as Image]
  for (let at = 0; at < list.length; at += batchSize) {
    const pixels = await own.pixels(list.slice(at, at + batchSize))
    try {
      await tell(pixels)
    } finally {
      pixels.dispose()
    }
  }
  return Array.isArray(images) ? told : (told[0] as Classified)
}

function processorOf(op: string, { preprocessorConfig }: ImageClassifier): ImageProcessor {
  if (preprocessorConfig !== null) return new ImageProcessor(preprocessorConfig, 'preprocessor_config.json')
  throw new ValueError(
    op,
    "the model's folder had no preprocessor_config.json, so it is unknown how pictures become pixels; give { processor }, an " +
      'ImageProcessor, or pixels [N, channels, H, W]',
  )
}
