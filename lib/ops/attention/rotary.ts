/** Rotary position embeddings (Su et al., 2021), which rotate pairs of features by their position. */
import { checkDType, checkTensor } from '../../autograd/operator.js'
import type { DType } from '../../core/dtype.js'
import { formatShape, ShapeError, shown, ValueError } from '../../core/errors.js'
import { checkOptions, type OptionNames } from '../../core/options.js'
import type { Shape } from '../../core/shape.js'
import type { Tensor } from '../../core/tensor.js'
import { anyFloating } from '../common.js'
import { castTo } from '../convert.js'
import { reshape } from '../shape/index.js'
import { checkBase, checkOffset, countFrom } from './angles.js'
import { checkLayout, checkScaling, type RotaryLayout, type RotaryScaling, rotaryFrequencies } from './rope-scaling.js'
import { op, tableOf, turned } from './turn.js'
import { counts } from './weights.js'

export type {
  DynamicScaling,
  LinearScaling,
  Llama3Scaling,
  LongScaling,
  RotaryScaling,
  YarnScaling,
} from './rope-scaling.js'

export interface RotaryOptions {
  /** The longest wave is 2 pi times this. Default 10000. */
  readonly base?: number
  /**
   * The layout of pairs. 'halves' (default) pairs features i and i + R/2, as in Llama and Hugging Face's models.
   * 'pairs' pairs 2i and 2i + 1, as in the paper, GPT-J and Meta's own Llama.
   */
  readonly layout?: RotaryLayout
  /**
   * The position of the first element: the number of elements in a cache before it. An integer of at least 0. Default
   * 0.
   */
  readonly offset?: number
  /** int32 [T], or [B, T] for x [B, .., T, D]: the position of each element, instead of `offset`. */
  readonly positions?: Tensor | null
  /** The number of features to rotate, which must be even. Later features are unchanged. Default: all. */
  readonly dims?: number | undefined
  readonly scaling?: RotaryScaling | null
  /**
   * The length of the whole sequence, a positive integer, on which 'dynamic' and 'longrope' scaling depend. Default
   * offset + T; required with `positions`.
   */
  readonly length?: number | undefined
}

const names: OptionNames<RotaryOptions> = {
  base: true,
  layout: true,
  offset: true,
  positions: true,
  dims: true,
  scaling: true,
  length: true,
}

function checkRotary(x: Tensor, { layout, offset, positions, dims, scaling, length }: RotaryOptions): void {
  checkLayout(op, layout)
  if (offset !== undefined) checkOffset(op, offset)
  if (x.ndim < 2) throw new ShapeError(op, `x is ${formatShape(x.sizes)}, but must be [.., T, D]`, [x.sizes])
  const [t, d] = [x.sizes.at(-2) as number, x.sizes.at(-1) as number]
  const rotated = dims ?? d
  if (!Number.isInteger(rotated) || rotated < 0 || rotated > d || rotated % 2 !== 0)
    throw new ShapeError(
      op,
      `${dims === undefined ? `x has ${d} features` : `dims is ${shown(dims)}, x ${formatShape(x.sizes)}`}, but an even number of ` +
        `them, at most all, can be rotated; give their number as dims`,
      [x.sizes],
    )
  if (length !== undefined && !(Number.isSafeInteger(length) && length > 0))
    throw new ValueError(op, `length is ${shown(length)}, but must be a positive integer`)
  if (positions) {
    checkTensor(op, 'positions', positions)
    checkDType(op, 'positions', positions, counts)
    if (offset !== undefined)
      throw new ValueError(
        op,
        `both offset (${offset}) and positions are given; add the offset to the positions, or leave one of them out`,
      )
    const fits = [formatShape([t]), ...(x.ndim > 2 ? [formatShape([x.sizes[0] as number, t])] : [])]
    if (!fits.includes(formatShape(positions.sizes)))
      throw new ShapeError(op, `positions is ${formatShape(positions.sizes)}, but must be ${fits.join(' or ')}`, [
        positions.sizes,
        x.sizes,
      ])
  }
  if (!scaling) return
  checkScaling(op, scaling, rotated / 2)
  if ((scaling.type === 'dynamic' || scaling.type === 'longrope') && positions && length === undefined)
    throw new ValueError(
      op,
      `scaling '${scaling.type}' depends on the length of the sequence, which positions do not tell; give length, the largest ` +
        'position + 1',
    )
}

/**
 * Rotates pairs of features of x by position times frequency, base^(-2i / R) radians per step. So products of queries
 * and keys depend on their distance. x [.., T, D] -> [.., T, D], with any strides. Angles are precise to 1e-6 at
 * positions below 131,072. Throws ShapeError and ValueError for arguments that do not fit.
 */
export function rotaryEmbedding<S extends Shape, D extends DType>(
  x: Tensor<S, D>,
  options?: RotaryOptions,
): Tensor<S, D>
export function rotaryEmbedding(x: Tensor, options: RotaryOptions = {}): Tensor {
  const given = checkOptions(op, options, names)
  const { base = 10_000, layout = 'halves', offset = 0, positions = null, scaling = null } = given
  checkTensor(op, 'x', x)
  checkDType(op, 'x', x, anyFloating)
  checkBase(op, base)
  checkRotary(x, given)
  const [t, d] = [x.sizes.at(-2) as number, x.sizes.at(-1) as number]
  const dims = given.dims ?? d
  const wide = x.dtype === 'float64' ? 'float64' : 'float32'
  const { radians, factor } = rotaryFrequencies(dims, base, scaling, given.length ?? offset + t)
  const at = positions ? castTo(positions, wide) : countFrom(offset, t, wide, x.device)
  const table = tableOf(at, { radians, factor })
  const among = positions?.ndim === 2 ? [x.sizes[0] as number, ...x.sizes.slice(1, -2).map(() => 1), t, dims / 2] : null
  const placed = (each: Tensor): Tensor => (among ? reshape(each, among) : each)
  return turned(x, { cosines: placed(table.cosines), sines: placed(table.sines) }, layout)
}
