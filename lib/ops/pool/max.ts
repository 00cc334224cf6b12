/** Max pooling, and its partial inverse. */

import { apply, checkTensor } from '../../autograd/operator.js'
import { checkFlag, checkOptions, type OptionNames } from '../../core/options.js'
import { countOf, type Shape } from '../../core/shape.js'
import type { Tensor } from '../../core/tensor.js'
import { like } from '../common.js'
import type { Single } from '../conv-options.js'
import { gather } from '../indexing/index.js'
import { kernel, operator } from '../operator.js'
import type { Pair } from '../pair.js'
import { reshape } from '../shape/index.js'
import {
  onImages,
  onSignals,
  pooledShape,
  readPair,
  readSingle,
  type Window,
  type WindowOptions,
  windowOf,
} from './window.js'

/** Max pooling. The second output is the place of each maximum in its plane. */
export const maxPoolRecord = operator<[x: Tensor], Window, [out: Tensor, indices: Tensor]>({
  name: 'maxPool2d',
  outputs: 2,
  infer([x], attrs) {
    const shape = pooledShape('maxPool2d', x, attrs)
    return [like(x, shape), { shape, dtype: 'int32' }]
  },
  forward: kernel('max_pool2d_forward', ([x], { ceilMode: _, ...attrs }, { out, indices }) => ({
    out,
    indices,
    x,
    ...attrs,
  })),
  gradient: {
    saves: () => ({ outputs: [1] }),
    // Gradients come only through the first output, because indices are integers.
    backward: (ctx, [g]) => [g && apply(unpoolRecord, [g, ctx.output(1)], ctx.spec(0).shape)],
  },
})

/** The transpose of max pooling: puts gradients back where the maxima were. */
export const unpoolRecord = operator<[dy: Tensor, indices: Tensor], Shape>({
  name: 'max_pool2d_backward',
  infer: ([dy], shape) => like(dy, shape),
  forward: kernel('max_pool2d_backward', ([dy, indices], _shape, { dx }) => ({ dx, dy, indices })),
  gradient: {
    saves: () => ({ inputs: [1] }),
    backward(ctx, [g]) {
      const indices = ctx.input(1)
      const [n = 0, c = 0] = ctx.attrs
      const plane = (x: Tensor) => reshape(x, [n, c, countOf(x.sizes.slice(2))])
      return [reshape(gather(plane(g), 2, plane(indices)), indices.sizes), null]
    },
  },
})

export interface MaxPoolOptions<
  Size,
  S extends Size,
  P extends Size,
  D extends Size,
  C extends boolean,
  R extends boolean,
> extends WindowOptions<Size, S, P, C> {
  /** The distance between a window's elements. Default 1. */
  readonly dilation?: D | undefined
  /** Whether to also return the place of each maximum (int32) in its plane, in row-major order. Default false. */
  readonly returnIndices?: R | undefined
}

export interface MaxPool1dOptions<
  S extends Single = Single,
  P extends Single = Single,
  D extends Single = Single,
  C extends boolean = boolean,
  R extends boolean = boolean,
> extends MaxPoolOptions<Single, S, P, D, C, R> {}
export interface MaxPool2dOptions<
  S extends Pair = Pair,
  P extends Pair = Pair,
  D extends Pair = Pair,
  C extends boolean = boolean,
  R extends boolean = boolean,
> extends MaxPoolOptions<Pair, S, P, D, C, R> {}

/** The result of a call: a tensor, with indices if `returnIndices` asks for them. */
export type WithIndices<O> = O extends { readonly returnIndices: true }
  ? [out: Tensor, indices: Tensor<Shape, 'int32'>]
  : O extends { readonly returnIndices: boolean }
    ? Tensor | [out: Tensor, indices: Tensor<Shape, 'int32'>]
    : Tensor

/** The result of a layer whose `returnIndices` is R: a tensor, with or without indices. */
export type Pooled<R extends boolean> = R extends true ? [out: Tensor, indices: Tensor<Shape, 'int32'>] : Tensor

export const maxPoolNames: OptionNames<MaxPool2dOptions> = {
  stride: true,
  padding: true,
  dilation: true,
  ceilMode: true,
  returnIndices: true,
}

type MaxPooled = Tensor | readonly Tensor[]

function pickedOf(
  op: string,
  returnIndices: boolean | undefined,
  pooled: readonly [out: Tensor, indices: Tensor],
): MaxPooled {
  if (returnIndices !== undefined) checkFlag(op, 'returnIndices', returnIndices)
  return returnIndices ? pooled : pooled[0]
}

/**
 * The largest element of each window of x [N, C, H, W] or [C, H, W]; NaN counts as largest, and padding never wins.
 * Returns [out, indices] if `returnIndices` is set. Throws ShapeError for windows that do not fit.
 */
export function maxPool2d<const O extends MaxPool2dOptions = Record<never, never>>(
  x: Tensor,
  kernelSize: Pair,
  options?: O & MaxPool2dOptions,
): WithIndices<O>
export function maxPool2d(x: Tensor, kernelSize: Pair, options: MaxPool2dOptions = {}): MaxPooled {
  checkTensor('maxPool2d', 'x', x)
  const { returnIndices } = checkOptions('maxPool2d', options, maxPoolNames)
  const attrs = windowOf('maxPool2d', readPair, kernelSize, options)
  return onImages('maxPool2d', x, attrs, (images) =>
    pickedOf('maxPool2d', returnIndices, apply(maxPoolRecord, [images], attrs)),
  )
}

/**
 * The largest element of each window of x [N, C, L] or [C, L]; NaN counts as largest, and padding never wins. Returns
 * [out, indices] if `returnIndices` is set. Throws ShapeError for windows that do not fit.
 */
export function maxPool1d<const O extends MaxPool1dOptions = Record<never, never>>(
  x: Tensor,
  kernelSize: Single,
  options?: O & MaxPool1dOptions,
): WithIndices<O>
export function maxPool1d(x: Tensor, kernelSize: Single, options: MaxPool1dOptions = {}): MaxPooled {
  checkTensor('maxPool1d', 'x', x)
  const { returnIndices } = checkOptions('maxPool1d', options, maxPoolNames as OptionNames<MaxPool1dOptions>)
  const attrs = windowOf('maxPool1d', readSingle, kernelSize, options)
  return onSignals('maxPool1d', x, (images) => {
    pooledShape('maxPool1d', images, attrs, x.sizes, 1)
    return pickedOf('maxPool1d', returnIndices, apply(maxPoolRecord, [images], attrs))
  })
}
