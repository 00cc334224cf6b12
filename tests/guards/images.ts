/** Sound calls of `firesteel/images`: steps, each over a picture, processors, batches that are mixed, and folders. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { ImageDataset } from '../../lib/data/datasets/index.js'
import * as images from '../../lib/images/index.js'
import * as f from '../../lib/index.js'
import { type PublicCall, t } from '../cases/sound.js'
import { collector } from './collect.js'
import { path } from './folder.js'

const { entries, add, make } = collector()

const picture = () =>
  new images.Picture(
    Uint8Array.from({ length: 48 }, (_, i) => 5 * i),
    4,
    4,
    3,
  )
const row = () => ({ generator: new f.Generator(1) })
const floats = (): images.Picture => images.normalize()(picture(), new f.Generator(1))

/** A step made from the arguments, and applied. */
function addStep(step: (...args: never[]) => images.ImageStep, args: () => unknown[], of = picture): void {
  add(step.name, (...given) => step(...given)(of(), new f.Generator(1)), args)
}

addStep(images.resize, () => [[3, 5]])
addStep(images.resize, () => [3])
addStep(images.centerCrop, () => [[3, 2]])
addStep(images.randomCrop, () => [[3, 2], { padding: 1, fill: 3, padIfNeeded: true }])
addStep(images.randomResizedCrop, () => [3, { scale: [0.5, 1], ratio: [0.5, 2] }])
addStep(images.randomHorizontalFlip, () => [1])
addStep(images.randomVerticalFlip, () => [1])
addStep(images.randomRotation, () => [30, { interpolation: 'bilinear', fill: 1 }])
addStep(images.randomRotation, () => [[-30, 30]])
addStep(images.randomErasing, () => [{ p: 1, scale: [0.1, 0.5], ratio: [0.5, 2], value: 3 }])
addStep(images.randomErasing, () => [{ p: 1, value: 'random' }], floats)
addStep(images.colorJitter, () => [{ brightness: 0.5, contrast: [0.5, 1], saturation: 0.2, hue: 0.1 }])
addStep(images.randAugment, () => [{ numOps: 2, magnitude: 9, numMagnitudeBins: 31, fill: 3 }])
addStep(images.normalize, () => [{ mean: [0.5, 0.5, 0.5], std: 2 }])
addStep(images.normalize, () => ['imagenet'])
addStep(images.preprocess as never, () => [processorJson()])

const processorJson = () => ({ image_processor_type: 'ViTImageProcessor', size: { height: 3, width: 3 } })
const processor = new images.ImageProcessor(processorJson())
make('ImageProcessor', images.ImageProcessor as never, () => [processorJson(), 'the settings'])
add(
  'ImageProcessor.process',
  (x) => processor.process(x),
  () => [picture()],
)
add(
  'ImageProcessor.pixels',
  (x, options) => processor.pixels(x, options),
  () => [[picture()], { device: 'cpu' }],
)
mkdirSync(path('processor'))
writeFileSync(path('processor/preprocessor_config.json'), JSON.stringify(processorJson()))
add('ImageProcessor.load', images.ImageProcessor.load, () => [path('processor')])

const still: images.ImageStep = (x) => x
for (const name of ['augment', 'twoViews'] as const) {
  const rows = images[name] as (...steps: images.ImageStep[]) => (row: unknown, context: unknown) => unknown
  add(
    name,
    (first, second) => rows(first, second)([picture(), 1], row()),
    () => [still, still],
  )
  add(
    name,
    (given, context) => rows(still)(given, context),
    () => [{ image: picture() }, row()],
  )
}

const batch = () => [t(2, 3, 4, 4), f.tensor([0, 1], { dtype: 'int32' })]
for (const name of ['mixup', 'cutmix'] as const) {
  add(
    name,
    (alpha, options) => images[name](alpha, options)(batch() as never, new f.Generator(1)),
    () => [0.5, { classes: 2 }],
  )
  add(
    name,
    (given, generator) => images[name](1, { classes: 2 })(given, generator),
    () => [batch(), new f.Generator(1)],
  )
}

const dataset = () => new ImageDataset(new Uint8Array(24), new Uint8Array(2), [3, 2, 2])
add(
  'pictures',
  (of) => images.pictures(of).get(0),
  () => [dataset()],
)
add(
  'pictures',
  (index) => images.pictures(dataset()).get(index),
  () => [1],
)

mkdirSync(path('classes/a'), { recursive: true })
// This is a grey pixel.
const png = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=='
writeFileSync(path('classes/a/1.png'), Buffer.from(png, 'base64'))
add(
  'imageFolder',
  async (from, options) => (await images.imageFolder(from, options)).get(0),
  () => [path('classes'), { channels: 1, resize: 2 }],
)
add(
  'ImageFolder',
  async (index) => (await images.imageFolder(path('classes'))).get(index),
  () => [0],
)

export const imageCalls: readonly PublicCall[] = entries
