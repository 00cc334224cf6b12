/** The common part of models of images: what they take, the vector that a body makes of an image, and the classes of a head. */
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
  /** Colours of a pixel. */
  readonly channels: number
  /** Sizes of images, [height, width]; null: any. */
  readonly imageSize: readonly [height: number, width: number] | null
  /** The length of the vector that stands for an image. */
  readonly width: number
  /** Names of the classes. */
  readonly labels: readonly string[]
  /** Null: the loss goes by the number of classes and the dtype of labels, as in transformers. */
  readonly problemType: ProblemType | null
}

/** The model between pixels and a head: float32 [N, channels, H, W] -> states. It is a model of its own too. */
export abstract class ImageBody<out C extends ImageConfig = ImageConfig> extends PretrainedModel<C> {
  /** Its name within a model with a head. */
  abstract readonly prefix: string
  /** A weight of the first layer, whose dtype and device pixels take. */
  abstract firstWeight(): Parameter
  /** States of the last layer. */
  protected abstract states(pixels: Tensor): Tensor
  /** One vector for each image: states -> [N, width]. */
  abstract gathered(states: Tensor): Tensor

  /** Throws ShapeError for images of other channels or sizes than the model's, DTypeError for pixels that are bytes. */
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
          'least one image; an ImageProcessor makes them of pictures',
        [pixels.sizes],
      )
  }

  override probe(): readonly Tensor[] {
    return [this.forward(probeOf(this))]
  }
}

/** Two images of waves. */
function probeOf(body: ImageBody): Tensor {
  const { channels, imageSize } = body.config
  const shape = [2, channels, ...(imageSize ?? [64, 64])] as const
  const values = Float32Array.from({ length: shape.reduce((all, size) => all * size, 1) }, (_, i) => Math.sin(i * 0.7))
  return fromTypedArray(values, [...shape], { device: body.firstWeight().device })
}

/** A body with a head that scores classes: pixels [N, channels, H, W] -> [N, classes]. */
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

  /** Files name the body by its kind, as `resnet`. */
  override stateName(property: string): string {
    return property === 'body' ? this.body.prefix : super.stateName(property)
  }

  override get architecture(): Architecture<object, PretrainedModel> {
    return this.#architecture
  }

  override blocks(): Module[] {
    return this.body.blocks()
  }

  /** The body's kind says what weights begin with, the head's too. */
  override initialize(...given: Parameters<PretrainedModel['initialize']>): void {
    this.body.initialize(...given)
  }

  forward(pixels: Tensor): Tensor {
    return this.scores(this.body.embed(pixels))
  }

  /**
   * By `problemType`: summed cross entropy of classes, int32 [N]; of yes and no for each class, float32 [N, classes]; or squares
   * of the errors of numbers, float32 [N, classes] or, where there is one, [N]. Where the configuration has none, one class
   * means numbers, and otherwise the dtype tells.
   */
  loss(pixels: Tensor, inputs: { readonly labels: Tensor }): Loss {
    const op = `${this.constructor.name}.loss`
    const { labels } = checkOptions(op, inputs, { labels: true })
    return labelledLoss(op, this.forward(pixels), labels, this.config.problemType)
  }

  /**
   * The class of a picture, or of each of several, with the scores of all, as of texts: `(await model.classify('cat.jpg')).label`.
   * Pictures and paths of files go through the processor, which is that of the model's folder unless one is given; a tensor holds
   * pixels as the model takes them, [N, channels, H, W]. The model runs in evaluation mode, without a graph. Throws ValueError where
   * there is no processor.
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

/** Names of the classes for a count of them, or for their names. */
export function classNames(op: string, classes: number | readonly string[] | undefined): ConfigJson {
  if (classes === undefined) return {}
  const isCount = typeof classes === 'number' && Number.isSafeInteger(classes) && classes > 0 && classes <= mostLabels
  const list = isCount ? Array.from({ length: classes }, (_, i) => `LABEL_${i}`) : classes
  const isList = Array.isArray(list) && list.length > 0 && list.every((name) => typeof name === 'string')
  if (!isList || new Set(list).size !== list.length)
    throw new ValueError(
      op,
      `classes are ${shown(classes)}, but must be how many there are, up to ${mostLabels}, or their names, each once`,
    )
  return {
    id2label: Object.fromEntries(list.map((name, i) => [i, name])),
    label2id: Object.fromEntries(list.map((name, i) => [name, i])),
  }
}

interface ImageFiles {
  /** Parts of the body in files that the model has not, as a pooler. */
  readonly left?: readonly string[]
  /** The model's name for that of a file. */
  readonly rename?: (name: string) => string
}

/** How files name what a body has, alone or within a model with a head. A folder may hold a head that the body alone does not want. */
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
