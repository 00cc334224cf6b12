/** Encodings of a sequence's positions by sines and cosines. */
import { checkDType, checkTensor } from '../../autograd/operator.js'
import type { DType } from '../../core/dtype.js'
import { formatShape, ShapeError } from '../../core/errors.js'
import { checkOptions, type OptionNames } from '../../core/options.js'
import type { Shape } from '../../core/shape.js'
import type { Tensor } from '../../core/tensor.js'
import { anyFloating } from '../common.js'
import { castTo } from '../convert.js'
import { add, cos, sin } from '../elementwise/index.js'
import { flatten, narrow, stack } from '../shape/index.js'
import { anglesOf, checkBase, checkOffset, countFrom } from './angles.js'

export interface SinusoidalOptions {
  /** The position of the first element, an integer of at least 0. Default 0. */
  readonly offset?: number
  /** The longest wave is 2 pi times this. Default 10000. */
  readonly base?: number
}

const names: OptionNames<SinusoidalOptions> = { offset: true, base: true }

/**
 * Adds positions to x, which may have any number of features: sin(t / base^(2i / D)) to feature 2i of position t, and
 * the cosine to feature 2i + 1 (Vaswani et al., 2017). x [.., T, D] -> [.., T, D]. Throws ShapeError for fewer than two
 * dimensions.
 */
export function sinusoidalEncoding<S extends Shape, D extends DType>(
  x: Tensor<S, D>,
  options?: SinusoidalOptions,
): Tensor<S, D>
export function sinusoidalEncoding(x: Tensor, options: SinusoidalOptions = {}): Tensor {
  const op = 'sinusoidalEncoding'
  const { offset = 0, base = 10_000 } = checkOptions(op, options, names)
  checkTensor(op, 'x', x)
  checkDType(op, 'x', x, anyFloating)
  checkOffset(op, offset)
  checkBase(op, base)
  if (x.ndim < 2) throw new ShapeError(op, `x is ${formatShape(x.sizes)}, but must be [.., T, D]`, [x.sizes])
  const [t, d] = [x.sizes.at(-2) as number, x.sizes.at(-1) as number]
  const frequencies = Array.from({ length: Math.ceil(d / 2) }, (_, i) => base ** ((-2 * i) / d))
  const wide = x.dtype === 'float64' ? 'float64' : 'float32'
  const angles = anglesOf(countFrom(offset, t, wide, x.device), frequencies)
  const waves = narrow(flatten(stack([sin(angles), cos(angles)], -1), -2), -1, 0, d)
  const moved: Tensor = add(castTo(x, wide), waves)
  return castTo(moved, x.dtype)
}
