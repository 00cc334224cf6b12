/** What an optimiser remembers, and the check of a state that it is to take over. */
import { formatShape, shown } from '../core/errors.js'
import { sameShape } from '../core/shape.js'
import { Tensor } from '../core/tensor.js'
import type { Parameter } from '../nn/module.js'

/** What an optimiser remembers of a parameter: tensors of its shape, and the number of its steps. */
export interface ParameterState {
  step: number
  readonly tensors: { [name: string]: Tensor }
}

export interface OptimizerState {
  readonly groups: readonly { readonly [option: string]: unknown }[]
  /** By the parameter's name. */
  readonly state: ReadonlyMap<string, { readonly step: number; readonly tensors: { readonly [name: string]: Tensor } }>
}

/** The tensors that an optimiser keeps for a parameter: whether each must be there once a step was taken. */
export interface SlotNames {
  readonly [name: string]: 'always' | 'sometimes'
}

const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null

const lost = 'JSON and structuredClone keep no tensors'

/** All that does not fit; an empty list if the state can be taken over. The values of options are the optimiser's to check. */
export function stateProblems(
  saved: unknown,
  parameters: ReadonlyMap<string, Parameter>,
  groups: number,
  slots: SlotNames,
): string[] {
  if (!isObject(saved) || !('groups' in saved) || !('state' in saved))
    return [`the state is ${isObject(saved) ? 'an object without groups and state' : shown(saved)}`]
  if (!Array.isArray(saved.groups)) return ['groups is no list']
  const problems: string[] = []
  if (saved.groups.length !== groups)
    problems.push(`the state has ${saved.groups.length} parameter groups, this optimiser ${groups}`)
  for (const [i, group] of saved.groups.entries())
    if (!isObject(group)) problems.push(`group ${i} is ${shown(group)}, but must be an object of options`)
  if (!(saved.state instanceof Map)) return [...problems, `state is no Map of tensors by parameter; ${lost}`]
  for (const [name, entry] of saved.state as ReadonlyMap<string, unknown>) {
    const parameter = parameters.get(name)
    if (parameter === undefined) problems.push(`unexpected: ${name}`)
    else problems.push(...entryProblems(name, entry, parameter, slots))
  }
  return problems
}

function entryProblems(name: string, entry: unknown, parameter: Parameter, slots: SlotNames): string[] {
  if (!isObject(entry) || !('step' in entry) || !('tensors' in entry) || !isObject(entry.tensors))
    return [`${name} has no step and tensors`]
  const problems: string[] = []
  const { step, tensors } = entry
  if (!Number.isSafeInteger(step) || (step as number) < 0)
    problems.push(`${name} was stepped ${shown(step)} times, but that must be an integer, not negative`)
  for (const [slot, tensor] of Object.entries(tensors)) {
    const place = `${name}.${slot}`
    if (!Object.hasOwn(slots, slot))
      problems.push(`unexpected: ${place}; this optimiser keeps ${Object.keys(slots).join(', ')}`)
    else if (!(tensor instanceof Tensor)) problems.push(`${place} is no tensor; ${lost}`)
    else if (tensor.storage.freed) problems.push(`${place} was freed`)
    else if (!sameShape(tensor.sizes, parameter.sizes))
      problems.push(`${place} is ${formatShape(tensor.sizes)}, but the parameter is ${formatShape(parameter.sizes)}`)
    else if (!tensor.dtype.includes('float')) problems.push(`${place} is ${tensor.dtype}, but must be floating`)
  }
  for (const [slot, when] of Object.entries(slots))
    if (when === 'always' && step !== 0 && !Object.hasOwn(tensors, slot)) problems.push(`missing: ${name}.${slot}`)
  return problems
}
