/** The norms of DoRA (Liu et al., 2024), and the ways in which layers lay them out. */
import { ValueError } from '../core/errors.js'
import type { Tensor } from '../core/tensor.js'
import { Module, Parameter } from '../nn/module.js'

/**
 * The norms that DoRA learns. It is a module because the names in PEFT's models have `weight` after the adapter's name.
 */
export class DoraMagnitude extends Module {
  weight: Parameter

  constructor(norms: Tensor) {
    super()
    this.weight = new Parameter(norms)
  }

  forward(): never {
    throw new ValueError('DoraMagnitude', 'the norms have no forward; their adapter reads the weight itself')
  }
}

/**
 * The layout of norms, by their number: the dimensions of the weight over which they are taken, and their sizes in
 * files and beside results.
 */
export interface NormLayout {
  readonly over: readonly number[]
  norms(count: number): readonly number[]
  results(count: number): readonly number[]
}
