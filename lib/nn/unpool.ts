/** Layers that undo max pooling. */
import { type OptionNames, ownOptions } from '../core/options.js'
import type { Tensor } from '../core/tensor.js'
import type { Single } from '../ops/conv-options.js'
import type { Pair } from '../ops/pair.js'
import { type MaxUnpool1dOptions, type MaxUnpool2dOptions, maxUnpool1d, maxUnpool2d } from '../ops/pool/unpool.js'
import { type Reader, readPair, readSingle, windowOf } from '../ops/pool/window.js'
import { Module, settings } from './module.js'

interface UnpoolOptions<Size> {
  /** Default: the kernel's size. */
  readonly stride?: Size | undefined
  /** The padding of the pooling. Default 0. */
  readonly padding?: Size | undefined
}

export interface MaxUnpool1dLayerOptions extends UnpoolOptions<Single> {}
export interface MaxUnpool2dLayerOptions extends UnpoolOptions<Pair> {}

abstract class Unpool<Size extends Single | Pair> extends Module {
  readonly kernelSize: Size
  protected readonly options: UnpoolOptions<Size>

  constructor(layer: string, read: Reader<Size>, kernelSize: Size, options: UnpoolOptions<Size>) {
    super()
    const names: OptionNames<UnpoolOptions<Size>> = { stride: true, padding: true }
    this.options = ownOptions(layer, options, names)
    windowOf(layer, read, kernelSize, this.options)
    this.kernelSize = (Array.isArray(kernelSize) ? [...kernelSize] : kernelSize) as Size
  }

  override extraRepr(): string {
    return settings({ kernelSize: this.kernelSize, ...this.options })
  }
}

/** The partial inverse of a MaxPool1d: puts the elements of [N, C, L] or [C, L] at the places that its indices say. */
export class MaxUnpool1d extends Unpool<Single> {
  constructor(kernelSize: Single, options: MaxUnpool1dLayerOptions = {}) {
    super('MaxUnpool1d', readSingle, kernelSize, options)
  }

  forward(x: Tensor, indices: Tensor, outputSize: MaxUnpool1dOptions['outputSize'] = null): Tensor {
    return maxUnpool1d(x, indices, this.kernelSize, { ...this.options, outputSize })
  }
}

/**
 * The partial inverse of a MaxPool2d: puts the elements of [N, C, H, W] or [C, H, W] at the places that its indices
 * say.
 */
export class MaxUnpool2d extends Unpool<Pair> {
  constructor(kernelSize: Pair, options: MaxUnpool2dLayerOptions = {}) {
    super('MaxUnpool2d', readPair, kernelSize, options)
  }

  forward(x: Tensor, indices: Tensor, outputSize: MaxUnpool2dOptions['outputSize'] = null): Tensor {
    return maxUnpool2d(x, indices, this.kernelSize, { ...this.options, outputSize })
  }
}
