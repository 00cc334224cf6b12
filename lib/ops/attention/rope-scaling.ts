/**
 * Frequencies of rotary positions beyond the length at which a model was trained. The formulas are those of Hugging
 * Face's transformers (`modeling_rope_utils`), and the options are its `rope_scaling` in camelCase.
 */
import { kindOf, shown, ValueError } from '../../core/errors.js'
import { checkOptions } from '../../core/options.js'

/** Linear scaling: divides positions by `factor` (Chen et al., 2023). */
export interface LinearScaling {
  readonly type: 'linear'
  readonly factor: number
}

/** Dynamic "NTK-aware" scaling: takes another base as soon as a sequence is longer than those of the training. */
export interface DynamicScaling {
  readonly type: 'dynamic'
  readonly factor: number
  readonly originalMaxPositions: number
}

/** YaRN (Peng et al., 2023): keeps high frequencies, and divides low ones by `factor`. */
export interface YarnScaling {
  readonly type: 'yarn'
  readonly factor: number
  readonly originalMaxPositions: number
  /** A frequency with at least this many turns within the original length is kept. Default 32. */
  readonly betaFast?: number
  /** A frequency with fewer turns than this is divided by `factor`. Default 1. */
  readonly betaSlow?: number
  /** The factor of queries and keys. Default 0.1 ln(factor) + 1, or by `mscale` and `mscaleAllDim`. */
  readonly attentionFactor?: number
  readonly mscale?: number
  readonly mscaleAllDim?: number
  /** Whether the limits are rounded to whole features. Default true. */
  readonly truncate?: boolean
}

/** Llama 3.1's scaling: divides long waves by `factor`, keeps short ones, and interpolates smoothly between. */
export interface Llama3Scaling {
  readonly type: 'llama3'
  readonly factor: number
  readonly lowFreqFactor: number
  readonly highFreqFactor: number
  readonly originalMaxPositions: number
}

/**
 * LongRoPE (Ding et al., 2024): a factor for each frequency, with a second set of factors beyond the original length.
 */
export interface LongScaling {
  readonly type: 'longrope'
  readonly shortFactor: readonly number[]
  readonly longFactor: readonly number[]
  readonly originalMaxPositions: number
  /** The ratio of the new length to the original one. */
  readonly factor: number
  /** The factor of queries and keys. Default sqrt(1 + ln(factor) / ln(originalMaxPositions)). */
  readonly attentionFactor?: number
}

export type RotaryScaling = LinearScaling | DynamicScaling | YarnScaling | Llama3Scaling | LongScaling

/** The radians per step of each pair of features, and the factor of the rotated features. */
export interface Frequencies {
  readonly radians: readonly number[]
  readonly factor: number
}

type Checked<T> = { readonly [K in keyof T]-?: true }
const names: { readonly [K in RotaryScaling as K['type']]: Checked<K> } = {
  linear: { type: true, factor: true },
  dynamic: { type: true, factor: true, originalMaxPositions: true },
  yarn: {
    type: true,
    factor: true,
    originalMaxPositions: true,
    betaFast: true,
    betaSlow: true,
    attentionFactor: true,
    mscale: true,
    mscaleAllDim: true,
    truncate: true,
  },
  llama3: { type: true, factor: true, lowFreqFactor: true, highFreqFactor: true, originalMaxPositions: true },
  longrope: {
    type: true,
    shortFactor: true,
    longFactor: true,
    originalMaxPositions: true,
    factor: true,
    attentionFactor: true,
  },
}

/** Options that may be left out. All others are required. */
const optional = ['betaFast', 'betaSlow', 'attentionFactor', 'mscale', 'mscaleAllDim', 'truncate']
/** Options that may be any number. All others must be positive. */
const anySign = ['mscale', 'mscaleAllDim']

/** The layout of pairs of features; see `RotaryOptions`. */
export type RotaryLayout = 'halves' | 'pairs'

/** Throws unless the layout is valid, or left out. */
export function checkLayout(op: string, layout: RotaryLayout | undefined): void {
  if (layout !== undefined && layout !== 'halves' && layout !== 'pairs')
    throw new ValueError(op, `layout is ${shown(layout)}, but must be 'halves' or 'pairs'`)
}

/** Throws ValueError unless the scaling is valid for this number of rotated pairs (null if not yet known). */
export function checkScaling(op: string, scaling: RotaryScaling, pairs: number | null): void {
  if (typeof scaling !== 'object' || scaling === null || !Object.hasOwn(names, scaling.type))
    throw new ValueError(
      op,
      `scaling is ${typeof scaling === 'object' && scaling !== null ? `of type ${shown((scaling as RotaryScaling).type)}` : kindOf(scaling)}, ` +
        `but must be an object whose type is ${Object.keys(names).join(', ')}`,
    )
  const known = names[scaling.type] as Checked<RotaryScaling>
  checkOptions(op, scaling, known, 'scaling')
  for (const name of Object.keys(known)) {
    const value: unknown = scaling[name as keyof RotaryScaling]
    if (name === 'type' || (value === undefined && optional.includes(name))) continue
    if (name === 'truncate') {
      if (typeof value !== 'boolean')
        throw new ValueError(op, `scaling.truncate is ${shown(value)}, but must be true or false`)
    } else if (name === 'shortFactor' || name === 'longFactor') {
      const fits =
        Array.isArray(value) && value.length === (pairs ?? value.length) && value.every((each) => Number(each) > 0)
      if (!fits)
        throw new ValueError(
          op,
          `scaling.${name} is ${shown(value)}, but must be ${pairs ?? 'a list of'} positive numbers, one per pair`,
        )
    } else if (
      typeof value !== 'number' ||
      !Number.isFinite(value) ||
      (value <= 0 && !anySign.includes(name)) ||
      (name === 'factor' && value < 1)
    )
      throw new ValueError(
        op,
        `scaling.${name} is ${shown(value)}, but must be ${name === 'factor' ? 'a number from 1 on' : 'a positive number'}`,
      )
  }
}

/** YaRN's factor of queries and keys (`get_mscale`). */
function magnitude(factor: number, mscale = 1): number {
  return factor <= 1 ? 1 : 0.1 * mscale * Math.log(factor) + 1
}

function yarn(plain: readonly number[], dim: number, base: number, scaling: YarnScaling): Frequencies {
  const { factor, originalMaxPositions, betaFast = 32, betaSlow = 1, mscale, mscaleAllDim, truncate = true } = scaling
  const place = (turns: number) => (dim * Math.log(originalMaxPositions / (turns * 2 * Math.PI))) / (2 * Math.log(base))
  const [first, last] = truncate
    ? [Math.floor(place(betaFast)), Math.ceil(place(betaSlow))]
    : [place(betaFast), place(betaSlow)]
  const low = Math.max(first, 0)
  const end = Math.min(last, dim - 1)
  const high = low === end ? end + 0.001 : end
  const radians = plain.map((radian, i) => {
    const divided = Math.min(1, Math.max(0, (i - low) / (high - low)))
    return (radian / factor) * divided + radian * (1 - divided)
  })
  const given = mscale && mscaleAllDim ? magnitude(factor, mscale) / magnitude(factor, mscaleAllDim) : magnitude(factor)
  return { radians, factor: scaling.attentionFactor ?? given }
}

function llama3(plain: readonly number[], scaling: Llama3Scaling): readonly number[] {
  const { factor, lowFreqFactor, highFreqFactor, originalMaxPositions } = scaling
  return plain.map((radian) => {
    const wave = (2 * Math.PI) / radian
    if (wave < originalMaxPositions / highFreqFactor) return radian
    if (wave > originalMaxPositions / lowFreqFactor) return radian / factor
    const smooth = (originalMaxPositions / wave - lowFreqFactor) / (highFreqFactor - lowFreqFactor)
    return ((1 - smooth) * radian) / factor + smooth * radian
  })
}

/** The frequencies of `dim` rotated features. `length` is the length of the whole sequence. */
export function rotaryFrequencies(
  dim: number,
  base: number,
  scaling: RotaryScaling | null,
  length: number,
): Frequencies {
  const of = (wave: number) => Array.from({ length: dim / 2 }, (_, i) => wave ** ((-2 * i) / dim))
  const plain = of(base)
  switch (scaling?.type) {
    case undefined:
      return { radians: plain, factor: 1 }
    case 'linear':
      return { radians: plain.map((radian) => radian / scaling.factor), factor: 1 }
    case 'dynamic': {
      const { factor, originalMaxPositions } = scaling
      const longest = Math.max(length, originalMaxPositions)
      const grown = (factor * longest) / originalMaxPositions - (factor - 1)
      return { radians: dim === 2 ? plain : of(base * grown ** (dim / (dim - 2))), factor: 1 }
    }
    case 'yarn':
      return yarn(plain, dim, base, scaling)
    case 'llama3':
      return { radians: llama3(plain, scaling), factor: 1 }
    case 'longrope': {
      const { shortFactor, longFactor, originalMaxPositions, factor, attentionFactor } = scaling
      const factors = length > originalMaxPositions ? longFactor : shortFactor
      const grown = factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(originalMaxPositions))
      return { radians: plain.map((radian, i) => radian / (factors[i] as number)), factor: attentionFactor ?? grown }
    }
  }
}
