/** The answers of a model on a set: its loss, and its outputs with the targets. */
import { noGrad } from '../../autograd/mode.js'
import { kindOf, ValueError } from '../../core/errors.js'
import { keep, outsideFrames, scope } from '../../core/scope.js'
import { sameShape } from '../../core/shape.js'
import { Tensor } from '../../core/tensor.js'
import { cat } from '../../ops/shape/index.js'
import { onePass } from '../checks.js'
import type { Guard } from '../guard.js'
import { untilAborted } from '../interrupt.js'
import type { Measured } from '../objective.js'
import type { Batches } from '../options.js'

/** The way to run a model. */
export interface Looking {
  readonly measured: (op: string, batch: unknown) => Measured
  readonly guard: Guard
}

/** Outputs and targets of all rows. The caller must dispose of them. */
export interface Collected {
  readonly loss: number
  readonly rows: number
  readonly output: Tensor
  readonly target: Tensor
}

/**
 * Runs the model on every batch. Throws ValueError if there are no batches, if outputs or targets are not tensors, or
 * if rows of two batches differ in shape.
 */
export async function collect(
  op: string,
  { measured, guard }: Looking,
  batches: Batches<unknown>,
  signal: AbortSignal | undefined,
): Promise<Collected> {
  const outputs: Tensor[] = []
  const targets: Tensor[] = []
  let [total, count] = [0, 0]
  try {
    await guard.evaluating(op, async (checkUnchanged) => {
      for await (const batch of untilAborted(onePass(op, batches), signal)) {
        signal?.throwIfAborted()
        checkUnchanged()
        const sums = await scope(() =>
          noGrad(() => {
            const loss = measured(op, batch)
            outputs.push(kept(op, 'output', loss.output, outputs.length, outputs[0]))
            targets.push(kept(op, 'target', loss.target, targets.length, targets[0]))
            return { read: loss.read() }
          }),
        ).read
        total += sums.total
        count += sums.count
      }
    })
    if (outputs.length === 0) throw new ValueError(op, 'there are no batches for the report')
    const [output, target] = noGrad(() => outsideFrames(() => [keep(cat(outputs)), keep(cat(targets))] as const))
    return { loss: count === 0 ? Number.NaN : total / count, rows: output.sizes[0] as number, output, target }
  } finally {
    for (const each of [...outputs, ...targets]) each.dispose()
  }
}

function kept(op: string, name: string, value: unknown, batch: number, first: Tensor | undefined): Tensor {
  if (!(value instanceof Tensor) || value.sizes.length === 0)
    throw new ValueError(
      op,
      `batch ${batch + 1} has ${kindOf(value)} for its ${name}, but a report needs a tensor with a row for each example`,
    )
  if (first !== undefined && !sameShape(first.sizes.slice(1), value.sizes.slice(1)))
    throw new ValueError(
      op,
      `rows of the ${name} in batch ${batch + 1} have a different shape than before; a report needs examples of one shape, so pad them to one size`,
    )
  const seen = value.dtype === 'bfloat16' || value.dtype === 'float16' ? value.to('float32') : value.detach().clone()
  return outsideFrames(() => keep(seen))
}
