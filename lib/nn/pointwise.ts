/** The base of layers that apply one function. */
import type { DType } from '../core/dtype.js'
import type { Keeps } from '../core/flow-types.js'
import type { Shape } from '../core/shape.js'
import type { Tensor } from '../core/tensor.js'
import { Module } from './module.js'

/** A layer that applies one function to one tensor and keeps its shape. */
export abstract class Pointwise extends Module {
  declare readonly signature?: Keeps
  abstract forward<S extends Shape, D extends DType>(x: Tensor<S, D>): Tensor<S, D>
}
