/** Spatial transformers: samples of images and volumes at positions that a program computes, and affine positions. */
import { checkDType, checkTensor } from '../../autograd/operator.js'
import { DTypeError, Faults, formatShape, namedAs, ShapeError, shown, ValueError } from '../../core/errors.js'
import { checkFlag, checkOptions, listOf, type OptionNames } from '../../core/options.js'
import { checkEntries } from '../../core/room.js'
import { checkShape, countOf, type Shape } from '../../core/shape.js'
import type { Tensor } from '../../core/tensor.js'
import { anyFloating } from '../common.js'
import { precise } from '../convert.js'
import { fromTypedArray } from '../creation.js'
import { add, logicalAnd, mul, where } from '../elementwise/index.js'
import { indexSelect } from '../indexing/index.js'
import { sum } from '../reduce/index.js'
import { contiguous, pad, permute, reshape, select } from '../shape/index.js'
import { widened } from '../widened.js'
import { edges, type GridMode, type GridPadding, modes, type Tap, tapsAlong } from './grid-taps.js'

export interface GridSampleOptions {
  /**
   * The elements around a position that count: the nearest one (which gives the grid a gradient of 0), its neighbours, or
   * 4 x 4 of an image. Default 'bilinear', which is trilinear for volumes.
   */
  readonly mode?: GridMode | undefined
  /** The continuation outside: zeros, the nearest element of the border, or the mirrored inside. Default 'zeros'. */
  readonly paddingMode?: GridPadding | undefined
  /** Whether -1 and 1 are the centres of corner elements, rather than their outer edges. Default false. */
  readonly alignCorners?: boolean | undefined
}

const sampleNames: OptionNames<GridSampleOptions> = { mode: true, paddingMode: true, alignCorners: true }

/** Throws a ShapeError that names all misfits of x and grid. */
function checkGrid(op: string, x: Tensor, grid: Tensor, mode: GridMode): void {
  const faults = new Faults()
  const [xs, gs] = [formatShape(x.sizes), formatShape(grid.sizes)]
  const rank = x.ndim - 2
  faults.check(
    rank === 2 || (rank === 3 && mode !== 'bicubic'),
    () => `x must be [N, C, H, W]${mode === 'bicubic' ? ' for bicubic' : ' or [N, C, D, H, W]'}, but is ${xs}`,
  )
  faults.check(
    grid.ndim === x.ndim && grid.sizes[grid.ndim - 1] === rank,
    () =>
      `grid is ${gs}, but for x ${xs} must be ${rank === 3 ? "[N, D', H', W', 3]" : "[N, H', W', 2]"}, with the places ` +
      `${rank === 3 ? '(x, y, z)' : '(x, y)'} last`,
  )
  faults.check(x.sizes[0] === grid.sizes[0], () => `x ${xs} and grid ${gs} have different batches`)
  const places = (x.sizes[0] ?? 0) * countOf(x.sizes.slice(2))
  faults.check(rank < 2 || countOf(x.sizes.slice(2)) > 0, () => `x ${xs} has no positions`)
  faults.check(
    places < 2 ** 31 - 1,
    () => `x ${xs} has ${places} positions, more than 32 bits count; sample fewer images at once`,
  )
  faults.throwShape(op, [x.sizes, grid.sizes])
}

/** The first row of each of the images in x, for each of `count` positions of each. */
function firstRows(device: Tensor['device'], images: number, count: number, size: number): Tensor {
  const rows = new Int32Array(images * count)
  for (let i = 0; i < images; i++) rows.fill(i * size, i * count, (i + 1) * count)
  return fromTypedArray(rows, [rows.length], { device })
}

/** The element that lies at `outer` along the dimensions so far, and at `inner` along the next, of `length` elements. */
function crossing(outer: Tap, inner: Tap, length: number): Tap {
  return {
    index: add(mul(outer.index, length), inner.index),
    inside: outer.inside && inner.inside && logicalAnd(outer.inside, inner.inside),
    weight: outer.weight && inner.weight && mul(outer.weight, inner.weight),
  }
}

function sampled(x: Tensor, grid: Tensor, mode: GridMode, paddingMode: GridPadding, alignCorners: boolean): Tensor {
  const [n = 0, c = 0] = x.sizes
  const space = x.sizes.slice(2)
  const outer = grid.sizes.slice(1, -1)
  const [size, count] = [countOf(space), countOf(outer)]
  checkShape('gridSample', [n, c, ...outer])
  // The grid has the last dimension first.
  const axes = space.map((length, d) => {
    const places = reshape(select(grid, -1, space.length - 1 - d), [n * count])
    return tapsAlong(places, length, { mode, paddingMode, alignCorners })
  })
  const last = space.map((_, d) => d + 2)
  const rows = reshape(permute(x, [0, ...last, 1]), [n * size, c])
  // A further row of zeros stands for all that lies outside, so that no NaN of the border gets there.
  const table = paddingMode === 'zeros' ? pad(rows, [0, 0, 0, 1]) : rows
  const start = firstRows(x.device, n, count, size)
  const taps = axes.reduce((before, along, d) =>
    before.flatMap((outer) => along.map((inner) => crossing(outer, inner, space[d] as number))),
  )
  const parts = taps.map(({ index: within, inside, weight }) => {
    const index = add(start, within)
    const picked = indexSelect(table, 0, inside === null ? index : where(inside, index, n * size))
    return weight === null ? picked : mul(picked, reshape(weight, [n * count, 1]))
  })
  const total = parts.reduce((a, b) => add(a, b))
  const channels = outer.map((_, d) => d + 1)
  return contiguous(permute(reshape(total, [n, ...outer, c]), [0, outer.length + 1, ...channels]))
}

/**
 * Samples x [N, C, H, W] (or [N, C, D, H, W]) at the positions of grid [N, H', W', 2] (or [N, D', H', W', 3]) ->
 * [N, C, H', W'] (or [N, C, D', H', W']). A position is (x, y) or (x, y, z), along width, height and depth, and runs
 * from -1 to 1 over x (Jaderberg et al., 2015, https://arxiv.org/abs/1506.02025). x and grid must have one dtype.
 * Throws ValueError for an unknown option, DTypeError, and a ShapeError that names all misfits.
 */
export function gridSample(x: Tensor, grid: Tensor, options: GridSampleOptions = {}): Tensor {
  const op = 'gridSample'
  checkTensor(op, 'x', x)
  checkTensor(op, 'grid', grid)
  const { mode = 'bilinear', paddingMode = 'zeros', alignCorners = false } = checkOptions(op, options, sampleNames)
  if (!modes.includes(mode)) throw new ValueError(op, `mode is ${shown(mode)}, but must be one of ${modes.join(', ')}`)
  if (!edges.includes(paddingMode))
    throw new ValueError(op, `paddingMode is ${shown(paddingMode)}, but must be one of ${edges.join(', ')}`)
  checkFlag(op, 'alignCorners', alignCorners)
  checkGrid(op, x, grid, mode)
  const [from, places] = [precise(x), precise(grid)]
  checkDType(op, 'x', from, anyFloating)
  if (from.dtype !== places.dtype)
    throw new DTypeError(op, `x is ${x.dtype}, but grid ${grid.dtype}; convert one of them with .to()`)
  return namedAs(op, () =>
    widened(op, [from, places], ([wide, at]) => sampled(wide, at, mode, paddingMode, alignCorners)),
  )
}

export interface AffineGridOptions {
  /** Whether -1 and 1 are the centres of corner elements, rather than their outer edges. Default false. */
  readonly alignCorners?: boolean | undefined
}

const affineNames: OptionNames<AffineGridOptions> = { alignCorners: true }

/** The places of `length` elements from -1 to 1. */
function spread(length: number, alignCorners: boolean): Float64Array {
  const reach = alignCorners ? 1 : (length - 1) / length
  return Float64Array.from({ length }, (_, i) => (length === 1 ? 0 : ((2 * i) / (length - 1) - 1) * reach))
}

/** The places of a plane or volume as rows (x, y, 1) or (x, y, z, 1). */
function placesOf(space: Shape, alignCorners: boolean): Float64Array {
  const along = space.map((length) => spread(length, alignCorners))
  const width = space.length + 1
  const rows = new Float64Array(countOf(space) * width)
  for (let p = 0; p * width < rows.length; p++) {
    let rest = p
    for (let d = space.length - 1; d >= 0; d--) {
      const length = space[d] as number
      rows[p * width + space.length - 1 - d] = along[d]?.[rest % length] as number
      rest = Math.floor(rest / length)
    }
    rows[p * width + space.length] = 1
  }
  return rows
}

/**
 * The grid [N, H, W, 2] (or [N, D, H, W, 3]) for `gridSample` to whose position p the matrix theta [N, 2, 3] (or
 * [N, 3, 4]) sends (p, 1). `size` is the sampled result's: [N, C, H, W] or [N, C, D, H, W]. Throws ValueError for sizes
 * that are not positive, and ShapeError if theta does not fit them.
 */
export function affineGrid(theta: Tensor, size: Shape, options: AffineGridOptions = {}): Tensor {
  const op = 'affineGrid'
  checkTensor(op, 'theta', theta)
  const { alignCorners = false } = checkOptions(op, options, affineNames)
  checkFlag(op, 'alignCorners', alignCorners)
  const sizes = listOf(op, 'the sizes of the result', size, 'an array of sizes')
  if ((sizes.length !== 4 && sizes.length !== 5) || !sizes.every((each) => Number.isSafeInteger(each) && each > 0))
    throw new ValueError(
      op,
      `size is ${shown(sizes)}, but must hold positive integers: [N, C, H, W] or [N, C, D, H, W]`,
    )
  const [n = 0, , ...space] = sizes
  const rank = space.length
  const wanted = [n, rank, rank + 1]
  if (theta.ndim !== 3 || !theta.sizes.every((each, d) => each === wanted[d]))
    throw new ShapeError(
      op,
      `theta is ${formatShape(theta.sizes)}, but must be ${formatShape(wanted)} for size ${formatShape(sizes)}`,
      [theta.sizes],
    )
  checkShape(op, [n, ...space, rank, rank + 1])
  checkEntries(op, countOf(space) * (rank + 1), 2 ** 28, 'coordinates of places', 'take a smaller size')
  return namedAs(op, () =>
    widened(op, [precise(theta)], ([matrix]) => {
      const numbers = placesOf(space, alignCorners)
      const rows = fromTypedArray(
        matrix.dtype === 'float64' ? numbers : Float32Array.from(numbers),
        [1, countOf(space), 1, rank + 1],
        { device: matrix.device },
      )
      // A matrix product would round to bfloat16 under autocast, which is too coarse for places.
      const terms = mul(reshape(matrix, [n, 1, rank, rank + 1]), rows)
      return reshape(sum(terms, [3]), [n, ...space, rank])
    }),
  )
}
