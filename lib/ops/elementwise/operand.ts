/** Types of operands and results, for functions and methods alike. */
import type { DType, SingleFloat } from '../../core/dtype.js'
import type { Shape } from '../../core/shape.js'
import type { Broadcast, BroadcastFits } from '../../core/shape-types.js'
import type { Tensor } from '../../core/tensor.js'

export type Operand = Tensor | number

/**
 * The shape of S broadcast with another operand. It is S again if the other has the same shape, even a shape that only
 * a caller knows.
 */
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

type Integer = 'int32' | 'uint8' | 'bool'

/** The result dtype of two tensors. Within a kind it may depend on which of them has dimensions. */
type PromotedDType<D extends DType, E extends DType> = [DType] extends [D | E]
  ? DType
  : [D, E] extends [E, D]
    ? D
    : Mixed<D, E>
type Mixed<D extends DType, E extends DType> = D extends Integer
  ? E extends Integer
    ? D extends 'bool'
      ? E
      : E extends 'bool'
        ? D
        : D | E
    : E
  : E extends Integer
    ? D
    : D | E

/**
 * The result dtype beside a number. A fraction turns integers into floats, and a whole number turns bool into int32; a
 * plain `number` may do either.
 */
type BesideNumber<D extends DType, N extends number> = [DType] extends [D]
  ? D
  : D extends Integer
    ? number extends N
      ? (D extends 'bool' ? 'int32' : D) | SingleFloat
      : `${N}` extends `${bigint}`
        ? D extends 'bool'
          ? 'int32'
          : D
        : SingleFloat
    : D

/** The result dtype of a tensor of D with another operand. */
export type Promoted<D extends DType, B extends Operand> =
  B extends Tensor<Shape, infer E> ? PromotedDType<D, E> : B extends number ? BesideNumber<D, B> : never
/** The same for functions of floats, which turn integers into floats. */
export type PromotedFloat<D extends DType, B extends Operand> = FloatOf<Promoted<D, B>>
export type FloatOf<D extends DType> = [DType] extends [D] ? D : D extends Integer ? SingleFloat : D

/** The result of two operands. */
export type Result<A extends Operand, B extends Operand> =
  A extends Tensor<infer S, infer D>
    ? Tensor<With<S, B>, Promoted<D, B>>
    : A extends number
      ? B extends Tensor<infer S, infer D>
        ? Tensor<S, BesideNumber<D, A>>
        : never
      : never
export type FloatResult<A extends Operand, B extends Operand> =
  A extends Tensor<infer S, infer D>
    ? Tensor<With<S, B>, PromotedFloat<D, B>>
    : B extends Tensor<infer S, infer D>
      ? Tensor<S, FloatOf<D>>
      : never
export type Compared<A extends Tensor, B extends Operand> =
  A extends Tensor<infer S> ? Tensor<With<S, B>, 'bool'> : never

export type Fits<A extends Operand, B extends Operand, Op extends string> =
  A extends Tensor<infer S> ? FitsShape<S, B, Op> : unknown

// Types of methods, covariant by annotation: see core/methods.ts. All methods of a form share one alias, because each
// alias costs the compiler time.
/** @ts-expect-error TS2636, as core/methods.ts says */
export type BinaryMethod<out S extends Shape, out D extends DType, Op extends string> = <B extends Operand>(
  b: B & FitsShape<S, B, Op>,
) => Tensor<With<S, B>, Promoted<D, B>>
/** @ts-expect-error TS2636, as core/methods.ts says */
export type FloatMethod<out S extends Shape, out D extends DType, Op extends string> = <B extends Operand>(
  b: B & FitsShape<S, B, Op>,
) => Tensor<With<S, B>, PromotedFloat<D, B>>
/** @ts-expect-error TS2636, as core/methods.ts says */
export type CompareMethod<out S extends Shape, Op extends string> = <B extends Operand>(
  b: B & FitsShape<S, B, Op>,
) => Tensor<With<S, B>, 'bool'>
/** @ts-expect-error TS2636, as core/methods.ts says */
export type TruthMethod<out S extends Shape, Op extends string> = <B extends Tensor>(
  b: B & FitsShape<S, B, Op>,
) => Tensor<With<S, B>, 'bool'>
