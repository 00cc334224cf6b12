/**
 * A rate that falls when a metric has stopped improving. It is not a `Schedule`, because it is not a function of the
 * step.
 */
import { kindOf, StateDictError, shown, ValueError } from '../core/errors.js'
import { ownOptions } from '../core/options.js'
import { prepareState } from '../core/resumable.js'
import { Tensor } from '../core/tensor.js'
import { notAtLeast } from './options.js'
import type { Scheduled } from './schedule.js'
import { type Settings, scheduleAdvice, settingProblems } from './settings.js'

export interface PlateauOptions {
  /** Whether the metric should fall or grow. Default 'min'. */
  readonly mode?: 'min' | 'max'
  /** The factor of the rate. Default 0.1. */
  readonly factor?: number
  /** The number of steps without progress that are tolerated. Default 10. */
  readonly patience?: number
  /** The least change that counts as progress. Default 1e-4. */
  readonly threshold?: number
  /** Whether the threshold is relative to the best value, or absolute. Default 'rel'. */
  readonly thresholdMode?: 'rel' | 'abs'
  /** The number of steps after a fall in which progress is not checked. Default 0. */
  readonly cooldown?: number
  /** The lowest rate, one for all groups or one for each. Default 0. */
  readonly minLr?: number | readonly number[]
  /** Changes of the rate up to this size are not made. Default 1e-8. */
  readonly eps?: number
}

export interface PlateauState {
  /** The options, which must be the same again. Missing in states of earlier versions. */
  readonly options?: Settings
  readonly best: number | null
  readonly bad: number
  readonly cooldown: number
}

/**
 * Multiplies the rates by `factor` when `step(metric)` has seen no progress for more than `patience` calls:
 *
 *     const plateau = new optim.ReduceLROnPlateau(optimizer, { patience: 3 })
 *     for (...) plateau.step(validationLoss)
 */
export class ReduceLROnPlateau {
  readonly optimizer: Scheduled
  readonly #options: Required<PlateauOptions>
  /** The best metric so far; null before the first. */
  #best: number | null = null
  #bad = 0
  #cooldown = 0

  constructor(optimizer: Scheduled, options: PlateauOptions = {}) {
    const op = 'ReduceLROnPlateau'
    if (!Array.isArray(optimizer?.paramGroups))
      throw new ValueError(op, `the optimizer is ${kindOf(optimizer)}, but must be an optimizer, such as optim.SGD`)
    const usual = {
      mode: 'min',
      factor: 0.1,
      patience: 10,
      threshold: 1e-4,
      thresholdMode: 'rel',
      cooldown: 0,
      minLr: 0,
      eps: 1e-8,
    } as const
    const own = ownOptions<PlateauOptions>(op, options, {
      mode: true,
      factor: true,
      patience: true,
      threshold: true,
      thresholdMode: true,
      cooldown: true,
      minLr: true,
      eps: true,
    })
    const given = Object.fromEntries(Object.entries(own).filter(([, value]) => value !== undefined))
    const all: Required<PlateauOptions> = { ...usual, ...given }
    const { mode, factor, patience, threshold, thresholdMode, cooldown, minLr, eps } = all
    const least = Array.isArray(minLr) ? (minLr as readonly number[]) : [minLr as number]
    const faults = [
      mode !== 'min' && mode !== 'max' && `mode is ${shown(mode)}, but must be 'min' or 'max'`,
      !(typeof factor === 'number' && factor >= 0 && factor < 1) &&
        `factor is ${shown(factor)}, but must be a number in [0, 1)`,
      notAtLeast('patience', patience, 0),
      notAtLeast('threshold', threshold, 0),
      thresholdMode !== 'rel' &&
        thresholdMode !== 'abs' &&
        `thresholdMode is ${shown(thresholdMode)}, but must be 'rel' or 'abs'`,
      notAtLeast('cooldown', cooldown, 0),
      ...least.map((each) => notAtLeast('minLr', each, 0)),
      Array.isArray(minLr) &&
        least.length !== optimizer.paramGroups.length &&
        `minLr are ${least.length} numbers, but there are ${optimizer.paramGroups.length} groups`,
      notAtLeast('eps', eps, 0),
    ].filter((fault) => fault !== false)
    if (faults.length > 0) throw new ValueError(op, faults.join('; '))
    this.optimizer = optimizer
    this.#options = { ...all, minLr: Array.isArray(minLr) ? [...minLr] : minLr }
  }

  /**
   * Takes a metric, a number or a tensor of one element (which is read), and lowers the rates if progress has stopped.
   */
  step(metric: number | Tensor): void {
    const value = metric instanceof Tensor ? metric.item() : metric
    if (typeof value !== 'number')
      throw new ValueError('ReduceLROnPlateau.step', `the metric is ${kindOf(metric)}, but must be a number`)
    if (this.#isBetter(value)) {
      this.#best = value
      this.#bad = 0
    } else this.#bad++
    if (this.#cooldown > 0) {
      this.#cooldown--
      this.#bad = 0
    }
    if (this.#bad <= this.#options.patience) return
    this.#lower()
    this.#cooldown = this.#options.cooldown
    this.#bad = 0
  }

  get lr(): readonly number[] {
    return this.optimizer.paramGroups.map((group) => group.lr)
  }

  /** Whether the metric is progress. NaN never is. */
  #isBetter(value: number): boolean {
    const { mode, threshold, thresholdMode } = this.#options
    const sign = mode === 'min' ? -1 : 1
    const best = this.#best ?? -sign * Number.POSITIVE_INFINITY
    const bar = thresholdMode === 'rel' ? best * (1 + sign * threshold) : best + sign * threshold
    return mode === 'min' ? value < bar : value > bar
  }

  #lower(): void {
    const { factor, minLr, eps } = this.#options
    this.optimizer.paramGroups.forEach((group, i) => {
      const least = Array.isArray(minLr) ? ((minLr as readonly number[])[i] ?? 0) : (minLr as number)
      const lr = Math.max(group.lr * factor, least)
      if (group.lr - lr > eps) group.lr = lr
    })
  }

  /** The state, without the rates, which the optimiser's state holds. */
  stateDict(): PlateauState {
    return { options: { ...this.#options }, best: this.#best, bad: this.#bad, cooldown: this.#cooldown }
  }

  /** Loads a state. Throws StateDictError, and changes nothing, if it does not fit or was taken with other options. */
  loadStateDict(state: PlateauState): void {
    this[prepareState](state)()
  }

  [prepareState](state: PlateauState): () => void {
    const problems = settingProblems({ ...this.#options }, state?.options, scheduleAdvice)
    const best: unknown = state?.best
    if (best !== null && typeof best !== 'number') problems.push(`best is ${shown(best)}, but must be a number or null`)
    for (const name of ['bad', 'cooldown'] as const)
      if (!Number.isSafeInteger(state?.[name]) || state[name] < 0)
        problems.push(`${name} is ${shown(state?.[name])}, but must be an integer of at least 0`)
    if (problems.length > 0) throw new StateDictError(problems, 'ReduceLROnPlateau.loadStateDict')
    const { best: least, bad, cooldown } = state
    return () => {
      this.#best = least
      this.#bad = bad
      this.#cooldown = cooldown
    }
  }
}
