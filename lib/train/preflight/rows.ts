/** The rows of a batch of any form. */
import { mapLeaves } from '../../autograd/values.js'
import { formatShape, ValueError } from '../../core/errors.js'
import { visitTensors } from '../../core/scope.js'
import { Tensor } from '../../core/tensor.js'

/** The size of the first dimension of a batch's first tensor that has one, or null if there is none. */
export function rowsOf(batch: unknown): number | null {
  let rows: number | null = null
  visitTensors(batch, ({ sizes }) => {
    rows ??= sizes[0] ?? null
  })
  return rows
}

/**
 * A batch cut along its rows into this many parts of nearly equal size, or into as many as it has rows. Tensors become
 * views. A list of numbers or texts with one entry for each row is cut too, and anything without rows goes to every
 * part. Throws ValueError if a tensor has a different number of rows.
 */
export function cutRows(op: string, batch: unknown, parts: number): unknown[] {
  const rows = rowsOf(batch)
  if (parts === 1 || rows === null || rows < 2) return [batch]
  const size = Math.ceil(rows / parts)
  const starts = Array.from({ length: Math.ceil(rows / size) }, (_, i) => i * size)
  return starts.map((start) => part(op, batch, rows, start, Math.min(size, rows - start)))
}

function part(op: string, batch: unknown, rows: number, start: number, length: number): unknown {
  const isTexts = (value: unknown) =>
    Array.isArray(value) && value.length === rows && value.every((item) => typeof item !== 'object')
  const cut = (leaf: unknown): unknown => {
    if (!(leaf instanceof Tensor) || leaf.ndim === 0) return leaf
    if (leaf.sizes[0] !== rows)
      throw new ValueError(
        op,
        `the batch cannot be cut along its rows, because a tensor in it is ${formatShape(leaf.sizes)}, but the first has ${rows} rows`,
      )
    return leaf.narrow(0, start, length)
  }
  if (isTexts(batch)) return (batch as unknown[]).slice(start, start + length)
  if (Array.isArray(batch)) return batch.map((item) => part(op, item, rows, start, length))
  if (typeof batch === 'object' && batch !== null && Object.getPrototypeOf(batch) === Object.prototype)
    return Object.fromEntries(Object.entries(batch).map(([key, item]) => [key, part(op, item, rows, start, length)]))
  return mapLeaves(batch, cut)
}
