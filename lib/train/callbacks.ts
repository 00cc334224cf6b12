/** What hangs on a training: callbacks, and the ready ones. */
import { noGrad } from '../autograd/mode.js'
import { ValueError } from '../core/errors.js'
import { checkOptions } from '../core/options.js'
import { keep, outsideFrames } from '../core/scope.js'
import type { Tensor } from '../core/tensor.js'
import type { Module } from '../nn/module.js'
import { loadStateDict, stateDict } from '../nn/state.js'
import type { EpochRecord, StepRecord } from './history.js'

/** What a callback sees of the training it hangs on. */
export interface TrainingContext {
  readonly model: Module
  /** Steps of an epoch, where the data know their length. */
  readonly stepsPerEpoch: number | null
  readonly epochs: number
  /** Ends the training after this step. */
  stop(reason: string): void
}

export interface Callback {
  onStart?(context: TrainingContext): void | Promise<void>
  /** After every step; its loss is not there yet: do not wait for it here. */
  onStep?(step: StepRecord, context: TrainingContext): void
  onEpochEnd?(epoch: EpochRecord, context: TrainingContext): void | Promise<void>
  /** However the training ends. */
  onEnd?(context: TrainingContext): void | Promise<void>
}

export interface EarlyStoppingOptions {
  /** What is watched, by its path in the epoch's record: 'validation.loss' (default), 'loss', 'validation.accuracy', ... */
  readonly monitor?: string
  /** Epochs without improvement before it stops. Default 3. */
  readonly patience?: number
  /** Smaller changes do not count. Default 0. */
  readonly minDelta?: number
  /** Default: 'max' for an accuracy, else 'min'. */
  readonly mode?: 'min' | 'max'
  /** Put back the weights of the best epoch at the end. Default false. */
  readonly restoreBest?: boolean
}

/** The number at a path of an epoch's record. */
export function monitored(record: EpochRecord, path: string): number {
  let value: unknown = record
  for (const part of path.split('.'))
    value =
      value !== null && typeof value === 'object' ? (value as { readonly [key: string]: unknown })[part] : undefined
  if (typeof value !== 'number')
    throw new ValueError(
      'earlyStopping',
      `there is no '${path}' in the epoch's record (${JSON.stringify(record)}); give the Trainer that metric, or fit a validation set`,
    )
  return value
}

/** Stops when what is monitored has not improved for `patience` epochs. */
export function earlyStopping(options: EarlyStoppingOptions = {}): Callback {
  checkOptions('earlyStopping', options, {
    monitor: true,
    patience: true,
    minDelta: true,
    mode: true,
    restoreBest: true,
  })
  const { monitor = 'validation.loss', patience = 3, minDelta = 0, restoreBest = false } = options
  const { mode = monitor.endsWith('accuracy') ? 'max' : 'min' } = options
  if (!Number.isInteger(patience) || patience < 1)
    throw new ValueError('earlyStopping', `patience is ${String(patience)}, but must be a positive integer`)
  if (!(minDelta >= 0))
    throw new ValueError('earlyStopping', `minDelta is ${String(minDelta)}, but must not be negative`)
  if (mode !== 'min' && mode !== 'max')
    throw new ValueError('earlyStopping', `mode is '${String(mode)}', but must be 'min' or 'max'`)
  let best: number | null = null
  let waited = 0
  let weights: Map<string, Tensor> | null = null
  const forget = () => {
    for (const tensor of weights?.values() ?? []) tensor.dispose()
    weights = null
  }
  return {
    onStart() {
      best = null
      waited = 0
      forget()
    },
    onEpochEnd(epoch, context) {
      const value = monitored(epoch, monitor)
      const better = best === null || (mode === 'min' ? value < best - minDelta : value > best + minDelta)
      if (better) {
        best = value
        waited = 0
        if (restoreBest) {
          forget()
          weights = noGrad(() =>
            outsideFrames(
              () => new Map([...stateDict(context.model)].map(([name, tensor]) => [name, keep(tensor.clone())])),
            ),
          )
        }
      } else if (++waited >= patience) context.stop(`${monitor} has not improved for ${patience} epochs (best ${best})`)
    },
    onEnd(context) {
      if (weights !== null) loadStateDict(context.model, weights)
      forget()
    },
  }
}
