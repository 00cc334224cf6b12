/** Measures of the knowledge in features: a linear probe and nearest neighbours, both without random choices. */
import { noGrad } from '../autograd/mode.js'
import { checkTensor } from '../autograd/operator.js'
import { formatShape, kindOf, ShapeError, shown, ValueError } from '../core/errors.js'
import { checkFlag, checkOptions } from '../core/options.js'
import { scope } from '../core/scope.js'
import { Tensor } from '../core/tensor.js'
import { matmul } from '../ops/matmul.js'
import { normalize } from '../ops/reduce/index.js'
import { narrow, transpose } from '../ops/shape/index.js'
import { minimise } from './minimise.js'

/** Features of rows, and their classes. */
export interface FeatureSet {
  /** float32 [N, D]. */
  readonly features: Tensor
  /** The class of each row, from 0 on. */
  readonly labels: ArrayLike<number> | Tensor
}

interface Rows {
  readonly x: Float64Array
  readonly labels: Int32Array
  readonly count: number
  readonly width: number
}

async function rowsOf(op: string, name: string, set: FeatureSet): Promise<Rows> {
  const { features, labels } = (set ?? {}) as Partial<FeatureSet>
  if (!(features instanceof Tensor) || labels === undefined)
    throw new ValueError(op, `${name} is ${kindOf(set)}, but must be { features, labels }`)
  checkTensor(op, `${name}.features`, features)
  const [count, width] = features.sizes
  if (features.ndim !== 2 || count === undefined || width === undefined || features.numel === 0)
    throw new ShapeError(op, `features of ${name} are ${formatShape(features.sizes)}, but must be [N, D], with rows`, [
      features.sizes,
    ])
  if (
    !(labels instanceof Tensor) &&
    !(typeof labels === 'object' && labels !== null && Number.isSafeInteger(labels.length))
  )
    throw new ValueError(op, `labels of ${name} are ${kindOf(labels)}, but must be a list of classes, or a tensor`)
  if (labels instanceof Tensor) checkTensor(op, `${name}.labels`, labels)
  const own = labels instanceof Tensor ? await labels.data() : labels
  if (own.length !== count)
    throw new ValueError(op, `${name} has ${count} rows of features, but ${own.length} labels; give one for each`)
  const classes = Int32Array.from({ length: count }, (_, i) => own[i] as number)
  const wrong = classes.findIndex((label, i) => label < 0 || label !== own[i])
  if (wrong >= 0)
    throw new ValueError(
      op,
      `label ${wrong} of ${name} is ${shown(own[wrong])}, but must be a class: an integer from 0 on`,
    )
  const x = Float64Array.from(await features.data())
  const odd = x.findIndex((value) => !Number.isFinite(value))
  if (odd >= 0)
    throw new ValueError(
      op,
      `row ${Math.floor(odd / width)} of ${name} has the feature ${x[odd]}, but features must be finite`,
    )
  return { x, labels: classes, count, width }
}

async function both(op: string, train: FeatureSet, test: FeatureSet): Promise<readonly [Rows, Rows]> {
  const [a, b] = [await rowsOf(op, 'train', train), await rowsOf(op, 'test', test)]
  if (a.width !== b.width)
    throw new ShapeError(
      op,
      `features of train are ${a.width} wide, but those of test ${b.width}; use the same model for both`,
      [
        [a.count, a.width],
        [b.count, b.width],
      ],
    )
  return [a, b]
}

export interface LinearProbeOptions {
  /** The weight of the losses relative to half the squares of the weights. Default 1. */
  readonly c?: number
  /** Whether features are shifted and scaled to the training rows' mean 0 and deviation 1. Default true. */
  readonly standardise?: boolean
}

export interface ProbeScores {
  /** The share of test rows whose class is found. */
  readonly accuracy: number
  /** The predicted class of each test row. */
  readonly predictions: Int32Array
}

/**
 * Logistic regression on features, like scikit-learn's LogisticRegression. L-BFGS in float64 finds the minimum of c
 * times the summed cross entropy plus half the squares of the weights (not of the biases). Two classes have one row of
 * weights. Throws ValueError if training has only one class.
 */
export async function linearProbe(
  train: FeatureSet,
  test: FeatureSet,
  options: LinearProbeOptions = {},
): Promise<ProbeScores & { readonly objective: number }> {
  const op = 'linearProbe'
  const { c = 1, standardise = true } = checkOptions(op, options, { c: true, standardise: true })
  if (!(typeof c === 'number' && c > 0 && Number.isFinite(c)))
    throw new ValueError(op, `c is ${shown(c)}, but must be a positive number`)
  checkFlag(op, 'standardise', standardise)
  const [rows, held] = await both(op, train, test)
  const classes = 1 + rows.labels.reduce((most, label) => Math.max(most, label), 0)
  if (rows.labels.every((label) => label === rows.labels[0]))
    throw new ValueError(op, `all training rows are of class ${rows.labels[0]}, so there is nothing to learn`)
  if (standardise) scale(rows, held)
  const outputs = classes === 2 ? 1 : classes
  const stride = rows.width + 1
  const weights = new Float64Array(outputs * stride)
  const objective = minimise(
    weights,
    (at, gradient) => c * lossOf(rows, at, outputs, c, gradient) + penalty(at, stride, gradient),
  )
  const predictions = Int32Array.from({ length: held.count }, (_, row) => {
    const scores = scoresOf(held, row, weights, outputs)
    return outputs === 1 ? Number((scores[0] as number) > 0) : scores.indexOf(Math.max(...scores))
  })
  return { accuracy: shareOf(predictions, held.labels), predictions, objective }
}

/** Scales by mean and deviation of the training rows. A feature that is the same in all of them is only shifted. */
function scale(train: Rows, test: Rows): void {
  for (let d = 0; d < train.width; d++) {
    let [mean, square] = [0, 0]
    for (let i = d; i < train.x.length; i += train.width) mean += (train.x[i] as number) / train.count
    for (let i = d; i < train.x.length; i += train.width) square += ((train.x[i] as number) - mean) ** 2 / train.count
    const deviation = Math.sqrt(square) || 1
    for (const { x, width } of [train, test])
      for (let i = d; i < x.length; i += width) x[i] = ((x[i] as number) - mean) / deviation
  }
}

function scoresOf({ x, width }: Rows, row: number, weights: Float64Array, outputs: number): Float64Array {
  const scores = new Float64Array(outputs)
  for (let k = 0; k < outputs; k++) {
    const from = k * (width + 1)
    let score = weights[from + width] as number
    for (let d = 0; d < width; d++) score += (weights[from + d] as number) * (x[row * width + d] as number)
    scores[k] = score
  }
  return scores
}

/** The summed cross entropy; its gradient times c goes to `gradient`. */
function lossOf(rows: Rows, weights: Float64Array, outputs: number, c: number, gradient: Float64Array): number {
  const { x, labels, count, width } = rows
  gradient.fill(0)
  let total = 0
  for (let row = 0; row < count; row++) {
    const scores = scoresOf(rows, row, weights, outputs)
    const label = labels[row] as number
    if (outputs === 1) {
      const score = (label === 1 ? 1 : -1) * (scores[0] as number)
      total += score > 0 ? Math.log1p(Math.exp(-score)) : Math.log1p(Math.exp(score)) - score
      scores[0] = 1 / (1 + Math.exp(-(scores[0] as number))) - label
    } else {
      const most = Math.max(...scores)
      let sum = 0
      for (const score of scores) sum += Math.exp(score - most)
      total += Math.log(sum) + most - (scores[label] as number)
      for (let k = 0; k < outputs; k++) scores[k] = Math.exp((scores[k] as number) - most) / sum - (k === label ? 1 : 0)
    }
    for (let k = 0; k < outputs; k++) {
      const [from, error] = [k * (width + 1), c * (scores[k] as number)]
      for (let d = 0; d < width; d++)
        gradient[from + d] = (gradient[from + d] as number) + error * (x[row * width + d] as number)
      gradient[from + width] = (gradient[from + width] as number) + error
    }
  }
  return total
}

function penalty(weights: Float64Array, stride: number, gradient: Float64Array): number {
  let total = 0
  for (let i = 0; i < weights.length; i++) {
    if (i % stride === stride - 1) continue
    const weight = weights[i] as number
    total += weight ** 2 / 2
    gradient[i] = (gradient[i] as number) + weight
  }
  return total
}

const shareOf = (guesses: Int32Array, labels: Int32Array): number =>
  guesses.reduce((sum, guess, i) => sum + (guess === labels[i] ? 1 : 0), 0) / labels.length

export interface NeighboursOptions {
  /** The number of neighbours that vote. Default 20, or all if there are fewer. */
  readonly k?: number
  /** Each vote counts e to its cosine divided by this. Default 0.07. Infinity makes all votes count the same. */
  readonly temperature?: number
}

/**
 * The class of each test row by a vote of the training rows nearest in direction, weighted by their cosine, as
 * self-supervised features are judged (Wu et al., 2018). The first of classes with equal votes wins. Throws ValueError
 * unless `k` is an integer from 1 to the number of training rows and `temperature` is positive.
 */
export async function nearestNeighbours(
  train: FeatureSet,
  test: FeatureSet,
  options: NeighboursOptions = {},
): Promise<ProbeScores> {
  const op = 'nearestNeighbours'
  const { k, temperature = 0.07 } = checkOptions(op, options, { k: true, temperature: true })
  if (!(typeof temperature === 'number' && temperature > 0))
    throw new ValueError(op, `temperature is ${shown(temperature)}, but must be positive`)
  const [rows, held] = await both(op, train, test)
  const most = k ?? Math.min(20, rows.count)
  if (!Number.isSafeInteger(most) || most < 1 || most > rows.count)
    throw new ValueError(op, `k is ${shown(most)}, but must be an integer from 1 to the ${rows.count} training rows`)
  const classes = 1 + rows.labels.reduce((highest, label) => Math.max(highest, label), 0)
  const towards = scope(() => noGrad(() => transpose(normalize(train.features, { dim: 1 }), 0, 1).contiguous()))
  const predictions = new Int32Array(held.count)
  for (let from = 0; from < held.count; from += rowsAtOnce) {
    const count = Math.min(rowsAtOnce, held.count - from)
    const { read } = scope(() =>
      noGrad(() => ({
        read: matmul(normalize(narrow(test.features, 0, from, count), { dim: 1 }), towards).data(),
      })),
    )
    const cosines = await read
    for (let row = 0; row < count; row++) {
      const own = cosines.subarray(row * rows.count, (row + 1) * rows.count)
      const votes = new Float64Array(classes)
      for (const i of largest(own, most)) {
        const label = rows.labels[i] as number
        votes[label] = (votes[label] as number) + Math.exp(((own[i] as number) - 1) / temperature)
      }
      predictions[from + row] = votes.indexOf(Math.max(...votes))
    }
  }
  towards.dispose()
  return { accuracy: shareOf(predictions, held.labels), predictions }
}

/** The number of test rows whose cosines are in memory at once. */
const rowsAtOnce = 256

/** The indices of the `count` largest values. Equal values keep their order. */
function largest(values: ArrayLike<number>, count: number): readonly number[] {
  const places: number[] = []
  for (let i = 0; i < values.length; i++) {
    const value = values[i] as number
    if (places.length === count && value <= (values[places[count - 1] as number] as number)) continue
    let at = places.length
    while (at > 0 && value > (values[places[at - 1] as number] as number)) at--
    places.splice(at, 0, i)
    if (places.length > count) places.pop()
  }
  return places
}
