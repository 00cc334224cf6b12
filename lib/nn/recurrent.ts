/** Recurrent layers. */

import { checkTensor } from '../autograd/operator.js'
import { formatShape, ShapeError, ValueError } from '../core/errors.js'
import type { Generator } from '../core/generator.js'
import type { Tensor } from '../core/tensor.js'
import { type LstmWeights, lstm } from '../ops/recurrent.js'
import { uniform_ } from './init.js'
import {
  checkDropout,
  checkFlags,
  checkLayer,
  checkSizes,
  type LayerOptions,
  layerOptions,
  parameter,
} from './layer.js'
import { Module, type Parameter, settings } from './module.js'

export interface LstmLayerOptions extends LayerOptions {
  /** Default 1. */
  readonly numLayers?: number
  readonly bias?: boolean
  /** Sequences are [B, T, features] instead of [T, B, features]. */
  readonly batchFirst?: boolean
  /** Between layers, in training; more than 0 needs several layers. Default 0. */
  readonly dropout?: number
  readonly bidirectional?: boolean
}

/** What an LSTM gives: the states of its last layer, and the last [h, c] of every layer and direction. */
export interface LstmResult {
  readonly output: Tensor
  readonly state: readonly [Tensor, Tensor]
}

/** Long short-term memory, gates i, f, g, o; weights are named as PyTorch's (`weight_ih_l0`, `weight_hh_l0_reverse`, ...). */
export class LSTM extends Module {
  readonly inputSize: number
  readonly hiddenSize: number
  readonly numLayers: number
  readonly batchFirst: boolean
  readonly bidirectional: boolean
  readonly dropout: number
  readonly #hasBias: boolean
  /** What dropout draws from; null: this thread's default one. */
  readonly generator: Generator | null

  constructor(inputSize: number, hiddenSize: number, options: LstmLayerOptions = {}) {
    super()
    checkLayer('LSTM', options, {
      ...layerOptions,
      numLayers: true,
      bias: true,
      batchFirst: true,
      dropout: true,
      bidirectional: true,
    })
    const { bias, batchFirst, bidirectional } = options
    checkFlags('LSTM', { bias, batchFirst, bidirectional })
    this.inputSize = inputSize
    this.hiddenSize = hiddenSize
    this.numLayers = options.numLayers ?? 1
    this.batchFirst = batchFirst ?? false
    this.bidirectional = bidirectional ?? false
    this.dropout = checkDropout('LSTM', 'dropout', options.dropout ?? 0)
    this.#hasBias = bias ?? true
    this.generator = options.generator ?? null
    checkSizes('LSTM', { inputSize, hiddenSize, numLayers: this.numLayers })
    if (this.numLayers > 4096)
      throw new ValueError('LSTM', `numLayers is ${this.numLayers}, but more than 4096 layers are not made`)
    if (this.dropout > 0 && this.numLayers === 1)
      throw new ValueError(
        'LSTM',
        `dropout is ${this.dropout}, but there is one layer, and dropout stands between layers; leave it out, or add a Dropout`,
      )
    const bound = 1 / Math.sqrt(hiddenSize)
    for (const suffix of this.#suffixes()) {
      const layer = Number.parseInt(suffix.slice(1), 10)
      const size = layer === 0 ? inputSize : hiddenSize * (this.bidirectional ? 2 : 1)
      const shapes = {
        weightIh: [4 * hiddenSize, size],
        weightHh: [4 * hiddenSize, hiddenSize],
        ...(this.#hasBias ? { biasIh: [4 * hiddenSize], biasHh: [4 * hiddenSize] } : {}),
      }
      for (const [name, shape] of Object.entries(shapes))
        Object.defineProperty(this, `${name}${suffix}`, {
          value: uniform_(parameter('LSTM', shape, options), -bound, bound, { generator: options.generator }),
          enumerable: true,
          writable: true,
          configurable: true,
        })
    }
  }

  /** `L0`, `L0Reverse`, `L1`, ...: how the weights of layers and directions are told apart. */
  #suffixes(): string[] {
    const directions = this.bidirectional ? ['', 'Reverse'] : ['']
    return Array.from({ length: this.numLayers }, (_, layer) => directions.map((d) => `L${layer}${d}`)).flat()
  }

  #weights(): LstmWeights[] {
    const own = this as unknown as { readonly [name: string]: Parameter | undefined }
    return this.#suffixes().map((suffix) => {
      const [wIh, wHh] = [own[`weightIh${suffix}`], own[`weightHh${suffix}`]]
      if (!wIh || !wHh) throw new ValueError('LSTM', `the weights of ${suffix} are gone`)
      return { wIh, wHh, bIh: own[`biasIh${suffix}`] ?? null, bHh: own[`biasHh${suffix}`] ?? null }
    })
  }

  override extraRepr(): string {
    const { inputSize, hiddenSize, numLayers, batchFirst, bidirectional, dropout } = this
    return settings({ inputSize, hiddenSize, numLayers, bias: this.#hasBias, batchFirst, dropout, bidirectional })
  }

  /** `initial` is [h0, c0], each [layers * directions, B, H]; zeros if left out. */
  forward(x: Tensor, initial?: readonly [Tensor, Tensor]): LstmResult {
    const { batchFirst, bidirectional, dropout, training, inputSize } = this
    checkTensor('LSTM', 'x', x)
    if (x.sizes.at(-1) !== inputSize || x.ndim < 2 || x.ndim > 3)
      throw new ShapeError(
        'LSTM',
        `x is ${formatShape(x.sizes)}, but must be ${batchFirst ? '[B, T, I]' : '[T, B, I]'} or [T, I] with I = ${inputSize}`,
        [x.sizes],
      )
    if (initial !== undefined && !(Array.isArray(initial) && initial.length === 2))
      throw new ValueError('LSTM', 'the initial state must be [h0, c0]')
    for (const [i, part] of (initial ?? []).entries()) checkTensor('LSTM', i === 0 ? 'h0' : 'c0', part)
    return lstm(x, this.#weights(), {
      initial,
      batchFirst,
      bidirectional,
      dropout,
      training,
      generator: this.generator ?? undefined,
    })
  }
}
