/** Layers that take the next one into their own kernel. */
import { modulesAreObserved } from '../core/module-path.js'
import type { Tensor } from '../core/tensor.js'
import type { Module } from './module.js'

/** The method's name: no public one, which a subclass could take for something else. */
export const fuses: unique symbol = Symbol('fuses')

/** A layer that may do the work of `next` with its own: equal to the bit to one after the other. Null: it does not. */
export interface Fusing {
  [fuses](next: Module): ((x: Tensor) => Tensor) | null
}

/** Two layers as one, unless somebody sees what goes between them: an observer, or a hook of one of them. */
export function fusedWith(layer: Module & Partial<Fusing>, next: Module | undefined): ((x: Tensor) => Tensor) | null {
  if (next === undefined || modulesAreObserved() || layer.hasForwardHooks || next.hasForwardHooks) return null
  return layer[fuses]?.(next) ?? null
}

/** Whether a module's forward is that of `layer`, and not one of a subclass. (An instance's own is sealed by Module.) */
export function inherits(module: Module, layer: { readonly prototype: { forward(x: never): Tensor } }): boolean {
  return (Object.getPrototypeOf(module) as { forward: unknown }).forward === layer.prototype.forward
}
