/** The one place that puts methods on Tensor: operators with their tensor in front. */
import { setGradientArithmetic } from '../autograd/arithmetic.js'
import { type BackwardOptions, backward, registerHook, registerPostAccumulateGradHook } from '../autograd/backward.js'
import type { Device } from '../core/device.js'
import type { DType, TypedArray } from '../core/dtype.js'
import type { Shape } from '../core/shape.js'
import type { Broadcast, MatmulFits, MatmulShape, Mutable } from '../core/shape-types.js'
import { Tensor } from '../core/tensor.js'
import { full } from './creation.js'
import * as elementwise from './elementwise/index.js'
import * as indexing from './indexing.js'
import * as inplace from './inplace.js'
import * as matrix from './matmul.js'
import { format } from './print.js'
import * as read from './read.js'
import * as reduce from './reduce.js'
import * as shapes from './shape.js'
import * as soft from './softmax.js'

type Operand = Tensor | number
type Binary<S extends Shape> = <B extends Operand>(
  b: B,
) => B extends Tensor<infer T> ? Tensor<Broadcast<S, T>> : Tensor<S>
type Compare = (b: Operand) => Tensor
type Reduce = (dim?: reduce.Dim, options?: reduce.ReduceOptions) => Tensor

declare module '../core/tensor.js' {
  interface Tensor<S extends Shape = Shape, D extends DType = DType> {
    add: Binary<S>
    sub: Binary<S>
    mul: Binary<S>
    div: Binary<S>
    pow: Binary<S>
    maximum: Binary<S>
    minimum: Binary<S>
    eq: Compare
    ne: Compare
    lt: Compare
    le: Compare
    gt: Compare
    ge: Compare
    neg(): Tensor<S>
    abs(): Tensor<S>
    sign(): Tensor<S>
    square(): Tensor<S>
    exp(): Tensor<S>
    log(): Tensor<S>
    log1p(): Tensor<S>
    sqrt(): Tensor<S>
    rsqrt(): Tensor<S>
    reciprocal(): Tensor<S>
    sin(): Tensor<S>
    cos(): Tensor<S>
    erf(): Tensor<S>
    floor(): Tensor<S>
    relu(): Tensor<S>
    sigmoid(): Tensor<S>
    tanh(): Tensor<S>
    silu(): Tensor<S>
    gelu(options?: elementwise.GeluOptions): Tensor<S>
    clamp(min?: number, max?: number): Tensor<S>
    sum: Reduce
    mean: Reduce
    amax: Reduce
    amin: Reduce
    logsumexp: Reduce
    var(dim?: reduce.Dim, options?: reduce.VarOptions): Tensor
    std(dim?: reduce.Dim, options?: reduce.VarOptions): Tensor
    argmax(dim?: number | null, options?: reduce.ReduceOptions): Tensor
    argmin(dim?: number | null, options?: reduce.ReduceOptions): Tensor
    cumsum(dim: number): Tensor<S>
    softmax(dim: number): Tensor<S>
    logSoftmax(dim: number): Tensor<S>
    matmul<B extends Shape>(b: Tensor<B> & MatmulFits<S, B>): Tensor<MatmulShape<S, B>>
    reshape<const T extends Shape>(shape: T): Tensor<Mutable<T>>
    view<const T extends Shape>(shape: T): Tensor<Mutable<T>>
    flatten(start?: number, end?: number): Tensor
    squeeze(dim?: number): Tensor
    unsqueeze(dim: number): Tensor
    permute(dims: readonly number[]): Tensor
    transpose(dim0: number, dim1: number): Tensor
    expand<const T extends Shape>(shape: T): Tensor<Mutable<T>>
    narrow(dim: number, start: number, length: number): Tensor
    select(dim: number, index: number): Tensor
    slice(...indices: readonly shapes.SliceIndex[]): Tensor
    split(size: number | readonly number[], dim?: number): Tensor[]
    chunk(chunks: number, dim?: number): Tensor[]
    indexSelect(dim: number, index: Tensor): Tensor
    gather(dim: number, index: Tensor): Tensor
    clone(): Tensor<S>
    contiguous(): Tensor<S>
    detach(): Tensor<S>
    /** Converted to another dtype, or copied to another device. */
    to(target: DType | string | Device): Tensor<S>
    copy_(src: Tensor): Tensor<S>
    fill_(value: number): Tensor<S>
    /** A fresh copy of the elements, without blocking the event loop. */
    data(): Promise<TypedArray>
    /** As `data`, but waits. */
    dataSync(): TypedArray
    /** The one element of a tensor that has one. Waits for it. */
    item(): number
    toArray(): read.Nested
    toString(): string
    backward(options?: BackwardOptions): void
    registerHook(hook: (gradient: Tensor) => Tensor | undefined | void): () => void
    registerPostAccumulateGradHook(hook: (tensor: Tensor) => void): () => void
    readonly elementType?: D
  }
}

/** Functions whose first argument becomes `this`. */
const functions = {
  ...pick(elementwise, [
    'add',
    'sub',
    'mul',
    'div',
    'pow',
    'maximum',
    'minimum',
    'eq',
    'ne',
    'lt',
    'le',
    'gt',
    'ge',
    'neg',
    'abs',
    'sign',
    'square',
    'exp',
    'log',
    'log1p',
    'sqrt',
    'rsqrt',
    'reciprocal',
    'sin',
    'cos',
    'erf',
    'floor',
    'relu',
    'sigmoid',
    'tanh',
    'silu',
    'gelu',
    'clamp',
  ]),
  ...pick(reduce, ['sum', 'mean', 'amax', 'amin', 'logsumexp', 'std', 'argmax', 'argmin', 'cumsum']),
  var: reduce.variance,
  ...pick(soft, ['softmax', 'logSoftmax']),
  ...pick(matrix, ['matmul']),
  ...pick(shapes, [
    'reshape',
    'view',
    'flatten',
    'squeeze',
    'unsqueeze',
    'permute',
    'transpose',
    'expand',
    'narrow',
    'select',
    'slice',
    'split',
    'chunk',
    'clone',
    'contiguous',
    'detach',
  ]),
  ...pick(indexing, ['indexSelect', 'gather']),
  ...pick(read, ['to', 'data', 'dataSync', 'item', 'toArray']),
  ...pick(inplace, ['copy_', 'fill_']),
  toString: format,
  backward,
  registerHook,
  registerPostAccumulateGradHook,
}

function pick<M extends object, K extends keyof M>(module: M, names: readonly K[]): Pick<M, K> {
  return Object.fromEntries(names.map((name) => [name, module[name]])) as Pick<M, K>
}

for (const [name, fn] of Object.entries(functions)) {
  const call = fn as (x: Tensor, ...rest: readonly unknown[]) => unknown
  Object.defineProperty(Tensor.prototype, name, {
    value(this: Tensor, ...rest: readonly unknown[]) {
      return call(this, ...rest)
    },
    writable: true,
    configurable: true,
  })
}

setGradientArithmetic({
  add: (a, b) => elementwise.add(a, b),
  accumulate: inplace.accumulate,
  clone: shapes.clone,
  alias: shapes.alias,
  ones: (like) => full(like.shape, 1, { dtype: like.dtype, device: like.device }),
})
