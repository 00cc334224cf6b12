/** Classes of what a classifier scores: texts and images alike. */
import { shown, ValueError } from '../../core/errors.js'
import type { ProblemType } from '../encoder.js'
import { largest, softmaxOf } from './run.js'

/** How scores come of what the model gives. */
export type Activation = 'softmax' | 'sigmoid' | 'none'

export interface VerdictOptions {
  /**
   * Default: none where the model's `problemType` says regression; sigmoid where it says several labels, or where there is only one; else
   * softmax.
   */
  readonly activation?: Activation
  /**
   * With sigmoid: the score above which a label is among `labels`, for all or each. With softmax over two labels: the score above which it
   * is the second, one number. Default 0.5. `chooseThreshold` of `firesteel/finetune` finds it.
   */
  readonly threshold?: number | readonly number[]
}

/** The class of a text or an image. */
export interface Classified {
  /** The label with the highest score, or, of two, that which the threshold chooses. */
  readonly label: string
  readonly score: number
  /** The score of every label: probabilities, or of a regression the numbers themselves. */
  readonly scores: { readonly [label: string]: number }
  /** With sigmoid: the labels above the threshold, the best first. */
  readonly labels?: readonly string[]
}

/** The labels of a model, and what kind of labels they are. */
interface Classes {
  readonly labels: readonly string[]
  readonly problemType: ProblemType | null
}

/** A function from the scores of one row, as the model gives them, to its class. Throws ValueError for options that do not fit. */
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
      `threshold is for scores of sigmoid, or one number for two labels, but activation is ${how} over ${labels.length}; leave it out`,
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
