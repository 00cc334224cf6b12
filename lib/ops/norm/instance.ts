/** Instance norm: batch norm of each image separately. */
import { noGrad } from '../../autograd/mode.js'
import { checkTensor } from '../../autograd/operator.js'
import { Faults, formatShape, namedAs, ValueError } from '../../core/errors.js'
import { checkFlag, checkOptions, type OptionNames } from '../../core/options.js'
import type { Tensor } from '../../core/tensor.js'
import { castTo } from '../convert.js'
import { copyInto } from '../inplace.js'
import { mean } from '../reduce/index.js'
import { contiguous, detach, expand, reshape } from '../shape/index.js'
import { batchNorm } from './batch.js'
import { checkChannels, checkEps, checkMomentum, imagesOf } from './shared.js'

export interface InstanceNormOptions {
  readonly weight?: Tensor | null
  readonly bias?: Tensor | null
  /**
   * Whether to normalise by each image's own statistics, and update the running ones if there are any, rather than
   * normalise by the running ones. Default true.
   */
  readonly useInputStats?: boolean
  /** The share of a batch in the running statistics. Default 0.1. */
  readonly momentum?: number
  /** The number added to the variance. Default 1e-5. */
  readonly eps?: number
}

const names: OptionNames<InstanceNormOptions> = {
  weight: true,
  bias: true,
  useInputStats: true,
  momentum: true,
  eps: true,
}

/**
 * Normalises each image and channel of x [N, C, ...] separately, over all dimensions after C (Ulyanov, Vedaldi and
 * Lempitsky, 2016). Running statistics [C] are updated in place by the means over images of their statistics, with the
 * unbiased variance. Throws ShapeError, and ValueError if a channel of an image has a single value.
 */
export function instanceNorm(
  x: Tensor,
  runningMean: Tensor | null = null,
  runningVar: Tensor | null = null,
  options: InstanceNormOptions = {},
): Tensor {
  const op = 'instanceNorm'
  checkOptions(op, options, names)
  const { weight = null, bias = null, useInputStats = true, momentum = 0.1, eps = 1e-5 } = options
  checkFlag(op, 'useInputStats', useInputStats)
  checkMomentum(op, momentum)
  checkEps(op, eps)
  checkTensor(op, 'x', x)
  const running = { runningMean, runningVar }
  for (const [name, p] of Object.entries({ weight, bias, ...running })) if (p !== null) checkTensor(op, name, p)
  const faults = new Faults()
  faults.check(
    x.ndim >= 3,
    () => `x must be [N, C, ...] with something to normalise over, but is ${formatShape(x.sizes)}`,
  )
  checkChannels(faults, x, { weight, bias, ...running })
  faults.check((runningMean === null) === (runningVar === null) && (useInputStats || runningMean !== null), () =>
    useInputStats
      ? 'runningMean and runningVar belong together, but one of them is null'
      : 'useInputStats: false needs runningMean and runningVar',
  )
  faults.throwShape(op, [x.sizes])
  const [n = 0, c = 0, l = 0] = imagesOf(x)
  if (useInputStats && l === 1)
    throw new ValueError(
      op,
      `needs more than one value per channel of an image, but x is ${formatShape(x.sizes)}; give larger images, or useInputStats: false`,
    )
  if (!useInputStats) return namedAs(op, () => batchNorm(x, runningMean, runningVar, { weight, bias, eps }))
  return namedAs(op, () => {
    // The channels of all images are treated as N C channels of one image.
    const repeated = (p: Tensor) => reshape(expand(reshape(p, [1, c]), [n, c]), [n * c])
    // Statistics stay float32 until they are averaged over the images, and so are rounded once.
    const own = (p: Tensor | null) =>
      p && noGrad(() => contiguous(castTo(detach(repeated(p)), p.dtype === 'bfloat16' ? 'float32' : p.dtype)))
    const [means, variances] = [own(runningMean), own(runningVar)]
    const out = batchNorm(reshape(x, [1, n * c, l]), means, variances, {
      weight: weight && repeated(weight),
      bias: bias && repeated(bias),
      training: true,
      momentum,
      eps,
    })
    const keep = (buffer: Tensor | null, all: Tensor | null) =>
      buffer &&
      all &&
      n * l > 0 &&
      noGrad(() => copyInto(buffer, castTo(mean(reshape(all, [n, c]), 0), buffer.dtype), op))
    keep(runningMean, means)
    keep(runningVar, variances)
    return reshape(out, x.sizes)
  })
}
