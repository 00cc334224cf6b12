/** Arithmetic and comparisons of two tensors, with broadcasting. */
import {
  apply,
  checkDType,
  checkTensor,
  defineOperator,
  type Needs,
  type OperatorRecord,
  type TensorSpec,
} from '../../autograd/operator.js'
import { kernelOf } from '../../backend/call.js'
import { run } from '../../backend/dispatch.js'
import { type KernelSpec, kernels } from '../../backend/table/index.js'
import type { DType } from '../../core/dtype.js'
import { ValueError } from '../../core/errors.js'
import { broadcastShapes, type Shape } from '../../core/shape.js'
import type { Broadcast, BroadcastFits } from '../../core/shape-types.js'
import type { Tensor } from '../../core/tensor.js'
import { full } from '../creation.js'
import { sumTo } from '../reduce.js'
import { expandView } from '../shape.js'
import { anyFloating, arithmetic, checkedSpec, like } from './common.js'
import { abs, log, neg } from './functions.js'
import { type Comparison, checkNumber, integerComparison, mixedDTypes } from './numbers.js'

type Binary = 'add' | 'sub' | 'mul' | 'div' | 'maximum' | 'minimum' | 'pow'

function sameDType(op: string, a: Tensor, b: Tensor, allowed?: readonly DType[]): void {
  if (a.dtype !== b.dtype) throw mixedDTypes(op, a.dtype, b.dtype, allowed)
}

/** A view of the shape a call broadcasts to; kernels read it with strides of 0. */
function widen(x: Tensor, shape: Shape): Tensor {
  return x.sizes === shape ? x : expandView(x, shape)
}

function binary(
  name: Binary,
  allowed: readonly DType[],
  saves: (needs: Needs) => readonly number[],
  backward: (input: (i: number) => Tensor, g: Tensor, i: 0 | 1) => Tensor,
): OperatorRecord<null> {
  const kernel = kernelOf(name)
  const { precision = 'widest' }: KernelSpec = kernels[name]
  return defineOperator<null>({
    name,
    precision,
    infer(inputs) {
      const a = inputs[0] as Tensor
      const b = inputs[1] as Tensor
      sameDType(name, a, b, allowed)
      checkDType(name, 'a', a, allowed)
      return { shape: broadcastShapes(name, a.sizes, b.sizes), dtype: a.dtype }
    },
    // Taken apart by index: the iterators of destructuring cost as much as the rest.
    forward(inputs, _attrs, specs) {
      const a = inputs[0] as Tensor
      const spec = specs[0] as TensorSpec
      const out = like(a, spec, name)
      run(kernel, { out, a: widen(a, spec.shape), b: widen(inputs[1] as Tensor, spec.shape) })
      return out
    },
    gradient: {
      saves: (needs) => ({ inputs: saves(needs) }),
      backward: (ctx, [g]) =>
        ([0, 1] as const).map((i) =>
          ctx.needs[i]
            ? sumTo(
                backward((k) => ctx.input(k), g as Tensor, i),
                ctx.spec(i).shape,
              )
            : null,
        ),
    },
  })
}

const both = [0, 1]
const none = () => []
/** The gradient of one factor needs the other: a frozen weight keeps no activation. */
const theOther = (needs: Needs) => both.filter((i) => needs[1 - i])

const records = {
  add: binary('add', arithmetic, none, (_x, g) => g),
  sub: binary('sub', arithmetic, none, (_x, g, i) => (i === 0 ? g : neg(g))),
  mul: binary('mul', arithmetic, theOther, (x, g, i) => mul(g, x(1 - i))),
  div: binary(
    'div',
    anyFloating,
    (needs) => (needs[1] ? both : [1]),
    // Not by the square of b, which leaves the range of the dtype long before the quotient does.
    (x, g, i) => (i === 0 ? div(g, x(1)) : neg(mul(g, div(div(x(0), x(1)), x(1))))),
  ),
  maximum: binary(
    'maximum',
    arithmetic,
    () => both,
    (x, g, i) => share(g, x(i), x(1 - i), 'lt'),
  ),
  minimum: binary(
    'minimum',
    arithmetic,
    () => both,
    (x, g, i) => share(g, x(i), x(1 - i), 'gt'),
  ),
  pow: binary(
    'pow',
    anyFloating,
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

const affineKernel = kernelOf('affine')

/** x * scale + shift: all arithmetic of a tensor and a number. A record each, so that errors name what was called. */
function scalarRecord(name: 'add_scalar' | 'sub_scalar' | 'mul_scalar'): OperatorRecord<Affine> {
  return defineOperator<Affine>({
    name,
    infer: ([x]) => checkedSpec(name, x as Tensor, arithmetic),
    forward([x], { scale, shift }, [out]) {
      const y = like(x as Tensor, out as TensorSpec, name)
      run(affineKernel, { out: y, x: x as Tensor, scale, shift })
      return y
    },
    gradient: {
      saves: () => ({}),
      backward: ({ attrs }, [g]) => [
        attrs.scale === 1 ? (g as Tensor) : apply(scalarRecords.mul, [g as Tensor], { scale: attrs.scale, shift: 0 }),
      ],
    },
  })
}

const scalarRecords = {
  add: scalarRecord('add_scalar'),
  sub: scalarRecord('sub_scalar'),
  mul: scalarRecord('mul_scalar'),
}

export type Operand = Tensor | number

/** x * scale + shift, which is x `op` value or the other way round. */
function scaled(op: keyof typeof scalarRecords, x: Tensor, scale: number, shift: number, value: number): Tensor {
  // Here and not in the record, so that errors name the operator that was called.
  checkTensor(op, 'the other operand', x)
  x.storage.check(op)
  checkDType(op, 'the other operand', x, arithmetic)
  if (x.dtype !== 'int32') return apply(scalarRecords[op], [x], { scale, shift })
  checkNumber(op, value, 'int32')
  // x - (-2 ** 31) wraps as all sums of int32 do.
  return apply(scalarRecords[op], [x], { scale, shift: shift | 0 })
}

/** Zeros of x's shape without x's numbers: the gradient of what is constant, also beside infinities. */
export function zerosLike({ sizes, dtype, device }: Tensor): Tensor {
  return expandView(full([], 0, { dtype, device }), sizes)
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

type Fits<A extends Operand, B extends Operand, Op extends string> =
  A extends Tensor<infer S> ? FitsShape<S, B, Op> : unknown

/** a + b, broadcast. Either may be a number. Throws ShapeError, DTypeError. */
export function add<A extends Operand, B extends Operand>(a: A, b: B & Fits<A, B, 'add'>): Result<A, B> {
  if (typeof b === 'number' && typeof a !== 'number') return scaled('add', a, 1, b, b) as Result<A, B>
  if (typeof a === 'number' && typeof b !== 'number') return scaled('add', b, 1, a, a) as Result<A, B>
  return apply(records.add, operands('add', a, b), null) as Result<A, B>
}

/** a - b, broadcast. */
export function sub<A extends Operand, B extends Operand>(a: A, b: B & Fits<A, B, 'sub'>): Result<A, B> {
  if (typeof b === 'number' && typeof a !== 'number') return scaled('sub', a, 1, -b, b) as Result<A, B>
  if (typeof a === 'number' && typeof b !== 'number') return scaled('sub', b, -1, a, a) as Result<A, B>
  return apply(records.sub, operands('sub', a, b), null) as Result<A, B>
}

/** a * b, element by element, broadcast. */
export function mul<A extends Operand, B extends Operand>(a: A, b: B & Fits<A, B, 'mul'>): Result<A, B> {
  if (typeof b === 'number' && typeof a !== 'number') return scaled('mul', a, b, 0, b) as Result<A, B>
  if (typeof a === 'number' && typeof b !== 'number') return scaled('mul', b, a, 0, a) as Result<A, B>
  return apply(records.mul, operands('mul', a, b), null) as Result<A, B>
}

/** a / b, broadcast; anyFloating tensors only. */
export function div<A extends Operand, B extends Operand>(a: A, b: B & Fits<A, B, 'div'>): Result<A, B> {
  return apply(records.div, operands('div', a, b), null) as Result<A, B>
}

/** The larger of each pair; NaN where one is NaN. */
export function maximum<A extends Operand, B extends Operand>(a: A, b: B & Fits<A, B, 'maximum'>): Result<A, B> {
  return apply(records.maximum, operands('maximum', a, b), null) as Result<A, B>
}

/** The smaller of each pair; NaN where one is NaN. */
export function minimum<A extends Operand, B extends Operand>(a: A, b: B & Fits<A, B, 'minimum'>): Result<A, B> {
  return apply(records.minimum, operands('minimum', a, b), null) as Result<A, B>
}

const powScalar = defineOperator<number>({
  name: 'pow_scalar',
  precision: kernels.pow_scalar.precision,
  infer: ([x]) => checkedSpec('pow', x as Tensor, anyFloating),
  forward([x], exponent, [out]) {
    const y = like(x as Tensor, out as TensorSpec, 'pow')
    run('pow_scalar', { out: y, x: x as Tensor, exponent })
    return y
  },
  gradient: {
    saves: () => ({ inputs: [0] }),
    // x^0 is 1 for every x, NaN and 0 included.
    backward: (ctx, [g]) => [
      ctx.attrs === 0 ? zerosLike(g as Tensor) : mul(g as Tensor, mul(pow(ctx.input(0), ctx.attrs - 1), ctx.attrs)),
    ],
  },
})

/** a to the power of b, broadcast. */
export function pow<A extends Operand, B extends Operand>(a: A, b: B & Fits<A, B, 'pow'>): Result<A, B> {
  if (typeof b === 'number' && typeof a !== 'number') return apply(powScalar, [a], b) as Result<A, B>
  return apply(records.pow, operands('pow', a, b), null) as Result<A, B>
}

function comparison(name: Comparison): OperatorRecord<null> {
  const kernel = kernelOf(name)
  return defineOperator<null>({
    name,
    infer(inputs) {
      const [a, b] = inputs as [Tensor, Tensor]
      sameDType(name, a, b)
      return { shape: broadcastShapes(name, a.sizes, b.sizes), dtype: 'bool' }
    },
    forward([a, b], _attrs, [out]) {
      const { shape } = out as TensorSpec
      const y = like(a as Tensor, out as TensorSpec, name)
      run(kernel, { out: y, a: widen(a as Tensor, shape), b: widen(b as Tensor, shape) })
      return y
    },
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
export const eq = <A extends Tensor, B extends Operand>(a: A, b: B & Fits<A, B, 'eq'>): Compared<A, B> =>
  compare('eq', a, b) as Compared<A, B>
export const ne = <A extends Tensor, B extends Operand>(a: A, b: B & Fits<A, B, 'ne'>): Compared<A, B> =>
  compare('ne', a, b) as Compared<A, B>
export const lt = <A extends Tensor, B extends Operand>(a: A, b: B & Fits<A, B, 'lt'>): Compared<A, B> =>
  compare('lt', a, b) as Compared<A, B>
export const le = <A extends Tensor, B extends Operand>(a: A, b: B & Fits<A, B, 'le'>): Compared<A, B> =>
  compare('le', a, b) as Compared<A, B>
export const gt = <A extends Tensor, B extends Operand>(a: A, b: B & Fits<A, B, 'gt'>): Compared<A, B> =>
  compare('gt', a, b) as Compared<A, B>
export const ge = <A extends Tensor, B extends Operand>(a: A, b: B & Fits<A, B, 'ge'>): Compared<A, B> =>
  compare('ge', a, b) as Compared<A, B>

const whereRecord = defineOperator<null>({
  name: 'where',
  infer(inputs) {
    const [condition, a, b] = inputs as [Tensor, Tensor, Tensor]
    checkDType('where', 'condition', condition, ['bool'])
    sameDType('where', a, b)
    const shape = broadcastShapes('where', condition.sizes, broadcastShapes('where', a.sizes, b.sizes))
    return { shape, dtype: a.dtype }
  },
  forward(inputs, _attrs, [out]) {
    const { shape } = out as TensorSpec
    const [condition, a, b] = (inputs as Tensor[]).map((x) => widen(x, shape)) as [Tensor, Tensor, Tensor]
    const y = like(a, out as TensorSpec, 'where')
    run('where', { out: y, condition, a, b })
    return y
  },
  gradient: {
    saves: () => ({ inputs: [0] }),
    backward(ctx, [g]) {
      const condition = ctx.input(0)
      const pick = (i: number, a: Operand, b: Operand) =>
        ctx.needs[i] ? sumTo(where(condition, a, b), ctx.spec(i).shape) : null
      return [null, pick(1, g as Tensor, 0), pick(2, 0, g as Tensor)]
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
