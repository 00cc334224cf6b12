/** The rotation of rotary positions, by tables of cosines and sines, which a model makes once for all its layers. */
import { withAutocast } from '../../autograd/autocast.js'
import { apply, type Operator } from '../../autograd/operator.js'
import { kernelOf } from '../../backend/call.js'
import { empty, runOn } from '../../backend/dispatch.js'
import type { Tensor } from '../../core/tensor.js'
import { like } from '../common.js'
import { castTo } from '../convert.js'
import { add, cos, mul, neg, sin, sub } from '../elementwise/index.js'
import { copyInto } from '../inplace.js'
import { kernel, operator } from '../operator.js'
import { cat, flatten, narrow, reshape, select, stack } from '../shape/index.js'
import { anglesOf } from './angles.js'
import type { Frequencies, RotaryLayout } from './rope-scaling.js'

/** The name in errors. */
export const op = 'rotaryEmbedding'

interface Turn {
  readonly layout: RotaryLayout
  /** Whether to rotate by the opposite angles. */
  readonly backwards: boolean
}

/** Rotates x [.., T, D] by angles with cosines and sines [.., T, R / 2]. */
const rotaryRecord: Operator<[x: Tensor, cosines: Tensor, sines: Tensor], Turn> = operator<
  [x: Tensor, cosines: Tensor, sines: Tensor],
  Turn
>({
  name: op,
  infer: ([x]) => like(x),
  forward: kernel('rotary', ([x, cosines, sines], { layout, backwards }, { out }) => ({
    out,
    x,
    cosines,
    sines,
    neighbours: layout === 'pairs',
    backwards,
  })),
  composite([x, cosines, sines], { layout, backwards }) {
    const dims = 2 * (cosines.sizes.at(-1) as number)
    const turning = castTo(narrow(x, -1, 0, dims), cosines.dtype)
    const turned: Tensor = castTo(turn(turning, cosines, backwards ? neg(sines) : sines, layout), x.dtype)
    return dims === x.sizes.at(-1) ? turned : cat([turned, narrow(x, -1, dims, (x.sizes.at(-1) as number) - dims)], -1)
  },
  gradient: {
    saves: () => ({ inputs: [1, 2] }),
    backward(ctx, [g]) {
      const { layout, backwards } = ctx.attrs
      const dx = apply(rotaryRecord, [g, ctx.input(1), ctx.input(2)], { layout, backwards: !backwards })
      return [dx, null, null]
    },
  },
})

/** The features rotated by angles with cosines and sines [.., T, R / 2]. */
function turn(x: Tensor, cosines: Tensor, sines: Tensor, layout: RotaryLayout): Tensor {
  const half = (x.sizes.at(-1) as number) / 2
  if (layout === 'halves') {
    const [a, b] = [narrow(x, -1, 0, half), narrow(x, -1, half, half)]
    return cat([sub(mul(a, cosines), mul(b, sines)), add(mul(a, sines), mul(b, cosines))], -1)
  }
  const apart = reshape(x, [...x.sizes.slice(0, -1), half, 2])
  const [a, b] = [select(apart, -1, 0), select(apart, -1, 1)]
  return flatten(stack([sub(mul(a, cosines), mul(b, sines)), add(mul(a, sines), mul(b, cosines))], -1), -2)
}

/** Cosines and sines of angles [.., T, R / 2], times the factor of rotated features. */
export interface RotaryTable {
  readonly cosines: Tensor
  readonly sines: Tensor
}

/** The table for positions [.., T], in their dtype. */
export function tableOf(positions: Tensor, { radians, factor }: Frequencies): RotaryTable {
  const angles = anglesOf(positions, radians)
  const scaled = (each: Tensor): Tensor => (factor === 1 ? each : mul(each, factor))
  return { cosines: scaled(cos(angles)), sines: scaled(sin(angles)) }
}

/** x [.., T, D] with its first R features rotated. */
export function turned(x: Tensor, { cosines, sines }: RotaryTable, layout: RotaryLayout = 'halves'): Tensor {
  // Autocast is off, because it would convert x to the dtype of the angles.
  return withAutocast(null, () => apply(rotaryRecord, [x, cosines, sines], { layout, backwards: false }))
}

/** Queries, keys and values [B, H, T, D] of new columns. */
export interface Projected {
  readonly q: Tensor
  readonly k: Tensor
  readonly v: Tensor
}

const append = kernelOf('rotary_append')

/**
 * Returns the rotated queries, and writes the rotated keys and the values into columns of a memory [B, Hk, T, D], in
 * one kernel call if the device has it. Builds no graph. The caller has checked that everything fits.
 */
export function turnedInto(
  memory: { readonly keys: Tensor; readonly values: Tensor },
  { q, k, v }: Projected,
  table: RotaryTable,
): Tensor {
  const { keys, values } = memory
  const { device, dtype } = q
  const isOne = [k, v, keys, values].every((each) => each.dtype === dtype && each.device === device)
  if (!isOne || keys.steps[3] !== 1 || !device.hasKernel('rotary_append')) {
    copyInto(keys, turned(k, table), op)
    copyInto(values, v, op)
    return turned(q, table)
  }
  const out = empty(device, q.sizes, dtype, op)
  runOn(device, append, { out, keys, values, q, k, v, ...table })
  keys.storage.markWritten(op)
  values.storage.markWritten(op)
  return out
}
