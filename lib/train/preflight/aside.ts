/**
 * Moves a model and its optimizer to other memory for the duration of a call. Trial steps change only these copies, and
 * afterwards everything is as it was, to the bit. Other code sees no state in between, because a call is one turn of
 * the event loop.
 *
 * The contents of modules' private #fields and of closures are out of reach.
 */
import { defaultGenerator } from '../../core/generator.js'
import { visitTensors } from '../../core/scope.js'
import type { Storage } from '../../core/storage.js'
import { replaceMemory, Tensor } from '../../core/tensor.js'
import { captureModes, type Module } from '../../nn/module.js'
import { exchangeStates, Optimizer, States } from '../../optim/optimizer.js'

/** A tensor of the model, and the place of its elements meanwhile. */
interface Place {
  readonly tensor: Tensor
  readonly memory: Tensor
}

/** All tensors in a model, including those in properties that are neither parameters nor buffers. */
export function tensorsOf(model: Module): Set<Tensor> {
  const found = new Set<Tensor>()
  for (const [, tensor] of [...model.namedParameters(), ...model.namedBuffers()]) found.add(tensor)
  for (const module of model.modules()) visitTensors(Object.values(module), (tensor) => found.add(tensor))
  return found
}

export interface AsideOptions {
  /** Returns the storage that replaces a tensor's own, or null to leave the tensor where it is. */
  readonly copy: (tensor: Tensor) => Storage | null
  /** Whether gradient hooks are called. */
  readonly hooks: boolean
}

export class Aside {
  readonly #model: Module
  readonly #optimizer: Optimizer
  readonly #hooks: boolean
  readonly #places: Place[] = []
  #states = new States()

  constructor(model: Module, optimizer: Optimizer, { copy, hooks }: AsideOptions) {
    this.#model = model
    this.#optimizer = optimizer
    this.#hooks = hooks
    const copies = new Map<Storage, Storage | null>()
    for (const tensor of tensorsOf(model)) {
      const { storage, sizes, steps, offset } = tensor
      // A property may still hold the result of a scope that has ended.
      if (!copies.has(storage)) copies.set(storage, storage.freed ? null : copy(tensor))
      const other = copies.get(storage) ?? null
      this.#places.push({ tensor, memory: other === null ? tensor : new Tensor(other, sizes, steps, offset) })
    }
  }

  /** Runs `fn` on the copies. They keep its changes for the next call. Each call gets the same random numbers. */
  run<R>(fn: () => R): R {
    const restores = [
      captureModes(this.#model),
      keepGenerators(this.#model),
      ...this.#model.modules().map(keepProperties),
    ]
    const before = this.#places.map(({ tensor, memory }) => {
      const { storage, sizes, steps, offset, leaf } = tensor
      const own = memory === tensor ? null : new Tensor(storage, sizes, steps, offset)
      return { tensor, own, leaf, gradient: tensor.peekGrad() }
    })
    const states = this.#optimizer instanceof Optimizer ? this.#optimizer[exchangeStates](this.#states) : null
    try {
      for (const { tensor, memory } of this.#places) {
        if (memory !== tensor) replaceMemory(tensor, memory)
        tensor.ownGrad(null)
        if (!this.#hooks) tensor.leaf = null
      }
      return fn()
    } finally {
      for (const { tensor, own, leaf, gradient } of before) {
        tensor.freeUnseenGrad()
        tensor.ownGrad(gradient)
        tensor.leaf = leaf
        if (own !== null) replaceMemory(tensor, own)
      }
      if (states !== null) this.#states = this.#optimizer[exchangeStates](states)
      for (const restore of restores.reverse()) restore()
    }
  }

  /** Frees the copies. */
  end(): void {
    for (const { tensor, memory } of this.#places) if (memory !== tensor) memory.dispose()
    for (const { tensors } of this.states()) for (const tensor of Object.values(tensors)) tensor.dispose()
  }

  /** The optimizer states that steps on the copies have made. */
  states(): readonly { readonly tensors: { readonly [name: string]: Tensor } }[] {
    return [...this.#model.parameters()].flatMap((parameter) => {
      const known = this.#states.known.get(parameter)
      return known === undefined ? [] : [known.state]
    })
  }
}

function keepGenerators(model: Module): () => void {
  const all = [defaultGenerator(), ...model.namedGenerators().map(([, generator]) => generator)]
  const states = all.map((generator) => generator.stateDict())
  return () => {
    for (const [i, generator] of all.entries()) generator.loadStateDict(states[i] as (typeof states)[number])
  }
}

/** Remembers counters and states that a forward sets. Returns a function that restores them. */
function keepProperties(module: Module): () => void {
  const before = new Map(
    Object.entries(Object.getOwnPropertyDescriptors(module)).filter(([, { writable }]) => writable === true),
  )
  return () => {
    for (const name of Object.keys(module)) if (!before.has(name)) Reflect.deleteProperty(module, name)
    for (const [name, { value }] of before) if (Reflect.get(module, name) !== value) Reflect.set(module, name, value)
  }
}
