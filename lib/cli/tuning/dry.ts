/** A training that is not run: what it would take, and what is wrong with it. */
import { availableMemory } from '../../backend/native/machine.js'
import type { Finding } from '../../train/preflight/report.js'
import type { TokenRow } from '../data/causal.js'
import { bytesText, countText, durationText } from '../words.js'
import type { Data } from './material.js'
import type { TrainingPlan } from './plan.js'

export interface RowFigures {
  readonly format: string
  readonly rows: number
  readonly validation: number
  readonly tokens: number
  /** The share of tokens that is learned. */
  readonly learned: number
  /** Rows that were cut, and tokens of theirs. */
  readonly cut: number
  readonly cutTokens: number
  readonly longest: number
}

export interface DryRun extends RowFigures {
  readonly steps: number | null
  /** Bytes of tensors at the peak, and those that the machine has left. */
  readonly peak: number | null
  readonly available: number
  /** Seconds; null where neither epochs nor steps end the training. */
  readonly seconds: number | null
  readonly parameters: { readonly learning: number; readonly all: number }
  readonly findings: readonly Finding[]
}

export function rowFigures({ format, train, validation }: Data): RowFigures {
  const all = [...train, ...(validation ?? [])]
  const sum = (of: (row: TokenRow) => number) => all.reduce((total, row) => total + of(row), 0)
  const tokens = sum(({ ids }) => ids.length)
  return {
    format,
    rows: train.length,
    validation: validation?.length ?? 0,
    tokens,
    learned: sum(({ labels }) => labels.reduce((count, label) => count + (label >= 0 ? 1 : 0), 0)) / tokens,
    cut: sum(({ cut }) => (cut > 0 ? 1 : 0)),
    cutTokens: sum(({ cut }) => cut),
    longest: all.reduce((most, { ids }) => Math.max(most, ids.length), 0),
  }
}

export function figuresText({
  format,
  rows,
  validation,
  tokens,
  learned,
  cut,
  cutTokens,
  longest,
}: RowFigures): string {
  const held = validation === 0 ? '' : ` and ${countText(validation)} for validation`
  const lost = cut === 0 ? 'none cut' : `${countText(cut)} cut, by ${countText(cutTokens)} tokens`
  return `${countText(rows)} rows (${format})${held}, ${countText(tokens)} tokens, ${Math.round(100 * learned)}% of them learned, the longest row has ${countText(longest)}; ${lost}`
}

/** Steps that are tried to measure their time. */
const tried = 3

/** Seconds of a pass, from the times of a long and of a middle batch: a step takes a time of its own, and one for each token. */
async function secondsOfPass({ trainer, loader, longest }: TrainingPlan, longestSeconds: number): Promise<number> {
  const sizes: number[] = []
  for await (const { ids, labels } of loader) {
    sizes.push(ids.numel)
    ids.dispose()
    labels.dispose()
  }
  const long = longest.ids.numel
  const sorted = [...sizes].sort((a, b) => a - b)
  const middle = sorted[sorted.length >> 1] as number
  const sum = sizes.reduce((total, size) => total + size, 0)
  if (long <= 1.2 * middle) return (longestSeconds * sum) / long
  const rows = longest.ids.shape[0] as number
  const width = Math.max(2, Math.round(middle / rows))
  const narrow = {
    ids: longest.ids.narrow(1, 0, width).contiguous(),
    labels: longest.labels.narrow(1, 0, width).contiguous(),
  }
  const { time } = await trainer.check(narrow, { steps: tried, rows: 0 })
  const accumulate = trainer.options.accumulate ?? 1
  const middleSeconds = (time?.step ?? longestSeconds * accumulate) / accumulate
  const perToken = Math.max(0, (longestSeconds - middleSeconds) / (long - rows * width))
  const own = Math.max(0, middleSeconds - perToken * rows * width)
  return own * sizes.length + perToken * sum
}

/** Checks and predicts. Weights, random numbers and the order of the data are as they were. */
export async function dryRun(plan: TrainingPlan, data: Data): Promise<DryRun> {
  const { trainer, longest, totalSteps, fit, loader } = plan
  const report = await trainer.check(longest, { steps: tried, ...(fit.memory !== undefined && { memory: fit.memory }) })
  const accumulate = trainer.options.accumulate ?? 1
  const batches = loader.length
  const state = loader.stateDict()
  const pass =
    report.time === null || totalSteps === null ? null : await secondsOfPass(plan, report.time.step / accumulate)
  loader.loadStateDict(state)
  // One of the two factors of a fresh adapter is 0, and so is the gradient of the other.
  const { zero = [], nonFinite = [], cut = [] } = report.gradients ?? {}
  const isFresh = zero.every((path) => path.includes('.lora_A.')) && nonFinite.length + cut.length === 0
  let [learning, all] = [0, 0]
  for (const parameter of trainer.model.parameters()) {
    all += parameter.numel
    if (parameter.requiresGrad) learning += parameter.numel
  }
  return {
    ...rowFigures(data),
    steps: totalSteps,
    peak: report.memory?.peak ?? null,
    available: availableMemory() + (report.memory?.weights ?? 0),
    seconds: pass === null || totalSteps === null ? null : (pass * totalSteps) / Math.ceil(batches / accumulate),
    parameters: { learning, all },
    findings: report.findings.filter(({ about }) => about !== 'overfit' && !(about === 'gradients' && isFresh)),
  }
}

export function dryText(run: DryRun): string {
  const { steps, peak, available, seconds, parameters, findings } = run
  const share = (100 * parameters.learning) / parameters.all
  return [
    figuresText(run),
    `${countText(parameters.learning)} of ${countText(parameters.all)} parameters learn (${share < 1 ? share.toPrecision(2) : share.toFixed(1)}%)${steps === null ? '' : `, in ${countText(steps)} steps`}`,
    ...(peak === null ? [] : [`${bytesText(peak)} at the peak of ${bytesText(available)}`]),
    ...(seconds === null ? [] : [`about ${durationText(seconds)} here`]),
    ...findings.map(({ level, about, text }) => `${level} (${about}): ${text}`),
    findings.some(({ level }) => level === 'fault') ? 'the training would be wasted' : 'all checks passed',
  ].join('\n')
}
