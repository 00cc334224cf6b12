/** Turns pictures into the pixels on which a model was trained, as its folder's `preprocessor_config.json` says. */
import { join } from 'node:path'
import { dtypeOfRow } from '../core/arrays.js'
import type { Device } from '../core/device.js'
import { kindOf, namedAs, ShapeError, shown, ValueError } from '../core/errors.js'
import { checkOptions } from '../core/options.js'
import type { Tensor } from '../core/tensor.js'
import { Picture, planesOf } from '../data/picture.js'
import { readJson } from '../io/json.js'
import { checkPath } from '../io/refusal.js'
import { fromTypedArray } from '../ops/creation.js'
import { decode } from './decode.js'
import { type BytePicture, type Resampling, resample, resamplings } from './resample.js'
import { crop } from './sample.js'
import { type ImageStep, mostSide, step } from './step.js'
import { isSide, type Sides, sidesFor, type Target, targetForms, targetOf } from './target.js'

/** The content of a `preprocessor_config.json`. */
export type ProcessorJson = { readonly [name: string]: unknown }

/** The settings of a kind of processor that its file leaves out. */
interface Kind {
  readonly size: Target
  /** Whether one number means a square, or the length of the shorter side. */
  readonly square: boolean
  readonly crop: Sides | null
  readonly resample: Resampling
  readonly statistics: readonly [mean: readonly number[], std: readonly number[]]
  readonly convertRgb: boolean
}

const halves = [
  [0.5, 0.5, 0.5],
  [0.5, 0.5, 0.5],
] as const
/** Statistics of the pictures on which CLIP was trained (Radford et al., 2021). */
const clip = [
  [0.48145466, 0.4578275, 0.40821073],
  [0.26862954, 0.26130258, 0.27577711],
] as const

const plain: Kind = {
  size: { sides: [224, 224] },
  square: true,
  crop: null,
  resample: 'bilinear',
  statistics: halves,
  convertRgb: false,
}
const cropped: Kind = {
  size: { shorter: 224, longest: null },
  square: false,
  crop: [224, 224],
  resample: 'bicubic',
  statistics: clip,
  convertRgb: true,
}

const kinds: { readonly [name: string]: Kind } = {
  ViT: plain,
  DeiT: { ...plain, size: { sides: [256, 256] }, crop: [224, 224], resample: 'bicubic' },
  ConvNext: { ...plain, size: { shorter: 384, longest: null }, square: false, resample: 'bicubic' },
  Bit: cropped,
  CLIP: cropped,
}

/** Settings about the program, such as that processors make batches, and the batches' layout. */
const harmless = new Set([
  'image_processor_type',
  'feature_extractor_type',
  'processor_class',
  'auto_map',
  'return_tensors',
  'data_format',
  'input_data_format',
  'default_to_square',
])

/** From this shorter side on, ConvNext squeezes the picture into a square instead of cropping it. */
const convNextWarps = 384

/** A size that does not fit, with its entries, because a misspelt name is the usual fault. */
function shownTarget(value: unknown): string {
  if (kindOf(value) !== 'an object') return shown(value)
  const entries = Object.entries(value as object).slice(0, 8)
  return `{${entries.map(([name, side]) => `${JSON.stringify(name)}:${shown(side)}`).join(',')}}`
}

/** Reads settings one by one, and collects all faults into one error. */
class Reader {
  readonly faults: string[] = []
  readonly #json: ProcessorJson
  readonly #asked = new Set<string>()

  constructor(json: ProcessorJson) {
    this.#json = json
  }

  value(name: string): unknown {
    this.#asked.add(name)
    return Object.hasOwn(this.#json, name) ? (this.#json[name] ?? undefined) : undefined
  }

  #take<T>(name: string, fits: (value: unknown) => boolean, must: string, fallback: T): T {
    const value = this.value(name)
    if (value === undefined) return fallback
    if (fits(value)) return value as T
    this.faults.push(`${name} is ${shown(value)}, but must be ${must}`)
    return fallback
  }

  flag(name: string, fallback: boolean): boolean {
    return this.#take(name, (value) => typeof value === 'boolean', 'true or false', fallback)
  }

  positive(name: string, fallback: number): number {
    return this.#take(name, (value) => Number.isFinite(value) && Number(value) > 0, 'a positive number', fallback)
  }

  resampling(name: string, fallback: Resampling): Resampling {
    const place = this.#take<unknown>(
      name,
      (value) => resamplings[value as number] !== undefined,
      `one of ${resamplings.map((each, i) => `${i} (${each})`).join(', ')}`,
      resamplings.indexOf(fallback),
    )
    return resamplings[place as number] as Resampling
  }

  /** One number for pictures of any channels, or one for each channel. */
  numbers(name: string, least: number, fallback: readonly number[]): number | readonly number[] {
    const fits = (each: unknown): boolean => Number.isFinite(each) && Number(each) > least
    const isList = (value: unknown): boolean =>
      Array.isArray(value) && [1, 3].includes(value.length) && value.every(fits)
    const kind = least === 0 ? 'positive number' : 'number'
    const must = `a ${kind}, or one for each of 1 or 3 channels`
    return this.#take<number | readonly number[]>(name, (value) => fits(value) || isList(value), must, fallback)
  }

  target(name: string, square: boolean, fallback: Target): Target {
    const value = this.value(name)
    if (value === undefined) return fallback
    const found = targetOf(value, square)
    if (found !== null) return found
    this.faults.push(`${name} is ${shownTarget(value)}, but must be ${targetForms}`)
    return fallback
  }

  /** Height and width, or null if the setting is missing. */
  sides(name: string): Sides | null {
    const value = this.value(name)
    const found = value === undefined ? null : targetOf(value, true)
    if (found !== null && 'sides' in found) return found.sides
    if (value !== undefined)
      this.faults.push(`${name} is ${shownTarget(value)}, but must be { height, width }, from 1 to ${mostSide}`)
    return null
  }

  close(op: string, path: string): void {
    const isIdle = (name: string, value: unknown): boolean =>
      value === null || value === false || name.startsWith('_') || harmless.has(name) || this.#asked.has(name)
    const unknown = Object.entries(this.#json)
      .filter(([name, value]) => !isIdle(name, value))
      .map(([name, value]) => `${name} is ${shown(value)}, but this setting is unknown`)
    const faults = [...this.faults, ...unknown]
    if (faults.length > 0) throw new ValueError(op, `${path}: ${faults.join('; ')}`)
  }
}

/** The middle of a picture. If the picture is smaller, black is added, more before it than after it. */
function middle(picture: Picture, [height, width]: Sides): Picture {
  const start = (had: number, wants: number): number => Math.floor((had - wants) / 2)
  return crop(picture, { top: start(picture.height, height), left: start(picture.width, width), height, width })
}

/** A picture padded with zeros to the right and below, up to a size. */
function padded(op: string, picture: Picture, [height, width]: Sides): Picture {
  if (picture.height > height || picture.width > width)
    throw new ValueError(
      op,
      `a picture comes out as ${picture.height} x ${picture.width} pixels, more than pad_size, ${height} x ${width}; give a smaller size, ` +
        'or a larger pad_size',
    )
  return crop(picture, { top: 0, left: 0, height, width })
}

function greyToColours(picture: Picture): Picture {
  const { data, height, width } = picture
  const colours = new Uint8Array(3 * data.length)
  for (let i = 0; i < colours.length; i++) colours[i] = data[Math.floor(i / 3)] as number
  return new Picture(colours, height, width, 3)
}

export interface PixelsOptions {
  /** Default: the default device. */
  readonly device?: string | Device
}

/**
 * The steps by which a model's folder turns pictures into pixels: resize (like Pillow, bit for bit), crop the middle,
 * rescale, normalise, pad. It knows the processors of ViT, DeiT, ConvNext (which ResNets use), BiT and CLIP, also by
 * their old names. Numbers are those of transformers' processors over Pillow.
 */
export class ImageProcessor {
  readonly #json: ProcessorJson
  readonly #kind: string
  readonly #size: Target | null
  readonly #resample: Resampling
  readonly #crop: Sides | null
  readonly #cropShare: number
  /**
   * The sides up to which pictures are padded, to the right and below. Null: those of the largest picture in the call.
   */
  readonly #pad: Sides | null
  readonly #pads: boolean
  readonly #convertRgb: boolean
  /** The number of channels of the statistics. Null: any. */
  readonly #channels: number | null
  /** Tables of the pixel value of each byte: one for each channel, or one for all. */
  readonly #pixels: readonly Float32Array[]

  /**
   * `json` is the content of a `preprocessor_config.json`, and `path` its name in errors. Throws ValueError for
   * settings that are wrong or unknown.
   */
  constructor(json: ProcessorJson, path = 'the configuration') {
    const op = 'ImageProcessor'
    if (typeof json !== 'object' || json === null || Array.isArray(json))
      throw new ValueError(op, `${path} is ${kindOf(json)}, but must be the object of a preprocessor_config.json`)
    const given = json['image_processor_type'] ?? json['feature_extractor_type']
    this.#kind = typeof given === 'string' ? given.replace(/(FeatureExtractor|ImageProcessor)(Fast|Pil)?$/, '') : ''
    const kind = Object.hasOwn(kinds, this.#kind) ? (kinds[this.#kind] as Kind) : null
    if (kind === null)
      throw new ValueError(
        op,
        `${path}: image_processor_type is ${shown(given)}, but must be that of ${Object.keys(kinds).join(', ')}, as ViTImageProcessor`,
      )
    const reader = new Reader(json)
    const isConvNext = this.#kind === 'ConvNext'
    const size = reader.target('size', kind.square, kind.size)
    const cropSize = reader.sides('crop_size') ?? kind.crop ?? [224, 224]
    this.#size = reader.flag('do_resize', true) ? size : null
    this.#resample = reader.resampling('resample', kind.resample)
    this.#crop = reader.flag('do_center_crop', kind.crop !== null) ? cropSize : null
    this.#cropShare = isConvNext ? reader.positive('crop_pct', 224 / 256) : 1
    if (isConvNext && !('shorter' in size && size.longest === null))
      reader.faults.push('size must have shortest_edge alone, as for all of ConvNext')
    this.#pad = reader.sides('pad_size')
    this.#pads = reader.flag('do_pad', false)
    if (isConvNext && this.#pads) reader.faults.push('do_pad is true, but the processor of ConvNext does not pad')
    this.#convertRgb = reader.flag('do_convert_rgb', kind.convertRgb)
    const factor = reader.positive('rescale_factor', 1 / 255)
    const rescales = reader.flag('do_rescale', true)
    const means = reader.numbers('image_mean', Number.NEGATIVE_INFINITY, kind.statistics[0])
    const stds = reader.numbers('image_std', 0, kind.statistics[1])
    const normalises = reader.flag('do_normalize', true)
    const counts = [means, stds].flatMap((each) => (typeof each === 'number' ? [] : [each.length]))
    if (normalises && new Set(counts).size > 1)
      reader.faults.push(
        `image_mean and image_std are for ${counts.join(' and ')} channels, but must be for the same number`,
      )
    reader.close(op, path)
    this.#json = { ...json }
    this.#channels = normalises ? (counts[0] ?? null) : null
    const of = (each: number | readonly number[], c: number): number =>
      typeof each === 'number' ? each : (each[c] as number)
    // Each step is rounded to float32, like the arrays with which processors compute.
    this.#pixels = Array.from({ length: this.#channels ?? 1 }, (_, c) =>
      Float32Array.from({ length: 256 }, (_, byte) => {
        const scaled = Math.fround(rescales ? byte * factor : byte)
        return normalises ? Math.fround(scaled - Math.fround(of(means, c))) / Math.fround(of(stds, c)) : scaled
      }),
    )
  }

  /** The processor of a folder with `preprocessor_config.json`. Throws ValueError for wrong or unknown settings. */
  static async load(folder: string): Promise<ImageProcessor> {
    const op = 'ImageProcessor.load'
    checkPath(op, 'read', folder)
    const path = join(folder, 'preprocessor_config.json')
    const json = (await readJson(op, path)) as ProcessorJson
    return namedAs(op, () => new ImageProcessor(json, path))
  }

  /** The content of the `preprocessor_config.json`. */
  toConfig(): ProcessorJson {
    return { ...this.#json }
  }

  /**
   * Turns one picture of bytes into a picture of floats. Throws ValueError for pictures of floats, or with the wrong
   * number of channels.
   */
  process(picture: Picture): Picture {
    const op = 'ImageProcessor.process'
    if (!(picture instanceof Picture))
      throw new ValueError(op, `got ${kindOf(picture)}, but must be a Picture: new Picture(bytes, height, width, 3)`)
    if (dtypeOfRow(picture.data) !== 'uint8')
      throw new ValueError(op, 'the picture holds floats, but must hold bytes, because processors round to bytes')
    if (picture.channels !== 1 && picture.channels !== 3)
      throw new ValueError(op, `the picture has ${picture.channels} channels, but must have 3 (colours) or 1 (grey)`)
    let changed = picture.channels === 1 && this.#convertRgb ? greyToColours(picture) : picture
    if (this.#channels !== null && changed.channels !== this.#channels)
      throw new ShapeError(
        op,
        `the picture has ${changed.channels} channels, but image_mean and image_std have ${this.#channels}; decode it to colours, ` +
          'or set do_convert_rgb',
        [[changed.channels]],
      )
    changed = this.#resized(op, changed)
    if (this.#crop !== null) changed = middle(changed, this.#crop)
    const { data, height, width, channels } = changed
    const pixels = new Float32Array(data.length)
    for (let c = 0; c < channels; c++) {
      const table = this.#pixels[c % this.#pixels.length] as Float32Array
      for (let i = c; i < data.length; i += channels) pixels[i] = table[data[i] as number] as number
    }
    const made = new Picture(pixels, height, width, channels)
    return this.#pads && this.#pad !== null ? padded(op, made, this.#pad) : made
  }

  #resized(op: string, picture: Picture): Picture {
    const size = this.#size
    if (size === null) return picture
    const to = ([height, width]: Sides): Picture => {
      if (![height, width].every(isSide))
        throw new ValueError(
          op,
          `a picture of ${picture.height} x ${picture.width} pixels would become ${height} x ${width}, but sides must be from 1 to ` +
            `${mostSide}`,
        )
      return resample(picture as BytePicture, height, width, this.#resample)
    }
    if (this.#kind !== 'ConvNext' || !('shorter' in size)) return to(sidesFor(picture, size))
    const side = size.shorter
    if (side >= convNextWarps) return to([side, side])
    const shorter = Math.max(1, Math.trunc(side / this.#cropShare))
    return middle(to(sidesFor(picture, { shorter, longest: null })), [side, side])
  }

  /**
   * Turns pictures, or paths of files, which sharp decodes, into float32 [N, C, H, W]. Throws the errors of `process`,
   * and ShapeError if pictures come out in several sizes, which happens only without a resize to one size and without
   * `do_pad`.
   */
  async pixels(images: Picture | string | readonly (Picture | string)[], options: PixelsOptions = {}): Promise<Tensor> {
    const op = 'ImageProcessor.pixels'
    const { device } = checkOptions(op, options, { device: true })
    const list: readonly (Picture | string)[] = Array.isArray(images) ? images : [images as Picture | string]
    if (list.length === 0) throw new ValueError(op, 'there are no images; give at least one')
    const done: Picture[] = []
    for (const each of list) {
      const picture =
        typeof each === 'string' ? await decode(op, each, { channels: this.#channels === 1 ? 1 : 3 }) : each
      done.push(namedAs(op, () => this.process(picture)))
    }
    if (this.#pads && this.#pad === null) {
      const sides = [
        Math.max(...done.map(({ height }) => height)),
        Math.max(...done.map(({ width }) => width)),
      ] as const
      done.forEach((each, i) => {
        done[i] = padded(op, each, sides)
      })
    }
    const [{ height, width, channels }] = done as [Picture, ...Picture[]]
    const other = done.findIndex((each) => each.height !== height || each.width !== width || each.channels !== channels)
    if (other >= 0) {
      const wrong = done[other] as Picture
      throw new ShapeError(
        op,
        `picture 0 comes out as ${height} x ${width} x ${channels}, but picture ${other} as ${wrong.height} x ${wrong.width} x ` +
          `${wrong.channels}; give pictures of one size`,
        [
          [height, width, channels],
          [wrong.height, wrong.width, wrong.channels],
        ],
      )
    }
    const shape = [done.length, channels, height, width]
    return namedAs(op, () => fromTypedArray(planesOf(done), shape, device === undefined ? {} : { device }))
  }
}

/** A processor as the last step of rows: `dataset.map(augment(randomHorizontalFlip(), preprocess(processor)))`. */
export function preprocess(processor: ImageProcessor | ProcessorJson): ImageStep {
  const own =
    processor instanceof ImageProcessor ? processor : namedAs('preprocess', () => new ImageProcessor(processor))
  return step('preprocess', [own.toConfig()], (picture) => own.process(picture))
}
