/** Predicates of elements, such as NaN, infinite or close, and logical combinations. None has a gradient. */

import { noGrad } from '../../autograd/mode.js'
import { checkTensor } from '../../autograd/operator.js'
import { type DType, isBlocks } from '../../core/dtype.js'
import { DTypeError, namedAs, ValueError } from '../../core/errors.js'
import { defineMethods } from '../../core/methods.js'
import { checkFlag, checkOptions, type OptionNames } from '../../core/options.js'
import { type Shape, sameShape } from '../../core/shape.js'
import type { Broadcast } from '../../core/shape-types.js'
import type { Tensor } from '../../core/tensor.js'
import { checkScalar } from '../common.js'
import { castTo } from '../convert.js'
import { full } from '../creation.js'
import { add, mul, sub } from './arithmetic.js'
import { alike } from './binary.js'
import { eq, le, ne, where } from './compare.js'
import { abs } from './functions.js'
import type { TruthMethod } from './operand.js'

/** Each element as a bool: whether it is not 0. NaN is true. */
function truths(op: string, name: string, x: Tensor): Tensor<Shape, 'bool'> {
  checkTensor(op, name, x)
  if (isBlocks(x.dtype))
    throw new DTypeError(op, `${name} is ${x.dtype}, but must not be of blocks; convert it with .to('float32')`)
  return castTo(x.requiresGrad ? x.detach() : x, 'bool')
}

/** A bool tensor without dimensions, which broadcasts with everything. */
const truth = (value: boolean, { device }: Tensor) => full([], value ? 1 : 0, { dtype: 'bool', device })

type Truths<A extends Shape, B extends Shape> = Tensor<Broadcast<A, B>, 'bool'>

/** Whether both elements are not 0, with broadcasting, for any dtypes. */
export function logicalAnd<A extends Shape, B extends Shape>(a: Tensor<A>, b: Tensor<B>): Truths<A, B>
export function logicalAnd(a: Tensor, b: Tensor): Tensor {
  const [x, y] = [truths('logicalAnd', 'a', a), truths('logicalAnd', 'b', b)]
  return namedAs('logicalAnd', () => where(x, y, truth(false, x)))
}

/** Whether at least one of both elements is not 0, with broadcasting, for any dtypes. */
export function logicalOr<A extends Shape, B extends Shape>(a: Tensor<A>, b: Tensor<B>): Truths<A, B>
export function logicalOr(a: Tensor, b: Tensor): Tensor {
  const [x, y] = [truths('logicalOr', 'a', a), truths('logicalOr', 'b', b)]
  return namedAs('logicalOr', () => where(x, truth(true, x), y))
}

/** Whether exactly one of both elements is not 0, with broadcasting, for any dtypes. */
export function logicalXor<A extends Shape, B extends Shape>(a: Tensor<A>, b: Tensor<B>): Truths<A, B>
export function logicalXor(a: Tensor, b: Tensor): Tensor {
  const [x, y] = [truths('logicalXor', 'a', a), truths('logicalXor', 'b', b)]
  return namedAs('logicalXor', () => ne(x, y))
}

/** Whether each element is 0. */
export function logicalNot<S extends Shape>(x: Tensor<S>): Tensor<S, 'bool'>
export function logicalNot(x: Tensor): Tensor {
  return eq(truths('logicalNot', 'x', x), 0)
}

/** Whether each element is NaN; integers are not. */
export function isnan<S extends Shape>(x: Tensor<S>): Tensor<S, 'bool'>
export function isnan(x: Tensor): Tensor {
  checkTensor('isnan', 'x', x)
  return ne(x, x)
}

/** Whether each element is infinite; integers are not. */
export function isinf<S extends Shape>(x: Tensor<S>): Tensor<S, 'bool'>
export function isinf(x: Tensor): Tensor {
  checkTensor('isinf', 'x', x)
  return logicalOr(eq(x, Number.POSITIVE_INFINITY), eq(x, Number.NEGATIVE_INFINITY))
}

/** Whether each element is neither NaN nor infinite; integers are. */
export function isfinite<S extends Shape>(x: Tensor<S>): Tensor<S, 'bool'>
export function isfinite(x: Tensor): Tensor {
  checkTensor('isfinite', 'x', x)
  return logicalNot(logicalOr(isinf(x), isnan(x)))
}

export interface CloseOptions {
  /** The tolerance relative to |b|. Default 1e-5. */
  readonly rtol?: number
  /** The absolute tolerance. Default 1e-8. */
  readonly atol?: number
  /** Whether two NaN are close. Default false. */
  readonly equalNan?: boolean
}

function checkTolerance(name: string, value: number): void {
  if (!(checkScalar('isclose', name, value) >= 0))
    throw new ValueError('isclose', `${name} is ${value}, but must not be negative`)
}

const closeNames: OptionNames<CloseOptions> = { rtol: true, atol: true, equalNan: true }

/**
 * Whether |a - b| <= atol + rtol |b|, with broadcasting. Infinities are close to themselves. Throws ValueError for
 * tolerances below 0.
 */
export function isclose<A extends Shape, B extends Shape>(
  a: Tensor<A>,
  b: Tensor<B>,
  options?: CloseOptions,
): Truths<A, B>
export function isclose(a: Tensor, b: Tensor, options: CloseOptions = {}): Tensor {
  const { rtol = 1e-5, atol = 1e-8, equalNan = false } = checkOptions('isclose', options, closeNames)
  checkTolerance('rtol', rtol)
  checkTolerance('atol', atol)
  checkFlag('isclose', 'equalNan', equalNan)
  checkTensor('isclose', 'a', a)
  checkTensor('isclose', 'b', b)
  return noGrad(() => {
    const [x, y] = alike('isclose', a, b)
    const same = equalNan ? logicalOr(eq(x, y), logicalAnd(isnan(x), isnan(y))) : eq(x, y)
    const limit = add(mul(abs(y), rtol), atol)
    return logicalOr(same, logicalAnd(isfinite(y), le(abs(sub(x, y)), limit)))
  })
}

declare module '../../core/tensor.js' {
  interface Tensor<S extends Shape = Shape, D extends DType = DType> {
    logicalAnd: TruthMethod<S, 'logicalAnd'>
    logicalOr: TruthMethod<S, 'logicalOr'>
    logicalXor: TruthMethod<S, 'logicalXor'>
    logicalNot(): Tensor<S, 'bool'>
    isnan(): Tensor<S, 'bool'>
    isinf(): Tensor<S, 'bool'>
    isfinite(): Tensor<S, 'bool'>
    isclose(b: Tensor, options?: CloseOptions): Tensor<Shape, 'bool'>
    /** Whether all elements are close, as `isclose` says. Waits for them. */
    allclose(b: Tensor, options?: CloseOptions): boolean
    /** Whether b has the same shape and the same elements; NaN equals nothing. Waits for them. */
    equal(b: Tensor): boolean
  }
}

defineMethods({
  logicalAnd(b: Tensor) {
    return logicalAnd(this, b)
  },
  logicalOr(b: Tensor) {
    return logicalOr(this, b)
  },
  logicalXor(b: Tensor) {
    return logicalXor(this, b)
  },
  logicalNot() {
    return logicalNot(this)
  },
  isnan() {
    return isnan(this)
  },
  isinf() {
    return isinf(this)
  },
  isfinite() {
    return isfinite(this)
  },
  isclose(b: Tensor, options?: CloseOptions) {
    return isclose(this, b, options)
  },
  allclose(b: Tensor, options?: CloseOptions) {
    return !isclose(this, b, options).dataSync().includes(0)
  },
  equal(b: Tensor) {
    checkTensor('equal', 'b', b)
    return sameShape(this.sizes, b.sizes) && namedAs('equal', () => !eq(this, b).dataSync().includes(0))
  },
})
