/** Recurrent cells, which take one step, and the layer that runs any of them over a sequence. */

import { checkTensor } from '../autograd/operator.js'
import type { DType } from '../core/dtype.js'
import { formatShape, kindOf, ShapeError, shown, ValueError } from '../core/errors.js'
import { checkOptions, type OptionNames, ownOptions } from '../core/options.js'
import type { Shape } from '../core/shape.js'
import type { Tensor } from '../core/tensor.js'
import {
  type CellResult,
  type CellState,
  gruCell,
  lstmCell,
  type Nonlinearity,
  type RecurrentWeights,
  recurrent,
  rnnCell,
} from '../ops/recurrent/index.js'
import { uniform_ } from './init.js'
import { checkFlags, checkLayer, checkSizes, type LayerOptions, layerOptions, parameter } from './layer.js'
import { Module, type Parameter, settings } from './module.js'
import type { SequenceOptions } from './recurrent.js'
import { callOptions } from './recurrent-call.js'

export interface CellOptions extends LayerOptions {
  readonly bias?: boolean
}

const cellOptions: OptionNames<CellOptions> = { ...layerOptions, bias: true }

/** The weights of a step: `weight_ih`, `weight_hh`, `bias_ih`, `bias_hh` in a state, as in PyTorch. */
abstract class Cell extends Module {
  readonly inputSize: number
  readonly hiddenSize: number
  weightIh: Parameter
  weightHh: Parameter
  biasIh: Parameter | null
  biasHh: Parameter | null

  /** `given` is the checked options. */
  constructor(name: string, gates: number, inputSize: number, hiddenSize: number, given: CellOptions) {
    super()
    const { bias = true } = given
    checkFlags(name, { bias })
    checkSizes(name, { inputSize, hiddenSize })
    this.inputSize = inputSize
    this.hiddenSize = hiddenSize
    const bound = 1 / Math.sqrt(hiddenSize)
    const made = (shape: readonly number[]): Parameter =>
      uniform_(parameter(name, shape, given) as Parameter, -bound, bound, { generator: given.generator })
    const rows = gates * hiddenSize
    this.weightIh = made([rows, inputSize])
    this.weightHh = made([rows, hiddenSize])
    this.biasIh = bias ? made([rows]) : null
    this.biasHh = bias ? made([rows]) : null
  }

  protected weights(): RecurrentWeights {
    return { wIh: this.weightIh, wHh: this.weightHh, bIh: this.biasIh, bHh: this.biasHh }
  }

  protected checkInput(name: string, x: Tensor): void {
    checkTensor(name, 'x', x)
    if (x.sizes.at(-1) !== this.inputSize || x.ndim > 2)
      throw new ShapeError(name, `x is ${formatShape(x.sizes)}, but must be [B, I] or [I] with I = ${this.inputSize}`, [
        x.sizes,
      ])
  }

  override extraRepr(): string {
    const { inputSize, hiddenSize } = this
    return settings({ inputSize, hiddenSize, bias: this.biasIh !== null })
  }
}

/** One step of an LSTM; see `lstmCell`. */
export class LSTMCell extends Cell {
  constructor(inputSize: number, hiddenSize: number, options: CellOptions = {}) {
    super('LSTMCell', 4, inputSize, hiddenSize, checkLayer('LSTMCell', options, cellOptions))
  }

  /** Takes x [B, I] (or [I]) and [h, c], each [B, H]; zeros if left out. Returns the next [h, c]. */
  forward<S extends Shape, D extends DType>(
    x: Tensor,
    state?: readonly [h: Tensor<S, D>, c: Tensor<S, D>],
  ): [h: Tensor<S, D>, c: Tensor<S, D>] {
    this.checkInput('LSTMCell', x)
    return lstmCell<S, D>(x, state ?? null, this.weights())
  }
}

/** One step of a GRU; see `gruCell`. */
export class GRUCell extends Cell {
  constructor(inputSize: number, hiddenSize: number, options: CellOptions = {}) {
    super('GRUCell', 3, inputSize, hiddenSize, checkLayer('GRUCell', options, cellOptions))
  }

  /** Takes x [B, I] (or [I]) and h [B, H]; zeros if left out. Returns the next h. */
  forward<S extends Shape, D extends DType>(x: Tensor, state?: Tensor<S, D>): Tensor<S, D> {
    this.checkInput('GRUCell', x)
    return gruCell<S, D>(x, state ?? null, this.weights())
  }
}

export interface RnnCellLayerOptions extends CellOptions {
  /** Default tanh. */
  readonly nonlinearity?: Nonlinearity
}

/** One step of an RNN; see `rnnCell`. */
export class RNNCell extends Cell {
  readonly nonlinearity: Nonlinearity

  constructor(inputSize: number, hiddenSize: number, options: RnnCellLayerOptions = {}) {
    const own = checkLayer('RNNCell', options, { ...cellOptions, nonlinearity: true })
    const { nonlinearity = 'tanh' } = own
    if (nonlinearity !== 'tanh' && nonlinearity !== 'relu')
      throw new ValueError('RNNCell', `nonlinearity is ${shown(nonlinearity)}, but must be 'tanh' or 'relu'`)
    super('RNNCell', 1, inputSize, hiddenSize, own)
    this.nonlinearity = nonlinearity
  }

  /** Takes x [B, I] (or [I]) and h [B, H]; zeros if left out. Returns the next h. */
  forward<S extends Shape, D extends DType>(x: Tensor, state?: Tensor<S, D>): Tensor<S, D> {
    this.checkInput('RNNCell', x)
    return rnnCell<S, D>(x, state ?? null, this.weights(), { nonlinearity: this.nonlinearity })
  }

  override extraRepr(): string {
    return `${super.extraRepr()}, ${settings({ nonlinearity: this.nonlinearity })}`
  }
}

/** A module that takes one step: LSTMCell, GRUCell, RNNCell, or a program's own. */
export interface CellModule<S extends CellState> extends Module {
  forward(x: Tensor, state?: S): CellResult<S>
}

export interface RecurrentOptionsOfLayer {
  /** Whether sequences are [B, T, ...] instead of [T, B, ...]. Default false. */
  readonly batchFirst?: boolean
  /** Whether the cell runs from the last step to the first. Default false. */
  readonly reverse?: boolean
  /** The most steps through which gradients flow back. Default: all. */
  readonly truncate?: number
}

const recurrentNames: OptionNames<RecurrentOptionsOfLayer> = { batchFirst: true, reverse: true, truncate: true }

/** Runs its cell over a sequence; see `recurrent`. */
export class Recurrent<S extends CellState = CellState> extends Module {
  readonly cell: CellModule<S>
  readonly batchFirst: boolean
  readonly reverse: boolean
  readonly truncate: number | undefined

  constructor(cell: CellModule<S>, options: RecurrentOptionsOfLayer = {}) {
    super()
    if (!(cell instanceof Module))
      throw new ValueError(
        'Recurrent',
        `the cell is ${kindOf(cell)}, but must be a module; call recurrent() with a function`,
      )
    const { batchFirst, reverse, truncate } = ownOptions('Recurrent', options, recurrentNames)
    checkFlags('Recurrent', { batchFirst, reverse })
    if (truncate !== undefined && !(Number.isSafeInteger(truncate) && truncate >= 1))
      throw new ValueError('Recurrent', `truncate is ${shown(truncate)}, but must be a positive integer`)
    this.cell = cell
    this.batchFirst = batchFirst ?? false
    this.reverse = reverse ?? false
    this.truncate = truncate
  }

  override extraRepr(): string {
    const { batchFirst, reverse, truncate } = this
    return settings({ batchFirst, reverse, truncate })
  }

  /**
   * Takes x [T, B, ...] (or [B, T, ...]) and the state before the first step; the cell makes one if it is left out.
   * `lengths` is the number of steps that count in each sequence, and may stand alone: `forward(x, { lengths })`. Returns the outputs of all steps and the last state.
   */
  forward(
    x: Tensor,
    state?: S | SequenceOptions,
    options?: SequenceOptions,
  ): { readonly output: Tensor; readonly state: S } {
    const [initial, own] = callOptions('Recurrent', state, options)
    const { lengths } = checkOptions('Recurrent', own, { lengths: true })
    const { cell, batchFirst, reverse, truncate } = this
    const step = (part: Tensor, state: S | undefined): CellResult<S> => cell.forward(part, state)
    return recurrent<S>(step, x, { initial, lengths, batchFirst, reverse, truncate })
  }
}
