import type { Tensor } from '../core/tensor.js'
import type { Module, Parameter } from './module.js'

/** What fine-tuning puts into a layer's slot: something that adds to the layer's result. */
export interface Adapter extends Module {
  /** The layer's result with the adapter's part, from the layer's input and its own result. */
  forward(x: Tensor, base: Tensor): Tensor
}

/** A layer that can be adapted, and how: fine-tuning asks for this, never for a class. */
export interface Adaptable {
  /** The slot; null: not adapted. */
  adapter: Adapter | null
  /** The weight as a matrix [out, in], which low-rank products add to. */
  readonly adaptation: { readonly weight: Parameter; readonly inFeatures: number; readonly outFeatures: number }
}

export function isAdaptable(module: unknown): module is Module & Adaptable {
  return typeof module === 'object' && module !== null && 'adaptation' in module && 'adapter' in module
}
