/** Batch norm, fused, with its composite. */
import { autocastDType } from '../../autograd/autocast.js'
import { noGrad } from '../../autograd/mode.js'
import { apply, checkTensor } from '../../autograd/operator.js'
import { DTypeError, Faults, formatShape, ValueError } from '../../core/errors.js'
import { checkFlag, checkOptions, type OptionNames } from '../../core/options.js'
import { countOf } from '../../core/shape.js'
import type { Tensor } from '../../core/tensor.js'
import { like, seenAs } from '../common.js'
import { castTo } from '../convert.js'
import { add, mul, rsqrt, square, sub } from '../elementwise/index.js'
import { copyInto } from '../inplace.js'
import { kernel, operator } from '../operator.js'
import { detach, reshape } from '../shape/index.js'
import { widened } from '../widened.js'
import { checkChannels, checkEps, checkMomentum, imagesOf, meanOf, perChannel } from './shared.js'

interface BatchNorm {
  readonly training: boolean
  readonly momentum: number
  readonly eps: number
}

/**
 * x [N, C, ...]; weight, bias [C] or null; runningMean, runningVar [C] or null (constants of the graph). Extra outputs:
 * mean and 1 / deviation of each channel.
 */
const batchNormRecord = operator<
  [x: Tensor, weight: Tensor | null, bias: Tensor | null, runningMean: Tensor | null, runningVar: Tensor | null],
  BatchNorm,
  [out: Tensor],
  [mean: Tensor, rstd: Tensor]
>({
  name: 'batchNorm',
  infer([x, weight, bias, runningMean, runningVar], { training }) {
    const [n, channels, length] = [x.sizes[0] ?? 0, x.sizes[1] ?? 0, countOf(x.sizes.slice(2))]
    const faults = new Faults()
    faults.check(x.ndim >= 2, () => `x must be [N, C, ...], but is ${formatShape(x.sizes)}`)
    checkChannels(faults, x, { weight, bias, runningMean, runningVar })
    faults.check(
      training || (runningMean !== null && runningVar !== null),
      () => 'evaluation needs runningMean and runningVar',
    )
    faults.throwShape('batchNorm', [x.sizes])
    if (training && n * length === 1)
      throw new ValueError(
        'batchNorm',
        `training needs more than one value per channel, but x is ${formatShape(x.sizes)}; give batches of more rows (a last ` +
          'batch of one row: dropLast: true of the loader, or another batchSize), or call eval() on the layer',
      )
    return [like(x), like(x, [channels]), like(x, [channels])]
  },
  writes: ({ training }) => (training ? [3, 4] : []),
  forward: kernel('batch_norm_forward', ([x, weight, bias, runningMean, runningVar], attrs, { out, mean, rstd }) => {
    const images = imagesOf(x)
    return {
      out: seenAs(out, images),
      mean,
      rstd,
      x: seenAs(x, images),
      weight,
      bias,
      runningMean,
      runningVar,
      ...attrs,
    }
  }),
  composite([x, weight, bias, runningMean, runningVar], { training, momentum, eps }) {
    const dims = x.sizes.map((_, d) => d).filter((d) => d !== 1)
    const count = dims.reduce((product, d) => product * (x.sizes[d] ?? 1), 1)
    const average = training || !runningMean ? meanOf(x, dims, count) : perChannel(runningMean, x)
    const centred = sub(x, average)
    const spread = training || !runningVar ? meanOf(square(centred), dims, count) : perChannel(runningVar, x)
    if (training && count > 0) {
      noGrad(() => {
        const towards = (buffer: Tensor | null, value: Tensor, factor: number) =>
          buffer &&
          copyInto(
            buffer,
            add(mul(buffer, 1 - momentum), mul(reshape(detach(value), buffer.sizes), momentum * factor)),
            'batchNorm',
          )
        towards(runningMean, average, 1)
        towards(runningVar, spread, count / (count - 1))
      })
    }
    const normalised = mul(centred, rsqrt(add(spread, eps)))
    const scaled = weight ? mul(normalised, perChannel(weight, x)) : normalised
    return bias ? add(scaled, perChannel(bias, x)) : scaled
  },
  gradient: {
    // In training the running statistics are in effect outputs; in evaluation they are constants of the composite.
    saves: (_needs, { training }) => ({ inputs: training ? [0, 1, 2] : [0, 1, 2, 3, 4], outputs: [1, 2] }),
    backward: kernel('batch_norm_backward', (ctx, [dy], { dx, dweight, dbias }) => {
      const x = ctx.input(0)
      const images = imagesOf(x)
      return {
        dx: dx && seenAs(dx, images),
        dweight,
        dbias,
        dy: seenAs(dy, images),
        x: seenAs(x, images),
        mean: ctx.output(1),
        rstd: ctx.output(2),
        weight: ctx.input(1),
        training: ctx.attrs.training,
      }
    }),
  },
})

/** If statistics were widened, the kernel wrote to copies, which are copied back here. */
function keepStatistics(buffers: readonly (Tensor | null)[], written: readonly (Tensor | null)[]): void {
  buffers.forEach((buffer, i) => {
    const copy = written[i]
    if (buffer && copy && copy !== buffer) noGrad(() => copyInto(buffer, castTo(copy, buffer.dtype), 'batchNorm'))
  })
}

export interface BatchNormOptions {
  readonly weight?: Tensor | null
  readonly bias?: Tensor | null
  /**
   * Whether to normalise by the batch and update the running statistics, rather than normalise by these. Default false.
   */
  readonly training?: boolean
  /** The share of a batch in the running statistics. Default 0.1. */
  readonly momentum?: number
  /** The number added to the variance. Default 1e-5. */
  readonly eps?: number
}

const batchNormNames: OptionNames<BatchNormOptions> = {
  weight: true,
  bias: true,
  training: true,
  momentum: true,
  eps: true,
}

/**
 * Normalises x [N, C, ...] per channel, over N and all dimensions after C (Ioffe and Szegedy, 2015). Training updates
 * the running statistics [C] in place, with the unbiased variance. Throws ShapeError, ValueError if a channel has a
 * single value, and DTypeError if autocast would have to update 16-bit statistics.
 */
export function batchNorm(
  x: Tensor,
  runningMean: Tensor | null,
  runningVar: Tensor | null,
  options: BatchNormOptions = {},
): Tensor {
  checkOptions('batchNorm', options, batchNormNames)
  const { weight = null, bias = null, training = false, momentum = 0.1, eps = 1e-5 } = options
  checkFlag('batchNorm', 'training', training)
  checkMomentum('batchNorm', momentum)
  if (training && autocastDType() !== null)
    for (const [name, running] of Object.entries({ runningMean, runningVar }))
      if (running?.dtype === 'bfloat16' || running?.dtype === 'float16')
        throw new DTypeError(
          'batchNorm',
          `${name} is ${running.dtype}, but autocast computes in float32, so the update would go to a copy; keep the running ` +
            "statistics in float32 (a layer with .to('float32')), or train outside of autocast",
        )
  const attrs = { training, momentum, eps: checkEps('batchNorm', eps) }
  checkTensor('batchNorm', 'x', x)
  return widened('batchNorm', [x, weight, bias, runningMean, runningVar], (inputs) => {
    const out = apply(batchNormRecord, inputs, attrs)
    if (training) keepStatistics([runningMean, runningVar], [inputs[3], inputs[4]])
    return out
  })
}
