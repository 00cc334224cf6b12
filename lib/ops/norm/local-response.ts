/** Normalisation by neighbouring channels. */
import { checkTensor } from '../../autograd/operator.js'
import { formatShape, namedAs, ShapeError, shown, ValueError } from '../../core/errors.js'
import { checkOptions, type OptionNames } from '../../core/options.js'
import { countOf } from '../../core/shape.js'
import type { Tensor } from '../../core/tensor.js'
import { checkScalar } from '../common.js'
import { add, div, mul, pow, square } from '../elementwise/index.js'
import { avgPool2d } from '../pool/average.js'
import { pad, reshape } from '../shape/index.js'
import { widened } from '../widened.js'

export interface LocalResponseNormOptions {
  /** Default 1e-4. */
  readonly alpha?: number | undefined
  /** Default 0.75. */
  readonly beta?: number | undefined
  /** Default 1. */
  readonly k?: number | undefined
}

const localResponseNormNames: OptionNames<LocalResponseNormOptions> = { alpha: true, beta: true, k: true }

/**
 * x [N, C, ..] / (k + alpha / size * (sum of x^2 over `size` channels around each))^beta; channels outside count as 0
 * (Krizhevsky, Sutskever and Hinton, 2012). Throws ShapeError if x has fewer than three dimensions.
 */
export function localResponseNorm(x: Tensor, size: number, options: LocalResponseNormOptions = {}): Tensor {
  checkTensor('localResponseNorm', 'x', x)
  const { alpha = 1e-4, beta = 0.75, k = 1 } = checkOptions('localResponseNorm', options, localResponseNormNames)
  if (!Number.isInteger(size) || size < 1 || size >= 2 ** 31)
    throw new ValueError(
      'localResponseNorm',
      `size is ${shown(size)}, but must be a positive integer: a number of channels`,
    )
  for (const [name, value] of Object.entries({ alpha, beta, k })) checkScalar('localResponseNorm', name, value)
  if (x.ndim < 3)
    throw new ShapeError(
      'localResponseNorm',
      `x must be [N, C, ..] with three dimensions or more, but is ${formatShape(x.sizes)}`,
      [x.sizes],
    )
  if (x.numel === 0) return x
  const [n = 0, c = 0] = x.sizes
  const normalised = (wide: Tensor) => {
    const squares = reshape(square(wide), [n, 1, c, countOf(x.sizes.slice(2))])
    const before = Math.floor(size / 2)
    const means = avgPool2d(pad(squares, [0, 0, before, size - 1 - before]), [size, 1], { stride: 1 })
    return div(wide, pow(add(mul(reshape(means, x.sizes), alpha), k), beta))
  }
  return namedAs('localResponseNorm', () => widened('localResponseNorm', [x], ([wide]) => normalised(wide)))
}
