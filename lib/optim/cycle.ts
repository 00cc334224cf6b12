/** Schedules that move the momentum opposite to the rate. */
import { shown, ValueError } from '../core/errors.js'
import { checkFlag, checkOptions } from '../core/options.js'
import { checkCount, checkFactor } from './rates.js'
import { type Rate, Schedule, type Scheduled } from './schedule.js'
import { withSettings } from './settings.js'

/** One number for all groups, or one for each. */
type Each = number | readonly number[]

function checkEach(op: string, name: string, value: Each, { paramGroups }: Scheduled): (group: number) => number {
  if (!Array.isArray(value)) {
    checkFactor(op, name, value as number)
    return () => value as number
  }
  const all = [...(value as readonly number[])]
  if (all.length !== paramGroups.length)
    throw new ValueError(op, `${name} are ${all.length} numbers, but there are ${paramGroups.length} groups`)
  for (const each of all) checkFactor(op, name, each)
  return (group) => {
    const own = all[group]
    if (own === undefined)
      throw new ValueError(op, `${name} are ${all.length} numbers, but there is also a group ${group}`)
    return own
  }
}

export interface MomentumOptions {
  /** Moves the momentum (Adam's first beta) opposite to the rate. Default true. */
  readonly cycleMomentum?: boolean
  readonly baseMomentum?: Each
  readonly maxMomentum?: Each
}

interface Group {
  momentum?: number
  betas?: readonly number[]
}

/** Sets the group's momentum or first beta. */
function setMomentum(group: Group, value: number): void {
  if (group.betas === undefined) group.momentum = value
  else group.betas = [value, ...group.betas.slice(1)]
}

type Momentum = (group: number, steps: number) => number

/** A schedule that may also set the momentum. */
class Cycle extends Schedule {
  readonly #momentum: Momentum | null

  constructor(
    op: string,
    optimizer: Scheduled,
    rate: (group: number, steps: number) => number,
    momentum: Momentum | null,
    end: number | null,
    settings: object,
  ) {
    const groups = (optimizer?.paramGroups ?? []) as readonly Group[]
    if (momentum !== null && groups.some((group) => group.betas === undefined && group.momentum === undefined))
      throw new ValueError(op, 'the optimizer has neither momentum nor betas to move; give cycleMomentum: false')
    const rates: Rate = (_base, steps, group) => rate(group, steps)
    super(optimizer, withSettings(rates, { ...settings }), { end })
    this.#momentum = momentum
    this.optimizer.paramGroups.forEach((group, i) => {
      this.settled(group, i)
    })
  }

  protected override settled(group: { lr: number }, i: number): void {
    // The base class's constructor sets the first rates before `#momentum` exists.
    if (#momentum in this && this.#momentum !== null) setMomentum(group as Group, this.#momentum(i, this.steps))
  }
}

export interface CyclicOptions extends MomentumOptions {
  readonly baseLr: Each
  readonly maxLr: Each
  /** Steps from the base rate to the largest. Default 2000. */
  readonly stepSizeUp?: number
  /** Steps from the largest rate back to the base. Default: stepSizeUp. */
  readonly stepSizeDown?: number
  /** The height of the cycles: constant, halved with each cycle, or gamma^steps. Default 'triangular'. */
  readonly mode?: 'triangular' | 'triangular2' | 'expRange'
  /** The base of 'expRange'. Default 1. */
  readonly gamma?: number
  /** A function that gives the height, instead of a mode. */
  readonly scaleFn?: (x: number) => number
  /** The argument of `scaleFn`: the cycle's number from 1, or the steps. Default 'cycle'. */
  readonly scaleMode?: 'cycle' | 'iterations'
}

/**
 * Moves the rate up and down between two values (Smith, 2017). The momentum, 0.8 to 0.9 by default, moves the opposite
 * way.
 */
export class CyclicLR extends Cycle {
  constructor(optimizer: Scheduled, options: CyclicOptions) {
    const op = 'CyclicLR'
    checkOptions(op, options, {
      baseLr: true,
      maxLr: true,
      stepSizeUp: true,
      stepSizeDown: true,
      mode: true,
      gamma: true,
      scaleFn: true,
      scaleMode: true,
      cycleMomentum: true,
      baseMomentum: true,
      maxMomentum: true,
    })
    const {
      stepSizeUp = 2000,
      mode = 'triangular',
      gamma = 1,
      scaleFn,
      scaleMode = 'cycle',
      cycleMomentum = true,
    } = options
    const [up, down] = [stepSizeUp, options.stepSizeDown ?? stepSizeUp]
    checkCount(op, 'stepSizeUp', up)
    checkCount(op, 'stepSizeDown', down)
    checkFactor(op, 'gamma', gamma)
    checkFlag(op, 'cycleMomentum', cycleMomentum)
    if (scaleFn !== undefined && typeof scaleFn !== 'function')
      throw new ValueError(op, `scaleFn is ${shown(scaleFn)}, but must be a function`)
    if (scaleMode !== 'cycle' && scaleMode !== 'iterations')
      throw new ValueError(op, `scaleMode is ${shown(scaleMode)}, but must be 'cycle' or 'iterations'`)
    const heights = {
      triangular: () => 1,
      triangular2: (cycle: number) => 2 ** (1 - cycle),
      expRange: (_cycle: number, steps: number) => gamma ** steps,
    }
    if (typeof mode !== 'string' || !Object.hasOwn(heights, mode))
      throw new ValueError(op, `mode is ${shown(mode)}, but must be 'triangular', 'triangular2' or 'expRange'`)
    const height = scaleFn
      ? (cycle: number, steps: number) => scaleFn(scaleMode === 'cycle' ? cycle : steps)
      : heights[mode]
    /** The part of the way from the base to the peak, times the height of the cycle. */
    const part = (steps: number) => {
      const cycle = Math.floor(1 + steps / (up + down))
      const within = steps - (cycle - 1) * (up + down)
      return (within <= up ? within / up : (up + down - within) / down) * height(cycle, steps)
    }
    const given = optimizer ?? { paramGroups: [] }
    const [low, high] = [checkEach(op, 'baseLr', options.baseLr, given), checkEach(op, 'maxLr', options.maxLr, given)]
    const momenta = { baseMomentum: options.baseMomentum ?? 0.8, maxMomentum: options.maxMomentum ?? 0.9 }
    const [least, most] = [
      checkEach(op, 'baseMomentum', momenta.baseMomentum, given),
      checkEach(op, 'maxMomentum', momenta.maxMomentum, given),
    ]
    super(
      op,
      optimizer,
      (group, steps) => low(group) + (high(group) - low(group)) * part(steps),
      cycleMomentum ? (group, steps) => most(group) - (most(group) - least(group)) * part(steps) : null,
      null,
      {
        ...{ baseLr: options.baseLr, maxLr: options.maxLr, stepSizeUp: up, stepSizeDown: down, cycleMomentum },
        ...(cycleMomentum && momenta),
        ...(scaleFn === undefined ? { mode, gamma } : { scaleFn, scaleMode }),
      },
    )
  }
}

export interface OneCycleOptions extends MomentumOptions {
  readonly maxLr: Each
  readonly totalSteps: number
  /** The part of the steps in which the rate grows. Default 0.3. */
  readonly pctStart?: number
  /** Default 'cos'. */
  readonly annealStrategy?: 'cos' | 'linear'
  /** The first rate is maxLr / divFactor. Default 25. */
  readonly divFactor?: number
  /** The last rate is the first / finalDivFactor. Default 1e4. */
  readonly finalDivFactor?: number
  /** Falls to the first rate in as many steps as it rose, and then to the last rate. Default false. */
  readonly threePhase?: boolean
}

const anneals = {
  cos: (from: number, to: number, part: number) => to + ((from - to) / 2) * (Math.cos(Math.PI * part) + 1),
  linear: (from: number, to: number, part: number) => from + (to - from) * part,
}

/**
 * Moves the rate once up and down over the whole training (Smith and Topin, 2018). The momentum, 0.95 to 0.85 by
 * default, moves the opposite way.
 */
export class OneCycleLR extends Cycle {
  constructor(optimizer: Scheduled, options: OneCycleOptions) {
    const op = 'OneCycleLR'
    checkOptions(op, options, {
      maxLr: true,
      totalSteps: true,
      pctStart: true,
      annealStrategy: true,
      divFactor: true,
      finalDivFactor: true,
      threePhase: true,
      cycleMomentum: true,
      baseMomentum: true,
      maxMomentum: true,
    })
    const { totalSteps, pctStart = 0.3, annealStrategy = 'cos', divFactor = 25, finalDivFactor = 1e4 } = options
    const { threePhase = false, cycleMomentum = true } = options
    if (!Number.isSafeInteger(totalSteps) || totalSteps < 1)
      throw new ValueError(op, `totalSteps is ${shown(totalSteps)}, but must be a positive integer`)
    if (!(typeof pctStart === 'number' && pctStart >= 0 && pctStart <= 1))
      throw new ValueError(op, `pctStart is ${shown(pctStart)}, but must be a number in [0, 1]`)
    if (typeof annealStrategy !== 'string' || !Object.hasOwn(anneals, annealStrategy))
      throw new ValueError(op, `annealStrategy is ${shown(annealStrategy)}, but must be 'cos' or 'linear'`)
    checkCount(op, 'divFactor', divFactor)
    checkCount(op, 'finalDivFactor', finalDivFactor)
    checkFlag(op, 'threePhase', threePhase)
    checkFlag(op, 'cycleMomentum', cycleMomentum)
    const given = optimizer ?? { paramGroups: [] }
    const high = checkEach(op, 'maxLr', options.maxLr, given)
    const momenta = { baseMomentum: options.baseMomentum ?? 0.85, maxMomentum: options.maxMomentum ?? 0.95 }
    const [least, most] = [
      checkEach(op, 'baseMomentum', momenta.baseMomentum, given),
      checkEach(op, 'maxMomentum', momenta.maxMomentum, given),
    ]
    const first = (group: number) => high(group) / divFactor
    const last = (group: number) => first(group) / finalDivFactor
    const ends = [pctStart * totalSteps - 1, ...(threePhase ? [2 * pctStart * totalSteps - 2] : []), totalSteps - 1]
    /** The value after `steps` of a curve that has the given values at the beginning and at the end of each phase. */
    const along = (values: readonly number[], steps: number) => {
      const found = ends.findIndex((end) => steps <= end)
      const phase = found === -1 ? ends.length - 1 : found
      const start = phase === 0 ? 0 : (ends[phase - 1] as number)
      const span = (ends[phase] as number) - start
      const part = span > 0 ? Math.min(1, (steps - start) / span) : 1
      return anneals[annealStrategy](values[phase] as number, values[phase + 1] as number, part)
    }
    super(
      op,
      optimizer,
      (group, steps) => {
        const falls = threePhase ? [first(group), last(group)] : [last(group)]
        return along([first(group), high(group), ...falls], steps)
      },
      cycleMomentum
        ? (group, steps) => {
            const rises = threePhase ? [most(group), most(group)] : [most(group)]
            return along([most(group), least(group), ...rises], steps)
          }
        : null,
      totalSteps,
      {
        ...{ maxLr: options.maxLr, totalSteps, pctStart, annealStrategy, divFactor, finalDivFactor, threePhase },
        ...{ cycleMomentum, ...(cycleMomentum && momenta) },
      },
    )
  }
}
