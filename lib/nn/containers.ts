/** Modules made of modules. */
import { ValueError } from '../core/errors.js'
import type { Fitting, Passed, Passes } from '../core/flow-types.js'
import { copySizes, type Shape } from '../core/shape.js'
import type { At } from '../core/shape-types.js'
import type { Tensor } from '../core/tensor.js'
import { fusedWith } from './fusion.js'
import { Lambda, type LayerFunction, type LayerResult, passedOn } from './lambda.js'
import type { Model, Module } from './module.js'
import { asCheckpoint, groupOf, isRecomputed } from './recompute.js'
import { checkModule, isPlainFunction, Sequence } from './sequence.js'
import { tryOut } from './summary.js'

export { Lambda, type LayerFunction, type LayerResult }

/**
 * A module from one tensor to what Sequential can pass on, whatever it asks of the tensor: it cannot be called without knowing
 * that. Type layers that are to be called `Model`.
 */
export type Layer = Model<never, LayerResult>

/** A layer as the program gives it: a module, or a function, which becomes a `Lambda`. */
type Given = Layer | LayerFunction

/** Unknown, and perhaps none, where the list has not that many layers by its type: some may have been appended. */
type LayerAt<L extends readonly Given[], I extends number> = number extends I | L['length']
  ? Layer | undefined
  : At<L, I> extends infer Found
    ? Found extends Layer
      ? Found
      : Found extends LayerFunction
        ? Lambda<Found>
        : Layer | undefined
    : never

/**
 * Layers one after another, functions of a tensor among them. State names are '0', '1', ...
 *
 * Sizes that are known at compile time must fit from layer to layer: what does not fit does not compile, and the error
 * names the layer's place and both sizes in the words of the error at run time, which checks the sizes that only the running
 * program knows. The constructor sees what layers say of each other, which is channels and features. Those behind a
 * `Flatten` depend on the size of the images, which `Sequential.for` is told, so that its error stands at the layer; else they
 * are checked where `forward` gets a tensor of known shape.
 *
 * `L` are the layers that the constructor got. A variable whose layers are exchanged later on is best declared as
 * `nn.Sequential`, of which the types know none.
 *
 * Of a layer that gives more than a tensor, its `output` goes on (LSTM, GRU, RNN, Recurrent), or the first entry of its list
 * (cells, attention with its weights). That holds for the last layer too: a Sequential gives one tensor, whatever its layers are.
 * Who needs the state of a recurrent layer calls it by itself: `body.slice(0, -1)`, then `body.at(-1)`.
 */
export class Sequential<const L extends readonly Given[] = readonly Given[]> extends Sequence<Layer, Given> {
  declare readonly signature?: { readonly layers: L }

  constructor(...layers: Fitting<L>) {
    super()
    this.extend(layers as readonly Given[])
  }

  /**
   * Layers for examples of a shape, which is written without the batch: `nn.Sequential.for([1, 28, 28], ...layers)`. That all
   * sizes fit is checked as far as the types know them, and once more when this is called: an example of zeros goes through the
   * layers, in evaluation mode and without a graph. The network takes other shapes too where its layers do. Throws what the
   * layers throw.
   */
  static for<const E extends Shape, const L extends readonly Given[]>(
    example: E,
    ...layers: Fitting<L, [number, ...E]>
  ): Sequential<L> {
    const model = new Sequential(...(layers as readonly Given[]))
    tryOut('Sequential.for', model, [1, ...copySizes('Sequential.for', example)])
    // By way of Module, because the compiler would compare the two types method by method.
    return model as Module as Sequential<L>
  }

  protected override admit(entry: string, value: Given): Layer {
    const layer = isPlainFunction(value) ? new Lambda(value as LayerFunction) : value
    checkModule(this.constructor.name, entry, layer)
    return layer as Layer
  }

  /**
   * The layer at a place, negative from the end. Its class is known where the place is a literal and the layers were named in
   * the constructor; a place from the end then counts those, so use `length` once layers came or went.
   */
  override at<const I extends number>(index: I): LayerAt<L, I> {
    return super.at(index) as LayerAt<L, I>
  }

  /** A Sequential of the same layers from a place up to another one, as `Array.slice` counts. */
  slice(start?: number, end?: number): Sequential {
    return new Sequential(...this.between(start, end))
  }

  /** Its layers, as `WithBlocks` says. */
  blocks(): Module[] {
    return this.between()
  }

  /** Throws what its layers throw. */
  forward<S extends Shape>(x: Tensor<S & Passes<L, S>>): Tensor<Passed<L, S>>
  forward(x: Tensor): Tensor {
    const layers = this.between()
    if (!isRecomputed()) return this.#through(layers, 0, layers.length, x)
    let value = x
    for (let i = 0, end = 0; i < layers.length; i = end) {
      const group = groupOf(layers[i] as Layer)
      do end++
      while (end < layers.length && groupOf(layers[end] as Layer) === group)
      const [from, to] = [i, end]
      const run = (given: unknown) => this.#through(layers, from, to, given as Tensor)
      value = (group === undefined ? run : asCheckpoint(run))(value) as Tensor
    }
    return value
  }

  /** Through the layers from a place up to another one. */
  #through(layers: readonly Layer[], from: number, to: number, x: Tensor): Tensor {
    let value = x
    for (let i = from; i < to; i++) {
      const layer = layers[i] as Layer
      const both = i + 1 < to ? fusedWith(layer, layers[i + 1]) : null
      if (both !== null) {
        value = both(value)
        i++
      } else value = passedOn(i, layer, layer.forward(value as never))
    }
    return value
  }
}

/** A list of modules whose parameters belong to the module that holds it. State names are '0', '1', ... */
export class ModuleList<M extends Module = Module> extends Sequence<M> {
  constructor(modules: Iterable<M> = []) {
    super()
    this.extend(modules)
  }

  protected override admit(entry: string, value: M): M {
    checkModule(this.constructor.name, entry, value)
    return value
  }

  /** A list of the same modules from a place up to another one, as `Array.slice` counts. */
  slice(start?: number, end?: number): ModuleList<M> {
    return new ModuleList(this.between(start, end))
  }

  /** A list is not a step of a computation; call its modules. */
  forward(): never {
    throw new ValueError('ModuleList', 'has no forward; iterate over it and call its modules')
  }
}
