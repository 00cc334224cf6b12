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
 * Calls of `step()` count, whatever they stand for: after every step of the optimiser (as the Trainer does), or after every
 * epoch (the Trainer's `scheduleEvery: 'epoch'`). All lengths are in such calls. The learning rate of a group is
 * `rate(base, steps)`, where `base` is what it was when the schedule was made; after a schedule that came to its end, what
 * that one began with, because the end may be 0.
 *
 * A rate that something else has changed since, by hand or by another schedule, is what the next step starts from: schedules
 * of one optimiser that are stepped in turn multiply, as PyTorch's do.
 */
export abstract class Schedule {
  /** Whose rates it sets. */
  readonly optimizer: Scheduled
  #base: number[]
  /** What it set last, by group. */
  #last: number[] = []
  #steps = 0

  constructor(optimizer: Scheduled) {
    if (!Array.isArray(optimizer?.paramGroups))
      throw new ValueError(new.target.name, `the optimizer is ${kindOf(optimizer)}, but must be one, as optim.SGD is`)
    this.optimizer = optimizer
    this.#base = optimizer.paramGroups.map((group) => {
      const before = ended.get(group)
      return before !== undefined && before.lr === group.lr ? before.base : group.lr
    })
  }

  /**
   * The learning rate after `steps` steps of a group that began with `base`: some number plus `base` times another, so that
   * a changed rate can be followed.
   */
  protected abstract rate(base: number, steps: number): number

  /** To be called by subclasses at the end of their constructor. */
  protected start(): void {
    this.#set()
  }

  /** Steps taken. */
  get steps(): number {
    return this.#steps
  }

  /** After how many steps no training should go on with it; null where its last rate is meant to stay. */
  get end(): number | null {
    return null
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

  /** Where a rate is not what it was set to: the base from which it would have come to be so. */
  #follow(): void {
    this.optimizer.paramGroups.forEach(({ lr }, i) => {
      if (lr === this.#last[i] || this.#base[i] === undefined) return
      const least = this.rate(0, this.#steps)
      const slope = this.rate(1, this.#steps) - least
      // At the foot of a cosine every base has the same rate.
      if (Math.abs(slope) > 1e-12) this.#base[i] = (lr - least) / slope
    })
  }

  #set(): void {
    this.optimizer.paramGroups.forEach((group, i) => {
      // A group that was added since begins its schedule from what it was given.
      const base = (this.#base[i] ??= group.lr)
      const lr = this.rate(base, this.#steps)
      group.lr = lr
      this.#last[i] = lr
      if (this.end !== null && this.#steps >= this.end) ended.set(group, { lr, base })
      else ended.delete(group)
    })
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

/**
 * Half a cosine from the initial rate to `etaMin` in `tMax` steps (Loshchilov and Hutter, 2017), and back up after. Steps are
 * calls of `step()`: for a Trainer that steps it with the optimiser, `tMax` is epochs times batches, not epochs.
 */
export class CosineAnnealingLR extends Schedule {
  readonly #tMax: number
  readonly #etaMin: number
  constructor(optimizer: Scheduled, options: { readonly tMax: number; readonly etaMin?: number }) {
    super(optimizer)
    const { tMax, etaMin = 0 } = checkOptions('CosineAnnealingLR', options, { tMax: true, etaMin: true })
    this.#tMax = checkCount('CosineAnnealingLR', 'tMax', tMax)
    this.#etaMin = checkRate('CosineAnnealingLR', 'etaMin', etaMin)
    this.start()
  }

  override get end(): number {
    return this.#tMax
  }

  protected override rate(base: number, steps: number): number {
    return this.#etaMin + ((base - this.#etaMin) * (1 + Math.cos((Math.PI * steps) / this.#tMax))) / 2
  }
}

/** From startFactor to endFactor times the initial rate, in equal parts of `totalIters` steps: a linear warm-up. */
export class LinearLR extends Schedule {
  readonly #start: number
  readonly #end: number
  readonly #total: number
  constructor(
    optimizer: Scheduled,
    options: { readonly startFactor?: number; readonly endFactor?: number; readonly totalIters?: number } = {},
  ) {
    super(optimizer)
    checkOptions('LinearLR', options, { startFactor: true, endFactor: true, totalIters: true })
    this.#start = checkRate('LinearLR', 'startFactor', options.startFactor ?? 1 / 3)
    this.#end = checkRate('LinearLR', 'endFactor', options.endFactor ?? 1)
    this.#total = checkCount('LinearLR', 'totalIters', options.totalIters ?? 5)
    this.start()
  }

  protected override rate(base: number, steps: number): number {
    return base * (this.#start + (this.#end - this.#start) * Math.min(1, steps / this.#total))
  }
}

/**
 * A linear warm-up over `warmupSteps`, then half a cosine down to `etaMin` at `totalSteps`, where it stays. Steps are calls of
 * `step()`, as for CosineAnnealingLR.
 */
export class WarmupCosineLR extends Schedule {
  readonly #warmup: number
  readonly #total: number
  readonly #etaMin: number
  constructor(
    optimizer: Scheduled,
    options: { readonly warmupSteps: number; readonly totalSteps: number; readonly etaMin?: number },
  ) {
    super(optimizer)
    checkOptions('WarmupCosineLR', options, { warmupSteps: true, totalSteps: true, etaMin: true })
    const { warmupSteps, totalSteps, etaMin = 0 } = options
    this.#warmup = warmupSteps === 0 ? 0 : checkCount('WarmupCosineLR', 'warmupSteps', warmupSteps)
    this.#total = checkCount('WarmupCosineLR', 'totalSteps', totalSteps)
    if (warmupSteps >= totalSteps)
      throw new ValueError('WarmupCosineLR', `warmupSteps ${warmupSteps} must be less than totalSteps ${totalSteps}`)
    this.#etaMin = checkRate('WarmupCosineLR', 'etaMin', etaMin)
    this.start()
  }

  override get end(): number {
    return this.#total
  }

  protected override rate(base: number, steps: number): number {
    if (steps < this.#warmup) return (base * (steps + 1)) / (this.#warmup + 1)
    const progress = Math.min(1, (steps - this.#warmup) / (this.#total - this.#warmup))
    return this.#etaMin + ((base - this.#etaMin) * (1 + Math.cos(Math.PI * progress))) / 2
  }
}
