/** The weights of one run at several times. */
import { noGrad } from '../autograd/mode.js'
import { shown, ValueError } from '../core/errors.js'
import type { Resumable } from '../core/generator.js'
import { checkOptions } from '../core/options.js'
import { keep, outsideFrames } from '../core/scope.js'
import type { Tensor } from '../core/tensor.js'
import { type StateDict, stateDict } from '../nn/state.js'
import type { Callback } from './callbacks.js'

export interface SnapshotOptions {
  /** Epochs between snapshots: the length of a cycle of the schedule, such as `tMax` of a cosine with warm restarts. */
  readonly every: number
}

/** The weights of a run at the ends of its cycles. */
export interface Snapshots
  extends Callback,
    Resumable<{ readonly every?: number; readonly states: readonly StateDict[] }> {
  /** A state for each completed cycle, in order, for `loadStateDict` of a model with the same shapes. */
  readonly states: readonly StateDict[]
}

/**
 * Keeps the weights at the end of every cycle of a run whose schedule restarts, such as `CosineAnnealingWarmRestarts`.
 * They are the members of an ensemble at the cost of one training (Huang et al., 2017). The states are part of
 * checkpoints. States of an earlier run are dropped when the next one begins. Throws ValueError unless `every` is a
 * positive integer.
 */
export function snapshots(options: SnapshotOptions): Snapshots {
  const op = 'snapshots'
  const { every } = checkOptions(op, options, { every: true })
  if (!Number.isSafeInteger(every) || every < 1)
    throw new ValueError(op, `every is ${shown(every)}, but must be a positive number of epochs`)
  let states: StateDict[] = []
  const copies = (state: ReadonlyMap<string, Tensor>): StateDict =>
    noGrad(() =>
      outsideFrames(() => new Map([...state].map(([name, tensor]) => [name, keep(tensor.detach().clone())]))),
    )
  return {
    get states() {
      return states
    },
    onStart() {
      states = []
    },
    onEpochEnd({ epoch }, { model }) {
      if ((epoch + 1) % every === 0) states.push(copies(stateDict(model)))
    },
    stateDict: () => ({ every, states }),
    loadStateDict(state) {
      if (!Array.isArray(state?.states))
        throw new ValueError(`${op}.loadStateDict`, `the state is ${shown(state)}, but must be { every, states }`)
      // States of earlier versions lack it.
      if (state.every !== undefined && state.every !== every)
        throw new ValueError(
          `${op}.loadStateDict`,
          `every is ${every}, but was ${shown(state.every)} in the state; continue with the same options`,
        )
      states = state.states.map(copies)
    },
  }
}
