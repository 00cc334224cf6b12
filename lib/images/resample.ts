/**
 * Resizes bytes as Pillow does, bit for bit, because published models were trained on its results and their processors
 * give them. Weights have 22 bits after the point. They are applied along rows and along columns, with rounding to
 * bytes in between.
 */
import { Picture } from '../data/picture.js'

/** The filters by Pillow's numbers, which `preprocessor_config.json` uses. */
export const resamplings = ['nearest', 'lanczos', 'bilinear', 'bicubic', 'box', 'hamming'] as const

export type Resampling = (typeof resamplings)[number]

export type BytePicture = Picture & { readonly data: Uint8Array }

interface Filter {
  /** Pixels beyond this distance, in pixels of the smaller picture, do not count. */
  readonly support: number
  at(x: number): number
}

const sinc = (x: number): number => (x === 0 ? 1 : Math.sin(x * Math.PI) / (x * Math.PI))

/** The cubic's parameter: Photoshop and Pillow use this one, OpenCV and PyTorch -0.75. */
const a = -0.5

const filters: { readonly [name in Exclude<Resampling, 'nearest'>]: Filter } = {
  box: { support: 0.5, at: (x) => (x > -0.5 && x <= 0.5 ? 1 : 0) },
  bilinear: { support: 1, at: (x) => Math.max(0, 1 - Math.abs(x)) },
  hamming: {
    support: 1,
    at(x) {
      const away = Math.abs(x)
      return away >= 1 ? 0 : sinc(away) * (0.54 + 0.46 * Math.cos(away * Math.PI))
    },
  },
  bicubic: {
    support: 2,
    at(x) {
      const away = Math.abs(x)
      if (away < 1) return ((a + 2) * away - (a + 3)) * away * away + 1
      return away < 2 ? (((away - 5) * away + 8) * away - 4) * a : 0
    },
  },
  lanczos: { support: 3, at: (x) => (x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0) },
}

/** The weights of each place of the result: where they begin in the source, their number, and their values. */
interface Table {
  readonly starts: Int32Array
  readonly counts: Int32Array
  readonly taps: number
  readonly weights: Int32Array
}

/** Bits after the point: 32 less the eight of a pixel and two for results beyond black and white. */
const precision = 22

function tableOf(source: number, result: number, { support, at }: Filter): Table {
  const scale = source / result
  // A larger result interpolates between pixels, and a smaller one averages over all pixels that fall together.
  const stretch = Math.max(1, scale)
  const reach = support * stretch
  const taps = Math.ceil(reach) * 2 + 1
  const [starts, counts] = [new Int32Array(result), new Int32Array(result)]
  const weights = new Int32Array(result * taps)
  const exact = new Float64Array(taps)
  for (let i = 0; i < result; i++) {
    const center = (i + 0.5) * scale
    const start = Math.max(0, Math.trunc(center - reach + 0.5))
    const count = Math.min(source, Math.trunc(center + reach + 0.5)) - start
    let total = 0
    for (let k = 0; k < count; k++) {
      exact[k] = at((k + start - center + 0.5) * (1 / stretch))
      total += exact[k] as number
    }
    for (let k = 0; k < count; k++) {
      const weight = (total === 0 ? (exact[k] as number) : (exact[k] as number) / total) * 2 ** precision
      weights[i * taps + k] = Math.trunc(weight < 0 ? weight - 0.5 : weight + 0.5)
    }
    starts[i] = start
    counts[i] = count
  }
  return { starts, counts, taps, weights }
}

/** A sum of weighted bytes as a byte. */
function byteOf(sum: number): number {
  return Math.max(0, Math.min(255, sum >> precision))
}

/** Half of the last remaining place, so that sums are rounded. */
const half = 1 << (precision - 1)

/** Resizes each of `rows` rows of `width` pixels to the table's width. */
function along(data: Uint8Array, rows: number, width: number, channels: number, table: Table): Uint8Array {
  const { starts, counts, taps, weights } = table
  const result = new Uint8Array(rows * starts.length * channels)
  for (let y = 0, to = 0; y < rows; y++)
    for (let x = 0; x < starts.length; x++) {
      const from = (y * width + (starts[x] as number)) * channels
      const count = counts[x] as number
      for (let c = 0; c < channels; c++) {
        let sum = half
        for (let k = 0, at = from + c; k < count; k++, at += channels)
          sum += (weights[x * taps + k] as number) * (data[at] as number)
        result[to++] = byteOf(sum)
      }
    }
  return result
}

/** Resizes the columns of a picture with rows of `stride` bytes to the table's height. */
function down(data: Uint8Array, stride: number, { starts, counts, taps, weights }: Table): Uint8Array {
  const result = new Uint8Array(starts.length * stride)
  const sums = new Int32Array(stride)
  for (let y = 0; y < starts.length; y++) {
    sums.fill(half)
    for (let k = 0; k < (counts[y] as number); k++) {
      const weight = weights[y * taps + k] as number
      const from = ((starts[y] as number) + k) * stride
      for (let i = 0; i < stride; i++) sums[i] = (sums[i] as number) + weight * (data[from + i] as number)
    }
    for (let i = 0, to = y * stride; i < stride; i++) result[to++] = byteOf(sums[i] as number)
  }
  return result
}

/** The nearest pixel for each place. Places are summed as in Pillow, because the sums' rounding can matter. */
function nearestOf(source: number, result: number): Int32Array {
  const scale = source / result
  const places = new Int32Array(result)
  for (let i = 0, at = scale * 0.5; i < result; i++, at += scale) places[i] = Math.min(source - 1, Math.trunc(at))
  return places
}

function nearest({ data, width, channels }: BytePicture, rows: Int32Array, columns: Int32Array): Uint8Array {
  const result = new Uint8Array(rows.length * columns.length * channels)
  let to = 0
  for (const y of rows)
    for (const x of columns)
      for (let c = 0, from = (y * width + x) * channels; c < channels; c++) result[to++] = data[from + c] as number
  return result
}

/**
 * The picture of bytes in another size, as from `Image.resize` of Pillow 13. The order of the passes affects the
 * rounding to bytes in between. Pillow 13 begins with the columns if these lose more than twice as many pixels as the
 * rows do; earlier versions never do.
 */
export function resample(picture: BytePicture, height: number, width: number, by: Resampling): Picture {
  const { channels } = picture
  if (by === 'nearest') {
    const [rows, columns] = [nearestOf(picture.height, height), nearestOf(picture.width, width)]
    return new Picture(nearest(picture, rows, columns), height, width, channels)
  }
  const rows = (data: Uint8Array, count: number): Uint8Array =>
    width === picture.width
      ? data
      : along(data, count, picture.width, channels, tableOf(picture.width, width, filters[by]))
  const columns = (data: Uint8Array, across: number): Uint8Array =>
    height === picture.height ? data : down(data, across * channels, tableOf(picture.height, height, filters[by]))
  const lost = picture.height - height
  const data =
    lost > 0 && lost > 2 * (picture.width - width)
      ? rows(columns(picture.data, picture.width), height)
      : columns(rows(picture.data, picture.height), width)
  return new Picture(data, height, width, channels)
}
