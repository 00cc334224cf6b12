/** Learning vectors of texts whose cosines tell how similar the texts are. After Reimers and Gurevych (2019). */
import { kindOf, shown, ValueError } from '../core/errors.js'
import { type OptionNames, ownOptions } from '../core/options.js'
import type { Tensor } from '../core/tensor.js'
import { checkPooling, type Pooling, pooled } from '../models/inference/embed.js'
import { castTo } from '../ops/convert.js'
import { arange, full } from '../ops/creation.js'
import { lt, mul } from '../ops/elementwise/index.js'
import { crossEntropy, mseLoss, tripletMarginLoss } from '../ops/loss/index.js'
import { matmul } from '../ops/matmul.js'
import { argmax, sum } from '../ops/reduce/index.js'
import { cat, transpose } from '../ops/shape/index.js'
import { accuracy } from '../train/metrics/accuracy.js'
import { spearman } from '../train/metrics/regression.js'
import type { Loss, Objective } from '../train/objective.js'
import { checkText, forwardInputs, type ScoringModel } from './model.js'
import type { PairBatch } from './rows/pairs.js'
import type { TextInputs } from './rows/rows.js'

interface Shared {
  /** The way in which the tokens' states become one vector. Default 'mean'. Give the same to `embed`. */
  readonly pooling?: Pooling
}

export interface NegativesLossOptions extends Shared {
  /**
   * The default, 'multipleNegatives': each anchor must find its positive among those of the batch, and among the
   * negatives if there are any (InfoNCE; Henderson et al., 2017). Larger batches are harder, and accumulated gradients
   * see no negatives of other batches.
   */
  readonly loss?: 'multipleNegatives'
  /** The factor of cosines before softmax. Default 20. */
  readonly scale?: number
}

export interface TripletLossOptions extends Shared {
  /** Positives must be nearer than negatives, by the distance of vectors of length 1. */
  readonly loss: 'triplet'
  /** The margin by which they must be nearer. Default 1. */
  readonly margin?: number
}

export interface CosineLossOptions extends Shared {
  /** The squared difference between cosines and the rows' scores. */
  readonly loss: 'cosine'
}

type AnyOptions = Shared & { readonly loss?: string; readonly scale?: number; readonly margin?: number }

const sentenceNames: OptionNames<AnyOptions> = { pooling: true, loss: true, scale: true, margin: true }

/** Options of one loss that the others do not use. */
const owners = { scale: 'multipleNegatives', margin: 'triplet' } as const

/** The vectors of a batch's texts, of length 1. */
type Vectors = (texts: TextInputs) => Tensor

/** Labels that do not count. */
const ignored = -100

const ofNegatives =
  (scale: number) =>
  (batch: PairBatch, vectors: Vectors): Loss => {
    const anchors = vectors(batch.anchor)
    const positives = vectors(batch.positive)
    const candidates = batch.negative === undefined ? positives : cat([positives, vectors(batch.negative)], 0)
    const scores = mul(matmul(anchors, transpose(candidates, 0, 1)), scale)
    const [rows, columns] = scores.sizes as readonly [number, number]
    const right = arange(0, rows, 1, { dtype: 'int32', device: scores.device })
    const total = crossEntropy(scores, right, { reduction: 'sum' })
    // A single row has nothing from which to distinguish it.
    const target = columns === 1 ? full([rows], ignored, { dtype: 'int32', device: scores.device }) : right
    return { total, count: columns === 1 ? 0 : rows, output: argmax(scores, 1), target }
  }

const ofTriplets =
  (op: string, margin: number) =>
  (batch: PairBatch, vectors: Vectors): Loss => {
    if (batch.negative === undefined)
      throw new ValueError(
        op,
        "the batch has no negatives, which loss 'triplet' needs; name them in pairRows, or take 'multipleNegatives'",
      )
    const [anchor, positive, negative] = [vectors(batch.anchor), vectors(batch.positive), vectors(batch.negative)]
    const total = tripletMarginLoss(anchor, positive, negative, { margin, reduction: 'sum' })
    const cosine = (other: Tensor): Tensor => sum(mul(anchor, other), 1)
    const output = castTo(lt(cosine(negative), cosine(positive)), 'int32')
    const count = anchor.sizes[0] as number
    return { total, count, output, target: full([count], 1, { dtype: 'int32', device: output.device }) }
  }

const ofCosines =
  (op: string) =>
  (batch: PairBatch, vectors: Vectors): Loss => {
    const { scores: target } = batch
    if (target === undefined)
      throw new ValueError(op, "the batch has no scores, which loss 'cosine' needs; name them in pairRows")
    const output = sum(mul(vectors(batch.anchor), vectors(batch.positive)), 1)
    return { total: mseLoss(output, target, { reduction: 'sum' }), count: target.numel, output, target }
  }

/**
 * The objective of encoders whose vectors are compared, over batches of `pairRows`, summed over rows. The metric is the
 * share of anchors whose positive is the nearest (or nearer than the negative). With loss 'cosine' it is Spearman's
 * correlation of cosines and scores. Works with every model of `AutoModel.forEmbedding`. `predict` gives the vectors of
 * the anchors [B, width].
 */
export function sentenceEmbeddings(
  options?: NegativesLossOptions | TripletLossOptions,
): Objective<ScoringModel, PairBatch, 'accuracy'>
export function sentenceEmbeddings(options: CosineLossOptions): Objective<ScoringModel, PairBatch, 'spearman'>
export function sentenceEmbeddings(
  options: AnyOptions = {},
): Objective<ScoringModel, PairBatch, 'accuracy' | 'spearman'> {
  const op = 'sentenceEmbeddings'
  const {
    loss = 'multipleNegatives',
    pooling = 'mean',
    scale = 20,
    margin = 1,
  } = ownOptions(op, options, sentenceNames)
  checkPooling(op, { pooling })
  for (const [name, owner] of Object.entries(owners))
    if (options[name as keyof typeof owners] !== undefined && loss !== owner)
      throw new ValueError(op, `${name} is of loss '${owner}', but loss is ${kindOf(loss)}; leave it out`)
  for (const [name, value] of Object.entries({ scale, margin }))
    if (!(typeof value === 'number' && Number.isFinite(value) && value > 0))
      throw new ValueError(op, `${name} is ${shown(value)}, but must be a number above 0`)
  const lossOf =
    loss === 'multipleNegatives'
      ? ofNegatives(scale)
      : loss === 'triplet'
        ? ofTriplets(op, margin)
        : loss === 'cosine'
          ? ofCosines(op)
          : null
  if (lossOf === null)
    throw new ValueError(op, `loss is ${shown(loss)}, but must be 'multipleNegatives', 'triplet' or 'cosine'`)
  const vectorsOf =
    (model: ScoringModel): Vectors =>
    (texts) => {
      checkText(op, texts)
      return pooled(model.forward(texts.ids, forwardInputs(model, texts)), texts.attentionMask, { pooling })
    }
  const metrics = loss === 'cosine' ? { spearman: () => spearman() } : { accuracy: () => accuracy() }
  return {
    loss: (model, batch) => lossOf(batch, vectorsOf(model)),
    predict: (model, batch) => vectorsOf(model)(batch.anchor),
    metrics: metrics as { readonly [name in 'accuracy' | 'spearman']: () => ReturnType<typeof accuracy> },
  }
}
