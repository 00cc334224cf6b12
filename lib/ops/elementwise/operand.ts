/** Types of the second operand, of operators and of methods alike. */
import type { Shape } from '../../core/shape.js'
import type { Broadcast, BroadcastFits } from '../../core/shape-types.js'
import type { Tensor } from '../../core/tensor.js'

export type Operand = Tensor | number

/** The shape of S with another operand; S again with one of the same shape, even of a shape that only a caller knows. */
export type With<S extends Shape, B extends Operand> =
  B extends Tensor<infer T>
    ? Tensor<S> extends Tensor<T>
      ? Tensor<T> extends Tensor<S>
        ? S
        : Broadcast<S, T>
      : Broadcast<S, T>
    : S

/** `unknown` if an operand can broadcast with the shape S, else a Misfit. */
export type FitsShape<S extends Shape, B extends Operand, Op extends string> =
  B extends Tensor<S> ? unknown : B extends Tensor<infer T> ? BroadcastFits<S, T, Op> : unknown
