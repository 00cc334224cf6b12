/** Functions as layers, and what goes on from a layer to the next one. */
import { kindOf, ValueError } from '../core/errors.js'
import { Tensor } from '../core/tensor.js'
import { Module } from './module.js'
import { isPlainFunction } from './sequence.js'

/**
 * What a layer of a Sequential may give: a tensor; a record with the tensor `output`, as LSTM, GRU, RNN and Recurrent do; or a
 * list whose first entry is a tensor, as cells and attention with its weights do.
 */
export type LayerResult = Tensor | { readonly output: Tensor } | readonly [Tensor, ...unknown[]]

/** A function that stands for a layer. */
export type LayerFunction = (x: Tensor) => LayerResult

/** The tensor of a layer's result that goes on to the next layer. Throws ValueError where the result is no `LayerResult`. */
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

/** Longer texts of functions are not printed. */
const mostPrinted = 60

/**
 * A function as a module: `Sequential` makes one of each function among its layers. What the function holds is not seen, so that
 * layers with parameters belong into the Sequential themselves, or into a module.
 */
export class Lambda<F extends LayerFunction = LayerFunction> extends Module {
  readonly #fn: F

  constructor(fn: F) {
    super()
    if (!isPlainFunction(fn)) throw new ValueError('Lambda', `needs a function of a tensor, but got ${kindOf(fn)}`)
    this.#fn = fn
  }

  /** The function's name, or as it is written where it has none and is short. */
  override extraRepr(): string {
    const { name } = this.#fn
    const text = String(this.#fn)
    return name !== '' || text.length > mostPrinted || text.includes('\n') ? name : text
  }

  forward(x: Tensor): ReturnType<F> {
    return this.#fn(x) as ReturnType<F>
  }
}
