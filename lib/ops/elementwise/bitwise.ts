/** Bitwise functions of integers, in two's complement, and of bools, each of which is one bit. None has a gradient. */
import { checkTensor } from '../../autograd/operator.js'
import type { DType } from '../../core/dtype.js'
import { DTypeError, namedAs } from '../../core/errors.js'
import { defineMethods } from '../../core/methods.js'
import { broadcastShapes, type Shape } from '../../core/shape.js'
import type { Tensor } from '../../core/tensor.js'
import { like } from '../common.js'
import { castTo } from '../convert.js'
import { kernel, operator } from '../operator.js'
import { sub } from './arithmetic.js'
import { combined, type Pair, widen } from './binary.js'
import { logicalNot } from './logic.js'
import type { BinaryMethod, Fits, Operand, Result } from './operand.js'

function ofBits(
  name: 'bitwise_and' | 'bitwise_or' | 'bitwise_xor' | 'bitwise_left_shift' | 'bitwise_right_shift',
  op: string,
) {
  return operator<Pair>({
    name,
    op,
    infer: ([a, b]) => like(a, broadcastShapes(op, a.sizes, b.sizes)),
    forward: kernel(name, ([a, b], _attrs, { out }) => ({ out, a: widen(a, out.sizes), b: widen(b, out.sizes) })),
    gradient: { differentiable: false, reason: 'integers have none' },
  })
}

const records = {
  and: ofBits('bitwise_and', 'bitwiseAnd'),
  or: ofBits('bitwise_or', 'bitwiseOr'),
  xor: ofBits('bitwise_xor', 'bitwiseXor'),
  left: ofBits('bitwise_left_shift', 'bitwiseLeftShift'),
  right: ofBits('bitwise_right_shift', 'bitwiseRightShift'),
}

/** The bits set in both, with broadcasting: JavaScript's a & b. */
export function bitwiseAnd<A extends Operand, B extends Operand>(a: A, b: B & Fits<A, B, 'bitwiseAnd'>): Result<A, B>
export function bitwiseAnd(a: Operand, b: Operand): Tensor {
  return combined(records.and, null, a, b)
}

/** The bits set in at least one, with broadcasting: JavaScript's a | b. */
export function bitwiseOr<A extends Operand, B extends Operand>(a: A, b: B & Fits<A, B, 'bitwiseOr'>): Result<A, B>
export function bitwiseOr(a: Operand, b: Operand): Tensor {
  return combined(records.or, null, a, b)
}

/** The bits set in exactly one, with broadcasting: JavaScript's a ^ b. */
export function bitwiseXor<A extends Operand, B extends Operand>(a: A, b: B & Fits<A, B, 'bitwiseXor'>): Result<A, B>
export function bitwiseXor(a: Operand, b: Operand): Tensor {
  return combined(records.xor, null, a, b)
}

/** The bits that are not set: JavaScript's ~x, which is -1 - x for int32. Throws DTypeError for floats. */
export function bitwiseNot<S extends Shape, D extends DType>(x: Tensor<S, D>): Tensor<S, D>
export function bitwiseNot(x: Tensor): Tensor {
  checkTensor('bitwiseNot', 'x', x)
  if (x.dtype === 'bool') return namedAs('bitwiseNot', () => logicalNot(x))
  if (x.dtype !== 'int32' && x.dtype !== 'uint8')
    throw new DTypeError('bitwiseNot', `x is ${x.dtype}, which has no integers; convert it with .to('int32')`)
  return namedAs('bitwiseNot', () => castTo(sub(-1, castTo(x, 'int32')), x.dtype))
}

/**
 * a with its bits shifted up by b, with broadcasting. Bits that leave are lost. A b below 0 or beyond the number of
 * bits gives 0.
 */
export function bitwiseLeftShift<A extends Operand, B extends Operand>(
  a: A,
  b: B & Fits<A, B, 'bitwiseLeftShift'>,
): Result<A, B>
export function bitwiseLeftShift(a: Operand, b: Operand): Tensor {
  return combined(records.left, null, a, b, 'integers')
}

/**
 * a with its bits shifted down by b, filled with its sign, with broadcasting. A b below 0 or beyond the number of bits
 * leaves only the sign.
 */
export function bitwiseRightShift<A extends Operand, B extends Operand>(
  a: A,
  b: B & Fits<A, B, 'bitwiseRightShift'>,
): Result<A, B>
export function bitwiseRightShift(a: Operand, b: Operand): Tensor {
  return combined(records.right, null, a, b, 'integers')
}

declare module '../../core/tensor.js' {
  interface Tensor<S extends Shape = Shape, D extends DType = DType> {
    bitwiseAnd: BinaryMethod<S, D, 'bitwiseAnd'>
    bitwiseOr: BinaryMethod<S, D, 'bitwiseOr'>
    bitwiseXor: BinaryMethod<S, D, 'bitwiseXor'>
    bitwiseNot(): Tensor<S, D>
    bitwiseLeftShift: BinaryMethod<S, D, 'bitwiseLeftShift'>
    bitwiseRightShift: BinaryMethod<S, D, 'bitwiseRightShift'>
  }
}

defineMethods({
  bitwiseAnd(b: Operand) {
    return bitwiseAnd(this, b)
  },
  bitwiseOr(b: Operand) {
    return bitwiseOr(this, b)
  },
  bitwiseXor(b: Operand) {
    return bitwiseXor(this, b)
  },
  bitwiseNot() {
    return bitwiseNot(this)
  },
  bitwiseLeftShift(b: Operand) {
    return bitwiseLeftShift(this, b)
  },
  bitwiseRightShift(b: Operand) {
    return bitwiseRightShift(this, b)
  },
})
