/** Contrastive losses: vectors that belong together must be nearer, by their cosine, than all others of the batch. */
import { formatShape, ShapeError } from '../../core/errors.js'
import { checkOptions, type OptionNames, ownOptions } from '../../core/options.js'
import { Tensor } from '../../core/tensor.js'
import { castTo } from '../convert.js'
import { arange } from '../creation.js'
import { add, div, eq, gt, mul, sub, where } from '../elementwise/index.js'
import { matmul } from '../matmul.js'
import { logsumexp, sum } from '../reduce/index.js'
import { cat, expand, reshape, transpose, unsqueeze } from '../shape/index.js'
import { checkLabels } from './classes.js'
import { crossEntropy } from './cross-entropy.js'
import { unit } from './length.js'
import {
  checkFinite,
  checkFloats,
  checkReduction,
  checkSame,
  inFloats,
  type ReductionOptions,
  reduceLoss,
  type ToOne,
} from './reduction.js'

export interface ContrastiveLossOptions extends ReductionOptions {
  /** The divisor of cosines: a number, or a tensor of one element, which may be learned. */
  readonly temperature?: number | Tensor
}

const contrastiveNames: OptionNames<ContrastiveLossOptions> = { temperature: true, reduction: true }

export interface InfoNceOptions extends ContrastiveLossOptions {
  /** Hard negatives, [M, D]: vectors that are no row's partner. Every row must be told apart from each of them. */
  readonly negatives?: Tensor
}

interface Sharpness {
  readonly temperature: Tensor | null
  readonly divisor: number
}

function sharpnessOf(op: string, temperature: number | Tensor): Sharpness {
  if (!(temperature instanceof Tensor))
    return { temperature: null, divisor: checkFinite(op, 'temperature', temperature, 0, false) }
  if (temperature.numel !== 1)
    throw new ShapeError(op, `temperature is ${formatShape(temperature.sizes)}, but must hold one number`, [
      temperature.sizes,
    ])
  return { temperature: reshape(temperature, []), divisor: 1 }
}

const sharpened = (cosines: Tensor, temperature: Tensor | null, divisor: number): Tensor =>
  div(temperature ? div(cosines, temperature) : cosines, divisor)

const indices = (start: number, end: number, { device }: Tensor): Tensor =>
  arange(start, end, 1, { dtype: 'int32', device })

/** Whether row and column are the same: [n, n]. */
function onDiagonal(n: number, like: Tensor): Tensor {
  const index = indices(0, n, like)
  return eq(unsqueeze(index, 1), index)
}

type Cosines = (a: Tensor, b: Tensor) => Tensor

/** A loss of two batches of vectors, [N, D] each, whose rows belong together, and optionally of negatives. */
function ofPairs(
  op: string,
  a: Tensor,
  b: Tensor,
  options: ContrastiveLossOptions,
  usual: number,
  losses: (a: Tensor, b: Tensor, cosines: Cosines, negatives: Tensor | null) => Tensor,
  negatives: Tensor | null = null,
): Tensor {
  const { temperature = usual, reduction = 'mean' } = checkOptions(op, options, contrastiveNames)
  checkReduction(op, reduction)
  checkFloats(op, { a, b })
  checkSame(op, ['a', a], ['b', b])
  if (a.ndim !== 2) throw new ShapeError(op, `a and b must be [N, D], but are ${formatShape(a.sizes)}`, [a.sizes])
  if (negatives !== null) {
    checkFloats(op, { negatives })
    if (negatives.ndim !== 2 || negatives.sizes[1] !== a.sizes[1])
      throw new ShapeError(
        op,
        `negatives are ${formatShape(negatives.sizes)}, but must be [M, ${a.sizes[1]}], because a is ${formatShape(a.sizes)}`,
        [negatives.sizes, a.sizes],
      )
  }
  const { divisor, ...given } = sharpnessOf(op, temperature)
  return inFloats(op, { a, b, negatives, ...given }, [], (x) => {
    const cosines: Cosines = (p, q) => sharpened(matmul(p, transpose(q, 0, 1)), x.temperature, divisor)
    return reduceLoss(losses(unit(x.a), unit(x.b), cosines, x.negatives && unit(x.negatives)), reduction)
  })
}

const choose = (logits: Tensor, target: Tensor): Tensor => crossEntropy(logits, target, { reduction: 'none' })

/**
 * Normalised temperature-scaled cross entropy of SimCLR (Chen et al., 2020): each of the 2N vectors of a and b [N, D]
 * must find its partner among the other 2N - 1. Reduction 'none' gives a loss for each, those of a first. The default
 * temperature is 0.5.
 */
export function ntXent(a: Tensor, b: Tensor, options?: ContrastiveLossOptions & ToOne): Tensor<[]>
export function ntXent(a: Tensor, b: Tensor, options?: ContrastiveLossOptions): Tensor
export function ntXent(a: Tensor, b: Tensor, options: ContrastiveLossOptions = {}): Tensor {
  return ofPairs('ntXent', a, b, options, 0.5, (p, q, cosines) => {
    const n = p.sizes[0] as number
    const all = cat([p, q])
    const logits = where(onDiagonal(2 * n, p), Number.NEGATIVE_INFINITY, cosines(all, all))
    return choose(logits, cat([indices(n, 2 * n, p), indices(0, n, p)]))
  })
}

/**
 * InfoNCE (van den Oord, Li and Vinyals, 2018): each row of a [N, D] must find its partner among the rows of b and the
 * negatives. The default temperature is 0.07.
 */
export function infoNce(a: Tensor, b: Tensor, options?: InfoNceOptions & ToOne): Tensor<[]>
export function infoNce(a: Tensor, b: Tensor, options?: InfoNceOptions): Tensor
export function infoNce(a: Tensor, b: Tensor, options: InfoNceOptions = {}): Tensor {
  const op = 'infoNce'
  const { negatives = null, ...rest } = ownOptions(op, options, { ...contrastiveNames, negatives: true })
  const losses = (p: Tensor, q: Tensor, cosines: Cosines, others: Tensor | null): Tensor =>
    choose(cosines(p, others === null ? q : cat([q, others])), indices(0, p.sizes[0] as number, p))
  return ofPairs(op, a, b, rest, 0.07, losses, negatives)
}

/**
 * The mean of infoNce in both directions (CLIP; Radford et al., 2021) for a and b [N, D]. The default temperature is
 * 0.07.
 */
export function clipLoss(a: Tensor, b: Tensor, options?: ContrastiveLossOptions & ToOne): Tensor<[]>
export function clipLoss(a: Tensor, b: Tensor, options?: ContrastiveLossOptions): Tensor
export function clipLoss(a: Tensor, b: Tensor, options: ContrastiveLossOptions = {}): Tensor {
  return ofPairs('clipLoss', a, b, options, 0.07, (p, q, cosines) => {
    const logits = cosines(p, q)
    const target = indices(0, p.sizes[0] as number, p)
    return mul(add(choose(logits, target), choose(transpose(logits, 0, 1), target)), 0.5)
  })
}

/**
 * Supervised contrastive loss, L_out of Khosla et al. (2020): vectors [N, D], or several views of each [N, V, D], must
 * be nearer to those with the same int32 label [N] than to others. The mean is over vectors that share their label with
 * another; with reduction 'none' the losses of the others are 0. The default temperature is 0.07. Throws ShapeError for
 * vectors or labels of another shape.
 */
export function supervisedContrastive(x: Tensor, labels: Tensor, options?: ContrastiveLossOptions & ToOne): Tensor<[]>
export function supervisedContrastive(x: Tensor, labels: Tensor, options?: ContrastiveLossOptions): Tensor
export function supervisedContrastive(x: Tensor, labels: Tensor, options: ContrastiveLossOptions = {}): Tensor {
  const op = 'supervisedContrastive'
  const { temperature = 0.07, reduction = 'mean' } = checkOptions(op, options, contrastiveNames)
  checkReduction(op, reduction)
  checkFloats(op, { x })
  checkLabels(op, 'labels', labels)
  if (x.ndim !== 2 && x.ndim !== 3)
    throw new ShapeError(op, `x must be [N, D] or [N, V, D], but is ${formatShape(x.sizes)}`, [x.sizes])
  const [n = 0] = x.sizes
  const views = x.ndim === 3 ? (x.sizes[1] as number) : 1
  if (labels.ndim !== 1 || labels.sizes[0] !== n)
    throw new ShapeError(op, `labels are ${formatShape(labels.sizes)}, but must be [${n}], one for each row of x`, [
      labels.sizes,
      x.sizes,
    ])
  const { divisor, ...given } = sharpnessOf(op, temperature)
  return inFloats(op, { x, ...given }, [], (floats) => {
    const count = n * views
    const rows = unit(reshape(floats.x, [count, x.sizes.at(-1) as number]))
    const cosines = sharpened(matmul(rows, transpose(rows, 0, 1)), floats.temperature, divisor)
    const label = reshape(expand(unsqueeze(labels, 1), [n, views]), [count])
    const itself = onDiagonal(count, x)
    const others = where(itself, Number.NEGATIVE_INFINITY, cosines)
    const costs = sub(logsumexp(others, 1, { keepdim: true }), cosines)
    const same = castTo(eq(unsqueeze(label, 1), label), rows.dtype)
    const alike = gt(where(itself, 0, same), 0)
    const partners = sum(castTo(alike, rows.dtype), 1)
    const has = gt(partners, 0)
    const losses = div(sum(where(alike, costs, 0), 1), where(has, partners, 1))
    if (reduction !== 'mean') return reduceLoss(losses, reduction)
    return div(sum(losses), sum(castTo(has, rows.dtype)))
  })
}
