/** The common part of models of images: their input, the body's vector for an image, and the head's classes. */
import { checkDType, checkTensor } from '../autograd/operator.js'
import { formatShape, ShapeError, shown, ValueError } from '../core/errors.js'
import { checkOptions } from '../core/options.js'
import type { Tensor } from '../core/tensor.js'
import type { Module, Parameter } from '../nn/module.js'
import { castTo } from '../ops/convert.js'
import { fromTypedArray } from '../ops/creation.js'
import type { Loss } from '../train/objective.js'
import type { Architecture, FileNames } from './architecture.js'
import { type ConfigJson, mostLabels } from './config.js'
import type { ProblemType } from './encoder.js'
import type { ClassifyImagesOptions, Image } from './inference/classify-images.js'
import type { Classified } from './inference/verdict.js'
import { PretrainedModel } from './pretrained.js'
import { labelledLoss } from './scores.js'

export interface ImageConfig {
  /** The number of colour channels of a pixel. */
  readonly channels: number
  /** The size of images, [height, width], or null for any. */
  readonly imageSize: readonly [height: number, width: number] | null
  /** The length of the vector that represents an image. */
  readonly width: number
  /** Names of the classes. */
  readonly labels: readonly string[]
  /** Null: the number of classes and the dtype of labels determine the loss, as in transformers. */
  readonly problemType: ProblemType | null
}

/** The model between pixels and a head: float32 [N, channels, H, W] -> states. It is also a complete model. */
export abstract class ImageBody<out C extends ImageConfig = ImageConfig> extends PretrainedModel<C> {
  /** Its name within a model with a head. */
  abstract readonly prefix: string
  /** A weight of the first layer. Pixels must have its dtype and device. */
  abstract firstWeight(): Parameter
  /** States of the last layer. */
  protected abstract states(pixels: Tensor): Tensor
  /** One vector for each image: states -> [N, width]. */
  abstract gathered(states: Tensor): Tensor

  /**
   * Throws ShapeError for images whose channels or sizes are not the model's, and DTypeError for pixels that are bytes.
   */
  forward(pixels: Tensor): Tensor {
    this.checkPixels(pixels, this.config.imageSize)
    return this.states(castTo(pixels, this.firstWeight().dtype))
  }

  /** The vectors that a head reads: pixels [N, channels, H, W] -> [N, width]. */
  embed(pixels: Tensor): Tensor {
    return this.gathered(this.forward(pixels))
  }

  protected checkPixels(pixels: Tensor, size: ImageConfig['imageSize']): void {
    const op = this.constructor.name
    checkTensor(op, 'pixels', pixels)
    checkDType(op, 'pixels', pixels, ['float32', 'bfloat16'])
    const { channels } = this.config
    const [, c, h, w] = pixels.sizes
    const fits = pixels.ndim === 4 && c === channels && pixels.numel > 0
    if (!fits || (size !== null && (h !== size[0] || w !== size[1])))
      throw new ShapeError(
        op,
        `pixels are ${formatShape(pixels.sizes)}, but must be [N, ${channels}, ${size === null ? 'H, W' : size.join(', ')}], with at ` +
          'least one image; an ImageProcessor makes them from pictures',
        [pixels.sizes],
      )
  }

  override probe(): readonly Tensor[] {
    return [this.forward(probeOf(this))]
  }
}

/** Two images with waves. */
function probeOf(body: ImageBody): Tensor {
  const { channels, imageSize } = body.config
  const shape = [2, channels, ...(imageSize ?? [64, 64])] as const
  const values = Float32Array.from({ length: shape.reduce((all, size) => all * size, 1) }, (_, i) => Math.sin(i * 0.7))
  return fromTypedArray(values, [...shape], { device: body.firstWeight().device })
}

/** A body with a head that computes scores of classes: pixels [N, channels, H, W] -> [N, classes]. */
export abstract class ImageClassifier<out C extends ImageConfig = ImageConfig> extends PretrainedModel<C> {
  readonly body: ImageBody<C>
  readonly #architecture: Architecture<object, PretrainedModel>

  constructor(architecture: Architecture<object, PretrainedModel>, body: ImageBody<C>, json: ConfigJson) {
    super(body.config, json)
    this.#architecture = architecture
    this.body = body
  }

  /** Vectors [N, width] -> scores [N, classes]. */
  protected abstract scores(vectors: Tensor): Tensor

  /** Files name the body by its kind, such as `resnet`. */
  override stateName(property: string): string {
    return property === 'body' ? this.body.prefix : super.stateName(property)
  }

  override get architecture(): Architecture<object, PretrainedModel> {
    return this.#architecture
  }

  override blocks(): Module[] {
    return this.body.blocks()
  }

  /** The body's kind determines the initial weights, including the head's. */
  override initialize(...given: Parameters<PretrainedModel['initialize']>): void {
    this.body.initialize(...given)
  }

  forward(pixels: Tensor): Tensor {
    return this.scores(this.body.embed(pixels))
  }

  /**
   * The loss by `problemType`. Labels of classes are int32 [N], and have summed cross entropy. Labels of yes and no for
   * each class are float32 [N, classes], and have summed binary cross entropy. Labels of numbers are float32 [N,
   * classes], or [N] for a single one, and have squared errors. If the configuration has no type, one class means
   * numbers, and otherwise the dtype decides.
   */
  loss(pixels: Tensor, inputs: { readonly labels: Tensor }): Loss {
    const op = `${this.constructor.name}.loss`
    const { labels } = checkOptions(op, inputs, { labels: true })
    return labelledLoss(op, this.forward(pixels), labels, this.config.problemType)
  }

  /**
   * The class of a picture, or of each of several, with the scores of all classes, as for texts: `(await
   * model.classify('cat.jpg')).label`. Pictures and paths of files go through the processor: the given one, or that of
   * the model's folder. A tensor contains pixels in the model's form, [N, channels, H, W]. The model runs in evaluation
   * mode, without a graph. Throws ValueError if there is no processor.
   */
  classify(image: Image, options?: ClassifyImagesOptions): Promise<Classified>
  classify(images: Tensor | readonly Image[], options?: ClassifyImagesOptions): Promise<Classified[]>
  async classify(
    images: Tensor | Image | readonly Image[],
    options: ClassifyImagesOptions = {},
  ): Promise<Classified | Classified[]> {
    const { classifyImages } = await import('./inference/classify-images.js')
    return classifyImages(this, images, options)
  }

  override probe(): readonly Tensor[] {
    return [this.forward(probeOf(this.body))]
  }
}

/** Names of the classes, from their number or from a list of names. */
export function classNames(op: string, classes: number | readonly string[] | undefined): ConfigJson {
  if (classes === undefined) return {}
  const isCount = typeof classes === 'number' && Number.isSafeInteger(classes) && classes > 0 && classes <= mostLabels
  const list = isCount ? Array.from({ length: classes }, (_, i) => `LABEL_${i}`) : classes
  const isList = Array.isArray(list) && list.length > 0 && list.every((name) => typeof name === 'string')
  if (!isList || new Set(list).size !== list.length)
    throw new ValueError(
      op,
      `classes are ${shown(classes)}, but must be their number, up to ${mostLabels}, or their names, all different`,
    )
  return {
    id2label: Object.fromEntries(list.map((name, i) => [i, name])),
    label2id: Object.fromEntries(list.map((name, i) => [name, i])),
  }
}

interface ImageFiles {
  /** Parts of the body in files that the model does not have, such as a pooler. */
  readonly left?: readonly string[]
  /** The model's name for a name in a file. */
  readonly rename?: (name: string) => string
}

/**
 * The naming of a body's tensors in files, alone or within a model with a head. A folder may contain a head that the
 * body alone does not need.
 */
export function imageFiles(
  prefix: string,
  alone: boolean,
  { left = [], rename = (name) => name }: ImageFiles = {},
): FileNames {
  const parts = alone ? ['classifier', ...left] : left.map((part) => `${prefix}.${part}`)
  const ignored = new RegExp(`^(${parts.map((part) => part.replaceAll('.', '\\.')).join('|')})(\\.|$)`)
  const begins = (name: string): boolean => alone && name.startsWith(`${prefix}.`)
  return {
    ...(alone ? {} : { base: prefix }),
    rename: (name) => rename(begins(name) ? name.slice(prefix.length + 1) : name),
    ...(parts.length > 0 ? { ignored } : {}),
  }
}
