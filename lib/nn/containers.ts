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
 * A module from one tensor to a result that Sequential can pass on. Its type does not say which tensors it accepts, so
 * it cannot be called. Use the type `Model` for layers that you call.
 */
export type Layer = Model<never, LayerResult>

/** A layer as the program gives it: a module, or a function, which Sequential turns into a `Lambda`. */
type Given = Layer | LayerFunction

/**
 * The layer at a place. It is unknown and may be undefined beyond the layers of the type, because some may have been
 * appended.
 */
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
 * Layers, or functions of a tensor, one after another. State names are '0', '1', ...
 *
 * Sizes that are known at compile time must fit from layer to layer. A misfit does not compile, and the error names the
 * layer's place and both sizes, with the message of the run-time error, which checks all other sizes. The constructor
 * checks what layers know of each other: channels and features. Sizes after a `Flatten` depend on the size of the
 * images. `Sequential.for` is told that size, so it can mark the layer at fault; otherwise they are checked when
 * `forward` gets a tensor of known shape.
 *
 * `L` is the list of layers that the constructor got. Declare a variable whose layers you will exchange as plain
 * `nn.Sequential`, whose layers are unknown to the types.
 *
 * A layer may give more than a tensor. Then its `output` is passed on (LSTM, GRU, RNN, Recurrent), or the first entry
 * of its list (cells, attention with its weights). That holds for the last layer too, so a Sequential always gives one
 * tensor. If you need the state of a recurrent layer, call it separately: `body.slice(0, -1)`, then `body.at(-1)`.
 */
export class Sequential<const L extends readonly Given[] = readonly Given[]> extends Sequence<Layer, Given> {
  declare readonly signature?: { readonly layers: L }

  constructor(...layers: Fitting<L>) {
    super()
    this.extend(layers as readonly Given[])
  }

  /**
   * Makes a Sequential for examples of a shape, written without the batch: `nn.Sequential.for([1, 28, 28], ...layers)`.
   * The types check all sizes that they know, and the call checks the rest. For this, an example of zeros goes through
   * the layers, in evaluation mode and without a graph. The network also takes other shapes if its layers do. Throws
   * the errors of the layers.
   */
  static for<const E extends Shape, const L extends readonly Given[]>(
    example: E,
    ...layers: Fitting<L, [number, ...E]>
  ): Sequential<L> {
    const model = new Sequential(...(layers as readonly Given[]))
    tryOut('Sequential.for', model, [1, ...copySizes('Sequential.for', example)])
    // The cast goes through Module, because the compiler would otherwise compare the two types method by method.
    return model as Module as Sequential<L>
  }

  protected override admit(entry: string, value: Given): Layer {
    const layer = isPlainFunction(value) ? new Lambda(value as LayerFunction) : value
    checkModule(this.constructor.name, entry, layer)
    return layer as Layer
  }

  /**
   * The layer at a place, counted from the end if negative. Its class is known if the place is a literal and the
   * constructor named the layers. The type of a negative place counts only those, so use `length` once layers were
   * added or removed.
   */
  override at<const I extends number>(index: I): LayerAt<L, I> {
    return super.at(index) as LayerAt<L, I>
  }

  /** A Sequential of the same layers from one place up to another, as in `Array.slice`. */
  slice(start?: number, end?: number): Sequential {
    return new Sequential(...this.between(start, end))
  }

  /** The layers, as the blocks of `WithBlocks`. */
  blocks(): Module[] {
    return this.between()
  }

  /** Runs the layers in order. Throws the errors of the layers. */
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

  /** Runs the layers from one place up to another. */
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

  /** A list of the same modules from one place up to another, as in `Array.slice`. */
  slice(start?: number, end?: number): ModuleList<M> {
    return new ModuleList(this.between(start, end))
  }

  /** Throws, because a list is not a step of a computation; call its modules. */
  forward(): never {
    throw new ValueError('ModuleList', 'has no forward; iterate over it, and call its modules')
  }
}
