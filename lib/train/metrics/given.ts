/** Outputs, targets and weights of classification metrics. Shapes and dtypes tell their kind. */
import { checkDType, checkTensor } from '../../autograd/operator.js'
import { formatShape, IndexOutOfRangeError, ShapeError, shown, ValueError } from '../../core/errors.js'
import { normalizeDim, type Shape, sameShape } from '../../core/shape.js'
import type { Tensor } from '../../core/tensor.js'
import { gt } from '../../ops/elementwise/index.js'
import { argmax } from '../../ops/reduce/index.js'
import { movedim, reshape } from '../../ops/shape/index.js'

/** The kind of the outputs' floats: before softmax (for two or more classes) or sigmoid (for one score), or after. */
export type From = 'logits' | 'probabilities'

export interface ShapeOptions {
  /** Targets with this label do not count. Default -100, as for crossEntropy. */
  readonly ignoreIndex?: number
  /**
   * The outputs' dimension of the classes. Default: the one that the targets' shape implies, 1 as for crossEntropy, or
   * the last.
   */
  readonly classDim?: number
}

type SharesOptions = { readonly classDim?: number | undefined; readonly multilabel?: boolean | undefined }

export interface ThresholdOptions {
  /** The probability above which a score means yes. Default 0.5. */
  readonly threshold?: number
  /** Whether the outputs are logits or probabilities. Default logits. */
  readonly from?: From
}

/**
 * - `classes`: scores have a dimension of classes, targets are int32 labels without it.
 * - `binary`: one score an item ([N] or [N, 1]), targets of the same shape, 0 or 1, of any dtype.
 * - `multilabel`: [N, L] scores, targets of the same shape, 0 or 1, of any dtype.
 * - `labels`: outputs are int32 or bool labels already, of the targets' shape.
 */
export interface Given {
  readonly kind: 'classes' | 'binary' | 'multilabel' | 'labels'
  readonly scores: Tensor
  /** The dimension of the classes in the scores, if they are of `classes`. */
  readonly dim: number
  /** The number of classes or labels in a row; 2 for binary; 0 if the outputs are labels. */
  readonly classes: number
  readonly target: Tensor
  readonly weight: Tensor | null
}

const without = (shape: Shape, dim: number) => shape.filter((_, d) => d !== dim)

function fail(op: string, output: Tensor, target: Tensor, rule: string): never {
  const { shape } = output
  throw new ShapeError(op, `outputs are ${formatShape(shape)}, targets ${formatShape(target.sizes)}; ${rule}`, [
    shape,
    target.sizes,
  ])
}

/** The dimension of the classes. Throws ShapeError if the shapes do not tell. */
function classDimOf(op: string, output: Tensor, target: Tensor, classDim: number | undefined): number {
  const { ndim, shape } = output
  const fits = (dim: number) => sameShape(without(shape, dim), target.sizes)
  const rule = 'targets must have the shape of the outputs without the dimension of the classes'
  if (ndim === 0) return fail(op, output, target, rule)
  if (classDim !== undefined) {
    const dim = normalizeDim(op, classDim, ndim)
    return fits(dim) ? dim : fail(op, output, target, `${rule}, which is ${classDim}`)
  }
  const [first, last] = [Math.min(1, ndim - 1), ndim - 1]
  if (fits(first) && (first === last || !fits(last))) return first
  if (!fits(last)) return fail(op, output, target, `${rule}: dimension 1 as for crossEntropy, or the last`)
  if (!fits(first)) return last
  return fail(
    op,
    output,
    target,
    `the classes may be along dimension 1 or ${last}; use ${op}({ classDim: 1 }) or { classDim: -1 }`,
  )
}

const single = ({ ndim, sizes }: Tensor) => ndim <= 1 || sizes[1] === 1

/**
 * Labels of targets that are shares of classes, in the outputs' shape, as mixup makes them for crossEntropy: the class
 * with the largest share. Other targets stay as they are.
 */
export function labelsOfShares(
  op: string,
  output: Tensor,
  target: Tensor,
  { classDim, multilabel = false }: SharesOptions,
): Tensor {
  checkTensor(op, 'output', output)
  checkTensor(op, 'target', target)
  const isShares = target.dtype === 'float32' && output.dtype !== 'int32' && output.ndim > 1
  if (multilabel || !isShares || single(output) || !sameShape(output.sizes, target.sizes)) return target
  return argmax(target, classDim ?? 1)
}

/** 16-bit floats become float32, so that metrics need not know them. */
function asNumbers(x: Tensor): Tensor {
  return x.dtype === 'bfloat16' || x.dtype === 'float16' ? x.to('float32') : x
}

/** Weights of rows. Throws unless there is one for each element of `shape`. */
function weightOf(op: string, weight: Tensor | undefined, shape: Shape): Tensor | null {
  if (weight === undefined) return null
  checkTensor(op, 'sampleWeight', weight)
  checkDType(op, 'sampleWeight', weight, ['float32', 'float64', 'float16', 'bfloat16', 'int32'])
  if (!sameShape(weight.sizes, shape))
    throw new ShapeError(
      op,
      `sampleWeight is ${formatShape(weight.sizes)}, but must be ${formatShape(shape)}: one for each row of the targets`,
      [weight.sizes, shape],
    )
  return weight
}

/**
 * Tells the kind of outputs and targets, and checks their shapes and dtypes. `multilabel` is what the program says
 * about them.
 */
export function given(
  op: string,
  output: Tensor,
  target: Tensor,
  sampleWeight: Tensor | undefined,
  {
    classDim,
    multilabel = false,
  }: { readonly classDim?: number | undefined; readonly multilabel?: boolean | undefined },
): Given {
  checkTensor(op, 'output', output)
  checkTensor(op, 'target', target)
  const scores = asNumbers(output)
  const same = sameShape(output.sizes, target.sizes)
  if (multilabel) {
    if (!same || output.ndim !== 2)
      fail(op, output, target, 'with multilabel both must be [N, L]: a score and 0 or 1 for each label of a row')
    const weight = weightOf(op, sampleWeight, output.sizes.slice(0, 1))
    return { kind: 'multilabel', scores, dim: 1, classes: output.sizes[1] as number, target: asNumbers(target), weight }
  }
  const weight = weightOf(op, sampleWeight, target.sizes)
  if (same && (output.dtype === 'int32' || output.dtype === 'bool' || output.dtype === 'uint8'))
    return { kind: 'labels', scores, dim: 0, classes: 0, target, weight }
  if (same && output.ndim > 0 && single(output))
    return { kind: 'binary', scores, dim: 0, classes: 2, target: asNumbers(target), weight }
  checkDType(op, 'target', target, ['int32'])
  if (same && output.ndim > 0)
    fail(op, output, target, 'targets must be a label for each row; if rows have several labels, set multilabel: true')
  const dim = classDimOf(op, output, target, classDim)
  const classes = output.sizes[dim] as number
  if (classes === 1)
    throw new ShapeError(
      op,
      `outputs are ${formatShape(output.sizes)}, which is a single class, and so always the largest; give a logit for each class, ` +
        'or one for yes or no in the shape of the targets',
      [output.sizes],
    )
  return { kind: 'classes', scores, dim, classes, target, weight }
}

/** Scores of `classes` as rows [N, C], in the order of the targets. */
export function rowsOf({ scores, dim, classes }: Given): Tensor {
  return reshape(dim === scores.ndim - 1 ? scores : movedim(scores, dim, -1), [-1, classes])
}

/** Predictions of the outputs: labels of the targets' shape, or 0 and 1 for each score. */
export function predictedOf({ kind, scores, dim }: Given, { threshold = 0.5, from }: ThresholdOptions): Tensor {
  if (kind === 'classes') return argmax(scores, dim)
  if (kind === 'labels') return scores
  return gt(scores, from === 'probabilities' ? threshold : Math.log(threshold / (1 - threshold)))
}

/** Throws the late error for a label that does not exist. */
export function checkLabel(op: string, label: number, classes: number): void {
  if (label >= 0 && label < classes && Number.isInteger(label)) return
  throw new IndexOutOfRangeError(
    op,
    `a target is ${label}, but must be one of the ${classes} classes, 0 to ${classes - 1}, or ignoreIndex`,
  )
}

export function checkShapeOptions(op: string, { ignoreIndex, classDim }: ShapeOptions): void {
  for (const [name, value] of Object.entries({ ignoreIndex, classDim }))
    if (value !== undefined && !Number.isSafeInteger(value))
      throw new ValueError(op, `${name} is ${shown(value)}, but must be an integer`)
}

export function checkThreshold(op: string, { threshold, from }: ThresholdOptions): void {
  if (threshold !== undefined && !(typeof threshold === 'number' && threshold > 0 && threshold < 1))
    throw new ValueError(op, `threshold is ${shown(threshold)}, but must be a probability between 0 and 1`)
  checkOneOf(op, 'from', from, ['logits', 'probabilities'])
}

export function checkOneOf(op: string, name: string, value: unknown, allowed: readonly string[]): void {
  if (value !== undefined && !allowed.includes(value as string))
    throw new ValueError(
      op,
      `${name} is ${shown(value)}, but must be ${allowed.map((each) => `'${each}'`).join(' or ')}`,
    )
}

/** Throws unless it is a finite number of at least `least`, or left out. */
export function checkNumber(op: string, name: string, value: unknown, least = Number.NEGATIVE_INFINITY): void {
  if (value === undefined || (typeof value === 'number' && Number.isFinite(value) && value >= least)) return
  const bound = least === Number.NEGATIVE_INFINITY ? '' : ` of at least ${least}`
  throw new ValueError(op, `${name} is ${shown(value)}, but must be a number${bound}`)
}

/** Throws unless it is an integer from `least` to `most`, or left out. */
export function checkWhole(op: string, name: string, value: unknown, least: number, most?: number): void {
  const whole = Number.isSafeInteger(value) && (value as number) >= least
  if (value === undefined || (whole && !(most !== undefined && (value as number) > most))) return
  const bound = most === undefined ? `of at least ${least}` : `from ${least} to ${most}`
  throw new ValueError(op, `${name} is ${shown(value)}, but must be an integer ${bound}`)
}
