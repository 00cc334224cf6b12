/** The tensors that belong to a module. */
import { checkTensor } from '../autograd/operator.js'
import { DTypeError } from '../core/errors.js'
import { keep } from '../core/scope.js'
import type { Shape } from '../core/shape.js'
import { Tensor } from '../core/tensor.js'

/**
 * A tensor that a module learns: a leaf that wants a gradient and that scopes never free.
 */
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

/**
 * A tensor that belongs to a module's state without being learned, as running statistics do.
 */
export class Buffer<out S extends Shape = Shape> extends Tensor<S> {
  constructor(value: Tensor<S>) {
    checkTensor('Buffer', 'the value', value)
    super(value.storage, value.sizes, value.steps, value.offset)
    keep(this)
  }
}
