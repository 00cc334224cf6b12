/** The state of an optimiser, and the checks of a state that it will load. */
import { isFloating } from '../core/dtype.js'
import { isMap } from '../core/engine.js'
import { formatShape, shown } from '../core/errors.js'
import { sameShape } from '../core/shape.js'
import { Tensor } from '../core/tensor.js'
import type { Parameter } from '../nn/module.js'
import type { SlotList } from './slots.js'

/** The state of a parameter: tensors by the names of their slots, and the number of steps. */
export interface ParameterState {
  step: number
  readonly tensors: { [name: string]: Tensor }
}

export interface OptimizerState {
  /** The optimiser's class. A state without it, as those of earlier versions, is of any class. */
  readonly kind?: string
  readonly groups: readonly { readonly [option: string]: unknown }[]
  /** The states by the parameter's name. */
  readonly state: ReadonlyMap<string, { readonly step: number; readonly tensors: { readonly [name: string]: Tensor } }>
}

const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null

const lost = 'JSON and structuredClone keep no tensors'

/**
 * Faults of the form of a state, of its class and of its groups. An empty list means that its entries can be checked.
 * Classes are compared, because some, such as Adam and AdamW, keep the same tensors and options for other updates.
 */
export function formProblems(saved: unknown, kind: string, groups: number): string[] {
  if (!isObject(saved) || !('groups' in saved) || !('state' in saved))
    return [`the state is ${isObject(saved) ? 'an object without groups and state' : shown(saved)}`]
  if ('kind' in saved && saved.kind !== undefined && saved.kind !== kind)
    return [
      `the state is that of ${shown(saved.kind)}, but must be that of ${shown(kind)}; make that optimiser, or, if this one shall go on ` +
        'with the tensors and options of the other, give it the groups and the state without the kind',
    ]
  if (!Array.isArray(saved.groups)) return ['groups is not a list']
  const problems: string[] = []
  if (saved.groups.length !== groups)
    problems.push(
      `the state has ${saved.groups.length} parameter groups, but this optimiser has ${groups}; make it with the groups of the state, or ` +
        'add them (addParamGroup) before the state is loaded',
    )
  for (const [i, group] of saved.groups.entries())
    if (!isObject(group)) problems.push(`group ${i} is ${shown(group)}, but must be an object of options`)
  if (!isObject(saved.state) || !isMap(saved.state))
    problems.push(`state is not a Map of tensors by parameter; ${lost}`)
  return problems
}

/** Misfits of a parameter's entry. A floating tensor is converted to the slot's dtype; all others must have it. */
export function entryProblems(name: string, entry: unknown, parameter: Parameter, slots: SlotList): string[] {
  if (!isObject(entry) || !('step' in entry) || !('tensors' in entry) || !isObject(entry.tensors))
    return [`${name} has no step and tensors`]
  const problems: string[] = []
  const { step, tensors } = entry
  if (!Number.isSafeInteger(step) || (step as number) < 0)
    problems.push(`${name} was stepped ${shown(step)} times, but the number must be an integer of at least 0`)
  const byName = new Map(slots.map(({ name: key, slot }) => [key, slot]))
  for (const [key, tensor] of Object.entries(tensors)) {
    const place = `${name}.${key}`
    const slot = byName.get(key)
    if (slot === undefined) {
      const known = slots.map(({ name: other }) => other).join(', ') || 'nothing'
      problems.push(`unexpected: ${place}; this optimiser keeps ${known}`)
    } else if (!(tensor instanceof Tensor)) problems.push(`${place} is not a tensor; ${lost}`)
    else if (tensor.storage.freed) problems.push(`${place} was freed`)
    else {
      const { shape = parameter.sizes, dtype = parameter.dtype } = slot
      if (!sameShape(tensor.sizes, shape))
        problems.push(
          `${place} is ${formatShape(tensor.sizes)}, but ${slot.shape === undefined ? 'the parameter is' : 'must be'} ${formatShape(shape)}`,
        )
      else if (tensor.dtype !== dtype && !(isFloating(tensor.dtype) && isFloating(dtype)))
        problems.push(`${place} is ${tensor.dtype}, but must be ${isFloating(dtype) ? 'floating' : dtype}`)
    }
  }
  for (const { name: key, slot } of slots)
    if (slot.used === undefined && step !== 0 && !Object.hasOwn(tensors, key)) problems.push(`missing: ${name}.${key}`)
  return problems
}
