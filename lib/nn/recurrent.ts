/** Recurrent layers. */

import { checkTensor } from '../autograd/operator.js'
import { formatShape, ShapeError, shown, ValueError } from '../core/errors.js'
import type { Recurs, Usual } from '../core/flow-types.js'
import type { Generator } from '../core/generator.js'
import { checkOptions, type OptionNames } from '../core/options.js'
import type { Tensor } from '../core/tensor.js'
import { gru, type LstmWeights, lstm, type Nonlinearity, rnn, type SequenceLengths } from '../ops/recurrent/index.js'
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
import { callOptions } from './recurrent-call.js'

export interface RecurrentLayerOptions extends LayerOptions {
  /** Default 1. */
  readonly numLayers?: number
  readonly bias?: boolean
  /** Whether sequences are [B, T, features] instead of [T, B, features]. Default false. */
  readonly batchFirst?: boolean
  /** Dropout between layers, in training; more than 0 needs several layers. Default 0. */
  readonly dropout?: number
  readonly bidirectional?: boolean
}

const recurrentOptions: OptionNames<RecurrentLayerOptions> = {
  ...layerOptions,
  numLayers: true,
  bias: true,
  batchFirst: true,
  dropout: true,
  bidirectional: true,
}

/** The options of a call of a recurrent layer, beside the sequence and the state. */
export interface SequenceOptions {
  /**
   * The number of steps that count in each sequence, [B] integers. Other steps give 0 and leave the state unchanged.
   * Default: all.
   */
  readonly lengths?: SequenceLengths | undefined
}

const sequenceNames: OptionNames<SequenceOptions> = { lengths: true }

/** The result of a GRU or an RNN: the states of its last layer, and the last h of every layer and direction. */
export interface RecurrentResult {
  readonly output: Tensor
  readonly state: Tensor
}

/** The result of an LSTM: the states of its last layer, and the last [h, c] of every layer and direction. */
export interface LstmResult {
  readonly output: Tensor
  readonly state: readonly [Tensor, Tensor]
}

/** The base of recurrent layers: sizes of weights, and the options that all have. */
abstract class RecurrentLayer extends Module {
  readonly inputSize: number
  readonly hiddenSize: number
  readonly numLayers: number
  readonly batchFirst: boolean
  readonly bidirectional: boolean
  readonly dropout: number
  readonly #hasBias: boolean
  /** The generator that dropout draws from; null for this thread's default one. */
  readonly generator: Generator | null

  /** `given` is the checked options. `projSize` is the size of h if it is not `hiddenSize`. */
  constructor(
    name: string,
    gates: number,
    inputSize: number,
    hiddenSize: number,
    given: RecurrentLayerOptions,
    projSize = 0,
  ) {
    super()
    const { bias, batchFirst, bidirectional } = given
    checkFlags(name, { bias, batchFirst, bidirectional })
    this.inputSize = inputSize
    this.hiddenSize = hiddenSize
    this.numLayers = given.numLayers ?? 1
    this.batchFirst = batchFirst ?? false
    this.bidirectional = bidirectional ?? false
    this.dropout = checkDropout(name, 'dropout', given.dropout ?? 0)
    this.#hasBias = bias ?? true
    this.generator = given.generator ?? null
    checkSizes(name, { inputSize, hiddenSize, numLayers: this.numLayers })
    if (this.numLayers > 4096) throw new ValueError(name, `numLayers is ${this.numLayers}, but must be at most 4096`)
    if (this.dropout > 0 && this.numLayers === 1)
      throw new ValueError(
        name,
        `dropout is ${this.dropout}, but there is one layer, and dropout acts between layers; leave it out, or add a Dropout`,
      )
    const bound = 1 / Math.sqrt(hiddenSize)
    const stateSize = projSize > 0 ? projSize : hiddenSize
    const rows = gates * hiddenSize
    for (const suffix of this.#suffixes()) {
      const layer = Number.parseInt(suffix.slice(1), 10)
      const size = layer === 0 ? inputSize : stateSize * (this.bidirectional ? 2 : 1)
      const shapes = {
        weightIh: [rows, size],
        weightHh: [rows, stateSize],
        ...(this.#hasBias ? { biasIh: [rows], biasHh: [rows] } : {}),
        ...(projSize > 0 ? { weightHr: [projSize, hiddenSize] } : {}),
      }
      for (const [key, shape] of Object.entries(shapes))
        Object.defineProperty(this, `${key}${suffix}`, {
          value: uniform_(parameter(name, shape, given), -bound, bound, { generator: given.generator }),
          enumerable: true,
          writable: true,
          configurable: true,
        })
    }
  }

  /** The suffixes that tell the weights of layers and directions apart: `L0`, `L0Reverse`, `L1`, ... */
  #suffixes(): string[] {
    const directions = this.bidirectional ? ['', 'Reverse'] : ['']
    return Array.from({ length: this.numLayers }, (_, layer) => directions.map((d) => `L${layer}${d}`)).flat()
  }

  protected weights(): LstmWeights[] {
    const own = this as unknown as { readonly [name: string]: Parameter | undefined }
    return this.#suffixes().map((suffix) => {
      const [wIh, wHh] = [own[`weightIh${suffix}`], own[`weightHh${suffix}`]]
      if (!wIh || !wHh) throw new ValueError(this.constructor.name, `the weights of ${suffix} are missing`)
      const bIh = own[`biasIh${suffix}`] ?? null
      return { wIh, wHh, bIh, bHh: own[`biasHh${suffix}`] ?? null, wHr: own[`weightHr${suffix}`] ?? null }
    })
  }

  /** The options for the operator's call. Checks the sequence under the layer's name. */
  protected callOf(name: string, x: Tensor, options: SequenceOptions) {
    const { batchFirst, bidirectional, dropout, training, inputSize } = this
    checkTensor(name, 'x', x)
    if (x.ndim >= 2 && x.ndim <= 3 && x.sizes.at(-1) !== inputSize)
      throw new ShapeError(
        name,
        `gets ${x.sizes.at(-1)} features, but takes ${inputSize}: x is ${formatShape(x.sizes)}, of ${batchFirst ? '[B, T, I]' : '[T, B, I]'} or [T, I]`,
        [x.sizes],
      )
    if (x.ndim < 2 || x.ndim > 3)
      throw new ShapeError(
        name,
        `x is ${formatShape(x.sizes)}, but must be ${batchFirst ? '[B, T, I]' : '[T, B, I]'} or [T, I] with I = ${inputSize}`,
        [x.sizes],
      )
    const { lengths } = checkOptions(name, options, sequenceNames)
    return { lengths, batchFirst, bidirectional, dropout, training, generator: this.generator ?? undefined }
  }

  protected get repr() {
    const { inputSize, hiddenSize, numLayers, batchFirst, bidirectional, dropout } = this
    return { inputSize, hiddenSize, numLayers, bias: this.#hasBias, batchFirst, dropout, bidirectional }
  }

  override extraRepr(): string {
    return settings(this.repr)
  }
}

export interface LstmLayerOptions extends RecurrentLayerOptions {
  /**
   * The size of h, which is then a projection of o tanh(c). Default 0: h has `hiddenSize` numbers, without a
   * projection.
   */
  readonly projSize?: number
}

/**
 * Long short-term memory, gates i, f, g, o; weights are named as in PyTorch (`weight_ih_l0`, `weight_hh_l0_reverse`,
 * `weight_hr_l0`, ...).
 */
export class LSTM<
  const I extends number = number,
  const H extends number = number,
  const B extends boolean = Usual<H, false, boolean>,
  const P extends number = Usual<H, 0, number>,
> extends RecurrentLayer {
  declare readonly signature?: Recurs<'LSTM', I, H, B, P>
  readonly projSize: number

  constructor(
    inputSize: I,
    hiddenSize: H,
    options: LstmLayerOptions & { readonly bidirectional?: B; readonly projSize?: P } = {},
  ) {
    const own = checkLayer('LSTM', options, { ...recurrentOptions, projSize: true })
    const { projSize = 0 } = own
    checkSizes('LSTM', { inputSize, hiddenSize })
    if (!(Number.isSafeInteger(projSize) && projSize >= 0 && projSize < hiddenSize))
      throw new ValueError(
        'LSTM',
        `projSize is ${shown(projSize)}, but must be an integer from 0 to ${hiddenSize - 1}, below hiddenSize`,
      )
    super('LSTM', 4, inputSize, hiddenSize, own, projSize)
    this.projSize = projSize
  }

  override extraRepr(): string {
    return settings({ ...this.repr, ...(this.projSize > 0 ? { projSize: this.projSize } : {}) })
  }

  /**
   * Takes x [T, B, I] (or [B, T, I], or [T, I]) and initial [h0, c0], each [layers * directions, B, H]; zeros if left
   * out. `lengths` is the number of steps that count in each sequence, and may stand alone: `lstm.forward(x, { lengths
   * })`. Returns the output [T, B, directions * H] and
   * the last [h, c].
   */
  forward(x: Tensor, state?: readonly [Tensor, Tensor] | SequenceOptions, options?: SequenceOptions): LstmResult {
    const [initial, own] = callOptions('LSTM', state, options)
    const call = this.callOf('LSTM', x, own)
    if (initial !== undefined && !(Array.isArray(initial) && initial.length === 2))
      throw new ValueError('LSTM', 'the initial state must be [h0, c0]')
    for (const [i, part] of (initial ?? []).entries()) checkTensor('LSTM', i === 0 ? 'h0' : 'c0', part)
    return lstm(x, this.weights(), { ...call, initial })
  }
}

/**
 * Gated recurrent units, gates r, z, n, as `gru` says; weights are named as in PyTorch (`weight_ih_l0`,
 * `weight_hh_l0_reverse`, ...).
 */
export class GRU<
  const I extends number = number,
  const H extends number = number,
  const B extends boolean = Usual<H, false, boolean>,
> extends RecurrentLayer {
  declare readonly signature?: Recurs<'GRU', I, H, B, 0>

  constructor(inputSize: I, hiddenSize: H, options: RecurrentLayerOptions & { readonly bidirectional?: B } = {}) {
    super('GRU', 3, inputSize, hiddenSize, checkLayer('GRU', options, recurrentOptions))
  }

  /**
   * Takes x [T, B, I] (or [B, T, I], or [T, I]) and initial h0 [layers * directions, B, H]; zeros if left out.
   * `lengths` is the number of steps that count in each sequence, and may stand alone: `forward(x, { lengths })`. Returns the output [T, B, directions * H] and the
   * last h.
   */
  forward(x: Tensor, state?: Tensor | SequenceOptions, options?: SequenceOptions): RecurrentResult {
    const [initial, own] = callOptions('GRU', state, options)
    const call = this.callOf('GRU', x, own)
    if (initial !== undefined) checkTensor('GRU', 'h0', initial)
    return gru(x, this.weights(), { ...call, initial })
  }
}

export interface RnnLayerOptions extends RecurrentLayerOptions {
  /** Default tanh. */
  readonly nonlinearity?: Nonlinearity
}

/**
 * A simple recurrent network, as `rnn` says; weights are named as in PyTorch (`weight_ih_l0`, `weight_hh_l0_reverse`,
 * ...).
 */
export class RNN<
  const I extends number = number,
  const H extends number = number,
  const B extends boolean = Usual<H, false, boolean>,
> extends RecurrentLayer {
  declare readonly signature?: Recurs<'RNN', I, H, B, 0>
  readonly nonlinearity: Nonlinearity

  constructor(inputSize: I, hiddenSize: H, options: RnnLayerOptions & { readonly bidirectional?: B } = {}) {
    const own = checkLayer('RNN', options, { ...recurrentOptions, nonlinearity: true })
    const { nonlinearity = 'tanh' } = own
    if (nonlinearity !== 'tanh' && nonlinearity !== 'relu')
      throw new ValueError('RNN', `nonlinearity is ${shown(nonlinearity)}, but must be 'tanh' or 'relu'`)
    super('RNN', 1, inputSize, hiddenSize, own)
    this.nonlinearity = nonlinearity
  }

  override extraRepr(): string {
    return settings({ ...this.repr, nonlinearity: this.nonlinearity })
  }

  /**
   * Takes x [T, B, I] (or [B, T, I], or [T, I]) and initial h0 [layers * directions, B, H]; zeros if left out.
   * `lengths` is the number of steps that count in each sequence, and may stand alone: `forward(x, { lengths })`. Returns the output [T, B, directions * H] and the
   * last h.
   */
  forward(x: Tensor, state?: Tensor | SequenceOptions, options?: SequenceOptions): RecurrentResult {
    const [initial, own] = callOptions('RNN', state, options)
    const call = this.callOf('RNN', x, own)
    if (initial !== undefined) checkTensor('RNN', 'h0', initial)
    return rnn(x, this.weights(), { ...call, initial, nonlinearity: this.nonlinearity })
  }
}
