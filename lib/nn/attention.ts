/** Multi-head attention and transformer blocks. */
import { checkTensor } from '../autograd/operator.js'
import { DTypeError, Faults, formatShape, namedAs, shown, ValueError } from '../core/errors.js'
import type { Generator } from '../core/generator.js'
import { checkOptions, type OptionNames } from '../core/options.js'
import type { Tensor } from '../core/tensor.js'
import { scaledDotProductAttention } from '../ops/attention.js'
import { castTo } from '../ops/convert.js'
import { zeros } from '../ops/creation.js'
import { gelu, relu } from '../ops/elementwise/activations.js'
import { add, eq, where } from '../ops/elementwise/index.js'
import { linear } from '../ops/matmul.js'
import { narrow, reshape, split, transpose } from '../ops/shape/index.js'
import { Dropout } from './activation.js'
import { Adaptable, type Adaptation } from './adapter.js'
import { xavierUniform_, zeros_ } from './init.js'
import {
  checkDropout,
  checkFlags,
  checkLayer,
  checkNumber,
  checkSizes,
  type LayerOptions,
  layerOptions,
  parameter,
} from './layer.js'
import { Linear } from './linear.js'
import { Module, type Parameter, settings } from './module.js'
import { LayerNorm } from './norm.js'

export interface MultiheadAttentionOptions extends LayerOptions {
  readonly bias?: boolean
  /** Of the attention weights, in training. Default 0. */
  readonly dropout?: number
  /** Sequences are [B, T, E]; false: [T, B, E]. Default TRUE, while PyTorch's is false. */
  readonly batchFirst?: boolean
}

/**
 * Masks as PyTorch's layer takes them. In a bool mask TRUE means MUST NOT ATTEND, the other way round than in
 * `scaledDotProductAttention`, where true takes part; PyTorch has both meanings too. A floating mask is added to the scores.
 * A query without any key that is left gives zeros before the output projection, where PyTorch gives NaN.
 */
export interface AttentionInputs {
  /** [Tq, Tk], [B * heads, Tq, Tk], or four dimensions that broadcast to [B, heads, Tq, Tk]. True: must not attend. */
  readonly attnMask?: Tensor | null
  /** [B, Tk]. True: a key to ignore, as padding is. */
  readonly keyPaddingMask?: Tensor | null
  /** Query i attends to keys up to i, besides what the masks say. Default false. */
  readonly isCausal?: boolean
  /** With isCausal: the position of the first query among the keys, as of `scaledDotProductAttention`. Default 0. */
  readonly offset?: number | undefined
  /** With isCausal: how many keys up to its own position a query sees at most. At least 1; default: all. */
  readonly window?: number | undefined
  /** int32 [B]: how many keys of each batch row are real, in place of a `keyPaddingMask` that hides those at the end. */
  readonly lengths?: Tensor | null
}

const inputNames: OptionNames<AttentionInputs> = {
  attnMask: true,
  keyPaddingMask: true,
  isCausal: true,
  offset: true,
  window: true,
  lengths: true,
}

/** What is added to scores: 0 and minus infinity for a bool mask. */
function additive(mask: Tensor): Tensor {
  if (mask.dtype !== 'bool') return mask.dtype.endsWith('float16') ? castTo(mask, 'float32') : mask
  return where(mask, Number.NEGATIVE_INFINITY, zeros([], { device: mask.device }))
}

/** PyTorch's masks as the one that `scaledDotProductAttention` takes. Throws naming what does not fit. */
function combined(
  op: string,
  { attnMask = null, keyPaddingMask = null }: AttentionInputs,
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
  return second ? add(additive(first), additive(second)) : additive(first)
}

/**
 * Attention of several heads (Vaswani et al., 2017) over [B, T, embedDim]; state names are PyTorch's. Masks are PyTorch's,
 * the default of `batchFirst` is not. It gives the result alone, without weights. Its adapters are those of the projection of
 * queries, keys and values, a linear layer from E to 3E features; `outProj` has its own.
 */
export class MultiheadAttention extends Adaptable {
  readonly embedDim: number
  readonly numHeads: number
  readonly dropout: number
  readonly batchFirst: boolean
  /** Queries, keys and values in one matrix [3 embedDim, embedDim]. */
  readonly inProjWeight: Parameter
  readonly inProjBias: Parameter | null
  readonly outProj: Linear
  /** What dropout draws from; null: this thread's default one. */
  readonly generator: Generator | null

  constructor(embedDim: number, numHeads: number, options: MultiheadAttentionOptions = {}) {
    super()
    const own = checkLayer('MultiheadAttention', options, {
      ...layerOptions,
      bias: true,
      dropout: true,
      batchFirst: true,
    })
    checkFlags('MultiheadAttention', { bias: options.bias, batchFirst: options.batchFirst })
    checkSizes('MultiheadAttention', { embedDim, numHeads })
    if (embedDim % numHeads !== 0)
      throw new ValueError('MultiheadAttention', `embedDim ${embedDim} does not divide into ${numHeads} heads`)
    this.embedDim = embedDim
    this.numHeads = numHeads
    const { dropout = 0, batchFirst = true, ...layer } = own
    this.batchFirst = batchFirst
    const { generator } = layer
    this.generator = generator ?? null
    this.dropout = checkDropout('MultiheadAttention', 'dropout', dropout)
    this.inProjWeight = xavierUniform_(parameter('MultiheadAttention', [3 * embedDim, embedDim], layer), { generator })
    this.inProjBias = layer.bias === false ? null : parameter('MultiheadAttention', [3 * embedDim], layer)
    this.outProj = namedAs('MultiheadAttention', () => new Linear(embedDim, embedDim, layer))
    if (this.outProj.bias) zeros_(this.outProj.bias)
  }

  override get adaptation(): Adaptation {
    const { inProjWeight: weight, embedDim } = this
    return { by: 'linear', weight, inFeatures: embedDim, outFeatures: 3 * embedDim, along: [this.outProj] }
  }

  /** Of the projection of queries, keys and values: [3E], or null. */
  override get bias(): Parameter | null {
    return this.inProjBias
  }

  /** Queries, keys and values without their bias and adapters: [.., E] -> [.., 3E]. */
  override product(x: Tensor): Tensor {
    return linear(x, this.inProjWeight)
  }

  /** The weight of queries, keys and values [3E, E]. */
  override dense(): Tensor {
    return this.inProjWeight
  }

  protected override plain(x: Tensor): Tensor {
    return linear(x, this.inProjWeight, this.inProjBias)
  }

  override extraRepr(): string {
    const { embedDim, numHeads, dropout, batchFirst, inProjBias } = this
    return settings({ embedDim, numHeads, bias: inProjBias !== null, dropout, batchFirst })
  }

  /**
   * query [B, Tq, E], key and value [B, Tk, E] (default: the query) -> [B, Tq, E]; with `batchFirst` false B and T change
   * places. Throws ShapeError and DTypeError naming all misfits.
   */
  forward(query: Tensor, key: Tensor = query, value: Tensor = key, inputs: AttentionInputs = {}): Tensor {
    const op = 'MultiheadAttention'
    const { isCausal = false, offset, window, lengths = null } = checkOptions(`${op}.forward`, inputs, inputNames)
    this.#check(query, key, value)
    const { embedDim: e, numHeads } = this
    const inBatches = (x: Tensor): Tensor => (this.batchFirst ? x : transpose(x, 0, 1))
    const [q, k, v] =
      query === key && key === value
        ? split(this.adapt(inBatches(query)), [e, e, e], -1)
        : this.#apart(query, key, value, inBatches)
    const heads = (x: Tensor) =>
      transpose(reshape(x, [x.sizes[0] as number, x.sizes[1] as number, numHeads, e / numHeads]), 1, 2)
    const [b = 0, tq = 0] = q.sizes
    const mixed = scaledDotProductAttention(heads(q), heads(k), heads(v), {
      attnMask: combined(op, inputs, [b, numHeads, tq, k.sizes[1] as number]),
      isCausal,
      offset,
      window,
      lengths,
      dropoutP: this.training ? this.dropout : 0,
      generator: this.generator ?? undefined,
    })
    return inBatches(this.outProj.forward(reshape(transpose(mixed, 1, 2), [b, tq, e])))
  }

  #check(query: Tensor, key: Tensor, value: Tensor): void {
    const op = 'MultiheadAttention'
    const { embedDim: e, batchFirst } = this
    const faults = new Faults()
    const inputs = { query, key, value }
    for (const [name, x] of Object.entries(inputs)) {
      checkTensor(op, name, x)
      faults.check(
        x.ndim === 3 && x.sizes[2] === e,
        () => `${name} is ${formatShape(x.sizes)}, but must be ${batchFirst ? '[B, T, E]' : '[T, B, E]'} with E = ${e}`,
      )
    }
    const [b, t] = batchFirst ? [0, 1] : [1, 0]
    faults.check(
      key.sizes[b] === query.sizes[b] && value.sizes[b] === query.sizes[b],
      () => `batch sizes differ: query has ${query.sizes[b]}, key ${key.sizes[b]}, value ${value.sizes[b]}`,
    )
    faults.check(
      key.sizes[t] === value.sizes[t],
      () => `key has ${key.sizes[t]} places, but value has ${value.sizes[t]}`,
    )
    faults.throwShape(
      op,
      Object.values(inputs).map(({ shape }) => shape),
    )
  }

  #apart(query: Tensor, key: Tensor, value: Tensor, inBatches: (x: Tensor) => Tensor): [Tensor, Tensor, Tensor] {
    const { adapted } = this.adapters
    const { embedDim: e } = this
    /** All three parts of each input, because only an adapter knows which of them it adds to. */
    const whole = new Map<Tensor, Tensor>()
    const project = (x: Tensor, part: number) => {
      if (adapted === null) {
        const bias = this.inProjBias && narrow(this.inProjBias, 0, part * e, e)
        return linear(inBatches(x), narrow(this.inProjWeight, 0, part * e, e), bias)
      }
      const all = whole.get(x) ?? adapted.forward(inBatches(x))
      whole.set(x, all)
      return narrow(all, -1, part * e, e)
    }
    return [project(query, 0), project(key, 1), project(value, 2)]
  }
}

/** As those of MultiheadAttention, under PyTorch's names: in a bool mask TRUE means MUST NOT ATTEND. */
export interface EncoderInputs {
  /** [T, T], [B * heads, T, T], or four dimensions that broadcast to [B, heads, T, T]. True: must not attend. */
  readonly srcMask?: Tensor | null
  /** [B, T]. True: a place to ignore, as padding is. */
  readonly srcKeyPaddingMask?: Tensor | null
  /** Each place attends to those up to itself, besides what the masks say. Default false. */
  readonly isCausal?: boolean
}

const encoderInputNames: OptionNames<EncoderInputs> = { srcMask: true, srcKeyPaddingMask: true, isCausal: true }

export interface TransformerEncoderLayerOptions extends LayerOptions {
  /** Default 2048. */
  readonly dimFeedforward?: number
  /** Default 0.1. */
  readonly dropout?: number
  /** Default 'relu'. */
  readonly activation?: 'relu' | 'gelu'
  /** Normalise before attention and feed-forward (pre-norm) instead of after. Default false, as in PyTorch. */
  readonly normFirst?: boolean
  readonly layerNormEps?: number
  readonly bias?: boolean
  /** Sequences are [B, T, dModel]; false: [T, B, dModel]. Default TRUE, while PyTorch's is false. */
  readonly batchFirst?: boolean
}

/** A transformer block over [B, T, dModel]: self-attention and a feed-forward net, each with a residual and a norm. */
export class TransformerEncoderLayer extends Module {
  readonly selfAttn: MultiheadAttention
  readonly linear1: Linear
  readonly dropout: Dropout
  readonly linear2: Linear
  readonly norm1: LayerNorm
  readonly norm2: LayerNorm
  readonly dropout1: Dropout
  readonly dropout2: Dropout
  readonly normFirst: boolean
  readonly #activation: (x: Tensor) => Tensor
  readonly #activationName: 'relu' | 'gelu'

  constructor(dModel: number, nhead: number, options: TransformerEncoderLayerOptions = {}) {
    super()
    const own = checkLayer('TransformerEncoderLayer', options, {
      ...layerOptions,
      dimFeedforward: true,
      dropout: true,
      activation: true,
      normFirst: true,
      layerNormEps: true,
      bias: true,
      batchFirst: true,
    })
    const {
      dimFeedforward = 2048,
      dropout = 0.1,
      activation = 'relu',
      normFirst = false,
      layerNormEps = 1e-5,
      batchFirst = true,
      ...layer
    } = own
    checkSizes('TransformerEncoderLayer', { dModel, nhead, dimFeedforward })
    checkFlags('TransformerEncoderLayer', { normFirst, bias: layer.bias, batchFirst })
    checkDropout('TransformerEncoderLayer', 'dropout', dropout)
    checkNumber('TransformerEncoderLayer', 'layerNormEps', layerNormEps, 0)
    if (dModel % nhead !== 0)
      throw new ValueError('TransformerEncoderLayer', `dModel ${dModel} does not divide into ${nhead} heads`)
    if (activation !== 'relu' && activation !== 'gelu')
      throw new ValueError(
        'TransformerEncoderLayer',
        `activation is ${shown(activation)}, but must be 'relu' or 'gelu'`,
      )
    const part = <M>(make: () => M) => namedAs('TransformerEncoderLayer', make)
    this.selfAttn = part(() => new MultiheadAttention(dModel, nhead, { ...layer, dropout, batchFirst }))
    this.linear1 = part(() => new Linear(dModel, dimFeedforward, layer))
    const drop = () => new Dropout(dropout, layer.generator ? { generator: layer.generator } : {})
    this.dropout = drop()
    this.linear2 = part(() => new Linear(dimFeedforward, dModel, layer))
    const norm = () => part(() => new LayerNorm(dModel, { ...layer, eps: layerNormEps }))
    this.norm1 = norm()
    this.norm2 = norm()
    this.dropout1 = drop()
    this.dropout2 = drop()
    this.normFirst = normFirst
    this.#activationName = activation
    this.#activation = activation === 'relu' ? (x) => relu(x) : (x) => gelu(x)
  }

  override extraRepr(): string {
    return settings({ normFirst: this.normFirst, activation: this.#activationName })
  }

  /** x [B, T, dModel], or [T, B, dModel] with `batchFirst` false; so is the result. */
  forward(x: Tensor, inputs: EncoderInputs = {}): Tensor {
    const { srcMask, srcKeyPaddingMask, isCausal } = checkOptions(
      'TransformerEncoderLayer.forward',
      inputs,
      encoderInputNames,
    )
    const masks = { attnMask: srcMask ?? null, keyPaddingMask: srcKeyPaddingMask ?? null, isCausal: isCausal ?? false }
    const attend = (y: Tensor) => this.dropout1.forward(this.selfAttn.forward(y, y, y, masks))
    const feed = (y: Tensor) =>
      this.dropout2.forward(this.linear2.forward(this.dropout.forward(this.#activation(this.linear1.forward(y)))))
    if (this.normFirst) {
      const attended: Tensor = add(x, attend(this.norm1.forward(x)))
      return add(attended, feed(this.norm2.forward(attended)))
    }
    const attended = this.norm1.forward(add(x, attend(x)))
    return this.norm2.forward(add(attended, feed(attended)))
  }
}
