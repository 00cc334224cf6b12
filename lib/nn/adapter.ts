/**
 * Adapters: what fine-tuning puts beside a layer's weight. A layer has a slot for several, by name. Those that are active drive
 * it, in order: each gets the layer with the adapters before it, and gives the whole result.
 */

import { chosenOr } from '../core/choice.js'
import { kindOf, shown, ValueError } from '../core/errors.js'
import { withinModule } from '../core/module-path.js'
import type { Tensor } from '../core/tensor.js'
import type { Conv2dOptions } from '../ops/conv.js'
import { add } from '../ops/elementwise/index.js'
import { Module, type Parameter } from './module.js'
import type { OnGenerator, OnHolder, OnTensor } from './walk.js'

/** A layer as an adapter sees it: with the adapters before, if there are any. */
export interface BaseLayer {
  /** The whole result, bias included. */
  forward(x: Tensor): Tensor
  /** The result without the bias. */
  product(x: Tensor): Tensor
  /**
   * The layer's own weight as numbers, without any adapter: [out, in] of a linear layer, however it is stored, [count, features]
   * of an embedding, [out, in / groups, kH, kW] of a convolution.
   */
  dense(): Tensor
  /** The layer's own bias [out]. */
  readonly bias: Tensor | null
}

/** How a layer is adapted: the adapter's method that drives it, and the sizes of what low-rank products add to. */
export type Adaptation = {
  /** The tensor that holds the numbers of `dense()`. */
  readonly weight: Parameter
  /** The other readers of the weight in the layer, past the adapters: they would change with a merged product. */
  readonly alsoRead?: string | null
} & (
  | {
      readonly by: 'linear'
      readonly inFeatures: number
      readonly outFeatures: number
      /** Layers that are adapted along where this one is chosen, as the output projection of attention. */
      readonly along?: readonly Adaptable[]
    }
  | {
      readonly by: 'embedding'
      readonly numEmbeddings: number
      readonly embeddingDim: number
      readonly paddingIdx: number | null
    }
  | {
      readonly by: 'conv2d'
      readonly inChannels: number
      readonly outChannels: number
      readonly kernelSize: readonly [number, number]
      readonly options: Required<Conv2dOptions>
    }
)

const enter: unique symbol = Symbol('enter')
const leave: unique symbol = Symbol('leave')

/**
 * What adapts a layer: a module whose parameters learn beside the layer's. It has a method for each kind of layer that it can
 * adapt. In a state its properties have the adapter's name after theirs, as in PEFT: `lora_A.default.weight`.
 */
export abstract class Adapter extends Module {
  #name: string | null = null
  /** How many slots it is in. */
  #slots = 0

  /** x [.., in] -> [.., out]. */
  linear?(layer: BaseLayer, x: Tensor): Tensor
  /** ids [..] -> [.., features]. */
  embedding?(layer: BaseLayer, ids: Tensor): Tensor
  /** x [N, in, H, W] (or [in, H, W]) -> [N, out, H', W']. */
  conv2d?(layer: BaseLayer, x: Tensor): Tensor

  /** The name in the slots that it is in; null: in none. */
  get adapterName(): string | null {
    return this.#name
  }

  /** Whether the layer's weight holds this adapter's part already: then it cannot be switched off. */
  get merged(): boolean {
    return false
  }

  override stateName(property: string): string {
    const own = super.stateName(property)
    return this.#name === null ? own : `${own}.${this.#name}`
  }

  /** An adapter is no layer; the layer that it is in calls it. */
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
      'an adapter has no forward, so that the hook would never be called; register it on the layer that the adapter is in, or ' +
        'on a module within the adapter',
    )
  }

  /** For slots: it is put into one. */
  [enter](name: string): void {
    this.#slots++
    this.#name = name
  }

  /** For slots: it is taken out of one. */
  [leave](): void {
    if (--this.#slots === 0) this.#name = null
  }
}

/** Throws unless a name can be one of an adapter in a state. */
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

/** Adapters by name at one place of a model, and which of them are active there. */
export abstract class Slot<A extends Adapter = Adapter> {
  readonly #byName = new Map<string, A>()
  #active: readonly string[] = []
  #driver: object | null = null

  /** The place's name in errors. */
  protected abstract readonly place: string
  /** Throws for what cannot be here. */
  protected abstract check(op: string, adapter: A): void
  /** The driver of the place with these adapters, one at least. */
  protected abstract drivenBy(adapters: readonly A[], op: string): object

  /** Names of all adapters there are. */
  get names(): readonly string[] {
    return [...this.#byName.keys()]
  }

  /** Names of the adapters that are active, in order. */
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
   * Puts an adapter in. It is active at once, after those that are; one with its name gives it its place. Throws
   * ValueError for what cannot be here, for a name that no state could hold, and for an adapter that has another name elsewhere.
   */
  set(name: string, adapter: A): this {
    this.put(name, adapter)
    this.activate(this.#active.includes(name) ? this.#active : [...this.#active, name])
    return this
  }

  /** As `set`, but it is active only where one with its name was. */
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

  /** Takes an adapter out; false: there is none of that name. */
  delete(name: string): boolean {
    const adapter = this.#byName.get(name)
    if (adapter === undefined) return false
    adapter[leave]()
    this.#byName.delete(name)
    this.activate(this.#active.filter((active) => active !== name))
    return true
  }

  /** Lets just these adapters be active, in this order. Throws ValueError for names that are not there. */
  activate(names: readonly string[]): void {
    this.#driver = this.adaptedBy(names, `${this.place}.adapters.activate`)
    this.#active = [...names]
  }

  /** The driver with these adapters; null where there are none. */
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

  /** The driver that stands there now; null where none does. */
  protected get current(): object | null {
    return chosenOr(this, this.#driver)
  }
}

/** The adapters of one layer by name. Those that are active drive it. */
export class Adapters extends Slot {
  readonly #layer: Adaptable
  readonly #base: BaseLayer

  /** `base`: the layer without adapters. */
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

  /** The layer with what drives it now; null where nothing does. */
  get adapted(): BaseLayer | null {
    return this.current as BaseLayer | null
  }
}

/**
 * A layer that can be adapted. It says how in `adaptation`, and what its weight is and does in `dense()` and `product()`; its
 * forward is `adapt(x)`. Fine-tuning asks for this, never for a class.
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

  /** Whether this one can: a layer may have forms that nothing can be added to. */
  get canAdapt(): boolean {
    return true
  }

  abstract get adaptation(): Adaptation
  /** The layer's bias [out], if it has one. */
  abstract get bias(): Tensor | null
  /** The weight's part of the result, without bias and adapters. */
  abstract product(x: Tensor): Tensor
  /** The weight as numbers; `BaseLayer` says in which layout. */
  abstract dense(): Tensor

  /** The result without adapters. */
  protected plain(x: Tensor): Tensor {
    const { bias } = this
    return bias ? add(this.product(x), bias) : this.product(x)
  }

  /** The result with the adapters that are active. */
  protected adapt(x: Tensor): Tensor {
    const { adapted } = this.#adapters
    return adapted === null ? this.plain(x) : adapted.forward(x)
  }

  /** Also the adapters, as `adapters.<name>`. What they hold has names as if it were the layer's own, as in PEFT. */
  override visitOwn(
    onTensor: OnTensor | null,
    onHolder: OnHolder | null,
    onGenerator: OnGenerator | null = null,
  ): void {
    super.visitOwn(onTensor, onHolder, onGenerator)
    if (onHolder !== null) for (const [name, adapter] of this.#adapters) onHolder(`adapters.${name}`, adapter, '')
  }
}

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
