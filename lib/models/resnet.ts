/**
 * ResNet (He et al., 2015): convolutions in blocks that add their result to their input. Each stage after the first
 * halves the image, and the mean over the last stage represents it. Names and numbers are those of transformers' ResNet
 * models. A bottleneck halves at its 3 x 3 convolution (version 1.5), or at the first one if `downsample_in_bottleneck`
 * is set.
 */
import { noGrad } from '../autograd/mode.js'
import { shown, ValueError } from '../core/errors.js'
import type { Generator } from '../core/generator.js'
import { type OptionNames, ownOptions } from '../core/options.js'
import type { Tensor } from '../core/tensor.js'
import { Flatten } from '../nn/activation.js'
import { Sequential } from '../nn/containers.js'
import { Conv2d } from '../nn/conv.js'
import { kaimingNormal_, kaimingUniform_, uniform_ } from '../nn/init.js'
import { type LayerOptions, layerOptions } from '../nn/layer.js'
import { Linear } from '../nn/linear.js'
import { Module, type Parameter } from '../nn/module.js'
import { BatchNorm2d } from '../nn/norm.js'
import { MaxPool2d } from '../nn/pool.js'
import { runBlock } from '../nn/run-block.js'
import { add } from '../ops/elementwise/index.js'
import { adaptiveAvgPool2d } from '../ops/pool/adaptive.js'
import { flatten } from '../ops/shape/index.js'
import { type ActivationName, activationNames, activationOf } from './activation.js'
import { type Architecture, fromConfig, layerOf } from './architecture.js'
import type { ConfigJson, Settings } from './config.js'
import { labelsOf, problemTypeOf } from './encoder.js'
import { classNames, ImageBody, ImageClassifier, type ImageConfig, imageFiles } from './image.js'

export interface ResNetConfig extends ImageConfig {
  /** The number of channels after the first convolution. */
  readonly embeddingSize: number
  /** The number of channels and the number of blocks in each stage. */
  readonly stages: readonly { readonly size: number; readonly depth: number }[]
  readonly kind: 'basic' | 'bottleneck'
  readonly activation: ActivationName
  readonly downsampleInFirstStage: boolean
  readonly downsampleInBottleneck: boolean
}

interface ConvNormOptions {
  readonly kernel?: number
  readonly stride?: number
  readonly activation?: ActivationName | null
}

/** A convolution, which keeps the size unless it has a stride, batch norm, and an activation. */
class ConvNorm extends Module {
  readonly convolution: Conv2d
  readonly normalization: BatchNorm2d
  readonly #activation: ((x: Tensor) => Tensor) | null

  constructor(
    from: number,
    to: number,
    { kernel = 3, stride = 1, activation }: ConvNormOptions,
    options: LayerOptions,
  ) {
    super()
    this.convolution = new Conv2d(from, to, kernel, { ...options, stride, padding: kernel >> 1, bias: false })
    this.normalization = new BatchNorm2d(to, options)
    this.#activation = activation ? activationOf(activation) : null
  }

  forward(x: Tensor): Tensor {
    const normal = this.normalization.forward(this.convolution.forward(x))
    return this.#activation === null ? normal : this.#activation(normal)
  }
}

/** The ratio of a bottleneck's outer channels to its inner ones. */
const reduction = 4

/** Two or three convolutions, whose result is added to x, or to a projection of x if sizes change. */
class ResNetBlock extends Module {
  readonly shortcut: ConvNorm | null
  readonly layer: readonly ConvNorm[]
  readonly #activation: (x: Tensor) => Tensor

  constructor(from: number, to: number, stride: number, config: ResNetConfig, options: LayerOptions) {
    super()
    const { activation, kind, downsampleInBottleneck } = config
    this.shortcut = from === to && stride === 1 ? null : new ConvNorm(from, to, { kernel: 1, stride }, options)
    // Within a block it is ReLU, whatever the configured activation is, as in transformers.
    if (kind === 'basic')
      this.layer = [new ConvNorm(from, to, { stride, activation: 'relu' }, options), new ConvNorm(to, to, {}, options)]
    else {
      const inner = Math.floor(to / reduction)
      const [first, second] = downsampleInBottleneck ? [stride, 1] : [1, stride]
      this.layer = [
        new ConvNorm(from, inner, { kernel: 1, stride: first, activation: 'relu' }, options),
        new ConvNorm(inner, inner, { stride: second, activation: 'relu' }, options),
        new ConvNorm(inner, to, { kernel: 1 }, options),
      ]
    }
    this.#activation = activationOf(activation)
  }

  forward(x: Tensor): Tensor {
    const changed = this.layer.reduce((each, layer) => layer.forward(each), x)
    return this.#activation(add(changed, this.shortcut === null ? x : this.shortcut.forward(x)))
  }
}

class ResNetStage extends Module {
  readonly layers: readonly ResNetBlock[]

  constructor(from: number, to: number, depth: number, stride: number, config: ResNetConfig, options: LayerOptions) {
    super()
    this.layers = Array.from({ length: depth }, (_, i) =>
      i === 0 ? new ResNetBlock(from, to, stride, config, options) : new ResNetBlock(to, to, 1, config, options),
    )
  }

  forward(x: Tensor): Tensor {
    return this.layers.reduce((each, layer) => runBlock(layer, () => layer.forward(each)), x)
  }
}

/** The first convolution and a pool. Together they divide the image's sides by four. */
class ResNetEmbedder extends Module {
  readonly embedder: ConvNorm
  readonly pooler: MaxPool2d

  constructor({ channels, embeddingSize, activation }: ResNetConfig, options: LayerOptions) {
    super()
    this.embedder = new ConvNorm(channels, embeddingSize, { kernel: 7, stride: 2, activation }, options)
    this.pooler = new MaxPool2d(3, { stride: 2, padding: 1 })
  }

  forward(pixels: Tensor): Tensor {
    return this.pooler.forward(this.embedder.forward(pixels))
  }
}

/** ResNet without a head: pixels [N, channels, H, W] -> states [N, width, H', W']. */
export class ResNet extends ImageBody<ResNetConfig> {
  readonly embedder: ResNetEmbedder
  readonly encoder: { readonly stages: readonly ResNetStage[] }

  constructor(config: ResNetConfig, json: ConfigJson, options: LayerOptions = {}) {
    super(config, json)
    this.embedder = new ResNetEmbedder(config, options)
    let from = config.embeddingSize
    const stages = config.stages.map(({ size, depth }, i) => {
      const stride = i > 0 || config.downsampleInFirstStage ? 2 : 1
      const stage = new ResNetStage(from, size, depth, stride, config, options)
      from = size
      return stage
    })
    this.encoder = { stages }
  }

  get prefix(): string {
    return 'resnet'
  }

  override get architecture(): Architecture<object, ResNet> {
    return resnetArchitectures.imageEmbedding
  }

  override blocks(): Module[] {
    return this.encoder.stages.flatMap(({ layers }) => layers)
  }

  override firstWeight(): Parameter {
    return this.embedder.embedder.convolution.weight
  }

  protected override states(pixels: Tensor): Tensor {
    return this.encoder.stages.reduce((x, stage) => stage.forward(x), this.embedder.forward(pixels))
  }

  override gathered(states: Tensor): Tensor {
    return flatten(adaptiveAvgPool2d(states, 1), 1)
  }

  /**
   * Convolutions as in the paper (He et al., 2015, "Delving Deep into Rectifiers"), and linear layers as in PyTorch.
   */
  override initialize(part: Module, generator?: Generator): void {
    noGrad(() => {
      for (const layer of part.modules()) {
        if (layer instanceof Conv2d) kaimingNormal_(layer.weight, { mode: 'fanOut', nonlinearity: 'relu', generator })
        else if (layer instanceof Linear) {
          kaimingUniform_(layer.weight, { a: Math.sqrt(5), generator })
          const bound = 1 / Math.sqrt(layer.weight.sizes[1] as number)
          if (layer.bias !== null) uniform_(layer.bias, -bound, bound, { generator })
        }
      }
    })
  }
}

class ResNetClassifier extends ImageClassifier<ResNetConfig> {
  readonly classifier: Sequential<readonly [Flatten, Linear]>

  constructor(
    architecture: Architecture<object, ResNetClassifier>,
    body: ResNet,
    json: ConfigJson,
    options: LayerOptions,
  ) {
    super(architecture, body, json)
    // The linear layer's place in the Sequential is its name in files.
    this.classifier = new Sequential(new Flatten(), new Linear(body.config.width, body.config.labels.length, options))
  }

  protected override scores(vectors: Tensor): Tensor {
    return this.classifier.forward(vectors)
  }
}

/** The deepest published model has 50 blocks, and the widest has 8,192 channels. */
const most = { depth: 1024, size: 2 ** 16 }

function listOf(settings: Settings, name: string, fallback: readonly number[], limit: number): readonly number[] {
  const value = settings.value(name) ?? fallback
  const fits = (each: unknown): boolean => Number.isInteger(each) && Number(each) > 0 && Number(each) <= limit
  if (Array.isArray(value) && value.length > 0 && value.length <= 16 && value.every(fits)) return value
  settings.fault(`${name} is ${shown(value)}, but must be a list of 1 to 16 integers from 1 to ${limit}`)
  return fallback
}

function read(settings: Settings): ResNetConfig {
  // They choose the states that a backbone returns.
  settings.unused('out_features', 'out_indices', 'stage_names')
  const sizes = listOf(settings, 'hidden_sizes', [256, 512, 1024, 2048], most.size)
  const depths = listOf(settings, 'depths', [3, 4, 6, 3], most.depth)
  if (sizes.length !== depths.length)
    settings.fault(`hidden_sizes has ${sizes.length} stages, but depths has ${depths.length}`)
  const kind = settings.choice('layer_type', ['basic', 'bottleneck'], 'bottleneck')
  if (kind === 'bottleneck' && sizes.some((size) => size < reduction))
    settings.fault(`hidden_sizes are ${sizes.join(', ')}, but bottlenecks need at least ${reduction} channels each`)
  return {
    channels: settings.size('num_channels', 3),
    imageSize: null,
    width: sizes.at(-1) as number,
    embeddingSize: settings.size('embedding_size', 64),
    stages: sizes.map((size, i) => ({ size, depth: depths[i] ?? 1 })),
    kind,
    activation: settings.choice('hidden_act', activationNames, 'relu'),
    downsampleInFirstStage: settings.flag('downsample_in_first_stage', false),
    downsampleInBottleneck: settings.flag('downsample_in_bottleneck', false),
    labels: labelsOf(settings),
    problemType: problemTypeOf(settings),
  }
}

const classification: Architecture<ResNetConfig, ResNetClassifier> = {
  name: 'ResNetForImageClassification',
  modelTypes: ['resnet'],
  files: imageFiles('resnet', false),
  head: ['classifier'],
  read,
  make: (config, json, options) =>
    new ResNetClassifier(classification, new ResNet(config, json, options), json, options),
}

export const resnetArchitectures = {
  imageEmbedding: {
    name: 'ResNetModel',
    modelTypes: ['resnet'],
    files: imageFiles('resnet', true),
    read,
    make: (config, json, options) => new ResNet(config, json, options),
  } satisfies Architecture<ResNetConfig, ResNet>,
  imageClassification: classification,
} as const

/** The published depths, by the number of their layers with weights. */
const published = {
  18: { kind: 'basic', depths: [2, 2, 2, 2] },
  34: { kind: 'basic', depths: [3, 4, 6, 3] },
  50: { kind: 'bottleneck', depths: [3, 4, 6, 3] },
  101: { kind: 'bottleneck', depths: [3, 4, 23, 3] },
  152: { kind: 'bottleneck', depths: [3, 8, 36, 3] },
} as const

export type ResNetDepth = keyof typeof published

export interface ResNetOptions extends LayerOptions {
  /** The number of classes, or their names. Default 1000. */
  readonly classes?: number | readonly string[]
  /** The number of colour channels of a pixel. Default 3. */
  readonly channels?: number
  /**
   * The number of channels after the first convolution, to which all others are proportional: 64 in the paper. A
   * smaller number makes a smaller model. Default 64.
   */
  readonly width?: number
}

const resnetNames: OptionNames<ResNetOptions> = { ...layerOptions, classes: true, channels: true, width: true }

/**
 * A ResNet of 18, 34, 50, 101 or 152 layers with initial weights for training, and a head for classes. Other shapes
 * come from a configuration, through `AutoModel.forImageClassification`. Throws ValueError for another depth, or for
 * invalid sizes.
 */
export function resnet(depth: ResNetDepth, options: ResNetOptions = {}): ImageClassifier<ResNetConfig> {
  const op = 'resnet'
  const own = ownOptions(op, options, resnetNames)
  if (typeof depth !== 'number' || !Object.hasOwn(published, depth))
    throw new ValueError(op, `depth is ${shown(depth)}, but must be one of ${Object.keys(published).join(', ')}`)
  const { kind, depths } = published[depth]
  const { classes = 1000, channels, width = 64 } = own
  if (!Number.isSafeInteger(width) || width < 1)
    throw new ValueError(op, `width is ${shown(width)}, but must be a positive integer`)
  const first = kind === 'basic' ? width : width * reduction
  return fromConfig(
    op,
    classification,
    {
      num_channels: channels,
      embedding_size: width,
      hidden_sizes: [1, 2, 4, 8].map((times) => first * times),
      depths,
      layer_type: kind,
      ...classNames(op, classes),
    },
    layerOf(own),
  )
}
