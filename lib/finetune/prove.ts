/** The proof of a saved adapter: the files hold what the model held, and give it the same outputs bit for bit. */
import { noGrad } from '../autograd/mode.js'
import { ValueError } from '../core/errors.js'
import { scope } from '../core/scope.js'
import type { Tensor } from '../core/tensor.js'
import type { Adapter, Slotted } from '../nn/adapter.js'
import { Copies, type Copy } from '../nn/copies.js'
import { captureModes, type Module } from '../nn/module.js'
import { slotsIn, withAdapter } from './adapters.js'
import { noted } from './mergeable.js'
import type { Plan } from './plan.js'

/** A model with its own inputs for trying it. */
interface Probed extends Module {
  probe(): readonly Tensor[]
}

export function isProbed(model: Module): model is Probed {
  return 'probe' in model && typeof model.probe === 'function'
}

function bytesOf(tensor: Tensor): Uint8Array {
  const { buffer, byteOffset, byteLength } = tensor.dataSync()
  return new Uint8Array(buffer, byteOffset, byteLength)
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i])
}

/** Copies of tensors, which stay unchanged. */
export function snapshot(state: ReadonlyMap<string, Tensor>): ReadonlyMap<string, Tensor> {
  return noGrad(() => new Map([...state].map(([name, tensor]) => [name, noted(tensor)])))
}

/** Whether two states have the same names and bits. */
export function areSame(state: ReadonlyMap<string, Tensor>, other: ReadonlyMap<string, Tensor>): boolean {
  return (
    state.size === other.size &&
    [...state].every(([name, tensor]) => {
      const found = other.get(name)
      return found !== undefined && found.dtype === tensor.dtype && isSame(bytesOf(found), bytesOf(tensor))
    })
  )
}

/** Whether adapters can be switched in the model. A merged one prevents it. */
export function canSwitch(model: Module): boolean {
  return slotsIn(model).every(([, { adapters }]) => [...adapters].every(([, adapter]) => !adapter.merged))
}

/** Runs a function while an adapter is in a model beside the others, without being active or learning. */
function beside<R>(
  plan: Plan,
  adapters: ReadonlyMap<Slotted, Adapter>,
  whole: ReadonlyMap<Module, Copy>,
  fn: () => R,
): R {
  const { name, layers } = plan
  try {
    for (const { layer, settle } of layers) {
      const adapter = adapters.get(layer) as Adapter
      settle(adapter)
      layer.adapters.put(name, adapter)
    }
    for (const [module, copy] of whole) Copies.of(module).set(name, copy)
    return fn()
  } finally {
    for (const { layer } of layers) layer.adapters.delete(name)
    for (const module of whole.keys()) Copies.of(module).delete(name)
  }
}

/**
 * The number of the model's outputs that are equal bit for bit with an adapter and with that of a plan. The plan's is
 * put in meanwhile. Throws ValueError if any differs.
 */
export function equalOutputs(
  op: string,
  folder: string,
  model: Probed,
  name: string,
  plan: Plan,
  adapters: ReadonlyMap<Slotted, Adapter>,
  whole: ReadonlyMap<Module, Copy>,
): number {
  const outputs = (of: string): Uint8Array[] => {
    const restore = captureModes(model)
    model.eval()
    try {
      return scope(() => noGrad(() => withAdapter(model, of, () => model.probe().map(bytesOf))))
    } finally {
      restore()
    }
  }
  const [expected, found] = beside(plan, adapters, whole, () => [outputs(name), outputs(plan.name)] as const)
  if (expected.length !== found.length || !expected.every((bytes, i) => isSame(bytes, found[i] as Uint8Array)))
    throw new ValueError(
      op,
      `${folder} was written, but the adapter read from it gives other outputs than '${name}', so do not use the folder. ` +
        'A part of it that the program changed is not part of adapter_config.json',
    )
  return expected.reduce((count, { length }) => count + length / 4, 0)
}
