/** Arithmetic and comparisons of two tensors, with broadcasting. */

import { apply, checkTensor, type Needs, type Operator } from '../../autograd/operator.js'
import type { DType } from '../../core/dtype.js'
import { ValueError } from '../../core/errors.js'
import { defineMethods } from '../../core/methods.js'
import { broadcastShapes, type Shape } from '../../core/shape.js'
import type { Tensor } from '../../core/tensor.js'
import { like } from '../common.js'
import { full } from '../creation.js'
import { kernel, operator } from '../operator.js'
import { sumTo } from '../totals.js'
import { expandView, zerosLike } from '../views.js'
import { abs, log, neg } from './functions.js'
import { type Comparison, checkNumber, integerComparison } from './numbers.js'
import type { FitsShape, Operand, With } from './operand.js'

type Binary = 'add' | 'sub' | 'mul' | 'div' | 'maximum' | 'minimum' | 'pow'

/** A view of the shape a call broadcasts to; kernels read it with strides of 0. */
function widen(x: Tensor, shape: Shape): Tensor {
  return x.sizes === shape ? x : expandView(x, shape)
}

type Pair = [a: Tensor, b: Tensor]

function binary(
  name: Binary,
  saves: (needs: Needs) => readonly number[],
  backward: (input: (i: number) => Tensor, g: Tensor, i: 0 | 1) => Tensor,
) {
  return operator<Pair>({
    name,
    // Taken apart by index, here and below: the iterators of destructuring cost as much as the rest.
    infer: (inputs) => like(inputs[0], broadcastShapes(name, inputs[0].sizes, inputs[1].sizes)),
    forward: kernel(name, (inputs, _attrs, { out }) => ({
      out,
      a: widen(inputs[0], out.sizes),
      b: widen(inputs[1], out.sizes),
    })),
    gradient: {
      saves: (needs) => ({ inputs: saves(needs) }),
      backward(ctx, [g]) {
        const input = (i: number) => ctx.input(i)
        const part = (i: 0 | 1) => (ctx.needs[i] ? sumTo(backward(input, g, i), ctx.spec(i).shape) : null)
        return [part(0), part(1)]
      },
    },
  })
}

const both = [0, 1]
const none = () => []
/** The gradient of one factor needs the other: a frozen weight keeps no activation. */
const theOther = (needs: Needs) => both.filter((i) => needs[1 - i])

const records = {
  add: binary('add', none, (_x, g) => g),
  sub: binary('sub', none, (_x, g, i) => (i === 0 ? g : neg(g))),
  mul: binary('mul', theOther, (x, g, i) => mul(g, x(1 - i))),
  div: binary(
    'div',
    (needs) => (needs[1] ? both : [1]),
    // Not by the square of b, which leaves the range of the dtype long before the quotient does.
    (x, g, i) => (i === 0 ? div(g, x(1)) : neg(mul(g, div(div(x(0), x(1)), x(1))))),
  ),
  maximum: binary(
    'maximum',
    () => both,
    (x, g, i) => share(g, x(i), x(1 - i), 'lt'),
  ),
  minimum: binary(
    'minimum',
    () => both,
    (x, g, i) => share(g, x(i), x(1 - i), 'gt'),
  ),
  pow: binary(
    'pow',
    () => both,
    (x, g, i) => mul(g, i === 0 ? slopeOfBase(x(0), x(1)) : slopeOfExponent(x(0), x(1))),
  ),
}

/** How a gradient is shared: none of it for what lost, half at a tie. NaN loses to nothing. */
function share(g: Tensor, a: Tensor, b: Tensor, loses: 'gt' | 'lt'): Tensor {
  return where(loses === 'gt' ? gt(a, b) : lt(a, b), 0, where(eq(a, b), mul(g, 0.5), g))
}

/** The smallest normal float32: what is less may have no finite reciprocal. */
const leastNormal = 2 ** -126

/** y x^(y - 1). For y = 0 it is 0 also where x^-1 is not finite, because x^0 is 1 for every x, NaN included. */
function slopeOfBase(x: Tensor, y: Tensor): Tensor {
  const less = sub(y, 1)
  return mul(y, pow(x, where(eq(y, 0), where(ge(abs(x), leastNormal), less, 0), less)))
}

/** x^y log x. For x = 0 and y >= 0 it is 0; there log's own derivatives are kept finite by another x. */
function slopeOfExponent(x: Tensor, y: Tensor): Tensor {
  const constant = ge(where(eq(x, 0), y, -1), 0)
  const base = where(constant, 1, x)
  return mul(pow(base, y), log(base))
}

interface Affine {
  readonly scale: number
  readonly shift: number
}

/** x * scale + shift: all arithmetic of a tensor and a number. A record each, so that errors name what was called. */
function scalarRecord(op: 'add' | 'sub' | 'mul'): Operator<[x: Tensor], Affine> {
  return operator<[x: Tensor], Affine>({
    name: `${op}_scalar`,
    op,
    inputs: ['the other operand'],
    infer: (inputs) => like(inputs[0]),
    forward: kernel('affine', (inputs, { scale, shift }, { out }) => ({ out, x: inputs[0], scale, shift })),
    gradient: {
      saves: () => ({}),
      backward: ({ attrs }, [g]) => [
        attrs.scale === 1 ? g : apply(scalarRecords.mul, [g], { scale: attrs.scale, shift: 0 }),
      ],
    },
  })
}

const scalarRecords = {
  add: scalarRecord('add'),
  sub: scalarRecord('sub'),
  mul: scalarRecord('mul'),
}

/** x * scale + shift, which is x `op` value or the other way round. */
function scaled(op: keyof typeof scalarRecords, x: Tensor, scale: number, shift: number, value: number): Tensor {
  // What is no tensor, null among it, has no dtype, and comes to the operator's own checks.
  if (x?.dtype !== 'int32') return apply(scalarRecords[op], [x], { scale, shift })
  checkNumber(op, value, 'int32')
  // x - (-2 ** 31) wraps as all sums of int32 do.
  return apply(scalarRecords[op], [x], { scale, shift: shift | 0 })
}

/** A number as a tensor, where a kernel has no form of its own for one. */
function scalarTensor(op: string, value: number, { dtype, device }: Tensor): Tensor {
  return full([], checkNumber(op, value, dtype), { dtype, device })
}

function operands(op: string, a: Operand, b: Operand): [Tensor, Tensor] {
  if (typeof a === 'number') {
    if (typeof b === 'number') throw new ValueError(op, 'needs at least one tensor, but got two numbers')
    checkTensor(op, 'b', b)
    return [scalarTensor(op, a, b), b]
  }
  checkTensor(op, 'a', a)
  if (typeof b === 'number') return [a, scalarTensor(op, b, a)]
  checkTensor(op, 'b', b)
  return [a, b]
}

/** The shape of a result, and the dtype: the operands' own, which is one. */
type Result<A extends Operand, B extends Operand> =
  A extends Tensor<infer S, infer D> ? Tensor<With<S, B>, D> : B extends Tensor<infer S, infer D> ? Tensor<S, D> : never
type Compared<A extends Tensor, B extends Operand> = A extends Tensor<infer S> ? Tensor<With<S, B>, 'bool'> : never

type Fits<A extends Operand, B extends Operand, Op extends string> =
  A extends Tensor<infer S> ? FitsShape<S, B, Op> : unknown

/** a + b, broadcast. Either may be a number. Throws ShapeError, DTypeError. */
export function add<A extends Operand, B extends Operand>(a: A, b: B & Fits<A, B, 'add'>): Result<A, B>
export function add(a: Operand, b: Operand): Tensor {
  if (typeof b === 'number' && typeof a !== 'number') return scaled('add', a, 1, b, b)
  if (typeof a === 'number' && typeof b !== 'number') return scaled('add', b, 1, a, a)
  return apply(records.add, operands('add', a, b), null)
}

/** a - b, broadcast. */
export function sub<A extends Operand, B extends Operand>(a: A, b: B & Fits<A, B, 'sub'>): Result<A, B>
export function sub(a: Operand, b: Operand): Tensor {
  if (typeof b === 'number' && typeof a !== 'number') return scaled('sub', a, 1, -b, b)
  if (typeof a === 'number' && typeof b !== 'number') return scaled('sub', b, -1, a, a)
  return apply(records.sub, operands('sub', a, b), null)
}

/** a * b, element by element, broadcast. */
export function mul<A extends Operand, B extends Operand>(a: A, b: B & Fits<A, B, 'mul'>): Result<A, B>
export function mul(a: Operand, b: Operand): Tensor {
  if (typeof b === 'number' && typeof a !== 'number') return scaled('mul', a, b, 0, b)
  if (typeof a === 'number' && typeof b !== 'number') return scaled('mul', b, a, 0, a)
  return apply(records.mul, operands('mul', a, b), null)
}

/** a / b, broadcast; anyFloating tensors only. */
export function div<A extends Operand, B extends Operand>(a: A, b: B & Fits<A, B, 'div'>): Result<A, B>
export function div(a: Operand, b: Operand): Tensor {
  return apply(records.div, operands('div', a, b), null)
}

/** The larger of each pair; NaN where one is NaN. */
export function maximum<A extends Operand, B extends Operand>(a: A, b: B & Fits<A, B, 'maximum'>): Result<A, B>
export function maximum(a: Operand, b: Operand): Tensor {
  return apply(records.maximum, operands('maximum', a, b), null)
}

/** The smaller of each pair; NaN where one is NaN. */
export function minimum<A extends Operand, B extends Operand>(a: A, b: B & Fits<A, B, 'minimum'>): Result<A, B>
export function minimum(a: Operand, b: Operand): Tensor {
  return apply(records.minimum, operands('minimum', a, b), null)
}

const powScalar = operator<[x: Tensor], number>({
  name: 'pow_scalar',
  op: 'pow',
  infer: ([x]) => like(x),
  forward: kernel('pow_scalar', ([x], exponent, { out }) => ({ out, x, exponent })),
  gradient: {
    saves: () => ({ inputs: [0] }),
    // x^0 is 1 for every x, NaN and 0 included.
    backward: (ctx, [g]) => [ctx.attrs === 0 ? zerosLike(g) : mul(g, mul(pow(ctx.input(0), ctx.attrs - 1), ctx.attrs))],
  },
})

/** a to the power of b, broadcast. */
export function pow<A extends Operand, B extends Operand>(a: A, b: B & Fits<A, B, 'pow'>): Result<A, B>
export function pow(a: Operand, b: Operand): Tensor {
  if (typeof b === 'number' && typeof a !== 'number') return apply(powScalar, [a], b)
  return apply(records.pow, operands('pow', a, b), null)
}

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
  if (typeof b !== 'number') return apply(comparisons[name], operands(name, a, b), null)
  checkTensor(name, 'a', a)
  const whole = integerComparison(name, b, a.dtype)
  if (whole === null) return apply(comparisons[name], operands(name, a, b), null)
  // The record that runs may have another name than the one that was called.
  a.storage.check(name)
  return apply(comparisons[whole[0]], operands(name, a, whole[1]), null)
}

/**
 * a == b as a bool tensor, broadcast; NaN equals nothing. b may be any number: integers are compared with it as it is, floats
 * with what it is in their dtype.
 */
export function eq<A extends Tensor, B extends Operand>(a: A, b: B & Fits<A, B, 'eq'>): Compared<A, B>
export function eq(a: Tensor, b: Operand): Tensor {
  return compare('eq', a, b)
}
export function ne<A extends Tensor, B extends Operand>(a: A, b: B & Fits<A, B, 'ne'>): Compared<A, B>
export function ne(a: Tensor, b: Operand): Tensor {
  return compare('ne', a, b)
}
export function lt<A extends Tensor, B extends Operand>(a: A, b: B & Fits<A, B, 'lt'>): Compared<A, B>
export function lt(a: Tensor, b: Operand): Tensor {
  return compare('lt', a, b)
}
export function le<A extends Tensor, B extends Operand>(a: A, b: B & Fits<A, B, 'le'>): Compared<A, B>
export function le(a: Tensor, b: Operand): Tensor {
  return compare('le', a, b)
}
export function gt<A extends Tensor, B extends Operand>(a: A, b: B & Fits<A, B, 'gt'>): Compared<A, B>
export function gt(a: Tensor, b: Operand): Tensor {
  return compare('gt', a, b)
}
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

/** a where the condition (bool) holds, else b; all three broadcast, a and b may be numbers. */
export function where(condition: Tensor, a: Operand, b: Operand): Tensor {
  checkTensor('where', 'condition', condition)
  for (const x of [a, b]) if (typeof x !== 'number') checkTensor('where', 'each value', x)
  const tensorOf = (value: Operand, other: Operand): Tensor => {
    if (typeof value !== 'number') return value
    if (typeof other !== 'number') return scalarTensor('where', value, other)
    return full([], value, { dtype: 'float32', device: condition.device })
  }
  return apply(whereRecord, [condition, tensorOf(a, b), tensorOf(b, a)], null)
}

// Covariant by annotation: see core/methods.ts.
/** @ts-expect-error TS2636, as core/methods.ts says */
type BinaryMethod<out S extends Shape, out D extends DType, Op extends string> = <B extends Operand>(
  b: B & FitsShape<S, B, Op>,
) => Tensor<With<S, B>, D>
/** @ts-expect-error TS2636, as core/methods.ts says */
type CompareMethod<out S extends Shape, Op extends string> = <B extends Operand>(
  b: B & FitsShape<S, B, Op>,
) => Tensor<With<S, B>, 'bool'>

declare module '../../core/tensor.js' {
  interface Tensor<S extends Shape = Shape, D extends DType = DType> {
    add: BinaryMethod<S, D, 'add'>
    sub: BinaryMethod<S, D, 'sub'>
    mul: BinaryMethod<S, D, 'mul'>
    div: BinaryMethod<S, D, 'div'>
    pow: BinaryMethod<S, D, 'pow'>
    maximum: BinaryMethod<S, D, 'maximum'>
    minimum: BinaryMethod<S, D, 'minimum'>
    eq: CompareMethod<S, 'eq'>
    ne: CompareMethod<S, 'ne'>
    lt: CompareMethod<S, 'lt'>
    le: CompareMethod<S, 'le'>
    gt: CompareMethod<S, 'gt'>
    ge: CompareMethod<S, 'ge'>
  }
}

defineMethods({
  add(b: Operand) {
    return add(this, b)
  },
  sub(b: Operand) {
    return sub(this, b)
  },
  mul(b: Operand) {
    return mul(this, b)
  },
  div(b: Operand) {
    return div(this, b)
  },
  pow(b: Operand) {
    return pow(this, b)
  },
  maximum(b: Operand) {
    return maximum(this, b)
  },
  minimum(b: Operand) {
    return minimum(this, b)
  },
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
