/**
 * The time loop for a program's own cell (back-propagation through time: Werbos 1990; truncated: Williams and Peng
 * 1990).
 */

import { noGrad } from '../../autograd/mode.js'
import { checkTensor } from '../../autograd/operator.js'
import { formatShape, kindOf, namedAs, ShapeError, shown, ValueError } from '../../core/errors.js'
import { checkFlag, checkOptions, type OptionNames } from '../../core/options.js'
import { Tensor } from '../../core/tensor.js'
import { zeros } from '../creation.js'
import { transpose } from '../shape/index.js'
import { checkLengths, type SequenceLengths, sequenceMask, withoutPadding } from './lengths.js'
import { entry, partsOf, type Stepped, walkSteps } from './steps.js'

/** The state that a cell keeps from step to step: a tensor, or several. */
export type CellState = Tensor | readonly [] | readonly Tensor[]

/** A state whose number of tensors is known, but not their shapes. */
export type AnyShapes<S extends CellState> = S extends Tensor ? Tensor : { readonly [K in keyof S]: Tensor }

/** The result of a cell: its new state and its output, or only the state, whose first tensor is then the output. */
export type CellResult<S extends CellState> = S | { readonly output: Tensor; readonly state: S }

export interface ScanOptions<S extends CellState> {
  /**
   * The state before the first step. If it is left out, the cell gets undefined there, and a sequence that begins later
   * gets zeros.
   */
  readonly initial?: S | undefined
  /**
   * The number of steps that count in each sequence. Default: all. Other steps give 0, and leave the state unchanged.
   */
  readonly lengths?: SequenceLengths | undefined
  /** Whether x and the output are [B, T, ...] instead of [T, B, ...]. Default false. */
  readonly batchFirst?: boolean
  /** Whether to run from the last step to the first. Default false. */
  readonly reverse?: boolean
  /**
   * The most steps through which gradients flow back: after every `truncate` steps the state loses its graph. Default:
   * all.
   */
  readonly truncate?: number | undefined
}

const scanNames: OptionNames<ScanOptions<CellState>> = {
  initial: true,
  lengths: true,
  batchFirst: true,
  reverse: true,
  truncate: true,
}

const op = 'recurrent'

type AnyCell = (x: Tensor, state: never) => unknown

function checkParts(name: string, parts: unknown): readonly Tensor[] {
  const list: readonly unknown[] = Array.isArray(parts) ? parts : [parts]
  if (list.length === 0) throw new ValueError(op, `${name} is an empty list, but must hold a tensor`)
  for (const part of list) checkTensor(op, name, part)
  return list as readonly Tensor[]
}

/** Takes apart the result of a cell: { output, state }, a list that is a state, or one tensor. */
function takenApart(made: unknown): { readonly output: unknown; readonly state: unknown } {
  if (made instanceof Tensor) return { output: made, state: made }
  if (Array.isArray(made)) return { output: made[0], state: made }
  if (typeof made !== 'object' || made === null)
    throw new ValueError(op, `the cell gave ${kindOf(made)}, but must give a state or { output, state }`)
  return made as { readonly output: unknown; readonly state: unknown }
}

/** A cell as a step over lists of tensors, with its results checked. */
class Stepper {
  readonly #cell: AnyCell
  /** The number of rows that each result must have; null for any. */
  readonly #batch: number | null
  /** Whether the program's state is one tensor rather than a list. If the cell makes the first state, that decides. */
  #isOne: boolean | null

  constructor(cell: AnyCell, initial: CellState | undefined, batch: number | null) {
    this.#cell = cell
    this.#batch = batch
    this.#isOne = initial === undefined ? null : !Array.isArray(initial)
  }

  /** The state in the program's form. */
  given(parts: readonly Tensor[]): CellState {
    return this.#isOne === true ? entry(parts, 0) : parts
  }

  step(x: Tensor, before: readonly Tensor[]): Stepped {
    const made = takenApart(this.#cell(x, (this.#isOne === null ? undefined : this.given(before)) as never))
    const { state } = made
    const parts = checkParts("the cell's state", state)
    if (Array.isArray(made.output)) throw new ValueError(op, "the cell's output is a list, but must be one tensor")
    const output = entry(checkParts("the cell's output", made.output), 0)
    if (this.#isOne !== null && (this.#isOne !== !Array.isArray(state) || parts.length !== before.length))
      throw new ValueError(
        op,
        `the cell got a state of ${tensors(this.#isOne, before)}, but gave one of ${tensors(!Array.isArray(state), parts)}`,
      )
    this.#isOne = !Array.isArray(state)
    for (const [i, part] of [output, ...parts].entries())
      if (this.#batch !== null && part.sizes[0] !== this.#batch)
        throw new ShapeError(
          op,
          `with lengths the cell's ${i === 0 ? 'output' : 'state'} must be [${this.#batch}, ...], a row for each sequence, ` +
            `but is ${formatShape(part.sizes)}`,
          [part.sizes],
        )
    return { output, state: parts }
  }

  /** The results of no steps. A step on zeros tells their sizes. */
  none(sequence: Tensor, initial: readonly Tensor[]): Stepped {
    const { dtype, device } = sequence
    const made = noGrad(() => this.step(zeros(sequence.sizes.slice(1), { dtype, device }), initial))
    const { output, state } = made
    return {
      output: zeros([0, ...output.sizes], { dtype: output.dtype, device }),
      state: initial.length > 0 ? initial : state.map((part) => zeros(part.sizes, { dtype: part.dtype, device })),
    }
  }
}

const tensors = (isOne: boolean, parts: readonly Tensor[]) => (isOne ? 'one tensor' : `a list of ${parts.length}`)

/**
 * Runs any cell over a sequence x [T, B, ...]. `cell(x, state)` gets the part of one time, [B, ...], and the previous
 * state. It returns the new state, or { output, state } if its output differs from the state. The result holds the
 * outputs of all times [T, B, ...] and the last state. Gradients flow back through all steps, or as many as `truncate`
 * says. `lengths` ends each sequence: later steps give 0 and leave its state unchanged. If `reverse` is set, a sequence
 * begins at its own last step. A sequence without a batch, [T, ...], works too. If there are no steps, the cell is
 * called once to find the sizes of its results.
 *
 * const cell = (x, h) => { const next = sin(linear(x, whx).add(linear(h, whh, b))); return { output: linear(next, wyh),
 * state: next } } const { output, state } = recurrent(cell, x, { initial: zeros([B, H]), batchFirst: true })
 */
export function recurrent<const S extends CellState>(
  cell: (x: Tensor, state: AnyShapes<S>) => CellResult<AnyShapes<S>>,
  x: Tensor,
  options: ScanOptions<S> & { readonly initial: S },
): { output: Tensor; state: AnyShapes<S> }
export function recurrent<S extends CellState>(
  cell: (x: Tensor, state: S | undefined) => CellResult<S>,
  x: Tensor,
  options?: ScanOptions<S>,
): { output: Tensor; state: S }
export function recurrent(
  cell: AnyCell,
  x: Tensor,
  options: ScanOptions<CellState> = {},
): { output: Tensor; state: never } {
  if (typeof cell !== 'function') throw new ValueError(op, `the cell is ${kindOf(cell)}, but must be a function`)
  checkTensor(op, 'x', x)
  const {
    initial,
    lengths: given,
    batchFirst = false,
    reverse = false,
    truncate,
  } = checkOptions(op, options, scanNames)
  checkFlag(op, 'batchFirst', batchFirst)
  checkFlag(op, 'reverse', reverse)
  if (truncate !== undefined && !(Number.isSafeInteger(truncate) && truncate >= 1))
    throw new ValueError(
      op,
      `truncate is ${shown(truncate)}, but must be a positive integer, which is a number of steps`,
    )
  const needed = batchFirst || given !== undefined ? 2 : 1
  if (x.ndim < needed)
    throw new ShapeError(
      op,
      `x is ${formatShape(x.sizes)}, but must be ${needed === 1 ? '[T, ...]' : batchFirst ? '[B, T, ...]' : '[T, B, ...]'}`,
      [x.sizes],
    )
  const state = initial === undefined ? [] : checkParts('the initial state', initial)
  let sequence = batchFirst ? transpose(x, 0, 1) : x
  const [steps = 0, batch = 0] = sequence.sizes
  const lengths = checkLengths(op, given, [steps, batch], x.device)
  const mask = lengths === null ? null : namedAs(op, () => sequenceMask(lengths, steps))
  if (mask !== null) sequence = withoutPadding(sequence, mask)
  const stepper = new Stepper(cell, initial, mask === null ? null : batch)
  const parts = partsOf(sequence)
  const walk = { reverse, truncate: truncate ?? Number.POSITIVE_INFINITY, mask }
  const { output, state: last } =
    steps === 0
      ? stepper.none(sequence, state)
      : walkSteps(steps, state, walk, (time, before) => stepper.step(entry(parts, time), before))
  return { output: batchFirst ? transpose(output, 0, 1) : output, state: stepper.given(last) as never }
}
