/** The parts of a step: parameters that one kernel call can update together. */
import type { KernelArguments, KernelName, KernelTable } from '../backend/table/index.js'
import type { Device } from '../core/device.js'
import type { DType } from '../core/dtype.js'
import type { Storage } from '../core/storage.js'
import type { Tensor } from '../core/tensor.js'
import type { Parameter } from '../nn/module.js'
import { nothingMissing, type SlotList, type Tensors } from './slots.js'
import type { ParameterState } from './state.js'

/** Which step of a parameter it is. */
export interface At {
  /** 1 for the first. */
  readonly step: number
  /** The slots that were made for this step, because no step before it had them. */
  readonly fresh: readonly string[]
}

/** The knowledge that an optimiser has of a parameter. */
export interface Known {
  readonly state: ParameterState
  /** The tensors that the last step has found in the state, or put there, and for which device and dtype: the next need not look again. */
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

/** The rounds of a step: mostly one. Two parameters may share memory; they are then stepped in turn. */
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

/** The arguments of a row that the base of all optimisers gives. */
type Given = 'params' | 'grads' | 'shadows'

/** The rows that update many parameters in one call. */
type RowName = {
  [K in KernelName]: Given extends keyof KernelTable[K]['args'] ? K : never
}[KernelName]

/** A call of a row that does what `update` says for many parameters, without what the base gives. Made by `rowOf`. */
export interface Row {
  readonly kernel: string
  readonly args: object
}

/**
 * The call of a row with its own arguments, which the compiler holds to the table of kernels: here, lest every program that has an
 * optimiser pays for types of all kernels.
 */
export function rowOf<K extends RowName>(kernel: K, args: Omit<KernelArguments<K, Tensor>, Given>): Row {
  return { kernel, args }
}
