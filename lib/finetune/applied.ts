/** The adapters applied to each module, with their options. */
import { shown, ValueError } from '../core/errors.js'
import type { Module } from '../nn/module.js'
import type { Ia3Options } from './ia3.js'
import type { LoraOptions } from './lora.js'
import type { Naming } from './names.js'
import type { PromptSettings } from './prompt.js'
import { checkModel, quoted } from './select.js'

/** The options with which an adapter was applied, by its kind. */
export type Applied =
  | { readonly kind: 'lora'; readonly options: LoraOptions }
  | { readonly kind: 'ia3'; readonly options: Ia3Options }
  | { readonly kind: 'prompt'; readonly options: PromptSettings }

/** Adapters by the module to which they were applied, and then by name. */
const applied = new WeakMap<Module, Map<string, { readonly how: Applied; readonly naming: Naming }>>()

/** Names of the adapters that were applied to exactly this module. */
export function appliedNames(model: Module): string[] {
  return [...(applied.get(model)?.keys() ?? [])]
}

/** The given name, or that of the only adapter. Throws ValueError if none was applied, or none of that name. */
export function appliedName(op: string, model: Module, given: string | undefined): string {
  checkModel(op, model)
  const names = appliedNames(model)
  const [first] = names
  if (first === undefined) throw new ValueError(op, 'the model has no adapter; call applyLora first')
  if (given === undefined && names.length > 1)
    throw new ValueError(op, `the model has several adapters, ${quoted(names)}; choose one with { name }`)
  const name = given ?? first
  if (!names.includes(name))
    throw new ValueError(op, `the model has no adapter ${shown(name)}; there are ${quoted(names)}`)
  return name
}

/** The application of an adapter, by an existing name. */
export function appliedAs(model: Module, name: string): Applied {
  return applied.get(model)?.get(name)?.how as Applied
}

/** The names that its options have, and that its files will have. */
export function namingOf(model: Module, name: string): Naming {
  return applied.get(model)?.get(name)?.naming as Naming
}

export function noteApplied(model: Module, name: string, how: Applied, naming: Naming): void {
  const all = applied.get(model) ?? new Map<string, { readonly how: Applied; readonly naming: Naming }>()
  applied.set(model, all.set(name, { how, naming }))
}

export function forgetApplied(model: Module, name: string): void {
  applied.get(model)?.delete(name)
}
