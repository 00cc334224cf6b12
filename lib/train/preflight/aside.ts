/**
 * A model and its optimizer on other memory for the time of a call: steps that are only tried change copies, and all that was there
 * before is there again afterwards, to the bit. Nobody sees anything in between, because a call is one turn of the event loop.
 *
 * What modules hold in private #fields and what closures hold is out of reach.
 */
import { defaultGenerator } from '../../core/generator.js'
import { visitTensors } from '../../core/scope.js'
import type { Storage } from '../../core/storage.js'
import { replaceMemory, Tensor } from '../../core/tensor.js'
import { captureModes, type Module } from '../../nn/module.js'
import { exchangeStates, Optimizer, States } from '../../optim/optimizer.js'

/** A tensor of the model, and where its elements are meanwhile. */
interface Place {
  readonly tensor: Tensor
  readonly memory: Tensor
}

/** All tensors that a model holds, in properties that are no parameters or buffers too. */
export function tensorsOf(model: Module): Set<Tensor> {
  const found = new Set<Tensor>()
  for (const [, tensor] of [...model.namedParameters(), ...model.namedBuffers()]) found.add(tensor)
  for (const module of model.modules()) visitTensors(Object.values(module), (tensor) => found.add(tensor))
  return found
}

export interface AsideOptions {
  /** Gives the storage in place of one; null leaves a tensor where it is. */
  readonly copy: (tensor: Tensor) => Storage | null
  /** Whether hooks of gradients are called. */
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

  /** Runs `fn` on the copies, which keep what it does to them for the next call. Random numbers are the same in each. */
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

  /** The states that steps on the copies have made. */
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

/** Counters and states that a forward sets. */
function keepProperties(module: Module): () => void {
  const before = new Map(
    Object.entries(Object.getOwnPropertyDescriptors(module)).filter(([, { writable }]) => writable === true),
  )
  return () => {
    for (const name of Object.keys(module)) if (!before.has(name)) Reflect.deleteProperty(module, name)
    for (const [name, { value }] of before) if (Reflect.get(module, name) !== value) Reflect.set(module, name, value)
  }
}
