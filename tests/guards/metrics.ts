/** Sound calls of metrics: constructors and updates, each with every option. */
import * as f from '../../lib/index.js'
import type { PublicCall } from '../cases/sound.js'
import { collector } from './collect.js'

const t = (...shape: number[]) => f.rand(shape)
const { entries, add } = collector()

const { metrics: m } = f
type AnyMetric = f.metrics.ResumableMetric<never, never, unknown>
const seen = async (metric: AnyMetric, ...given: never[]) => {
  metric.update(...(given as [never, never]))
  metric.merge(metric.fresh())
  return metric.compute()
}
const labels = () => f.randint(0, 3, [4])
const rows = { ignoreIndex: -1, classDim: 1, from: 'logits' }
const classes = { ...rows, threshold: 0.4, classes: 3, multilabel: false }
const averaged = { ...classes, labels: [0, 2], zeroDivision: 1, average: 'macro', posLabel: 1 }
const area = { ...rows, limit: 100, multilabel: false, average: 'macro' }
const pairs = { ...rows, threshold: 0.4, classes: 3 }
const { multilabel: _, ...reported } = classes
const ofClasses = {
  accuracy: { ...rows, threshold: 0.4, multilabel: false, subset: false },
  precision: averaged,
  recall: averaged,
  f1: averaged,
  fBeta: { ...averaged, beta: 2 },
  jaccard: averaged,
  perClass: { ...reported, labels: [0, 2], zeroDivision: 1 },
  confusionMatrix: { ...pairs, rows: 'target', normalize: 'all' },
  balancedAccuracy: { ...pairs, adjusted: true },
  cohenKappa: { ...pairs, weights: 'linear' },
  matthews: pairs,
  logLoss: { ...rows, normalize: true },
  brier: { ...rows, scaleByHalf: true },
  calibrationError: { ...rows, bins: 5, norm: 'l2' },
  perplexity: rows,
  bitsPerByte: { ...rows, bytes: 10 },
  rocAuc: { ...area, multiclass: 'ovr', maxFpr: 1 },
  averagePrecision: area,
  prAuc: area,
} as const
for (const [name, options] of Object.entries(ofClasses)) {
  const maker = m[name as keyof typeof ofClasses] as unknown as (options: never) => AnyMetric
  add(
    name,
    (own, ...given) => seen(maker(own), ...given),
    () => [options, t(4, 3), labels(), t(4)],
  )
}
const { average: __, ...curve } = area
for (const [name, options] of Object.entries({
  rocCurve: { ...curve, dropIntermediate: true },
  precisionRecallCurve: curve,
})) {
  const maker = m[name as 'rocCurve'] as unknown as (options: never) => AnyMetric
  add(
    name,
    (own, ...given) => seen(maker(own), ...given),
    () => [options, t(4), f.randint(0, 2, [4]), t(4)],
  )
}
add(
  'topK',
  (k, own, ...given) => seen(m.topK(k, own) as AnyMetric, ...given),
  () => [2, { ignoreIndex: -1, classDim: 1 }, t(4, 3), labels(), t(4)],
)
const ofNumbers = {
  mae: { multioutput: 'mean' },
  mse: { multioutput: 'mean' },
  rmse: { multioutput: 'none' },
  mape: { multioutput: 'mean' },
  r2: { multioutput: 'variance' },
  explainedVariance: { multioutput: 'variance' },
  medianAbsoluteError: { multioutput: 'mean', limit: 100 },
  pearson: { multioutput: 'mean' },
} as const
for (const [name, options] of Object.entries(ofNumbers)) {
  const maker = m[name as keyof typeof ofNumbers] as unknown as (options: never) => AnyMetric
  add(
    name,
    (own, ...given) => seen(maker(own), ...given),
    () => [options, t(4, 2), t(4, 2), t(4)],
  )
}
add(
  'maxError',
  (own, ...given) => seen(m.maxError(own) as AnyMetric, ...given),
  () => [{}, t(4), t(4)],
)
add(
  'spearman',
  (own, ...given) => seen(m.spearman(own) as AnyMetric, ...given),
  () => [{ limit: 100 }, t(4), t(4)],
)
add(
  'entityF1',
  (own, ...given) => seen(m.entityF1(own) as AnyMetric, ...given),
  () => [
    { labels: ['O', 'B-X', 'I-X'], ignoreIndex: -1 },
    f.rand([2, 4, 3]),
    f.tensor(
      [
        [0, 1, 2, -1],
        [1, 1, 2, 0],
      ],
      { dtype: 'int32' },
    ),
  ],
)
const ofTexts = {
  bleu: { tokenize: '13a', lowercase: true, smooth: 'floor', smoothValue: 0.1, maxOrder: 3, effectiveOrder: true },
  chrf: { charOrder: 5, wordOrder: 2, beta: 1, lowercase: true, whitespace: true, epsSmoothing: true },
  ter: { normalized: true, noPunct: true, asianSupport: true, caseSensitive: true },
  rouge: { stem: true, type: 'rougeL' },
  wordErrorRate: {},
  characterErrorRate: {},
  answerExactMatch: {},
  answerF1: {},
} as const
for (const [name, options] of Object.entries(ofTexts)) {
  const maker = m[name as keyof typeof ofTexts] as unknown as (options: never) => AnyMetric
  add(
    name,
    (own, ...given) => seen(maker(own), ...given),
    () => [options, ['a cat sat'], ['a cat is']],
  )
}
add('measure', m.measure as never, () => [m.mae(), t(4), t(4), t(4)], 'mae')

export const metricCalls: readonly PublicCall[] = entries
