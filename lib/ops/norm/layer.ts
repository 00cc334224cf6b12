/** Layer norm, fused, with its composite. */
import { apply, checkTensor } from '../../autograd/operator.js'
import type { DType } from '../../core/dtype.js'
import { Faults } from '../../core/errors.js'
import { checkOptions, type OptionNames } from '../../core/options.js'
import { countOf, type Shape } from '../../core/shape.js'
import type { Tensor } from '../../core/tensor.js'
import { like, seenAs } from '../common.js'
import { add, mul, rsqrt, square, sub } from '../elementwise/index.js'
import { kernel, operator } from '../operator.js'
import { widened } from '../widened.js'
import { checkEps, checkNormalized, flat, meanOf, ownShape, rowsOf } from './shared.js'

interface LayerNorm {
  readonly normalizedShape: Shape
  readonly eps: number
}

/**
 * x [.., normalizedShape], weight and bias [normalizedShape] or null. Extra outputs: mean and 1 / deviation of each
 * row.
 */
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
    checkNormalized(faults, x, normalizedShape, { weight, bias })
    faults.throwShape('layerNorm', [x.sizes, normalizedShape])
    const [rows] = rowsOf(x, attrs.normalizedShape)
    const ofRows = like(x, [rows])
    return [like(x), ofRows, ofRows]
  },
  forward: kernel('layer_norm_forward', ([x, weight, bias], attrs, { out, mean, rstd }) => {
    const rows = rowsOf(x, attrs.normalizedShape)
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
    // Only the composite reads bias. Saving it costs nothing, because its memory is the parameter's own.
    saves: () => ({ inputs: [0, 1, 2], outputs: [1, 2] }),
    backward: kernel('layer_norm_backward', (ctx, [dy], { dx, dweight, dbias }) => {
      const x = ctx.input(0)
      const rows = rowsOf(x, ctx.attrs.normalizedShape)
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

export interface LayerNormOptions {
  /** The number added to the variance. Default 1e-5. */
  readonly eps?: number
}

const layerNormNames: OptionNames<LayerNormOptions> = { eps: true }

/**
 * Normalises over the last dimensions, whose sizes are `normalizedShape`, then scales and shifts by weight and bias of
 * that shape (Ba, Kiros and Hinton, 2016). Throws a ShapeError that names all misfits.
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
  const attrs = { normalizedShape: ownShape('layerNorm', normalizedShape), eps: checkEps('layerNorm', eps) }
  checkTensor('layerNorm', 'x', x)
  return widened('layerNorm', [x, weight, bias], (inputs) => apply(layerNormRecord, inputs, attrs))
}
