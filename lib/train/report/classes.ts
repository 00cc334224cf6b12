/** A classifier's answers row by row: confusion, calibration, and the rows with the worst errors. */
import { noGrad } from '../../autograd/mode.js'
import { isFloating } from '../../core/dtype.js'
import { scope } from '../../core/scope.js'
import { logSoftmax } from '../../ops/softmax.js'
import type { Collected } from './collect.js'

/** A row for which the model was wrong, or least sure. */
export interface WorstExample {
  /** The row's place in the set, from 0. */
  readonly row: number
  /** Its name from `rowName`, or null without that option. */
  readonly name: string | null
  readonly label: number
  readonly predicted: number
  /** The probability that the model gave to its label. */
  readonly probability: number
}

/** Rows grouped by the model's confidence in its answer: from `from` up to `to`. */
export interface CalibrationBin {
  readonly from: number
  readonly to: number
  readonly count: number
  /** Means over the rows, or null if there are none. */
  readonly confidence: number | null
  readonly accuracy: number | null
}

export interface ClassesReport {
  /** Rows of the matrix are labels, and columns are answers. */
  readonly confusion: readonly (readonly number[])[]
  readonly calibration: readonly CalibrationBin[]
  /** The mean distance between confidence and accuracy over the bins, weighted by their rows (ECE). */
  readonly calibrationError: number
  /** The rows whose label had the lowest probability, the lowest first. */
  readonly worst: readonly WorstExample[]
  /** Rows whose label is not one of the classes, such as -100. All other figures leave them out. */
  readonly ignored: number
}

const bins = 10

/** Null unless the model is a classifier: scores [rows, classes] with two or more classes, and whole labels [rows]. */
export async function classesOf(
  { output, target, rows }: Collected,
  most: number,
  rowName: (row: number) => string | null,
): Promise<ClassesReport | null> {
  const classes = output.sizes[1] ?? 0
  if (output.sizes.length !== 2 || classes < 2 || target.sizes.length !== 1) return null
  if (!isFloating(output.dtype) || target.dtype !== 'int32') return null
  const { reads } = scope(() => ({ reads: [noGrad(() => logSoftmax(output, 1)).data(), target.data()] as const }))
  const [logs, labels] = await Promise.all(reads)
  const confusion = Array.from({ length: classes }, () => Array.from({ length: classes }, () => 0))
  const sums = Array.from({ length: bins }, () => ({ count: 0, confidence: 0, right: 0 }))
  const examples: Omit<WorstExample, 'name'>[] = []
  let ignored = 0
  for (let row = 0; row < rows; row++) {
    const label = Number(labels[row])
    const counts = confusion[label]
    if (counts === undefined) {
      ignored++
      continue
    }
    let predicted = 0
    const at = (place: number) => Number(logs[row * classes + place])
    for (let place = 1; place < classes; place++) if (at(place) > at(predicted)) predicted = place
    counts[predicted] = (counts[predicted] as number) + 1
    const confidence = Math.exp(at(predicted))
    // NaN fits no bin, so it goes into the first, where it is visible.
    const bin = sums[Math.min(bins - 1, Math.floor(confidence * bins) || 0)] as (typeof sums)[number]
    bin.count++
    bin.confidence += confidence
    if (predicted === label) bin.right++
    examples.push({ row, label, predicted, probability: Math.exp(at(label)) })
  }
  const seen = rows - ignored
  const error = sums.reduce((sum, { confidence, right }) => sum + Math.abs(confidence - right), 0)
  return {
    confusion,
    calibration: sums.map(({ count, confidence, right }, i) => ({
      ...{ from: i / bins, to: (i + 1) / bins, count },
      confidence: count === 0 ? null : confidence / count,
      accuracy: count === 0 ? null : right / count,
    })),
    calibrationError: seen === 0 ? Number.NaN : error / seen,
    worst: examples
      .sort((a, b) => a.probability - b.probability || a.row - b.row)
      .slice(0, most)
      .map(({ row, ...rest }) => ({ row, name: rowName(row), ...rest })),
    ignored,
  }
}
