/** The partial inverse of max pooling. */
import { noGrad } from '../../autograd/mode.js'
import { apply, checkTensor } from '../../autograd/operator.js'
import { Faults, formatShape, namedAs, shown, ValueError } from '../../core/errors.js'
import { checkOptions, type OptionNames } from '../../core/options.js'
import { countOf, type Shape, sameShape } from '../../core/shape.js'
import type { Tensor } from '../../core/tensor.js'
import type { Single } from '../conv-options.js'
import { full } from '../creation.js'
import { div, maximum } from '../elementwise/index.js'
import type { Pair } from '../pair.js'
import { expand, reshape } from '../shape/index.js'
import { type Triple, triple } from '../triple.js'
import { widened } from '../widened.js'
import { unpoolRecord } from './max.js'
import { readPair, readSingle } from './window.js'

interface MaxUnpoolOptions<Size> {
  /** Default: the kernel's size. */
  readonly stride?: Size | undefined
  /** The padding of the pooling. Default 0. */
  readonly padding?: Size | undefined
  /**
   * The sizes of the result's planes, or of all its dimensions. Each must be less than a stride from the default, (n -
   * 1) stride - 2 padding + kernel.
   */
  readonly outputSize?: readonly number[] | null | undefined
}

export interface MaxUnpool1dOptions extends MaxUnpoolOptions<Single> {}
export interface MaxUnpool2dOptions extends MaxUnpoolOptions<Pair> {}
export interface MaxUnpool3dOptions extends MaxUnpoolOptions<Triple> {}

/** Reads an option; it may give more numbers than there are dimensions, of which the last count. */
type Read<Size> = (op: string, name: string, value: Size, least: number) => readonly number[]

const maxUnpoolNames: OptionNames<MaxUnpool2dOptions> = { stride: true, padding: true, outputSize: true }

/** The sizes of the result's last dimensions. */
function sizesOf<Size>(
  op: string,
  x: Tensor,
  rank: 1 | 2 | 3,
  read: Read<Size>,
  kernelSize: Size,
  { stride, padding, outputSize = null }: MaxUnpoolOptions<Size>,
): Shape {
  const kernel = read(op, 'kernelSize', kernelSize, 1).slice(-rank)
  const steps = read(op, 'stride', stride ?? kernelSize, 1).slice(-rank)
  const pads = padding === undefined ? [0, 0, 0] : read(op, 'padding', padding, 0).slice(-rank)
  const spatial = x.sizes.slice(x.ndim - rank)
  const usual = spatial.map((n, d) => (n - 1) * (steps[d] as number) - 2 * (pads[d] as number) + (kernel[d] as number))
  if (outputSize !== null && !Array.isArray(outputSize))
    throw new ValueError(op, `outputSize is ${shown(outputSize)}, but must be an array of sizes`)
  const wanted = outputSize ?? usual
  const sizes = wanted.length === x.ndim && rank < x.ndim ? wanted.slice(-rank) : [...wanted]
  const fits = sizes.every((size, i) => {
    const reach = outputSize === null ? 1 : (steps[i] as number)
    return Number.isInteger(size) && size >= 0 && Math.abs(size - (usual[i] as number)) < reach
  })
  if (sizes.length !== rank || !fits)
    throw new ValueError(
      op,
      `outputSize is ${shown(wanted)}, but must differ by less than the stride ${shown(steps)} from ${formatShape(usual)}`,
    )
  return sizes
}

function unpooled(op: string, x: Tensor, indices: Tensor, rank: 1 | 2 | 3, sizes: Shape): Tensor {
  const [n, c] = x.ndim === rank + 2 ? [x.sizes[0] as number, x.sizes[1] as number] : [1, x.sizes[0] as number]
  // A place in row-major order is the same in a plane with all rows of a volume.
  const planar = (spatial: Shape) => [n, c, countOf(spatial.slice(0, -1)), spatial[rank - 1] as number]
  return namedAs(op, () =>
    widened(op, [x], ([wide]) => {
      const seen = (y: Tensor) => reshape(y, planar(x.sizes.slice(x.ndim - rank)))
      const shape = planar(sizes)
      const places = seen(indices)
      const sums = apply(unpoolRecord, [seen(wide), places], shape)
      // Overlapping windows may share a maximum, whose place then occurs several times.
      const counts = noGrad(() => {
        const one = expand(full([], 1, { dtype: wide.dtype, device: x.device }), places.sizes)
        return maximum(apply(unpoolRecord, [one, places], shape), 1)
      })
      return reshape(div(sums, counts), [...x.sizes.slice(0, x.ndim - rank), ...sizes])
    }),
  )
}

function checkPooled(op: string, x: Tensor, indices: Tensor, rank: 1 | 2 | 3): void {
  checkTensor(op, 'x', x)
  checkTensor(op, 'indices', indices)
  const faults = new Faults()
  const dims = ['', 'L', 'H, W', 'D, H, W'][rank]
  const form = `[N, C, ${dims}] or [C, ${dims}]`
  faults.check(x.ndim === rank + 1 || x.ndim === rank + 2, () => `x must be ${form}, but is ${formatShape(x.sizes)}`)
  faults.check(
    sameShape(x.sizes, indices.sizes),
    () => `indices are ${formatShape(indices.sizes)}, but must have the shape of x, ${formatShape(x.sizes)}`,
  )
  faults.check(
    x.sizes.slice(x.ndim - rank - 1).every((size) => size > 0),
    () => `x is ${formatShape(x.sizes)}, but only N may be 0`,
  )
  faults.throwShape(op, [x.sizes, indices.sizes])
}

/**
 * Zeros with the elements of x [N, C, H, W] or [C, H, W] at `indices` (int32), the places that maxPool2d gave. A place
 * that occurs several times gets the mean. Throws ShapeError and ValueError; an index outside of its plane is a late
 * IndexOutOfRangeError.
 */
export function maxUnpool2d(x: Tensor, indices: Tensor, kernelSize: Pair, options: MaxUnpool2dOptions = {}): Tensor {
  checkPooled('maxUnpool2d', x, indices, 2)
  checkOptions('maxUnpool2d', options, maxUnpoolNames)
  return unpooled('maxUnpool2d', x, indices, 2, sizesOf('maxUnpool2d', x, 2, readPair, kernelSize, options))
}

/** Zeros with the elements of x [N, C, L] or [C, L] at `indices` (int32); see maxUnpool2d. */
export function maxUnpool1d(x: Tensor, indices: Tensor, kernelSize: Single, options: MaxUnpool1dOptions = {}): Tensor {
  checkPooled('maxUnpool1d', x, indices, 1)
  checkOptions('maxUnpool1d', options, maxUnpoolNames as OptionNames<MaxUnpool1dOptions>)
  return unpooled('maxUnpool1d', x, indices, 1, sizesOf('maxUnpool1d', x, 1, readSingle, kernelSize, options))
}

/** Zeros with the elements of x [N, C, D, H, W] or [C, D, H, W] at `indices` (int32); see maxUnpool2d. */
export function maxUnpool3d(x: Tensor, indices: Tensor, kernelSize: Triple, options: MaxUnpool3dOptions = {}): Tensor {
  checkPooled('maxUnpool3d', x, indices, 3)
  checkOptions('maxUnpool3d', options, maxUnpoolNames as OptionNames<MaxUnpool3dOptions>)
  return unpooled('maxUnpool3d', x, indices, 3, sizesOf('maxUnpool3d', x, 3, triple, kernelSize, options))
}
