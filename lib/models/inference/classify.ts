/** Classes of texts. */
import { shown, ValueError } from '../../core/errors.js'
import { type OptionNames, ownOptions } from '../../core/options.js'
import type { Tokenizer } from '../../text/tokenizer/tokenizer.js'
import type { SequenceClassifier } from '../heads.js'
import {
  type CutOptions,
  checkCount,
  encodeTexts,
  largest,
  listOfTexts,
  runTexts,
  softmaxOf,
  type TextPair,
} from './run.js'

/** How scores come of what the model gives. */
export type Activation = 'softmax' | 'sigmoid' | 'none'

export interface ClassifyOptions extends CutOptions {
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

const classifyNames: OptionNames<ClassifyOptions> = {
  batchSize: true,
  maxLength: true,
  activation: true,
  threshold: true,
}

/** A text's class. */
export interface Classified {
  /** The label with the highest score, or, of two, that which the threshold chooses. */
  readonly label: string
  readonly score: number
  /** The score of every label: probabilities, or of a regression the numbers themselves. */
  readonly scores: { readonly [label: string]: number }
  /** With sigmoid: the labels above the threshold, the best first. */
  readonly labels?: readonly string[]
}

const isText = (value: unknown): boolean => {
  if (typeof value === 'string') return true
  const { text, pair } = (typeof value === 'object' && value !== null ? value : {}) as {
    readonly [name: string]: unknown
  }
  return typeof text === 'string' && typeof pair === 'string'
}

/** As `SequenceClassifier.classify` says. */
export async function classify(
  model: SequenceClassifier,
  tokenizer: Tokenizer,
  given: string | TextPair | readonly (string | TextPair)[],
  options: ClassifyOptions,
): Promise<Classified | Classified[]> {
  const op = `${model.constructor.name}.classify`
  const { batchSize = 16, maxLength, activation, threshold } = ownOptions(op, options, classifyNames)
  checkCount(op, 'batchSize', batchSize, 1)
  const { labels, problemType } = model.config
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
  const bounds = typeof threshold === 'object' ? threshold : new Array<number>(labels.length).fill(threshold ?? 0.5)
  if (
    bounds.length !== labels.length ||
    !bounds.every((bound) => typeof bound === 'number' && bound >= 0 && bound <= 1)
  )
    throw new ValueError(
      op,
      `threshold is ${shown(threshold)}, but must be a probability, or one for each of the ${labels.length} labels`,
    )
  const { texts, single } = listOfTexts(op, given, isText, 'a text, or { text, pair }')
  const encodings = encodeTexts(op, model, tokenizer, texts, maxLength)
  const rows = await runTexts(
    model,
    encodings,
    batchSize,
    ({ ids, ...inputs }) => [model.forward(ids, inputs)],
    model.body.hasTypes,
  )
  const told = rows.map(([logits]): Classified => {
    const raw = logits?.values ?? new Float32Array()
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
  })
  return single ? (told[0] as Classified) : told
}
