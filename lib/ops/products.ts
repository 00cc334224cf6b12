/**
 * Products of vectors, matrices and tensors under PyTorch's names. Each is matmul or einsum with its own checks. The
 * file is long because all of them share these checks.
 */
import { autocastDType } from '../autograd/autocast.js'
import { checkTensor } from '../autograd/operator.js'
import type { DType } from '../core/dtype.js'
import { Faults, formatShape, kindOf, namedAs, ShapeError, ValueError } from '../core/errors.js'
import { defineMethods } from '../core/methods.js'
import { checkOptions, type OptionNames } from '../core/options.js'
import { countOf, maxDims, normalizeDim, type Shape } from '../core/shape.js'
import type { Tensor } from '../core/tensor.js'
import { checkScalar } from './common.js'
import { castTo } from './convert.js'
import { einsum } from './einsum.js'
import { add, mul } from './elementwise/index.js'
import { matmul as typedMatmul } from './matmul.js'
import { permute, reshape } from './shape/index.js'
import { once } from './widened.js'

// matmul without shape types, because sizes here are computed at run time.
const matmul = typedMatmul as (a: Tensor, b: Tensor) => Tensor

interface Factor {
  readonly name: string
  readonly x: Tensor
  /** The names of its dimensions as messages show them: `['B', 'M', 'K']`. */
  readonly form: readonly string[]
}

/** Throws ShapeError unless each factor has its dimensions, and shared letters have equal sizes. */
function checkForms(op: string, factors: readonly Factor[]): void {
  const faults = new Faults()
  for (const { name, x } of factors) checkTensor(op, name, x)
  const seen = new Map<string, readonly [size: number, of: string]>()
  for (const { name, x, form } of factors) {
    const fits = x.ndim === form.length
    faults.check(fits, () => `${name} must be [${form.join(', ')}], but is ${formatShape(x.sizes)}`)
    if (!fits) continue
    form.forEach((letter, d) => {
      const size = x.sizes[d] as number
      const [before, whose] = seen.get(letter) ?? [size, `${name} ${formatShape(x.sizes)}`]
      faults.check(
        before === size,
        () => `${letter} is ${size} in ${name} ${formatShape(x.sizes)}, but ${before} in ${whose}; they must be equal`,
      )
      seen.set(letter, [before, whose])
    })
  }
  faults.throwShape(
    op,
    factors.map(({ x }) => x.sizes),
  )
}

function product(op: string, a: Factor, b: Factor): Tensor {
  checkForms(op, [a, b])
  return namedAs(op, () => matmul(a.x, b.x))
}

/** a [M, K] times b [K, N]: [M, N]. Throws ShapeError for anything but two matrices that fit. */
export function mm<D extends DType>(a: Tensor<Shape, D>, b: Tensor): Tensor<[number, number], D>
export function mm(a: Tensor, b: Tensor): Tensor {
  return product('mm', { name: 'a', x: a, form: ['M', 'K'] }, { name: 'b', x: b, form: ['K', 'N'] })
}

/** a [M, K] times the vector b [K]: [M]. Throws ShapeError for anything else. */
export function mv<D extends DType>(a: Tensor<Shape, D>, b: Tensor): Tensor<[number], D>
export function mv(a: Tensor, b: Tensor): Tensor {
  return product('mv', { name: 'a', x: a, form: ['M', 'K'] }, { name: 'b', x: b, form: ['K'] })
}

/** The inner product of two vectors [K]: a scalar. Throws ShapeError for anything else. */
export function dot<D extends DType>(a: Tensor<Shape, D>, b: Tensor): Tensor<[], D>
export function dot(a: Tensor, b: Tensor): Tensor {
  return product('dot', { name: 'a', x: a, form: ['K'] }, { name: 'b', x: b, form: ['K'] })
}

/** The same as `dot` for real numbers, which are their own conjugates. */
export function vdot<D extends DType>(a: Tensor<Shape, D>, b: Tensor): Tensor<[], D>
export function vdot(a: Tensor, b: Tensor): Tensor {
  return product('vdot', { name: 'a', x: a, form: ['K'] }, { name: 'b', x: b, form: ['K'] })
}

/**
 * The product a [B, M, K] b [B, K, N] of each of B: [B, M, N]. Throws ShapeError for anything else; nothing broadcasts.
 */
export function bmm<D extends DType>(a: Tensor<Shape, D>, b: Tensor): Tensor<[number, number, number], D>
export function bmm(a: Tensor, b: Tensor): Tensor {
  return product('bmm', { name: 'a', x: a, form: ['B', 'M', 'K'] }, { name: 'b', x: b, form: ['B', 'K', 'N'] })
}

/** Every element of the vector a [M] times every element of b [N]: [M, N]. Throws ShapeError for anything else. */
export function outer<D extends DType>(a: Tensor<Shape, D>, b: Tensor): Tensor<[number, number], D>
export function outer(a: Tensor, b: Tensor): Tensor {
  return allProducts('outer', { name: 'a', x: a, form: ['M'] }, { name: 'b', x: b, form: ['N'] })
}

function allProducts(op: string, a: Factor, b: Factor): Tensor {
  checkForms(op, [a, b])
  return namedAs(op, () => mul(reshape(a.x, [a.x.numel, 1]), b.x as never))
}

/**
 * Sums products over the last dimension of both: a [.., K], b [.., K] -> the leading dimensions of a, then those of b.
 * A scalar multiplies the other. Throws ShapeError if the last sizes differ.
 */
export function inner<D extends DType>(a: Tensor<Shape, D>, b: Tensor): Tensor<Shape, D>
export function inner(a: Tensor, b: Tensor): Tensor {
  checkTensor('inner', 'a', a)
  checkTensor('inner', 'b', b)
  if (a.ndim === 0 || b.ndim === 0) return namedAs('inner', () => mul(a, b as never))
  return contracted('inner', a, b, [a.ndim - 1], [b.ndim - 1])
}

/** Throws unless the dimensions pair up and their sizes are equal. */
function contracted(op: string, a: Tensor, b: Tensor, ofA: readonly number[], ofB: readonly number[]): Tensor {
  const faults = new Faults()
  ofA.forEach((d, i) => {
    const e = ofB[i] as number
    faults.check(
      a.sizes[d] === b.sizes[e],
      () =>
        `dimension ${d} of a ${formatShape(a.sizes)} is ${a.sizes[d]}, but dimension ${e} of b ${formatShape(b.sizes)} is ${b.sizes[e]}; they are summed together and must be equal`,
    )
  })
  faults.throwShape(op, [a.sizes, b.sizes])
  const rest = (x: Tensor, dims: readonly number[]) => x.sizes.map((_, d) => d).filter((d) => !dims.includes(d))
  const [rows, columns] = [rest(a, ofA), rest(b, ofB)]
  const sizes = (x: Tensor, dims: readonly number[]) => dims.map((d) => x.sizes[d] as number)
  const depth = countOf(sizes(a, ofA))
  const [left, right] = [sizes(a, rows), sizes(b, columns)]
  return namedAs(op, () => {
    const x = reshape(permute(a, [...rows, ...ofA]), [countOf(left), depth])
    const y = reshape(permute(b, [...ofB, ...columns]), [depth, countOf(right)])
    return reshape(matmul(x, y), [...left, ...right])
  })
}

/** The dimensions that tensordot sums, of a and of b. */
function tensordotDims(a: Tensor, b: Tensor, dims: TensordotDims): readonly [number[], number[]] {
  if (typeof dims === 'number') {
    const most = Math.min(a.ndim, b.ndim)
    if (!Number.isInteger(dims) || dims < 0 || dims > most)
      throw new ValueError(
        'tensordot',
        `dims is ${dims}, but must be an integer from 0 to ${most}, or the dimensions of a and those of b`,
      )
    return [Array.from({ length: dims }, (_, i) => a.ndim - dims + i), Array.from({ length: dims }, (_, i) => i)]
  }
  if (!Array.isArray(dims) || dims.length !== 2 || !dims.every((list) => Array.isArray(list)))
    throw new ValueError(
      'tensordot',
      `dims are ${kindOf(dims)}, but must be a number or two lists: the dimensions of a, and those of b`,
    )
  const [ofA, ofB] = dims as readonly [readonly number[], readonly number[]]
  if (ofA.length !== ofB.length)
    throw new ValueError('tensordot', `dims are ${ofA.length} of a and ${ofB.length} of b, but must be the same number`)
  const resolve = (list: readonly number[], { ndim }: Tensor) => {
    const found = list.map((d) => normalizeDim('tensordot', d, ndim))
    if (new Set(found).size !== found.length)
      throw new ValueError('tensordot', `dims ${formatShape(list)} name a dimension twice`)
    return found
  }
  return [resolve(ofA, a), resolve(ofB, b)]
}

/** The number of a's last and b's first dimensions to sum, or lists of dimensions of a and of b. */
export type TensordotDims = number | readonly [ofA: readonly number[], ofB: readonly number[]]

/**
 * Sums products over several dimensions of both, in one matrix product. The result has the other dimensions of a, then
 * those of b. Throws ShapeError if sizes that are summed together differ.
 */
export function tensordot<D extends DType>(a: Tensor<Shape, D>, b: Tensor, dims?: TensordotDims): Tensor<Shape, D>
export function tensordot(a: Tensor, b: Tensor, dims: TensordotDims = 2): Tensor {
  checkTensor('tensordot', 'a', a)
  checkTensor('tensordot', 'b', b)
  const [ofA, ofB] = tensordotDims(a, b, dims)
  return contracted('tensordot', a, b, ofA, ofB)
}

/**
 * The Kronecker product: each element of a is replaced by its product with the whole of b. The tensor with fewer
 * dimensions gets leading dimensions of size 1. Throws ShapeError for more than 4 dimensions.
 */
export function kron<D extends DType>(a: Tensor<Shape, D>, b: Tensor): Tensor<Shape, D>
export function kron(a: Tensor, b: Tensor): Tensor {
  checkTensor('kron', 'a', a)
  checkTensor('kron', 'b', b)
  const rank = Math.max(a.ndim, b.ndim)
  if (2 * rank > maxDims)
    throw new ShapeError(
      'kron',
      `takes at most ${maxDims / 2} dimensions, but a is ${formatShape(a.sizes)}, b is ${formatShape(b.sizes)}`,
      [a.sizes, b.sizes],
    )
  const sizes = ({ sizes, ndim }: Tensor) => [...new Array<number>(rank - ndim).fill(1), ...sizes]
  const [left, right] = [sizes(a), sizes(b)]
  return namedAs('kron', () => {
    const x = reshape(
      a,
      left.flatMap((size) => [size, 1]),
    )
    const y = reshape(
      b,
      right.flatMap((size) => [1, size]),
    )
    return reshape(
      mul(x, y as never),
      left.map((size, d) => size * (right[d] as number)),
    )
  })
}

export interface AddProductOptions {
  /** The factor of the input; at 0 the input is not read. Default 1. */
  readonly beta?: number
  /** The factor of the product. Default 1. */
  readonly alpha?: number
}

const addProductNames: OptionNames<AddProductOptions> = { beta: true, alpha: true }

/** A tensor to add to a product. Under autocast it takes the dtype of the product. */
const addend = (x: Tensor, made: Tensor): Tensor => (autocastDType() === null ? x : castTo(x, made.dtype))

/** beta input + alpha a b. */
function addedTo(
  op: string,
  input: Tensor,
  a: Factor,
  b: Factor,
  options: AddProductOptions,
  multiplied: typeof product = product,
): Tensor {
  const { beta = 1, alpha = 1 } = checkOptions(op, options, addProductNames)
  checkScalar(op, 'beta', beta)
  checkScalar(op, 'alpha', alpha)
  checkTensor(op, 'input', input)
  const made = multiplied(op, a, b)
  const lead = made.ndim - input.ndim
  if (lead < 0 || input.sizes.some((size, d) => size !== 1 && size !== made.sizes[d + lead]))
    throw new ShapeError(
      op,
      `input is ${formatShape(input.sizes)}, which does not broadcast to the product's ${formatShape(made.sizes)}`,
      [input.sizes, made.sizes],
    )
  return namedAs(op, () => {
    const scaled = alpha === 1 ? made : mul(made, alpha)
    if (beta === 0) return scaled
    const given = addend(input, made)
    return add(scaled, (beta === 1 ? given : mul(given, beta)) as never)
  })
}

/** beta input + alpha a b, with a [M, K], b [K, N] and an input that broadcasts to [M, N]. Throws ShapeError. */
export function addmm(input: Tensor, a: Tensor, b: Tensor, options: AddProductOptions = {}): Tensor {
  return addedTo('addmm', input, { name: 'a', x: a, form: ['M', 'K'] }, { name: 'b', x: b, form: ['K', 'N'] }, options)
}

/** beta input + alpha a b, with a [M, K], b [K] and an input that broadcasts to [M]. Throws ShapeError. */
export function addmv(input: Tensor, a: Tensor, b: Tensor, options: AddProductOptions = {}): Tensor {
  return addedTo('addmv', input, { name: 'a', x: a, form: ['M', 'K'] }, { name: 'b', x: b, form: ['K'] }, options)
}

/**
 * beta input + alpha a b^T, with vectors a [M], b [N] and an input that broadcasts to [M, N]. Throws ShapeError.
 */
export function addr(input: Tensor, a: Tensor, b: Tensor, options: AddProductOptions = {}): Tensor {
  return once('addr', [input, a, b], (sum, left, right) => {
    const column: Factor = { name: 'a', x: left, form: ['M'] }
    return addedTo('addr', sum, column, { name: 'b', x: right, form: ['N'] }, options, allProducts)
  })
}

/**
 * beta input + alpha a b, with a [B, M, K], b [B, K, N] and an input that broadcasts to [B, M, N]. Throws ShapeError.
 */
export function baddbmm(input: Tensor, a: Tensor, b: Tensor, options: AddProductOptions = {}): Tensor {
  const left: Factor = { name: 'a', x: a, form: ['B', 'M', 'K'] }
  return addedTo('baddbmm', input, left, { name: 'b', x: b, form: ['B', 'K', 'N'] }, options)
}

/**
 * y[.., o] = x1^T weight[o] x2 + bias[o], for x1 [.., in1], x2 [.., in2], weight [out, in1, in2] and bias [out]. Throws
 * a ShapeError that names all misfits.
 */
export function bilinear(x1: Tensor, x2: Tensor, weight: Tensor, bias: Tensor | null = null): Tensor {
  checkTensor('bilinear', 'x1', x1)
  checkTensor('bilinear', 'x2', x2)
  checkTensor('bilinear', 'weight', weight)
  if (bias !== null) checkTensor('bilinear', 'bias', bias)
  const faults = new Faults()
  const [out, in1, in2] = weight.sizes
  const leads = [x1, x2].map(({ sizes }) => formatShape(sizes.slice(0, -1)))
  faults.check(weight.ndim === 3, () => `weight must be [out, in1, in2], but is ${formatShape(weight.sizes)}`)
  const checkLast = (name: string, x: Tensor, size: number | undefined) =>
    faults.check(
      x.ndim >= 1 && (weight.ndim !== 3 || x.sizes[x.ndim - 1] === size),
      () => `${name} is ${formatShape(x.sizes)}, but its last size must be ${size}`,
    )
  checkLast('x1', x1, in1)
  checkLast('x2', x2, in2)
  faults.check(
    leads[0] === leads[1],
    () => `the leading sizes differ: ${leads[0]} of x1 and ${leads[1]} of x2; they must be equal`,
  )
  faults.check(
    bias === null || (bias.ndim === 1 && bias.sizes[0] === out),
    () => `bias is ${formatShape(bias?.sizes ?? [])}, but must be [${out}]`,
  )
  faults.throwShape('bilinear', [x1.sizes, x2.sizes, weight.sizes])
  return namedAs('bilinear', () => {
    const y = einsum('...i,oij,...j->...o', x1, weight, x2)
    return bias === null ? y : add(y, addend(bias, y) as never)
  })
}

declare module '../core/tensor.js' {
  interface Tensor<S extends Shape = Shape, D extends DType = DType> {
    mm(b: Tensor): Tensor<[number, number], D>
    mv(b: Tensor): Tensor<[number], D>
    dot(b: Tensor): Tensor<[], D>
    vdot(b: Tensor): Tensor<[], D>
    bmm(b: Tensor): Tensor<[number, number, number], D>
    outer(b: Tensor): Tensor<[number, number], D>
    inner(b: Tensor): Tensor<Shape, D>
    kron(b: Tensor): Tensor<Shape, D>
    addmm(a: Tensor, b: Tensor, options?: AddProductOptions): Tensor
    addmv(a: Tensor, b: Tensor, options?: AddProductOptions): Tensor
    addr(a: Tensor, b: Tensor, options?: AddProductOptions): Tensor
    baddbmm(a: Tensor, b: Tensor, options?: AddProductOptions): Tensor
  }
}

defineMethods({
  mm(b: Tensor) {
    return mm(this, b)
  },
  mv(b: Tensor) {
    return mv(this, b)
  },
  dot(b: Tensor) {
    return dot(this, b)
  },
  vdot(b: Tensor) {
    return vdot(this, b)
  },
  bmm(b: Tensor) {
    return bmm(this, b)
  },
  outer(b: Tensor) {
    return outer(this, b)
  },
  inner(b: Tensor) {
    return inner(this, b)
  },
  kron(b: Tensor) {
    return kron(this, b)
  },
  addmm(a: Tensor, b: Tensor, options?: AddProductOptions) {
    return addmm(this, a, b, options)
  },
  addmv(a: Tensor, b: Tensor, options?: AddProductOptions) {
    return addmv(this, a, b, options)
  },
  addr(a: Tensor, b: Tensor, options?: AddProductOptions) {
    return addr(this, a, b, options)
  },
  baddbmm(a: Tensor, b: Tensor, options?: AddProductOptions) {
    return baddbmm(this, a, b, options)
  },
})
