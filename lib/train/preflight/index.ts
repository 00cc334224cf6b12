/** Checks and predictions of a training before it begins. */
import { shown, ValueError } from '../../core/errors.js'
import { checkFlag, checkOptions } from '../../core/options.js'
import { firstBatch } from './first.js'
import { type MemoryPrediction, predict, type Subject } from './predict.js'
import { blockGroups, noBlocks } from './thrift.js'

export { Budget, type MemoryChoice } from './budget.js'
export { type Checked, type CheckOptions, check } from './check.js'
export type { Cut } from './graph.js'
export type { LabelRecord } from './labels.js'
export type { OverlapRecord } from './overlap.js'
export type { MemoryPrediction, Subject } from './predict.js'
export type { CheckReport, CheckResults, Finding } from './report.js'

export interface PredictOptions {
  /** The number of parts into which each batch is cut along its rows. Default 1. */
  readonly parts?: number
  /** Whether the model's blocks are computed again in the backward pass. Default: the Trainer's `checkpointing`. */
  readonly checkpointing?: boolean
}

/** `Trainer.predictMemory`. */
export async function predictMemory(
  subject: Subject,
  data: unknown,
  options: PredictOptions,
): Promise<MemoryPrediction> {
  const op = 'Trainer.predictMemory'
  checkOptions(op, options, { parts: true, checkpointing: true })
  const { parts = 1, checkpointing = subject.checkpointing } = options
  if (!Number.isSafeInteger(parts) || parts < 1)
    throw new ValueError(op, `parts is ${shown(parts)}, but must be a positive integer`)
  checkFlag(op, 'checkpointing', checkpointing)
  const recomputed = checkpointing ? blockGroups(subject.model) : []
  if (recomputed === null) throw noBlocks(op, subject.model)
  return predict(op, subject, await firstBatch(op, data), { parts, recomputed })
}
