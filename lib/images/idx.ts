/** Pictures of IDX files, as rows for augmentations. */
import { kindOf, shown, ValueError } from '../core/errors.js'
import { Dataset } from '../data/dataset.js'
import { ImageDataset } from '../data/images.js'
import { Picture } from '../data/picture.js'
import { withRecipe } from '../data/recipe.js'
import { recipe } from './step.js'

interface Pixels {
  /** [N, C, H, W], in memory that threads share. */
  readonly bytes: Uint8Array
  readonly labels: Uint8Array
  readonly shape: readonly [number, number, number]
}

class Pictures extends Dataset<readonly [image: Picture, label: number]> {
  readonly #pixels: Pixels

  constructor(pixels: Pixels) {
    super()
    this.#pixels = pixels
  }

  get length(): number {
    return this.#pixels.labels.length
  }

  override get rowDTypes(): readonly [undefined, 'int32'] {
    return [undefined, 'int32']
  }

  get(index: number): readonly [Picture, number] {
    const { bytes, labels, shape } = this.#pixels
    const [channels, height, width] = shape
    const label = Number.isSafeInteger(index) ? labels[index] : undefined
    if (label === undefined)
      throw new ValueError('pictures', `index ${shown(index)} lies outside the ${this.length} pictures`)
    const size = height * width
    const from = index * channels * size
    const data = new Uint8Array(channels * size)
    for (let c = 0; c < channels; c++)
      for (let i = 0; i < size; i++) data[i * channels + c] = bytes[from + c * size + i] as number
    return [new Picture(data, height, width, channels), label]
  }
}

/**
 * The images of IDX files or other bytes as rows [picture, label], for augmentations: `pictures((await
 * mnist()).train).map(augment(randomCrop(28, { padding: 2 }), normalize()))`. The dataset's own mean and std are
 * ignored; `normalize` sets them. Throws ValueError for anything but an ImageDataset.
 */
export function pictures(images: ImageDataset): Dataset<readonly [image: Picture, label: number]> {
  if (!(images instanceof ImageDataset))
    throw new ValueError('pictures', `takes an ImageDataset, such as mnist().train, but got ${kindOf(images)}`)
  const bytes = new Uint8Array(new SharedArrayBuffer(images.pixels.length))
  bytes.set(images.pixels)
  return picturesOf({ bytes, labels: images.labels, shape: images.shape })
}

/** The rows of `pictures` from shared memory, which is how threads make them. */
export function picturesOf(pixels: Pixels): Dataset<readonly [image: Picture, label: number]> {
  return withRecipe(new Pictures(pixels), recipe('picturesOf', [pixels]))
}
