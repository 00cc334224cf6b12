/** A learning rate schedule sets `lr` of every group from its initial value and the number of steps taken. */
import { kindOf, StateDictError, shown, ValueError } from '../core/errors.js'
import { checkOptions } from '../core/options.js'
import { prepareState } from '../core/resumable.js'
import { checkCount } from './rates.js'
import { type Settings, scheduleAdvice, settingProblems, settingsOf } from './settings.js'

/** The part of an optimiser that a schedule needs. */
export interface Scheduled {
  readonly paramGroups: readonly { lr: number }[]
}

export interface ScheduleState {
  /** The class of the schedule. Missing in states of earlier versions. */
  readonly kind?: string
  /** The options that it was made with, which must be the same again. Missing in states of earlier versions. */
  readonly options?: Settings
  readonly steps: number
  readonly base: readonly number[]
}

/** The rate that an ended schedule left in a group, and the rate that it began with. */
const ended = new WeakMap<object, { readonly lr: number; readonly base: number }>()

/**
 * The learning rate of group number `group` after `steps` steps (0 at first), starting from `base`. It must be linear
 * in `base`, a number plus another times `base`, so that a rate changed elsewhere can be followed.
 */
export type Rate = (base: number, steps: number, group: number) => number

/**
 * A learning rate that is a function of the step:
 *
 *     new optim.Schedule(optimizer, (base, steps) => base / Math.sqrt(steps + 1))
 *
 * The named schedules are such functions. `end` is the number of steps after which no training should continue with the
 * schedule; null, the default, if its last rate is meant to stay.
 *
 * A step is a call of `step()`, after every step of the optimiser (as the Trainer does) or after every epoch (the
 * Trainer's `scheduleEvery: 'epoch'`). All lengths count these calls. The learning rate of a group is `rate(base,
 * steps)`, where `base` is its rate when the schedule was made. After a schedule that has ended, `base` is the rate
 * that that schedule began with, because its last rate may be 0.
 *
 * If something else has changed the rate, by hand or by another schedule, the next step starts from that rate. So
 * schedules of one optimiser that are stepped in turn multiply, as in PyTorch; there LambdaLR and
 * CosineAnnealingWarmRestarts overwrite such a rate. Throws ValueError for a rate that is not
 * a finite number, or that cannot be followed.
 */
export class Schedule {
  /** The optimiser whose rates it sets. */
  readonly optimizer: Scheduled
  /** The number of steps after which no training should continue with it; null if its last rate is meant to stay. */
  readonly end: number | null
  readonly #rate: Rate
  #base: number[]
  /** The rates that this schedule set last, by group. */
  #last: number[] = []
  #steps = 0

  constructor(optimizer: Scheduled, rate: Rate, options: { readonly end?: number | null } = {}) {
    const op = new.target.name
    if (!Array.isArray(optimizer?.paramGroups))
      throw new ValueError(op, `the optimizer is ${kindOf(optimizer)}, but must be an optimizer, such as optim.SGD`)
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
    this.#base = this.lr.map((lr, i) => {
      const base = this.#followed(lr, i)
      if (base !== null) return base
      throw new ValueError(
        this.constructor.name,
        `a learning rate was changed to ${lr} by something else, and only a rate of the form a + b * first rate can follow that; make ` +
          'a new schedule',
      )
    })
    this.#steps++
    this.#set()
  }

  get lr(): readonly number[] {
    return this.optimizer.paramGroups.map((group) => group.lr)
  }

  /**
   * The rate of group number `group` after `steps` steps from `base`, independent of the step that the schedule is at.
   * Throws ValueError if it is not a finite number.
   */
  rateAt(steps: number, base: number, group = 0): number {
    return this.#rateOf(base, group, steps)
  }

  /** The steps and the bases. A rate that was changed by hand since the last step is in the bases, so that it resumes. */
  stateDict(): ScheduleState {
    const base = this.lr.map((lr, i) => this.#followed(lr, i) ?? (this.#base[i] as number))
    return { kind: this.constructor.name, options: this.#settings(), steps: this.#steps, base }
  }

  /** The options of the rate. A function of the program has none, so its rates from a first rate of 1 stand for it. */
  #settings(): Settings {
    const groups = this.optimizer.paramGroups.keys()
    const probes = Array.from(groups, (group) => {
      return [`the rate of group ${group}`, (steps: number) => this.#rate(1, steps, group)] as const
    })
    return settingsOf(this.#rate, probes)
  }

  /**
   * Loads a state and sets the rates. Throws StateDictError, and changes nothing, if it does not fit, is of another class,
   * or was taken with other options. PyTorch takes the state's options; here a schedule is a function, which no state
   * holds.
   */
  loadStateDict(state: ScheduleState): void {
    this[prepareState](state)()
  }

  [prepareState](state: ScheduleState): () => void {
    const problems: string[] = []
    const own = this.constructor.name
    if (state?.kind !== undefined && state.kind !== own)
      problems.push(`the state is that of ${shown(state.kind)}, but must be that of ${shown(own)}; make that schedule`)
    else problems.push(...settingProblems(this.#settings(), state?.options, scheduleAdvice))
    if (!Number.isSafeInteger(state?.steps) || state.steps < 0)
      problems.push(`steps is ${shown(state?.steps)}, but must be an integer of at least 0`)
    const groups = this.optimizer.paramGroups.length
    if (!Array.isArray(state?.base) || state.base.length !== groups || !state.base.every(Number.isFinite))
      problems.push(`base is ${shown(state?.base)}, but must be ${groups} initial rates, one for each group`)
    if (problems.length > 0) throw new StateDictError(problems, `${own}.loadStateDict`)
    const { steps, base } = state
    return () => {
      this.#steps = steps
      this.#base = [...base]
      this.#set()
    }
  }

  /** Called with each group after its rate is set. Schedules that set more than the rate override it. */
  protected settled(_group: { lr: number }, _i: number): void {}

  #rateOf(base: number, i: number, steps = this.#steps): number {
    const lr = this.#rate(base, steps, i)
    if (!Number.isFinite(lr))
      throw new ValueError(
        this.constructor.name,
        `the rate after ${steps} steps of a group that began with ${base} is ${shown(lr)}, but must be a finite number`,
      )
    return lr
  }

  /**
   * The number from which a group's current rate would have followed, if something else has changed it; else its base.
   * A group that was added later begins from the rate that it was given. Null if there is no such number.
   */
  #followed(lr: number, i: number): number | null {
    const base = this.#base[i]
    if (base === undefined) return lr
    if (lr === this.#last[i]) return base
    const least = this.#rateOf(0, i)
    const slope = this.#rateOf(1, i) - least
    const bend = this.#rateOf(2, i) - least - 2 * slope
    if (Math.abs(bend) > 1e-9 * (Math.abs(least) + Math.abs(slope))) return null
    // Every base has the same rate where the slope is 0, as at the foot of a cosine.
    return Math.abs(slope) > 1e-12 ? (lr - least) / slope : base
  }

  #set(): void {
    // All rates are computed before one is set, because a rate may be refused.
    const rates = this.optimizer.paramGroups.map((group, i) => {
      const base = (this.#base[i] ??= group.lr)
      return { group, base, lr: this.#rateOf(base, i) }
    })
    for (const { group, base, lr } of rates) {
      group.lr = lr
      if (this.end !== null && this.#steps >= this.end) ended.set(group, { lr, base })
      else ended.delete(group)
    }
    this.optimizer.paramGroups.forEach((group, i) => {
      this.settled(group, i)
    })
    this.#last = rates.map(({ lr }) => lr)
  }
}
