import { ShapeError, shown, ValueError } from '../core/errors.js'
import { checkOptions } from '../core/options.js'
import type { Tensor } from '../core/tensor.js'
import { fromTypedArray } from '../ops/creation.js'
import { select } from '../ops/shape/slices.js'
import { Dataset } from './dataset.js'

export interface ImageOptions {
  /** Subtracted from the pixels (which lie in [0, 1]). Default 0. */
  readonly mean?: number
  /** The divisor after that. Default 1. */
  readonly std?: number
}

/** Checks the tag, because arrays of another realm are not instances of this one's classes. */
function isBytes(value: unknown): boolean {
  return /^\[object Uint8(Clamped)?Array\]$/.test(Object.prototype.toString.call(value))
}

/**
 * Labelled 8-bit images of one size. A batch is [images, labels]: float32 [N, C, H, W] of (pixel / 255 - mean) / std,
 * and int32 [N].
 */
export class ImageDataset extends Dataset<
  readonly [image: Tensor, label: number],
  readonly [images: Tensor, labels: Tensor]
> {
  /** [C, H, W] of one image. */
  readonly shape: readonly [number, number, number]
  readonly labels: Uint8Array
  /** [N, C, H, W]. */
  readonly pixels: Uint8Array | Uint8ClampedArray
  /** The number for each of the 256 pixel values. */
  readonly #values: Float32Array

  constructor(
    pixels: Uint8Array | Uint8ClampedArray,
    labels: Uint8Array,
    shape: readonly [number, number, number],
    options: ImageOptions = {},
  ) {
    super()
    const { mean = 0, std = 1 } = checkOptions('ImageDataset', options, { mean: true, std: true })
    for (const [name, bytes] of Object.entries({ pixels, labels }))
      if (!isBytes(bytes))
        throw new ValueError(
          'ImageDataset',
          `${name} must be a Uint8Array, because pixels are numbers from 0 to 255, and labels are classes`,
        )
    if (!Array.isArray(shape) || shape.length !== 3 || !shape.every((side) => Number.isSafeInteger(side) && side > 0))
      throw new ValueError('ImageDataset', `shape is ${shown(shape)}, but must be [C, H, W], three positive integers`)
    const size = shape[0] * shape[1] * shape[2]
    if (pixels.length !== labels.length * size)
      throw new ShapeError(
        'ImageDataset',
        `${pixels.length} pixels do not make ${labels.length} images of ${shape.join(' x ')}`,
        [shape],
      )
    if (!(Number.isFinite(std) && std > 0))
      throw new ValueError('ImageDataset', `std is ${shown(std)}, but must be positive`)
    if (!Number.isFinite(mean)) throw new ValueError('ImageDataset', `mean is ${shown(mean)}, but must be a number`)
    this.shape = shape
    this.labels = labels
    this.pixels = pixels
    this.#values = Float32Array.from({ length: 256 }, (_, v) => (v / 255 - mean) / std)
  }

  get length(): number {
    return this.labels.length
  }

  /** One more than the largest label. */
  get classes(): number {
    return this.labels.reduce((max, label) => Math.max(max, label), -1) + 1
  }

  /** [C, H, W], and its class. */
  get(index: number): readonly [Tensor, number] {
    if (!Number.isInteger(index) || index < 0 || index >= this.length)
      throw new ValueError('ImageDataset', `index ${shown(index)} lies outside the ${this.length} images`)
    const [images] = this.batch([index])
    return [select(images, 0, 0), this.labels[index] as number]
  }

  override batch(indices: readonly number[]): readonly [Tensor, Tensor] {
    const [c, h, w] = this.shape
    const size = c * h * w
    const data = new Float32Array(indices.length * size)
    const labels = new Int32Array(indices.length)
    const [values, pixels] = [this.#values, this.pixels]
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
