/** The ways in which a training step saves memory. */
import { ValueError } from '../../core/errors.js'
import { blocksOf } from '../../nn/blocks.js'
import { Sequential } from '../../nn/containers.js'
import type { Module } from '../../nn/module.js'

export interface Thrift {
  /** The number of parts into which each batch is cut along its rows. Their gradients are summed. */
  readonly parts: number
  /** Modules that are computed again in the backward pass, in groups. */
  readonly recomputed: readonly (readonly Module[])[]
}

export const noThrift: Thrift = { parts: 1, recomputed: [] }

/**
 * The modules of a model that are computed again, in groups, or null if it declares no blocks. Layers of a Sequential
 * form about as many groups as each group has layers, which minimises the sum of the kept tensors and those computed at
 * once (Chen et al., 2016).
 */
export function blockGroups(model: Module): readonly (readonly Module[])[] | null {
  const blocks = blocksOf(model)
  if (blocks === null) return null
  if (!(model instanceof Sequential)) return blocks.map((block) => [block])
  const size = Math.ceil(Math.sqrt(blocks.length))
  return Array.from({ length: Math.ceil(blocks.length / size) }, (_, i) => blocks.slice(i * size, (i + 1) * size))
}

/** The error for a request for blocks from a model that declares none. */
export function noBlocks(op: string, model: Module): ValueError {
  return new ValueError(
    op,
    `checkpointing computes a model's blocks again, but ${model.constructor.name} declares none; give it a method ` +
      'blocks(): Module[], from input to output',
  )
}
