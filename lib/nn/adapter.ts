/**
 * Adapters, which fine-tuning puts beside a layer's weight. A layer has a slot for several of them, by name. The active
 * adapters drive the layer, in order: each gets the layer with the previous adapters, and gives the whole result.
 */

import { chosenOr } from '../core/choice.js'
import { kindOf, shown, ValueError } from '../core/errors.js'
import { withinModule } from '../core/module-path.js'
import type { Tensor } from '../core/tensor.js'
import type { Conv1dOptions, Conv2dOptions, Conv3dOptions } from '../ops/conv.js'
import { add } from '../ops/elementwise/index.js'
import { Module, type Parameter } from './module.js'
import type { OnGenerator, OnHolder, OnTensor } from './walk.js'

/** A layer as an adapter sees it: with the previous adapters, if there are any. */
export interface BaseLayer {
  /** The whole result, bias included. */
  forward(x: Tensor): Tensor
  /** The result without the bias. */
  product(x: Tensor): Tensor
  /**
   * The layer's own weight as numbers, without any adapter. It is [out, in] for a linear layer, however it is stored,
   * [count, features] for an embedding, and [out, in / groups, ..kernel] for a convolution.
   */
  dense(): Tensor
  /** The layer's own bias [out]. */
  readonly bias: Tensor | null
}

/** A convolution that is adapted. Its input is already padded, unless the padding is zeros. */
interface Convolution<By extends string, Kernel, Options> {
  readonly by: By
  readonly inChannels: number
  readonly outChannels: number
  readonly kernelSize: Kernel
  readonly options: Required<Options>
}

/**
 * The way in which a layer is adapted: the adapter's method that drives it, and the sizes of the weight that low-rank
 * products add to.
 */
export type Adaptation = {
  /** The tensor that holds the numbers of `dense()`. */
  readonly weight: Parameter
  /**
   * Other readers of the weight in the layer, which bypass the adapters. A merged product would change their results.
   */
  readonly alsoRead?: string | null
} & (
  | {
      readonly by: 'linear'
      readonly inFeatures: number
      readonly outFeatures: number
      /** Layers that are adapted whenever this one is, such as the output projection of attention. */
      readonly along?: readonly Adaptable[]
    }
  | {
      readonly by: 'embedding'
      readonly numEmbeddings: number
      readonly embeddingDim: number
      readonly paddingIdx: number | null
    }
  | Convolution<'conv1d', number, Conv1dOptions>
  | Convolution<'conv2d', readonly [number, number], Conv2dOptions>
  | Convolution<'conv3d', readonly [number, number, number], Conv3dOptions>
)

const enter: unique symbol = Symbol('enter')
const leave: unique symbol = Symbol('leave')

/**
 * A module that adapts a layer: its parameters learn beside the layer's. It has a method for each kind of layer that it
 * can adapt. In a state the adapter's name follows those of its properties, as in PEFT: `lora_A.default.weight`.
 */
export abstract class Adapter extends Module {
  #name: string | null = null
  /** The number of slots that hold it. */
  #slots = 0

  /** x [.., in] -> [.., out]. */
  linear?(layer: BaseLayer, x: Tensor): Tensor
  /** ids [..] -> [.., features]. */
  embedding?(layer: BaseLayer, ids: Tensor): Tensor
  /** x [N, in, L] (or [in, L]) -> [N, out, L']. */
  conv1d?(layer: BaseLayer, x: Tensor): Tensor
  /** x [N, in, H, W] (or [in, H, W]) -> [N, out, H', W']. */
  conv2d?(layer: BaseLayer, x: Tensor): Tensor
  /** x [N, in, D, H, W] (or [in, D, H, W]) -> [N, out, D', H', W']. */
  conv3d?(layer: BaseLayer, x: Tensor): Tensor

  /** The name in the slots that hold it; null if none does. */
  get adapterName(): string | null {
    return this.#name
  }

  /** Whether this adapter's part is merged into the layer's weight, so that it cannot be switched off. */
  get merged(): boolean {
    return false
  }

  override stateName(property: string): string {
    const own = super.stateName(property)
    return this.#name === null ? own : `${own}.${this.#name}`
  }

  /** Throws, because an adapter is not a layer by itself; the layer that holds it calls its methods. */
  forward(): never {
    throw new ValueError(this.constructor.name, 'an adapter has no forward; put it in a layer, and call that')
  }

  override registerForwardPreHook(): never {
    throw this.#noHook('registerForwardPreHook')
  }

  override registerForwardHook(): never {
    throw this.#noHook('registerForwardHook')
  }

  #noHook(method: string): ValueError {
    return new ValueError(
      `${this.constructor.name}.${method}`,
      'an adapter has no forward, so the hook would never be called; register it on the layer that the adapter is in, or ' +
        'on a module within the adapter',
    )
  }

  /** Called by a slot that takes the adapter in. */
  [enter](name: string): void {
    this.#slots++
    this.#name = name
  }

  /** Called by a slot that gives the adapter up. */
  [leave](): void {
    if (--this.#slots === 0) this.#name = null
  }
}

/** Throws unless the name can stand for an adapter in a state. */
export function checkAdapterName(op: string, name: unknown): asserts name is string {
  if (typeof name !== 'string' || name === '' || name.includes('.'))
    throw new ValueError(op, `the adapter's name is ${shown(name)}, but must be a text without dots, and not empty`)
}

function drive(by: Adaptation['by'], adapter: Adapter, layer: BaseLayer, x: Tensor): Tensor {
  return withinModule(adapter, () => (adapter[by] as NonNullable<Adapter['linear']>)(layer, x))
}

function withoutBias(layer: BaseLayer): BaseLayer {
  const product = (x: Tensor) => layer.product(x)
  return { forward: product, product, dense: () => layer.dense(), bias: null }
}

function adaptedBy(by: Adaptation['by'], layer: BaseLayer, adapter: Adapter): BaseLayer {
  return {
    forward: (x) => drive(by, adapter, layer, x),
    product: (x) => drive(by, adapter, withoutBias(layer), x),
    dense: () => layer.dense(),
    bias: layer.bias,
  }
}

/** The adapters of one place of a model, by name, and the names of the active ones. */
export abstract class Slot<A extends Adapter = Adapter> {
  readonly #byName = new Map<string, A>()
  #active: readonly string[] = []
  #driver: object | null = null

  /** The place's name in errors. */
  protected abstract readonly place: string
  /** Throws for an adapter that cannot be in this slot. */
  protected abstract check(op: string, adapter: A): void
  /** The object that drives the place with these adapters, of which there is at least one. */
  protected abstract drivenBy(adapters: readonly A[], op: string): object

  /** The names of all adapters. */
  get names(): readonly string[] {
    return [...this.#byName.keys()]
  }

  /** The names of the active adapters, in order. */
  get active(): readonly string[] {
    return this.#active
  }

  get(name: string): A | undefined {
    return this.#byName.get(name)
  }

  [Symbol.iterator](): IterableIterator<[name: string, adapter: A]> {
    return this.#byName.entries()
  }

  /**
   * Adds an adapter, which is active at once, after the other active ones. It replaces an adapter of the same name in
   * its place. Throws ValueError for an adapter that cannot be in this slot or has another name elsewhere, and for a
   * name that no state could hold.
   */
  set(name: string, adapter: A): this {
    this.put(name, adapter)
    this.activate(this.#active.includes(name) ? this.#active : [...this.#active, name])
    return this
  }

  /** Does the same as `set`, but the adapter is active only if it replaces an active one. */
  put(name: string, adapter: A): this {
    const op = `${this.place}.adapters.set`
    checkAdapterName(op, name)
    this.check(op, adapter)
    const { adapterName } = adapter
    if (adapterName !== null && adapterName !== name)
      throw new ValueError(op, `the adapter is named '${adapterName}' in a layer already, and cannot be '${name}' too`)
    const before = this.#byName.get(name)
    if (before !== adapter) {
      before?.[leave]()
      adapter[enter](name)
      this.#byName.set(name, adapter)
    }
    if (this.#active.includes(name)) this.activate(this.#active)
    return this
  }

  /** Removes an adapter. Returns false if there is none of that name. */
  delete(name: string): boolean {
    const adapter = this.#byName.get(name)
    if (adapter === undefined) return false
    adapter[leave]()
    this.#byName.delete(name)
    this.activate(this.#active.filter((active) => active !== name))
    return true
  }

  /** Makes exactly these adapters active, in this order. Throws ValueError for unknown names. */
  activate(names: readonly string[]): void {
    this.#driver = this.adaptedBy(names, `${this.place}.adapters.activate`)
    this.#active = [...names]
  }

  /** The object that drives the place with these adapters; null if the list is empty. */
  adaptedBy(names: readonly string[], op: string): object | null {
    if (!Array.isArray(names)) throw new ValueError(op, `names is ${shown(names)}, but must be a list of names`)
    const adapters = names.map((name) => {
      const adapter = this.#byName.get(name)
      if (adapter === undefined)
        throw new ValueError(op, `there is no adapter ${shown(name)}; there are ${shown(this.names)}`)
      return adapter
    })
    if (new Set(names).size < names.length) throw new ValueError(op, `an adapter is named twice in ${shown(names)}`)
    return adapters.length === 0 ? null : this.drivenBy(adapters, op)
  }

  /** The object that drives the place now; null if there is none. */
  protected get current(): object | null {
    return chosenOr(this, this.#driver)
  }
}

/** The adapters of one layer, by name. The active ones drive it. */
export class Adapters extends Slot {
  readonly #layer: Adaptable
  readonly #base: BaseLayer

  /** `base` is the layer without adapters. */
  constructor(layer: Adaptable, base: BaseLayer) {
    super()
    this.#layer = layer
    this.#base = base
  }

  protected override get place(): string {
    return this.#layer.constructor.name
  }

  protected override check(op: string, adapter: Adapter): void {
    if (!(adapter instanceof Adapter))
      throw new ValueError(op, `the adapter is ${kindOf(adapter)}, but must extend nn.Adapter`)
    const { by } = this.#layer.adaptation
    if (typeof adapter[by] !== 'function')
      throw new ValueError(op, `${kindOf(adapter)} cannot adapt this layer; give it a method ${by}(layer, x)`)
  }

  protected override drivenBy(adapters: readonly Adapter[]): BaseLayer {
    const { by } = this.#layer.adaptation
    return adapters.reduce((layer, adapter) => adaptedBy(by, layer, adapter), this.#base)
  }

  /** The layer with its active adapters; null if there are none. */
  get adapted(): BaseLayer | null {
    return this.current as BaseLayer | null
  }
}

/**
 * A layer that can be adapted. `adaptation` says how, `dense()` gives its weight, `product()` applies it, and its
 * forward is `adapt(x)`. Fine-tuning asks for this base class, never for a particular layer.
 */
export abstract class Adaptable extends Module {
  /** Adapters by name. */
  readonly #adapters: Adapters

  constructor() {
    super()
    const own = (): Tensor | null => this.bias
    this.#adapters = new Adapters(this, {
      forward: (x) => this.plain(x),
      product: (x) => this.product(x),
      dense: () => this.dense(),
      get bias() {
        return own()
      },
    })
  }

  get adapters(): Adapters {
    return this.#adapters
  }

  /** Whether this instance can be adapted: some forms of a layer leave nothing to add to. */
  get canAdapt(): boolean {
    return true
  }

  abstract get adaptation(): Adaptation
  /** The layer's bias [out], if it has one. */
  abstract get bias(): Tensor | null
  /** The weight's part of the result, without bias and adapters. */
  abstract product(x: Tensor): Tensor
  /** The weight as numbers, in the layout that `BaseLayer` describes. */
  abstract dense(): Tensor

  /** The result without adapters. */
  protected plain(x: Tensor): Tensor {
    const { bias } = this
    return bias ? add(this.product(x), bias) : this.product(x)
  }

  /** The result with the active adapters. */
  protected adapt(x: Tensor): Tensor {
    const { adapted } = this.#adapters
    return adapted === null ? this.plain(x) : adapted.forward(x)
  }

  /**
   * Visits the adapters too, as `adapters.<name>`. Their tensors are named as if they were the layer's own, as in PEFT.
   */
  override visitOwn(
    onTensor: OnTensor | null,
    onHolder: OnHolder | null,
    onGenerator: OnGenerator | null = null,
  ): void {
    super.visitOwn(onTensor, onHolder, onGenerator)
    if (onHolder !== null) for (const [name, adapter] of this.#adapters) onHolder(`adapters.${name}`, adapter, '')
  }
}

/** Whether the value is a layer that takes adapters, as Linear, Embedding, Conv2d and MultiheadAttention do. */
export function isAdaptable(module: unknown): module is Adaptable {
  return module instanceof Adaptable && module.canAdapt
}

/** A module that has a place for adapters: a layer, or a model that takes prompts. */
export interface Slotted extends Module {
  readonly adapters: Slot
}

export function isSlotted(module: Module): module is Slotted {
  return module instanceof Adaptable ? module.canAdapt : 'adapters' in module && module.adapters instanceof Slot
}
