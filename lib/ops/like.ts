/** New tensors with the form of others, and tensors to be overwritten. None is part of a graph. */
import { checkTensor } from '../autograd/operator.js'
import { type DType, isFloating, type Known } from '../core/dtype.js'
import { DTypeError, namedAs } from '../core/errors.js'
import { defineMethods } from '../core/methods.js'
import { checkOptions, type OptionNames, ownOptions } from '../core/options.js'
import type { Shape } from '../core/shape.js'
import type { Mutable } from '../core/shape-types.js'
import type { Tensor } from '../core/tensor.js'
import { type NestedArray, tensor } from './creation.js'
import { type CreationOptions, creationNames, filled } from './placement.js'
import { type NormalOptions, type RandomOptions, rand, randint, randn, type UniformOptions } from './random.js'

/** A tensor to be overwritten. It holds zeros, whereas PyTorch leaves its content undefined. */
export function empty<const S extends Shape, D extends DType = 'float32'>(
  shape: S,
  options: CreationOptions<D> = {},
): Tensor<Mutable<S>, Known<NoInfer<D>>> {
  return filled('empty', shape, 0, options)
}

/** The options, with x's dtype and device as defaults. */
function likeOf<O extends CreationOptions>(
  op: string,
  x: Tensor,
  options: O,
  names: OptionNames<O>,
): O & Required<Pick<CreationOptions, 'dtype' | 'device'>> {
  checkTensor(op, 'x', x)
  return { dtype: x.dtype, device: x.device, ...ownOptions<O>(op, options, names) }
}

function filledLike<S extends Shape, D extends DType>(
  op: string,
  x: Tensor,
  shape: S,
  value: number,
  options: CreationOptions<D>,
): Tensor<Mutable<S>, Known<NoInfer<D>>> {
  return filled(op, shape, value, likeOf(op, x, options, creationNames) as CreationOptions<D>)
}

/** Zeros of x's shape, dtype and device, unless the options name others; no graph. */
export function zerosLike<S extends Shape, T extends DType, D extends DType = T>(
  x: Tensor<S, T>,
  options: CreationOptions<D> = {},
): Tensor<Mutable<S>, Known<NoInfer<D>>> {
  checkTensor('zerosLike', 'x', x)
  return filledLike('zerosLike', x, x.sizes as S, 0, options)
}

/** Ones of x's shape, dtype and device, unless the options name others; no graph. */
export function onesLike<S extends Shape, T extends DType, D extends DType = T>(
  x: Tensor<S, T>,
  options: CreationOptions<D> = {},
): Tensor<Mutable<S>, Known<NoInfer<D>>> {
  checkTensor('onesLike', 'x', x)
  return filledLike('onesLike', x, x.sizes as S, 1, options)
}

/** A tensor filled with `value`, of x's shape, dtype and device, unless the options name others; no graph. */
export function fullLike<S extends Shape, T extends DType, D extends DType = T>(
  x: Tensor<S, T>,
  value: number,
  options: CreationOptions<D> = {},
): Tensor<Mutable<S>, Known<NoInfer<D>>> {
  checkTensor('fullLike', 'x', x)
  return filledLike('fullLike', x, x.sizes as S, value, options)
}

/**
 * A tensor to be overwritten, of x's shape, dtype and device, unless the options name others. It holds zeros, whereas
 * PyTorch leaves its content undefined.
 */
export function emptyLike<S extends Shape, T extends DType, D extends DType = T>(
  x: Tensor<S, T>,
  options: CreationOptions<D> = {},
): Tensor<Mutable<S>, Known<NoInfer<D>>> {
  checkTensor('emptyLike', 'x', x)
  return filledLike('emptyLike', x, x.sizes as S, 0, options)
}

const uniformNames: OptionNames<UniformOptions> = { ...creationNames, generator: true, low: true, high: true }
const normalNames: OptionNames<NormalOptions> = { ...creationNames, generator: true, mean: true, std: true }
const randomNames: OptionNames<RandomOptions> = { ...creationNames, generator: true }

/** The same for functions that draw floats. */
function floatsLike<O extends CreationOptions>(op: string, x: Tensor, options: O, names: OptionNames<O>) {
  const own = likeOf(op, x, options, names)
  if (!isFloating(own.dtype))
    throw new DTypeError(op, `draws floats, but the dtype is ${own.dtype}; name another, as in { dtype: 'float32' }`)
  return own
}

/** Like `rand`: uniform in [0, 1) unless low and high say otherwise, with x's shape, dtype and device. */
export function randLike<S extends Shape, T extends DType, D extends DType = T>(
  x: Tensor<S, T>,
  options?: UniformOptions<D>,
): Tensor<Mutable<S>, Known<NoInfer<D>>>
export function randLike(x: Tensor, options: UniformOptions = {}): Tensor {
  const own = floatsLike('randLike', x, options, uniformNames)
  return namedAs('randLike', () => rand(x.sizes, own))
}

/** Like `randn`: normal with `mean` 0 and `std` 1 unless given, with x's shape, dtype and device. */
export function randnLike<S extends Shape, T extends DType, D extends DType = T>(
  x: Tensor<S, T>,
  options?: NormalOptions<D>,
): Tensor<Mutable<S>, Known<NoInfer<D>>>
export function randnLike(x: Tensor, options: NormalOptions = {}): Tensor {
  const own = floatsLike('randnLike', x, options, normalNames)
  return namedAs('randnLike', () => randn(x.sizes, own))
}

/** Like `randint`: whole numbers in [low, high), with x's shape, dtype and device. */
export function randintLike<S extends Shape, T extends DType, D extends DType = T>(
  x: Tensor<S, T>,
  low: number,
  high: number,
  options?: RandomOptions<D>,
): Tensor<Mutable<S>, Known<NoInfer<D>>>
export function randintLike(x: Tensor, low: number, high: number, options: RandomOptions = {}): Tensor {
  const own = likeOf('randintLike', x, options, randomNames)
  return namedAs('randintLike', () => randint(low, high, x.sizes, own))
}

// Covariant by annotation: see core/methods.ts.
type NewMethod<out T extends DType> = <const S extends Shape, D extends DType = T>(
  shape: S,
  options?: CreationOptions<D>,
) => Tensor<Mutable<S>, Known<NoInfer<D>>>
type NewFull<out T extends DType> = <const S extends Shape, D extends DType = T>(
  shape: S,
  value: number,
  options?: CreationOptions<D>,
) => Tensor<Mutable<S>, Known<NoInfer<D>>>
type NewTensor<out T extends DType> = <D extends DType = T>(
  value: NestedArray,
  options?: CreationOptions<D>,
) => Tensor<Shape, Known<NoInfer<D>>>

declare module '../core/tensor.js' {
  interface Tensor<S extends Shape = Shape, D extends DType = DType> {
    /** Zeros of the shape, with this tensor's dtype and device unless the options name others. */
    newZeros: NewMethod<D>
    newOnes: NewMethod<D>
    /** Zeros of the shape too, to be overwritten. */
    newEmpty: NewMethod<D>
    newFull: NewFull<D>
    /** Like `tensor`, but with this tensor's dtype and device unless the options name others. */
    newTensor: NewTensor<D>
  }
}

defineMethods({
  newZeros(shape: Shape, options: CreationOptions = {}) {
    return filledLike('newZeros', this, shape, 0, options)
  },
  newOnes(shape: Shape, options: CreationOptions = {}) {
    return filledLike('newOnes', this, shape, 1, options)
  },
  newEmpty(shape: Shape, options: CreationOptions = {}) {
    return filledLike('newEmpty', this, shape, 0, options)
  },
  newFull(shape: Shape, value: number, options: CreationOptions = {}) {
    return filledLike('newFull', this, shape, value, options)
  },
  newTensor(value: NestedArray, options: CreationOptions = {}) {
    checkOptions('newTensor', options, creationNames)
    const own = likeOf('newTensor', this, options, creationNames)
    return namedAs('newTensor', () => tensor(value, own))
  },
})
