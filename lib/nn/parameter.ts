/** The tensors that belong to a module. */
import { keep } from '../core/scope.js'
import type { Shape } from '../core/shape.js'
import { Tensor } from '../core/tensor.js'

/** A tensor that a module learns: a leaf that wants a gradient and that scopes never free. */
export class Parameter<S extends Shape = Shape> extends Tensor<S> {
  constructor(value: Tensor<S>, requiresGrad = true) {
    super(value.storage, value.shape, value.strides, value.offset)
    keep(this)
    this.requiresGrad = requiresGrad
  }
}

/** A tensor that belongs to a module's state without being learned, as running statistics do. */
export class Buffer<S extends Shape = Shape> extends Tensor<S> {
  constructor(value: Tensor<S>) {
    super(value.storage, value.shape, value.strides, value.offset)
    keep(this)
  }
}
