/** Callbacks of a training: the contract, and the built-in ones. */
import { noGrad } from '../autograd/mode.js'
import { kindOf, shown, ValueError } from '../core/errors.js'
import type { Resumable } from '../core/generator.js'
import { warn } from '../core/host.js'
import { ownOptions } from '../core/options.js'
import { keep, outsideFrames } from '../core/scope.js'
import type { Tensor } from '../core/tensor.js'
import type { Module } from '../nn/module.js'
import { loadStateDict, stateDict } from '../nn/state.js'
import type { EpochRecord, StepRecord, ValidationRecord } from './history.js'

/** The training as a callback sees it. */
export interface TrainingContext {
  readonly model: Module
  /** The number of steps in an epoch, or null if the data do not know their length. */
  readonly stepsPerEpoch: number | null
  /** The number of epochs, including those of earlier fits, or Infinity if another limit ends the training. */
  readonly epochs: number
  /** Paths of the numbers in an epoch's record: 'loss', 'validation.accuracy', ... */
  readonly monitors: readonly string[]
  /** Ends the training after this step. */
  stop(reason: string): void
}

/** The name of a property on callbacks whose training has its own folder, which is empty at the beginning. */
export const beginsAnew: unique symbol = Symbol('beginsAnew')

/**
 * M names the metrics in the records that it sees. A callback without M serves any Trainer. One with `stateDict()` and
 * `loadStateDict()` becomes part of checkpoints, and its state is restored after `onStart`. Fields of others that change
 * are told of at the first checkpoint; variables in closures and #private fields cannot be seen.
 */
export interface Callback<M extends string = string> {
  onStart?(context: TrainingContext): void | Promise<void>
  /**
   * Called after every step. Its loss has not arrived yet, so do not wait for it here without need. The next step waits
   * for a returned promise, so everything saved or measured meanwhile belongs to one state of the weights.
   */
  onStep?(step: StepRecord, context: TrainingContext): void | Promise<void>
  /**
   * Called after every validation: at the end of an epoch, or at the steps that `validateEvery` gives. It comes before
   * `onEpochEnd`.
   */
  onValidation?(record: ValidationRecord<M>, context: TrainingContext): void | Promise<void>
  onEpochEnd?(epoch: EpochRecord<M>, context: TrainingContext): void | Promise<void>
  /** Called at the end of the training, even after an error, unless onStart failed. */
  onEnd?(context: TrainingContext): void | Promise<void>
}

export interface EarlyStoppingOptions {
  /**
   * The number to watch, by its path in the epoch's record: 'validation.loss' (default), 'loss', 'validation.accuracy',
   * ...
   */
  readonly monitor?: string
  /**
   * The number of epochs without improvement before the training stops, or of validations for a 'validation.' number.
   * Default 3.
   */
  readonly patience?: number
  /** Smaller changes do not count. Default 0. */
  readonly minDelta?: number
  /** Default: 'min' for a loss and 'max' for an accuracy. Required for all others. */
  readonly mode?: 'min' | 'max'
  /** Whether to restore the weights of the best epoch at the end. Default false. */
  readonly restoreBest?: boolean
}

/** The state of early stopping, with the best weights. */
export interface EarlyStoppingState {
  /** The options, which must be the same again. Missing in states of earlier versions. */
  readonly options?: { readonly [name: string]: unknown }
  readonly best: number | null
  readonly waited: number
  /** Weights of the best epoch, if they will be restored. */
  readonly weights: ReadonlyMap<string, Tensor> | null
}

/** The number at a path of an epoch's record. */
export function monitored(record: object, path: string): number {
  let value: unknown = record
  for (const part of path.split('.')) value = (value as { readonly [key: string]: unknown } | undefined)?.[part]
  return value as number
}

/** Whether larger values are better, if the name tells. */
function modeOf(op: string, monitor: string): 'min' | 'max' {
  if (/loss$/i.test(monitor)) return 'min'
  if (/accuracy$/i.test(monitor)) return 'max'
  throw new ValueError(op, `needs a mode for '${monitor}': 'min' if less of it is better, 'max' if more is`)
}

export interface BestWeightsOptions {
  /**
   * The number to watch, by its path in the epoch's record: 'validation.loss' (default), 'loss', 'validation.accuracy',
   * ...
   */
  readonly monitor?: string
  /** Smaller changes do not count. Default 0. */
  readonly minDelta?: number
  /** Default: 'min' for a loss and 'max' for an accuracy. Required for all others. */
  readonly mode?: 'min' | 'max'
}

/**
 * Restores the weights of the best epoch or validation when the training ends, and warns if its number was always NaN.
 * It does not end the training early.
 */
export function bestWeights(options: BestWeightsOptions = {}): Callback & Resumable<EarlyStoppingState> {
  const op = 'bestWeights'
  const given = ownOptions(op, options, { monitor: true, minDelta: true, mode: true })
  return watching(op, { ...given, patience: Number.POSITIVE_INFINITY, restoreBest: true })
}

/**
 * Stops the training when the monitored number has not improved for `patience` epochs, or for `patience` validations if
 * it is a number of the validation. NaN is never an improvement. Throws ValueError unless `patience` is a positive
 * integer.
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
    throw new ValueError(op, `minDelta is ${shown(minDelta)}, but must be a number of at least 0`)
  if (typeof restoreBest !== 'boolean')
    throw new ValueError(op, `restoreBest is ${shown(restoreBest)}, but must be true or false`)
  if (mode !== 'min' && mode !== 'max') throw new ValueError(op, `mode is ${shown(mode)}, but must be 'min' or 'max'`)
  const own = { monitor, mode, minDelta, patience, restoreBest }
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
          `there is no '${monitor}' to monitor, but only ${monitors.join(', ')}; give the Trainer that metric, or give fit a validation set`,
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
    stateDict: () => ({ options: own, best, waited, weights }),
    loadStateDict(state) {
      const isBest = state?.best === null || typeof state?.best === 'number'
      const areWeights = state?.weights === null || state?.weights instanceof Map
      if (!isBest || !areWeights || !Number.isSafeInteger(state.waited) || state.waited < 0)
        throw new ValueError(
          `${op}.loadStateDict`,
          `the state is ${kindOf(state)}, but must be { best, waited, weights }; give the same callbacks in the same order`,
        )
      for (const [name, now] of Object.entries(own)) {
        const before = state.options?.[name] ?? now
        if (before !== now)
          throw new ValueError(
            `${op}.loadStateDict`,
            `${name} is ${shown(now)}, but was ${shown(before)} in the state; continue with the same options`,
          )
      }
      best = state.best
      waited = state.waited
      if (state.weights === null) forget()
      else remember(state.weights)
    },
    onEnd(context) {
      try {
        if (weights !== null) loadStateDict(context.model, weights)
        else if (restoreBest && waited > 0)
          warn(
            `[${op}] ${monitor} was NaN in all ${waited} ${rounds}, so no weights are the best, and the model keeps its last`,
          )
      } finally {
        forget()
      }
    },
  }
}
