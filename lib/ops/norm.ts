/** Normalisation: layer norm and batch norm, fused, with their composites. */

import { autocastDType } from '../autograd/autocast.js'
import { noGrad } from '../autograd/mode.js'
import { apply } from '../autograd/operator.js'
import type { DType } from '../core/dtype.js'
import { DTypeError, Faults, formatShape, kindOf, shown, ValueError } from '../core/errors.js'
import { checkFlag, checkOptions, type OptionNames } from '../core/options.js'
import { countOf, type Shape, sameShape } from '../core/shape.js'
import type { Tensor } from '../core/tensor.js'
import { like, seenAs } from './common.js'
import { add, mul, rsqrt, square, sub } from './elementwise/index.js'
import { copyInto } from './inplace.js'
import { kernel, operator } from './operator.js'
import { mean, sum } from './reduce/index.js'
import { detach, reshape } from './shape/index.js'

/** The mean over `dims`, kept; of nothing 0, as in the kernels, so that an empty batch has gradients of 0. */
function meanOf(x: Tensor, dims: readonly number[], count: number): Tensor {
  return count > 0 ? mean(x, dims, { keepdim: true }) : sum(x, dims, { keepdim: true })
}

interface LayerNorm {
  readonly normalizedShape: Shape
  readonly eps: number
}

/** x as rows of what is normalised together. */
function rowsOf({ sizes }: Tensor, { normalizedShape }: LayerNorm): readonly [rows: number, columns: number] {
  let rows = 1
  for (let d = sizes.length - normalizedShape.length - 1; d >= 0; d--) rows *= sizes[d] ?? 1
  return [rows, countOf(normalizedShape)]
}

const flat = (x: Tensor | null) => x && seenAs(x, [x.numel])

/** x [.., normalizedShape], weight and bias [normalizedShape] or null. Extra outputs: mean and 1 / deviation of each row. */
const layerNormRecord = operator<
  [x: Tensor, weight: Tensor | null, bias: Tensor | null],
  LayerNorm,
  [out: Tensor],
  [mean: Tensor, rstd: Tensor]
>({
  name: 'layerNorm',
  infer([x, weight, bias], attrs) {
    const { normalizedShape } = attrs
    const faults = new Faults()
    const wanted = () => formatShape(normalizedShape)
    const tail = x.sizes.slice(x.ndim - normalizedShape.length)
    faults.check(normalizedShape.length > 0, () => 'normalizedShape is empty')
    faults.check(sameShape(tail, normalizedShape), () => `x is ${formatShape(x.sizes)}, but must end in ${wanted()}`)
    const check = (name: string, p: Tensor | null) =>
      faults.check(
        !p || sameShape(p.sizes, normalizedShape),
        () => `${name} is ${formatShape(p?.sizes ?? [])}, but must be ${wanted()}`,
      )
    check('weight', weight)
    check('bias', bias)
    faults.throwShape('layerNorm', [x.sizes, normalizedShape])
    const [rows] = rowsOf(x, attrs)
    const ofRows = like(x, [rows])
    return [like(x), ofRows, ofRows]
  },
  forward: kernel('layer_norm_forward', ([x, weight, bias], attrs, { out, mean, rstd }) => {
    const rows = rowsOf(x, attrs)
    return {
      out: seenAs(out, rows),
      mean,
      rstd,
      x: seenAs(x, rows),
      weight: flat(weight),
      bias: flat(bias),
      eps: attrs.eps,
    }
  }),
  composite([x, weight, bias], { normalizedShape, eps }) {
    const dims = normalizedShape.map((_, i) => i - normalizedShape.length)
    const count = countOf(normalizedShape)
    const centred = sub(x, meanOf(x, dims, count))
    const normalised = mul(centred, rsqrt(add(meanOf(square(centred), dims, count), eps)))
    const scaled = weight ? mul(normalised, weight) : normalised
    return bias ? add(scaled, bias) : scaled
  },
  gradient: {
    // bias is read by the composite only; its memory is the parameter's own.
    saves: () => ({ inputs: [0, 1, 2], outputs: [1, 2] }),
    backward: kernel('layer_norm_backward', (ctx, [dy], { dx, dweight, dbias }) => {
      const x = ctx.input(0)
      const rows = rowsOf(x, ctx.attrs)
      return {
        dx: dx && seenAs(dx, rows),
        dweight: flat(dweight),
        dbias: flat(dbias),
        dy: seenAs(dy, rows),
        x: seenAs(x, rows),
        mean: ctx.output(1),
        rstd: ctx.output(2),
        weight: flat(ctx.input(1)),
      }
    }),
  },
})

function checkEps(op: string, eps: number): number {
  if (typeof eps !== 'number' || !(eps >= 0))
    throw new ValueError(op, `eps is ${shown(eps)}, but must be a non-negative number`)
  return eps
}

export interface LayerNormOptions {
  /** Added to the variance. Default 1e-5. */
  readonly eps?: number
}

const layerNormNames: OptionNames<LayerNormOptions> = { eps: true }

/**
 * Normalises over the last dimensions, whose sizes are `normalizedShape`, then scales and shifts by weight and bias of that
 * shape (Ba, Kiros and Hinton, 2016). Throws ShapeError naming all misfits.
 */
export function layerNorm<S extends Shape, D extends DType>(
  x: Tensor<S, D>,
  normalizedShape: Shape,
  weight?: Tensor | null,
  bias?: Tensor | null,
  options?: LayerNormOptions,
): Tensor<S, D>
export function layerNorm(
  x: Tensor,
  normalizedShape: Shape,
  weight: Tensor | null = null,
  bias: Tensor | null = null,
  options: LayerNormOptions = {},
): Tensor {
  const { eps = 1e-5 } = checkOptions('layerNorm', options, layerNormNames)
  if (!Array.isArray(normalizedShape))
    throw new ValueError('layerNorm', `normalizedShape is ${kindOf(normalizedShape)}, but must be an array of sizes`)
  const attrs = { normalizedShape: [...normalizedShape], eps: checkEps('layerNorm', eps) }
  return apply(layerNormRecord, [x, weight, bias], attrs)
}

interface BatchNorm {
  readonly training: boolean
  readonly momentum: number
  readonly eps: number
}

/** x as [N, C, L]: the kernels see all that follows the channels as one. */
function imagesOf(x: Tensor): Shape {
  return [x.sizes[0] ?? 0, x.sizes[1] ?? 0, countOf(x.sizes.slice(2))]
}

/**
 * x [N, C, ...]; weight, bias [C] or null; runningMean, runningVar [C] or null (constants of the graph). Extra outputs: mean
 * and 1 / deviation of each channel.
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
    for (const [name, p] of Object.entries({ weight, bias, runningMean, runningVar }))
      faults.check(
        !p || (p.ndim === 1 && p.sizes[0] === channels),
        () => `${name} is ${formatShape(p?.sizes ?? [])}, but x has ${channels} channels`,
      )
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
    const perChannel = (p: Tensor) =>
      reshape(
        p,
        x.sizes.map((_, d) => (d === 1 ? p.numel : 1)),
      )
    const count = dims.reduce((product, d) => product * (x.sizes[d] ?? 1), 1)
    const average = training || !runningMean ? meanOf(x, dims, count) : perChannel(runningMean)
    const centred = sub(x, average)
    const spread = training || !runningVar ? meanOf(square(centred), dims, count) : perChannel(runningVar)
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
    const scaled = weight ? mul(normalised, perChannel(weight)) : normalised
    return bias ? add(scaled, perChannel(bias)) : scaled
  },
  gradient: {
    // In training the running statistics are outputs in disguise; in evaluation they are constants of the composite.
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

export interface BatchNormOptions {
  readonly weight?: Tensor | null
  readonly bias?: Tensor | null
  /** Normalise by the batch and update the running statistics; else by the running statistics. Default false. */
  readonly training?: boolean
  /** How far the running statistics move. Default 0.1. */
  readonly momentum?: number
  /** Added to the variance. Default 1e-5. */
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
 * x [N, C, ...] normalised per channel over N and all that follows C (Ioffe and Szegedy, 2015). In training the running
 * statistics [C] are updated in place, the variance unbiased. Throws ShapeError, ValueError for one value per channel, and
 * DTypeError for statistics of 16 bits that are to be updated under autocast.
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
  if (typeof momentum !== 'number' || !(momentum >= 0 && momentum <= 1))
    throw new ValueError('batchNorm', `momentum is ${shown(momentum)}, but must lie in [0, 1]`)
  if (training && autocastDType() !== null)
    for (const [name, running] of Object.entries({ runningMean, runningVar }))
      if (running?.dtype === 'bfloat16' || running?.dtype === 'float16')
        throw new DTypeError(
          'batchNorm',
          `${name} is ${running.dtype}, but autocast computes in float32, so that the update would go to a copy; keep the running ` +
            "statistics in float32 (a layer with .to('float32')), or train outside of autocast",
        )
  const attrs = { training, momentum, eps: checkEps('batchNorm', eps) }
  return apply(batchNormRecord, [x, weight, bias, runningMean, runningVar], attrs)
}
