/** Learning rate schedules: each sets `lr` of every group from its initial value and the number of steps taken. */
import { ValueError } from '../core/errors.js'
import { checkOptions } from '../core/options.js'

/** What a schedule needs of an optimiser. */
interface Scheduled {
  readonly paramGroups: readonly { lr: number }[]
}

export interface ScheduleState {
  readonly steps: number
  readonly base: readonly number[]
}

/** Calls of `step()` count; the learning rate of a group is `rate(base, steps)`. */
export abstract class Schedule {
  readonly #optimizer: Scheduled
  #base: number[]
  #steps = 0

  constructor(optimizer: Scheduled) {
    this.#optimizer = optimizer
    this.#base = optimizer.paramGroups.map((group) => group.lr)
  }

  /** The learning rate after `steps` steps of a group that began with `base`. */
  protected abstract rate(base: number, steps: number): number

  /** To be called by subclasses at the end of their constructor. */
  protected start(): void {
    this.#set()
  }

  step(): void {
    this.#steps++
    this.#set()
  }

  get lr(): readonly number[] {
    return this.#optimizer.paramGroups.map((group) => group.lr)
  }

  stateDict(): ScheduleState {
    return { steps: this.#steps, base: [...this.#base] }
  }

  loadStateDict(state: ScheduleState): void {
    this.#steps = state.steps
    this.#base = [...state.base]
    this.#set()
  }

  #set(): void {
    this.#optimizer.paramGroups.forEach((group, i) => {
      // A group that was added since begins its schedule from what it was given.
      this.#base[i] ??= group.lr
      group.lr = this.rate(this.#base[i] as number, this.#steps)
    })
  }
}

function checkCount(name: string, option: string, value: number): number {
  if (!Number.isFinite(value) || value <= 0)
    throw new ValueError(name, `${option} is ${String(value)}, but must be a positive number`)
  return value
}

function checkRate(name: string, option: string, value: number): number {
  if (!Number.isFinite(value) || value < 0)
    throw new ValueError(name, `${option} is ${String(value)}, but must be a number, not negative`)
  return value
}

/** Half a cosine from the initial rate to `etaMin` in `tMax` steps (Loshchilov and Hutter, 2017), and back up after. */
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

/** A linear warm-up over `warmupSteps`, then half a cosine down to `etaMin` at `totalSteps`. */
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

  protected override rate(base: number, steps: number): number {
    if (steps < this.#warmup) return (base * (steps + 1)) / (this.#warmup + 1)
    const progress = Math.min(1, (steps - this.#warmup) / (this.#total - this.#warmup))
    return this.#etaMin + ((base - this.#etaMin) * (1 + Math.cos(Math.PI * progress))) / 2
  }
}
