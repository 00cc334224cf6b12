/** Conversion of the masks of PyTorch's attention layers to the single mask that attention takes. */
import { checkTensor } from '../autograd/operator.js'
import { DTypeError, Faults, formatShape } from '../core/errors.js'
import type { Tensor } from '../core/tensor.js'
import { type Span, seenKeys } from '../ops/attention/weights.js'
import { castTo } from '../ops/convert.js'
import { full, zeros } from '../ops/creation.js'
import { add, eq, where } from '../ops/elementwise/index.js'
import { cat, expand, reshape } from '../ops/shape/index.js'

/** PyTorch's masks. In a bool mask true means must not attend. */
export interface Masks {
  readonly attnMask?: Tensor | null
  readonly keyPaddingMask?: Tensor | null
}

/** The mask as numbers to add to scores: 0 and minus infinity for a bool mask. */
function additive(mask: Tensor, dtype: 'float32' | 'float64'): Tensor {
  if (mask.dtype !== 'bool') return castTo(mask, dtype)
  return where(mask, Number.NEGATIVE_INFINITY, zeros([], { dtype, device: mask.device }))
}

/**
 * Combines PyTorch's masks into the one that `scaledDotProductAttention` takes. Throws an error that names what does
 * not fit.
 */
export function combined(
  op: string,
  { attnMask = null, keyPaddingMask = null }: Masks,
  [b, heads, tq, tk]: readonly [number, number, number, number],
): Tensor | null {
  const faults = new Faults()
  for (const [name, mask] of Object.entries({ attnMask, keyPaddingMask })) {
    if (mask === null) continue
    checkTensor(op, name, mask)
    if (mask.dtype !== 'bool' && !mask.dtype.includes('float'))
      throw new DTypeError(op, `${name} is ${mask.dtype}, but must be bool (true: must not attend) or floating`)
  }
  if (attnMask) {
    const { shape } = attnMask
    const wide = [b, heads, tq, tk]
    const fits =
      shape.length === 3
        ? formatShape(shape) === formatShape([b * heads, tq, tk])
        : (shape.length === 2 || shape.length === 4) &&
          shape.every((size, i) => size === 1 || size === wide[i + 4 - shape.length])
    faults.check(
      fits,
      () =>
        `attnMask is ${formatShape(shape)}, but must be [${tq}, ${tk}], [B * heads = ${b * heads}, ${tq}, ${tk}], or ` +
        `broadcast to ${formatShape(wide)} from four dimensions`,
    )
  }
  if (keyPaddingMask)
    faults.check(
      formatShape(keyPaddingMask.sizes) === formatShape([b, tk]),
      () => `keyPaddingMask is ${formatShape(keyPaddingMask.sizes)}, but must be [B, Tk] = [${b}, ${tk}]`,
    )
  faults.throwShape(
    op,
    [attnMask, keyPaddingMask].flatMap((mask) => (mask ? [mask.sizes] : [])),
  )
  const pair = attnMask && (attnMask.ndim === 3 ? reshape(attnMask, [b, heads, tq, tk]) : attnMask)
  const padding = keyPaddingMask && reshape(keyPaddingMask, [b, 1, 1, tk])
  const masks = [pair, padding].filter((mask) => mask !== null)
  const [first, second] = masks
  if (first === undefined) return null
  if (masks.every((mask) => mask.dtype === 'bool')) {
    const no = zeros([], { dtype: 'bool', device: first.device })
    const open = eq(first, no)
    return second ? where(second, no, open) : open
  }
  const dtype = masks.some((mask) => mask.dtype === 'float64') ? 'float64' : 'float32'
  return second ? add(additive(first, dtype), additive(second, dtype)) : additive(first, dtype)
}

const no = (like: Tensor): Tensor => zeros([], { dtype: 'bool', device: like.device })

/**
 * The mask extended by `extra` keys that all queries see. It also hides those of the other keys that spans and lengths
 * hide, because these count keys from the beginning.
 */
export function withOpenKeys(
  mask: Tensor | null,
  extra: number,
  shape: readonly [number, number, number, number],
  lengths: Tensor | null,
  span: Span,
  like: Tensor,
): Tensor {
  const { device } = like
  const [, , tq, tk] = shape
  let all = mask ?? full([tq, tk], 1, { dtype: 'bool', device })
  for (const seen of seenKeys(shape, lengths, span, device))
    all = all.dtype === 'bool' ? where(all, seen, no(like)) : where(seen, all, Number.NEGATIVE_INFINITY)
  const before = all.sizes.slice(0, -1)
  const open = full([...before, extra], all.dtype === 'bool' ? 1 : 0, { dtype: all.dtype as 'float32', device })
  return cat([expand(all, [...before, tk]), open as Tensor], -1)
}
