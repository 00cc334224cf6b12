/** Pictures sampled at other places: parts, resized parts, and affine maps. */
import { Picture } from '../data/picture.js'
import { like } from './step.js'

export interface Box {
  readonly top: number
  readonly left: number
  readonly height: number
  readonly width: number
}

/** A part of the picture. It may extend beyond the picture, where it is `fill`. */
export function crop(picture: Picture, { top, left, height, width }: Box, fill = 0): Picture {
  const { data, channels } = picture
  const cut = like(picture, height * width * channels)
  if (fill !== 0) cut.fill(fill)
  const from = Math.max(0, left)
  const to = Math.min(picture.width, left + width)
  for (let y = 0; y < height && from < to; y++) {
    const row = top + y
    if (row < 0 || row >= picture.height) continue
    const start = row * picture.width
    cut.set(data.subarray((start + from) * channels, (start + to) * channels), (y * width + from - left) * channels)
  }
  return new Picture(cut, height, width, channels)
}

/** The weights of each place of the result that are not 0: where they begin in the source, their number and values. */
function weightsOf(
  source: number,
  result: number,
): {
  readonly starts: Int32Array
  readonly counts: Int32Array
  readonly taps: number
  readonly weights: Float64Array
} {
  const scale = source / result
  const support = Math.max(1, scale)
  const taps = Math.min(source, Math.ceil(support) * 2 + 1)
  const [starts, counts] = [new Int32Array(result), new Int32Array(result)]
  const weights = new Float64Array(result * taps)
  for (let i = 0; i < result; i++) {
    const center = (i + 0.5) * scale
    const first = Math.min(Math.max(0, Math.floor(center - support + 0.5)), source - taps)
    const weightAt = (k: number) => Math.max(0, 1 - Math.abs((first + k + 0.5 - center) / support))
    let [total, from, to] = [0, taps, 0]
    for (let k = 0; k < taps; k++) {
      const weight = weightAt(k)
      total += weight
      if (weight > 0) [from, to] = [Math.min(from, k), k + 1]
    }
    for (let k = from; k < to; k++) weights[i * taps + k - from] = weightAt(k) / total
    starts[i] = first + from
    counts[i] = to - from
  }
  return { starts, counts, taps, weights }
}

/** The rows of a part of the picture, resized to `width`. */
function across({ data, width: whole, channels }: Picture, box: Box, width: number): Float32Array {
  const { starts, counts, taps, weights } = weightsOf(box.width, width)
  const rows = new Float32Array(box.height * width * channels)
  for (let y = 0, to = 0; y < box.height; y++) {
    const base = ((box.top + y) * whole + box.left) * channels
    for (let x = 0; x < width; x++) {
      const start = base + (starts[x] as number) * channels
      const own = x * taps
      const count = counts[x] as number
      if (channels === 3) {
        // Pictures with colours are most of all, and three sums read each weight once.
        let [red, green, blue] = [0, 0, 0]
        for (let k = 0, at = start; k < count; k++, at += 3) {
          const weight = weights[own + k] as number
          red += weight * (data[at] as number)
          green += weight * (data[at + 1] as number)
          blue += weight * (data[at + 2] as number)
        }
        rows[to++] = red
        rows[to++] = green
        rows[to++] = blue
      } else
        for (let c = 0; c < channels; c++) {
          let sum = 0
          for (let k = 0, at = start + c; k < count; k++, at += channels)
            sum += (weights[own + k] as number) * (data[at] as number)
          rows[to++] = sum
        }
    }
  }
  return rows
}

/**
 * A part of the picture, resized to `height` by `width`, as Pillow and torchvision do by default. It is bilinear, and
 * when it shrinks, over all pixels that fall together (antialias). Bytes are rounded once, so they may differ by 1 from
 * Pillow's, which rounds twice.
 */
export function resizeBox(picture: Picture, box: Box, height: number, width: number): Picture {
  const { channels } = picture
  if (box.height === height && box.width === width) return crop(picture, box)
  const rows = across(picture, box, width)
  const down = weightsOf(box.height, height)
  const stride = width * channels
  const result = like(picture, height * stride)
  const half = result instanceof Uint8Array ? 0.5 : 0
  // Sums of a whole row at a time, because memory is then read in its order.
  const sums = new Float64Array(stride)
  for (let y = 0; y < height; y++) {
    sums.fill(half)
    for (let k = 0; k < (down.counts[y] as number); k++) {
      const weight = down.weights[y * down.taps + k] as number
      const from = ((down.starts[y] as number) + k) * stride
      for (let i = 0; i < stride; i++) sums[i] = (sums[i] as number) + weight * (rows[from + i] as number)
    }
    result.set(sums, y * stride)
  }
  return new Picture(result, height, width, channels)
}

/**
 * An affine map [a, b, c, d, e, f] from places of the result to places of the source. Both are counted from the middle.
 */
export type Affine = readonly [number, number, number, number, number, number]

export interface AffineParts {
  /** The rotation in degrees, clockwise. */
  readonly angle?: number
  readonly translate?: readonly [x: number, y: number]
  /** The angle of the shear along each axis, in degrees. */
  readonly shear?: readonly [x: number, y: number]
  /** The fixed point, counted from the middle. */
  readonly center?: readonly [x: number, y: number]
}

/** The inverse of rotation, shear and shift, in torchvision's order. */
export function inverseAffine({
  angle = 0,
  translate: [tx, ty] = [0, 0],
  shear = [0, 0],
  center: [cx, cy] = [0, 0],
}: AffineParts): Affine {
  const radians = (degrees: number) => (degrees * Math.PI) / 180
  const rotation = radians(angle)
  const [sx, sy] = [radians(shear[0]), radians(shear[1])]
  const a = Math.cos(rotation - sy) / Math.cos(sy)
  const b = (-Math.cos(rotation - sy) * Math.tan(sx)) / Math.cos(sy) - Math.sin(rotation)
  const c = Math.sin(rotation - sy) / Math.cos(sy)
  const d = (-Math.sin(rotation - sy) * Math.tan(sx)) / Math.cos(sy) + Math.cos(rotation)
  return [d, -b, d * (-cx - tx) - b * (-cy - ty) + cx, -c, a, -c * (-cx - tx) + a * (-cy - ty) + cy]
}

/** Rounds halves to even, like Python and IEEE. */
export const roundedToEven = (x: number): number => {
  const floor = Math.floor(x)
  if (x - floor !== 0.5) return Math.round(x)
  return floor % 2 === 0 ? floor : floor + 1
}

/** The picture through the map, in the same size. Places from beyond the picture are `fill`. */
export function warp(picture: Picture, [a, b, c, d, e, f]: Affine, bilinear: boolean, fill: number): Picture {
  const { data, height, width, channels } = picture
  const result = like(picture, data.length)
  const [middleX, middleY] = [(width - 1) / 2, (height - 1) / 2]
  const pixel = (x: number, y: number, channel: number): number =>
    x < 0 || y < 0 || x >= width || y >= height ? fill : (data[(y * width + x) * channels + channel] as number)
  const finish = result instanceof Uint8Array ? roundedToEven : (value: number) => value
  for (let y = 0, to = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const [dx, dy] = [x - middleX, y - middleY]
      const fromX = a * dx + b * dy + c + middleX
      const fromY = d * dx + e * dy + f + middleY
      if (!bilinear) {
        const [nearX, nearY] = [roundedToEven(fromX), roundedToEven(fromY)]
        for (let channel = 0; channel < channels; channel++) result[to++] = pixel(nearX, nearY, channel)
        continue
      }
      const [x0, y0] = [Math.floor(fromX), Math.floor(fromY)]
      const [wx, wy] = [fromX - x0, fromY - y0]
      for (let channel = 0; channel < channels; channel++) {
        const above = pixel(x0, y0, channel) * (1 - wx) + pixel(x0 + 1, y0, channel) * wx
        const below = pixel(x0, y0 + 1, channel) * (1 - wx) + pixel(x0 + 1, y0 + 1, channel) * wx
        result[to++] = finish(above * (1 - wy) + below * wy)
      }
    }
  return new Picture(result, height, width, channels)
}
