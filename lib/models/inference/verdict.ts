/** Turns a classifier's outputs into classes, for texts and images alike. */
import { shown, ValueError } from '../../core/errors.js'
import type { ProblemType } from '../encoder.js'
import { largest, softmaxOf } from './run.js'

/** The function that turns outputs into scores. */
export type Activation = 'softmax' | 'sigmoid' | 'none'

export interface VerdictOptions {
  /**
   * Default: 'none' if the model's `problemType` is regression, 'sigmoid' if it is several labels or if there is only
   * one label, and otherwise 'softmax'.
   */
  readonly activation?: Activation
  /**
   * With sigmoid: the score above which a label is among `labels`, one number for all labels or one for each. With
   * softmax over two labels: the score above which the answer is the second, one number. Default 0.5. `chooseThreshold`
   * of `firesteel/finetune` finds a value.
   */
  readonly threshold?: number | readonly number[]
}

/** The class of a text or an image. */
export interface Classified {
  /** The label with the highest score, or, of two labels, the one chosen by the threshold. */
  readonly label: string
  readonly score: number
  /** The score of every label: probabilities, or the numbers themselves for a regression. */
  readonly scores: { readonly [label: string]: number }
  /** With sigmoid: the labels above the threshold, the best first. */
  readonly labels?: readonly string[]
}

/** The labels of a model, and their kind. */
interface Classes {
  readonly labels: readonly string[]
  readonly problemType: ProblemType | null
}

/**
 * Returns a function from one row of the model's outputs to its class. Throws ValueError for options that do not fit.
 */
export function verdicts(
  op: string,
  { labels, problemType }: Classes,
  { activation, threshold }: VerdictOptions,
): (raw: Float32Array) => Classified {
  const usual =
    problemType === 'regression'
      ? 'none'
      : problemType === 'multi_label_classification' || labels.length === 1
        ? 'sigmoid'
        : 'softmax'
  const how = activation ?? usual
  if (!['softmax', 'sigmoid', 'none'].includes(how))
    throw new ValueError(op, `activation is ${shown(activation)}, but must be 'softmax', 'sigmoid' or 'none'`)
  const isChoice = how === 'softmax' && labels.length === 2 && typeof threshold === 'number'
  if (threshold !== undefined && how !== 'sigmoid' && !isChoice)
    throw new ValueError(
      op,
      `threshold is for scores of sigmoid, or one number for two labels, but activation is ${how} over ${labels.length} labels; leave it out`,
    )
  const bounds: readonly unknown[] = Array.isArray(threshold)
    ? threshold
    : new Array<unknown>(labels.length).fill(threshold === undefined ? 0.5 : threshold)
  if (
    bounds.length !== labels.length ||
    !bounds.every((bound) => typeof bound === 'number' && bound >= 0 && bound <= 1)
  )
    throw new ValueError(
      op,
      `threshold is ${shown(threshold)}, but must be a probability, or one for each of the ${labels.length} labels`,
    )
  return (raw) => {
    const scores =
      how === 'softmax'
        ? softmaxOf(raw)
        : how === 'sigmoid'
          ? Float64Array.from(raw, (x) => 1 / (1 + Math.exp(-x)))
          : raw
    const best = isChoice ? ((scores[1] as number) > threshold ? 1 : 0) : largest(scores)
    const there = labels.map((_, i) => i).filter((i) => (scores[i] as number) > (bounds[i] as number))
    there.sort((a, b) => (scores[b] as number) - (scores[a] as number))
    return {
      label: labels[best] as string,
      score: scores[best] as number,
      scores: Object.fromEntries(labels.map((label, i) => [label, scores[i] as number])),
      ...(how === 'sigmoid' ? { labels: there.map((i) => labels[i] as string) } : {}),
    }
  }
}
