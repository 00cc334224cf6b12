/** Modules made of modules. */
import { kindOf, shown, ValueError } from '../core/errors.js'
import { listOf } from '../core/options.js'
import type { At, Chained } from '../core/shape-types.js'
import type { Tensor } from '../core/tensor.js'
import { fusedWith } from './fusion.js'
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
    throw new ValueError(
      container,
      `entry ${index} is ${typeof module === 'function' ? `the class or function ${module.name}; make it with new` : kindOf(module)}, but must be a module`,
    )
}

/** An entry counted from the beginning or, negative, from the end; undefined where there is none. */
function entryAt<M>(container: string, entries: readonly M[], index: number): M | undefined {
  if (!Number.isInteger(index)) throw new ValueError(container, `the index is ${shown(index)}, but must be an integer`)
  return entries.at(index)
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
    return entryAt('Sequential', this.#layers, index) as LayerAt<L, I>
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
      const layer = this.#layers[i] as Layer
      const both = fusedWith(layer, this.#layers[i + 1])
      if (both !== null) {
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
    for (const module of listOf('ModuleList', 'the modules', modules, 'an array or another iterable'))
      this.append(module)
  }

  get length(): number {
    return this.#modules.length
  }

  at(index: number): M | undefined {
    return entryAt('ModuleList', this.#modules, index)
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
