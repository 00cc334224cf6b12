/** The layer of normalisation by neighbouring channels. */
import type { Keeps } from '../core/flow-types.js'
import { ownOptions } from '../core/options.js'
import type { Tensor } from '../core/tensor.js'
import { type LocalResponseNormOptions, localResponseNorm } from '../ops/norm/index.js'
import { checkNumber, checkSizes } from './layer.js'
import { Module, settings } from './module.js'

/** Divides [N, C, ..] by a power of the mean square over `size` neighbouring channels; see `localResponseNorm`. */
export class LocalResponseNorm extends Module {
  readonly size: number
  readonly #options: LocalResponseNormOptions
  declare readonly signature?: Keeps

  constructor(size: number, options: LocalResponseNormOptions = {}) {
    super()
    this.#options = ownOptions('LocalResponseNorm', options, { alpha: true, beta: true, k: true })
    checkSizes('LocalResponseNorm', { size })
    for (const [name, value] of Object.entries(this.#options)) checkNumber('LocalResponseNorm', name, value as number)
    this.size = size
  }

  override extraRepr(): string {
    return settings({ size: this.size, ...this.#options })
  }

  forward(x: Tensor): Tensor {
    return localResponseNorm(x, this.size, this.#options)
  }
}
