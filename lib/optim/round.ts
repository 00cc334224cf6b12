/** Rounds, the parts of a step: parameters that one kernel call can update together. */
import type { Device } from '../core/device.js'
import type { DType } from '../core/dtype.js'
import type { Storage } from '../core/storage.js'
import type { Tensor } from '../core/tensor.js'
import type { Parameter } from '../nn/module.js'
import { nothingMissing, type SlotList, type Tensors } from './slots.js'
import type { ParameterState } from './state.js'

/** The step that a parameter is at. */
export interface At {
  /** The number of the step, from 1. */
  readonly step: number
  /** The slots that were made for this step, because no earlier step had them. */
  readonly fresh: readonly string[]
}

/** An optimiser's cached knowledge of a parameter. */
export interface Known {
  readonly state: ParameterState
  /**
   * The tensors that the last step found in the state, or put there, with their device and dtype, so that the next step
   * need not look again.
   */
  slots: SlotList
  device: Device | null
  dtype: DType | null
}

/** A parameter with a gradient, ready for a step. */
export interface Ready {
  readonly parameter: Parameter
  gradient: Tensor
  readonly known: Known
  /** The tensors that the step puts into the state when it begins. */
  made: Tensors
}

/** Parameters of one step number, device and dtype, with the same fresh slots, and each with memory of its own. */
export interface Round {
  readonly at: At
  readonly device: Device
  readonly dtype: DType
  readonly written: Set<Storage>
  readonly ready: Ready[]
}

const nothing: readonly string[] = []

function freshOf({ made, known: { state } }: Ready): readonly string[] {
  if (made === nothingMissing) return nothing
  return Object.keys(made).filter((name) => state.tensors[name] === undefined)
}

const sameNames = (a: readonly string[], b: readonly string[]): boolean => a === b || a.join() === b.join()

/** The rounds of a step, mostly one. Two parameters that share memory go into different rounds. */
export function roundsOf(ready: readonly Ready[]): readonly Round[] {
  const rounds: Round[] = []
  for (const each of ready) {
    const fresh = freshOf(each)
    let round = rounds.find((other) => joins(each, fresh, other))
    if (round === undefined) {
      const { device, dtype } = each.parameter.storage
      round = { at: { step: each.known.state.step + 1, fresh }, device, dtype, written: new Set(), ready: [] }
      rounds.push(round)
    }
    round.written.add(each.parameter.storage)
    round.ready.push(each)
  }
  return rounds
}

function joins({ parameter: { storage }, known }: Ready, fresh: readonly string[], round: Round): boolean {
  const { at, device, dtype, written } = round
  return (
    at.step === known.state.step + 1 &&
    device === storage.device &&
    dtype === storage.dtype &&
    sameNames(at.fresh, fresh) &&
    !written.has(storage)
  )
}

/**
 * A call of a row that does the work of `update` for many parameters, without the arguments that the base class fills
 * in. `rowOf` makes it.
 */
export interface Row {
  readonly kernel: string
  readonly args: object
}
