/** The common part of functions of two tensors: their records, and their operands, one of which may be a number. */
import { apply, checkTensor, type Needs, type Operator } from '../../autograd/operator.js'
import type { DType } from '../../core/dtype.js'
import { DTypeError, ValueError } from '../../core/errors.js'
import { broadcastShapes, type Shape } from '../../core/shape.js'
import type { Tensor } from '../../core/tensor.js'
import { like } from '../common.js'
import { castTo } from '../convert.js'
import { full } from '../creation.js'
import { kernel, operator } from '../operator.js'
import { sumTo } from '../totals.js'
import { expandView } from '../views.js'
import { checkNumber, floatOf, promoted, promotedWithNumber } from './numbers.js'
import type { Operand } from './operand.js'

/** The names of the kernels of two tensors that have the arguments of `add`. */
type BinaryName =
  | ('add' | 'sub' | 'mul' | 'div' | 'maximum' | 'minimum' | 'pow' | 'fmod' | 'remainder')
  | ('atan2' | 'hypot' | 'copysign')

/** A view with the broadcast shape, which kernels read with strides of 0. */
export function widen(x: Tensor, shape: Shape): Tensor {
  return x.sizes === shape ? x : expandView(x, shape)
}

export type Pair = [a: Tensor, b: Tensor]

export function binary(
  name: BinaryName,
  saves: (needs: Needs) => readonly number[],
  backward: (input: (i: number) => Tensor, g: Tensor, i: 0 | 1) => Tensor,
) {
  return operator<Pair>({
    name,
    // Here and below, inputs are read by index, because the iterators of destructuring cost as much as the rest.
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

export const both = [0, 1]
export const none = () => []
/** The gradient of one factor needs the other: a frozen weight keeps no activation. */
export const theOther = (needs: Needs) => both.filter((i) => needs[1 - i])

/** A number as a tensor, for kernels without a form for numbers. */
export function scalarTensor(op: string, value: number, { dtype, device }: Tensor): Tensor {
  return full([], checkNumber(op, value, dtype), { dtype, device })
}

/** Both operands as tensors of one dtype, by PyTorch's promotion. With `floats` integers become float32. */
export function alike(op: string, a: Operand, b: Operand, floats = false): Pair {
  if (typeof a === 'number') {
    if (typeof b === 'number') throw new ValueError(op, 'needs at least one tensor, but got two numbers')
    checkTensor(op, 'b', b)
    const other = besideNumber(b, a, floats)
    return [scalarTensor(op, a, other), other]
  }
  checkTensor(op, 'a', a)
  if (typeof b === 'number') {
    const other = besideNumber(a, b, floats)
    return [other, scalarTensor(op, b, other)]
  }
  checkTensor(op, 'b', b)
  const dtype = floats ? floatOf(promoted(a, b)) : promoted(a, b)
  // The operator's own checks handle dtypes that do not mix, or that autocast will convert.
  return dtype === null ? [a, b] : [castTo(a, dtype), castTo(b, dtype)]
}

/** x converted to the result dtype of x and a number. */
export function besideNumber(x: Tensor, value: number, floats = false): Tensor {
  const dtype = promotedWithNumber(x.dtype, value)
  return castTo(x, floats ? floatOf(dtype) : dtype)
}

const isNarrow = (dtype: DType | undefined) => dtype === 'uint8' || dtype === 'bool'

/**
 * Runs `record` on two operands, promoted to one dtype. Kernels compute with floats and int32, so uint8 and bool are
 * converted to int32 and back, and bytes wrap around.
 */
export function combined<A>(
  record: Operator<Pair, A>,
  attrs: A,
  a: Operand,
  b: Operand,
  of: Taken = 'numbers',
): Tensor {
  // Most calls take this path, so it must test as little as possible.
  if (typeof a === 'object' && typeof b === 'object' && a?.dtype === b?.dtype) {
    const dtype = a?.dtype
    if (dtype === 'float32' || dtype === 'bfloat16') return apply(record, [a, b], attrs)
  }
  const { op } = record
  const pair = alike(op, a, b, of === 'floats')
  const { dtype } = pair[0]
  if (!isNarrow(dtype) || pair[1].dtype !== dtype) return apply(record, pair, attrs)
  if (dtype === 'bool' && of !== 'numbers')
    throw new DTypeError(op, "takes no two tensors of bool; convert them with .to('int32')")
  return castTo(apply(record, [castTo(pair[0], 'int32'), castTo(pair[1], 'int32')], attrs), dtype)
}

/**
 * 'numbers' takes bool too, whose sum is true if either is; 'integers' excludes bool; 'floats' turns integers into
 * float32.
 */
type Taken = 'numbers' | 'integers' | 'floats'
