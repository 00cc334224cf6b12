/** Learning rate schedules: each sets `lr` of every group from its initial value and the number of steps taken. */
import { kindOf, StateDictError, shown, ValueError } from '../core/errors.js'
import { checkOptions } from '../core/options.js'

/** What a schedule needs of an optimiser. */
interface Scheduled {
  readonly paramGroups: readonly { lr: number }[]
}

export interface ScheduleState {
  readonly steps: number
  readonly base: readonly number[]
}

/** Of groups whose schedule has come to its end: the rate that it left, and the one that it began with. */
const ended = new WeakMap<object, { readonly lr: number; readonly base: number }>()

/**
 * The learning rate after `steps` steps (0 at first) of a group that began with `base`: some number plus `base` times another,
 * so that a rate that was changed can be followed.
 */
export type Rate = (base: number, steps: number) => number

/**
 * A learning rate that is a function of the step:
 *
 *     new optim.Schedule(optimizer, (base, steps) => base / Math.sqrt(steps + 1))
 *
 * The others are such functions with a name. `end` tells after how many steps no training should go on with it; null, as by
 * default, where its last rate is meant to stay.
 *
 * Calls of `step()` count, whatever they stand for: after every step of the optimiser (as the Trainer does), or after every
 * epoch (the Trainer's `scheduleEvery: 'epoch'`). All lengths are in such calls. The learning rate of a group is
 * `rate(base, steps)`, where `base` is what it was when the schedule was made; after a schedule that came to its end, what
 * that one began with, because the end may be 0.
 *
 * A rate that something else has changed since, by hand or by another schedule, is what the next step starts from: schedules
 * of one optimiser that are stepped in turn multiply, as PyTorch's do. Throws ValueError for a rate that is no finite number, or
 * that cannot be followed.
 */
export class Schedule {
  /** Whose rates it sets. */
  readonly optimizer: Scheduled
  /** After how many steps no training should go on with it; null where its last rate is meant to stay. */
  readonly end: number | null
  readonly #rate: Rate
  #base: number[]
  /** What it set last, by group. */
  #last: number[] = []
  #steps = 0

  constructor(optimizer: Scheduled, rate: Rate, options: { readonly end?: number | null } = {}) {
    const op = new.target.name
    if (!Array.isArray(optimizer?.paramGroups))
      throw new ValueError(op, `the optimizer is ${kindOf(optimizer)}, but must be one, as optim.SGD is`)
    if (typeof rate !== 'function')
      throw new ValueError(
        op,
        `the rate is ${kindOf(rate)}, but must be a function of a group's first rate and the steps`,
      )
    const { end = null } = checkOptions(op, options, { end: true })
    this.end = end === null ? null : checkCount(op, 'end', end)
    this.optimizer = optimizer
    this.#rate = rate
    this.#base = optimizer.paramGroups.map((group) => {
      const before = ended.get(group)
      return before !== undefined && before.lr === group.lr ? before.base : group.lr
    })
    this.#set()
  }

  /** Steps taken. */
  get steps(): number {
    return this.#steps
  }

  step(): void {
    this.#follow()
    this.#steps++
    this.#set()
  }

  get lr(): readonly number[] {
    return this.optimizer.paramGroups.map((group) => group.lr)
  }

  stateDict(): ScheduleState {
    return { steps: this.#steps, base: [...this.#base] }
  }

  /** Takes over a state and sets the rates; throws StateDictError, with nothing changed, for one that does not fit. */
  loadStateDict(state: ScheduleState): void {
    const problems: string[] = []
    if (!Number.isSafeInteger(state?.steps) || state.steps < 0)
      problems.push(`steps is ${shown(state?.steps)}, but must be an integer, not negative`)
    const groups = this.optimizer.paramGroups.length
    if (!Array.isArray(state?.base) || state.base.length !== groups || !state.base.every(Number.isFinite))
      problems.push(`base is ${shown(state?.base)}, but must be ${groups} initial rates, one a group`)
    if (problems.length > 0) throw new StateDictError(problems, `${this.constructor.name}.loadStateDict`)
    this.#steps = state.steps
    this.#base = [...state.base]
    this.#set()
  }

  #rateOf(base: number): number {
    const lr = this.#rate(base, this.#steps)
    if (!Number.isFinite(lr))
      throw new ValueError(
        this.constructor.name,
        `the rate after ${this.#steps} steps of a group that began with ${base} is ${shown(lr)}, but must be a finite number`,
      )
    return lr
  }

  /** Where a rate is not what it was set to: the base from which it would have come to be so. */
  #follow(): void {
    this.optimizer.paramGroups.forEach(({ lr }, i) => {
      if (lr === this.#last[i] || this.#base[i] === undefined) return
      const least = this.#rateOf(0)
      const slope = this.#rateOf(1) - least
      const bend = this.#rateOf(2) - least - 2 * slope
      if (Math.abs(bend) > 1e-9 * (Math.abs(least) + Math.abs(slope)))
        throw new ValueError(
          this.constructor.name,
          `a learning rate was changed to ${lr} by something else, which a rate cannot follow that is not some number plus ` +
            'the first rate times another; make a new schedule',
        )
      // At the foot of a cosine every base has the same rate.
      if (Math.abs(slope) > 1e-12) this.#base[i] = (lr - least) / slope
    })
  }

  #set(): void {
    // All are asked before one is set, because a rate may be refused.
    const rates = this.optimizer.paramGroups.map((group, i) => {
      // A group that was added since begins its schedule from what it was given.
      const base = (this.#base[i] ??= group.lr)
      return { group, base, lr: this.#rateOf(base) }
    })
    for (const { group, base, lr } of rates) {
      group.lr = lr
      if (this.end !== null && this.#steps >= this.end) ended.set(group, { lr, base })
      else ended.delete(group)
    }
    this.#last = rates.map(({ lr }) => lr)
  }
}

function checkCount(name: string, option: string, value: number): number {
  if (!Number.isFinite(value) || value <= 0)
    throw new ValueError(name, `${option} is ${shown(value)}, but must be a positive number`)
  return value
}

function checkRate(name: string, option: string, value: number): number {
  if (!Number.isFinite(value) || value < 0)
    throw new ValueError(name, `${option} is ${shown(value)}, but must be a number, not negative`)
  return value
}

interface Cosine {
  readonly tMax: number
  readonly etaMin?: number
}

function cosine(options: Cosine): Rate {
  const name = 'CosineAnnealingLR'
  const { tMax, etaMin = 0 } = checkOptions(name, options, { tMax: true, etaMin: true })
  checkCount(name, 'tMax', tMax)
  checkRate(name, 'etaMin', etaMin)
  return (base, steps) => etaMin + ((base - etaMin) * (1 + Math.cos((Math.PI * steps) / tMax))) / 2
}

/**
 * Half a cosine from the initial rate to `etaMin` in `tMax` steps (Loshchilov and Hutter, 2017), and back up after. Steps are
 * calls of `step()`: for a Trainer that steps it with the optimiser, `tMax` is epochs times batches, not epochs.
 */
export class CosineAnnealingLR extends Schedule {
  constructor(optimizer: Scheduled, options: Cosine) {
    super(optimizer, cosine(options), { end: options.tMax })
  }
}

interface Linear {
  readonly startFactor?: number
  readonly endFactor?: number
  readonly totalIters?: number
}

function linear(options: Linear): Rate {
  const name = 'LinearLR'
  checkOptions(name, options, { startFactor: true, endFactor: true, totalIters: true })
  const start = checkRate(name, 'startFactor', options.startFactor ?? 1 / 3)
  const end = checkRate(name, 'endFactor', options.endFactor ?? 1)
  const total = checkCount(name, 'totalIters', options.totalIters ?? 5)
  return (base, steps) => base * (start + (end - start) * Math.min(1, steps / total))
}

/** From startFactor to endFactor times the initial rate, in equal parts of `totalIters` steps: a linear warm-up. */
export class LinearLR extends Schedule {
  constructor(optimizer: Scheduled, options: Linear = {}) {
    super(optimizer, linear(options))
  }
}

interface WarmupCosine {
  readonly warmupSteps: number
  readonly totalSteps: number
  readonly etaMin?: number
}

function warmupCosine(options: WarmupCosine): Rate {
  const name = 'WarmupCosineLR'
  checkOptions(name, options, { warmupSteps: true, totalSteps: true, etaMin: true })
  const { warmupSteps, totalSteps, etaMin = 0 } = options
  if (warmupSteps !== 0) checkCount(name, 'warmupSteps', warmupSteps)
  checkCount(name, 'totalSteps', totalSteps)
  if (warmupSteps >= totalSteps)
    throw new ValueError(name, `warmupSteps ${warmupSteps} must be less than totalSteps ${totalSteps}`)
  checkRate(name, 'etaMin', etaMin)
  return (base, steps) => {
    if (steps < warmupSteps) return (base * (steps + 1)) / (warmupSteps + 1)
    const progress = Math.min(1, (steps - warmupSteps) / (totalSteps - warmupSteps))
    return etaMin + ((base - etaMin) * (1 + Math.cos(Math.PI * progress))) / 2
  }
}

/**
 * A linear warm-up over `warmupSteps`, then half a cosine down to `etaMin` at `totalSteps`, where it stays. Steps are calls of
 * `step()`, as for CosineAnnealingLR.
 */
export class WarmupCosineLR extends Schedule {
  constructor(optimizer: Scheduled, options: WarmupCosine) {
    super(optimizer, warmupCosine(options), { end: options.totalSteps })
  }
}
