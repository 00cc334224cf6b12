/** Running results along a dimension: sums, extremes, and logarithms of sums. */
import { apply, checkDType, checkTensor, type Operator } from '../../autograd/operator.js'
import type { DType, Summed } from '../../core/dtype.js'
import { namedAs } from '../../core/errors.js'
import { defineMethods } from '../../core/methods.js'
import { normalizeDim, type Shape } from '../../core/shape.js'
import type { Tensor } from '../../core/tensor.js'
import { anyFloating, like } from '../common.js'
import { castTo, precise } from '../convert.js'
import { full } from '../creation.js'
import { add, exp, ge, le, log, maximum, mul, neg, sub, where } from '../elementwise/index.js'
import { kernel, operator } from '../operator.js'
import { detach, reshape, unsqueeze } from '../shape/index.js'
import { comparable, countable } from './dims.js'
import { picked, type Selected } from './picked.js'
import { sum } from './sums.js'

interface Cumsum {
  readonly dim: number
  readonly reverse: boolean
}

const cumsumRecord: Operator<[x: Tensor], Cumsum> = operator<[x: Tensor], Cumsum>({
  name: 'cumsum',
  infer: ([x]) => like(x),
  forward: kernel('cumsum', ([x], attrs, { out }) => ({ out, x, ...attrs })),
  gradient: {
    saves: () => ({}),
    backward: ({ attrs }, [g]) => [apply(cumsumRecord, [g], { dim: attrs.dim, reverse: !attrs.reverse })],
  },
})

/** The running sum from either end, for gradients. */
export function runningSum(x: Tensor, dim: number, reverse: boolean): Tensor {
  return apply(cumsumRecord, [x], { dim, reverse })
}

/**
 * The running sum along `dim`. uint8 and bool give int32. A sum of integers that int32 cannot hold is a late
 * ValueError.
 */
export function cumsum<S extends Shape, D extends DType>(x: Tensor<S, D>, dim: number): Tensor<S, Summed<D>>
export function cumsum(x: Tensor, dim: number): Tensor {
  checkTensor('cumsum', 'x', x)
  const counted = countable(x)
  return apply(cumsumRecord, [counted], { dim: normalizeDim('cumsum', dim, x.ndim), reverse: false })
}

function extremeSoFar(name: 'cummax' | 'cummin') {
  return operator<[x: Tensor], number>({
    name,
    infer: ([x]) => ({ shape: x.sizes, dtype: 'int32' }),
    forward: kernel(name, ([x], dim, { out }) => ({ out, x, dim })),
    gradient: { differentiable: false, reason: 'the result is an index' },
  })
}

const cummaxRecord = extremeSoFar('cummax')
const cumminRecord = extremeSoFar('cummin')

function soFar(record: Operator<[x: Tensor], number>, x: Tensor, dim: number): Selected {
  const { name } = record
  checkTensor(name, 'x', x)
  const d = normalizeDim(name, dim, x.ndim)
  return namedAs(name, () => picked(x, d, true, (line) => apply(record, [comparable(detach(line))], d)))
}

/**
 * The largest element so far along `dim` and its index (int32), the last of equals; NaN from the first NaN on. The
 * gradient goes to the chosen elements.
 */
export function cummax<D extends DType>(x: Tensor<Shape, D>, dim: number): Selected<D>
export function cummax(x: Tensor, dim: number): Selected {
  return soFar(cummaxRecord, x, dim)
}

/** Like `cummax`, but for the smallest. */
export function cummin<D extends DType>(x: Tensor<Shape, D>, dim: number): Selected<D>
export function cummin(x: Tensor, dim: number): Selected {
  return soFar(cumminRecord, x, dim)
}

const logcumsumexpRecord: Operator<[x: Tensor], Cumsum> = operator<[x: Tensor], Cumsum>({
  name: 'logcumsumexp',
  infer: ([x]) => like(x),
  forward: kernel('logcumsumexp', ([x], attrs, { out }) => ({ out, x, ...attrs })),
  gradient: {
    saves: () => ({ inputs: [0], outputs: [0] }),
    backward: (ctx, [g]) => [
      ctx.createGraph
        ? weightsInFull(ctx.input(0), ctx.output(0), g, ctx.attrs)
        : weights(ctx.input(0), ctx.output(0), g, ctx.attrs),
    ],
  },
})

/**
 * The sum of g exp(x - y) from each element on. It uses logarithms of the positive and the negative part of g, which do
 * not overflow where an exponential would.
 */
function weights(x: Tensor, y: Tensor, g: Tensor, { dim, reverse }: Cumsum): Tensor {
  const part = (size: Tensor) => exp(add(apply(logcumsumexpRecord, [sub(log(size), y)], { dim, reverse: !reverse }), x))
  return sub(part(maximum(g, 0)), part(maximum(neg(g), 0)))
}

/** The same without logarithms of g, which have no derivative at 0. It takes n^2 numbers for each line. */
function weightsInFull(x: Tensor, y: Tensor, g: Tensor, { dim, reverse }: Cumsum): Tensor {
  if (x.ndim === 0) return g
  // [.., k, i, ..]: the share of element k in result i.
  const along = (d: number) => {
    const ones = full([x.sizes[dim] as number], 1, { dtype: 'int32', device: x.device })
    return reshape(
      runningSum(ones, 0, false),
      Array.from({ length: x.ndim + 1 }, (_, i) => (i === d ? -1 : 1)),
    )
  }
  const [from, to] = [along(dim), along(dim + 1)]
  const counts = reverse ? le(to, from) : ge(to, from)
  const shares = exp(where(counts, sub(unsqueeze(x, dim + 1), unsqueeze(y, dim)), Number.NEGATIVE_INFINITY))
  return sum(mul(unsqueeze(g, dim), shares), dim + 1)
}

/** The log of the running sum of exp(x) along `dim`, without overflow. */
export function logcumsumexp<S extends Shape, D extends DType>(x: Tensor<S, D>, dim: number): Tensor<S, D>
export function logcumsumexp(x: Tensor, dim: number): Tensor {
  checkTensor('logcumsumexp', 'x', x)
  const near = precise(x)
  checkDType('logcumsumexp', 'x', near, anyFloating)
  const attrs = { dim: normalizeDim('logcumsumexp', dim, x.ndim), reverse: false }
  return near.dtype === 'bfloat16'
    ? castTo(apply(logcumsumexpRecord, [castTo(near, 'float32')], attrs), 'bfloat16')
    : apply(logcumsumexpRecord, [near], attrs)
}

declare module '../../core/tensor.js' {
  interface Tensor<S extends Shape = Shape, D extends DType = DType> {
    cumsum(dim: number): Tensor<S, Summed<D>>
    cummax(dim: number): Selected<D>
    cummin(dim: number): Selected<D>
    logcumsumexp(dim: number): Tensor<S, D>
  }
}

defineMethods({
  cumsum(dim: number) {
    return cumsum(this, dim)
  },
  cummax(dim: number) {
    return cummax(this, dim)
  },
  cummin(dim: number) {
    return cummin(this, dim)
  },
  logcumsumexp(dim: number) {
    return logcumsumexp(this, dim)
  },
})
