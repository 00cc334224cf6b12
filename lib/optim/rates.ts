/** Learning rates as functions of the step. They compose, and named schedules set them. */
import { kindOf, shown, ValueError } from '../core/errors.js'
import { checkOptions } from '../core/options.js'
import type { Rate } from './schedule.js'
import { settingsOfEach, withSettings } from './settings.js'

export function checkCount(op: string, option: string, value: number): number {
  if (!Number.isFinite(value) || value <= 0)
    throw new ValueError(op, `${option} is ${shown(value)}, but must be a positive number`)
  return value
}

export function checkFactor(op: string, option: string, value: number): number {
  if (!Number.isFinite(value) || value < 0)
    throw new ValueError(op, `${option} is ${shown(value)}, but must be a number of at least 0`)
  return value
}

function checkFunction(op: string, name: string, value: unknown): void {
  if (typeof value !== 'function') throw new ValueError(op, `${name} is ${kindOf(value)}, but must be a function`)
}

export interface Constant {
  /** Default 1/3. */
  readonly factor?: number
  /** Default 5. */
  readonly totalIters?: number
}

export function constant(op: string, options: Constant): Rate {
  checkOptions(op, options, { factor: true, totalIters: true })
  const factor = checkFactor(op, 'factor', options.factor ?? 1 / 3)
  const total = checkCount(op, 'totalIters', options.totalIters ?? 5)
  return withSettings((base, steps) => (steps < total ? base * factor : base), { factor, totalIters: total })
}

export interface Linear {
  /** Default 1/3. */
  readonly startFactor?: number
  /** Default 1. */
  readonly endFactor?: number
  /** Default 5. */
  readonly totalIters?: number
}

export function linear(op: string, options: Linear): Rate {
  checkOptions(op, options, { startFactor: true, endFactor: true, totalIters: true })
  const start = checkFactor(op, 'startFactor', options.startFactor ?? 1 / 3)
  const end = checkFactor(op, 'endFactor', options.endFactor ?? 1)
  const total = checkCount(op, 'totalIters', options.totalIters ?? 5)
  const rate: Rate = (base, steps) => base * (start + (end - start) * Math.min(1, steps / total))
  return withSettings(rate, { startFactor: start, endFactor: end, totalIters: total })
}

export interface Step {
  readonly stepSize: number
  /** Default 0.1. */
  readonly gamma?: number
}

export function step(op: string, options: Step): Rate {
  const { stepSize, gamma = 0.1 } = checkOptions(op, options, { stepSize: true, gamma: true })
  checkCount(op, 'stepSize', stepSize)
  checkFactor(op, 'gamma', gamma)
  return withSettings((base, steps) => base * gamma ** Math.floor(steps / stepSize), { stepSize, gamma })
}

export interface MultiStep {
  readonly milestones: readonly number[]
  /** Default 0.1. */
  readonly gamma?: number
}

/** Checks that milestones are numbers of steps in rising order, and returns a copy. */
function checkMilestones(op: string, milestones: readonly number[]): readonly number[] {
  const rising = (value: number, i: number) =>
    Number.isFinite(value) && value >= (i === 0 ? 0 : Number(milestones[i - 1]))
  if (!Array.isArray(milestones) || !milestones.every(rising))
    throw new ValueError(
      op,
      `milestones are ${shown(milestones)}, but must be a list of numbers of steps, in ascending order`,
    )
  return [...milestones]
}

export function multiStep(op: string, options: MultiStep): Rate {
  const { milestones, gamma = 0.1 } = checkOptions(op, options, { milestones: true, gamma: true })
  const at = checkMilestones(op, milestones)
  checkFactor(op, 'gamma', gamma)
  const rate: Rate = (base, steps) => base * gamma ** at.filter((milestone) => milestone <= steps).length
  return withSettings(rate, { milestones: at, gamma })
}

export interface Exponential {
  readonly gamma: number
}

export function exponential(op: string, options: Exponential): Rate {
  const { gamma } = checkOptions(op, options, { gamma: true })
  checkFactor(op, 'gamma', gamma)
  return withSettings((base, steps) => base * gamma ** steps, { gamma })
}

export interface Polynomial {
  /** Default 5. */
  readonly totalIters?: number
  /** Default 1. */
  readonly power?: number
}

export function polynomial(op: string, options: Polynomial): Rate {
  const { totalIters = 5, power = 1 } = checkOptions(op, options, { totalIters: true, power: true })
  checkCount(op, 'totalIters', totalIters)
  checkFactor(op, 'power', power)
  return withSettings((base, steps) => base * Math.max(0, 1 - steps / totalIters) ** power, { totalIters, power })
}

/** Falls from 1 to 0 as `part` goes from 0 to 1. */
const halfCosine = (part: number): number => (1 + Math.cos(Math.PI * part)) / 2

export interface Cosine {
  readonly tMax: number
  /** Default 0. */
  readonly etaMin?: number
}

export function cosine(op: string, options: Cosine): Rate {
  const { tMax, etaMin = 0 } = checkOptions(op, options, { tMax: true, etaMin: true })
  checkCount(op, 'tMax', tMax)
  checkFactor(op, 'etaMin', etaMin)
  return withSettings((base, steps) => etaMin + (base - etaMin) * halfCosine(steps / tMax), { tMax, etaMin })
}

export interface CosineWarmRestarts {
  /** Steps to the first restart. */
  readonly t0: number
  /** The factor by which each period is longer than the one before. Default 1. */
  readonly tMult?: number
  /** Default 0. */
  readonly etaMin?: number
}

export function cosineWarmRestarts(op: string, options: CosineWarmRestarts): Rate {
  const { t0, tMult = 1, etaMin = 0 } = checkOptions(op, options, { t0: true, tMult: true, etaMin: true })
  checkCount(op, 't0', t0)
  if (!Number.isSafeInteger(tMult) || tMult < 1)
    throw new ValueError(op, `tMult is ${shown(tMult)}, but must be a positive integer`)
  checkFactor(op, 'etaMin', etaMin)
  const rate: Rate = (base, steps) => {
    let [since, period] = [steps, t0]
    if (tMult === 1) since %= t0
    else for (; since >= period; period *= tMult) since -= period
    return etaMin + (base - etaMin) * halfCosine(since / period)
  }
  return withSettings(rate, { t0, tMult, etaMin })
}

export interface Swa {
  /** The rate at the end of the anneal, where it stays: one for all groups, or one for each. */
  readonly swaLr: number | readonly number[]
  /** Steps of the anneal. Default 10. */
  readonly annealSteps?: number
  /** Default 'cos'. */
  readonly annealStrategy?: 'cos' | 'linear'
}

export function swa(op: string, options: Swa): Rate {
  const {
    swaLr,
    annealSteps = 10,
    annealStrategy = 'cos',
  } = checkOptions(op, options, { swaLr: true, annealSteps: true, annealStrategy: true })
  const all = Array.isArray(swaLr) ? [...(swaLr as readonly number[])] : null
  for (const each of all ?? [swaLr as number]) checkFactor(op, 'swaLr', each)
  if (annealSteps !== 0) checkCount(op, 'annealSteps', annealSteps)
  if (annealStrategy !== 'cos' && annealStrategy !== 'linear')
    throw new ValueError(op, `annealStrategy is ${shown(annealStrategy)}, but must be 'cos' or 'linear'`)
  const rate: Rate = (base, steps, group) => {
    const last = all === null ? (swaLr as number) : all[group]
    if (last === undefined)
      throw new ValueError(op, `swaLr are ${all?.length} numbers, but there is also a group ${group}`)
    const part = annealSteps === 0 ? 1 : Math.min(1, steps / annealSteps)
    return last + (base - last) * (annealStrategy === 'cos' ? halfCosine(part) : 1 - part)
  }
  return withSettings(rate, { swaLr: all ?? swaLr, annealSteps, annealStrategy })
}

/** The first rate times a function of the steps; a list of functions has one for each group. */
export function lambda(op: string, factor: Factor | readonly Factor[]): Rate {
  if (!Array.isArray(factor)) {
    checkFunction(op, 'the factor', factor)
    return (base, steps) => base * (factor as Factor)(steps)
  }
  const factors = [...(factor as readonly Factor[])]
  for (const [i, each] of factors.entries()) checkFunction(op, `factor ${i}`, each)
  return (base, steps, group) => {
    const own = factors[group]
    if (own === undefined)
      throw new ValueError(op, `there are ${factors.length} factors, but there is also a group ${group}`)
    return base * own(steps)
  }
}

/** A factor of the first rate after this many steps. */
export type Factor = (steps: number) => number

/** A rate that is, at each step, the previous rate times a function of the steps. */
export function multiplicative(op: string, factor: Factor): Rate {
  checkFunction(op, 'the factor', factor)
  const products = [1]
  return (base, steps) => {
    for (let i = products.length; i <= steps; i++) products.push((products[i - 1] as number) * factor(i))
    return base * (products[steps] as number)
  }
}

/** One rate after the other: each begins at its milestone, as if it were the first. */
export function sequential(op: string, rates: readonly Rate[], milestones: readonly number[]): Rate {
  if (!Array.isArray(rates) || rates.length === 0)
    throw new ValueError(
      op,
      `rates are ${shown(rates)}, but must be functions in a list, such as optim.rates.linear({ .. })`,
    )
  for (const [i, rate] of rates.entries()) checkFunction(op, `rate ${i}`, rate)
  const [all, at] = [[...(rates as readonly Rate[])], checkMilestones(op, milestones)]
  if (at.length !== all.length - 1)
    throw new ValueError(
      op,
      `there are ${at.length} milestones for ${all.length} rates, but must be one fewer than rates`,
    )
  const rate: Rate = (base, steps, group) => {
    const past = at.filter((milestone) => milestone <= steps).length
    return (all[past] as Rate)(base, steps - (at[past - 1] ?? 0), group)
  }
  return withSettings(rate, { milestones: at, ...settingsOfEach('rates', all) })
}

/** Each rate is the base of the next, so that factors multiply. */
export function chained(op: string, rates: readonly Rate[]): Rate {
  if (!Array.isArray(rates)) throw new ValueError(op, `rates are ${shown(rates)}, but must be functions in a list`)
  for (const [i, rate] of rates.entries()) checkFunction(op, `rate ${i}`, rate)
  const all = [...(rates as readonly Rate[])]
  return withSettings(
    (base, steps, group) => all.reduce((lr, rate) => rate(lr, steps, group), base),
    settingsOfEach('rates', all),
  )
}

export interface Warmup {
  /** The number of steps from 0 to the first rate, in equal parts. */
  readonly warmupSteps: number
}

/** A linear warm-up from 0, then `rest`, which counts its steps from there. */
function warmed(warmupSteps: number, rest: Rate, settings: object): Rate {
  const rate: Rate = (base, steps, group) =>
    steps < warmupSteps ? (base * steps) / warmupSteps : rest(base, steps - warmupSteps, group)
  return withSettings(rate, { warmupSteps, ...settings })
}

function checkWarmup(op: string, warmupSteps: number): number {
  return warmupSteps === 0 ? 0 : checkCount(op, 'warmupSteps', warmupSteps)
}

/** The number of steps after the warm-up. */
function restOf(op: string, warmupSteps: number, totalSteps: number): number {
  checkWarmup(op, warmupSteps)
  checkCount(op, 'totalSteps', totalSteps)
  if (warmupSteps >= totalSteps)
    throw new ValueError(op, `warmupSteps ${warmupSteps} must be less than totalSteps ${totalSteps}`)
  return totalSteps - warmupSteps
}

export function warmupConstant(op: string, options: Warmup): Rate {
  const { warmupSteps } = checkOptions(op, options, { warmupSteps: true })
  return warmed(checkWarmup(op, warmupSteps), (base) => base, {})
}

export interface WarmupLinear extends Warmup {
  readonly totalSteps: number
}

export function warmupLinear(op: string, options: WarmupLinear): Rate {
  const { warmupSteps, totalSteps } = checkOptions(op, options, { warmupSteps: true, totalSteps: true })
  const rest = restOf(op, warmupSteps, totalSteps)
  return warmed(warmupSteps, (base, steps) => base * Math.max(0, 1 - steps / rest), { totalSteps })
}

export interface WarmupCosine extends WarmupLinear {
  /** Default 0. */
  readonly etaMin?: number
}

export function warmupCosine(op: string, options: WarmupCosine): Rate {
  const {
    warmupSteps,
    totalSteps,
    etaMin = 0,
  } = checkOptions(op, options, {
    warmupSteps: true,
    totalSteps: true,
    etaMin: true,
  })
  const rest = restOf(op, warmupSteps, totalSteps)
  checkFactor(op, 'etaMin', etaMin)
  const falls: Rate = (base, steps) => etaMin + (base - etaMin) * halfCosine(Math.min(1, steps / rest))
  return warmed(warmupSteps, falls, { totalSteps, etaMin })
}

export interface WarmupInverseSqrt extends Warmup {
  /**
   * The time scale T: after the warm-up the rate falls as sqrt(T / (T + steps)). Default: warmupSteps, or 10,000
   * without a warm-up.
   */
  readonly timescale?: number
}

export function warmupInverseSqrt(op: string, options: WarmupInverseSqrt): Rate {
  const { warmupSteps, timescale } = checkOptions(op, options, { warmupSteps: true, timescale: true })
  checkWarmup(op, warmupSteps)
  const scale = checkCount(op, 'timescale', timescale ?? (warmupSteps || 10_000))
  return warmed(warmupSteps, (base, steps) => base / Math.sqrt((steps + scale) / scale), { timescale: scale })
}

export interface WarmupStableDecay extends WarmupLinear {
  /** The number of last steps, in which the rate falls to `minFactor` times the first. */
  readonly decaySteps: number
  /** The form of the fall: 'linear' (default), 'cosine', or 1 - sqrt of the part that is done. */
  readonly decay?: 'linear' | 'cosine' | 'oneMinusSqrt'
  /** Default 0. */
  readonly minFactor?: number
}

const decays = {
  linear: (part: number) => 1 - part,
  cosine: halfCosine,
  oneMinusSqrt: (part: number) => 1 - Math.sqrt(part),
}

export function warmupStableDecay(op: string, options: WarmupStableDecay): Rate {
  const {
    warmupSteps,
    totalSteps,
    decaySteps,
    decay = 'linear',
    minFactor = 0,
  } = checkOptions(op, options, {
    warmupSteps: true,
    totalSteps: true,
    decaySteps: true,
    decay: true,
    minFactor: true,
  })
  const stable = restOf(op, warmupSteps, totalSteps) - checkCount(op, 'decaySteps', decaySteps)
  if (stable < 0)
    throw new ValueError(
      op,
      `warmupSteps ${warmupSteps} and decaySteps ${decaySteps} are more than totalSteps ${totalSteps}`,
    )
  checkFactor(op, 'minFactor', minFactor)
  if (typeof decay !== 'string' || !Object.hasOwn(decays, decay))
    throw new ValueError(op, `decay is ${shown(decay)}, but must be 'linear', 'cosine' or 'oneMinusSqrt'`)
  const falls = decays[decay]
  const rest: Rate = (base, steps) => {
    const part = Math.min(1, Math.max(0, (steps - stable) / decaySteps))
    return base * (minFactor + (1 - minFactor) * falls(part))
  }
  return warmed(warmupSteps, rest, { totalSteps, decaySteps, decay, minFactor })
}

export interface SlantedTriangular {
  /** The number of steps of the training. */
  readonly totalSteps: number
  /** The part of the steps in which the rate rises. Default 0.1. */
  readonly cutFraction?: number
  /** The factor by which the rate is smaller at the beginning and at the end. Default 32. */
  readonly ratio?: number
}

export function slantedTriangular(op: string, options: SlantedTriangular): Rate {
  const names = { totalSteps: true, cutFraction: true, ratio: true } as const
  const { totalSteps, cutFraction = 0.1, ratio = 32 } = checkOptions(op, options, names)
  checkCount(op, 'totalSteps', totalSteps)
  if (!(typeof cutFraction === 'number' && cutFraction > 0 && cutFraction < 1))
    throw new ValueError(op, `cutFraction is ${shown(cutFraction)}, but must lie between 0 and 1`)
  if (!(Number.isFinite(ratio) && ratio >= 1))
    throw new ValueError(op, `ratio is ${shown(ratio)}, but must be at least 1`)
  const cut = Math.max(1, Math.floor(totalSteps * cutFraction))
  const rate: Rate = (base, steps) => {
    // The paper's fall ends before the training if the cut was rounded down. The rate stays constant from there.
    const part = steps < cut ? steps / cut : Math.max(0, 1 - (steps - cut) / (cut * (1 / cutFraction - 1)))
    return (base * (1 + part * (ratio - 1))) / ratio
  }
  return withSettings(rate, { totalSteps, cutFraction, ratio })
}

/**
 * The rates of the named schedules, for composing:
 *
 *     const rise = rates.linear({ startFactor: 0.01, totalIters: 500 })
 *     const rate = rates.sequential([rise, rates.exponential({ gamma: 0.999 })], [500])
 *     new optim.Schedule(optimizer, rate)
 *
 * Each throws ValueError for wrong options.
 */
export const rates = {
  constant: (options: Constant = {}): Rate => constant('rates.constant', options),
  linear: (options: Linear = {}): Rate => linear('rates.linear', options),
  step: (options: Step): Rate => step('rates.step', options),
  multiStep: (options: MultiStep): Rate => multiStep('rates.multiStep', options),
  exponential: (options: Exponential): Rate => exponential('rates.exponential', options),
  polynomial: (options: Polynomial = {}): Rate => polynomial('rates.polynomial', options),
  cosine: (options: Cosine): Rate => cosine('rates.cosine', options),
  cosineWarmRestarts: (options: CosineWarmRestarts): Rate => cosineWarmRestarts('rates.cosineWarmRestarts', options),
  /** The first rate times a function of the steps. */
  lambda: (factor: Factor | readonly Factor[]): Rate => lambda('rates.lambda', factor),
  /** One rate after the other: each begins at its milestone, as if it were the first. */
  sequential: (all: readonly Rate[], milestones: readonly number[]): Rate =>
    sequential('rates.sequential', all, milestones),
  /** Each rate is the base of the next, so that factors multiply. */
  chained: (all: readonly Rate[]): Rate => chained('rates.chained', all),
  warmupConstant: (options: Warmup): Rate => warmupConstant('rates.warmupConstant', options),
  warmupLinear: (options: WarmupLinear): Rate => warmupLinear('rates.warmupLinear', options),
  warmupCosine: (options: WarmupCosine): Rate => warmupCosine('rates.warmupCosine', options),
  warmupInverseSqrt: (options: WarmupInverseSqrt): Rate => warmupInverseSqrt('rates.warmupInverseSqrt', options),
  warmupStableDecay: (options: WarmupStableDecay): Rate => warmupStableDecay('rates.warmupStableDecay', options),
  slantedTriangular: (options: SlantedTriangular): Rate => slantedTriangular('rates.slantedTriangular', options),
}
