/** Interpolation of signals, images and volumes. */
import { checkTensor } from '../../autograd/operator.js'
import { Faults, formatShape, namedAs, ShapeError, shown, ValueError } from '../../core/errors.js'
import { checkFlag, checkOptions, type OptionNames } from '../../core/options.js'
import { countOf } from '../../core/shape.js'
import type { Tensor } from '../../core/tensor.js'
import { resample } from './resample.js'
import { type Axis, area, cubic, filtered, filters, linear, nearest, nearestExact, type Table } from './tables.js'

const modes = {
  nearest: { ranks: [1, 2, 3], table: nearest },
  'nearest-exact': { ranks: [1, 2, 3], table: nearestExact },
  area: { ranks: [1, 2, 3], table: ({ length, results }: Axis) => area(length, results) },
  linear: { ranks: [1], table: linear },
  bilinear: { ranks: [2], table: linear, filter: filters.linear },
  bicubic: { ranks: [2], table: cubic, filter: filters.cubic },
  trilinear: { ranks: [3], table: linear },
  lanczos: { ranks: [2], table: null, filter: filters.lanczos },
} as const satisfies { readonly [name: string]: Mode }

interface Mode {
  /** The allowed numbers of dimensions besides N and C. */
  readonly ranks: readonly number[]
  readonly table: ((axis: Axis, alignCorners: boolean) => Table) | null
  readonly filter?: (typeof filters)[keyof typeof filters]
}

/**
 * The mode. `nearest` is PyTorch's, which differs from other libraries'; `nearest-exact` agrees with them. `lanczos`
 * needs `antialias`.
 */
export type InterpolateMode = keyof typeof modes

/** The modes for which `alignCorners` has a meaning. */
const withCorners: readonly string[] = ['linear', 'bilinear', 'bicubic', 'trilinear'] satisfies InterpolateMode[]

export interface InterpolateOptions {
  /**
   * The sizes of the result: one number, or one for each dimension after N and C. Give either this or `scaleFactor`.
   */
  readonly size?: number | readonly number[] | null | undefined
  /** The factor by which sizes grow. Sizes of the result are rounded down. */
  readonly scaleFactor?: number | readonly number[] | null | undefined
  /** Default 'nearest'. */
  readonly mode?: InterpolateMode | undefined
  /**
   * Whether the centres of corner elements coincide, rather than their outer edges. Only linear and cubic modes take
   * it. Default false.
   */
  readonly alignCorners?: boolean | null | undefined
  /** Whether positions follow from the sizes, as with `size`, rather than from `scaleFactor` itself. Default false. */
  readonly recomputeScaleFactor?: boolean | null | undefined
  /**
   * Whether each element of a smaller result averages the part of the source that it covers ('bilinear', 'bicubic',
   * 'lanczos'). Default false.
   */
  readonly antialias?: boolean | undefined
}

export const interpolateNames: OptionNames<InterpolateOptions> = {
  size: true,
  scaleFactor: true,
  mode: true,
  alignCorners: true,
  recomputeScaleFactor: true,
  antialias: true,
}

/** The checked options, independent of x. */
interface Plan {
  readonly size: number | readonly number[] | null
  readonly scale: number | readonly number[] | null
  readonly mode: Mode
  readonly name: string
  readonly alignCorners: boolean
  readonly recompute: boolean
  readonly antialias: boolean
}

/** Throws ValueError for options that fit no x. */
export function interpolation(op: string, options: InterpolateOptions): Plan {
  const { size = null, scaleFactor: scale = null, mode: name = 'nearest' } = options
  const { alignCorners = null, recomputeScaleFactor: recompute = null, antialias = false } = options
  if (typeof name !== 'string' || !Object.hasOwn(modes, name))
    throw new ValueError(op, `mode is ${shown(name)}, but must be one of ${Object.keys(modes).join(', ')}`)
  if (alignCorners !== null) checkFlag(op, 'alignCorners', alignCorners)
  if (recompute !== null) checkFlag(op, 'recomputeScaleFactor', recompute)
  checkFlag(op, 'antialias', antialias)
  const faults = new Faults()
  const each = (value: number | readonly number[] | null) =>
    Array.isArray(value) ? value : value === null ? [] : [value]
  faults.check(
    (size === null) !== (scale === null),
    () => `${size === null ? 'neither' : 'both'} size and scaleFactor are given; give one of them`,
  )
  faults.check(
    each(size).every((n) => Number.isInteger(n) && n > 0 && n < 2 ** 31),
    () => `size is ${shown(size)}, but must hold positive integers of 32 bits`,
  )
  faults.check(
    each(scale).every((n) => typeof n === 'number' && n > 0 && Number.isFinite(n)),
    () => `scaleFactor is ${shown(scale)}, but must hold positive numbers`,
  )
  faults.check(
    alignCorners === null || withCorners.includes(name),
    () => `alignCorners is for ${withCorners.join(', ')}, but mode is '${name}'; leave it out`,
  )
  const mode: Mode = modes[name]
  faults.check(
    !antialias || mode.filter !== undefined,
    () => `antialias is for bilinear, bicubic and lanczos, but mode is '${name}'; leave it out`,
  )
  faults.check(antialias || mode.table !== null, () => `mode '${name}' needs antialias: true`)
  faults.check(
    !recompute || size === null,
    () => 'recomputeScaleFactor has no meaning with size; leave it out, or give scaleFactor',
  )
  faults.throwValue(op)
  return { size, scale, mode, name, alignCorners: alignCorners ?? false, recompute: recompute ?? false, antialias }
}

/** The axes of a call. Throws ShapeError if the options do not fit x. */
function axesOf(op: string, x: Tensor, { size, scale, mode, name, recompute }: Plan): readonly Axis[] {
  const given = formatShape(x.sizes)
  const rank = x.ndim - 2
  const forms = ['[N, C, L]', '[N, C, H, W]', '[N, C, D, H, W]']
  if (!mode.ranks.includes(rank))
    throw new ShapeError(
      op,
      `x is ${given}, but mode '${name}' takes ${mode.ranks.map((r) => forms[r - 1]).join(' or ')}`,
      [x.sizes],
    )
  const each = (what: string, value: number | readonly number[]) => {
    const list = typeof value === 'number' ? new Array<number>(rank).fill(value) : value
    if (list.length !== rank)
      throw new ShapeError(op, `${what} is ${shown(list)}, but x ${given} has ${rank} dimensions after N and C`, [
        x.sizes,
      ])
    return list
  }
  const spatial = x.sizes.slice(2)
  const factors = scale === null ? null : each('scaleFactor', scale)
  const sizes =
    size === null ? spatial.map((length, d) => Math.floor(length * (factors?.[d] as number))) : each('size', size)
  const keeps = factors !== null && !recompute && name !== 'area'
  const axes = spatial.map((length, d) => ({
    length,
    results: sizes[d] as number,
    scale: keeps ? (factors[d] as number) : null,
  }))
  if (countOf(spatial) === 0 || (name !== 'area' && (countOf(sizes) === 0 || x.sizes[1] === 0)))
    throw new ShapeError(
      op,
      `x is ${given} and the result's sizes are ${formatShape(sizes)}, but C and all of these sizes must be at least 1`,
      [x.sizes],
    )
  return axes
}

/**
 * Resizes x [N, C, L], [N, C, H, W] or [N, C, D, H, W], as PyTorch does: each dimension separately, by a table of terms
 * and weights. Throws ValueError for options that contradict each other, and ShapeError if they do not fit x.
 */
export function interpolate(x: Tensor, options: InterpolateOptions): Tensor {
  checkTensor('interpolate', 'x', x)
  return interpolated(
    'interpolate',
    x,
    interpolation('interpolate', checkOptions('interpolate', options, interpolateNames)),
  )
}

export function interpolated(op: string, x: Tensor, plan: Plan): Tensor {
  checkTensor(op, 'x', x)
  const { mode, alignCorners, antialias } = plan
  const { table, filter } = mode
  const axes = axesOf(op, x, plan)
  const tables = axes.map((axis) => {
    if (antialias && filter !== undefined) return filtered(axis, alignCorners, filter)
    return table === null ? null : table(axis, alignCorners)
  })
  return namedAs(op, () => resample(x, tables))
}
