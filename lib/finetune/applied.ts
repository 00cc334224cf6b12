/** Which LoRA adapters were applied to which module, and how. */
import { shown, ValueError } from '../core/errors.js'
import type { Module } from '../nn/module.js'
import type { LoraOptions } from './lora.js'
import { checkModel, quoted } from './select.js'

/** By the module that LoRA was applied to, and by the adapter's name. */
const applied = new WeakMap<Module, Map<string, LoraOptions>>()

/** Names of the LoRA adapters that were applied to this very module. */
export function loraNames(model: Module): string[] {
  return [...(applied.get(model)?.keys() ?? [])]
}

/** The name given, or that of the only adapter there is. Throws ValueError if LoRA was not applied, or not by that name. */
export function loraName(op: string, model: Module, given: string | undefined): string {
  checkModel(op, model)
  const names = loraNames(model)
  const [first] = names
  if (first === undefined) throw new ValueError(op, 'the model has no LoRA adapter; call applyLora first')
  if (given === undefined && names.length > 1)
    throw new ValueError(op, `the model has several LoRA adapters, ${quoted(names)}; say which by { name }`)
  const name = given ?? first
  if (!names.includes(name))
    throw new ValueError(op, `the model has no LoRA adapter ${shown(name)}; there are ${quoted(names)}`)
  return name
}

/** The options that LoRA was applied with, by a name that is there. */
export function loraOptions(model: Module, name: string): LoraOptions {
  return applied.get(model)?.get(name) as LoraOptions
}

export function noteLora(model: Module, name: string, options: LoraOptions): void {
  applied.set(model, (applied.get(model) ?? new Map<string, LoraOptions>()).set(name, options))
}

export function forgetLora(model: Module, name: string): void {
  applied.get(model)?.delete(name)
}
