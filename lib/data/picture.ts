/** A picture as raw numbers, which decoders make, augmentations change, and workers send. */
import { dtypeOfRow, isNumericArray } from '../core/arrays.js'
import { kindOf, ShapeError, shown, ValueError } from '../core/errors.js'

/**
 * A picture, row by row from the top, with the channels of each pixel together (HWC): bytes from 0 to 255, or floats.
 * Batches of pictures are tensors [N, C, H, W], uint8 or float32, as in PyTorch.
 */
export class Picture {
  readonly data: Uint8Array | Float32Array
  readonly height: number
  readonly width: number
  readonly channels: number

  /** Throws ValueError for sizes that are not positive integers, and ShapeError if the numbers do not fill them. */
  constructor(data: Uint8Array | Float32Array, height: number, width: number, channels: number) {
    // Arrays of another realm, such as a test runner's, are instances of other classes.
    const kind = isNumericArray(data) ? dtypeOfRow(data) : null
    if (kind !== 'uint8' && kind !== 'float32')
      throw new ValueError('Picture', `data are ${kindOf(data)}, but must be a Uint8Array or a Float32Array`)
    for (const [name, size] of Object.entries({ height, width, channels }))
      if (!Number.isSafeInteger(size) || size < 1)
        throw new ValueError('Picture', `${name} is ${shown(size)}, but must be a positive integer`)
    if (data.length !== height * width * channels)
      throw new ShapeError(
        'Picture',
        `${data.length} numbers do not fill ${height} rows of ${width} pixels of ${channels} channels`,
        [[height, width, channels]],
      )
    this.data = data
    this.height = height
    this.width = width
    this.channels = channels
  }
}

/** Pictures of one size and kind, channel by channel: [N, C, H, W] in row-major order. */
export function planesOf(pictures: readonly Picture[]): Uint8Array | Float32Array {
  const { data, height, width, channels } = pictures[0] as Picture
  const size = height * width
  const all =
    dtypeOfRow(data) === 'uint8'
      ? new Uint8Array(pictures.length * data.length)
      : new Float32Array(pictures.length * data.length)
  let to = 0
  for (const { data: own } of pictures)
    for (let c = 0; c < channels; c++)
      for (let i = 0, from = c; i < size; i++, from += channels) all[to++] = own[from] as number
  return all
}
