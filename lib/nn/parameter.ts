/** The tensors that belong to a module. */
import { checkTensor } from '../autograd/operator.js'
import type { Device } from '../core/device.js'
import { DTypeError, kindOf, ValueError } from '../core/errors.js'
import { checkFlag, checkOptions } from '../core/options.js'
import { keep } from '../core/scope.js'
import type { Shape } from '../core/shape.js'
import { Tensor } from '../core/tensor.js'

/** A tensor that a module learns: a leaf that wants a gradient, and that no scope frees. */
export class Parameter<out S extends Shape = Shape> extends Tensor<S> {
  constructor(value: Tensor<S>, requiresGrad = true) {
    checkTensor('Parameter', 'the value', value)
    if (requiresGrad && !value.dtype.includes('float'))
      throw new DTypeError('Parameter', `the value is ${value.dtype}, which has no gradient; use a Buffer for it`)
    super(value.storage, value.sizes, value.steps, value.offset)
    keep(this)
    this.requiresGrad = requiresGrad
  }
}

/** The module's own tensor, by the copy that stands in for it. */
const originals = new WeakMap<Tensor, Tensor>()

/** The module's own tensor that this one stands in for, or else this tensor itself. */
export function originalOf(tensor: Tensor): Tensor {
  return originals.get(tensor) ?? tensor
}

/** Sets the tensor that a copy stands in for; null for none. */
export function setOriginal(tensor: Tensor, original: Tensor | null): void {
  if (original === null) originals.delete(tensor)
  else originals.set(tensor, original)
}

export interface BufferOptions {
  /**
   * Whether the buffer is part of the state. Use false for values that follow from the module's options, such as tables
   * of positions.
   */
  readonly persistent?: boolean
  /**
   * Makes a buffer that is not part of the state again, with the same shape. That is needed when a module that was made
   * on meta is loaded, because no file holds the buffer's elements.
   */
  readonly make?: (device: Device) => Tensor
}

/**
 * A tensor that belongs to a module but is not learned, such as running statistics. It moves with the module and,
 * unless `persistent` is false, is saved and loaded with it.
 */
export class Buffer<out S extends Shape = Shape> extends Tensor<S> {
  readonly persistent: boolean
  readonly make: ((device: Device) => Tensor) | null

  constructor(value: Tensor<S>, options: BufferOptions = {}) {
    checkTensor('Buffer', 'the value', value)
    const { persistent = true, make } = checkOptions<BufferOptions>('Buffer', options, { persistent: true, make: true })
    checkFlag('Buffer', 'persistent', persistent)
    if (make !== undefined && (persistent || typeof make !== 'function'))
      throw new ValueError(
        'Buffer',
        persistent
          ? 'make is for buffers that are not part of the state; a persistent one is loaded. Set persistent to false, or leave make out'
          : `make is ${kindOf(make)}, but must be a function of a device`,
      )
    super(value.storage, value.sizes, value.steps, value.offset)
    keep(this)
    this.persistent = persistent
    this.make = make ?? null
  }
}
