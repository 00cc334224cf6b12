/** Normalisation: layer norm and batch norm, fused, with their composites. */

import { noGrad } from '../autograd/mode.js'
import {
  applyAll,
  checkDType,
  checkTensor,
  defineOperator,
  type OperatorRecord,
  type TensorSpec,
} from '../autograd/operator.js'
import { empty, run } from '../backend/dispatch.js'
import { kernels } from '../backend/table/index.js'
import type { DType } from '../core/dtype.js'
import { Faults, formatShape, kindOf, shown, ValueError } from '../core/errors.js'
import { checkFlag, checkOptions, type OptionNames } from '../core/options.js'
import { countOf, type Shape, sameShape } from '../core/shape.js'
import type { Tensor } from '../core/tensor.js'
import { floating } from './elementwise/common.js'
import { add, mul, rsqrt, square, sub } from './elementwise/index.js'
import { checkDistinct, copyInto } from './inplace.js'
import { mean, sum } from './reduce.js'
import { detach, reshape } from './shape.js'

/** Outputs of a fused norm: the result, and the statistics that backward reads. */
function statistics(x: Tensor, shape: Shape): readonly TensorSpec[] {
  return [
    { shape: x.sizes, dtype: x.dtype },
    { shape, dtype: x.dtype },
    { shape, dtype: x.dtype },
  ]
}

function allocate(x: Tensor, specs: readonly TensorSpec[], op: string): [Tensor, Tensor, Tensor] {
  return specs.map(({ shape, dtype }) => empty(x.device, shape, dtype, op)) as [Tensor, Tensor, Tensor]
}

/** The mean over `dims`, kept; of nothing 0, as in the kernels, so that an empty batch has gradients of 0. */
function meanOf(x: Tensor, dims: number | readonly number[], count: number): Tensor {
  return count > 0 ? mean(x, dims, { keepdim: true }) : sum(x, dims, { keepdim: true })
}

const optional = (wanted: boolean | undefined, x: Tensor, op: string, shape: Shape = x.sizes) =>
  wanted ? empty(x.device, shape, x.dtype, op) : null

/** x [rows, columns], weight and bias [columns] or null. */
const layerNormRecord: OperatorRecord<number> = defineOperator<number>({
  name: 'layerNorm',
  precision: kernels.layer_norm_forward.precision,
  infer: ([x]) => statistics(x as Tensor, [(x as Tensor).sizes[0] as number]),
  kernels: ['layer_norm_forward', 'layer_norm_backward'],
  forward(inputs, eps, specs) {
    const [x, weight, bias] = inputs as [Tensor, Tensor | null, Tensor | null]
    const [out, mean, rstd] = allocate(x, specs, 'layerNorm')
    run('layer_norm_forward', { out, mean, rstd, x, weight, bias, eps })
    return [out, mean, rstd]
  },
  composite(inputs, eps) {
    const [x, weight, bias] = inputs as [Tensor, Tensor | null, Tensor | null]
    const columns = x.sizes[1] as number
    const centred = sub(x, meanOf(x, -1, columns))
    const normalised = mul(centred, rsqrt(add(meanOf(square(centred), -1, columns), eps)))
    const scaled = weight ? mul(normalised, weight) : normalised
    return bias ? add(scaled, bias) : scaled
  },
  gradient: {
    // bias is read by the composite only; its memory is the parameter's own.
    saves: () => ({ inputs: [0, 1, 2], outputs: [1, 2] }),
    backward(ctx, [g]) {
      const [x, weight] = [ctx.input(0), ctx.optionalInput(1)]
      const columns = [x.sizes[1] as number]
      const dx = optional(ctx.needs[0], x, 'layerNorm backward')
      const dweight = optional(ctx.needs[1], x, 'layerNorm backward', columns)
      const dbias = optional(ctx.needs[2], x, 'layerNorm backward', columns)
      run('layer_norm_backward', {
        dx,
        dweight,
        dbias,
        dy: g as Tensor,
        x,
        mean: ctx.output(1),
        rstd: ctx.output(2),
        weight,
      })
      return [dx, dweight, dbias]
    },
    fused: true,
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
  weight: Tensor | null = null,
  bias: Tensor | null = null,
  options: LayerNormOptions = {},
): Tensor<S, D> {
  const { eps = 1e-5 } = checkOptions('layerNorm', options, layerNormNames)
  checkTensor('layerNorm', 'x', x)
  checkDType('layerNorm', 'x', x, floating)
  if (!Array.isArray(normalizedShape))
    throw new ValueError('layerNorm', `normalizedShape is ${kindOf(normalizedShape)}, but must be an array of sizes`)
  const faults = new Faults()
  const wanted = () => formatShape(normalizedShape)
  const tail = x.sizes.slice(x.ndim - normalizedShape.length)
  faults.check(normalizedShape.length > 0, () => 'normalizedShape is empty')
  faults.check(sameShape(tail, normalizedShape), () => `x is ${formatShape(x.sizes)}, but must end in ${wanted()}`)
  for (const [name, p] of [
    ['weight', weight],
    ['bias', bias],
  ] as const) {
    if (p) checkDType('layerNorm', name, p, [x.dtype])
    faults.check(
      !p || sameShape(p.sizes, normalizedShape),
      () => `${name} is ${formatShape(p?.sizes ?? [])}, but must be ${wanted()}`,
    )
  }
  faults.throwShape('layerNorm', [x.sizes, normalizedShape])
  const columns = countOf(normalizedShape)
  const rows = countOf(x.sizes.slice(0, x.ndim - normalizedShape.length))
  const flat = (p: Tensor | null) => p && reshape(p, [columns])
  const out = applyAll(
    layerNormRecord,
    [reshape(x, [rows, columns]), flat(weight), flat(bias)],
    checkEps('layerNorm', eps),
  )
  return reshape(out[0] as Tensor, x.sizes) as Tensor as Tensor<S, D>
}

interface BatchNorm {
  readonly training: boolean
  readonly momentum: number
  readonly eps: number
}

/** x [N, C, L]; weight, bias [C] or null; runningMean, runningVar [C] or null (constants of the graph). */
const batchNormRecord: OperatorRecord<BatchNorm> = defineOperator<BatchNorm>({
  name: 'batchNorm',
  precision: kernels.batch_norm_forward.precision,
  infer: ([x]) => statistics(x as Tensor, [(x as Tensor).sizes[1] as number]),
  kernels: ['batch_norm_forward', 'batch_norm_backward'],
  forward(inputs, attrs, specs) {
    const [x, weight, bias, runningMean, runningVar] = inputs as [
      Tensor,
      Tensor | null,
      Tensor | null,
      Tensor | null,
      Tensor | null,
    ]
    const [out, mean, rstd] = allocate(x, specs, 'batchNorm')
    run('batch_norm_forward', { out, mean, rstd, x, weight, bias, runningMean, runningVar, ...attrs })
    if (attrs.training) for (const buffer of [runningMean, runningVar]) buffer?.storage.markWritten('batchNorm')
    return [out, mean, rstd]
  },
  composite(inputs, { training, momentum, eps }) {
    const [x, weight, bias, runningMean, runningVar] = inputs as [
      Tensor,
      Tensor | null,
      Tensor | null,
      Tensor | null,
      Tensor | null,
    ]
    const perChannel = (p: Tensor) => reshape(p, [1, p.numel, 1])
    const count = (x.sizes[0] as number) * (x.sizes[2] as number)
    const average = training || !runningMean ? meanOf(x, [0, 2], count) : perChannel(runningMean)
    const centred = sub(x, average)
    const spread = training || !runningVar ? meanOf(square(centred), [0, 2], count) : perChannel(runningVar)
    if (training && runningMean && runningVar && count > 0) {
      noGrad(() => {
        const towards = (buffer: Tensor, value: Tensor, factor: number) =>
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
    backward(ctx, [g]) {
      const [x, weight] = [ctx.input(0), ctx.optionalInput(1)]
      const mean = ctx.output(1)
      const dx = optional(ctx.needs[0], x, 'batchNorm backward')
      const dweight = optional(ctx.needs[1], mean, 'batchNorm backward')
      const dbias = optional(ctx.needs[2], mean, 'batchNorm backward')
      const { training } = ctx.attrs
      run('batch_norm_backward', {
        dx,
        dweight,
        dbias,
        dy: g as Tensor,
        x,
        mean,
        rstd: ctx.output(2),
        weight,
        training,
      })
      return [dx, dweight, dbias, null, null]
    },
    fused: true,
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
 * statistics [C] are updated in place, the variance unbiased. Throws ShapeError, and ValueError for one value per channel.
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
  checkTensor('batchNorm', 'x', x)
  checkDType('batchNorm', 'x', x, floating)
  const channels = x.sizes[1] ?? 0
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
  const [n = 0] = x.sizes
  const length = countOf(x.sizes.slice(2))
  if (training && n * length === 1)
    throw new ValueError(
      'batchNorm',
      `training needs more than one value per channel, but x is ${formatShape(x.sizes)}; give batches of more rows (a last ` +
        'batch of one row: dropLast: true of the loader, or another batchSize), or call eval() on the layer',
    )
  for (const [name, p] of Object.entries({ weight, bias, runningMean, runningVar }))
    if (p) checkDType('batchNorm', name, p, [x.dtype])
  if (training)
    for (const [name, p] of Object.entries({ runningMean, runningVar })) {
      if (!p) continue
      checkDistinct('batchNorm', name, p)
      if ([x, weight, bias, runningMean, runningVar].filter((other) => other?.storage === p.storage).length > 1)
        throw new ValueError(
          'batchNorm',
          `${name} is written, and lies in the memory of another argument; give it memory of its own with clone()`,
        )
    }
  if (typeof momentum !== 'number' || !(momentum >= 0 && momentum <= 1))
    throw new ValueError('batchNorm', `momentum is ${shown(momentum)}, but must lie in [0, 1]`)
  const attrs = { training, momentum, eps: checkEps('batchNorm', eps) }
  const images = reshape(x, [n, channels, length])
  return reshape(
    applyAll(batchNormRecord, [images, weight, bias, runningMean, runningVar], attrs)[0] as Tensor,
    x.sizes,
  )
}
