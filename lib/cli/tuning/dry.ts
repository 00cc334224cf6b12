/** A training that does not run: its costs, and its faults. */

import { availableMemory } from '../../backend/native/machine.js'
import { visitTensors } from '../../core/scope.js'
import type { Finding } from '../../train/preflight/report.js'
import { type TaskBatch, tokensOfBatch } from '../tasks/formats.js'
import { bytesText, countText, durationText } from '../words.js'
import type { TrainingPlan, WorkBatch } from './plan.js'

export interface DryRun {
  readonly steps: number | null
  /** Bytes of tensors at the peak, and the bytes left in the machine. */
  readonly peak: number | null
  readonly available: number
  /** Null if neither epochs nor steps end the training. */
  readonly seconds: number | null
  readonly parameters: { readonly learning: number; readonly all: number }
  readonly findings: readonly Finding[]
}

/** The number of trial steps that measure the time. */
const tried = 3

/** Tokens of a batch of texts, or numbers of a table's rows. */
const sizeOf = (batch: WorkBatch): number => (Array.isArray(batch) ? batch[0].numel : tokensOfBatch(batch as TaskBatch))

/**
 * The seconds of a pass, from the times of a long and of a middle batch, because a step's time has a constant part and
 * a part for each token.
 */
async function secondsOfPass(
  { trainer, loader, longest, middle }: TrainingPlan,
  longestSeconds: number,
): Promise<number> {
  const sizes: number[] = []
  for await (const batch of loader) {
    sizes.push(sizeOf(batch))
    visitTensors(batch, (tensor) => tensor.dispose())
  }
  const [long, short] = [sizeOf(longest), sizeOf(middle)]
  const sum = sizes.reduce((total, size) => total + size, 0)
  if (long <= 1.2 * short) return (longestSeconds * sum) / long
  const { time } = await trainer.check(middle, { steps: tried, rows: 0 })
  const shortSeconds = time === null ? longestSeconds : time.step / (trainer.options.accumulate ?? 1)
  const perToken = Math.max(0, (longestSeconds - shortSeconds) / (long - short))
  const own = Math.max(0, shortSeconds - perToken * short)
  return own * sizes.length + perToken * sum
}

/** Checks and predicts. Weights, random numbers and the order of the data stay as they were. */
export async function dryRun(plan: TrainingPlan): Promise<DryRun> {
  const { trainer, longest, totalSteps, fit, loader } = plan
  const report = await trainer.check(longest, { steps: tried, ...(fit.memory !== undefined && { memory: fit.memory }) })
  const accumulate = trainer.options.accumulate ?? 1
  const batches = loader.length
  const state = loader.stateDict()
  const pass =
    report.time === null || totalSteps === null ? null : await secondsOfPass(plan, report.time.step / accumulate)
  loader.loadStateDict(state)
  // One of the two factors of a fresh adapter is 0, and so the other one's gradient is 0 too.
  const { zero = [], nonFinite = [], cut = [] } = report.gradients ?? {}
  const isFresh = zero.every((path) => path.includes('lora_A')) && nonFinite.length + cut.length === 0
  let [learning, all] = [0, 0]
  for (const parameter of trainer.model.parameters()) {
    all += parameter.numel
    if (parameter.requiresGrad) learning += parameter.numel
  }
  return {
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
    `${countText(parameters.learning)} of ${countText(parameters.all)} parameters learn (${share < 1 ? share.toPrecision(2) : share.toFixed(1)}%)${steps === null ? '' : `, in ${countText(steps)} steps`}`,
    ...(peak === null ? [] : [`${bytesText(peak)} at the peak of ${bytesText(available)}`]),
    ...(seconds === null ? [] : [`about ${durationText(seconds)} here`]),
    ...findings.map(({ level, about, text }) => `${level} (${about}): ${text}`),
    findings.some(({ level }) => level === 'fault') ? 'the training would be wasted' : 'all checks passed',
  ].join('\n')
}
