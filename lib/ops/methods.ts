/** The one place that puts methods on Tensor: operators with their tensor in front. */
import { type BackwardOptions, backward, registerHook, registerPostAccumulateGradHook } from '../autograd/backward.js'
import type { Device } from '../core/device.js'
import type { DType, ElementOf, ElementsOf, Summed } from '../core/dtype.js'
import type { Shape } from '../core/shape.js'
import type { MatmulFits, MatmulShape, Mutable, NestedOf, SizeAt } from '../core/shape-types.js'
import { Tensor } from '../core/tensor.js'
import * as conversion from './convert.js'
import * as elementwise from './elementwise/index.js'
import type { FitsShape, Operand, With } from './elementwise/operand.js'
import * as indexing from './indexing.js'
import * as inplace from './inplace.js'
import * as matrix from './matmul.js'
import { format } from './print.js'
import * as read from './read.js'
import * as reduce from './reduce.js'
import * as shapes from './shape.js'
import * as soft from './softmax.js'

// Types of their own, covariant by annotation, because the compiler compares a parameter of a layer to a tensor by all members:
// of these it then compares shapes and dtypes only, and not functions with conditional types. What it cannot prove of those
// holds: more known sizes of an operand give more known sizes of the result.
/** @ts-expect-error TS2636, as said above */
type Binary<out S extends Shape, out D extends DType, Op extends string> = <B extends Operand>(
  b: B & FitsShape<S, B, Op>,
) => Tensor<With<S, B>, D>
/** @ts-expect-error TS2636, as said above */
type Compare<out S extends Shape, Op extends string> = <B extends Operand>(
  b: B & FitsShape<S, B, Op>,
) => Tensor<With<S, B>, 'bool'>
type Matmul<out S extends Shape, out D extends DType> = <B extends Shape>(
  b: Tensor<B> & MatmulFits<S, B>,
) => Tensor<MatmulShape<S, B>, D>
type To<out S extends Shape, out D extends DType> = <const T extends string | Device>(
  target: T,
) => Tensor<S, conversion.Moved<D, T>>
/** @ts-expect-error TS2636, as said above */
type ToArray<out S extends Shape, out D extends DType> = () => NestedOf<S, ElementOf<D>>
type SizeOf<out S extends Shape> = <const N extends number>(dim: N) => SizeAt<S, N>

declare module '../core/tensor.js' {
  interface Tensor<S extends Shape = Shape, D extends DType = DType> {
    add: Binary<S, D, 'add'>
    sub: Binary<S, D, 'sub'>
    mul: Binary<S, D, 'mul'>
    div: Binary<S, D, 'div'>
    pow: Binary<S, D, 'pow'>
    maximum: Binary<S, D, 'maximum'>
    minimum: Binary<S, D, 'minimum'>
    eq: Compare<S, 'eq'>
    ne: Compare<S, 'ne'>
    lt: Compare<S, 'lt'>
    le: Compare<S, 'le'>
    gt: Compare<S, 'gt'>
    ge: Compare<S, 'ge'>
    neg(): Tensor<S, D>
    abs(): Tensor<S, D>
    sign(): Tensor<S, D>
    square(): Tensor<S, D>
    exp(): Tensor<S, D>
    log(): Tensor<S, D>
    log1p(): Tensor<S, D>
    sqrt(): Tensor<S, D>
    rsqrt(): Tensor<S, D>
    reciprocal(): Tensor<S, D>
    sin(): Tensor<S, D>
    cos(): Tensor<S, D>
    erf(): Tensor<S, D>
    floor(): Tensor<S, D>
    relu(): Tensor<S, D>
    sigmoid(): Tensor<S, D>
    tanh(): Tensor<S, D>
    silu(): Tensor<S, D>
    gelu(options?: elementwise.GeluOptions): Tensor<S, D>
    clamp(min?: number, max?: number): Tensor<S, D>
    sum(dim?: reduce.Dim, options?: reduce.ReduceOptions): Tensor<Shape, Summed<D>>
    mean(dim?: reduce.Dim, options?: reduce.ReduceOptions): Tensor<Shape, D>
    amax(dim?: reduce.Dim, options?: reduce.ReduceOptions): Tensor<Shape, D>
    amin(dim?: reduce.Dim, options?: reduce.ReduceOptions): Tensor<Shape, D>
    logsumexp(dim?: reduce.Dim, options?: reduce.ReduceOptions): Tensor<Shape, D>
    var(dim?: reduce.Dim, options?: reduce.VarOptions): Tensor<Shape, D>
    std(dim?: reduce.Dim, options?: reduce.VarOptions): Tensor<Shape, D>
    argmax(dim?: number | null, options?: reduce.ReduceOptions): Tensor<Shape, 'int32'>
    argmin(dim?: number | null, options?: reduce.ReduceOptions): Tensor<Shape, 'int32'>
    cumsum(dim: number): Tensor<S, Summed<D>>
    softmax(dim: number): Tensor<S, D>
    logSoftmax(dim: number): Tensor<S, D>
    matmul: Matmul<S, D>
    reshape<const T extends Shape>(shape: T): Tensor<Mutable<T>, D>
    view<const T extends Shape>(shape: T): Tensor<Mutable<T>, D>
    flatten(start?: number, end?: number): Tensor<Shape, D>
    squeeze(dim?: number): Tensor<Shape, D>
    unsqueeze(dim: number): Tensor<Shape, D>
    permute(dims: readonly number[]): Tensor<Shape, D>
    transpose(dim0: number, dim1: number): Tensor<Shape, D>
    expand<const T extends Shape>(shape: T): Tensor<Mutable<T>, D>
    narrow(dim: number, start: number, length: number): Tensor<Shape, D>
    select(dim: number, index: number): Tensor<Shape, D>
    slice(...indices: readonly shapes.SliceIndex[]): Tensor<Shape, D>
    split<const N extends number | readonly number[]>(size: N, dim?: number): shapes.Pieces<N, D>
    chunk(chunks: number, dim?: number): Tensor<Shape, D>[]
    indexSelect(dim: number, index: Tensor): Tensor<Shape, D>
    gather(dim: number, index: Tensor): Tensor<Shape, D>
    clone(): Tensor<S, D>
    contiguous(): Tensor<S, D>
    detach(): Tensor<S, D>
    /** Converted to another dtype, or copied to another device. */
    to: To<S, D>
    copy_(src: Tensor): Tensor<S, D>
    fill_(value: number): Tensor<S, D>
    /** A fresh copy of the elements in row-major order, 16-bit floats as float32, without blocking the event loop. */
    data(): Promise<ElementsOf<D>>
    /** As `data`, but waits. */
    dataSync(): ElementsOf<D>
    /** The one element of a tensor that has one. Waits for it. */
    item(): number
    /** The elements as nested arrays; booleans for bool. Waits for them. */
    toArray: ToArray<S, D>
    /** The size of a dimension, negative from the end. Throws ValueError where there is none. */
    size: SizeOf<S>
    toString(): string
    backward(options?: BackwardOptions): void
    registerHook(hook: (gradient: Tensor) => Tensor | undefined | void): () => void
    registerPostAccumulateGradHook(hook: (tensor: Tensor) => void): () => void
    readonly elementType?: D
  }
}

/**
 * Each written out: one wrapper around any function would be shared by all methods, so that the compiler could inline none
 * of them.
 */
const methods: { readonly [name: string]: (...args: never[]) => unknown } & ThisType<Tensor> = {
  add(b: Operand) {
    return elementwise.add(this, b)
  },
  sub(b: Operand) {
    return elementwise.sub(this, b)
  },
  mul(b: Operand) {
    return elementwise.mul(this, b)
  },
  div(b: Operand) {
    return elementwise.div(this, b)
  },
  pow(b: Operand) {
    return elementwise.pow(this, b)
  },
  maximum(b: Operand) {
    return elementwise.maximum(this, b)
  },
  minimum(b: Operand) {
    return elementwise.minimum(this, b)
  },
  eq(b: Operand) {
    return elementwise.eq(this, b)
  },
  ne(b: Operand) {
    return elementwise.ne(this, b)
  },
  lt(b: Operand) {
    return elementwise.lt(this, b)
  },
  le(b: Operand) {
    return elementwise.le(this, b)
  },
  gt(b: Operand) {
    return elementwise.gt(this, b)
  },
  ge(b: Operand) {
    return elementwise.ge(this, b)
  },
  neg() {
    return elementwise.neg(this)
  },
  abs() {
    return elementwise.abs(this)
  },
  sign() {
    return elementwise.sign(this)
  },
  square() {
    return elementwise.square(this)
  },
  exp() {
    return elementwise.exp(this)
  },
  log() {
    return elementwise.log(this)
  },
  log1p() {
    return elementwise.log1p(this)
  },
  sqrt() {
    return elementwise.sqrt(this)
  },
  rsqrt() {
    return elementwise.rsqrt(this)
  },
  reciprocal() {
    return elementwise.reciprocal(this)
  },
  sin() {
    return elementwise.sin(this)
  },
  cos() {
    return elementwise.cos(this)
  },
  erf() {
    return elementwise.erf(this)
  },
  floor() {
    return elementwise.floor(this)
  },
  relu() {
    return elementwise.relu(this)
  },
  sigmoid() {
    return elementwise.sigmoid(this)
  },
  tanh() {
    return elementwise.tanh(this)
  },
  silu() {
    return elementwise.silu(this)
  },
  gelu(options?: elementwise.GeluOptions) {
    return elementwise.gelu(this, options)
  },
  clamp(min?: number, max?: number) {
    return elementwise.clamp(this, min, max)
  },
  sum(dim?: reduce.Dim, options?: reduce.ReduceOptions) {
    return reduce.sum(this, dim, options)
  },
  mean(dim?: reduce.Dim, options?: reduce.ReduceOptions) {
    return reduce.mean(this, dim, options)
  },
  amax(dim?: reduce.Dim, options?: reduce.ReduceOptions) {
    return reduce.amax(this, dim, options)
  },
  amin(dim?: reduce.Dim, options?: reduce.ReduceOptions) {
    return reduce.amin(this, dim, options)
  },
  logsumexp(dim?: reduce.Dim, options?: reduce.ReduceOptions) {
    return reduce.logsumexp(this, dim, options)
  },
  var(dim?: reduce.Dim, options?: reduce.VarOptions) {
    return reduce.variance(this, dim, options)
  },
  std(dim?: reduce.Dim, options?: reduce.VarOptions) {
    return reduce.std(this, dim, options)
  },
  argmax(dim?: number | null, options?: reduce.ReduceOptions) {
    return reduce.argmax(this, dim, options)
  },
  argmin(dim?: number | null, options?: reduce.ReduceOptions) {
    return reduce.argmin(this, dim, options)
  },
  cumsum(dim: number) {
    return reduce.cumsum(this, dim)
  },
  softmax(dim: number) {
    return soft.softmax(this, dim)
  },
  logSoftmax(dim: number) {
    return soft.logSoftmax(this, dim)
  },
  matmul(b: Tensor) {
    return matrix.matmul(this, b)
  },
  reshape(shape: Shape) {
    return shapes.reshape(this, shape)
  },
  view(shape: Shape) {
    return shapes.view(this, shape)
  },
  flatten(start?: number, end?: number) {
    return shapes.flatten(this, start, end)
  },
  squeeze(dim?: number) {
    return shapes.squeeze(this, dim)
  },
  unsqueeze(dim: number) {
    return shapes.unsqueeze(this, dim)
  },
  permute(dims: readonly number[]) {
    return shapes.permute(this, dims)
  },
  transpose(dim0: number, dim1: number) {
    return shapes.transpose(this, dim0, dim1)
  },
  expand(shape: Shape) {
    return shapes.expand(this, shape)
  },
  narrow(dim: number, start: number, length: number) {
    return shapes.narrow(this, dim, start, length)
  },
  select(dim: number, index: number) {
    return shapes.select(this, dim, index)
  },
  slice(...indices: readonly shapes.SliceIndex[]) {
    return shapes.slice(this, ...indices)
  },
  split(size: number | readonly number[], dim?: number) {
    return shapes.split(this, size, dim)
  },
  chunk(chunks: number, dim?: number) {
    return shapes.chunk(this, chunks, dim)
  },
  clone() {
    return shapes.clone(this)
  },
  contiguous() {
    return shapes.contiguous(this)
  },
  detach() {
    return shapes.detach(this)
  },
  indexSelect(dim: number, index: Tensor) {
    return indexing.indexSelect(this, dim, index)
  },
  gather(dim: number, index: Tensor) {
    return indexing.gather(this, dim, index)
  },
  to(target: DType | string | Device) {
    return conversion.to(this, target)
  },
  data() {
    return read.data(this)
  },
  dataSync() {
    return read.dataSync(this)
  },
  item() {
    return read.item(this)
  },
  toArray() {
    return read.toArray(this)
  },
  size(dim: number) {
    return read.size(this, dim)
  },
  copy_(src: Tensor) {
    return inplace.copy_(this, src)
  },
  fill_(value: number) {
    return inplace.fill_(this, value)
  },
  toString() {
    return format(this)
  },
  backward(options?: BackwardOptions) {
    backward(this, options)
  },
  registerHook(hook: (gradient: Tensor) => Tensor | undefined | void) {
    return registerHook(this, hook)
  },
  registerPostAccumulateGradHook(hook: (tensor: Tensor) => void) {
    return registerPostAccumulateGradHook(this, hook)
  },
}

for (const [name, value] of Object.entries(methods))
  Object.defineProperty(Tensor.prototype, name, { value, writable: true, configurable: true })
