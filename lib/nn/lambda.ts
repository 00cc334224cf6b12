/** Functions as layers, and the part of a layer's result that the next layer gets. */
import { kindOf, ValueError } from '../core/errors.js'
import { Tensor } from '../core/tensor.js'
import { Module } from './module.js'
import { isPlainFunction } from './sequence.js'

/**
 * The result of a layer of a Sequential. It is a tensor, or an object with a tensor `output`, as from LSTM, GRU, RNN
 * and Recurrent. It may also be a list whose first entry is a tensor, as from cells, and from attention with its
 * weights.
 */
export type LayerResult = Tensor | { readonly output: Tensor } | readonly [Tensor, ...unknown[]]

/** A function in the place of a layer. */
export type LayerFunction = (x: Tensor) => LayerResult

/**
 * The tensor of a layer's result that is passed to the next layer. Throws ValueError if the result is not a
 * `LayerResult`.
 */
export function passedOn(place: number, layer: Module, result: unknown): Tensor {
  if (result instanceof Tensor) return result
  const tensor: unknown = Array.isArray(result) ? result[0] : (result as { readonly output?: unknown } | null)?.output
  if (tensor instanceof Tensor) return tensor
  throw new ValueError(
    'Sequential',
    `layer ${place}, ${layer.constructor.name}, gave ${kindOf(result)}, but must give a tensor, a record with the tensor ` +
      'output, or a list whose first entry is a tensor',
  )
}

/** The longest source text of a function that is printed. */
const mostPrinted = 60

/**
 * A function as a module. `Sequential` makes one of each function among its layers. Parameters that the function holds
 * are not found, so layers with parameters belong in the Sequential itself, or in a module.
 */
export class Lambda<F extends LayerFunction = LayerFunction> extends Module {
  readonly #fn: F

  constructor(fn: F) {
    super()
    if (!isPlainFunction(fn)) throw new ValueError('Lambda', `needs a function of a tensor, but got ${kindOf(fn)}`)
    this.#fn = fn
  }

  /** The function's name, or its source text if it has no name and is short. */
  override extraRepr(): string {
    const { name } = this.#fn
    const text = String(this.#fn)
    return name !== '' || text.length > mostPrinted || text.includes('\n') ? name : text
  }

  forward(x: Tensor): ReturnType<F> {
    return this.#fn(x) as ReturnType<F>
  }
}
