/** Whole quotients and their remainders. */

import type { DType } from '../../core/dtype.js'
import { namedAs } from '../../core/errors.js'
import { defineMethods } from '../../core/methods.js'
import { broadcastShapes, type Shape } from '../../core/shape.js'
import type { Tensor } from '../../core/tensor.js'
import { like } from '../common.js'
import { kernel, operator } from '../operator.js'
import { sumTo } from '../totals.js'
import { zerosLike } from '../views.js'
import { mul } from './arithmetic.js'
import { binary, combined, type Pair, widen } from './binary.js'
import { neg } from './functions.js'
import type { BinaryMethod, Fits, Operand, Result } from './operand.js'

type Rounding = 'trunc' | 'floor'

const quotientRecord = operator<Pair, { readonly floors: boolean }>({
  name: 'quotient',
  op: 'div',
  infer: ([a, b]) => like(a, broadcastShapes('div', a.sizes, b.sizes)),
  forward: kernel('quotient', ([a, b], attrs, { out }) => ({
    out,
    a: widen(a, out.sizes),
    b: widen(b, out.sizes),
    ...attrs,
  })),
  gradient: {
    saves: () => ({}),
    backward(ctx, [g]) {
      const part = (i: 0 | 1) => (ctx.needs[i] ? sumTo(zerosLike(g), ctx.spec(i).shape) : null)
      return [part(0), part(1)]
    },
  },
})

export function quotient(a: Operand, b: Operand, rounding: Rounding): Tensor {
  return combined(quotientRecord, { floors: rounding === 'floor' }, a, b, 'integers')
}

/** The remainder a - b quotient, whose slope in b is minus the quotient. */
const rest = (name: 'fmod' | 'remainder', rounding: Rounding) =>
  binary(
    name,
    (needs) => (needs[1] ? [0, 1] : []),
    (x, g, i) => (i === 0 ? g : neg(mul(g, quotient(x(0), x(1), rounding)))),
  )

const records = { fmod: rest('fmod', 'trunc'), remainder: rest('remainder', 'floor') }

/**
 * The remainder of a / b with the sign of a, with broadcasting: JavaScript's a % b. An int32 divisor of 0 is a late
 * error.
 */
export function fmod<A extends Operand, B extends Operand>(a: A, b: B & Fits<A, B, 'fmod'>): Result<A, B>
export function fmod(a: Operand, b: Operand): Tensor {
  return combined(records.fmod, null, a, b, 'integers')
}

/**
 * The remainder of a / b with the sign of b, with broadcasting: Python's a % b. An int32 divisor of 0 is a late error.
 */
export function remainder<A extends Operand, B extends Operand>(a: A, b: B & Fits<A, B, 'remainder'>): Result<A, B>
export function remainder(a: Operand, b: Operand): Tensor {
  return combined(records.remainder, null, a, b, 'integers')
}

/** a / b rounded down, with broadcasting and without a gradient. An int32 divisor of 0 is a late error. */
export function floorDivide<A extends Operand, B extends Operand>(a: A, b: B & Fits<A, B, 'floorDivide'>): Result<A, B>
export function floorDivide(a: Operand, b: Operand): Tensor {
  return namedAs('floorDivide', () => quotient(a, b, 'floor'))
}

declare module '../../core/tensor.js' {
  interface Tensor<S extends Shape = Shape, D extends DType = DType> {
    fmod: BinaryMethod<S, D, 'fmod'>
    remainder: BinaryMethod<S, D, 'remainder'>
    floorDivide: BinaryMethod<S, D, 'floorDivide'>
  }
}

defineMethods({
  fmod(b: Operand) {
    return fmod(this, b)
  },
  remainder(b: Operand) {
    return remainder(this, b)
  },
  floorDivide(b: Operand) {
    return floorDivide(this, b)
  },
})
