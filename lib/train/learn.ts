/** Learning from one batch: loss and gradients, in one piece or in parts. */
import { scope } from '../core/scope.js'
import type { Tensor } from '../core/tensor.js'
import { recomputing } from '../nn/recompute.js'
import type { Optimizer } from '../optim/optimizer.js'
import { checkGraph, checkReached } from './checks.js'
import { type Group, sumsOf } from './group.js'
import type { Measured, Sums } from './objective.js'
import { cutRows } from './preflight/rows.js'
import type { Thrift } from './preflight/thrift.js'

export interface BatchLearning {
  readonly op: string
  readonly measured: (part: unknown) => Measured
  readonly optimizer: Optimizer
  readonly thrift: Thrift
  /** Whether gradients are those of sums, which the step divides by the sums' count. */
  readonly isSummed: boolean
  /** Whether this is the pass's first batch, so the graph is checked. */
  readonly isFirst: boolean
  readonly group: Group
  /** Checks the loss and the gradients before the optimizer uses them. Null if no check is wanted. */
  readonly check: ((loss: Tensor, part: unknown) => void) | null
  /** The metrics. */
  readonly seen: { observe(output: unknown, target: Measured['target']): void }
}

/** Adds a batch's gradients to the group's, lets `update` step, and begins to read the loss. Runs within a scope. */
export function learnBatch(learning: BatchLearning, batch: unknown, update: () => void): Promise<Sums> {
  const { op, thrift, group, seen } = learning
  const learn = (part: unknown): Measured => {
    const measured = recomputing(thrift.recomputed, () => learning.measured(part))
    const root = learning.isSummed ? measured.total() : measured.mean()
    checkGraph(op, root)
    root.backward()
    learning.check?.(root, part)
    if (learning.isFirst) checkReached(op, learning.optimizer.parameters())
    group.counts.add(measured.count)
    group.items += measured.items
    return measured
  }
  const parts = cutRows(op, batch, thrift.parts)
  if (parts.length === 1) {
    const measured = learn(batch)
    update()
    seen.observe(measured.output, measured.target)
    // The loss is read last, so waiting for it also waits for the step.
    return measured.read()
  }
  // The tensors of a part are freed before the next one begins, so its loss is read at once.
  const reads = parts.map((part) =>
    scope(() => {
      const measured = learn(part)
      seen.observe(measured.output, measured.target)
      return { read: measured.read() }
    }),
  )
  update()
  return sumsOf(reads.map(({ read }) => read))
}
