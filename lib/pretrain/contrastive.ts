/**
 * Contrastive pre-training: an encoder learns to give similar vectors to inputs that belong together, and different
 * ones to all others.
 */
import { checkTensor } from '../autograd/operator.js'
import { formatShape, kindOf, ShapeError, shown, ValueError } from '../core/errors.js'
import { ownOptions } from '../core/options.js'
import { sameShape } from '../core/shape.js'
import { Tensor } from '../core/tensor.js'
import { Module } from '../nn/module.js'
import { castTo } from '../ops/convert.js'
import { eq, gt } from '../ops/elementwise/index.js'
import { infoNce, ntXent, supervisedContrastive, tripletMarginLoss } from '../ops/loss/index.js'
import { sum } from '../ops/reduce/index.js'
import { cat, narrow, reshape, stack, unsqueeze } from '../ops/shape/index.js'
import type { Objective } from '../train/objective.js'

/** A model that gives a vector for each row: [N, ...] -> [N, D]. */
export interface VectorModel extends Module {
  forward(x: Tensor): Tensor
}

/** Two views of each row, and the rest of the batch: the batches of `twoViews`. */
export type ViewBatch =
  | readonly [first: Tensor, second: Tensor]
  | readonly [views: readonly [first: Tensor, second: Tensor], ...rest: unknown[]]

/** The batches of each loss. */
export interface ContrastiveBatches {
  /** Each view must find the other among all views of the batch (SimCLR; Chen et al., 2020). */
  readonly ntXent: ViewBatch
  /** Each anchor must find its positive among those of the batch and among hard negatives, [M, ...] or [N, K, ...]. */
  readonly infoNce: readonly [anchors: Tensor, positives: Tensor, negatives?: Tensor]
  /** Rows, or two views of each, and int32 labels [N]. Rows with equal labels belong together (Khosla et al., 2020). */
  readonly supervised:
    | readonly [rows: Tensor, labels: Tensor]
    | readonly [views: readonly [first: Tensor, second: Tensor], labels: Tensor]
  /** Each anchor must be nearer to its positive than to its negative, by the margin (Schroff et al., 2015). */
  readonly triplet: readonly [anchors: Tensor, positives: Tensor, negatives: Tensor]
}

export type ContrastiveLoss = keyof ContrastiveBatches

export interface ContrastiveOptions<L extends ContrastiveLoss = ContrastiveLoss> {
  readonly loss: L
  /**
   * The divisor of cosines: a number, or a tensor with one number, which may be learned. Default: 0.5 for 'ntXent',
   * else 0.07. Not for 'triplet'.
   */
  readonly temperature?: number | Tensor
  /** The margin of 'triplet', which no other loss has. Default 1. */
  readonly margin?: number
}

/** Throws unless they are tensors. */
function tensorsOf(op: string, names: readonly string[], values: readonly unknown[]): Tensor[] {
  return values.map((value, i) => {
    if (value instanceof Tensor) return value
    throw new ValueError(
      op,
      `${names[i]} of the batch is ${kindOf(value)}, but must be a tensor: batches are [${names.join(', ')}]`,
    )
  })
}

/** Vectors of the parts by one call of the model, so that batch norm sees the batch as one. */
function vectorsOf(op: string, model: VectorModel, parts: readonly Tensor[]): Tensor[] {
  const [first] = parts as readonly [Tensor, ...Tensor[]]
  const rest = first.sizes.slice(1)
  for (const part of parts)
    if (part.ndim < 1 || !sameShape(part.sizes.slice(1), rest))
      throw new ShapeError(
        op,
        `parts of the batch are ${parts.map(({ sizes }) => formatShape(sizes)).join(', ')}, but their rows must have the same shape`,
        parts.map(({ sizes }) => sizes),
      )
  const all = model.forward(cat(parts))
  checkTensor(op, "the model's output", all)
  const rows = parts.reduce((count, { sizes }) => count + (sizes[0] as number), 0)
  if (all.ndim !== 2 || all.sizes[0] !== rows)
    throw new ShapeError(
      op,
      `the model gives ${formatShape(all.sizes)} for ${rows} rows, but must give a vector for each: [${rows}, D]`,
      [all.sizes],
    )
  let from = 0
  return parts.map(({ sizes: [count = 0] }) => {
    from += count
    return narrow(all, 0, from - count, count)
  })
}

/** The two views of a batch, and what follows them. */
function viewsOf(op: string, batch: unknown): readonly [views: Tensor[], rest: readonly unknown[]] {
  const list: readonly unknown[] = Array.isArray(batch) ? batch : []
  const [views, rest] = Array.isArray(list[0]) ? [list[0], list.slice(1)] : [list.slice(0, 2), list.slice(2)]
  return [tensorsOf(op, ['the first view', 'the second view'], [views[0], views[1]]), rest]
}

const objectives: {
  readonly [L in ContrastiveLoss]: (
    op: string,
    options: Omit<ContrastiveOptions, 'loss'>,
  ) => Objective<VectorModel, ContrastiveBatches[L]>['loss']
} = {
  ntXent: (op, options) => (model, batch) => {
    const [a, b] = vectorsOf(op, model, viewsOf(op, batch)[0]) as [Tensor, Tensor]
    return { total: ntXent(a, b, { ...options, reduction: 'sum' }), count: 2 * (a.sizes[0] as number) }
  },

  infoNce: (op, options) => (model, batch) => {
    const list: readonly unknown[] = Array.isArray(batch) ? batch : []
    const given = list[2] === undefined ? [list[0], list[1]] : [list[0], list[1], list[2]]
    const [anchors, positives, negatives] = tensorsOf(op, ['anchors', 'positives', 'negatives'], given) as [
      Tensor,
      Tensor,
      Tensor?,
    ]
    // Several for each anchor serve as one list, because each anchor must be distinguished from all.
    const flat =
      negatives !== undefined && negatives.ndim === anchors.ndim + 1
        ? reshape(negatives, [-1, ...negatives.sizes.slice(2)])
        : negatives
    const [a, b, c] = vectorsOf(op, model, [anchors, positives, ...(flat === undefined ? [] : [flat])]) as [
      Tensor,
      Tensor,
      Tensor?,
    ]
    const others = c === undefined ? {} : { negatives: c }
    return { total: infoNce(a, b, { ...options, ...others, reduction: 'sum' }), count: a.sizes[0] as number }
  },

  supervised: (op, options) => (model, batch) => {
    const list: readonly unknown[] = Array.isArray(batch) ? batch : []
    const paired = Array.isArray(list[0])
    const parts = paired ? viewsOf(op, list)[0] : tensorsOf(op, ['rows'], [list[0]])
    const [labels] = tensorsOf(op, ['labels'], [list[1]]) as [Tensor]
    const vectors = vectorsOf(op, model, parts)
    const x = paired ? stack(vectors, 1) : (vectors[0] as Tensor)
    const total = supervisedContrastive(x, labels, { ...options, reduction: 'sum' })
    // A row that alone has its label has nothing to be near to, so its loss is 0.
    const count = paired
      ? 2 * (labels.sizes[0] as number)
      : sum(castTo(gt(sum(castTo(eq(unsqueeze(labels, 1), labels), 'float32'), 1), 1), 'float32'))
    return { total, count }
  },

  triplet: (op, options) => (model, batch) => {
    const list: readonly unknown[] = Array.isArray(batch) ? batch : []
    const parts = tensorsOf(op, ['anchors', 'positives', 'negatives'], [list[0], list[1], list[2]])
    const [a, b, c] = vectorsOf(op, model, parts) as [Tensor, Tensor, Tensor]
    return { total: tripletMarginLoss(a, b, c, { ...options, reduction: 'sum' }), count: a.sizes[0] as number }
  },
}

/**
 * The objective of contrastive losses, over batches as `ContrastiveBatches` lists them: `contrastive({ loss: 'ntXent'
 * })` over those of `twoViews` is SimCLR. All parts of a batch go through the model at once. Negatives are the other
 * rows of the batch, so accumulated micro-batches learn less than a large batch. `predict` gives the vectors of the
 * first part. Throws ValueError for an unknown loss, and for options that the loss does not use.
 */
export function contrastive<L extends ContrastiveLoss>(
  options: ContrastiveOptions<L>,
): Objective<VectorModel, ContrastiveBatches[L]> {
  const op = 'contrastive'
  const { loss, ...rest } = ownOptions(op, options, { loss: true, temperature: true, margin: true })
  if (typeof loss !== 'string' || !Object.hasOwn(objectives, loss))
    throw new ValueError(op, `loss is ${shown(loss)}, but must be one of ${Object.keys(objectives).join(', ')}`)
  const foreign = loss === 'triplet' ? 'temperature' : 'margin'
  if (rest[foreign] !== undefined)
    throw new ValueError(
      op,
      `${foreign} is ${shown(rest[foreign])}, but the loss ${loss} does not use it; leave it out`,
    )
  const { temperature, margin } = rest
  for (const [name, value] of Object.entries({ temperature, margin }))
    if (value !== undefined && !(value instanceof Tensor) && !(Number.isFinite(value) && value > 0))
      throw new ValueError(op, `${name} is ${shown(value)}, but must be a positive number`)
  return {
    loss: objectives[loss](op, rest),
    predict(model, batch) {
      const [first] = Array.isArray(batch[0]) ? batch[0] : batch
      const [vectors] = vectorsOf(op, model, tensorsOf(op, ['the first part'], [first])) as [Tensor]
      return vectors
    },
  }
}

/**
 * A model that `Projected` accepts: one with `embed`, like the bodies of AutoModel, or one whose forward gives vectors.
 */
export interface Encoder extends Module {
  forward(x: Tensor): Tensor
  embed?(x: Tensor): Tensor
}

/**
 * An encoder with a projector after its vectors. Contrastive losses work on the projector's output, so anything learned
 * only for them stays in the projector, and later tasks use the encoder (Chen et al., 2020).
 */
export class Projected<out E extends Encoder = Encoder> extends Module {
  readonly encoder: E
  readonly projector: VectorModel

  constructor(encoder: E, projector: VectorModel) {
    super()
    for (const [name, part] of Object.entries({ encoder, projector }))
      if (!(part instanceof Module))
        throw new ValueError('Projected', `the ${name} is ${kindOf(part)}, but must be a module`)
    this.encoder = encoder
    this.projector = projector
  }

  forward(x: Tensor): Tensor {
    const { encoder } = this
    return this.projector.forward(encoder.embed === undefined ? encoder.forward(x) : encoder.embed(x))
  }
}
