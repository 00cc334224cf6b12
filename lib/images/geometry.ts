/**
 * Steps that move pixels: crops, flips, rotation, erasing. Meaning and defaults are those of torchvision.transforms.
 */
import { shown, ValueError } from '../core/errors.js'
import { checkFlag, checkOptions } from '../core/options.js'
import { Picture } from '../data/picture.js'
import { crop, inverseAffine, resizeBox, roundedToEven, warp } from './sample.js'
import { checkNumber, checkRange, checkSize, type ImageStep, like, mostSide, type Size, step, uniform } from './step.js'

/**
 * Resizes the picture, bilinear with antialias. A number is the shorter side, and the longer one follows. Like Resize.
 */
export function resize(size: Size): ImageStep {
  const [height, width] = checkSize('resize', 'size', size)
  const shorter = typeof size === 'number'
  return step('resize', [size], (picture) => {
    const scale = height / Math.min(picture.height, picture.width)
    const [h, w] = shorter
      ? [picture.height, picture.width].map((side) => Math.max(1, Math.floor(side * scale + 1e-9)))
      : [height, width]
    const whole = { top: 0, left: 0, height: picture.height, width: picture.width }
    return resizeBox(picture, whole, h as number, w as number)
  })
}

/** The middle of the picture, with black where the picture is smaller. Like CenterCrop. */
export function centerCrop(size: Size): ImageStep {
  const [height, width] = checkSize('centerCrop', 'size', size)
  return step('centerCrop', [size], (picture) => {
    // Places are those of torchvision, which rounds the place of a cut, but pads more after the picture than before.
    const start = (left: number) => (left < 0 ? -Math.floor(-left / 2) : roundedToEven(left / 2))
    return crop(picture, {
      top: start(picture.height - height),
      left: start(picture.width - width),
      height,
      width,
    })
  })
}

export interface RandomCropOptions {
  /** Pixels added on each side before the cut. Default 0. */
  readonly padding?: number
  /** The value of the padding. Default 0. */
  readonly fill?: number
  /** Whether smaller pictures are padded to the size. Default false: they are an error. */
  readonly padIfNeeded?: boolean
}

/** A part of this size at a random place. Like RandomCrop. Throws ValueError if the picture is smaller. */
export function randomCrop(size: Size, options: RandomCropOptions = {}): ImageStep {
  const op = 'randomCrop'
  const [height, width] = checkSize(op, 'size', size)
  const {
    padding = 0,
    fill = 0,
    padIfNeeded = false,
  } = checkOptions(op, options, {
    padding: true,
    fill: true,
    padIfNeeded: true,
  })
  if (!Number.isSafeInteger(padding) || padding < 0 || padding > mostSide)
    throw new ValueError(op, `padding is ${shown(padding)}, but must be an integer from 0 to ${mostSide}`)
  checkNumber(op, 'fill', fill, -1e9, 1e9)
  checkFlag(op, 'padIfNeeded', padIfNeeded)
  return step(op, [size, options], (picture, generator) => {
    const most = [picture.height + 2 * padding - height, picture.width + 2 * padding - width]
    if (!padIfNeeded && most.some((left) => left < 0))
      throw new ValueError(
        op,
        `a part of ${height} x ${width} does not fit into the picture of ${picture.height} x ${picture.width} with ${padding} ` +
          'pixels around it; resize before, or pass padIfNeeded: true',
      )
    // Padding up to the size is added on both sides, and the part lies anywhere within.
    const [extraY, extraX] = most.map((left) => Math.max(0, -left)) as [number, number]
    const top = generator.randint(0, (most[0] as number) + 2 * extraY + 1) - padding - extraY
    const left = generator.randint(0, (most[1] as number) + 2 * extraX + 1) - padding - extraX
    return crop(picture, { top, left, height, width }, fill)
  })
}

export interface RandomResizedCropOptions {
  /** The part's share of the picture's area. Default [0.08, 1]. */
  readonly scale?: readonly [number, number]
  /** Width by height. Default [3 / 4, 4 / 3]. */
  readonly ratio?: readonly [number, number]
}

/**
 * A part of random area and shape, resized to this size. Like RandomResizedCrop (Szegedy et al. 2015), bilinear with
 * antialias.
 */
export function randomResizedCrop(size: Size, options: RandomResizedCropOptions = {}): ImageStep {
  const op = 'randomResizedCrop'
  const [height, width] = checkSize(op, 'size', size)
  const own = checkOptions(op, options, { scale: true, ratio: true })
  const scale = checkRange(op, 'scale', own.scale ?? [0.08, 1], 1e-6, 1)
  const ratio = checkRange(op, 'ratio', own.ratio ?? [3 / 4, 4 / 3], 1e-3, 1e3)
  return step(op, [size, options], (picture, generator) => {
    const area = picture.height * picture.width
    for (let tries = 0; tries < 10; tries++) {
      const target = area * uniform(generator, ...scale)
      const form = Math.exp(uniform(generator, Math.log(ratio[0]), Math.log(ratio[1])))
      const w = Math.round(Math.sqrt(target * form))
      const h = Math.round(Math.sqrt(target / form))
      if (w < 1 || h < 1 || w > picture.width || h > picture.height) continue
      const top = generator.randint(0, picture.height - h + 1)
      const left = generator.randint(0, picture.width - w + 1)
      return resizeBox(picture, { top, left, height: h, width: w }, height, width)
    }
    // The middle of the picture, as large as the ratio allows.
    const form = picture.width / picture.height
    const w = form > ratio[1] ? Math.round(picture.height * ratio[1]) : picture.width
    const h = form < ratio[0] ? Math.round(picture.width / ratio[0]) : picture.height
    const [top, left] = [Math.floor((picture.height - h) / 2), Math.floor((picture.width - w) / 2)]
    return resizeBox(picture, { top, left, height: Math.max(1, h), width: Math.max(1, w) }, height, width)
  })
}

function flipped(picture: Picture, vertical: boolean): Picture {
  const { data, height, width, channels } = picture
  const result = like(picture, data.length)
  const row = width * channels
  for (let y = 0; y < height; y++) {
    if (vertical) result.set(data.subarray(y * row, (y + 1) * row), (height - 1 - y) * row)
    else
      for (let x = 0; x < width; x++)
        for (let c = 0; c < channels; c++)
          result[y * row + (width - 1 - x) * channels + c] = data[y * row + x * channels + c] as number
  }
  return new Picture(result, height, width, channels)
}

/** Swaps left and right, with probability p. Like RandomHorizontalFlip. */
export function randomHorizontalFlip(p = 0.5): ImageStep {
  checkNumber('randomHorizontalFlip', 'p', p, 0, 1)
  return step('randomHorizontalFlip', [p], (picture, generator) =>
    generator.bernoulli(p) ? flipped(picture, false) : picture,
  )
}

/** Swaps top and bottom, with probability p. Like RandomVerticalFlip. */
export function randomVerticalFlip(p = 0.5): ImageStep {
  checkNumber('randomVerticalFlip', 'p', p, 0, 1)
  return step('randomVerticalFlip', [p], (picture, generator) =>
    generator.bernoulli(p) ? flipped(picture, true) : picture,
  )
}

export interface RotationOptions {
  readonly interpolation?: 'nearest' | 'bilinear'
  /** The value of places beyond the picture. Default 0. */
  readonly fill?: number
}

/**
 * Rotates about the middle by a random angle in [-degrees, degrees], or in [low, high], counter-clockwise. Like
 * RandomRotation. Throws ValueError for an unknown interpolation.
 */
export function randomRotation(degrees: number | readonly [number, number], options: RotationOptions = {}): ImageStep {
  const op = 'randomRotation'
  const range =
    typeof degrees === 'number'
      ? ([-checkNumber(op, 'degrees', degrees, 0, 360), degrees] as const)
      : checkRange(op, 'degrees', degrees, -360, 360)
  const { interpolation = 'nearest', fill = 0 } = checkOptions(op, options, { interpolation: true, fill: true })
  if (interpolation !== 'nearest' && interpolation !== 'bilinear')
    throw new ValueError(op, `interpolation is ${shown(interpolation)}, but must be 'nearest' or 'bilinear'`)
  checkNumber(op, 'fill', fill, -1e9, 1e9)
  return step(op, [degrees, options], (picture, generator) =>
    rotated(picture, uniform(generator, ...range), interpolation === 'bilinear', fill),
  )
}

/** Rotates counter-clockwise. */
export function rotated(picture: Picture, degrees: number, bilinear: boolean, fill: number): Picture {
  return warp(picture, inverseAffine({ angle: -degrees }), bilinear, fill)
}

export interface RandomErasingOptions {
  /** Default 0.5. */
  readonly p?: number
  /** The rectangle's share of the picture's area. Default [0.02, 0.33]. */
  readonly scale?: readonly [number, number]
  /** Height by width. Default [0.3, 3.3]. */
  readonly ratio?: readonly [number, number]
  /** The value to write, or 'random': normally distributed numbers, for float pictures. Default 0. */
  readonly value?: number | 'random'
}

/**
 * Overwrites a rectangle of random place and shape, with probability p. Like RandomErasing (Zhong et al. 2017). The
 * returned step throws ValueError if `value` is 'random' and the picture has bytes.
 */
export function randomErasing(options: RandomErasingOptions = {}): ImageStep {
  const op = 'randomErasing'
  const own = checkOptions(op, options, { p: true, scale: true, ratio: true, value: true })
  const { p = 0.5, value = 0 } = own
  checkNumber(op, 'p', p, 0, 1)
  const scale = checkRange(op, 'scale', own.scale ?? [0.02, 0.33], 0, 1)
  const ratio = checkRange(op, 'ratio', own.ratio ?? [0.3, 3.3], 1e-3, 1e3)
  if (value !== 'random') checkNumber(op, 'value', value, -1e9, 1e9)
  return step(op, [options], (picture, generator) => {
    if (value === 'random' && picture.data instanceof Uint8Array)
      throw new ValueError(op, "value 'random' is for pictures of floats; put normalize(...) before it")
    if (!generator.bernoulli(p)) return picture
    const { height, width, channels } = picture
    for (let tries = 0; tries < 10; tries++) {
      const area = height * width * uniform(generator, ...scale)
      const form = Math.exp(uniform(generator, Math.log(ratio[0]), Math.log(ratio[1])))
      const h = Math.round(Math.sqrt(area * form))
      const w = Math.round(Math.sqrt(area / form))
      if (h < 1 || w < 1 || h >= height || w >= width) continue
      const top = generator.randint(0, height - h + 1)
      const left = generator.randint(0, width - w + 1)
      const data = picture.data.slice()
      for (let y = top; y < top + h; y++) {
        const [from, to] = [(y * width + left) * channels, (y * width + left + w) * channels]
        if (value !== 'random') data.fill(value, from, to)
        else for (let i = from; i < to; i++) data[i] = generator.normal()
      }
      return new Picture(data, height, width, channels)
    }
    return picture
  })
}
