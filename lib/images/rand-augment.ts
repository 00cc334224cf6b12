/** RandAugment (Cubuk et al. 2019): a few changes of equal strength, chosen at random. */
import { shown, ValueError } from '../core/errors.js'
import { checkOptions } from '../core/options.js'
import type { Picture } from '../data/picture.js'
import { autoContrast, brightness, contrast, equalize, posterize, saturation, sharpness, solarize } from './colour.js'
import { rotated } from './geometry.js'
import { type AffineParts, inverseAffine, warp } from './sample.js'
import { checkNumber, type ImageStep, step } from './step.js'

export interface RandAugmentOptions {
  /** The number of changes of each picture. Default 2. */
  readonly numOps?: number
  /** Their strength, from 0 to numMagnitudeBins - 1. Default 9. */
  readonly magnitude?: number
  /** Default 31. */
  readonly numMagnitudeBins?: number
  /** The value of places beyond the picture. Default 0. */
  readonly fill?: number
}

/** The strength as a share of the strongest, and the sign, which is chosen at random. */
interface Strength {
  readonly share: number
  readonly sign: 1 | -1
  readonly fill: number
}

const degrees = (tangent: number) => (Math.atan(tangent) * 180) / Math.PI
const moved = (picture: Picture, parts: AffineParts, fill: number) => warp(picture, inverseAffine(parts), false, fill)
const corner = ({ width, height }: Picture) => [-width / 2, -height / 2] as const
/** A shift is in whole pixels, and at most this share of a side. */
const farthest = 150 / 331

const changes: readonly ((picture: Picture, strength: Strength) => Picture)[] = [
  (picture) => picture,
  (picture, { share, sign, fill }) =>
    moved(picture, { shear: [degrees(sign * 0.3 * share), 0], center: corner(picture) }, fill),
  (picture, { share, sign, fill }) =>
    moved(picture, { shear: [0, degrees(sign * 0.3 * share)], center: corner(picture) }, fill),
  (picture, { share, sign, fill }) =>
    moved(picture, { translate: [Math.trunc(sign * share * farthest * picture.width), 0] }, fill),
  (picture, { share, sign, fill }) =>
    moved(picture, { translate: [0, Math.trunc(sign * share * farthest * picture.height)] }, fill),
  (picture, { share, sign, fill }) => rotated(picture, sign * 30 * share, false, fill),
  (picture, { share, sign }) => brightness(picture, 1 + sign * 0.9 * share),
  (picture, { share, sign }) => saturation(picture, 1 + sign * 0.9 * share),
  (picture, { share, sign }) => contrast(picture, 1 + sign * 0.9 * share),
  (picture, { share, sign }) => sharpness(picture, 1 + sign * 0.9 * share),
  (picture, { share }) => posterize(picture, 8 - Math.round(4 * share)),
  (picture, { share }) => solarize(picture, 255 * (1 - share)),
  autoContrast,
  equalize,
]

/**
 * Applies this many of 14 changes, each chosen at random: shear, shift, rotation, colours, sharpness, tones. Like
 * RandAugment. Takes pictures of bytes. Throws ValueError for numbers out of range; the step throws it for pictures of
 * floats.
 */
export function randAugment(options: RandAugmentOptions = {}): ImageStep {
  const op = 'randAugment'
  const {
    numOps = 2,
    magnitude = 9,
    numMagnitudeBins = 31,
    fill = 0,
  } = checkOptions(op, options, {
    numOps: true,
    magnitude: true,
    numMagnitudeBins: true,
    fill: true,
  })
  const checkInteger = (name: string, value: number, least: number, most: number): void => {
    if (!Number.isSafeInteger(value) || value < least || value > most)
      throw new ValueError(op, `${name} is ${shown(value)}, but must be an integer from ${least} to ${most}`)
  }
  checkInteger('numOps', numOps, 0, 100)
  checkInteger('numMagnitudeBins', numMagnitudeBins, 2, 1000)
  checkInteger('magnitude', magnitude, 0, numMagnitudeBins - 1)
  checkNumber(op, 'fill', fill, 0, 255)
  const share = magnitude / (numMagnitudeBins - 1)
  return step(op, [options], (picture, generator) => {
    if (!(picture.data instanceof Uint8Array))
      throw new ValueError(op, 'is for pictures of bytes; put it before normalize')
    let changed = picture
    for (let i = 0; i < numOps; i++) {
      const change = changes[generator.randint(0, changes.length)] as (typeof changes)[number]
      changed = change(changed, { share, sign: generator.bernoulli() ? 1 : -1, fill })
    }
    return changed
  })
}
