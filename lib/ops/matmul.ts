/** Matrix products: matmul (batched, broadcast) and linear. */

import { apply, checkTensor, type GradientTargets, type Operator } from '../autograd/operator.js'
import { run } from '../backend/dispatch.js'
import { type DType, isBlocks } from '../core/dtype.js'
import { formatShape, ShapeError } from '../core/errors.js'
import { defineMethods } from '../core/methods.js'
import { broadcastShapes, type Shape, sameShape } from '../core/shape.js'
import type { Last, LastIs, MatmulFits, MatmulShape, WithLast } from '../core/shape-types.js'
import type { Tensor } from '../core/tensor.js'
import { anyFloating, floating, like, seenAs } from './common.js'
import { mixedDTypes } from './elementwise/numbers.js'
import { kernel, operator } from './operator.js'
import { reshape, squeeze, transpose, unsqueeze } from './shape/index.js'
import { sumTo } from './totals.js'
import { expandView, transposedView } from './views.js'

/**
 * Throws unless both dtypes agree: the kernel could multiply any two floats, but a program that mixes them has
 * forgotten a conversion. Blocks may only be the right operand.
 */
function checkOperands(op: string, a: Tensor, b: Tensor, names: readonly [string, string]): void {
  if (a.dtype !== b.dtype && !isBlocks(b.dtype)) throw mixedDTypes(op, a.dtype, b.dtype, anyFloating, names)
}

const namesOfFactors = ['a', 'b'] as const
const namesInLinear = ['x', 'weight'] as const

/** The size of a dimension counted from the end. */
const sizeAt = (x: Tensor, dim: number): number => x.sizes[x.ndim + dim] ?? 0

/**
 * a [.., M, K], b [.., K, N] -> [.., M, N]; batch dimensions broadcast. The attribute is the result's dtype, or null
 * for the factors': float32 sums of bfloat16 products need not be rounded, and a gradient may meet a factor of another
 * dtype.
 */
const matmulRecord: Operator<[a: Tensor, b: Tensor], DType | null> = operator<[a: Tensor, b: Tensor], DType | null>({
  name: 'matmul',
  inputs: ['a', 'b'],
  infer([a, b], dtype) {
    if (dtype === null) checkOperands('matmul', a, b, namesOfFactors)
    const [ka, kb] = [sizeAt(a, -1), sizeAt(b, -2)]
    if (ka !== kb)
      throw new ShapeError(
        'matmul',
        `inner sizes differ: a is ${formatShape(a.sizes)}, b is ${formatShape(b.sizes)}; a's last must equal b's second to last (${ka} and ${kb})`,
        [a.sizes, b.sizes],
      )
    const batch = broadcastShapes('matmul', a.sizes.slice(0, -2), b.sizes.slice(0, -2))
    return { shape: [...batch, sizeAt(a, -2), sizeAt(b, -1)], dtype: dtype ?? a.dtype }
  },
  forward: kernel('matmul', ([a, b], _dtype, { out }) => {
    const batch = out.sizes.slice(0, -2)
    const widen = (x: Tensor) => expandView(x, [...batch, ...x.sizes.slice(-2)])
    return { out, a: widen(a), b: widen(b), bias: null }
  }),
  gradient: {
    // The gradient of one factor needs the other: a frozen weight keeps no activation.
    saves: (needs) => ({ inputs: [0, 1].filter((i) => needs[1 - i]) }),
    backward(ctx, [g]) {
      const da = ctx.needs[0] ? gradientOf(0, ctx, g, transpose(ctx.input(1), -2, -1)) : null
      const db = ctx.needs[1] ? gradientOf(1, ctx, transpose(ctx.input(0), -2, -1), g) : null
      return [da, db]
    },
  },
})

function product(a: Tensor, b: Tensor, dtype: DType | null = null): Tensor {
  return apply(matmulRecord, [a, b], dtype)
}

/** The gradient of input `i` so far, if a product may be added to it. */
function sumOfProducts(i: number, ctx: GradientTargets): Tensor | null {
  const sum = ctx.sumSoFar(i)
  return sum !== null && floating.includes(sum.dtype) ? sum : null
}

/** sum += a b, where `sum` is [.., M, N], or has leading dimensions that make up M. Returns the sum. */
function addProduct(sum: Tensor, a: Tensor, b: Tensor): Tensor {
  const into = a.ndim === 2 ? matrixOf(sum) : sum
  const widen = (x: Tensor) => expandView(x, [...into.sizes.slice(0, -2), ...x.sizes.slice(-2)])
  run('matmul_accumulate', { sum: into, a: widen(a), b: widen(b) })
  sum.storage.markWritten('gradient accumulation')
  return sum
}

/** The gradient of factor `i`, the product a b, summed in float32 and rounded once. */
function gradientOf(i: number, ctx: GradientTargets, a: Tensor, b: Tensor): Tensor {
  const { shape } = ctx.spec(i)
  const dtype = ctx.gradientDType(i)
  const batch = broadcastShapes('matmul', a.sizes.slice(0, -2), b.sizes.slice(0, -2))
  const isBroadcast = !sameShape(batch, shape.slice(0, -2))
  const sum = isBroadcast ? null : sumOfProducts(i, ctx)
  if (sum !== null) return addProduct(sum, a, b)
  return sumTo(product(a, b, isBroadcast && dtype === 'bfloat16' ? 'float32' : dtype), shape, dtype)
}

/**
 * Matrix product of the last two dimensions; batch dimensions broadcast. A tensor of one dimension is a row on the left
 * and a column on the right, and that dimension is dropped from the result. The right operand may have a block dtype,
 * transposed or not; it is read block by block. Throws ShapeError if the inner sizes differ.
 */
export function matmul<A extends Shape, B extends Shape, D extends DType = DType>(
  a: Tensor<A, D>,
  b: Tensor<B> & MatmulFits<A, B>,
): Tensor<MatmulShape<A, B>, D>
export function matmul(left: Tensor, right: Tensor): Tensor {
  checkTensor('matmul', 'a', left)
  checkTensor('matmul', 'b', right)
  if (left.ndim === 0 || right.ndim === 0)
    throw new ShapeError(
      'matmul',
      `needs at least one dimension: a is ${formatShape(left.sizes)}, b is ${formatShape(right.sizes)}`,
      [left.sizes, right.sizes],
    )
  const out = product(left.ndim === 1 ? unsqueeze(left, 0) : left, right.ndim === 1 ? unsqueeze(right, 1) : right)
  const dropped = left.ndim === 1 ? squeeze(out, -2) : out
  return right.ndim === 1 ? squeeze(dropped, -1) : dropped
}

/** x [rows, in] weight [out, in]^T + bias [out], in one kernel call. */
const linearRecord = operator<[x: Tensor, weight: Tensor, bias: Tensor | null]>({
  name: 'linear',
  op: 'linear',
  inputs: ['x', 'weight', 'bias'],
  infer(inputs) {
    const x = inputs[0]
    const weight = inputs[1]
    const bias = inputs[2]
    checkOperands('linear', x, weight, namesInLinear)
    const isMatrix = weight.ndim === 2
    const [out, features] = [weight.sizes[0] as number, weight.sizes[1] as number]
    const takes = isMatrix && x.ndim >= 1 && sizeAt(x, -1) === features
    if (!takes || (bias !== null && !(bias.ndim === 1 && bias.sizes[0] === out))) throw misfitInLinear(x, weight, bias)
    const shape = x.sizes.slice()
    shape[shape.length - 1] = out
    return like(x, shape)
  },
  // Inputs are read by index, because the iterators of destructuring would show in small layers.
  forward: kernel('matmul', (inputs, _attrs, { out }) => ({
    out: matrixOf(out),
    a: matrixOf(inputs[0]),
    b: transposedView(inputs[1]),
    bias: inputs[2],
  })),
  gradient: {
    saves: (needs) => ({ inputs: [...(needs[1] ? [0] : []), ...(needs[0] ? [1] : [])] }),
    backward(ctx, [gradient]) {
      const g = rows(gradient)
      const { shape, dtype } = ctx.spec(2)
      return [
        ctx.needs[0] ? linearGradient(0, ctx, g, ctx.input(1)) : null,
        ctx.needs[1] ? linearGradient(1, ctx, transpose(g, 0, 1), rows(ctx.input(0))) : null,
        ctx.needs[2] ? sumTo(g, shape, dtype) : null,
      ]
    },
  },
})

/** The error that names all misfits of x [.., in], weight [out, in] and bias [out]. */
function misfitInLinear(x: Tensor, weight: Tensor, bias: Tensor | null): ShapeError {
  const faults: string[] = []
  const [out, features] = weight.sizes
  if (weight.ndim !== 2) faults.push(`weight must be [out, in], but is ${formatShape(weight.sizes)}`)
  else {
    const last = sizeAt(x, -1)
    if (x.ndim < 1 || last !== features)
      faults.push(
        `gets ${last} features, but takes ${features}: x is ${formatShape(x.sizes)}, weight is ${formatShape(weight.sizes)}; x's last must equal weight's last`,
      )
    if (bias !== null && !(bias.ndim === 1 && bias.sizes[0] === out))
      faults.push(`bias is ${formatShape(bias.sizes)}, but must be [${out}]`)
  }
  return new ShapeError('linear', faults.join('; '), [x.sizes, weight.sizes, ...(bias ? [bias.sizes] : [])])
}

/** The gradient a b of x or of the weight. */
function linearGradient(i: number, ctx: GradientTargets, a: Tensor, b: Tensor): Tensor {
  const sum = sumOfProducts(i, ctx)
  return sum ? addProduct(sum, a, b) : reshape(product(a, b, ctx.gradientDType(i)), ctx.spec(i).shape)
}

/** A matrix with all leading dimensions joined, without a graph. */
function matrixOf(x: Tensor): Tensor {
  return x.ndim === 2 ? x : seenAs(x, matrixShape(x))
}

function matrixShape({ sizes }: Tensor): Shape {
  const last = sizes.length - 1
  let rows = 1
  for (let d = 0; d < last; d++) rows *= sizes[d] as number
  return [rows, sizes[last] ?? 0]
}

/** All leading dimensions joined: [.., n] -> [rows, n]. */
function rows(x: Tensor): Tensor {
  return x.ndim === 2 ? x : reshape(x, matrixShape(x))
}

/**
 * x [.., in] times weight [out, in] transposed, plus bias [out]: [.., out], in x's dtype. The weight may have a block
 * dtype. Throws a ShapeError that names all misfits.
 */
export function linear<S extends Shape, W extends Shape, D extends DType = DType>(
  x: Tensor<S, D> & LastIs<S, Last<W>, 'linear'>,
  weight: Tensor<W>,
  bias?: Tensor | null,
): Tensor<WithLast<S, W extends readonly [infer Out extends number, number] ? Out : number>, D>
export function linear(x: Tensor, weight: Tensor, bias: Tensor | null = null): Tensor {
  checkTensor('linear', 'x', x)
  const isRow = x.ndim === 1
  const out = apply(linearRecord, [isRow ? unsqueeze(x, 0) : x, weight, bias], null)
  return isRow ? squeeze(out, 0) : out
}

// Covariant by annotation: see core/methods.ts.
type Matmul<out S extends Shape, out D extends DType> = <B extends Shape>(
  b: Tensor<B> & MatmulFits<S, B>,
) => Tensor<MatmulShape<S, B>, D>

declare module '../core/tensor.js' {
  interface Tensor<S extends Shape = Shape, D extends DType = DType> {
    matmul: Matmul<S, D>
  }
}

defineMethods({
  matmul(b: Tensor) {
    return matmul(this, b)
  },
})
