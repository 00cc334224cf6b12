/** Losses as layers: a loss with its options, called as `forward(input, target)`. */
import { noGrad } from '../autograd/mode.js'
import { checkTensor } from '../autograd/operator.js'
import { formatShape, namedAs, ShapeError } from '../core/errors.js'
import { type OptionNames, ownOptions } from '../core/options.js'
import { outsideFrames } from '../core/scope.js'
import { Tensor } from '../core/tensor.js'
import { zeros } from '../ops/creation.js'
import * as loss from '../ops/loss/index.js'
import { type CosineSimilarityOptions, cosineSimilarity } from '../ops/reduce/index.js'
import { checkDim } from './layer.js'
import { Buffer, Module, settings } from './module.js'

type Reduced = loss.ReductionOptions
const reduced: OptionNames<Reduced> = { reduction: true }

const one = () => zeros([1, 1], { device: 'meta' })
const label = () => zeros([1], { device: 'meta', dtype: 'int32' })

/**
 * A layer that holds the options of a loss. Its constructor checks them by a call of the loss with empty tensors.
 * Tensors among the options become buffers of the layer, which move with it and are saved with it.
 */
abstract class LossLayer<O extends object> extends Module {
  readonly #options: O

  constructor(name: string, options: O, names: OptionNames<O>, trial: (options: O) => Tensor) {
    super()
    this.#options = ownOptions(name, options, names)
    const plain = this.plain
    namedAs(name, () => noGrad(() => trial(plain)))
  }

  /** The options as they were given. */
  protected get options(): O {
    return this.#options
  }

  /** The options that are not tensors. */
  protected get plain(): O {
    const entries = Object.entries(this.#options).filter(([, value]) => !(value instanceof Tensor))
    return Object.fromEntries(entries) as O
  }

  override extraRepr(): string {
    return settings({ ...(this.plain as { readonly [name: string]: unknown }) })
  }
}

/** A buffer of the layer; null if the option was left out. */
function factorOf(layer: string, name: string, given: Tensor | null | undefined, ndim?: number): Buffer | null {
  if (given === null || given === undefined) return null
  checkTensor(layer, name, given)
  if (ndim !== undefined && given.ndim !== ndim)
    throw new ShapeError(layer, `${name} is ${formatShape(given.sizes)}, but must be [C], a factor for each class`, [
      given.sizes,
    ])
  return outsideFrames(() => new Buffer(given))
}

/** Cross entropy of logits with labels, or with probabilities of classes. */
export class CrossEntropyLoss extends LossLayer<loss.CrossEntropyOptions> {
  /** [C] */
  readonly weight: Buffer | null
  constructor(options: loss.CrossEntropyOptions = {}) {
    const names = { weight: true, ignoreIndex: true, labelSmoothing: true, reduction: true } as const
    super('CrossEntropyLoss', options, names, (o) => loss.crossEntropy(one(), label(), o))
    this.weight = factorOf('CrossEntropyLoss', 'weight', options.weight, 1)
  }
  forward(logits: Tensor, target: Tensor): Tensor {
    return loss.crossEntropy(logits, target, { ...this.options, weight: this.weight })
  }
}

/** Negative log likelihood of labels. */
export class NLLLoss extends LossLayer<loss.NllLossOptions> {
  /** [C] */
  readonly weight: Buffer | null
  constructor(options: loss.NllLossOptions = {}) {
    const names = { weight: true, ignoreIndex: true, reduction: true } as const
    super('NLLLoss', options, names, (o) => loss.nllLoss(one(), label(), o))
    this.weight = factorOf('NLLLoss', 'weight', options.weight, 1)
  }
  forward(logProbs: Tensor, target: Tensor): Tensor {
    return loss.nllLoss(logProbs, target, { ...this.options, weight: this.weight })
  }
}

/** The mean of (input - target)^2; both have one shape. */
export class MSELoss extends LossLayer<Reduced> {
  constructor(options: Reduced = {}) {
    super('MSELoss', options, reduced, (o) => loss.mseLoss(one(), one(), o))
  }
  forward(input: Tensor, target: Tensor): Tensor {
    return loss.mseLoss(input, target, this.options)
  }
}

/** The mean of |input - target|; both have one shape. */
export class L1Loss extends LossLayer<Reduced> {
  constructor(options: Reduced = {}) {
    super('L1Loss', options, reduced, (o) => loss.l1Loss(one(), one(), o))
  }
  forward(input: Tensor, target: Tensor): Tensor {
    return loss.l1Loss(input, target, this.options)
  }
}

/** The smooth L1 loss, quadratic for differences below `beta`; input and target have one shape (Girshick, 2015). */
export class SmoothL1Loss extends LossLayer<loss.SmoothL1LossOptions> {
  constructor(options: loss.SmoothL1LossOptions = {}) {
    super('SmoothL1Loss', options, { reduction: true, beta: true }, (o) => loss.smoothL1Loss(one(), one(), o))
  }
  forward(input: Tensor, target: Tensor): Tensor {
    return loss.smoothL1Loss(input, target, this.options)
  }
}

/** The Huber loss, quadratic for differences up to `delta`; input and target have one shape (Huber, 1964). */
export class HuberLoss extends LossLayer<loss.HuberLossOptions> {
  constructor(options: loss.HuberLossOptions = {}) {
    super('HuberLoss', options, { reduction: true, delta: true }, (o) => loss.huberLoss(one(), one(), o))
  }
  forward(input: Tensor, target: Tensor): Tensor {
    return loss.huberLoss(input, target, this.options)
  }
}

/** Binary cross entropy of probabilities. */
export class BCELoss extends LossLayer<loss.BinaryCrossEntropyOptions> {
  readonly weight: Buffer | null
  constructor(options: loss.BinaryCrossEntropyOptions = {}) {
    const names = { reduction: true, weight: true } as const
    super('BCELoss', options, names, (o) => loss.binaryCrossEntropy(one(), one(), o))
    this.weight = factorOf('BCELoss', 'weight', options.weight)
  }
  forward(input: Tensor, target: Tensor): Tensor {
    return loss.binaryCrossEntropy(input, target, { ...this.options, weight: this.weight })
  }
}

/** Binary cross entropy of logits. */
export class BCEWithLogitsLoss extends LossLayer<loss.BinaryCrossEntropyWithLogitsOptions> {
  readonly weight: Buffer | null
  readonly posWeight: Buffer | null
  constructor(options: loss.BinaryCrossEntropyWithLogitsOptions = {}) {
    const names = { reduction: true, weight: true, posWeight: true } as const
    super('BCEWithLogitsLoss', options, names, (o) => loss.binaryCrossEntropyWithLogits(one(), one(), o))
    this.weight = factorOf('BCEWithLogitsLoss', 'weight', options.weight)
    this.posWeight = factorOf('BCEWithLogitsLoss', 'posWeight', options.posWeight)
  }
  forward(input: Tensor, target: Tensor): Tensor {
    const { weight, posWeight } = this
    return loss.binaryCrossEntropyWithLogits(input, target, { ...this.options, weight, posWeight })
  }
}

/** The Kullback-Leibler divergence of the target from the input, which holds logarithms. Both broadcast. */
export class KLDivLoss extends LossLayer<loss.KlDivOptions> {
  constructor(options: loss.KlDivOptions = {}) {
    super('KLDivLoss', options, { logTarget: true, reduction: true }, (o) => loss.klDiv(one(), one(), o))
  }
  forward(input: Tensor, target: Tensor): Tensor {
    return loss.klDiv(input, target, this.options)
  }
}

/**
 * Negative log likelihood of the target under normal distributions around the input; see `functional.gaussianNllLoss`
 * for the shapes of the variance.
 */
export class GaussianNLLLoss extends LossLayer<loss.GaussianNllLossOptions> {
  constructor(options: loss.GaussianNllLossOptions = {}) {
    const names = { reduction: true, full: true, eps: true } as const
    super('GaussianNLLLoss', options, names, (o) => loss.gaussianNllLoss(one(), one(), one(), o))
  }
  forward(input: Tensor, target: Tensor, variance: Tensor | number): Tensor {
    return loss.gaussianNllLoss(input, target, variance, this.options)
  }
}

/**
 * Negative log likelihood of counts under Poisson distributions. The input holds logarithms of the means unless
 * `logInput` is false. Both broadcast.
 */
export class PoissonNLLLoss extends LossLayer<loss.PoissonNllLossOptions> {
  constructor(options: loss.PoissonNllLossOptions = {}) {
    const names = { reduction: true, logInput: true, full: true, eps: true } as const
    super('PoissonNLLLoss', options, names, (o) => loss.poissonNllLoss(one(), one(), o))
  }
  forward(input: Tensor, target: Tensor): Tensor {
    return loss.poissonNllLoss(input, target, this.options)
  }
}

/** log(1 + exp(-target input)) for targets 1 and -1. Both broadcast. */
export class SoftMarginLoss extends LossLayer<Reduced> {
  constructor(options: Reduced = {}) {
    super('SoftMarginLoss', options, reduced, (o) => loss.softMarginLoss(one(), one(), o))
  }
  forward(input: Tensor, target: Tensor): Tensor {
    return loss.softMarginLoss(input, target, this.options)
  }
}

/** The mean over classes of binary cross entropy of logits, for targets 0 and 1: [..., C] with [..., C]. */
export class MultiLabelSoftMarginLoss extends LossLayer<loss.MultilabelSoftMarginLossOptions> {
  /** [C] */
  readonly weight: Buffer | null
  constructor(options: loss.MultilabelSoftMarginLossOptions = {}) {
    const names = { reduction: true, weight: true } as const
    super('MultiLabelSoftMarginLoss', options, names, (o) => loss.multilabelSoftMarginLoss(one(), one(), o))
    this.weight = factorOf('MultiLabelSoftMarginLoss', 'weight', options.weight)
  }
  forward(input: Tensor, target: Tensor): Tensor {
    return loss.multilabelSoftMarginLoss(input, target, { ...this.options, weight: this.weight })
  }
}

/**
 * The margins between target classes and all others: input [N, C] or [C], and an int32 target of its shape, whose rows
 * list classes up to the first negative number.
 */
export class MultiLabelMarginLoss extends LossLayer<Reduced> {
  constructor(options: Reduced = {}) {
    super('MultiLabelMarginLoss', options, reduced, (o) =>
      loss.multilabelMarginLoss(one(), zeros([1, 1], { device: 'meta', dtype: 'int32' }), o),
    )
  }
  forward(input: Tensor, target: Tensor): Tensor {
    return loss.multilabelMarginLoss(input, target, this.options)
  }
}

/** The margins between the target class and all others: input [N, C] with int32 targets [N], or [C] with []. */
export class MultiMarginLoss extends LossLayer<loss.MultiMarginLossOptions> {
  /** [C] */
  readonly weight: Buffer | null
  constructor(options: loss.MultiMarginLossOptions = {}) {
    const names = { p: true, margin: true, weight: true, reduction: true } as const
    super('MultiMarginLoss', options, names, (o) => loss.multiMarginLoss(one(), label(), o))
    this.weight = factorOf('MultiMarginLoss', 'weight', options.weight, 1)
  }
  forward(input: Tensor, target: Tensor): Tensor {
    return loss.multiMarginLoss(input, target, { ...this.options, weight: this.weight })
  }
}

const margins: OptionNames<loss.MarginLossOptions> = { margin: true, reduction: true }

/** input if the target is 1, max(0, margin - input) if it is -1. Both broadcast. The default margin is 1. */
export class HingeEmbeddingLoss extends LossLayer<loss.MarginLossOptions> {
  constructor(options: loss.MarginLossOptions = {}) {
    super('HingeEmbeddingLoss', options, margins, (o) => loss.hingeEmbeddingLoss(one(), one(), o))
  }
  forward(input: Tensor, target: Tensor): Tensor {
    return loss.hingeEmbeddingLoss(input, target, this.options)
  }
}

/** max(0, margin - target (a - b)) for targets 1 if a must be larger, and -1 if b must be. The default margin is 0. */
export class MarginRankingLoss extends LossLayer<loss.MarginLossOptions> {
  constructor(options: loss.MarginLossOptions = {}) {
    super('MarginRankingLoss', options, margins, (o) => loss.marginRankingLoss(one(), one(), one(), o))
  }
  forward(a: Tensor, b: Tensor, target: Tensor): Tensor {
    return loss.marginRankingLoss(a, b, target, this.options)
  }
}

/**
 * 1 - cos(a, b) if the target is 1, max(0, cos(a, b) - margin) if it is -1: a and b [N, D] with target [N], or [D] with
 * []. The default margin is 0.
 */
export class CosineEmbeddingLoss extends LossLayer<loss.MarginLossOptions> {
  constructor(options: loss.MarginLossOptions = {}) {
    super('CosineEmbeddingLoss', options, margins, (o) => loss.cosineEmbeddingLoss(one(), one(), label(), o))
  }
  forward(a: Tensor, b: Tensor, target: Tensor): Tensor {
    return loss.cosineEmbeddingLoss(a, b, target, this.options)
  }
}

/**
 * max(0, d(anchor, positive) - d(anchor, negative) + margin), where d is the pairwise distance: three [..., D] give
 * [...], which `reduction` joins.
 */
export class TripletMarginLoss extends LossLayer<loss.TripletMarginLossOptions> {
  constructor(options: loss.TripletMarginLossOptions = {}) {
    const names = { margin: true, p: true, eps: true, swap: true, reduction: true } as const
    super('TripletMarginLoss', options, names, (o) => loss.tripletMarginLoss(one(), one(), one(), o))
  }
  forward(anchor: Tensor, positive: Tensor, negative: Tensor): Tensor {
    return loss.tripletMarginLoss(anchor, positive, negative, this.options)
  }
}

/** TripletMarginLoss with the program's own distance, which takes two batches and gives one number for each pair. */
export class TripletMarginWithDistanceLoss extends LossLayer<loss.TripletMarginWithDistanceLossOptions> {
  constructor(options: loss.TripletMarginWithDistanceLossOptions = {}) {
    const names = { distanceFunction: true, margin: true, swap: true, reduction: true } as const
    // The program's own distance is not called before there is data to measure.
    super('TripletMarginWithDistanceLoss', options, names, (o) =>
      loss.tripletMarginWithDistanceLoss(one(), one(), one(), {
        ...o,
        ...(typeof o.distanceFunction === 'function' && { distanceFunction: loss.pairwiseDistance }),
      }),
    )
  }
  override extraRepr(): string {
    const { distanceFunction, ...rest } = this.plain
    return settings({ ...rest, distanceFunction: distanceFunction?.name })
  }
  forward(anchor: Tensor, positive: Tensor, negative: Tensor): Tensor {
    return loss.tripletMarginWithDistanceLoss(anchor, positive, negative, this.options)
  }
}

/** The p-norm of the difference between paired vectors. */
export class PairwiseDistance extends LossLayer<loss.PairwiseDistanceOptions> {
  constructor(options: loss.PairwiseDistanceOptions = {}) {
    const names = { p: true, eps: true, keepdim: true } as const
    super('PairwiseDistance', options, names, (o) => loss.pairwiseDistance(one(), one(), o))
  }
  forward(a: Tensor, b: Tensor): Tensor {
    return loss.pairwiseDistance(a, b, this.options)
  }
}

/** The cosine of the angle between paired vectors. */
export class CosineSimilarity extends LossLayer<CosineSimilarityOptions> {
  constructor(options: CosineSimilarityOptions = {}) {
    const names = { dim: true, eps: true } as const
    // Only a call can tell whether the dimension exists.
    super('CosineSimilarity', options, names, ({ dim, ...o }) => {
      if (dim !== undefined) checkDim('CosineSimilarity', 'dim', dim)
      return cosineSimilarity(one(), one(), o)
    })
  }
  forward(a: Tensor, b: Tensor): Tensor {
    return cosineSimilarity(a, b, this.options)
  }
}

/** Connectionist temporal classification. */
export class CTCLoss extends LossLayer<loss.CtcLossOptions> {
  constructor(options: loss.CtcLossOptions = {}) {
    const names = { blank: true, zeroInfinity: true, reduction: true } as const
    super('CTCLoss', options, names, (o) => {
      const { blank = 0 } = o
      // The check uses as many classes as the blank needs. A call checks whether the blank is one of the real classes.
      const classes = Number.isSafeInteger(blank) && blank >= 0 ? blank + 1 : 1
      const targets = zeros([1, 1], { device: 'meta', dtype: 'int32' })
      return loss.ctcLoss(zeros([1, 1, classes], { device: 'meta' }), targets, [1], [1], o)
    })
  }
  forward(logProbs: Tensor, targets: Tensor, inputLengths: loss.CtcLengths, targetLengths: loss.CtcLengths): Tensor {
    return loss.ctcLoss(logProbs, targets, inputLengths, targetLengths, this.options)
  }
}

/** Focal loss of logits (Lin et al., 2017). Its default reduction is 'mean', unlike sigmoidFocalLoss's. */
export class FocalLoss extends LossLayer<loss.SigmoidFocalLossOptions> {
  constructor(options: loss.SigmoidFocalLossOptions = {}) {
    const names = { alpha: true, gamma: true, reduction: true } as const
    super('FocalLoss', options, names, (o) => loss.sigmoidFocalLoss(one(), one(), o))
  }
  forward(input: Tensor, target: Tensor): Tensor {
    return loss.sigmoidFocalLoss(input, target, { reduction: 'mean', ...this.options })
  }
}

/** Distillation: compares a student's logits with a teacher's (Hinton, Vinyals and Dean, 2015). */
export class DistillationLoss extends LossLayer<loss.DistillationLossOptions> {
  constructor(options: loss.DistillationLossOptions = {}) {
    const names = { temperature: true, dim: true, reduction: true } as const
    super('DistillationLoss', options, names, ({ dim, ...o }) => {
      if (dim !== undefined) checkDim('DistillationLoss', 'dim', dim)
      return loss.distillationLoss(one(), one(), o)
    })
  }
  forward(student: Tensor, teacher: Tensor): Tensor {
    return loss.distillationLoss(student, teacher, this.options)
  }
}

const contrastive: OptionNames<loss.ContrastiveLossOptions> = { temperature: true, reduction: true }
type Contrastive = (a: Tensor, b: Tensor, options?: loss.ContrastiveLossOptions) => Tensor

/** A contrastive loss whose temperature is a number or a learned parameter. */
abstract class ContrastiveLayer extends LossLayer<loss.ContrastiveLossOptions> {
  /** The temperature; undefined takes the loss's default. */
  readonly temperature: number | Tensor | undefined
  readonly #loss: Contrastive

  constructor(name: string, fn: Contrastive, second: () => Tensor, options: loss.ContrastiveLossOptions) {
    super(name, options, contrastive, (o) => fn(one(), second(), o))
    const { temperature } = this.options
    if (temperature instanceof Tensor && temperature.numel !== 1)
      throw new ShapeError(name, `temperature is ${formatShape(temperature.sizes)}, but must hold one number`, [
        temperature.sizes,
      ])
    this.temperature = temperature
    this.#loss = fn
  }

  forward(a: Tensor, b: Tensor): Tensor {
    const { temperature } = this
    return this.#loss(a, b, { ...this.options, ...(temperature !== undefined && { temperature }) })
  }
}

/** Normalised temperature-scaled cross entropy of two views, [N, D] each (SimCLR, Chen et al., 2020). */
export class NTXentLoss extends ContrastiveLayer {
  constructor(options: loss.ContrastiveLossOptions = {}) {
    super('NTXentLoss', loss.ntXent, one, options)
  }
}

/** InfoNCE: each row of the first, [N, D], must find its partner in the second. */
export class InfoNCELoss extends ContrastiveLayer {
  constructor(options: loss.ContrastiveLossOptions = {}) {
    super('InfoNCELoss', loss.infoNce, one, options)
  }
}

/** InfoNCE in both directions, as in CLIP. */
export class ClipLoss extends ContrastiveLayer {
  constructor(options: loss.ContrastiveLossOptions = {}) {
    super('ClipLoss', loss.clipLoss, one, options)
  }
}

/** Supervised contrastive loss of vectors [N, D] or [N, V, D], and labels [N]. */
export class SupConLoss extends ContrastiveLayer {
  constructor(options: loss.ContrastiveLossOptions = {}) {
    super('SupConLoss', loss.supervisedContrastive, label, options)
  }
}
