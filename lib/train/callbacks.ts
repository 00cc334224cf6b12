/** Callbacks of a training: the contract, and the ready ones. */
import { noGrad } from '../autograd/mode.js'
import { shown, ValueError } from '../core/errors.js'
import type { Resumable } from '../core/generator.js'
import { ownOptions } from '../core/options.js'
import { keep, outsideFrames } from '../core/scope.js'
import type { Tensor } from '../core/tensor.js'
import type { Module } from '../nn/module.js'
import { loadStateDict, stateDict } from '../nn/state.js'
import type { EpochRecord, StepRecord, ValidationRecord } from './history.js'

/** The training as a callback sees it. */
export interface TrainingContext {
  readonly model: Module
  /** Steps of an epoch, where the data know their length. */
  readonly stepsPerEpoch: number | null
  /** How many there are, with those of fits before; Infinity where the training ends otherwise. */
  readonly epochs: number
  /** Paths of the numbers that an epoch's record will hold: 'loss', 'validation.accuracy', ... */
  readonly monitors: readonly string[]
  /** Ends the training after this step. */
  stop(reason: string): void
}

/** The name of a property of callbacks whose training has a folder of its own, which is empty when it begins. */
export const beginsAnew: unique symbol = Symbol('beginsAnew')

/**
 * M names metrics that the records it sees hold. One that is not told them serves any Trainer. One with `stateDict()` and
 * `loadStateDict()` is part of checkpoints, and gets its state back after `onStart`.
 */
export interface Callback<M extends string = string> {
  onStart?(context: TrainingContext): void | Promise<void>
  /**
   * After every step; its loss is not there yet: do not wait for it here without need. The next step waits for a promise, so
   * that what is saved or measured meanwhile is of one state of the weights.
   */
  onStep?(step: StepRecord, context: TrainingContext): void | Promise<void>
  /** After every validation: at the end of an epoch, or as `validateEvery` says. Before `onEpochEnd`. */
  onValidation?(record: ValidationRecord<M>, context: TrainingContext): void | Promise<void>
  onEpochEnd?(epoch: EpochRecord<M>, context: TrainingContext): void | Promise<void>
  /** However the training ends, if onStart did not fail. */
  onEnd?(context: TrainingContext): void | Promise<void>
}

export interface EarlyStoppingOptions {
  /** The number that is watched, by its path in the epoch's record: 'validation.loss' (default), 'loss', 'validation.accuracy', ... */
  readonly monitor?: string
  /** Epochs without improvement before it stops; of a 'validation.' number, validations. Default 3. */
  readonly patience?: number
  /** Smaller changes do not count. Default 0. */
  readonly minDelta?: number
  /** Default: 'min' for a loss, 'max' for an accuracy; for anything else it must be said. */
  readonly mode?: 'min' | 'max'
  /** Put back the weights of the best epoch at the end. Default false. */
  readonly restoreBest?: boolean
}

/** The state of early stopping, and of the best weights. */
export interface EarlyStoppingState {
  readonly best: number | null
  readonly waited: number
  /** Weights of the best epoch, if they are to be restored. */
  readonly weights: ReadonlyMap<string, Tensor> | null
}

/** The number at a path of an epoch's record. */
export function monitored(record: object, path: string): number {
  let value: unknown = record
  for (const part of path.split('.')) value = (value as { readonly [key: string]: unknown } | undefined)?.[part]
  return value as number
}

/** Whether more of it is better, where its name tells. */
function modeOf(op: string, monitor: string): 'min' | 'max' {
  if (/loss$/i.test(monitor)) return 'min'
  if (/accuracy$/i.test(monitor)) return 'max'
  throw new ValueError(op, `needs a mode for '${monitor}': 'min' if less of it is better, 'max' if more is`)
}

export interface BestWeightsOptions {
  /** The number that is watched, by its path in the epoch's record: 'validation.loss' (default), 'loss', 'validation.accuracy', ... */
  readonly monitor?: string
  /** Smaller changes do not count. Default 0. */
  readonly minDelta?: number
  /** Default: 'min' for a loss, 'max' for an accuracy; for anything else it must be said. */
  readonly mode?: 'min' | 'max'
}

/** Puts back the weights of the best epoch or validation when the training ends, which it lets go on to its last epoch. */
export function bestWeights(options: BestWeightsOptions = {}): Callback & Resumable<EarlyStoppingState> {
  const op = 'bestWeights'
  const given = ownOptions(op, options, { monitor: true, minDelta: true, mode: true })
  return watching(op, { ...given, patience: Number.POSITIVE_INFINITY, restoreBest: true })
}

/**
 * Stops when what is monitored has not improved for `patience` epochs, or, of a number of the validation, for so many of these.
 * NaN is never an improvement.
 */
export function earlyStopping(options: EarlyStoppingOptions = {}): Callback & Resumable<EarlyStoppingState> {
  const op = 'earlyStopping'
  const given = ownOptions(op, options, {
    monitor: true,
    patience: true,
    minDelta: true,
    mode: true,
    restoreBest: true,
  })
  const { patience = 3 } = given
  if (!Number.isInteger(patience) || patience < 1)
    throw new ValueError(op, `patience is ${shown(patience)}, but must be a positive integer`)
  return watching(op, { ...given, patience })
}

function watching(
  op: string,
  options: EarlyStoppingOptions & { readonly patience: number },
): Callback & Resumable<EarlyStoppingState> {
  const { monitor = 'validation.loss', patience, minDelta = 0, restoreBest = false } = options
  if (typeof monitor !== 'string')
    throw new ValueError(op, `monitor is ${shown(monitor)}, but must be a path such as 'validation.loss'`)
  const { mode = modeOf(op, monitor) } = options
  if (!(Number.isFinite(minDelta) && minDelta >= 0))
    throw new ValueError(op, `minDelta is ${shown(minDelta)}, but must be a number, not negative`)
  if (typeof restoreBest !== 'boolean')
    throw new ValueError(op, `restoreBest is ${shown(restoreBest)}, but must be true or false`)
  if (mode !== 'min' && mode !== 'max') throw new ValueError(op, `mode is ${shown(mode)}, but must be 'min' or 'max'`)
  let best: number | null = null
  let waited = 0
  let weights: Map<string, Tensor> | null = null
  const rounds = monitor.startsWith('validation.') ? 'validations' : 'epochs'
  const forget = () => {
    for (const tensor of weights?.values() ?? []) tensor.dispose()
    weights = null
  }
  const remember = (state: ReadonlyMap<string, Tensor>) => {
    forget()
    weights = noGrad(() =>
      outsideFrames(() => new Map([...state].map(([name, tensor]) => [name, keep(tensor.clone())]))),
    )
  }
  const judge = (value: number, context: TrainingContext) => {
    const improves = best === null || (mode === 'min' ? value < best - minDelta : value > best + minDelta)
    if (!Number.isNaN(value) && improves) {
      best = value
      waited = 0
      if (restoreBest) remember(stateDict(context.model))
    } else if (++waited >= patience)
      context.stop(`${monitor} has not improved for ${patience} ${rounds} (best ${best ?? 'none: all were NaN'})`)
  }
  return {
    onStart({ monitors }) {
      if (!monitors.includes(monitor))
        throw new ValueError(
          op,
          `there is no '${monitor}' to monitor, but ${monitors.join(', ')}; give the Trainer that metric, or fit a validation set`,
        )
      best = null
      waited = 0
      forget()
    },
    onValidation(record, context) {
      if (monitor.startsWith('validation.')) judge(monitored({ validation: record }, monitor), context)
    },
    onEpochEnd(epoch, context) {
      if (!monitor.startsWith('validation.')) judge(monitored(epoch, monitor), context)
    },
    stateDict: () => ({ best, waited, weights }),
    loadStateDict(state) {
      best = state.best
      waited = state.waited
      if (state.weights === null) forget()
      else remember(state.weights)
    },
    onEnd(context) {
      try {
        if (weights !== null) loadStateDict(context.model, weights)
      } finally {
        forget()
      }
    },
  }
}
