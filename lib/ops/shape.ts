/**
 * Views, which cost nothing and share memory, and the copies that rearrange. In one file, though it is long, because the gradient
 * of a slice is a join, that of a join is slices, and each reshapes.
 */

import { apply, checkTensor, type Operator, type TensorSpec } from '../autograd/operator.js'
import { contiguous as denseCopy, empty, run } from '../backend/dispatch.js'
import { checkBlockRows } from '../core/blocks.js'
import type { DType } from '../core/dtype.js'
import { formatShape, kindOf, namedAs, ShapeError, shown, ValueError } from '../core/errors.js'
import { defineMethods } from '../core/methods.js'
import { askHeap, checkEntries } from '../core/room.js'
import {
  checkShape,
  checkSizes,
  copySizes,
  countOf,
  denseStrides,
  normalizeDim,
  type Shape,
  sameShape,
} from '../core/shape.js'
import type { Mutable } from '../core/shape-types.js'
import { Tensor } from '../core/tensor.js'
import { like } from './common.js'
import { full } from './creation.js'
import { checkNumber } from './elementwise/numbers.js'
import { joined } from './layout.js'
import { kernel, operator } from './operator.js'
import { sumTo } from './totals.js'
import { expandView, viewOf } from './views.js'

// copies --------------------------------------------------------------------------------------------------------------

const cloneRecord = operator<[x: Tensor]>({
  name: 'clone',
  op: 'clone',
  infer([x]) {
    checkBlockRows('clone', x)
    return like(x)
  },
  forward: kernel('copy', ([x], _attrs, { out }) => ({ out, x })),
  gradient: { saves: () => ({}), backward: (_ctx, [g]) => [g] },
})

/** A dense copy with memory of its own. */
export function clone<S extends Shape, D extends DType>(x: Tensor<S, D>): Tensor<S, D>
export function clone(x: Tensor): Tensor {
  checkTensor('clone', 'x', x)
  return apply(cloneRecord, [x], null)
}

/** The tensor itself if its elements lie dense in row-major order, else a copy that does. */
export function contiguous<S extends Shape, D extends DType>(x: Tensor<S, D>): Tensor<S, D> {
  checkTensor('contiguous', 'x', x)
  return x.isContiguous ? x : clone(x)
}

/** The same memory, outside of the graph. */
export function detach<S extends Shape, D extends DType>(x: Tensor<S, D>): Tensor<S, D> {
  checkTensor('detach', 'x', x)
  return new Tensor(x.storage, x.sizes, x.steps, x.offset)
}

// reshape -------------------------------------------------------------------------------------------------------------

/** Strides with which `shape` sees the same elements in the same order, or null where a copy is needed. */
function reshapedStrides(x: Tensor, shape: Shape): Shape | null {
  if (x.isContiguous || countOf(shape) === 0) return denseStrides(shape)
  const kept = x.sizes.map((_, i) => i).filter((i) => x.sizes[i] !== 1)
  const sizes = kept.map((i) => x.sizes[i] as number)
  const steps = kept.map((i) => x.steps[i] as number)
  const strides = new Array<number>(shape.length).fill(1)
  let from = 0
  let to = 0
  // Both shapes are cut into the smallest groups of equal product; each group of x must be dense within itself.
  while (from < sizes.length) {
    let fromEnd = from + 1
    let toEnd = to + 1
    let mine = sizes[from] as number
    let wanted = shape[to] as number
    while (mine !== wanted) {
      if (mine < wanted) mine *= sizes[fromEnd++] as number
      else wanted *= shape[toEnd++] as number
    }
    for (let i = from; i < fromEnd - 1; i++)
      if (steps[i] !== (sizes[i + 1] as number) * (steps[i + 1] as number)) return null
    let step = steps[fromEnd - 1] as number
    for (let i = toEnd - 1; i >= to; i--) {
      strides[i] = step
      step *= shape[i] as number
    }
    from = fromEnd
    to = toEnd
  }
  return strides
}

const reshapeRecord = operator<[x: Tensor], Shape>({
  name: 'reshape',
  infer: (inputs, shape) => like(inputs[0], shape),
  forward(inputs, shape) {
    const x = inputs[0]
    const strides = reshapedStrides(x, shape)
    return strides === null ? viewOf(denseCopy(x), shape, denseStrides(shape), 0) : viewOf(x, shape, strides)
  },
  gradient: { saves: () => ({}), backward: (ctx, [g]) => [reshape(g, ctx.spec(0).shape)] },
})

/** Fills in the one -1 of a shape; checks the number of elements. */
function resolveShape(op: string, x: Tensor, shape: Shape): Shape {
  checkList(op, shape)
  const sizes = copySizes(op, shape)
  // A loop, because `indexOf` is a call.
  let free = sizes.length - 1
  while (free >= 0 && sizes[free] !== -1) free--
  if (free >= 0) sizes[free] = 1
  const count = checkSizes(op, sizes)
  const size = count === 0 ? 0 : x.numel / count
  if (free < 0 ? count !== x.numel : !Number.isInteger(size) || (count === 0 && x.numel !== 0)) {
    if (free >= 0) sizes[free] = -1
    throw new ShapeError(
      op,
      `${formatShape(x.sizes)} has ${x.numel} elements, which do not fill ${formatShape(sizes)}`,
      [x.sizes, sizes],
    )
  }
  if (free >= 0) sizes[free] = size
  return sizes
}

/** For who writes x.reshape(2, 3) as in Python: all sizes or dimensions come in one array. */
function checkList(op: string, list: readonly number[], example = '[2, 3]'): void {
  if (!Array.isArray(list))
    throw new ValueError(
      op,
      `takes one array of integers, but got ${kindOf(list)}; pass an array, as in ${op}(${example})`,
    )
}

/** The same elements in row-major order under another shape; one size may be -1. A view where possible, else a copy. */
export function reshape<const S extends Shape, D extends DType>(x: Tensor<Shape, D>, shape: S): Tensor<Mutable<S>, D>
export function reshape(x: Tensor, shape: Shape): Tensor {
  checkTensor('reshape', 'x', x)
  const resolved = resolveShape('reshape', x, shape)
  return sameShape(resolved, x.sizes) ? x : apply(reshapeRecord, [x], resolved)
}

/** As reshape, but never copies: throws ShapeError where the strides do not allow it. */
export function view<const S extends Shape, D extends DType>(x: Tensor<Shape, D>, shape: S): Tensor<Mutable<S>, D>
export function view(x: Tensor, shape: Shape): Tensor {
  checkTensor('view', 'x', x)
  const resolved = resolveShape('view', x, shape)
  if (reshapedStrides(x, resolved) === null)
    throw new ShapeError(
      'view',
      `${formatShape(x.sizes)} with strides ${formatShape(x.steps)} cannot be seen as ${formatShape(resolved)}; use reshape`,
      [x.sizes],
    )
  return apply(reshapeRecord, [x], resolved)
}

/** Dimensions `start` to `end` (inclusive) joined into one. */
export function flatten<D extends DType>(x: Tensor<Shape, D>, start = 0, end = -1): Tensor<Shape, D> {
  checkTensor('flatten', 'x', x)
  if (x.ndim === 0) return reshape(x, [1])
  const a = normalizeDim('flatten', start, x.ndim)
  const b = normalizeDim('flatten', end, x.ndim)
  if (a > b) throw new ValueError('flatten', `start ${start} lies behind end ${end}`)
  return reshape(x, [...x.sizes.slice(0, a), countOf(x.sizes.slice(a, b + 1)), ...x.sizes.slice(b + 1)])
}

/** A new dimension of size 1 before `dim`. */
export function unsqueeze<D extends DType>(x: Tensor<Shape, D>, dim: number): Tensor<Shape, D> {
  checkTensor('unsqueeze', 'x', x)
  const d = normalizeDim('unsqueeze', dim, x.ndim + 1)
  return reshape(x, [...x.sizes.slice(0, d), 1, ...x.sizes.slice(d)])
}

/** Without the dimension `dim` if its size is 1, or without all of size 1. */
export function squeeze<D extends DType>(x: Tensor<Shape, D>, dim?: number): Tensor<Shape, D> {
  checkTensor('squeeze', 'x', x)
  if (dim === undefined)
    return reshape(
      x,
      x.sizes.filter((size) => size !== 1),
    )
  const d = normalizeDim('squeeze', dim, x.ndim)
  return x.sizes[d] === 1
    ? reshape(
        x,
        x.sizes.filter((_, i) => i !== d),
      )
    : x
}

// permute and expand --------------------------------------------------------------------------------------------------

const permuteRecord = operator<[x: Tensor], readonly number[]>({
  name: 'permute',
  infer: (inputs, dims) => like(inputs[0], picked(inputs[0].sizes, dims)),
  forward: (inputs, dims, { shape }) => viewOf(inputs[0], shape, picked(inputs[0].steps, dims)),
  gradient: {
    saves: () => ({}),
    backward({ attrs }, [g]) {
      const inverse = new Array<number>(attrs.length)
      for (const [i, d] of attrs.entries()) inverse[d] = i
      return [permute(g, inverse)]
    },
  },
})

/** What a list holds at each of the dimensions. */
const picked = (list: Shape, dims: readonly number[]): Shape => dims.map((d) => list[d] ?? 0)

/** Dimensions in another order: result dimension i is x's `dims[i]`. A view. */
export function permute<D extends DType>(x: Tensor<Shape, D>, dims: readonly number[]): Tensor<Shape, D>
export function permute(x: Tensor, dims: readonly number[]): Tensor {
  checkTensor('permute', 'x', x)
  checkList('permute', dims, '[1, 0]')
  const order = dims.map((d) => normalizeDim('permute', d, x.ndim))
  if (order.length !== x.ndim || new Set(order).size !== x.ndim)
    throw new ValueError(
      'permute',
      `dims are ${formatShape(dims)}, but must hold each of the ${x.ndim} dimensions of ${formatShape(x.sizes)} once`,
    )
  return apply(permuteRecord, [x], order)
}

/** Two dimensions swapped. A view. */
export function transpose<D extends DType>(x: Tensor<Shape, D>, dim0: number, dim1: number): Tensor<Shape, D>
export function transpose(x: Tensor, dim0: number, dim1: number): Tensor {
  checkTensor('transpose', 'x', x)
  const a = normalizeDim('transpose', dim0, x.ndim)
  const b = normalizeDim('transpose', dim1, x.ndim)
  const order = x.sizes.map((_, i) => (i === a ? b : i === b ? a : i))
  return x.ndim === 0 ? x : apply(permuteRecord, [x], order)
}

const expandRecord = operator<[x: Tensor], Shape>({
  name: 'expand',
  infer: ([x], shape) => like(x, shape),
  forward: ([x], shape) => (sameShape(x.sizes, shape) ? detach(x) : expandView(x, shape)),
  gradient: { saves: () => ({}), backward: (ctx, [g]) => [sumTo(g, ctx.spec(0).shape)] },
})

/** Repeated along dimensions of size 1 (and new leading ones) without copying; -1 keeps a size. */
export function expand<const S extends Shape, D extends DType>(x: Tensor<Shape, D>, shape: S): Tensor<Mutable<S>, D>
export function expand(x: Tensor, shape: Shape): Tensor {
  checkTensor('expand', 'x', x)
  checkList('expand', shape)
  const sizes = copySizes('expand', shape)
  const lead = sizes.length - x.ndim
  const target = sizes.map((size, i) => (size === -1 && i >= lead ? (x.sizes[i - lead] as number) : size))
  checkSizes('expand', target)
  const fits = lead >= 0 && x.sizes.every((size, i) => size === 1 || size === target[i + lead])
  if (!fits)
    throw new ShapeError(
      'expand',
      `${formatShape(x.sizes)} does not expand to ${formatShape(sizes)}; only sizes of 1 and new leading dimensions grow`,
      [x.sizes, sizes],
    )
  return sameShape(target, x.sizes) ? x : apply(expandRecord, [x], target)
}

// slices --------------------------------------------------------------------------------------------------------------

interface Slice {
  readonly starts: readonly number[]
  readonly steps: readonly number[]
  /** Of the result. */
  readonly sizes: Shape
}

function sliceView(x: Tensor, { starts, steps, sizes }: Slice): Tensor {
  let offset = x.offset
  for (let i = 0; i < starts.length; i++) offset += (starts[i] as number) * (x.steps[i] as number)
  // An empty view must not point behind the memory.
  if (countOf(sizes) === 0) offset = x.offset
  return viewOf(
    x,
    sizes,
    x.steps.map((stride, i) => stride * (steps[i] as number)),
    offset,
  )
}

const sliceRecord: Operator<[x: Tensor], Slice> = operator<[x: Tensor], Slice>({
  name: 'slice',
  infer: ([x], { sizes }) => like(x, sizes),
  forward: ([x], slice) => sliceView(x, slice),
  gradient: {
    saves: () => ({}),
    backward: (ctx, [g]) => [apply(unsliceRecord, [g], { ...ctx.attrs, shape: ctx.spec(0).shape, value: 0 })],
  },
})

interface Unslice extends Slice {
  readonly shape: Shape
  readonly value: number
}

/** The reverse of a slice: a tensor of `shape` filled with `value`, the slice of it set to x. */
const unsliceRecord = operator<[x: Tensor], Unslice>({
  name: 'unslice',
  op: 'pad',
  infer: ([x], { shape }) => like(x, shape),
  forward([x], attrs, { shape, dtype }) {
    const out = empty(x.device, shape, dtype, 'pad')
    run('fill', { out, value: attrs.value })
    run('copy_into', { dst: sliceView(out, { ...attrs, sizes: x.sizes }), src: x })
    return out
  },
  gradient: {
    saves: () => ({}),
    backward: (ctx, [g]) => [
      apply(sliceRecord, [g], { starts: ctx.attrs.starts, steps: ctx.attrs.steps, sizes: ctx.spec(0).shape }),
    ],
  },
})

function oneDim(x: Tensor, dim: number, start: number, step: number, size: number): Tensor {
  const at = <T>(value: T, other: T) => x.sizes.map((_, i) => (i === dim ? value : other))
  const sizes = x.sizes.map((s, i) => (i === dim ? size : s))
  return apply(sliceRecord, [x], { starts: at(start, 0), steps: at(step, 1), sizes })
}

/** `length` elements of `dim` from `start`. A view. Throws ValueError if they do not lie inside. */
export function narrow<D extends DType>(
  x: Tensor<Shape, D>,
  dim: number,
  start: number,
  length: number,
): Tensor<Shape, D>
export function narrow(x: Tensor, dim: number, start: number, length: number): Tensor {
  checkTensor('narrow', 'x', x)
  const d = normalizeDim('narrow', dim, x.ndim)
  const size = x.sizes[d] ?? 0
  const first = Number.isInteger(start) && start < 0 ? start + size : start
  if (
    x.ndim === 0 ||
    !Number.isInteger(first) ||
    !Number.isInteger(length) ||
    first < 0 ||
    length < 0 ||
    first + length > size
  )
    throw new ValueError(
      'narrow',
      `${shown(length)} elements from ${shown(start)} do not lie inside dimension ${d} of ${formatShape(x.sizes)}`,
    )
  return oneDim(x, d, first, 1, length)
}

/** The slice at `index` of `dim`, without that dimension; negative counts from the end. A view. */
export function select<D extends DType>(x: Tensor<Shape, D>, dim: number, index: number): Tensor<Shape, D>
export function select(x: Tensor, dim: number, index: number): Tensor {
  checkTensor('select', 'x', x)
  const d = normalizeDim('select', dim, x.ndim)
  const size = x.sizes[d] ?? 0
  if (x.ndim === 0 || !Number.isInteger(index) || index < -size || index >= size)
    throw new ValueError('select', `index ${shown(index)} lies outside dimension ${d} of ${formatShape(x.sizes)}`)
  return squeeze(oneDim(x, d, index < 0 ? index + size : index, 1, 1), d)
}

/** What a slice takes of one dimension: one index (dropping the dimension), [start, end) or [start, end, step], or all (null). */
export type SliceIndex = number | readonly [start: number | null, end: number | null, step?: number] | null

/**
 * JavaScript's `x[a, b:c, ::2]`: one entry a dimension, the rest whole. Negative positions count from the end, positions
 * beyond it are cut off, steps are positive. A view. `slice(x, 0, [1, 3])` is `x[0, 1:3]`.
 */
export function slice<D extends DType>(x: Tensor<Shape, D>, ...indices: readonly SliceIndex[]): Tensor<Shape, D>
export function slice(x: Tensor, ...indices: readonly SliceIndex[]): Tensor {
  checkTensor('slice', 'x', x)
  if (indices.length > x.ndim)
    throw new ValueError('slice', `${indices.length} indices for ${x.ndim} dimensions of ${formatShape(x.sizes)}`)
  const starts: number[] = []
  const steps: number[] = []
  const sizes: number[] = []
  const dropped = new Set<number>()
  x.sizes.forEach((size, i) => {
    const index = indices[i] ?? null
    if (typeof index === 'number') {
      if (!Number.isInteger(index) || index < -size || index >= size)
        throw new ValueError('slice', `index ${index} lies outside dimension ${i} of ${formatShape(x.sizes)}`)
      dropped.add(i)
      starts.push(index < 0 ? index + size : index)
      steps.push(1)
      sizes.push(1)
      return
    }
    if (index !== null && !Array.isArray(index))
      throw new ValueError(
        'slice',
        `the index of dimension ${i} is ${kindOf(index)}, but must be a number, [start, end], [start, end, step] or null`,
      )
    const [from, to, step = 1] = index ?? [null, null]
    for (const value of [from ?? 0, to ?? 0, step])
      if (!Number.isInteger(value))
        throw new ValueError('slice', `position ${shown(value)} of dimension ${i} must be an integer`)
    if (step < 1) throw new ValueError('slice', `step ${step} of dimension ${i} must be at least 1`)
    const place = (value: number) => Math.min(Math.max(value < 0 ? value + size : value, 0), size)
    const first = place(from ?? 0)
    starts.push(first)
    steps.push(step)
    sizes.push(Math.max(0, Math.ceil((place(to ?? size) - first) / step)))
  })
  const taken = apply(sliceRecord, [x], { starts, steps, sizes })
  return dropped.size === 0
    ? taken
    : reshape(
        taken,
        sizes.filter((_, i) => !dropped.has(i)),
      )
}

interface Split {
  readonly dim: number
  readonly sizes: readonly number[]
}

function pieceShape(x: TensorSpec, dim: number, length: number): Shape {
  return x.shape.map((size, i) => (i === dim ? length : size))
}

/** All pieces in one call, so that their gradients are joined, at most by one copy each, instead of added into zeros. */
const splitRecord = operator<[x: Tensor], Split, readonly Tensor[]>({
  name: 'split',
  outputs: Number.POSITIVE_INFINITY,
  infer: ([x], { dim, sizes }) => sizes.map((length) => like(x, pieceShape(x, dim, length))),
  forward([x], { dim, sizes }, specs) {
    let start = 0
    return specs.map(({ shape }, i) => {
      // An empty view must not point behind the memory.
      const skipped = countOf(shape) === 0 ? 0 : start * (x.steps[dim] ?? 0)
      start += sizes[i] ?? 0
      return viewOf(x, shape, x.steps, x.offset + skipped)
    })
  },
  gradient: {
    saves: () => ({}),
    backward(ctx, gradients) {
      const { dim, sizes } = ctx.attrs
      const found = gradients.filter((g) => g !== null)
      const whole = ctx.createGraph || found.length < sizes.length ? null : joined(found, dim)
      if (whole !== null) return [whole]
      const [given] = found
      if (given === undefined) return [null]
      const { dtype, device } = given
      const parts = sizes.map(
        (length, i) => gradients[i] ?? full(pieceShape(ctx.spec(0), dim, length), 0, { dtype, device }),
      )
      return [cat(parts, dim)]
    },
  },
})

const mostPieces = 2 ** 24
/** Of the JavaScript heap, for each piece: the tensor, its sizes and what the list and autograd keep of it. */
const pieceBytes = 512

/** Throws where so many tensors are too many for a list, or for what the JavaScript heap has left. */
function checkPieces(op: string, count: number): void {
  const advice = 'take fewer, larger pieces, or index with select() or narrow() where a piece is needed'
  checkEntries(op, count, mostPieces, 'pieces', advice)
  askHeap(count * pieceBytes, op, `${count} pieces`, advice)
}

/** As many pieces as sizes, where those are given one by one. */
export type Pieces<N, D extends DType> = N extends readonly number[]
  ? { -readonly [I in keyof N]: Tensor<Shape, D> }
  : Tensor<Shape, D>[]

/** Pieces of `size` along `dim` (the last may be smaller), or of the given sizes. Views. */
export function split<D extends DType, const N extends number | readonly number[]>(
  x: Tensor<Shape, D>,
  size: N,
  dim?: number,
): Pieces<N, D>
export function split(x: Tensor, size: number | readonly number[], dim = 0): Tensor[] {
  checkTensor('split', 'x', x)
  const d = normalizeDim('split', dim, x.ndim)
  const total = x.sizes[d] ?? 0
  if (typeof size === 'number' && !(Number.isInteger(size) && size > 0))
    throw new ValueError('split', `size is ${size}, but must be a positive integer`)
  if (typeof size === 'number') checkPieces('split', Math.ceil(total / size))
  const sizes =
    typeof size === 'number'
      ? Array.from({ length: Math.max(1, Math.ceil(total / size)) }, (_, i) => Math.min(size, total - i * size))
      : size
  if (!Array.isArray(sizes))
    throw new ValueError('split', `size is ${kindOf(size)}, but must be an integer or an array of them`)
  if (x.ndim === 0) throw new ValueError('split', 'x is one number, without a dimension to split')
  if (sizes.some((each) => !Number.isInteger(each) || each < 0))
    throw new ValueError('split', `sizes ${formatShape(sizes)} must be non-negative integers`)
  if (sizes.reduce((a, b) => a + b, 0) !== total)
    throw new ValueError(
      'split',
      `sizes ${formatShape(sizes)} do not add up to ${total}, dimension ${d} of ${formatShape(x.sizes)}`,
    )
  return sizes.length === 0 ? [] : [...apply(splitRecord, [x], { dim: d, sizes })]
}

/** At most `chunks` pieces of equal size (the last may be smaller). Views. */
export function chunk<D extends DType>(x: Tensor<Shape, D>, chunks: number, dim = 0): Tensor<Shape, D>[] {
  checkTensor('chunk', 'x', x)
  if (!(Number.isInteger(chunks) && chunks > 0))
    throw new ValueError('chunk', `chunks is ${shown(chunks)}, but must be a positive integer`)
  const size = x.sizes[normalizeDim('chunk', dim, x.ndim)] ?? 0
  checkPieces('chunk', Math.min(chunks, size))
  return split(x, Math.max(1, Math.ceil(size / chunks)), dim)
}

/**
 * Surrounded by `value`: `amounts` holds [before, after] of the last dimension, then of the one before it, and so on, as in
 * PyTorch; negative amounts cut off. Around integers the value must be one of their dtype.
 */
export function pad<D extends DType>(x: Tensor<Shape, D>, amounts: readonly number[], value?: number): Tensor<Shape, D>
export function pad(x: Tensor, amounts: readonly number[], value = 0): Tensor {
  checkTensor('pad', 'x', x)
  const faulty =
    !Array.isArray(amounts) ||
    amounts.length % 2 !== 0 ||
    amounts.length > 2 * x.ndim ||
    amounts.some((a) => !Number.isSafeInteger(a))
  if (faulty)
    throw new ValueError(
      'pad',
      `amounts are ${shown(amounts)}, but must hold integers, two for each of at most ${x.ndim} dimensions`,
    )
  const before = x.sizes.map((_, i) => amounts[2 * (x.ndim - 1 - i)] ?? 0)
  const after = x.sizes.map((_, i) => amounts[2 * (x.ndim - 1 - i) + 1] ?? 0)
  const shape = x.sizes.map((size, i) => size + (before[i] as number) + (after[i] as number))
  if (shape.some((size) => size < 0))
    throw new ValueError('pad', `amounts ${formatShape(amounts)} cut off more than ${formatShape(x.sizes)} has`)
  checkShape('pad', shape)
  if (typeof value !== 'number') throw new ValueError('pad', `the value is ${kindOf(value)}, but must be a number`)
  checkNumber('pad', value, x.dtype)
  const kept = x.sizes.map((size, i) =>
    Math.max(0, size + Math.min(0, before[i] as number) + Math.min(0, after[i] as number)),
  )
  const steps = x.sizes.map(() => 1)
  const inner = apply(sliceRecord, [x], { starts: before.map((b) => Math.max(0, -b)), steps, sizes: kept })
  return apply(unsliceRecord, [inner], {
    starts: before.map((b) => Math.max(0, b)),
    steps,
    sizes: kept,
    shape,
    value,
  })
}

// joining -------------------------------------------------------------------------------------------------------------

const catRecord = operator<readonly Tensor[], number>({
  name: 'cat',
  inputs: ['each of the list'],
  infer(inputs, dim) {
    const [first, ...rest] = inputs
    if (first === undefined) throw new ValueError('cat', 'there is nothing to join: the list of tensors is empty')
    for (const x of rest)
      if (x.ndim !== first.ndim || x.sizes.some((size, i) => i !== dim && size !== first.sizes[i]))
        throw new ShapeError(
          'cat',
          `${formatShape(first.sizes)} and ${formatShape(x.sizes)} must agree in all dimensions but ${dim}`,
          [first.sizes, x.sizes],
        )
    const total = inputs.reduce((sum, x) => sum + (x.sizes[dim] ?? 0), 0)
    const sizes = first.sizes.map((size, i) => (i === dim ? total : size))
    checkSizes('cat', sizes)
    return like(first, sizes)
  },
  forward: kernel('cat', (inputs, dim, { out }) => ({ out, inputs, dim })),
  gradient: {
    saves: () => ({}),
    backward(ctx, [g]) {
      let start = 0
      return ctx.needs.map((need, i) => {
        const length = ctx.spec(i).shape[ctx.attrs] ?? 0
        const part = need ? narrow(g, ctx.attrs, start, length) : null
        start += length
        return part
      })
    },
  },
})

function checkTensors(op: string, tensors: readonly Tensor[]): void {
  if (!Array.isArray(tensors))
    throw new ValueError(op, `takes an array of tensors, but got ${kindOf(tensors)}; write ${op}([a, b])`)
  for (const x of tensors) checkTensor(op, 'each of the list', x)
}

/** Tensors one after another along `dim`. */
export function cat<D extends DType>(tensors: readonly Tensor<Shape, D>[], dim?: number): Tensor<Shape, D>
export function cat(tensors: readonly Tensor[], dim = 0): Tensor {
  checkTensors('cat', tensors)
  const rank = tensors[0]?.ndim ?? 1
  if (rank === 0) throw new ShapeError('cat', 'tensors without dimensions cannot be joined; use stack', [[]])
  return apply(catRecord, tensors, normalizeDim('cat', dim, rank))
}

/** Tensors of one shape along a new dimension. */
export function stack<D extends DType>(tensors: readonly Tensor<Shape, D>[], dim = 0): Tensor<Shape, D> {
  checkTensors('stack', tensors)
  const first = tensors[0]
  if (first === undefined) throw new ValueError('stack', 'there is nothing to join: the list of tensors is empty')
  for (const x of tensors)
    if (!sameShape(x.sizes, first.sizes))
      throw new ShapeError(
        'stack',
        `all tensors must have one shape, but there are ${formatShape(first.sizes)} and ${formatShape(x.sizes)}`,
        [first.sizes, x.sizes],
      )
  const d = normalizeDim('stack', dim, first.ndim + 1)
  return namedAs('stack', () =>
    cat(
      tensors.map((x) => unsqueeze(x, d)),
      d,
    ),
  )
}

declare module '../core/tensor.js' {
  interface Tensor<S extends Shape = Shape, D extends DType = DType> {
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
    slice(...indices: readonly SliceIndex[]): Tensor<Shape, D>
    split<const N extends number | readonly number[]>(size: N, dim?: number): Pieces<N, D>
    chunk(chunks: number, dim?: number): Tensor<Shape, D>[]
    clone(): Tensor<S, D>
    contiguous(): Tensor<S, D>
    detach(): Tensor<S, D>
  }
}

defineMethods({
  reshape(shape: Shape) {
    return reshape(this, shape)
  },
  view(shape: Shape) {
    return view(this, shape)
  },
  flatten(start?: number, end?: number) {
    return flatten(this, start, end)
  },
  squeeze(dim?: number) {
    return squeeze(this, dim)
  },
  unsqueeze(dim: number) {
    return unsqueeze(this, dim)
  },
  permute(dims: readonly number[]) {
    return permute(this, dims)
  },
  transpose(dim0: number, dim1: number) {
    return transpose(this, dim0, dim1)
  },
  expand(shape: Shape) {
    return expand(this, shape)
  },
  narrow(dim: number, start: number, length: number) {
    return narrow(this, dim, start, length)
  },
  select(dim: number, index: number) {
    return select(this, dim, index)
  },
  slice(...indices: readonly SliceIndex[]) {
    return slice(this, ...indices)
  },
  split(size: number | readonly number[], dim?: number) {
    return split(this, size, dim)
  },
  chunk(chunks: number, dim?: number) {
    return chunk(this, chunks, dim)
  },
  clone() {
    return clone(this)
  },
  contiguous() {
    return contiguous(this)
  },
  detach() {
    return detach(this)
  },
})
