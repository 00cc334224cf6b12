/**
 * Vision transformer (Dosovitskiy et al., 2020): an image is cut into patches, each is projected to a vector, and an
 * encoder attends to all of them. The state of an extra vector before the patches represents the image. Names are those
 * of published folders, and numbers those of transformers' ViT models.
 */
import { noGrad } from '../autograd/mode.js'
import { shown, ValueError } from '../core/errors.js'
import type { Generator } from '../core/generator.js'
import { type OptionNames, ownOptions } from '../core/options.js'
import type { Tensor } from '../core/tensor.js'
import { Conv2d } from '../nn/conv.js'
import { Dropout } from '../nn/dropout.js'
import { normal_, zeros_ } from '../nn/init.js'
import { type LayerOptions, layerOptions, parameter } from '../nn/layer.js'
import { Linear } from '../nn/linear.js'
import { Module, type Parameter } from '../nn/module.js'
import { LayerNorm } from '../nn/norm.js'
import { runBlock } from '../nn/run-block.js'
import { castTo } from '../ops/convert.js'
import { add } from '../ops/elementwise/index.js'
import { interpolate } from '../ops/interpolate/index.js'
import { cat, expand, flatten, narrow, permute, reshape, select, transpose } from '../ops/shape/index.js'
import { type ActivationName, activationNames, activationOf } from './activation.js'
import { type Architecture, fromConfig, layerOf } from './architecture.js'
import type { ConfigJson, Settings } from './config.js'
import { attendAll, labelsOf, problemTypeOf } from './encoder.js'
import { classNames, ImageBody, ImageClassifier, type ImageConfig, imageFiles } from './image.js'

export interface VitConfig extends ImageConfig {
  readonly imageSize: readonly [height: number, width: number]
  readonly patchSize: readonly [height: number, width: number]
  readonly layers: number
  readonly heads: number
  /** Width of the feed-forward network. */
  readonly inner: number
  readonly activation: ActivationName
  readonly eps: number
  /** Dropout before additions to the residual stream, and of embeddings. */
  readonly dropout: number
  readonly attentionDropout: number
  /** Whether queries, keys and values have biases. */
  readonly qkvBias: boolean
  readonly pooler: { readonly width: number; readonly activation: ActivationName }
}

/** The number of patches along both sides. */
const gridOf = (
  [height, width]: readonly [number, number],
  { patchSize }: VitConfig,
): [rows: number, columns: number] => [Math.floor(height / patchSize[0]), Math.floor(width / patchSize[1])]

class VitEmbeddings extends Module {
  /** [1, 1, width]: the vector before the patches. */
  readonly clsToken: Parameter
  /** [1, 1 + patches, width] */
  readonly positionEmbeddings: Parameter
  readonly patchEmbeddings: { readonly projection: Conv2d }
  readonly dropout: Dropout
  readonly #config: VitConfig

  constructor(config: VitConfig, options: LayerOptions) {
    super()
    const { channels, width, patchSize, imageSize, dropout } = config
    const [rows, columns] = gridOf(imageSize, config)
    this.clsToken = parameter('Vit', [1, 1, width], options)
    this.positionEmbeddings = parameter('Vit', [1, 1 + rows * columns, width], options)
    this.patchEmbeddings = { projection: new Conv2d(channels, width, patchSize, { ...options, stride: patchSize }) }
    this.dropout = new Dropout(dropout)
    this.#config = config
  }

  forward(pixels: Tensor): Tensor {
    const patches = transpose(flatten(this.patchEmbeddings.projection.forward(pixels), 2), 1, 2)
    const first = expand(this.clsToken, [pixels.sizes[0] as number, 1, this.#config.width])
    const [height, width] = pixels.sizes.slice(2) as [number, number]
    return this.dropout.forward(add(cat([first, patches], 1), this.#positions([height, width])))
  }

  #positions(size: readonly [number, number]): Tensor {
    const { imageSize, width } = this.#config
    if (size[0] === imageSize[0] && size[1] === imageSize[1]) return this.positionEmbeddings
    const [rows, columns] = gridOf(imageSize, this.#config)
    const [first, rest] = [
      narrow(this.positionEmbeddings, 1, 0, 1),
      narrow(this.positionEmbeddings, 1, 1, rows * columns),
    ]
    const grid = permute(reshape(rest, [1, rows, columns, width]), [0, 3, 1, 2])
    const resampled = interpolate(grid, { size: gridOf(size, this.#config), mode: 'bicubic', alignCorners: false })
    return cat([first, transpose(flatten(resampled, 2), 1, 2)], 1)
  }
}

class VitAttention extends Module {
  readonly attention: { readonly query: Linear; readonly key: Linear; readonly value: Linear }
  readonly output: { readonly dense: Linear }
  readonly #heads: number
  readonly #dropout: number

  constructor({ width, heads, attentionDropout, qkvBias }: VitConfig, options: LayerOptions) {
    super()
    const projection = (): Linear => new Linear(width, width, { ...options, bias: qkvBias })
    this.attention = { query: projection(), key: projection(), value: projection() }
    this.output = { dense: new Linear(width, width, options) }
    this.#heads = heads
    this.#dropout = attentionDropout
  }

  forward(x: Tensor): Tensor {
    const { query, key, value } = this.attention
    const seen = attendAll(query.forward(x), key.forward(x), value.forward(x), null, {
      heads: this.#heads,
      dropoutP: this.training ? this.#dropout : 0,
    })
    return this.output.dense.forward(seen)
  }
}

/** The norms come before attention and network, so the stream of states itself is never normalised. */
class VitBlock extends Module {
  readonly attention: VitAttention
  readonly intermediate: { readonly dense: Linear }
  readonly output: { readonly dense: Linear }
  readonly layernormBefore: LayerNorm
  readonly layernormAfter: LayerNorm
  readonly dropout: Dropout
  readonly #activation: (x: Tensor) => Tensor

  constructor(config: VitConfig, options: LayerOptions) {
    super()
    const { width, inner, eps, activation, dropout } = config
    this.attention = new VitAttention(config, options)
    this.intermediate = { dense: new Linear(width, inner, options) }
    this.output = { dense: new Linear(inner, width, options) }
    this.layernormBefore = new LayerNorm(width, { ...options, eps })
    this.layernormAfter = new LayerNorm(width, { ...options, eps })
    this.dropout = new Dropout(dropout)
    this.#activation = activationOf(activation)
  }

  forward(x: Tensor): Tensor {
    const attended: Tensor = add(this.dropout.forward(this.attention.forward(this.layernormBefore.forward(x))), x)
    const inner = this.#activation(this.intermediate.dense.forward(this.layernormAfter.forward(attended)))
    return add(this.dropout.forward(this.output.dense.forward(inner)), attended)
  }
}

/** A layer over the state that represents the image. */
class VitPooler extends Module {
  readonly dense: Linear
  readonly #activation: (x: Tensor) => Tensor

  constructor({ width, pooler }: VitConfig, options: LayerOptions) {
    super()
    this.dense = new Linear(width, pooler.width, options)
    this.#activation = activationOf(pooler.activation)
  }

  forward(vectors: Tensor): Tensor {
    return this.#activation(this.dense.forward(vectors))
  }
}

/** ViT without a head: pixels [N, channels, H, W] -> states [N, 1 + patches, width]. */
export class Vit extends ImageBody<VitConfig> {
  readonly embeddings: VitEmbeddings
  readonly encoder: { readonly layer: readonly VitBlock[] }
  readonly layernorm: LayerNorm
  readonly pooler: VitPooler | null
  /**
   * Whether images may have sizes other than the model's. Its positions are then resampled (bicubic) to their grid of
   * patches. While it is false, these images are refused.
   */
  interpolatePositions = false

  constructor(config: VitConfig, json: ConfigJson, options: LayerOptions = {}, pooled = true) {
    super(config, json)
    this.embeddings = new VitEmbeddings(config, options)
    this.encoder = { layer: Array.from({ length: config.layers }, () => new VitBlock(config, options)) }
    this.layernorm = new LayerNorm(config.width, { ...options, eps: config.eps })
    this.pooler = pooled ? new VitPooler(config, options) : null
  }

  get prefix(): string {
    return 'vit'
  }

  override get architecture(): Architecture<object, Vit> {
    return vitArchitectures.imageEmbedding
  }

  override blocks(): Module[] {
    return [...this.encoder.layer]
  }

  override firstWeight(): Parameter {
    return this.embeddings.patchEmbeddings.projection.weight
  }

  override forward(pixels: Tensor): Tensor {
    if (!this.interpolatePositions) return super.forward(pixels)
    this.checkPixels(pixels, null)
    const size = pixels.sizes.slice(2) as [number, number]
    if (gridOf(size, this.config).includes(0))
      throw new ValueError(
        'Vit',
        `images of ${size.join(' x ')} pixels do not contain a patch of ${this.config.patchSize.join(' x ')}`,
      )
    return this.states(castTo(pixels, this.firstWeight().dtype))
  }

  protected override states(pixels: Tensor): Tensor {
    const embedded = this.embeddings.forward(pixels)
    return this.layernorm.forward(
      this.encoder.layer.reduce((x, block) => runBlock(block, () => block.forward(x)), embedded),
    )
  }

  override gathered(states: Tensor): Tensor {
    return select(states, 1, 0)
  }

  /** The output of the pooler, in transformers' terms: states [N, 1 + patches, width] -> [N, pooler's width]. */
  pool(states: Tensor): Tensor {
    if (this.pooler === null)
      throw new ValueError('Vit.pool', 'a classifier has no pooler; AutoModel.forImageEmbedding loads a model with one')
    return this.pooler.forward(this.gathered(states))
  }

  /** The name in transformers 5, and therefore in PEFT's files, for a path with the names of published folders. */
  adapterName(path: string): string {
    return current.reduce((name, [from, to]) => name.replace(from, to), path)
  }

  /**
   * Initial weights as in transformers: weights are normally distributed with the standard deviation
   * `initializer_range`, and biases are zeros. transformers cuts positions off at 2, which is a hundred deviations
   * away.
   */
  override initialize(part: Module, generator?: Generator): void {
    const std = this.initializerRange
    noGrad(() => {
      for (const layer of part.modules()) {
        if (layer instanceof VitEmbeddings)
          for (const own of [layer.positionEmbeddings, layer.clsToken]) normal_(own, 0, std, { generator })
        if (!(layer instanceof Linear || layer instanceof Conv2d)) continue
        normal_(layer.weight, 0, std, { generator })
        if (layer.bias !== null) zeros_(layer.bias)
      }
    })
  }
}

/** ViT with a head over the state that represents the image: pixels [N, channels, H, W] -> [N, classes]. */
export class VitClassifier extends ImageClassifier<VitConfig> {
  declare readonly body: Vit
  readonly classifier: Linear

  constructor(architecture: Architecture<object, VitClassifier>, body: Vit, json: ConfigJson, options: LayerOptions) {
    super(architecture, body, json)
    this.classifier = new Linear(body.config.width, body.config.labels.length, options)
  }

  protected override scores(vectors: Tensor): Tensor {
    return this.classifier.forward(vectors)
  }

  /** The same as the body's. */
  adapterName(path: string): string {
    return this.body.adapterName(path)
  }
}

/** transformers 5 uses other names within a program, and some folders contain them too. */
const renamed: readonly (readonly [RegExp, string])[] = [
  [/^(vit\.)?layers\.(\d+)\./, '$1encoder.layer.$2.'],
  [/\.attention\.q_proj\./, '.attention.attention.query.'],
  [/\.attention\.k_proj\./, '.attention.attention.key.'],
  [/\.attention\.v_proj\./, '.attention.attention.value.'],
  [/\.attention\.o_proj\./, '.attention.output.dense.'],
  [/\.mlp\.fc1\./, '.intermediate.dense.'],
  [/\.mlp\.fc2\./, '.output.dense.'],
]

/** The name in published folders for a name in transformers 5. */
export const publishedVitName = (name: string): string =>
  renamed.reduce((plain, [from, to]) => plain.replace(from, to), name)

/** The inverse, for names of modules and of tensors. */
const current: readonly (readonly [RegExp, string])[] = [
  [/^(vit\.)?encoder\.layer\.(\d+)(?=\.|$)/, '$1layers.$2'],
  [/^((?:vit\.)?layers\.\d+)\.attention\.attention\.query(?=\.|$)/, '$1.attention.q_proj'],
  [/^((?:vit\.)?layers\.\d+)\.attention\.attention\.key(?=\.|$)/, '$1.attention.k_proj'],
  [/^((?:vit\.)?layers\.\d+)\.attention\.attention\.value(?=\.|$)/, '$1.attention.v_proj'],
  [/^((?:vit\.)?layers\.\d+)\.attention\.output\.dense(?=\.|$)/, '$1.attention.o_proj'],
  [/^((?:vit\.)?layers\.\d+)\.intermediate\.dense(?=\.|$)/, '$1.mlp.fc1'],
  [/^((?:vit\.)?layers\.\d+)\.output\.dense(?=\.|$)/, '$1.mlp.fc2'],
]

/** The largest side of an image, and of a patch. */
const mostPixels = 2 ** 15

function pairOf(settings: Settings, name: string, fallback: number): [number, number] {
  const value = settings.value(name) ?? fallback
  const pair: readonly unknown[] = Array.isArray(value) ? value : [value, value]
  const fits = (side: unknown): boolean => Number.isInteger(side) && Number(side) > 0 && Number(side) <= mostPixels
  if (pair.length === 2 && pair.every(fits)) return [pair[0] as number, pair[1] as number]
  settings.fault(`${name} is ${shown(value)}, but must be an integer from 1 to ${mostPixels}, or [height, width]`)
  return [fallback, fallback]
}

function read(settings: Settings): VitConfig {
  // Only the decoder of masked images uses it.
  settings.unused('encoder_stride')
  const width = settings.size('hidden_size', 768)
  const heads = settings.size('num_attention_heads', 12)
  if (width % heads !== 0)
    settings.fault(`hidden_size is ${width}, but must be a multiple of num_attention_heads, ${heads}`)
  const imageSize = pairOf(settings, 'image_size', 224)
  const patchSize = pairOf(settings, 'patch_size', 16)
  if (patchSize.some((side, i) => side > (imageSize[i] as number)))
    settings.fault(
      `image_size is ${imageSize.join(' x ')}, which does not contain a patch of patch_size ${patchSize.join(' x ')}`,
    )
  return {
    channels: settings.size('num_channels', 3),
    imageSize,
    patchSize,
    width,
    layers: settings.layers('num_hidden_layers', 12),
    heads,
    inner: settings.size('intermediate_size', 3072),
    activation: settings.choice('hidden_act', activationNames, 'gelu'),
    eps: settings.positive('layer_norm_eps', 1e-12),
    dropout: settings.dropout('hidden_dropout_prob', 0),
    attentionDropout: settings.dropout('attention_probs_dropout_prob', 0),
    qkvBias: settings.flag('qkv_bias', true),
    pooler: {
      width: settings.size('pooler_output_size', width),
      activation: settings.choice('pooler_act', activationNames, 'tanh'),
    },
    labels: labelsOf(settings),
    problemType: problemTypeOf(settings),
  }
}

/** Additional parts in folders from pre-training. */
const left = ['embeddings.mask_token', 'decoder'] as const

const classification: Architecture<VitConfig, VitClassifier> = {
  name: 'ViTForImageClassification',
  modelTypes: ['vit'],
  files: imageFiles('vit', false, { left: [...left, 'pooler'], rename: publishedVitName }),
  head: ['classifier'],
  read,
  make: (config, json, options) =>
    new VitClassifier(classification, new Vit(config, json, options, false), json, options),
}

export const vitArchitectures = {
  imageEmbedding: {
    name: 'ViTModel',
    modelTypes: ['vit'],
    files: imageFiles('vit', true, { left, rename: publishedVitName }),
    head: ['pooler'],
    read,
    make: (config, json, options) => new Vit(config, json, options),
  } satisfies Architecture<VitConfig, Vit>,
  imageClassification: classification,
} as const

export interface VitOptions extends LayerOptions {
  /** The number of classes, or their names. Default 1000. */
  readonly classes?: number | readonly string[]
  /** The number of colour channels of a pixel. Default 3. */
  readonly channels?: number
  /** One side of square images, or [height, width]. Default 224. */
  readonly imageSize?: number | readonly [height: number, width: number]
  /** The same for patches. Default 16. */
  readonly patchSize?: number | readonly [height: number, width: number]
  readonly width?: number
  readonly layers?: number
  readonly heads?: number
  /** Width of the feed-forward network. Default: 4 times `width`. */
  readonly inner?: number
  /** Every dropout except attention's. Default 0. */
  readonly dropout?: number
  readonly qkvBias?: boolean
  readonly activation?: ActivationName
}

const vitNames: OptionNames<VitOptions> = {
  ...layerOptions,
  classes: true,
  channels: true,
  imageSize: true,
  patchSize: true,
  width: true,
  layers: true,
  heads: true,
  inner: true,
  dropout: true,
  qkvBias: true,
  activation: true,
}

/**
 * Throws if patches leave out a border of images, which no layer would see. Folders may have these sizes, because
 * transformers accepts them.
 */
function checkDivided(op: string, { imageSize = 224, patchSize = 16 }: VitOptions): void {
  // Sizes that are wrong on their own are refused together with all other settings.
  const sides = (size: number | readonly number[]) => {
    const pair: readonly unknown[] = Array.isArray(size) ? size : [size, size]
    return pair.length === 2 && pair.every(Number.isInteger) ? (pair as readonly number[]) : null
  }
  const [image, patch] = [sides(imageSize), sides(patchSize)]
  if (image === null || patch === null) return
  const cut = image.some((side, i) => side > (patch[i] as number) && side % (patch[i] as number) > 0)
  if (!cut) return
  const fitting = image.map((side, i) => side - (side % (patch[i] as number)))
  throw new ValueError(
    op,
    `imageSize is ${image.join(' x ')}, which patches of patchSize ${patch.join(' x ')} do not fill; give an imageSize such as ${fitting.join(' x ')}, or another patchSize`,
  )
}

/**
 * A ViT with initial weights for training, and a head for classes. Default sizes are those of ViT-Base/16. Throws
 * ValueError for sizes that do not fit together.
 */
export function vit(options: VitOptions = {}): VitClassifier {
  const op = 'vit'
  const own = ownOptions(op, options, vitNames)
  const { width = 768, classes = 1000 } = own
  checkDivided(op, own)
  return fromConfig(
    op,
    classification,
    {
      num_channels: own.channels,
      image_size: own.imageSize,
      patch_size: own.patchSize,
      hidden_size: width,
      num_hidden_layers: own.layers,
      num_attention_heads: own.heads,
      intermediate_size: own.inner ?? 4 * width,
      hidden_dropout_prob: own.dropout,
      qkv_bias: own.qkvBias,
      hidden_act: own.activation,
      ...classNames(op, classes),
    },
    layerOf(own),
  )
}
