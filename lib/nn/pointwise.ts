/** The common part of layers of one function. */
import type { DType } from '../core/dtype.js'
import type { Keeps } from '../core/flow-types.js'
import type { Shape } from '../core/shape.js'
import type { Tensor } from '../core/tensor.js'
import { Module } from './module.js'

/** A layer that is one function of one tensor, of the same shape. */
export abstract class Pointwise extends Module {
  declare readonly signature?: Keeps
  abstract forward<S extends Shape, D extends DType>(x: Tensor<S, D>): Tensor<S, D>
}
