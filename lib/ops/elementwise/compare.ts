/** Comparisons, and the choice by them. */

import { apply, checkTensor } from '../../autograd/operator.js'
import type { DType } from '../../core/dtype.js'
import { defineMethods } from '../../core/methods.js'
import { broadcastShapes, type Shape } from '../../core/shape.js'
import type { Tensor } from '../../core/tensor.js'
import { like } from '../common.js'
import { full } from '../creation.js'
import { kernel, operator } from '../operator.js'
import { sumTo } from '../totals.js'
import { alike, type Pair, scalarTensor, widen } from './binary.js'
import { type Comparison, checkNumber, integerComparison } from './numbers.js'
import type { Compared, CompareMethod, Fits, Operand } from './operand.js'

function comparison(name: Comparison) {
  return operator<Pair>({
    name,
    infer: ([a, b]) => ({ shape: broadcastShapes(name, a.sizes, b.sizes), dtype: 'bool' }),
    forward: kernel(name, ([a, b], _attrs, { out }) => ({ out, a: widen(a, out.sizes), b: widen(b, out.sizes) })),
    gradient: { differentiable: false, reason: 'the result is piecewise constant' },
  })
}

const comparisons = {
  eq: comparison('eq'),
  ne: comparison('ne'),
  lt: comparison('lt'),
  le: comparison('le'),
  gt: comparison('gt'),
  ge: comparison('ge'),
}

function compare(name: Comparison, a: Tensor, b: Operand): Tensor {
  if (typeof b !== 'number') return apply(comparisons[name], alike(name, a, b), null)
  checkTensor(name, 'a', a)
  const whole = integerComparison(name, b, a.dtype)
  if (whole === null) return apply(comparisons[name], alike(name, a, b), null)
  // The tensor is checked here under the called name, because the record that runs may have another.
  a.storage.check(name)
  return apply(comparisons[whole[0]], [a, scalarTensor(name, whole[1], a)], null)
}

/**
 * a == b as a bool tensor, with broadcasting; NaN equals nothing. b may be any number: integers are compared with its
 * exact value, floats with its value in their dtype.
 */
export function eq<A extends Tensor, B extends Operand>(a: A, b: B & Fits<A, B, 'eq'>): Compared<A, B>
export function eq(a: Tensor, b: Operand): Tensor {
  return compare('eq', a, b)
}
/** a != b as a bool tensor, with broadcasting; NaN differs from everything. Numbers b are compared as by `eq`. */
export function ne<A extends Tensor, B extends Operand>(a: A, b: B & Fits<A, B, 'ne'>): Compared<A, B>
export function ne(a: Tensor, b: Operand): Tensor {
  return compare('ne', a, b)
}
/** a < b as a bool tensor, with broadcasting; false if either is NaN. Numbers b are compared as by `eq`. */
export function lt<A extends Tensor, B extends Operand>(a: A, b: B & Fits<A, B, 'lt'>): Compared<A, B>
export function lt(a: Tensor, b: Operand): Tensor {
  return compare('lt', a, b)
}
/** a <= b as a bool tensor, with broadcasting; false if either is NaN. Numbers b are compared as by `eq`. */
export function le<A extends Tensor, B extends Operand>(a: A, b: B & Fits<A, B, 'le'>): Compared<A, B>
export function le(a: Tensor, b: Operand): Tensor {
  return compare('le', a, b)
}
/** a > b as a bool tensor, with broadcasting; false if either is NaN. Numbers b are compared as by `eq`. */
export function gt<A extends Tensor, B extends Operand>(a: A, b: B & Fits<A, B, 'gt'>): Compared<A, B>
export function gt(a: Tensor, b: Operand): Tensor {
  return compare('gt', a, b)
}
/** a >= b as a bool tensor, with broadcasting; false if either is NaN. Numbers b are compared as by `eq`. */
export function ge<A extends Tensor, B extends Operand>(a: A, b: B & Fits<A, B, 'ge'>): Compared<A, B>
export function ge(a: Tensor, b: Operand): Tensor {
  return compare('ge', a, b)
}

const whereRecord = operator<[condition: Tensor, a: Tensor, b: Tensor]>({
  name: 'where',
  infer: ([condition, a, b]) =>
    like(a, broadcastShapes('where', condition.sizes, broadcastShapes('where', a.sizes, b.sizes))),
  forward: kernel('where', ([condition, a, b], _attrs, { out }) => ({
    out,
    condition: widen(condition, out.sizes),
    a: widen(a, out.sizes),
    b: widen(b, out.sizes),
  })),
  gradient: {
    saves: () => ({ inputs: [0] }),
    backward(ctx, [g]) {
      const condition = ctx.input(0)
      const pick = (i: number, a: Operand, b: Operand) =>
        ctx.needs[i] ? sumTo(where(condition, a, b), ctx.spec(i).shape) : null
      return [null, pick(1, g, 0), pick(2, 0, g)]
    },
  },
})

/**
 * a where the condition (bool) holds, else b. All three broadcast. a and b may be numbers. Two whole numbers give int32,
 * and others float32.
 */
export function where(condition: Tensor, a: Operand, b: Operand): Tensor {
  checkTensor('where', 'condition', condition)
  for (const x of [a, b]) if (typeof x !== 'number') checkTensor('where', 'each value', x)
  const { device } = condition
  // Two numbers have no tensor to take a dtype from.
  const dtypeOf = (first: number, second: number) =>
    Number.isInteger(first) && Number.isInteger(second) ? 'int32' : 'float32'
  const [x, y] =
    typeof a === 'number' && typeof b === 'number'
      ? [full([], checkNumber('where', a, dtypeOf(a, b)), { dtype: dtypeOf(a, b), device }), b]
      : [a, b]
  return apply(whereRecord, [condition, ...alike('where', x, y)], null)
}

declare module '../../core/tensor.js' {
  interface Tensor<S extends Shape = Shape, D extends DType = DType> {
    eq: CompareMethod<S, 'eq'>
    ne: CompareMethod<S, 'ne'>
    lt: CompareMethod<S, 'lt'>
    le: CompareMethod<S, 'le'>
    gt: CompareMethod<S, 'gt'>
    ge: CompareMethod<S, 'ge'>
  }
}

defineMethods({
  eq(b: Operand) {
    return eq(this, b)
  },
  ne(b: Operand) {
    return ne(this, b)
  },
  lt(b: Operand) {
    return lt(this, b)
  },
  le(b: Operand) {
    return le(this, b)
  },
  gt(b: Operand) {
    return gt(this, b)
  },
  ge(b: Operand) {
    return ge(this, b)
  },
})
