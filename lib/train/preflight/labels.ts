/** Labels of a classification: those that occur, those that are ignored, and those that are wrong. */
import { noGrad } from '../../autograd/mode.js'
import { type OperatorObserver, unobserved } from '../../autograd/observe.js'
import type { AnyOperator, Inputs } from '../../autograd/operator.js'
import { visitTensors } from '../../core/scope.js'
import type { Tensor } from '../../core/tensor.js'

/** Labels in the form in which the loss got them. */
export interface LabelRecord {
  readonly classes: number
  /** The number of examined labels. */
  readonly count: number
  /** The share of labels that the loss ignores, from 0 to 1. */
  readonly ignored: number
  /** Labels below 0 or beyond the classes, except the ignored one. */
  readonly outOfRange: number
  /** The first hundred classes that no label names. */
  readonly neverSeen: readonly number[]
  /** The number of all classes that no label names. */
  readonly neverSeenCount: number
  /**
   * The share of the most frequent class among the labels that count: the accuracy of always answering with that class.
   */
  readonly largestShare: number
}

/** The loss of guessing. */
interface Chance {
  readonly loss: number
  readonly classes: number
}

export interface Labels {
  readonly target: Tensor
  readonly values: Iterable<number>
  readonly classes: number
  readonly ignoreIndex: number
}

const readLabels = (target: Tensor): Iterable<number> =>
  unobserved(() => noGrad(() => target.contiguous().dataSync())) as Iterable<number>

/** Records the target of the loss. */
export class LossWatch implements OperatorObserver {
  chance: Chance | null = null
  /** Null if the loss has no labels. */
  labels: Labels | null = null

  ran({ name }: AnyOperator, inputs: Inputs, attrs: unknown): void {
    const [first, target] = inputs
    if (name === 'crossEntropy' || name === 'nllLoss') {
      const classes = first?.sizes[first.ndim === 1 ? 0 : 1] ?? 0
      this.chance = { loss: Math.log(classes), classes }
      const { ignoreIndex = -100 } = (attrs ?? {}) as { readonly ignoreIndex?: number }
      if (target?.dtype === 'int32') this.#read(target, classes, ignoreIndex)
    } else if (name === 'binaryCrossEntropy') this.chance = { loss: Math.log(2), classes: 2 }
  }

  #read(target: Tensor, classes: number, ignoreIndex: number): void {
    const read = (): Labels => ({ target, values: readLabels(target), classes, ignoreIndex })
    try {
      this.labels = read()
    } catch (error) {
      // The loss has found a label out of range, and the first read throws that error. The labels are still read again,
      // so that they are counted.
      this.labels = read()
      throw error
    }
  }
}

/** The place, among a batch's tensors, of the one that holds the labels. -1 if labels are computed from others. */
export function placeOf(batch: unknown, target: Tensor): number {
  let [place, found] = [0, -1]
  visitTensors(batch, ({ storage, numel }) => {
    if (storage === target.storage && numel >= target.numel && found < 0) found = place
    place++
  })
  return found
}

export function tensorAt(batch: unknown, place: number): Tensor | null {
  let [at, found]: [number, Tensor | null] = [0, null]
  visitTensors(batch, (tensor) => {
    if (at++ === place) found = tensor
  })
  return found
}

export class LabelCount {
  readonly #classes: number
  readonly #ignoreIndex: number
  readonly #seen: Float64Array
  #count = 0
  #ignored = 0
  #outOfRange = 0

  constructor(classes: number, ignoreIndex: number) {
    this.#classes = classes
    this.#ignoreIndex = ignoreIndex
    this.#seen = new Float64Array(classes)
  }

  add(labels: Iterable<number>): void {
    for (const label of labels) {
      this.#count++
      if (label === this.#ignoreIndex) this.#ignored++
      else if (!(label >= 0 && label < this.#classes)) this.#outOfRange++
      else this.#seen[label] = (this.#seen[label] ?? 0) + 1
    }
  }

  record(): LabelRecord {
    const counted = this.#seen.reduce((sum, count) => sum + count, 0)
    const never = [...this.#seen.keys()].filter((label) => this.#seen[label] === 0)
    return {
      classes: this.#classes,
      count: this.#count,
      ignored: this.#count === 0 ? 0 : this.#ignored / this.#count,
      outOfRange: this.#outOfRange,
      neverSeen: never.slice(0, 100),
      neverSeenCount: never.length,
      largestShare: counted === 0 ? 0 : this.#seen.reduce((most, count) => Math.max(most, count), 0) / counted,
    }
  }
}
