/** Dropout of elements and of channels. The `generator` is by default the one that `manualSeed` seeds. */
import { checkDType, checkTensor } from '../autograd/operator.js'
import type { DType } from '../core/dtype.js'
import { formatShape, ShapeError } from '../core/errors.js'
import { checkGenerator, defaultGenerator, type Generator } from '../core/generator.js'
import { checkFlag, checkOptions, type OptionNames } from '../core/options.js'
import { countOf, type Shape } from '../core/shape.js'
import type { Tensor } from '../core/tensor.js'
import { anyFloating, checkProbability } from './common.js'
import { castTo } from './convert.js'
import { ones } from './creation.js'
import { dropoutAt } from './drop.js'
import { add, mul, ne, sub } from './elementwise/index.js'
import { once } from './widened.js'

export interface DropoutOptions {
  /** Whether to drop. Default true, but false for `alphaDropout` and `featureAlphaDropout`; false returns x itself. */
  readonly training?: boolean
  readonly generator?: Generator | undefined
}

const dropoutNames: OptionNames<DropoutOptions> = { training: true, generator: true }

/** Zeroes each element with probability p and scales the others by 1 / (1 - p). */
export function dropout<S extends Shape, D extends DType>(
  x: Tensor<S, D>,
  p?: number,
  options?: DropoutOptions,
): Tensor<S, D>
export function dropout(x: Tensor, p = 0.5, options: DropoutOptions = {}): Tensor {
  const { training = true, generator } = checkOptions('dropout', options, dropoutNames)
  checkFlag('dropout', 'training', training)
  checkGenerator('dropout', generator)
  checkTensor('dropout', 'x', x)
  checkProbability('dropout', p)
  if (!training || p === 0) return x
  return dropoutAt(x, p, (generator ?? defaultGenerator()).take(x.numel))
}

/** The options of a dropout that drops; null if x stays as it is. Throws for wrong options and for a wrong x. */
function asked(
  op: string,
  x: Tensor,
  p: number,
  options: DropoutOptions,
  byDefault: boolean,
): { readonly generator: Generator } | null {
  const { training = byDefault, generator } = checkOptions(op, options, dropoutNames)
  checkFlag(op, 'training', training)
  checkGenerator(op, generator)
  checkDType(op, 'x', x, anyFloating)
  checkProbability(op, p)
  return training && p > 0 ? { generator: generator ?? defaultGenerator() } : null
}

/** A factor for each element of `shape`: 0 with probability p, else 1 / (1 - p). It is float64 for x in float64. */
function factors(x: Tensor, shape: Shape, p: number, generator: Generator): Tensor {
  const dtype = x.dtype === 'float64' ? 'float64' : 'float32'
  return dropoutAt(ones(shape, { dtype, device: x.device }), p, generator.take(countOf(shape)))
}

/** Sizes of one factor for each channel, where channels are dimension `axis`. */
const perChannel = (x: Tensor, axis: number): Shape => x.sizes.map((size, i) => (i <= axis ? size : 1))

/** Drops channels of x. `channelsOf` has their dimension by x's number of dimensions, and `what` names x's forms. */
function dropChannels(
  op: string,
  x: Tensor,
  p: number,
  options: DropoutOptions,
  channelsOf: { readonly [ndim: number]: 0 | 1 },
  what: string,
): Tensor {
  const drops = asked(op, x, p, options, true)
  const axis = channelsOf[x.ndim]
  if (axis === undefined)
    throw new ShapeError(
      op,
      `x is ${formatShape(x.sizes)}, but must be ${what}; dropout() takes any shape and drops single elements`,
      [x.sizes],
    )
  if (drops === null) return x
  const kept = factors(x, perChannel(x, axis), p, drops.generator)
  return once(op, [x], (v) => mul(v, kept))
}

/**
 * Zeroes each channel of x with probability p and scales the others by 1 / (1 - p) (Tompson et al., 2015). x is [batch,
 * channels, length] or [channels, length]. Throws ShapeError for other numbers of dimensions, DTypeError, ValueError.
 */
export function dropout1d<S extends Shape, D extends DType>(
  x: Tensor<S, D>,
  p?: number,
  options?: DropoutOptions,
): Tensor<S, D>
export function dropout1d(x: Tensor, p = 0.5, options: DropoutOptions = {}): Tensor {
  return dropChannels('dropout1d', x, p, options, { 2: 0, 3: 1 }, '[batch, channels, length] or [channels, length]')
}

/**
 * Zeroes each channel of x with probability p and scales the others by 1 / (1 - p) (Tompson et al., 2015). x is [batch,
 * channels, height, width]. As in PyTorch, three dimensions are [batch, channels, length]. Throws ShapeError for other
 * numbers of dimensions, DTypeError, ValueError.
 */
export function dropout2d<S extends Shape, D extends DType>(
  x: Tensor<S, D>,
  p?: number,
  options?: DropoutOptions,
): Tensor<S, D>
export function dropout2d(x: Tensor, p = 0.5, options: DropoutOptions = {}): Tensor {
  const what = '[batch, channels, height, width] or [batch, channels, length]'
  return dropChannels('dropout2d', x, p, options, { 3: 1, 4: 1 }, what)
}

/**
 * Zeroes each channel of x with probability p and scales the others by 1 / (1 - p) (Tompson et al., 2015). x is [batch,
 * channels, depth, height, width], or the same without a batch. Throws ShapeError for other numbers of dimensions,
 * DTypeError, ValueError.
 */
export function dropout3d<S extends Shape, D extends DType>(
  x: Tensor<S, D>,
  p?: number,
  options?: DropoutOptions,
): Tensor<S, D>
export function dropout3d(x: Tensor, p = 0.5, options: DropoutOptions = {}): Tensor {
  const what = '[batch, channels, depth, height, width] or [channels, depth, height, width]'
  return dropChannels('dropout3d', x, p, options, { 4: 0, 5: 1 }, what)
}

/** The limit of SELU far below 0, negated: its scale times its alpha. */
const saturation = 1.7580993408473766

/**
 * Sets what is dropped to SELU's limit far below 0. The result is scaled and shifted so that mean 0 and variance 1 stay
 * as they are. At p = 1 everything is 0, as in PyTorch.
 */
function dropToLimit(op: string, x: Tensor, shape: Shape, p: number, generator: Generator): Tensor {
  const drawn = factors(x, shape, p, generator)
  if (p === 1) return once(op, [x], (v) => mul(v, drawn))
  const kept = castTo(ne(drawn, 0), drawn.dtype)
  const scale = 1 / Math.sqrt((saturation ** 2 * p + 1) * (1 - p))
  const factor = mul(kept, scale)
  const shift = sub(mul(kept, saturation * scale), saturation * scale * (1 - p))
  return once(op, [x], (v) => add(mul(v, factor), shift))
}

/**
 * Sets each element with probability p to SELU's limit far below 0, then scales and shifts all, so that mean 0 and
 * variance 1 stay as they are (Klambauer et al., 2017). `training` is FALSE by default, as in PyTorch. Throws DTypeError,
 * ValueError.
 */
export function alphaDropout<S extends Shape, D extends DType>(
  x: Tensor<S, D>,
  p?: number,
  options?: DropoutOptions,
): Tensor<S, D>
export function alphaDropout(x: Tensor, p = 0.5, options: DropoutOptions = {}): Tensor {
  const drops = asked('alphaDropout', x, p, options, false)
  return drops === null ? x : dropToLimit('alphaDropout', x, x.sizes, p, drops.generator)
}

/**
 * `alphaDropout` of whole channels of x, which is [batch, channels, ...] with any number of dimensions after the
 * channels. `training` is FALSE by default, as in PyTorch. Throws ShapeError, DTypeError, ValueError.
 */
export function featureAlphaDropout<S extends Shape, D extends DType>(
  x: Tensor<S, D>,
  p?: number,
  options?: DropoutOptions,
): Tensor<S, D>
export function featureAlphaDropout(x: Tensor, p = 0.5, options: DropoutOptions = {}): Tensor {
  const op = 'featureAlphaDropout'
  const drops = asked(op, x, p, options, false)
  if (drops === null) return x
  if (x.ndim < 2)
    throw new ShapeError(
      op,
      `x is ${formatShape(x.sizes)}, but must be [batch, channels, ...]; alphaDropout() takes any shape`,
      [x.sizes],
    )
  return dropToLimit(op, x, perChannel(x, 1), p, drops.generator)
}
