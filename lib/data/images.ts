import { ShapeError, ValueError } from '../core/errors.js'
import { checkOptions } from '../core/options.js'
import type { Tensor } from '../core/tensor.js'
import { fromTypedArray } from '../ops/creation.js'
import type { Dataset } from './dataset.js'

export interface ImageOptions {
  /** Subtracted from the pixels (which lie in [0, 1]). Default 0. */
  readonly mean?: number
  /** What they are then divided by. Default 1. */
  readonly std?: number
}

/**
 * Labelled 8-bit images of one size. A batch is [images, labels]: float32 [N, C, H, W] with (pixel / 255 - mean) / std, and
 * int32 [N].
 */
export class ImageDataset implements Dataset<readonly [images: Tensor, labels: Tensor]> {
  /** [C, H, W] of one image. */
  readonly shape: readonly [number, number, number]
  readonly labels: Uint8Array
  readonly #pixels: Uint8Array
  /** What each of the 256 pixel values becomes. */
  readonly #values: Float32Array

  constructor(
    pixels: Uint8Array,
    labels: Uint8Array,
    shape: readonly [number, number, number],
    options: ImageOptions = {},
  ) {
    const { mean = 0, std = 1 } = checkOptions('ImageDataset', options, { mean: true, std: true })
    const size = shape[0] * shape[1] * shape[2]
    if (pixels.length !== labels.length * size)
      throw new ShapeError(
        'ImageDataset',
        `${pixels.length} pixels do not make ${labels.length} images of ${shape.join(' x ')}`,
        [shape],
      )
    if (!(std > 0)) throw new ValueError('ImageDataset', `std is ${String(std)}, but must be positive`)
    this.shape = shape
    this.labels = labels
    this.#pixels = pixels
    this.#values = Float32Array.from({ length: 256 }, (_, v) => (v / 255 - mean) / std)
  }

  get length(): number {
    return this.labels.length
  }

  /** One more than the largest label. */
  get classes(): number {
    return this.labels.reduce((max, label) => Math.max(max, label), -1) + 1
  }

  batch(indices: readonly number[]): readonly [Tensor, Tensor] {
    const [c, h, w] = this.shape
    const size = c * h * w
    const data = new Float32Array(indices.length * size)
    const labels = new Int32Array(indices.length)
    const [values, pixels] = [this.#values, this.#pixels]
    for (let k = 0; k < indices.length; k++) {
      const index = indices[k] as number
      labels[k] = this.labels[index] as number
      const from = index * size
      const to = k * size
      for (let i = 0; i < size; i++) data[to + i] = values[pixels[from + i] as number] as number
    }
    return [fromTypedArray(data, [indices.length, c, h, w]), fromTypedArray(labels, [indices.length])]
  }
}
