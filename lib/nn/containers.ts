/** Modules made of modules. */
import { modulesAreObserved } from '../core/call-site.js'
import { ValueError } from '../core/errors.js'
import type { At, Chained } from '../core/shape-types.js'
import type { Tensor } from '../core/tensor.js'
import { type Fusing, fuses } from './fusion.js'
import { type Model, Module } from './module.js'

/**
 * A module from one tensor to one tensor, as Sequential chains them, whatever it asks of the tensor: it cannot be called
 * without knowing that. Type layers that are to be called `Model`.
 */
export type Layer = Model<never>

/** Unknown, and perhaps none, where the list has not that many layers by its type: some may have been appended. */
type LayerAt<L extends readonly Layer[], I extends number> = number extends I | L['length']
  ? Layer | undefined
  : At<L, I> extends infer Found extends Layer
    ? Found
    : Layer | undefined

function checkModule(container: string, index: number, module: unknown): void {
  if (!(module instanceof Module))
    throw new ValueError(container, `entry ${index} is ${shown(module)}, but must be a module`)
}

/** Without the elements of what is long. */
function shown(value: unknown): string {
  if (typeof value === 'function') return `the class or function ${value.name}; make it with new`
  return typeof value === 'object' && value !== null ? `an object (${value.constructor?.name})` : String(value)
}

/**
 * Layers one after another. Features and channels that are known at compile time must fit from layer to layer; what does
 * not fit does not compile, and the error names the layer's place and both sizes. State names are '0', '1', ...
 */
export class Sequential<const L extends readonly Layer[] = readonly Layer[]> extends Module {
  readonly #layers: Layer[] = []

  constructor(...layers: L & Chained<L>) {
    super()
    for (const layer of layers as readonly Layer[]) this.append(layer)
  }

  /** Number of layers. */
  get length(): number {
    return this.#layers.length
  }

  /**
   * The layer at a place, negative from the end. Its class is known where the place is a literal and the layers were named in
   * the constructor; a place from the end then counts those, so use `length` after `append`.
   */
  at<const I extends number>(index: I): LayerAt<L, I> {
    return this.#layers.at(index) as LayerAt<L, I>
  }

  append(layer: Layer): this {
    checkModule('Sequential', this.#layers.length, layer)
    // An own property, so that walking the module finds it under its number.
    Object.defineProperty(this, String(this.#layers.length), { value: layer, enumerable: true })
    this.#layers.push(layer)
    return this
  }

  *[Symbol.iterator](): Generator<Layer> {
    yield* this.#layers
  }

  forward(x: Tensor): Tensor {
    let value = x
    for (let i = 0; i < this.#layers.length; i++) {
      const layer = this.#layers[i] as Layer & Partial<Fusing>
      const next = this.#layers[i + 1]
      const both = next === undefined || modulesAreObserved() ? undefined : layer[fuses]?.(next)
      if (both) {
        value = both(value)
        i++
      } else value = layer.forward(value as never)
    }
    return value
  }
}

/** A list of modules whose parameters belong to the module that holds it. */
export class ModuleList<M extends Module = Module> extends Module {
  readonly #modules: M[] = []

  constructor(modules: Iterable<M> = []) {
    super()
    if (typeof modules !== 'object' || modules === null || !(Symbol.iterator in modules))
      throw new ValueError('ModuleList', `the modules are ${shown(modules)}, but must be an array or another iterable`)
    for (const module of modules) this.append(module)
  }

  get length(): number {
    return this.#modules.length
  }

  at(index: number): M | undefined {
    return this.#modules.at(index)
  }

  append(module: M): this {
    checkModule('ModuleList', this.#modules.length, module)
    Object.defineProperty(this, String(this.#modules.length), { value: module, enumerable: true })
    this.#modules.push(module)
    return this
  }

  *[Symbol.iterator](): Generator<M> {
    yield* this.#modules
  }

  /** A list is not a step of a computation; call its modules. */
  forward(): never {
    throw new ValueError('ModuleList', 'has no forward; iterate over it and call its modules')
  }
}
