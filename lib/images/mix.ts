/** Steps for the option `mix` of a DataLoader. They mix each row of a batch with the one before it. */
import { isFloating } from '../core/dtype.js'
import { DTypeError, formatShape, kindOf, namedAs, ShapeError, shown, ValueError } from '../core/errors.js'
import { Generator } from '../core/generator.js'
import { checkOptions } from '../core/options.js'
import { Tensor } from '../core/tensor.js'
import { to } from '../ops/convert.js'
import { add, mul } from '../ops/elementwise/index.js'
import { oneHot } from '../ops/indexing/index.js'
import { cat, narrow, roll } from '../ops/shape/index.js'
import { checkNumber } from './step.js'

export interface MixOptions {
  /** The number of classes of the labels. Not needed if the batch has probabilities [N, classes]. */
  readonly classes?: number
}

/** Images [N, C, H, W], and labels: int32 [N], or probabilities [N, classes]. */
export type ImageBatch = readonly [images: Tensor, labels: Tensor]

/** A number of the Gamma distribution with this shape (Marsaglia and Tsang 2000). */
function gamma(shape: number, generator: Generator): number {
  if (shape < 1) return gamma(shape + 1, generator) * (1 - generator.random()) ** (1 / shape)
  const d = shape - 1 / 3
  const c = 1 / Math.sqrt(9 * d)
  for (;;) {
    const x = generator.normal()
    const v = (1 + c * x) ** 3
    if (v > 0 && Math.log(1 - generator.random()) < 0.5 * x * x + d - d * v + d * Math.log(v)) return d * v
  }
}

/** Beta(alpha, alpha). */
function beta(alpha: number, generator: Generator): number {
  const [x, y] = [gamma(alpha, generator), gamma(alpha, generator)]
  // Both are 0 if alpha is so small that float64 cannot hold them. Then either of them will do.
  return x + y === 0 ? Number(generator.bernoulli()) : x / (x + y)
}

function checkOwn(op: string, alpha: number, options: MixOptions): number | undefined {
  checkNumber(op, 'alpha', alpha, 1e-3, 1e3)
  const { classes } = checkOptions(op, options, { classes: true })
  if (classes !== undefined && (!Number.isSafeInteger(classes) || classes < 1))
    throw new ValueError(op, `classes is ${shown(classes)}, but must be a positive integer`)
  return classes
}

/** The batch, with its labels as probabilities. */
function prepared(
  op: string,
  batch: unknown,
  generator: unknown,
  classes: number | undefined,
): readonly [images: Tensor, labels: Tensor] {
  if (!(generator instanceof Generator))
    throw new ValueError(
      op,
      `the generator is ${kindOf(generator)}, but must be a Generator; a DataLoader's mix gives one`,
    )
  const [images, labels] = Array.isArray(batch) ? (batch as readonly unknown[]) : []
  if (!(images instanceof Tensor && labels instanceof Tensor))
    throw new ValueError(op, `the batch is ${kindOf(batch)}, but must be [images, labels]`)
  if (images.ndim !== 4 || labels.sizes[0] !== images.sizes[0] || labels.ndim > 2)
    throw new ShapeError(
      op,
      `images are ${formatShape(images.sizes)} and labels ${formatShape(labels.sizes)}, but must be [N, C, H, W] and [N] or [N, classes]`,
      [images.sizes, labels.sizes],
    )
  if (!isFloating(images.dtype))
    throw new DTypeError(op, `images are ${images.dtype}, but must be floats; put normalize(...) into the rows' steps`)
  if (labels.ndim === 2) return [images, labels]
  if (labels.dtype !== 'int32')
    throw new DTypeError(
      op,
      `labels are ${labels.dtype}, but must be int32; give the loader dtypes: [undefined, 'int32']`,
    )
  if (classes === undefined)
    throw new ValueError(
      op,
      `labels are indices of classes; say how many classes there are: ${op}(alpha, { classes: 10 })`,
    )
  return [images, namedAs(op, () => to(oneHot(labels, classes), 'float32'))]
}

const blend = (x: Tensor, share: number) => add(mul(x, share), mul(roll(x, 1, 0), 1 - share))

/**
 * Each row becomes a mean of itself and the row before it, images and labels alike, with one weight from Beta(alpha,
 * alpha) for the whole batch. Like torchvision's v2.MixUp (Zhang et al. 2018). Labels become probabilities, float32 [N,
 * classes], which crossEntropy accepts.
 */
export function mixup(alpha = 1, options: MixOptions = {}): (batch: ImageBatch, generator: Generator) => ImageBatch {
  const classes = checkOwn('mixup', alpha, options)
  return (batch, generator) => {
    const [images, labels] = prepared('mixup', batch, generator, classes)
    const share = beta(alpha, generator)
    return [blend(images, share), blend(labels, share)]
  }
}

/**
 * Each image gets a rectangle of the image before it, of 1 - Beta(alpha, alpha) of the area. Labels are mixed by area.
 * Like torchvision's v2.CutMix (Yun et al. 2019).
 */
export function cutmix(alpha = 1, options: MixOptions = {}): (batch: ImageBatch, generator: Generator) => ImageBatch {
  const classes = checkOwn('cutmix', alpha, options)
  return (batch, generator) => {
    const [images, labels] = prepared('cutmix', batch, generator, classes)
    const [, , height, width] = images.sizes as readonly [number, number, number, number]
    const side = 0.5 * Math.sqrt(1 - beta(alpha, generator))
    const [x, y] = [generator.randint(0, width), generator.randint(0, height)]
    const [left, right] = [Math.max(0, x - Math.trunc(side * width)), Math.min(width, x + Math.trunc(side * width))]
    const [top, bottom] = [Math.max(0, y - Math.trunc(side * height)), Math.min(height, y + Math.trunc(side * height))]
    const area = (right - left) * (bottom - top)
    if (area === 0) return [images, labels]
    const other = roll(images, 1, 0)
    const across = (from: Tensor, start: number, end: number) => narrow(from, 3, start, end - start)
    const [own, cut] = [images, other].map((from) => narrow(from, 2, top, bottom - top)) as [Tensor, Tensor]
    const middle = cat([across(own, 0, left), across(cut, left, right), across(own, right, width)], 3)
    const mixed = cat([narrow(images, 2, 0, top), middle, narrow(images, 2, bottom, height - bottom)], 2)
    return [mixed, blend(labels, 1 - area / (width * height))]
  }
}
