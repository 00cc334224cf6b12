/**
 * Steps that change values: brightness, contrast, saturation, hue, and those of RandAugment. They mean the same as
 * torchvision's on tensors.
 */
import { shown, ValueError } from '../core/errors.js'
import { checkOptions } from '../core/options.js'
import { Picture } from '../data/picture.js'
import { type ImageStep, like, step, uniform } from './step.js'

/** The largest value. Pictures of floats go from 0 to 1. */
const bound = ({ data }: Picture) => (data instanceof Uint8Array ? 255 : 1)

/** The same picture with other values, within its bounds. Bytes are truncated, not rounded, as in torchvision. */
function withValues(picture: Picture, values: Float32Array): Picture {
  const most = bound(picture)
  const result = like(picture, values.length)
  for (let i = 0; i < values.length; i++) {
    const value = values[i] as number
    result[i] = Math.min(most, Math.max(0, value))
  }
  return new Picture(result, picture.height, picture.width, picture.channels)
}

/** The brightness of a pixel (ITU-R 601-2), truncated to a byte if the picture has bytes. */
function greyAt(data: Uint8Array | Float32Array, at: number, channels: number, whole: boolean): number {
  if (channels < 3) return data[at] as number
  const tone = 0.2989 * (data[at] as number) + 0.587 * (data[at + 1] as number) + 0.114 * (data[at + 2] as number)
  return whole ? Math.trunc(tone) : Math.fround(tone)
}

export const brightness = (picture: Picture, factor: number): Picture => scaled(picture, factor, 0)

export function contrast(picture: Picture, factor: number): Picture {
  const { data, channels, height, width } = picture
  const whole = data instanceof Uint8Array
  let sum = 0
  for (let at = 0; at < data.length; at += channels) sum += greyAt(data, at, channels, whole)
  return scaled(picture, factor, (1 - factor) * (sum / (height * width)))
}

function scaled(picture: Picture, factor: number, rest: number): Picture {
  const { data } = picture
  if (data instanceof Uint8Array) {
    // A byte has few values, so a table is faster than arithmetic for each pixel.
    const values = table((v) => Math.min(255, Math.max(0, Math.fround(factor * v + rest))))
    const bytes = new Uint8Array(data.length)
    for (let i = 0; i < bytes.length; i++) bytes[i] = values[data[i] as number] as number
    return new Picture(bytes, picture.height, picture.width, picture.channels)
  }
  const values = new Float32Array(data.length)
  for (let i = 0; i < values.length; i++) values[i] = factor * (data[i] as number) + rest
  return withValues(picture, values)
}

export function saturation(picture: Picture, factor: number): Picture {
  const { data, channels, height, width } = picture
  if (channels < 3) return picture
  const whole = data instanceof Uint8Array
  const most = bound(picture)
  const result = like(picture, data.length)
  for (let at = 0; at < data.length; at += channels) {
    const rest = (1 - factor) * greyAt(data, at, channels, whole)
    for (let i = at; i < at + channels; i++)
      result[i] = Math.min(most, Math.max(0, Math.fround(factor * (data[i] as number) + rest)))
  }
  return new Picture(result, height, width, channels)
}

/** The remainder by 6 of a number from -6 to 12 (not included), as `%` gives it, which takes ten times as long. */
const remainderBySix = (x: number) => (x >= 6 ? x - 6 : x)

/** Rotates colours by a share of the circle, in [-0.5, 0.5]. */
export function hue(picture: Picture, shift: number): Picture {
  const { data, channels, height, width } = picture
  if (channels < 3) return picture
  const most = bound(picture)
  // Turns floats into bytes by truncation, as torchvision does.
  const full = most === 1 ? 1 : 256 - 1e-3
  const result = data.slice()
  for (let at = 0; at < data.length; at += channels) {
    const r = (data[at] as number) / most
    const g = (data[at + 1] as number) / most
    const b = (data[at + 2] as number) / most
    const high = Math.max(r, g, b)
    const range = high - Math.min(r, g, b)
    if (range === 0) continue
    // The place on the circle, in sixths.
    const sixth = high === r ? (g - b) / range : high === g ? 2 + (b - r) / range : 4 + (r - g) / range
    const raised = remainderBySix(sixth + 6 * shift) + 6
    // Rounding may give 12.
    const turned = remainderBySix(remainderBySix(raised))
    for (let c = 0; c < 3; c++) {
      // Each channel is highest for two sixths, and lowest on the opposite side.
      // Red is highest around 0, green around 2, blue around 4, each for two sixths.
      const away = remainderBySix(turned + 5 - 2 * c)
      result[at + c] = (high - range * Math.max(0, Math.min(away, 4 - away, 1))) * full
    }
  }
  return new Picture(result, height, width, channels)
}

/** A blend with the picture smoothed by a 3 x 3 filter, whose edge stays unchanged. */
export function sharpness(picture: Picture, factor: number): Picture {
  const { data, height, width, channels } = picture
  if (height <= 2 || width <= 2) return picture
  const row = width * channels
  const whole = data instanceof Uint8Array
  const values = Float32Array.from(data)
  for (let y = 1; y < height - 1; y++)
    for (let i = y * row + channels; i < (y + 1) * row - channels; i++) {
      const own = data[i] as number
      let sum = 4 * own
      for (let dy = -row; dy <= row; dy += row)
        sum += (data[i + dy - channels] as number) + (data[i + dy] as number) + (data[i + dy + channels] as number)
      values[i] = factor * own + (1 - factor) * (whole ? Math.round(sum / 13) : sum / 13)
    }
  return withValues(picture, values)
}

/** Bytes by a separate table for each channel. */
function byTables(picture: Picture, tableOf: (counts: Uint32Array) => ArrayLike<number>): Picture {
  const { data, height, width, channels } = picture
  const result = new Uint8Array(data.length)
  for (let c = 0; c < channels; c++) {
    const counts = new Uint32Array(256)
    for (let i = c; i < data.length; i += channels)
      counts[data[i] as number] = (counts[data[i] as number] as number) + 1
    const table = tableOf(counts)
    for (let i = c; i < data.length; i += channels) result[i] = table[data[i] as number] as number
  }
  return new Picture(result, height, width, channels)
}

const table = (value: (byte: number) => number) => Uint8Array.from({ length: 256 }, (_, byte) => value(byte))

export const posterize = (picture: Picture, bits: number): Picture =>
  byTables(picture, () => table((v) => v & -(2 ** (8 - bits))))

export const solarize = (picture: Picture, threshold: number): Picture =>
  byTables(picture, () => table((v) => (v >= threshold ? 255 - v : v)))

export function autoContrast(picture: Picture): Picture {
  return byTables(picture, (counts) => {
    const low = counts.findIndex((count) => count > 0)
    const high = counts.findLastIndex((count) => count > 0)
    // Computed in float32 and truncated, as in torchvision.
    const scale = Math.fround(255 / (high - low))
    return table((v) => (low === high ? v : Math.min(255, Math.max(0, Math.fround((v - low) * scale)))))
  })
}

export function equalize(picture: Picture): Picture {
  return byTables(picture, (counts) => {
    const last = counts.findLastIndex((count) => count > 0)
    const spread = Math.floor((picture.height * picture.width - (counts[last] as number)) / 255)
    let before = 0
    return table((v) => {
      const value = spread === 0 ? v : Math.min(255, Math.floor((before + Math.floor(spread / 2)) / spread))
      before += counts[v] as number
      // There is nothing below the first value.
      return spread !== 0 && v === 0 ? 0 : value
    })
  })
}

export interface ColorJitterOptions {
  /** The factor is in [max(0, 1 - x), 1 + x]; or [low, high]. Default 0: no change. So for contrast and saturation. */
  readonly brightness?: number | readonly [number, number]
  readonly contrast?: number | readonly [number, number]
  readonly saturation?: number | readonly [number, number]
  /** The shift is in [-x, x], at most 0.5; or [low, high]. Default 0. */
  readonly hue?: number | readonly [number, number]
}

/** Changes brightness, contrast, saturation and hue by random factors, in a random order. Like ColorJitter. */
export function colorJitter(options: ColorJitterOptions): ImageStep {
  const op = 'colorJitter'
  const own = checkOptions(op, options, { brightness: true, contrast: true, saturation: true, hue: true })
  const changes = Object.entries({ brightness, contrast, saturation, hue }).flatMap(([name, change]) => {
    const range = rangeOf(op, name, own[name as keyof ColorJitterOptions] ?? 0)
    return range === null ? [] : [{ change, range }]
  })
  return step(op, [options], (picture, generator) => {
    let changed = picture
    for (const i of generator.randperm(changes.length)) {
      const { change, range } = changes[i] as (typeof changes)[number]
      changed = change(changed, uniform(generator, ...range))
    }
    return changed
  })
}

/** Null if nothing changes. */
function rangeOf(
  op: string,
  name: string,
  value: number | readonly [number, number],
): readonly [number, number] | null {
  const isHue = name === 'hue'
  const given: readonly unknown[] = Array.isArray(value)
    ? value
    : typeof value !== 'number' || value < 0
      ? []
      : isHue
        ? [-value, value]
        : [Math.max(0, 1 - value), 1 + value]
  const [low, high, ...more] = given
  const [least, most] = isHue ? [-0.5, 0.5] : [0, 1e3]
  const areNumbers = typeof low === 'number' && typeof high === 'number'
  if (!areNumbers || !(low >= least && low <= high && high <= most) || more.length > 0)
    throw new ValueError(
      op,
      `${name} is ${shown(value)}, but must be ${isHue ? 'a number from 0 to 0.5' : 'a number of at least 0'}, or [low, high] within ` +
        `[${least}, ${most}]`,
    )
  const still = isHue ? 0 : 1
  return low === still && high === still ? null : [low, high]
}
