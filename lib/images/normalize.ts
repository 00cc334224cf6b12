/** Values as networks expect them. */
import { kindOf, ShapeError, shown, ValueError } from '../core/errors.js'
import { checkOptions } from '../core/options.js'
import { Picture } from '../data/picture.js'
import { type ImageStep, step } from './step.js'

export interface NormalizeOptions {
  /** One number, or one for each channel. */
  readonly mean: number | readonly number[]
  readonly std: number | readonly number[]
}

/** Means and deviations of ImageNet's pictures, red, green and blue, as torchvision's models expect them. */
const imagenet: NormalizeOptions = { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] }

/**
 * Pictures of floats: (x / 255 - mean) / std for bytes, (x - mean) / std for floats. This is ToTensor and Normalize
 * together; without an argument, ToTensor alone. It is the last step before the network. Throws ValueError for unknown
 * statistics and for deviations that are not positive. The step throws ShapeError if the number of channels differs.
 */
export function normalize(statistics: 'imagenet' | NormalizeOptions = { mean: 0, std: 1 }): ImageStep {
  const op = 'normalize'
  if (typeof statistics === 'string' && statistics !== 'imagenet')
    throw new ValueError(op, `unknown statistics ${kindOf(statistics)}; give 'imagenet', or { mean, std }`)
  const { mean, std } = statistics === 'imagenet' ? imagenet : checkOptions(op, statistics, { mean: true, std: true })
  const [means, stds] = [numbers(op, 'mean', mean), numbers(op, 'std', std)]
  const wrong = stds.find((value) => !(value > 0))
  if (wrong !== undefined) throw new ValueError(op, `std is ${shown(std)}, but must be positive`)
  return step(op, [statistics], (picture) => {
    const { data, height, width, channels } = picture
    for (const [name, list] of Object.entries({ mean: means, std: stds }))
      if (list.length !== 1 && list.length !== channels)
        throw new ShapeError(op, `${name} has ${list.length} numbers, but the picture has ${channels} channels`, [
          [list.length],
          [channels],
        ])
    const full = data instanceof Uint8Array ? 255 : 1
    const result = new Float32Array(data.length)
    for (let c = 0; c < channels; c++) {
      const [own, divisor] = [means[c % means.length] as number, stds[c % stds.length] as number]
      for (let i = c; i < data.length; i += channels) result[i] = ((data[i] as number) / full - own) / divisor
    }
    return new Picture(result, height, width, channels)
  })
}

function numbers(op: string, name: string, value: number | readonly number[]): readonly number[] {
  const list: readonly unknown[] = Array.isArray(value) ? [...value] : [value]
  if (list.length === 0 || !list.every(Number.isFinite))
    throw new ValueError(op, `${name} is ${shown(value)}, but must be a number, or one for each channel`)
  return list as readonly number[]
}
