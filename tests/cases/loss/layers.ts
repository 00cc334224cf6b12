/** Sound calls of the layers that are losses. */
import * as f from '../../../lib/index.js'
import { ints, layer, type PublicCall, t } from '../sound.js'

const { nn } = f

const pair = () => [t(3, 2), t(3, 2)]
const labelled = () => [t(3, 2), ints([3])]
const triplet = () => [t(3, 2), t(3, 2), t(3, 2)]
const temperature = () => [{ temperature: 0.5, reduction: 'sum' as const }] as [f.ContrastiveLossOptions]
const margin = () => [{ margin: 0.5, reduction: 'sum' as const }] as [f.MarginLossOptions]
/** The only argument of a constructor. */
const given =
  <const O extends object>(options: () => O) =>
  (): [O] => [options()]
const reduction = () => [{ reduction: 'sum' as const }] as [f.ReductionOptions]

export const layers: readonly PublicCall[] = [
  ...layer(
    'CrossEntropyLoss',
    nn.CrossEntropyLoss,
    given(() => ({ weight: t(2), ignoreIndex: -100, labelSmoothing: 0.1, reduction: 'sum' })),
    labelled,
    'crossEntropy',
    'cross_entropy_forward',
  ),
  ...layer(
    'NLLLoss',
    nn.NLLLoss,
    given(() => ({ weight: t(2), ignoreIndex: -100, reduction: 'sum' })),
    labelled,
    'nllLoss',
    'gather',
    'index_select',
  ),
  ...layer('MSELoss', nn.MSELoss, reduction, pair, 'mseLoss'),
  ...layer('L1Loss', nn.L1Loss, reduction, pair, 'l1Loss'),
  ...layer(
    'SmoothL1Loss',
    nn.SmoothL1Loss,
    given(() => ({ beta: 0.5, reduction: 'sum' })),
    pair,
    'smoothL1Loss',
  ),
  ...layer(
    'HuberLoss',
    nn.HuberLoss,
    given(() => ({ delta: 0.5, reduction: 'sum' })),
    pair,
    'huberLoss',
  ),
  ...layer(
    'BCELoss',
    nn.BCELoss,
    given(() => ({ weight: t(2), reduction: 'sum' })),
    pair,
    'binaryCrossEntropy',
  ),
  ...layer(
    'BCEWithLogitsLoss',
    nn.BCEWithLogitsLoss,
    given(() => ({ weight: t(2), posWeight: t(2), reduction: 'sum' })),
    pair,
    'binaryCrossEntropyWithLogits',
  ),
  ...layer(
    'KLDivLoss',
    nn.KLDivLoss,
    given(() => ({ logTarget: true, reduction: 'batchmean' })),
    pair,
    'klDiv',
  ),
  ...layer(
    'GaussianNLLLoss',
    nn.GaussianNLLLoss,
    given(() => ({ full: true, eps: 1e-6, reduction: 'sum' })),
    triplet,
    'gaussianNllLoss',
  ),
  ...layer(
    'PoissonNLLLoss',
    nn.PoissonNLLLoss,
    given(() => ({ logInput: false, full: true, eps: 1e-8, reduction: 'sum' })),
    pair,
    'poissonNllLoss',
  ),
  ...layer('SoftMarginLoss', nn.SoftMarginLoss, reduction, pair, 'softMarginLoss'),
  ...layer(
    'MultiLabelSoftMarginLoss',
    nn.MultiLabelSoftMarginLoss,
    given(() => ({ weight: t(2), reduction: 'sum' })),
    pair,
    'multilabelSoftMarginLoss',
  ),
  ...layer(
    'MultiLabelMarginLoss',
    nn.MultiLabelMarginLoss,
    reduction,
    () => [t(3, 2), ints([3, 2])],
    'multilabelMarginLoss',
    'gather',
  ),
  ...layer(
    'MultiMarginLoss',
    nn.MultiMarginLoss,
    given(() => ({ p: 2, margin: 0.5, weight: t(2), reduction: 'sum' })),
    labelled,
    'multiMarginLoss',
    'gather',
    'index_select',
  ),
  ...layer('HingeEmbeddingLoss', nn.HingeEmbeddingLoss, margin, pair, 'hingeEmbeddingLoss'),
  ...layer('MarginRankingLoss', nn.MarginRankingLoss, margin, () => [t(3), t(3), ints([3])], 'marginRankingLoss'),
  ...layer(
    'CosineEmbeddingLoss',
    nn.CosineEmbeddingLoss,
    margin,
    () => [t(3, 2), t(3, 2), ints([3])],
    'cosineEmbeddingLoss',
  ),
  ...layer(
    'TripletMarginLoss',
    nn.TripletMarginLoss,
    given(() => ({ margin: 1, p: 2, eps: 1e-6, swap: true, reduction: 'sum' })),
    triplet,
    'tripletMarginLoss',
  ),
  ...layer(
    'TripletMarginWithDistanceLoss',
    nn.TripletMarginWithDistanceLoss,
    given(() => ({ distanceFunction: f.pairwiseDistance, margin: 1, swap: true, reduction: 'sum' })),
    triplet,
    'tripletMarginWithDistanceLoss',
  ),
  ...layer(
    'PairwiseDistance',
    nn.PairwiseDistance,
    given(() => ({ p: 2, eps: 1e-6, keepdim: true })),
    pair,
    'pairwiseDistance',
  ),
  ...layer(
    'CosineSimilarity',
    nn.CosineSimilarity,
    given(() => ({ dim: 1, eps: 1e-6 })),
    pair,
    'cosineSimilarity',
  ),
  ...layer(
    'CTCLoss',
    nn.CTCLoss,
    given(() => ({ blank: 0, zeroInfinity: true, reduction: 'sum' })),
    () => [t(4, 2, 3), ints([2, 2]), [4, 3], [2, 1]],
    'ctcLoss',
    'gather',
    'tensor',
  ),
  ...layer(
    'FocalLoss',
    nn.FocalLoss,
    given(() => ({ alpha: 0.25, gamma: 2, reduction: 'sum' })),
    pair,
    'sigmoidFocalLoss',
  ),
  ...layer(
    'DistillationLoss',
    nn.DistillationLoss,
    given(() => ({ temperature: 2, dim: -1, reduction: 'batchmean' })),
    pair,
    'distillationLoss',
  ),
  ...layer('NTXentLoss', nn.NTXentLoss, temperature, pair, 'ntXent'),
  ...layer('InfoNCELoss', nn.InfoNCELoss, temperature, pair, 'infoNce'),
  ...layer('ClipLoss', nn.ClipLoss, temperature, pair, 'clipLoss'),
  ...layer('SupConLoss', nn.SupConLoss, temperature, labelled, 'supervisedContrastive'),
]
