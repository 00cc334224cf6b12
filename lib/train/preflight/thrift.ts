/** How the memory of a training step is held down. */
import { ValueError } from '../../core/errors.js'
import { blocksOf } from '../../nn/blocks.js'
import { Sequential } from '../../nn/containers.js'
import type { Module } from '../../nn/module.js'

export interface Thrift {
  /** Parts that each batch is cut into along its rows; their gradients add up. */
  readonly parts: number
  /** Modules that are computed again in the backward pass, by groups. */
  readonly recomputed: readonly (readonly Module[])[]
}

export const noThrift: Thrift = { parts: 1, recomputed: [] }

/**
 * The modules of a model that are computed again, in groups; null where it declares no blocks. Layers of a Sequential go together in
 * as many groups as each has layers, which holds down the sum of what is kept and what is computed at once (Chen et al., 2016).
 */
export function blockGroups(model: Module): readonly (readonly Module[])[] | null {
  const blocks = blocksOf(model)
  if (blocks === null) return null
  if (!(model instanceof Sequential)) return blocks.map((block) => [block])
  const size = Math.ceil(Math.sqrt(blocks.length))
  return Array.from({ length: Math.ceil(blocks.length / size) }, (_, i) => blocks.slice(i * size, (i + 1) * size))
}

/** The error of whoever wants blocks of a model that declares none. */
export function noBlocks(op: string, model: Module): ValueError {
  return new ValueError(
    op,
    `checkpointing computes a model's blocks again, but ${model.constructor.name} declares none; give it a method ` +
      'blocks(): Module[], from input to output',
  )
}
