/** Adapters whose part a layer's own weight can hold. */

import { ValueError } from '../core/errors.js'
import { keep, outsideFrames } from '../core/scope.js'
import type { Tensor } from '../core/tensor.js'
import { Adapter, type BaseLayer } from '../nn/adapter.js'
import type { Parameter } from '../nn/module.js'
import { guardState } from '../nn/state.js'
import { clone } from '../ops/shape/index.js'

/** A layer's own numbers: the weight in the layout of `BaseLayer.dense`, and the bias. */
export interface LayerValues {
  readonly weight: Tensor
  /** Null: it stays unchanged. */
  readonly bias: Tensor | null
}

/** A layer into which adapters are merged, or the adapters' view of it. */
export type Stored = Pick<BaseLayer, 'dense' | 'bias'>

/** The values that merging writes, and the way to subtract them again. */
export interface Merging {
  readonly values: LayerValues
  undo(layer: Stored): LayerValues
}

/** A copy that only the collector frees. */
export function noted(tensor: Tensor): Tensor {
  return outsideFrames(() => keep(clone(tensor.detach())))
}

/** Undoes exactly, at the price of a copy of the layer's numbers. */
export function restoring(layer: Stored, writesBias: boolean): Merging['undo'] {
  const { bias } = layer
  const kept = { weight: noted(layer.dense()), bias: writesBias && bias !== null ? noted(bias) : null }
  return () => kept
}

interface Merged {
  readonly undo: Merging['undo']
  /** The parameters that were learning. */
  readonly learned: readonly Parameter[]
}

/** An adapter that merging can write into its layer. */
export abstract class MergeableAdapter extends Adapter {
  #merged: Merged | null = null

  /** Whether the layer's weight holds this adapter's part already. */
  override get merged(): boolean {
    return this.#merged !== null
  }

  /** Whether the part is added to the weight, so that several adapters can be merged in any order. */
  abstract get isSum(): boolean

  /** The reason why this layer cannot hold the part, or null. */
  unmergeable(_layer: Stored): string | null {
    return null
  }

  /**
   * The layer's numbers with the adapter's part. The numbers for undoing are noted, whatever happens to the adapter
   * later.
   */
  protected abstract merging(layer: Stored): Merging

  /**
   * Prepares the numbers that merging writes. The parameters stop learning, because unmerging must subtract exactly the
   * merged part.
   */
  fold(layer: Stored): LayerValues {
    const { values, undo } = this.merging(layer)
    const learned = [...this.parameters()].filter(({ requiresGrad }) => requiresGrad)
    for (const parameter of learned) parameter.requiresGrad = false
    this.#merged = { undo, learned }
    return values
  }

  /** The numbers that unmerging writes. */
  unfold(layer: Stored): LayerValues {
    const { undo, learned } = this.#merged as Merged
    for (const parameter of learned) parameter.requiresGrad = true
    this.#merged = null
    return undo(layer)
  }

  /** Throws, because a state with the part both in the weight and beside it would count it twice when loaded. */
  [guardState](op: string): void {
    if (this.merged)
      throw new ValueError(
        op,
        'a LoRA adapter is merged into its weight; call unmergeLora first, or removeLora to keep only the merged weights',
      )
  }
}
