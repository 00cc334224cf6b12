/** Stacks of transformer blocks, and the whole Transformer (Vaswani et al., 2017), modelled on PyTorch's. */
import { kindOf, namedAs, shown, ValueError } from '../core/errors.js'
import { checkOptions, type OptionNames, ownOptions } from '../core/options.js'
import { checkEntries } from '../core/room.js'
import type { Tensor } from '../core/tensor.js'
import { arange, full, zeros } from '../ops/creation.js'
import { gt, where } from '../ops/elementwise/index.js'
import { type CreationOptions, place } from '../ops/placement.js'
import { unsqueeze } from '../ops/shape/index.js'
import { blocksOf } from './blocks.js'
import { ModuleList } from './containers.js'
import { xavierUniform_ } from './init.js'
import { checkFlags, checkLayer, checkNumber, checkSizes, layerOptions } from './layer.js'
import { type Model, Module, settings } from './module.js'
import { LayerNorm } from './norm.js'
import {
  type DecoderInputs,
  type EncoderInputs,
  TransformerDecoderLayer,
  TransformerEncoderLayer,
  type TransformerLayerOptions,
} from './transformer.js'

export interface StackOptions {
  /** A norm for the last block's result, such as a LayerNorm. Default null. */
  readonly norm?: Model | null
}

/** The masks of a block; the first has the name that PyTorch uses here. */
export interface EncoderStackInputs extends Omit<EncoderInputs, 'srcMask'> {
  readonly mask?: Tensor | null
}

const encoderNames: OptionNames<EncoderStackInputs> = {
  mask: true,
  srcKeyPaddingMask: true,
  isCausal: true,
  offset: true,
  window: true,
  lengths: true,
}

/** The greatest number of blocks, because a wrong count would fill the JavaScript heap. */
const mostBlocks = 4096

/** The blocks that a function makes, one per call. */
function stacked<M extends Module>(
  op: string,
  make: (index: number) => M,
  numLayers: number,
  Block: abstract new (...args: never[]) => M,
): ModuleList<M> {
  if (typeof make !== 'function' || make.prototype instanceof Module)
    throw new ValueError(
      op,
      `the first argument is ${kindOf(make)}, but must be a function that makes a block, called ${shown(numLayers)} times, so ` +
        `that each has weights of its own: () => new ${Block.name}(..)`,
    )
  checkSizes(op, { numLayers })
  checkEntries(op, numLayers, mostBlocks, 'blocks', 'take fewer')
  const layers = Array.from({ length: numLayers }, (_, i) => make(i))
  for (const [i, layer] of layers.entries()) {
    if (!(layer instanceof Module)) throw new ValueError(op, `block ${i} is ${kindOf(layer)}, but must be a module`)
    if (layers.indexOf(layer) !== i)
      throw new ValueError(op, `block ${i} is block ${layers.indexOf(layer)} again; make a new one at each call`)
  }
  return new ModuleList(layers)
}

function normOf(op: string, options: StackOptions): Model | null {
  const { norm = null } = checkOptions(op, options, { norm: true })
  if (norm !== null && !(norm instanceof Module))
    throw new ValueError(op, `norm is ${kindOf(norm)}, but must be a module, or null`)
  return norm
}

/**
 * Encoder blocks one after another over [B, T, dModel]. `makeLayer` makes each block, and is called with its number.
 * PyTorch instead copies a given block, so that all begin with the same weights.
 */
export class TransformerEncoder extends Module {
  readonly layers: ModuleList<TransformerEncoderLayer>
  readonly norm: Model | null

  constructor(makeLayer: (index: number) => TransformerEncoderLayer, numLayers: number, options: StackOptions = {}) {
    super()
    const op = 'TransformerEncoder'
    this.norm = normOf(op, options)
    this.layers = stacked(op, makeLayer, numLayers, TransformerEncoderLayer)
  }

  /** The layers without the norm, as the blocks of `WithBlocks`. */
  blocks(): Module[] {
    return [...this.layers]
  }

  forward(src: Tensor, inputs: EncoderStackInputs = {}): Tensor {
    const { mask = null, ...given } = ownOptions('TransformerEncoder.forward', inputs, encoderNames)
    let x = src
    for (const layer of this.layers) x = layer.forward(x, { ...given, srcMask: mask })
    return this.norm ? this.norm.forward(x) : x
  }
}

/**
 * Decoder blocks one after another over the target [B, T, dModel] and the memory [B, S, dModel]. They are made like the
 * encoder's.
 */
export class TransformerDecoder extends Module {
  readonly layers: ModuleList<TransformerDecoderLayer>
  readonly norm: Model | null

  constructor(makeLayer: (index: number) => TransformerDecoderLayer, numLayers: number, options: StackOptions = {}) {
    super()
    const op = 'TransformerDecoder'
    this.norm = normOf(op, options)
    this.layers = stacked(op, makeLayer, numLayers, TransformerDecoderLayer)
  }

  /** The layers without the norm, as the blocks of `WithBlocks`. */
  blocks(): Module[] {
    return [...this.layers]
  }

  forward(tgt: Tensor, memory: Tensor, inputs: DecoderInputs = {}): Tensor {
    let x = tgt
    for (const layer of this.layers) x = layer.forward(x, memory, inputs)
    return this.norm ? this.norm.forward(x) : x
  }
}

/** An encoder: a module from the source and its masks to the memory. */
export type Encoder = Module & { forward(src: Tensor, inputs: EncoderStackInputs): Tensor }
/** A decoder: a module from the target, the memory and their masks to the result. */
export type Decoder = Module & { forward(tgt: Tensor, memory: Tensor, inputs: DecoderInputs): Tensor }

export interface TransformerOptions extends TransformerLayerOptions {
  /** Default 512. */
  readonly dModel?: number
  /** Default 8. */
  readonly nhead?: number
  /** Default 6. */
  readonly numEncoderLayers?: number
  /** Default 6. */
  readonly numDecoderLayers?: number
  /** Modules that replace the library's encoder and decoder. */
  readonly customEncoder?: Encoder | null
  readonly customDecoder?: Decoder | null
}

const transformerNames: OptionNames<TransformerOptions> = {
  ...layerOptions,
  dimFeedforward: true,
  dropout: true,
  activation: true,
  normFirst: true,
  layerNormEps: true,
  bias: true,
  batchFirst: true,
  dModel: true,
  nhead: true,
  numEncoderLayers: true,
  numDecoderLayers: true,
  customEncoder: true,
  customDecoder: true,
}

/**
 * Masks of the source, the target and the memory, which is the encoded source. In a bool mask TRUE means MUST NOT
 * ATTEND.
 */
export interface TransformerInputs extends DecoderInputs {
  readonly srcMask?: Tensor | null
  readonly srcKeyPaddingMask?: Tensor | null
  /** Default false. */
  readonly srcIsCausal?: boolean
  /** int32 [B]: the number of real places in each row of the source; `memoryLengths` says it for the memory. */
  readonly srcLengths?: Tensor | null
}

const inputNames: OptionNames<TransformerInputs> = {
  srcMask: true,
  tgtMask: true,
  memoryMask: true,
  srcKeyPaddingMask: true,
  tgtKeyPaddingMask: true,
  memoryKeyPaddingMask: true,
  srcIsCausal: true,
  tgtIsCausal: true,
  memoryIsCausal: true,
  tgtWindow: true,
  srcLengths: true,
  tgtLengths: true,
  memoryLengths: true,
}

/** An encoder and a decoder, each with a norm at the end, over a source [B, S, dModel] and a target [B, T, dModel]. */
export class Transformer extends Module {
  readonly encoder: Encoder
  readonly decoder: Decoder
  readonly dModel: number
  readonly nhead: number
  readonly batchFirst: boolean

  constructor(options: TransformerOptions = {}) {
    super()
    const op = 'Transformer'
    const {
      dModel = 512,
      nhead = 8,
      numEncoderLayers = 6,
      numDecoderLayers = 6,
      customEncoder = null,
      customDecoder = null,
      ...block
    } = checkLayer(op, options, transformerNames)
    checkSizes(op, { dModel, nhead, numEncoderLayers, numDecoderLayers })
    checkFlags(op, { bias: block.bias, batchFirst: block.batchFirst })
    for (const [name, custom] of Object.entries({ customEncoder, customDecoder }))
      if (custom !== null && !(custom instanceof Module))
        throw new ValueError(op, `${name} is ${kindOf(custom)}, but must be a module, or null`)
    const {
      dropout: _,
      dimFeedforward: __,
      activation: ___,
      normFirst: ____,
      batchFirst = true,
      layerNormEps,
      ...layer
    } = block
    if (layerNormEps !== undefined) checkNumber(op, 'layerNormEps', layerNormEps, 0)
    const norm = () => new LayerNorm(dModel, { ...layer, ...(layerNormEps === undefined ? {} : { eps: layerNormEps }) })
    const stack = <M>(make: () => M) => namedAs(op, make)
    this.encoder =
      customEncoder ??
      stack(
        () =>
          new TransformerEncoder(() => new TransformerEncoderLayer(dModel, nhead, block), numEncoderLayers, {
            norm: norm() as Model,
          }),
      )
    this.decoder =
      customDecoder ??
      stack(
        () =>
          new TransformerDecoder(() => new TransformerDecoderLayer(dModel, nhead, block), numDecoderLayers, {
            norm: norm() as Model,
          }),
      )
    this.dModel = dModel
    this.nhead = nhead
    this.batchFirst = batchFirst
    for (const parameter of this.parameters())
      if (parameter.ndim > 1) xavierUniform_(parameter, { generator: block.generator })
  }

  /** A mask [size, size] with -Infinity above the diagonal, which hides later places when it is added to scores. */
  static generateSquareSubsequentMask(size: number, options: Pick<CreationOptions, 'dtype' | 'device'> = {}): Tensor {
    const op = 'Transformer.generateSquareSubsequentMask'
    if (!Number.isSafeInteger(size) || size < 0)
      throw new ValueError(op, `size is ${shown(size)}, but must be an integer of at least 0`)
    const { dtype, device } = place(op, options, { dtype: true, device: true }, 'float32')
    const places = arange(0, size, 1, { dtype: 'int32', device })
    const later: Tensor = gt(unsqueeze(places, 0), unsqueeze(places, 1))
    const never = full([], Number.NEGATIVE_INFINITY, { dtype: dtype as 'float32', device })
    return where(later, never, zeros([], { dtype: dtype as 'float32', device }))
  }

  /**
   * The blocks of the encoder, then those of the decoder, as in `WithBlocks`. A custom module that declares none counts
   * as one block.
   */
  blocks(): Module[] {
    return [this.encoder, this.decoder].flatMap((stack) => blocksOf(stack) ?? [stack])
  }

  override extraRepr(): string {
    return settings({ dModel: this.dModel, nhead: this.nhead, batchFirst: this.batchFirst })
  }

  /** Encodes the source, and decodes the target with it. The result has the target's shape. */
  forward(src: Tensor, tgt: Tensor, inputs: TransformerInputs = {}): Tensor {
    const { srcMask, srcKeyPaddingMask, srcIsCausal, srcLengths, ...rest } = ownOptions(
      'Transformer.forward',
      inputs,
      inputNames,
    )
    const memory = this.encoder.forward(src, {
      mask: srcMask ?? null,
      srcKeyPaddingMask: srcKeyPaddingMask ?? null,
      isCausal: srcIsCausal ?? false,
      lengths: srcLengths ?? null,
    })
    return this.decoder.forward(tgt, memory, rest)
  }
}
