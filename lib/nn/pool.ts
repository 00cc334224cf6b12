/** Pooling layers. */
import { checkOptions } from '../core/options.js'
import type { Tensor } from '../core/tensor.js'
import type { Pair } from '../ops/conv.js'
import { type AvgPool2dOptions, avgPool2d, type MaxPool2dOptions, maxPool2d } from '../ops/pool.js'
import { Module } from './module.js'

interface KeepsChannels {
  readonly takes: 'anything'
  readonly gives: 'keep'
}

/** The largest element of each window. */
export class MaxPool2d extends Module {
  readonly kernelSize: Pair
  readonly #options: MaxPool2dOptions
  declare readonly signature?: KeepsChannels

  constructor(kernelSize: Pair, options: MaxPool2dOptions = {}) {
    super()
    checkOptions('MaxPool2d', options, { stride: true, padding: true, dilation: true })
    this.kernelSize = kernelSize
    this.#options = options
  }

  forward(x: Tensor): Tensor {
    return maxPool2d(x, this.kernelSize, this.#options)
  }
}

/** The mean of each window. */
export class AvgPool2d extends Module {
  readonly kernelSize: Pair
  readonly #options: AvgPool2dOptions
  declare readonly signature?: KeepsChannels

  constructor(kernelSize: Pair, options: AvgPool2dOptions = {}) {
    super()
    checkOptions('AvgPool2d', options, { stride: true, padding: true, countIncludePad: true })
    this.kernelSize = kernelSize
    this.#options = options
  }

  forward(x: Tensor): Tensor {
    return avgPool2d(x, this.kernelSize, this.#options)
  }
}
