/** Fusion: a layer may take the next one into its own kernel. */
import { modulesAreObserved } from '../core/module-path.js'
import type { Tensor } from '../core/tensor.js'
import type { Module } from './module.js'

/** The method's name. It is a symbol, so that no subclass can use the name for something else. */
export const fuses: unique symbol = Symbol('fuses')

/** A layer that may do the work of `next` along with its own, with the same bits. Null means that it does not. */
export interface Fusing {
  [fuses](next: Module): ((x: Tensor) => Tensor) | null
}

/**
 * Two layers fused into one, unless something looks at the result between them: an observer, or a hook of one of them.
 */
export function fusedWith(layer: Module & Partial<Fusing>, next: Module | undefined): ((x: Tensor) => Tensor) | null {
  if (next === undefined || modulesAreObserved() || layer.hasForwardHooks || next.hasForwardHooks) return null
  return layer[fuses]?.(next) ?? null
}

/** Whether a module's forward is that of `layer`, and not a subclass's. Module seals the instance's own property. */
export function inherits(module: Module, layer: { readonly prototype: { forward(x: never): Tensor } }): boolean {
  return (Object.getPrototypeOf(module) as { forward: unknown }).forward === layer.prototype.forward
}
