/** RMS norm, fused, with its composite. */
import { apply, checkTensor } from '../../autograd/operator.js'
import type { DType } from '../../core/dtype.js'
import { Faults } from '../../core/errors.js'
import { checkOptions, type OptionNames } from '../../core/options.js'
import { countOf, type Shape } from '../../core/shape.js'
import type { Tensor } from '../../core/tensor.js'
import { like, seenAs } from '../common.js'
import { add, mul, rsqrt, square } from '../elementwise/index.js'
import { kernel, operator } from '../operator.js'
import { widened } from '../widened.js'
import { checkEps, checkNormalized, flat, meanOf, ownShape, rowsOf } from './shared.js'

interface RmsNorm {
  readonly normalizedShape: Shape
  /** The number added to the mean square; null for the epsilon of the dtype in which the norm is computed. */
  readonly eps: number | null
}

/** The distance from 1 to the next number. */
const machineEps = (x: Tensor) => (x.dtype === 'float64' ? 2 ** -52 : 2 ** -23)

/** x [.., normalizedShape], weight [normalizedShape] or null. Extra output: 1 / root of the mean square of each row. */
const rmsNormRecord = operator<[x: Tensor, weight: Tensor | null], RmsNorm, [out: Tensor], [rstd: Tensor]>({
  name: 'rmsNorm',
  infer([x, weight], { normalizedShape }) {
    const faults = new Faults()
    checkNormalized(faults, x, normalizedShape, { weight })
    faults.throwShape('rmsNorm', [x.sizes, normalizedShape])
    return [like(x), like(x, [rowsOf(x, normalizedShape)[0]])]
  },
  forward: kernel('rms_norm_forward', ([x, weight], { normalizedShape, eps }, { out, rstd }) => {
    const rows = rowsOf(x, normalizedShape)
    return { out: seenAs(out, rows), rstd, x: seenAs(x, rows), weight: flat(weight), eps: eps ?? machineEps(x) }
  }),
  composite([x, weight], { normalizedShape, eps }) {
    const dims = normalizedShape.map((_, i) => i - normalizedShape.length)
    const rstd = rsqrt(add(meanOf(square(x), dims, countOf(normalizedShape)), eps ?? machineEps(x)))
    const normalised = mul(x, rstd)
    return weight ? mul(normalised, weight) : normalised
  },
  gradient: {
    saves: () => ({ inputs: [0, 1], outputs: [1] }),
    backward: kernel('rms_norm_backward', (ctx, [dy], { dx, dweight }) => {
      const x = ctx.input(0)
      const rows = rowsOf(x, ctx.attrs.normalizedShape)
      return {
        dx: dx && seenAs(dx, rows),
        dweight: flat(dweight),
        dy: seenAs(dy, rows),
        x: seenAs(x, rows),
        rstd: ctx.output(1),
        weight: flat(ctx.input(1)),
      }
    }),
  },
})

export interface RmsNormOptions {
  /**
   * The number added to the mean square. Null, the default, is the distance from 1 to the next number of the dtype in
   * which the norm is computed.
   */
  readonly eps?: number | null
}

const names: OptionNames<RmsNormOptions> = { eps: true }

/**
 * x / sqrt(mean(x^2) + eps) over the last dimensions, whose sizes are `normalizedShape`, times weight of that shape
 * (Zhang and Sennrich, 2019). Throws a ShapeError that names all misfits.
 */
export function rmsNorm<S extends Shape, D extends DType>(
  x: Tensor<S, D>,
  normalizedShape: Shape,
  weight?: Tensor | null,
  options?: RmsNormOptions,
): Tensor<S, D>
export function rmsNorm(
  x: Tensor,
  normalizedShape: Shape,
  weight: Tensor | null = null,
  options: RmsNormOptions = {},
): Tensor {
  const { eps = null } = checkOptions('rmsNorm', options, names)
  const attrs = {
    normalizedShape: ownShape('rmsNorm', normalizedShape),
    eps: eps === null ? null : checkEps('rmsNorm', eps),
  }
  checkTensor('rmsNorm', 'x', x)
  return widened('rmsNorm', [x, weight], (inputs) => apply(rmsNormRecord, inputs, attrs))
}
