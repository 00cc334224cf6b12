/**
 * Networks through which a prompt's numbers pass while they learn. They make learning steadier. Files hold their
 * results.
 */
import { shown, ValueError } from '../core/errors.js'
import { checkOptions } from '../core/options.js'
import type { Tensor } from '../core/tensor.js'
import { ReLU, Tanh } from '../nn/activation.js'
import { Sequential } from '../nn/containers.js'
import { checkDropout, checkSizes, type LayerOptions } from '../nn/layer.js'
import { Linear } from '../nn/linear.js'
import { PromptEncoder, type PromptKind, type PromptSizes } from '../nn/prompt.js'
import { LSTM } from '../nn/recurrent.js'
import { tanh } from '../ops/elementwise/index.js'
import { linear } from '../ops/matmul.js'
import { narrow, squeeze, unsqueeze } from '../ops/shape/index.js'

export interface PromptEncoderOptions {
  /**
   * 'mlp': linear layers, as in P-tuning (Liu et al., 2021) for a 'prompt', and as in the paper on prefixes for a
   * 'prefix'. 'lstm': an LSTM that first reads the columns in both directions, only for a 'prompt'.
   */
  readonly kind: 'mlp' | 'lstm'
  /** Features inside. Default: those of the table. */
  readonly width?: number
  /** Layers of the LSTM. Default 2. */
  readonly layers?: number
  /** Dropout between layers of the LSTM. Default 0. */
  readonly dropout?: number
}

/** A prefix's projection: two linear layers. Each layer of the model needs only a part of the second one. */
class PrefixProjection extends PromptEncoder {
  readonly inputs: number
  readonly transform: Sequential<[Linear, Tanh, Linear]>

  constructor(inputs: number, width: number, outputs: number, options: LayerOptions) {
    super()
    this.inputs = inputs
    this.transform = new Sequential(
      new Linear(inputs, width, options),
      new Tanh(),
      new Linear(width, outputs, options),
    ) as never
  }

  override encode(table: Tensor, from: number, count: number): Tensor {
    const [first, last] = [this.transform.at(0), this.transform.at(2)] as unknown as [Linear, Linear]
    const part = narrow(last.weight, 0, from, count)
    return linear(tanh(first.forward(table)), part, narrow(last.bias as Tensor, 0, from, count))
  }
}

/** P-tuning's encoder of embeddings. */
class EmbeddingEncoder extends PromptEncoder {
  readonly inputs: number
  readonly lstmHead: LSTM | null
  readonly mlpHead: Sequential

  constructor(inputs: number, width: number, options: LayerOptions, lstm: LSTM | null) {
    super()
    this.inputs = inputs
    this.lstmHead = lstm
    const layer = (from: number, to: number) => new Linear(from, to, options)
    this.mlpHead = (
      lstm === null
        ? new Sequential(layer(inputs, width), new ReLU(), layer(width, width), new ReLU(), layer(width, inputs))
        : new Sequential(layer(2 * width, 2 * width), new ReLU(), layer(2 * width, inputs))
    ) as never
  }

  override encode(table: Tensor, from: number, count: number): Tensor {
    const read = this.lstmHead === null ? table : squeeze(this.lstmHead.forward(unsqueeze(table, 0)).output, 0)
    return narrow((this.mlpHead as { forward(x: Tensor): Tensor }).forward(read), 1, from, count)
  }
}

/** The encoder that options request. Throws ValueError for options that do not fit the kind of prompt. */
export function promptEncoder(
  op: string,
  given: PromptEncoderOptions,
  kind: PromptKind,
  { width: features, layers: depth, keyHeads, headDim }: PromptSizes,
  options: LayerOptions,
): PromptEncoder {
  if (typeof given !== 'object' || given === null)
    throw new ValueError(op, `encoder is ${shown(given)}, but must be an object such as { kind: 'mlp' }, or left out`)
  const own = checkOptions(op, given, { kind: true, width: true, layers: true, dropout: true }, 'encoder')
  if (own.kind !== 'mlp' && own.kind !== 'lstm')
    throw new ValueError(op, `encoder.kind is ${shown(own.kind)}, but must be one of mlp, lstm`)
  if (own.kind === 'lstm' && kind === 'prefix')
    throw new ValueError(op, "encoder.kind 'lstm' is for kind 'prompt'; use 'mlp' for a prefix, as in PEFT")
  if (own.kind === 'mlp' && (own.layers !== undefined || own.dropout !== undefined))
    throw new ValueError(op, "encoder.layers and encoder.dropout belong to the LSTM; leave them out with kind 'mlp'")
  const inputs = kind === 'prompt' ? features : keyHeads * headDim
  const { width = inputs, layers = 2, dropout = 0 } = own
  checkSizes(op, { 'encoder.width': width, 'encoder.layers': layers })
  checkDropout(op, 'encoder.dropout', dropout)
  if (kind === 'prefix') return new PrefixProjection(inputs, width, 2 * depth * inputs, options)
  const lstm =
    own.kind === 'mlp'
      ? null
      : new LSTM(inputs, width, { ...options, numLayers: layers, dropout, bidirectional: true, batchFirst: true })
  return new EmbeddingEncoder(inputs, width, options, lstm as LSTM | null)
}
