/**
 * Checks whether the base of an adapter has changed. The adapter's files leave the base out, so whoever loads them
 * loses such changes.
 */
import { warn } from '../core/host.js'
import type { Storage } from '../core/storage.js'
import type { Tensor } from '../core/tensor.js'
import { Adapter } from '../nn/adapter.js'
import { copiesIn } from '../nn/copies.js'
import type { Module } from '../nn/module.js'
import { listed } from './select.js'

/**
 * A buffer at the time when LoRA was applied. The memory is held, because moving a model to a device gives the buffer
 * other memory.
 */
interface Noted {
  readonly buffer: Tensor
  readonly storage: Storage
  readonly version: number
}

interface Base {
  readonly buffers: ReadonlyMap<string, Noted>
  readonly told: Set<string>
}

const bases = new WeakMap<Module, Base>()

/** Notes the buffers of a model to which LoRA is applied. */
export function noteBase(model: Module): void {
  const buffers = model
    .namedBuffers()
    .map(([path, buffer]) => [path, { buffer, storage: buffer.storage, version: buffer.storage.version }] as const)
  bases.set(model, { buffers: new Map(buffers), told: new Set() })
}

export function forgetBase(model: Module): void {
  bases.delete(model)
}

function hasChanged(buffer: Tensor, noted: Noted | undefined): boolean {
  if (noted === undefined || noted.buffer !== buffer || noted.storage.version !== noted.version) return true
  // Memory that came from a move was not written since it was made.
  return buffer.storage !== noted.storage && buffer.storage.version > 0
}

/** Warns, once for each, of buffers that changed and of parameters that learn but are not saved. */
export function warnOfLost(op: string, model: Module): void {
  const { buffers, told } = bases.get(model) as Base
  // Adapters are not part of the base, nor are those of other names.
  const adapters = model.modules().filter((module) => module instanceof Adapter)
  const kept = new Set<Tensor>(adapters.flatMap(tensorsOf))
  for (const [, copies] of copiesIn(model)) for (const [, tensor] of copies.tensors()) kept.add(tensor)
  const tell = (names: readonly string[], what: string, remedy: string) => {
    const text = `[${op}] the adapter's files leave out ${listed(names)}, which ${what}: whoever loads them gets another model; ${remedy}`
    if (names.length > 0 && told.size < told.add(text).size)
      warn(text, { type: 'FiresteelWarning', code: 'FIRESTEEL_ADAPTER' })
  }
  const moved = model
    .namedBuffers()
    .filter(([path, b]) => b.persistent && !kept.has(b) && hasChanged(b, buffers.get(path)))
  tell(
    moved.map(([path]) => path),
    'changed since LoRA was applied',
    'call eval() on these norms before training, or name them in modulesToSave',
  )
  const learning = model.namedParameters().filter(([, p]) => !kept.has(p) && p.requiresGrad)
  tell(
    learning.map(([path]) => path),
    'learn',
    'freeze them, or name their modules in modulesToSave',
  )
}

function tensorsOf(module: Module): Tensor[] {
  return module.namedState().map(([, tensor]) => tensor)
}
