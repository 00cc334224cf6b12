/** The probability above which a label counts as set, chosen by held-out rows. */
import { noGrad } from '../autograd/mode.js'
import { isIterable } from '../core/engine.js'
import { kindOf, shown, ValueError } from '../core/errors.js'
import { checkFlag, type OptionNames, ownOptions } from '../core/options.js'
import { scope } from '../core/scope.js'
import { Tensor } from '../core/tensor.js'
import { Module } from '../nn/module.js'
import { castTo } from '../ops/convert.js'
import { sigmoid } from '../ops/elementwise/index.js'
import { select } from '../ops/shape/index.js'
import { softmax } from '../ops/softmax.js'
import { Guard } from '../train/guard.js'
import type { Objective } from '../train/objective.js'
import type { Batches } from '../train/options.js'

export interface ThresholdChoiceOptions {
  /**
   * The measure to maximise: F1, the share of right labels, or sensitivity plus specificity less 1 (Youden, 1950).
   * Default 'f1'.
   */
  readonly maximise?: 'f1' | 'accuracy' | 'youden'
  /**
   * Whether each label gets its own threshold, if rows have several labels. Default true; false: one for all, by their
   * joint counts.
   */
  readonly each?: boolean
}

const choiceNames: OptionNames<ThresholdChoiceOptions> = { maximise: true, each: true }

export interface ThresholdChoice {
  /**
   * The thresholds for `classify` and metrics: one number, or one for each label. Labels that never occur, or always
   * do, get 0.5.
   */
  readonly threshold: number | readonly number[]
  /** The measure at these thresholds, or NaN for labels that never occur, or always do. */
  readonly value: number | readonly number[]
}

/** Counts of yes and no above a threshold, and at or below it. */
interface Split {
  readonly hits: number
  readonly falseAlarms: number
  readonly positives: number
  readonly negatives: number
}

const measures = {
  f1: ({ hits, falseAlarms, positives }: Split) => (2 * hits) / (hits + falseAlarms + positives),
  accuracy: ({ hits, falseAlarms, positives, negatives }: Split) =>
    (hits + negatives - falseAlarms) / (positives + negatives),
  youden: ({ hits, falseAlarms, positives, negatives }: Split) => hits / positives - falseAlarms / negatives,
} as const

/** The best threshold between two neighbouring probabilities. It is the nearest to 0.5 if several are equally good. */
function best(
  probabilities: ArrayLike<number>,
  there: ArrayLike<boolean>,
  measure: (split: Split) => number,
): { readonly threshold: number; readonly value: number } {
  const order = Array.from(probabilities, (_, i) => i).sort(
    (a, b) => (probabilities[b] as number) - (probabilities[a] as number),
  )
  const positives = Array.from(there).filter(Boolean).length
  const negatives = order.length - positives
  if (positives === 0 || negatives === 0) return { threshold: 0.5, value: Number.NaN }
  let found = { threshold: 0.5, value: Number.NEGATIVE_INFINITY }
  let [hits, falseAlarms] = [0, 0]
  for (let i = 0; i <= order.length; i++) {
    const above = i === 0 ? 1 : (probabilities[order[i - 1] as number] as number)
    const below = i === order.length ? 0 : (probabilities[order[i] as number] as number)
    // Rows with the same probability are on the same side.
    if (above > below) {
      const threshold = below < 0.5 && 0.5 < above ? 0.5 : (above + below) / 2
      const value = measure({ hits, falseAlarms, positives, negatives })
      const nearer = Math.abs(threshold - 0.5) < Math.abs(found.threshold - 0.5)
      if (threshold > 0 && threshold < 1 && (value > found.value || (value === found.value && nearer)))
        found = { threshold, value }
    }
    if (i === order.length) break
    if (there[order[i] as number] === true) hits++
    else falseAlarms++
  }
  return found
}

/**
 * Chooses the threshold by the batches of a validation: one for each label with `classification({ multiLabel: true })`,
 * or the second class's if there are two classes. `const { threshold } = await chooseThreshold(model, classification({
 * multiLabel: true }), validation)`, then `model.classify(tokenizer, text, { threshold })`. Throws ValueError if the
 * objective does not give such scores and labels.
 */
export async function chooseThreshold<Mod extends Module, B>(
  model: Mod,
  objective: Objective<Mod, B, string>,
  batches: Batches<NoInfer<B>>,
  options: ThresholdChoiceOptions = {},
): Promise<ThresholdChoice> {
  const op = 'chooseThreshold'
  const { maximise = 'f1', each = true } = ownOptions(op, options, choiceNames)
  if (!(model instanceof Module)) throw new ValueError(op, `the model is ${kindOf(model)}, but must be a module`)
  if (typeof objective?.loss !== 'function')
    throw new ValueError(
      op,
      `the objective is ${kindOf(objective)}, but must be an objective, such as classification()`,
    )
  if (typeof maximise !== 'string' || !Object.hasOwn(measures, maximise))
    throw new ValueError(op, `maximise is ${shown(maximise)}, but must be one of ${Object.keys(measures).join(', ')}`)
  checkFlag(op, 'each', each)
  const measure = measures[maximise]
  const { probabilities, there, labels } = await scored(op, model, objective, batches)
  if (labels === 1 || !each) return best(probabilities, there, measure)
  const column = <T>(list: readonly T[], label: number): T[] => list.filter((_, i) => i % labels === label)
  const found = Array.from({ length: labels }, (_, label) =>
    best(column(probabilities, label), column(there, label), measure),
  )
  return { threshold: found.map(({ threshold }) => threshold), value: found.map(({ value }) => value) }
}

interface Scored {
  readonly probabilities: number[]
  readonly there: boolean[]
  readonly labels: number
}

/** The probabilities of all rows, and their labels. */
async function scored<Mod extends Module, B>(
  op: string,
  model: Mod,
  objective: Objective<Mod, B, string>,
  batches: Batches<B>,
): Promise<Scored> {
  const probabilities: number[] = []
  const there: boolean[] = []
  let labels = 0
  const given: unknown = typeof batches === 'function' ? batches() : batches
  if (!isIterable(given))
    throw new ValueError(op, `the batches are ${kindOf(given)}, but must be a DataLoader or a list of batches`)
  await Guard.of(model).evaluating(op, async (check) => {
    for await (const batch of given as AsyncIterable<B>) {
      check()
      const [scores, target] = scope(() =>
        noGrad(() => {
          const { output, target: wanted } = objective.loss(model, batch)
          return ofLabels(op, output, wanted)
        }),
      )
      const [values, wanted] = await Promise.all([scores.data(), target.data()])
      labels = scores.ndim === 1 ? 1 : (scores.sizes[1] as number)
      for (const [i, label] of Array.from(wanted, Number).entries()) {
        // The label of this row is ignored.
        if (label === -100) continue
        probabilities.push(values[i] as number)
        there.push(label === 1)
      }
      scores.dispose()
      target.dispose()
    }
  })
  if (there.length === 0) throw new ValueError(op, 'there are no rows to choose by; give the batches of a validation')
  return { probabilities, there, labels }
}

/** Probabilities and labels, in one shape. */
function ofLabels(op: string, output: unknown, target: Tensor | undefined): readonly [Tensor, Tensor] {
  if (!(output instanceof Tensor) || target === undefined)
    throw new ValueError(
      op,
      `the objective gives ${output instanceof Tensor ? 'no target' : kindOf(output)}, but must give scores and labels, as classification does`,
    )
  const scores = castTo(output, 'float32')
  if (target.dtype === 'int32' && scores.ndim === 2 && scores.sizes[1] === 2)
    return [select(softmax(scores, 1), 1, 1).clone(), target.clone()]
  if (target.dtype === 'float32' && scores.ndim === 2) return [sigmoid(scores), target.clone()]
  throw new ValueError(
    op,
    `scores are [${scores.sizes.join(', ')}] and labels ${target.dtype} [${target.sizes.join(', ')}], but a threshold is for two classes, or for ` +
      'several labels a row',
  )
}
