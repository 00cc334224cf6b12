/** Group norm, fused, with its composite. */
import { apply, checkTensor } from '../../autograd/operator.js'
import type { DType } from '../../core/dtype.js'
import { Faults, formatShape, shown, ValueError } from '../../core/errors.js'
import { checkOptions, type OptionNames } from '../../core/options.js'
import type { Shape } from '../../core/shape.js'
import type { Tensor } from '../../core/tensor.js'
import { like, seenAs } from '../common.js'
import { add, mul, rsqrt, square, sub } from '../elementwise/index.js'
import { kernel, operator } from '../operator.js'
import { reshape } from '../shape/index.js'
import { widened } from '../widened.js'
import { checkChannels, checkEps, imagesOf, meanOf, perChannel } from './shared.js'

interface GroupNorm {
  readonly groups: number
  readonly eps: number
}

/** The shape [N, groups, elements of a group] of x [N, C, ...]. */
function groupsOf(x: Tensor, groups: number): readonly [n: number, groups: number, elements: number] {
  const [n = 0, c = 0, l = 0] = imagesOf(x)
  return [n, groups, (c / groups) * l]
}

/** x [N, C, ...]; weight, bias [C] or null. Extra outputs: mean and 1 / deviation of each group of each image. */
const groupNormRecord = operator<
  [x: Tensor, weight: Tensor | null, bias: Tensor | null],
  GroupNorm,
  [out: Tensor],
  [mean: Tensor, rstd: Tensor]
>({
  name: 'groupNorm',
  infer([x, weight, bias], { groups }) {
    const faults = new Faults()
    const channels = x.sizes[1] ?? 0
    faults.check(x.ndim >= 2, () => `x must be [N, C, ...], but is ${formatShape(x.sizes)}`)
    faults.check(channels % groups === 0, () => `${channels} channels do not divide into ${groups} groups`)
    checkChannels(faults, x, { weight, bias })
    faults.throwShape('groupNorm', [x.sizes])
    const [n, , elements] = groupsOf(x, groups)
    if (n * elements === 1)
      throw new ValueError(
        'groupNorm',
        `x is ${formatShape(x.sizes)}, which has one value in each of ${groups} groups, so normalising leaves only zeros; take fewer groups`,
      )
    const ofGroups = like(x, [n * groups])
    return [like(x), ofGroups, ofGroups]
  },
  forward: kernel('group_norm_forward', ([x, weight, bias], { groups, eps }, { out, mean, rstd }) => {
    const images = imagesOf(x)
    return { out: seenAs(out, images), mean, rstd, x: seenAs(x, images), weight, bias, groups, eps }
  }),
  composite([x, weight, bias], { groups, eps }) {
    const parts = groupsOf(x, groups)
    const rows = reshape(x, parts)
    const centred = sub(rows, meanOf(rows, [2], parts[2]))
    const normalised = reshape(mul(centred, rsqrt(add(meanOf(square(centred), [2], parts[2]), eps))), x.sizes)
    const scaled = weight ? mul(normalised, perChannel(weight, x)) : normalised
    return bias ? add(scaled, perChannel(bias, x)) : scaled
  },
  gradient: {
    // Only the composite reads bias. Saving it costs nothing, because its memory is the parameter's own.
    saves: () => ({ inputs: [0, 1, 2], outputs: [1, 2] }),
    backward: kernel('group_norm_backward', (ctx, [dy], { dx, dweight, dbias }) => {
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
        groups: ctx.attrs.groups,
      }
    }),
  },
})

export interface GroupNormOptions {
  /** The number added to the variance. Default 1e-5. */
  readonly eps?: number
}

const names: OptionNames<GroupNormOptions> = { eps: true }

/**
 * Cuts the channels of x [N, C, ...] into `numGroups` groups, and normalises each group of each example over its
 * channels and all dimensions after them. Then it scales and shifts by weight and bias [C] (Wu and He, 2018). Throws a
 * ShapeError that names all misfits, and ValueError if a group has a single value.
 */
export function groupNorm<S extends Shape, D extends DType>(
  x: Tensor<S, D>,
  numGroups: number,
  weight?: Tensor | null,
  bias?: Tensor | null,
  options?: GroupNormOptions,
): Tensor<S, D>
export function groupNorm(
  x: Tensor,
  numGroups: number,
  weight: Tensor | null = null,
  bias: Tensor | null = null,
  options: GroupNormOptions = {},
): Tensor {
  const { eps = 1e-5 } = checkOptions('groupNorm', options, names)
  if (!Number.isSafeInteger(numGroups) || numGroups < 1)
    throw new ValueError('groupNorm', `numGroups is ${shown(numGroups)}, but must be a positive integer`)
  const attrs = { groups: numGroups, eps: checkEps('groupNorm', eps) }
  checkTensor('groupNorm', 'x', x)
  return widened('groupNorm', [x, weight, bias], (inputs) => apply(groupNormRecord, inputs, attrs))
}
