/** Settings of operators over logits, which are `factor` times as large as usual. */
import * as f from '../../../lib/index.js'
import { type Choices, type Given, keywords, type Setting } from './setting.js'

export interface LogitsSetting extends Setting {
  /** The expression of the truth, if PyTorch's own overflows in float64. */
  readonly truth?: string
}

type Logits = (draw: Choices, factor: number) => LogitsSetting
type Tensors = readonly [f.Tensor, f.Tensor, f.Tensor, f.Tensor]

/** A setting whose call takes its inputs as they are named in Python. */
const setting = (python: string, inputs: readonly Given[], call: (...x: Tensors) => f.Tensor): Setting => ({
  python,
  inputs,
  call: (x) => call(...(x as unknown as Tensors)),
})

/**
 * Rows of logits, of which some fill a block of the kernels and some do not. Beside the largest of a row is another
 * that is less by at most 1, because otherwise softmax of large logits is 1 and 0, and gradients are only rounding.
 */
function rows(draw: Choices, factor: number): { n: number; c: number; x: Given } {
  const [n, c] = [draw.integer(3, 40), draw.pick([2, 5, 33, 257, 1025])]
  const x = draw.floats([n, c], factor)
  const values = [...x.values]
  for (let row = 0; row < n; row++) {
    const most = Math.max(...values.slice(row * c, (row + 1) * c))
    const at = row * c + draw.integer(0, c - 1)
    if (values[at] !== most) values[at] = Math.fround(most - draw.random())
  }
  return { n, c, x: { ...x, values } }
}

const along =
  (python: string, call: (x: f.Tensor) => f.Tensor): Logits =>
  (draw, factor) =>
    setting(python, [rows(draw, factor).x], call)

const columns = (x: f.Tensor) => f.contiguous(f.transpose(x, 0, 1))

const softmaxes: { readonly [name: string]: Logits } = {
  softmax: along('F.softmax(x0, -1)', (x) => f.softmax(x, -1)),
  'softmax over rows': along('F.softmax(x0.t().contiguous(), 0)', (x) => f.softmax(columns(x), 0)),
  logSoftmax: along('F.log_softmax(x0, -1)', (x) => f.logSoftmax(x, -1)),
  'logSoftmax over rows': along('F.log_softmax(x0.t().contiguous(), 0)', (x) => f.logSoftmax(columns(x), 0)),
  softmin: along('F.softmin(-x0, -1)', (x) => f.softmin(f.neg(x), -1)),
  logsumexp: along('torch.logsumexp(x0, -1)', (x) => f.logsumexp(x, -1)),
  'logsumexp over all': along('torch.logsumexp(x0, (0, 1))', (x) => f.logsumexp(x)),
}

/** Queries or keys, whose last quarter of features is as large as usual. */
function features(draw: Choices, shape: readonly [number, number, number, number], large: number): Given {
  const x = draw.floats(shape, large)
  const d = shape[3]
  return { ...x, values: x.values.map((value, i) => (i % d < 0.75 * d ? value : Math.fround(value / large))) }
}

/**
 * Keys [b, h, t, d]. Every second has the large features of the one before it, because otherwise the largest score of a
 * query is alone, and gradients are only rounding.
 */
function pairedKeys(draw: Choices, shape: readonly [number, number, number, number], large: number): Given {
  const [, , t, d] = shape
  const keys = features(draw, shape, large)
  const isShared = (i: number) => (Math.floor(i / d) % t) % 2 === 1 && i % d < 0.75 * d
  return { ...keys, values: keys.values.map((value, i, all) => (isShared(i) ? (all[i - d] as number) : value)) }
}

/** Queries and keys share the factor of their scores. The last input is a mask, or a length for each row. */
function attention(
  python: string,
  options: (x: f.Tensor) => f.AttentionOptions,
  extra?: (draw: Choices, b: number, tq: number, tk: number) => Given,
  groups = 1,
): Logits {
  return (draw, factor) => {
    const [b, h, d] = [draw.integer(1, 2), draw.integer(1, 2), draw.pick([4, 16, 64])]
    // PyTorch and FlashAttention count a causal mask from different ends if these sizes differ.
    const tk = draw.integer(2, 150)
    const tq = python.includes('is_causal') ? tk : draw.integer(1, 150)
    const large = Math.sqrt(factor)
    const inputs = [
      features(draw, [b, h * groups, tq, d], large),
      pairedKeys(draw, [b, h, tk, d], large),
      draw.floats([b, h, tk, d]),
      ...(extra ? [extra(draw, b, tq, tk)] : []),
    ]
    return setting(`F.scaled_dot_product_attention(x0, x1, x2${python})`, inputs, (q, k, v, x) =>
      f.scaledDotProductAttention(q, k, v, options(x)),
    )
  }
}

const added = (draw: Choices, _: number, tq: number, tk: number) => draw.floats([tq, tk], 1, false)

const attentions: { readonly [name: string]: Logits } = {
  scaledDotProductAttention: attention('', () => ({})),
  'scaledDotProductAttention, causal': attention(', is_causal=True', () => ({ isCausal: true })),
  'scaledDotProductAttention, added mask': attention(', attn_mask=x3', (attnMask) => ({ attnMask }), added),
  'scaledDotProductAttention, grouped heads': attention(', enable_gqa=True', () => ({}), undefined, 3),
  'scaledDotProductAttention, lengths': attention(
    ', attn_mask=torch.arange(x1.shape[2]) < x3[:, None, None, None]',
    (lengths) => ({ lengths }),
    (draw, b, _, tk) => draw.integers([b], 1, tk),
  ),
}

const reductions = ['none', 'mean', 'sum'] as const

/** crossEntropy of labels. */
function labelled(
  options: { readonly labelSmoothing?: number; readonly ignoreIndex?: number },
  weighted: boolean,
): Logits {
  return (draw, factor) => {
    const { n, c, x } = rows(draw, factor)
    const reduction = draw.pick(reductions)
    const ignored = options.ignoreIndex
    // The first label counts, because the mean of none is NaN.
    let isFirst = true
    const label = () => {
      const isIgnored = ignored !== undefined && draw.chance(0.3) && !isFirst
      isFirst = false
      return isIgnored ? ignored : draw.integer(ignored === 0 ? 1 : 0, c - 1)
    }
    const labels = draw.given([n], 'int32', label, false)
    const weight = weighted ? [draw.between([c], 0.1, 2, false)] : []
    const told = keywords({ ...options, reduction })
    return setting(
      `F.cross_entropy(x0, x1.long()${weighted ? ', weight=x2' : ''}${told})`,
      [x, labels, ...weight],
      (x, labels, weight) => f.crossEntropy(x, labels, { ...options, reduction, weight: weighted ? weight : null }),
    )
  }
}

/** A loss of logits [n, c] and a target of whatever shape, which has no gradient. */
function of(
  python: string,
  target: (draw: Choices, n: number, c: number) => readonly Given[],
  call: (reduction: (typeof reductions)[number], ...x: Tensors) => f.Tensor,
  truth = python,
): Logits {
  return (draw, factor) => {
    const { n, c, x } = rows(draw, factor)
    const reduction = draw.pick(reductions)
    const told = (text: string) => text.replace('REDUCTION', `reduction='${reduction}'`)
    const inputs = [x, ...target(draw, n, c)]
    return { ...setting(told(python), inputs, (...x) => call(reduction, ...x)), truth: told(truth) }
  }
}

const bits = (draw: Choices, shape: f.Shape) => draw.given(shape, 'float', () => draw.integer(0, 1), false)
const signs = (draw: Choices, shape: f.Shape) => draw.given(shape, 'float', () => (draw.flag() ? 1 : -1), false)
const labels = (draw: Choices, n: number, c: number) => draw.integers([n], 0, c - 1)

/** Classes are paired as keys are. */
const head: Logits = (draw, factor) => {
  const [n, d, c] = [draw.integer(3, 40), draw.pick([8, 64]), draw.pick([5, 33, 1025])]
  const reduction = draw.pick(reductions)
  const inputs = [
    { ...features(draw, [1, 1, n, d], factor / Math.sqrt(d)), shape: [n, d] },
    { ...pairedKeys(draw, [1, 1, c, d], 1), shape: [c, d] },
    draw.floats([c]),
    labels(draw, n, c),
  ]
  return setting(
    `F.cross_entropy(F.linear(x0, x1, x2), x3.long(), reduction='${reduction}')`,
    inputs,
    (x, weight, linearBias, labels) => f.linearCrossEntropy(x, weight, labels, { linearBias, reduction }),
  )
}

const poisson: Logits = (draw, factor) => {
  const [n, c] = [draw.integer(3, 40), draw.pick([2, 5, 33])]
  const x = draw.floats([n, c], factor)
  const reduction = draw.pick(reductions)
  // An exponential of more would hide all other elements, and then overflow.
  const low = { ...x, values: x.values.map((value) => Math.min(value, 4)) }
  return setting(
    `F.poisson_nll_loss(x0, x1, log_input=True, full=True, reduction='${reduction}')`,
    [low, draw.given([n, c], 'float', () => draw.integer(0, 6), false)],
    (x, counts) => f.poissonNllLoss(x, counts, { logInput: true, full: true, reduction }),
  )
}

const losses: { readonly [name: string]: Logits } = {
  crossEntropy: labelled({}, false),
  'crossEntropy, weights': labelled({}, true),
  'crossEntropy, ignoreIndex': labelled({ ignoreIndex: 0 }, false),
  'crossEntropy, labelSmoothing': labelled({ labelSmoothing: 0.2 }, false),
  'crossEntropy, all options': labelled({ labelSmoothing: 0.1, ignoreIndex: -100 }, true),
  'crossEntropy, probabilities': of(
    'F.cross_entropy(x0, x1, REDUCTION)',
    (draw, n, c) => [draw.between([n, c], 0, 2 / c)],
    (reduction, x, target) => f.crossEntropy(x, target, { reduction }),
  ),
  'crossEntropy, probabilities, weights, labelSmoothing': of(
    'F.cross_entropy(x0, x1, weight=x2, label_smoothing=0.1, REDUCTION)',
    (draw, n, c) => [draw.between([n, c], 0, 2 / c), draw.between([c], 0.1, 2, false)],
    (reduction, x, target, weight) => f.crossEntropy(x, target, { reduction, weight, labelSmoothing: 0.1 }),
  ),
  'nllLoss of logSoftmax': of(
    'F.nll_loss(F.log_softmax(x0, 1), x1.long(), weight=x2, REDUCTION)',
    (draw, n, c) => [labels(draw, n, c), draw.between([c], 0.1, 2, false)],
    (reduction, x, target, weight) => f.nllLoss(f.logSoftmax(x, 1), target, { reduction, weight }),
  ),
  linearCrossEntropy: head,
  binaryCrossEntropyWithLogits: of(
    'F.binary_cross_entropy_with_logits(x0, x1, REDUCTION)',
    (draw, n, c) => [draw.between([n, c], 0, 1, false)],
    (reduction, x, target) => f.binaryCrossEntropyWithLogits(x, target, { reduction }),
  ),
  'binaryCrossEntropyWithLogits, posWeight': of(
    'F.binary_cross_entropy_with_logits(x0, x1, pos_weight=x2, REDUCTION)',
    (draw, n, c) => [bits(draw, [n, c]), draw.between([c], 0.1, 3, false)],
    (reduction, x, target, posWeight) => f.binaryCrossEntropyWithLogits(x, target, { reduction, posWeight }),
  ),
  multiMarginLoss: of(
    'F.multi_margin_loss(x0, x1.long(), REDUCTION)',
    (draw, n, c) => [labels(draw, n, c)],
    (reduction, x, target) => f.multiMarginLoss(x, target, { reduction }),
  ),
  'multiMarginLoss, squares': of(
    'F.multi_margin_loss(x0, x1.long(), p=2, weight=x2, REDUCTION)',
    (draw, n, c) => [labels(draw, n, c), draw.between([c], 0.1, 2, false)],
    (reduction, x, target, weight) => f.multiMarginLoss(x, target, { p: 2, reduction, weight }),
  ),
  multilabelMarginLoss: of(
    'F.multilabel_margin_loss(x0, x1.long(), REDUCTION)',
    (draw, n, c) => [draw.integers([n, c], -1, c - 1)],
    (reduction, x, target) => f.multilabelMarginLoss(x, target, { reduction }),
  ),
  multilabelSoftMarginLoss: of(
    'F.multilabel_soft_margin_loss(x0, x1, weight=x2, REDUCTION)',
    (draw, n, c) => [bits(draw, [n, c]), draw.between([c], 0.1, 2, false)],
    (reduction, x, target, weight) => f.multilabelSoftMarginLoss(x, target, { reduction, weight }),
  ),
  softMarginLoss: of(
    'F.soft_margin_loss(x0, x1, REDUCTION)',
    (draw, n, c) => [signs(draw, [n, c])],
    (reduction, x, target) => f.softMarginLoss(x, target, { reduction }),
    'F.binary_cross_entropy_with_logits(x0, (x1 + 1) / 2, REDUCTION)',
  ),
  'klDiv of logSoftmax': of(
    'F.kl_div(F.log_softmax(x0, 1), x1, REDUCTION)',
    (draw, n, c) => [draw.between([n, c], 0, 2 / c, false)],
    (reduction, x, target) => f.klDiv(f.logSoftmax(x, 1), target, { reduction }),
  ),
  'klDiv of logSoftmax, logTarget': of(
    'F.kl_div(F.log_softmax(x0, 1), F.log_softmax(x1, 1), log_target=True, REDUCTION)',
    (draw, n, c) => [draw.floats([n, c])],
    (reduction, x, target) => f.klDiv(f.logSoftmax(x, 1), f.logSoftmax(target, 1), { logTarget: true, reduction }),
  ),
  gaussianNllLoss: of(
    'F.gaussian_nll_loss(x0, x1, x2, full=True, REDUCTION)',
    (draw, n, c) => [draw.floats([n, c]), draw.between([n, c], 0.1, 2)],
    (reduction, x, target, variance) => f.gaussianNllLoss(x, target, variance, { full: true, reduction }),
  ),
  'poissonNllLoss of logarithms': poisson,
  hingeEmbeddingLoss: of(
    'F.hinge_embedding_loss(x0, x1, REDUCTION)',
    (draw, n, c) => [signs(draw, [n, c])],
    (reduction, x, target) => f.hingeEmbeddingLoss(x, target, { reduction }),
  ),
}

export const operators: { readonly [name: string]: Logits } = { ...softmaxes, ...attentions, ...losses }
