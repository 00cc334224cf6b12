/** Copies that turn channels into places of an image, and back. */

import { checkTensor } from '../../autograd/operator.js'
import type { DType } from '../../core/dtype.js'
import { formatShape, ShapeError } from '../../core/errors.js'
import { countOf, type Shape } from '../../core/shape.js'
import type { Tensor } from '../../core/tensor.js'
import { checkInteger } from './lists.js'
import { permute } from './permute.js'
import { reshape } from './reshape.js'

interface Images {
  readonly lead: Shape
  readonly n: number
  readonly c: number
  readonly h: number
  readonly w: number
}

function imagesOf(op: string, x: Tensor): Images {
  checkTensor(op, 'x', x)
  if (x.ndim < 3) throw new ShapeError(op, `x is ${formatShape(x.sizes)}, but must be [.., C, H, W]`, [x.sizes])
  const lead = x.sizes.slice(0, -3)
  const [c = 0, h = 0, w = 0] = x.sizes.slice(-3)
  return { lead, n: countOf(lead), c, h, w }
}

/**
 * Turns channels into places: [.., C * r * r, H, W] to [.., C, H * r, W * r] (Shi et al., 2016,
 * https://arxiv.org/abs/1609.05158). Throws ShapeError if the channels do not divide by r * r.
 */
export function pixelShuffle<D extends DType>(x: Tensor<Shape, D>, upscaleFactor: number): Tensor<Shape, D>
export function pixelShuffle(x: Tensor, upscaleFactor: number): Tensor {
  const { lead, n, c, h, w } = imagesOf('pixelShuffle', x)
  const r = checkInteger('pixelShuffle', 'upscaleFactor', upscaleFactor, 1)
  if (c % (r * r) !== 0)
    throw new ShapeError(
      'pixelShuffle',
      `the ${c} channels of ${formatShape(x.sizes)} do not divide by the factor's square, ${r * r}`,
      [x.sizes],
    )
  const out = c / (r * r)
  return reshape(permute(reshape(x, [n, out, r, r, h, w]), [0, 1, 4, 2, 5, 3]), [...lead, out, h * r, w * r])
}

/**
 * Turns places into channels: [.., C, H * r, W * r] to [.., C * r * r, H, W]. The reverse of `pixelShuffle`. Throws
 * ShapeError if H or W does not divide by r.
 */
export function pixelUnshuffle<D extends DType>(x: Tensor<Shape, D>, downscaleFactor: number): Tensor<Shape, D>
export function pixelUnshuffle(x: Tensor, downscaleFactor: number): Tensor {
  const { lead, n, c, h, w } = imagesOf('pixelUnshuffle', x)
  const r = checkInteger('pixelUnshuffle', 'downscaleFactor', downscaleFactor, 1)
  if (h % r !== 0 || w % r !== 0)
    throw new ShapeError(
      'pixelUnshuffle',
      `height and width of ${formatShape(x.sizes)} do not divide by the factor ${r}`,
      [x.sizes],
    )
  const [below, beside] = [h / r, w / r]
  const apart = permute(reshape(x, [n, c, below, r, beside, r]), [0, 1, 3, 5, 2, 4])
  return reshape(apart, [...lead, c * r * r, below, beside])
}

/**
 * Interleaves the channels of x [N, C, ...], so that groups take turns (Zhang et al., 2017,
 * https://arxiv.org/abs/1707.01083). Throws ShapeError if the channels do not divide into the groups.
 */
export function channelShuffle<S extends Shape, D extends DType>(x: Tensor<S, D>, groups: number): Tensor<S, D>
export function channelShuffle(x: Tensor, groups: number): Tensor {
  checkTensor('channelShuffle', 'x', x)
  checkInteger('channelShuffle', 'groups', groups, 1)
  const [n = 0, c = 0] = x.sizes
  if (x.ndim < 3 || c % groups !== 0)
    throw new ShapeError(
      'channelShuffle',
      `x is ${formatShape(x.sizes)}, but must be [N, C, ...] with channels that divide into ${groups} groups`,
      [x.sizes],
    )
  const inner = countOf(x.sizes.slice(2))
  return reshape(permute(reshape(x, [n, groups, c / groups, inner]), [0, 2, 1, 3]), x.sizes)
}
