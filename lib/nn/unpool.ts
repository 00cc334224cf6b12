/** Layers that undo max pooling. */
import { type OptionNames, ownOptions } from '../core/options.js'
import type { Tensor } from '../core/tensor.js'
import type { Single } from '../ops/conv-options.js'
import type { Pair } from '../ops/pair.js'
import {
  type MaxUnpool1dOptions,
  type MaxUnpool2dOptions,
  type MaxUnpool3dOptions,
  maxUnpool1d,
  maxUnpool2d,
  maxUnpool3d,
} from '../ops/pool/unpool.js'
import { volumeWindow } from '../ops/pool/volume-window.js'
import { readPair, readSingle, windowOf } from '../ops/pool/window.js'
import type { Triple } from '../ops/triple.js'
import { Module, settings } from './module.js'

interface UnpoolOptions<Size> {
  /** Default: the kernel's size. */
  readonly stride?: Size | undefined
  /** The padding of the pooling. Default 0. */
  readonly padding?: Size | undefined
}

export interface MaxUnpool1dLayerOptions extends UnpoolOptions<Single> {}
export interface MaxUnpool2dLayerOptions extends UnpoolOptions<Pair> {}
export interface MaxUnpool3dLayerOptions extends UnpoolOptions<Triple> {}

abstract class Unpool<Size extends Single | Pair | Triple> extends Module {
  readonly kernelSize: Size
  protected readonly options: UnpoolOptions<Size>

  /** `check` throws ValueError for windows that fit no input. */
  constructor(
    layer: string,
    check: (kernelSize: Size, options: UnpoolOptions<Size>) => unknown,
    kernelSize: Size,
    options: UnpoolOptions<Size>,
  ) {
    super()
    const names: OptionNames<UnpoolOptions<Size>> = { stride: true, padding: true }
    this.options = ownOptions(layer, options, names)
    check(kernelSize, this.options)
    this.kernelSize = (Array.isArray(kernelSize) ? [...kernelSize] : kernelSize) as Size
  }

  override extraRepr(): string {
    return settings({ kernelSize: this.kernelSize, ...this.options })
  }
}

/** The partial inverse of a MaxPool1d: puts the elements of [N, C, L] or [C, L] at the places that its indices say. */
export class MaxUnpool1d extends Unpool<Single> {
  constructor(kernelSize: Single, options: MaxUnpool1dLayerOptions = {}) {
    super('MaxUnpool1d', (size, own) => windowOf('MaxUnpool1d', readSingle, size, own), kernelSize, options)
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
    super('MaxUnpool2d', (size, own) => windowOf('MaxUnpool2d', readPair, size, own), kernelSize, options)
  }

  forward(x: Tensor, indices: Tensor, outputSize: MaxUnpool2dOptions['outputSize'] = null): Tensor {
    return maxUnpool2d(x, indices, this.kernelSize, { ...this.options, outputSize })
  }
}

/**
 * The partial inverse of a MaxPool3d: puts the elements of [N, C, D, H, W] or [C, D, H, W] at the places that its
 * indices say.
 */
export class MaxUnpool3d extends Unpool<Triple> {
  constructor(kernelSize: Triple, options: MaxUnpool3dLayerOptions = {}) {
    super('MaxUnpool3d', (size, own) => volumeWindow('MaxUnpool3d', size, own), kernelSize, options)
  }

  forward(x: Tensor, indices: Tensor, outputSize: MaxUnpool3dOptions['outputSize'] = null): Tensor {
    return maxUnpool3d(x, indices, this.kernelSize, { ...this.options, outputSize })
  }
}
