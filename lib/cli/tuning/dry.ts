/** A training that does not run: its costs, and its faults. */

import { availableMemory } from '../../backend/native/machine.js'
import { visitTensors } from '../../core/scope.js'
import type { CheckReport, Finding } from '../../train/preflight/report.js'
import { type TaskBatch, tokensOfBatch } from '../tasks/formats.js'
import { bytesText, countText, durationText } from '../words.js'
import type { PlacedBatches, TrainingPlan, WorkBatch } from './plan.js'

export interface DryRun {
  readonly steps: number | null
  /** Bytes of tensors at the peak, and the bytes left in the machine. */
  readonly peak: number | null
  /** Bytes of the whole process at the peak: what it had before the checks, and the tensors that were not there yet. */
  readonly process: number | null
  readonly available: number
  /** Null if neither epochs nor steps end the training. */
  readonly seconds: number | null
  readonly time: DryTime | null
  readonly parameters: { readonly learning: number; readonly all: number }
  readonly findings: readonly Finding[]
}

/** The parts of a predicted time, in seconds, and the number of trial steps from which it follows. */
interface DryTime {
  readonly steps: number
  readonly reading: number
  readonly validations: number
  readonly tried: number
}

/** The trial steps that are taken in any case. */
const fewest = 3
/** The most trial steps, and the seconds that they may take together beyond the fewest. */
const most = 300
const trialSeconds = 0.5
/** The seconds for which a batch of the validation is tried. */
const evaluationSeconds = 0.2

/** Tokens of a batch of texts, or numbers of a table's rows. */
const sizeOf = (batch: WorkBatch): number => (Array.isArray(batch) ? batch[0].numel : tokensOfBatch(batch as TaskBatch))

/**
 * The median seconds of a batch in training. Brief steps are tried often, because the first ones of a process are
 * slower, until their JavaScript is compiled.
 */
async function secondsOf(
  { trainer }: TrainingPlan,
  batch: WorkBatch,
  few?: CheckReport,
): Promise<{ readonly seconds: number; readonly tried: number } | null> {
  const { accumulate = 1 } = trainer.options
  let { time } = few ?? (await trainer.check(batch, { steps: fewest, rows: 0 }))
  let tried = fewest
  // Each round is quicker than the one before, until all is compiled.
  while (time !== null) {
    const steps = Math.min(most, Math.ceil((trialSeconds * accumulate) / time.step))
    if (steps <= 2 * tried) break
    tried = steps
    ;({ time } = await trainer.check(batch, { steps, rows: 0 }))
  }
  return time && { seconds: time.step / accumulate, tried }
}

/** Sizes of the batches of a pass, and the seconds that reading them takes. */
async function readPass(batches: PlacedBatches): Promise<{ readonly sizes: number[]; readonly seconds: number }> {
  const sizes: number[] = []
  const began = performance.now()
  for await (const batch of batches) {
    sizes.push(sizeOf(batch))
    visitTensors(batch, (tensor) => tensor.dispose())
  }
  return { sizes, seconds: (performance.now() - began) / 1000 }
}

const sumOf = (numbers: readonly number[]) => numbers.reduce((total, each) => total + each, 0)

/**
 * The seconds of a pass, from the times of a long batch and of a middle one. Two are needed, because a step's time has
 * a constant part and a part for each token.
 */
async function secondsOfPass(
  plan: TrainingPlan,
  sizes: readonly number[],
  ofLongest: { readonly seconds: number; readonly tried: number },
): Promise<{ readonly seconds: number; readonly tried: number }> {
  const { longest, middle } = plan
  const [long, short] = [sizeOf(longest), sizeOf(middle)]
  const sum = sumOf(sizes)
  if (long <= 1.2 * short) return { ...ofLongest, seconds: (ofLongest.seconds * sum) / long }
  const ofMiddle = (await secondsOf(plan, middle)) ?? { ...ofLongest, tried: 0 }
  const perToken = Math.max(0, (ofLongest.seconds - ofMiddle.seconds) / (long - short))
  const own = Math.max(0, ofMiddle.seconds - perToken * short)
  return { seconds: own * sizes.length + perToken * sum, tried: ofLongest.tried + ofMiddle.tried }
}

/** The seconds of one validation, from one of its batches. */
async function secondsOfValidation({ trainer, validation }: TrainingPlan): Promise<number> {
  if (validation === null) return 0
  const { sizes, seconds } = await readPass(validation)
  for await (const batch of validation) {
    const times: number[] = []
    // As in training, the first times are those of JavaScript that is not compiled yet.
    for (const end = performance.now() + 1000 * evaluationSeconds; times.length < fewest || performance.now() < end; ) {
      const began = performance.now()
      await trainer.evaluate([batch])
      times.push((performance.now() - began) / 1000)
    }
    const median = times.sort((a, b) => a - b)[times.length >> 1] as number
    return seconds + (median * sumOf(sizes)) / sizeOf(batch)
  }
  return 0
}

/** The time of the training, or null if nothing but minutes ends it. */
async function timeOf(plan: TrainingPlan, report: CheckReport): Promise<DryTime | null> {
  const { trainer, longest, totalSteps, fit, loader } = plan
  if (report.time === null || totalSteps === null) return null
  const ofLongest = await secondsOf(plan, longest, report)
  if (ofLongest === null) return null
  const state = loader.stateDict()
  const { sizes, seconds: reading } = await readPass(loader)
  loader.loadStateDict(state)
  const pass = await secondsOfPass(plan, sizes, ofLongest)
  const stepsPerPass = Math.ceil(loader.length / (trainer.options.accumulate ?? 1))
  const passes = totalSteps / stepsPerPass
  const validations = Math.ceil(totalSteps / (fit.validateEvery ?? stepsPerPass))
  return {
    steps: pass.seconds * passes,
    reading: reading * passes,
    validations: (await secondsOfValidation(plan)) * validations,
    tried: pass.tried,
  }
}

/** Checks and predicts. Weights, random numbers and the order of the data stay as they were. */
export async function dryRun(plan: TrainingPlan): Promise<DryRun> {
  const { trainer, longest, totalSteps, fit } = plan
  const before = process.memoryUsage.rss()
  const report = await trainer.check(longest, {
    steps: fewest,
    ...(fit.memory !== undefined && { memory: fit.memory }),
  })
  const time = await timeOf(plan, report)
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
    process: report.memory === null ? null : before - report.memory.weights + report.memory.peak,
    available: availableMemory() + (report.memory?.weights ?? 0),
    seconds: time && time.steps + time.reading + time.validations,
    time,
    parameters: { learning, all },
    // One batch rarely has all classes. The figures of the rows tell which of them no row has.
    findings: report.findings.filter(
      ({ about, level }) =>
        about !== 'overfit' && !(about === 'gradients' && isFresh) && !(about === 'labels' && level === 'warning'),
    ),
  }
}

export function dryText(run: DryRun): string {
  const { steps, peak, process, available, seconds, time, parameters, findings } = run
  const share = (100 * parameters.learning) / parameters.all
  return [
    `${countText(parameters.learning)} of ${countText(parameters.all)} parameters learn (${share < 1 ? share.toPrecision(2) : share.toFixed(1)}%)${steps === null ? '' : `, in ${countText(steps)} steps`}`,
    ...(peak === null || process === null
      ? []
      : [
          `${bytesText(peak)} of tensors at the peak, of ${bytesText(available)}; ${bytesText(process)} of the whole process`,
        ]),
    ...(seconds === null || time === null ? [] : [`about ${durationText(seconds)} here: ${timeText(time)}`]),
    ...findings.map(({ level, about, text }) => `${level} (${about}): ${text}`),
    findings.some(({ level }) => level === 'fault') ? 'the training would be wasted' : 'all checks passed',
  ].join('\n')
}

/** The parts of a predicted time, with what each rests on. */
function timeText({ steps, reading, validations, tried }: DryTime): string {
  const parts = [
    `${durationText(steps)} of steps, as ${countText(tried)} that were tried`,
    `${durationText(reading)} of reading data`,
    ...(validations === 0 ? [] : [`${durationText(validations)} of validations`]),
  ]
  return `${parts.join(', ')}; checkpoints are not counted`
}
