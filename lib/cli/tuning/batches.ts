/** Batches of rows in tokens. */
import { Generator } from '../../core/generator.js'
import type { Tensor } from '../../core/tensor.js'
import { DataLoader } from '../../data/loader.js'
import { byLength } from '../../data/sampler.js'
import { fromTypedArray } from '../../ops/creation.js'
import type { TokenRow } from '../data/causal.js'

export type CausalBatch = {
  /** int32 [B, T] */
  readonly ids: Tensor
  readonly labels: Tensor
}

/** Rows filled up to the longest. Padding is behind all tokens, where a causal model does not see it, and no label. */
export function collate(rows: readonly TokenRow[], pad: number): CausalBatch {
  const length = Math.max(...rows.map(({ ids }) => ids.length))
  const filled = (list: 'ids' | 'labels', value: number): Tensor => {
    const all = new Int32Array(rows.length * length).fill(value)
    for (const [i, row] of rows.entries()) all.set(row[list], i * length)
    return fromTypedArray(all, [rows.length, length])
  }
  return { ids: filled('ids', pad), labels: filled('labels', -100) }
}

interface LoaderOptions {
  readonly batchSize: number
  readonly pad: number
  /** The seed of the order; null: from short to long. */
  readonly seed: number | null
}

/** Batches of rows of about one length. */
export function loaderOf(
  rows: readonly TokenRow[],
  { batchSize, pad, seed }: LoaderOptions,
): DataLoader<TokenRow, CausalBatch> {
  return new DataLoader(rows, {
    batchSize,
    shuffle: seed !== null,
    sampler: byLength(rows.map(({ ids }) => ids.length)),
    collate: (some) => collate(some, pad),
    generator: new Generator(seed ?? 0),
  })
}

/** The batch that takes most memory. */
export function longestBatch(rows: readonly TokenRow[], { batchSize, pad }: LoaderOptions): CausalBatch {
  return collate([...rows].sort((a, b) => b.ids.length - a.ids.length).slice(0, batchSize), pad)
}
