/** The metric and its updates for each kind of case, and the ways of a pass. */
import { metrics, type Tensor, tensor } from '../../lib/index.js'

type Nested = readonly number[] | readonly (readonly number[])[]

export interface MetricCase {
  readonly name: string
  readonly kind: string
  readonly args: { readonly [name: string]: unknown }
  readonly input: { readonly [role: string]: unknown }
  readonly expected: unknown
}

type AnyMetric = metrics.ResumableMetric<never, never, unknown>

/** A metric, and its rows: `take` returns the outputs, targets and weights of rows from `start` to `end`. */
export interface Run {
  readonly make: () => AnyMetric
  readonly rows: number
  readonly take: (start: number, end: number) => readonly [never, never, (Tensor | undefined)?]
}

const int32 = (values: Nested) => tensor(values as number[], { dtype: 'int32' }) as Tensor

type Maker = (options: never) => AnyMetric

/** The options that a case names; notes are for people. */
function optionsOf({ args }: MetricCase, more: object = {}): never {
  const { note: _, ...options } = args
  return { ...options, ...more } as never
}

/** Outputs under one of their names, and targets. */
function ofTensors(make: (each: MetricCase) => AnyMetric): (each: MetricCase) => Run {
  return (each) => {
    const { target, sampleWeight, ...others } = each.input as { readonly [role: string]: Nested }
    const [outputs = []] = Object.values(others)
    const floats = 'output' in others
    return {
      make: () => make(each),
      rows: outputs.length,
      take: (start, end) => {
        const targets = target?.slice(start, end) ?? outputs.slice(start, end).map(() => 0)
        const weights = sampleWeight?.slice(start, end)
        return [
          tensor(outputs.slice(start, end) as number[]) as never,
          (floats ? tensor(targets as number[]) : int32(targets as Nested)) as never,
          weights && (tensor(weights as number[]) as Tensor),
        ]
      },
    }
  }
}

/** A kind whose constructor takes the options as the case names them. */
const plain = (make: Maker, more: object = {}) => ofTensors((each) => make(optionsOf(each, more)))

const numeric: { readonly [kind: string]: (each: MetricCase) => Run } = {
  ...Object.fromEntries(
    Object.entries({
      accuracy: metrics.accuracy,
      precision: metrics.precision,
      recall: metrics.recall,
      f1: metrics.f1,
      fBeta: metrics.fBeta,
      jaccard: metrics.jaccard,
      perClass: metrics.perClass,
      confusionMatrix: metrics.confusionMatrix,
      balancedAccuracy: metrics.balancedAccuracy,
      cohenKappa: metrics.cohenKappa,
      matthews: metrics.matthews,
      logLoss: metrics.logLoss,
      calibrationError: metrics.calibrationError,
      rocAuc: metrics.rocAuc,
      averagePrecision: metrics.averagePrecision,
      prAuc: metrics.prAuc,
      rocCurve: metrics.rocCurve,
      precisionRecallCurve: metrics.precisionRecallCurve,
      mae: metrics.mae,
      mse: metrics.mse,
      rmse: metrics.rmse,
      mape: metrics.mape,
      r2: metrics.r2,
      explainedVariance: metrics.explainedVariance,
      maxError: metrics.maxError,
      medianAbsoluteError: metrics.medianAbsoluteError,
      pearson: metrics.pearson,
      spearman: metrics.spearman,
    }).map(([kind, make]) => [kind, plain(make as Maker)]),
  ),
  topK: ofTensors((each) => {
    const { k, ...options } = each.args
    return metrics.topK(k as number, options as never) as AnyMetric
  }),
  brier: (each) => plain(metrics.brier as Maker, 'probabilities' in each.input ? { from: 'probabilities' } : {})(each),
  perplexity: plain(metrics.perplexity as Maker, { from: 'nll' }),
  bitsPerByte: plain(metrics.bitsPerByte as Maker, { from: 'nll' }),
}

/** Hypotheses and references, or one of each. */
function ofTexts(make: Maker): (each: MetricCase) => Run {
  return (each) => {
    const { hypothesis, reference, hypotheses = [hypothesis], references = [reference] } = each.input
    const [said, wanted] = [hypotheses, references] as readonly (readonly unknown[])[] as [unknown[], unknown[]]
    return {
      make: () => make(optionsOf(each)),
      rows: said.length,
      take: (start, end) => [said.slice(start, end) as never, wanted.slice(start, end) as never],
    }
  }
}

const texts = {
  bleu: metrics.bleu,
  chrf: metrics.chrf,
  ter: metrics.ter,
  rouge: metrics.rouge,
  wordErrorRate: metrics.wordErrorRate,
  characterErrorRate: metrics.characterErrorRate,
}

export const kinds: { readonly [kind: string]: ((each: MetricCase) => Run) | undefined } = {
  ...numeric,
  ...Object.fromEntries(Object.entries(texts).map(([kind, make]) => [kind, ofTexts(make as Maker)])),
}

function updated({ make, take }: Run, ...parts: (readonly [start: number, end: number])[]): AnyMetric {
  const metric = make()
  for (const [start, end] of parts) if (end > start) metric.update(...take(start, end))
  return metric
}

/** The ways of a pass over the rows, all of which must give the same. */
export const ways: { readonly [way: string]: (run: Run) => Promise<unknown> } = {
  'at once': (run) => updated(run, [0, run.rows]).compute(),
  'in batches': (run) => {
    const [a, b] = [Math.floor(run.rows / 4), Math.floor(run.rows / 2)]
    return updated(run, [0, a], [a, b], [b, run.rows]).compute()
  },
  merged: (run) => {
    const half = Math.ceil(run.rows / 3)
    const metric = updated(run, [0, half])
    metric.merge(updated(run, [half, run.rows]))
    return metric.compute()
  },
  resumed: (run) => {
    const half = Math.ceil(run.rows / 2)
    const state = JSON.parse(JSON.stringify(updated(run, [0, half]).stateDict())) as metrics.MetricState
    const metric = updated(run, [0, half])
    metric.loadStateDict(state)
    if (run.rows > half) metric.update(...run.take(half, run.rows))
    return metric.compute()
  },
}
