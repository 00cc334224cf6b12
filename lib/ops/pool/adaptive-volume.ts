/** Pooling of volumes to given sizes, with windows that cover the input. */
import { apply, checkTensor } from '../../autograd/operator.js'
import { Faults, formatShape } from '../../core/errors.js'
import { checkFlag, checkOptions } from '../../core/options.js'
import { countOf } from '../../core/shape.js'
import type { Tensor } from '../../core/tensor.js'
import { castTo } from '../convert.js'
import { resample } from '../interpolate/resample.js'
import { area } from '../interpolate/tables.js'
import { detach, narrow, reshape } from '../shape/index.js'
import type { Each3 } from '../triple.js'
import {
  type AdaptiveMaxPoolOptions,
  adaptiveMaxNames,
  adaptiveMaxRecord,
  checkOutputSize,
  type OutputSize3d,
} from './adaptive.js'
import type { WithIndices } from './max.js'
import { avgPool3d, largestOf } from './volume.js'
import { onVolumes } from './volume-window.js'

/** The sizes of the result's volumes for x. Throws ShapeError if x has nothing to pool. */
function sizesFor(op: string, x: Tensor, size: readonly (number | null)[], needsChannels: boolean): Each3 {
  const faults = new Faults()
  const fits = x.ndim === 4 || x.ndim === 5
  faults.check(fits, () => `x must be [N, C, D, H, W] or [C, D, H, W], but is ${formatShape(x.sizes)}`)
  faults.check(
    !fits || countOf(x.sizes.slice(needsChannels ? -4 : -3)) > 0,
    () => `x is ${formatShape(x.sizes)}, but only N may be 0`,
  )
  faults.throwShape(op, [x.sizes])
  const [d = 0, h = 0, w = 0] = x.sizes.slice(-3)
  const [first = null, second = null, third = null] = size
  return [first ?? d, second ?? h, third ?? w]
}

/**
 * The means of x [N, C, D, H, W] or [C, D, H, W] over as many windows as `outputSize` says. Plane p averages the planes
 * from floor(p D / P) up to, not including, ceil((p + 1) D / P). Throws ShapeError if there is nothing to pool.
 */
export function adaptiveAvgPool3d(x: Tensor, outputSize: OutputSize3d): Tensor {
  const op = 'adaptiveAvgPool3d'
  checkTensor(op, 'x', x)
  const sizes = sizesFor(op, x, checkOutputSize(op, outputSize, 3), false)
  return onVolumes(op, x, null, (volumes) => {
    const given = volumes.sizes.slice(2)
    if (sizes.every((size, d) => size > 0 && (given[d] as number) % size === 0)) {
      const [d, h, w] = sizes.map((size, i) => (given[i] as number) / size) as [number, number, number]
      return avgPool3d(volumes, [d, h, w])
    }
    const tables = sizes.map((size, d) => (size === given[d] ? null : area(given[d] as number, size)))
    return resample(volumes, tables)
  })
}

/**
 * The largest elements of x [N, C, D, H, W] or [C, D, H, W] in the windows of adaptiveAvgPool3d. Returns [out, indices]
 * if `returnIndices` is set: the places (int32) in volumes, in row-major order. Throws ShapeError if there is nothing to
 * pool.
 */
export function adaptiveMaxPool3d<const O extends AdaptiveMaxPoolOptions = Record<never, never>>(
  x: Tensor,
  outputSize: OutputSize3d,
  options?: O & AdaptiveMaxPoolOptions,
): WithIndices<O>
export function adaptiveMaxPool3d(
  x: Tensor,
  outputSize: OutputSize3d,
  options: AdaptiveMaxPoolOptions = {},
): Tensor | readonly Tensor[] {
  const op = 'adaptiveMaxPool3d'
  checkTensor(op, 'x', x)
  const { returnIndices = false } = checkOptions(op, options, adaptiveMaxNames)
  checkFlag(op, 'returnIndices', returnIndices)
  const [d, h, w] = sizesFor(op, x, checkOutputSize(op, outputSize, 3), true)
  return onVolumes<Tensor | readonly Tensor[]>(op, x, null, (volumes) => {
    if (d * h * w === 0) {
      const out = reshape(narrow(volumes, 2, 0, 0), [...volumes.sizes.slice(0, 2), d, h, w])
      return returnIndices ? [out, castTo(detach(out), 'int32')] : out
    }
    return largestOf(
      volumes,
      (images) => apply(adaptiveMaxRecord, [images], [h, w]),
      (images) => apply(adaptiveMaxRecord, [images], [d, h * w]),
      returnIndices,
    )
  })
}
