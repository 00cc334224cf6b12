/** Slots, the tensors that an optimiser keeps for a parameter: their declaration, creation and moves. */
import { currentCapture } from '../core/capture.js'
import { type DType, isDType } from '../core/dtype.js'
import { DeviceError, DTypeError, formatShape, kindOf, namedAs, ShapeError, ValueError } from '../core/errors.js'
import { keep } from '../core/scope.js'
import { type Shape, sameShape } from '../core/shape.js'
import { Tensor } from '../core/tensor.js'
import type { Parameter } from '../nn/module.js'
import { to } from '../ops/convert.js'
import { full } from '../ops/creation.js'
import { copyInto } from '../ops/inplace.js'
import { clone } from '../ops/shape/index.js'

/** A tensor that an optimiser keeps for a parameter. It is on the parameter's device. */
export interface Slot {
  /** Default: the parameter's. */
  readonly shape?: Shape
  /** Default: the parameter's, which it follows when the parameter is converted. */
  readonly dtype?: DType
  /** The initial value of all elements. Default 0. */
  readonly value?: number
  /**
   * Whether the options currently ask for this slot. Left out, they always do. A slot that says true or false may join
   * at any step, so a loaded state may lack it.
   */
  readonly used?: boolean
}

/**
 * The slots of a state of type `S`, by name. A slot that is optional there may be left out for parameters that never
 * have it.
 */
export type Slots<out S> = { readonly [K in keyof S]: Slot }

export type NamedSlots = { readonly [name: string]: Slot }

interface NamedSlot {
  readonly name: string
  readonly slot: Slot
}

/** Slots in a list, because a step visits them for each parameter. */
export type SlotList = readonly NamedSlot[]

const slotOptions: { readonly [K in keyof Required<Slot>]: true } = {
  shape: true,
  dtype: true,
  value: true,
  used: true,
}

/** The declared slots of an optimiser, in a list. Throws ValueError if one is not a slot. */
export function listSlots(op: string, slots: NamedSlots): SlotList {
  if (typeof slots !== 'object' || slots === null)
    throw new ValueError(op, `slots() gave ${kindOf(slots)}, but must give an object of slots by name`)
  const list = Object.entries(slots).map(([name, slot]) => ({ name, slot }))
  for (const { name, slot } of list) {
    if (typeof slot !== 'object' || slot === null)
      throw new ValueError(
        op,
        `the slot ${name} is ${kindOf(slot)}, but must be an object such as { shape: [2, 3] }, or {}`,
      )
    for (const option of Object.keys(slot))
      if (!Object.hasOwn(slotOptions, option))
        throw new ValueError(
          op,
          `the slot ${name} has no option ${option}; there are ${Object.keys(slotOptions).join(', ')}`,
        )
    const { dtype, used } = slot
    if (dtype !== undefined && !isDType(dtype))
      throw new ValueError(op, `the slot ${name} has the unknown dtype ${kindOf(dtype)}`)
    if (used !== undefined && typeof used !== 'boolean')
      throw new ValueError(op, `used of the slot ${name} is ${kindOf(used)}, but must be true or false`)
  }
  return list
}

export type Tensors = { readonly [name: string]: Tensor }

/** The shared object for parameters that lack no tensor. */
export const nothingMissing: Tensors = {}

/**
 * The tensors that a step must still make: new slots with their initial values, and slots that follow a parameter to
 * another device or dtype.
 */
export function missingSlots(op: string, parameter: Parameter, tensors: Tensors, slots: SlotList): Tensors {
  const { device, dtype: own } = parameter.storage
  let made: { [name: string]: Tensor } | null = null
  for (const { name, slot } of slots) {
    if (slot.used === false) continue
    const before = tensors[name]
    const dtype = slot.dtype ?? own
    if (before !== undefined && before.storage.device === device && before.dtype === dtype) continue
    if (currentCapture() !== null)
      throw new ValueError(
        op,
        `each replay would begin the state's ${name} anew; take one step before captureGraph, which makes it`,
      )
    made ??= {}
    made[name] =
      before === undefined
        ? keep(namedAs(op, () => full(slot.shape ?? parameter.sizes, slot.value ?? 0, { dtype, device })))
        : keep(to(to(before, device), dtype))
  }
  return made ?? nothingMissing
}

interface Assigned {
  readonly name: string
  readonly tensor: Tensor
  readonly value: unknown
}

/** Writes the slots that an update has assigned instead of written. */
export function writeAssigned(op: string, assigned: readonly Assigned[]): void {
  // All values are read before any is written, because slots may have been swapped.
  const values = assigned.map((each) => clone(fittingValue(op, each)))
  for (const [i, { tensor }] of assigned.entries()) copyInto(tensor, values[i] as Tensor, op)
}

function fittingValue(op: string, { name, tensor, value }: Assigned): Tensor {
  if (!(value instanceof Tensor))
    throw new DTypeError(op, `the slot ${name} was assigned ${kindOf(value)}, which is not a tensor`)
  value.storage.check(op)
  if (value.dtype !== tensor.dtype)
    throw new DTypeError(
      op,
      `the slot ${name} is ${tensor.dtype}, but was assigned ${value.dtype}; convert it with .to('${tensor.dtype}')`,
    )
  if (value.device !== tensor.device)
    throw new DeviceError(
      op,
      `the slot ${name} is on ${tensor.device.name}, but was assigned a tensor on ${value.device.name}`,
    )
  if (!sameShape(value.sizes, tensor.sizes))
    throw new ShapeError(
      op,
      `the slot ${name} is ${formatShape(tensor.sizes)}, but was assigned ${formatShape(value.sizes)}; expand it, or declare the slot with that shape`,
      [tensor.sizes, value.sizes],
    )
  return value
}
