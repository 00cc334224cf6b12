/** Pooling layers. */
import { ValueError } from '../core/errors.js'
import { ownOptions } from '../core/options.js'
import type { Tensor } from '../core/tensor.js'
import type { Pair } from '../ops/conv.js'
import { type AvgPool2dOptions, avgPool2d, type MaxPool2dOptions, maxPool2d } from '../ops/pool.js'
import { checkFlags, checkPair } from './layer.js'
import { Module, settings } from './module.js'

interface KeepsChannels {
  readonly takes: 'anything'
  readonly gives: 'keep'
}

/** Throws ValueError for windows that no input can have. */
function checkWindow(layer: string, kernelSize: Pair, { stride, padding = 0, dilation = 1 }: MaxPool2dOptions): void {
  const kernel = checkPair(layer, 'kernelSize', kernelSize, 1)
  if (stride !== undefined) checkPair(layer, 'stride', stride, 1)
  checkPair(layer, 'dilation', dilation, 1)
  const [height, width] = checkPair(layer, 'padding', padding, 0)
  if (2 * height > kernel[0] || 2 * width > kernel[1])
    throw new ValueError(layer, `padding ${height} x ${width} is more than half of the kernel ${kernel.join(' x ')}`)
}

/** The largest element of each window. */
export class MaxPool2d extends Module {
  readonly kernelSize: Pair
  readonly #options: MaxPool2dOptions
  declare readonly signature?: KeepsChannels

  constructor(kernelSize: Pair, options: MaxPool2dOptions = {}) {
    super()
    this.#options = ownOptions('MaxPool2d', options, { stride: true, padding: true, dilation: true })
    checkWindow('MaxPool2d', kernelSize, this.#options)
    this.kernelSize = typeof kernelSize === 'number' ? kernelSize : [...kernelSize]
  }

  override extraRepr(): string {
    return settings({ kernelSize: this.kernelSize, ...this.#options })
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
    this.#options = ownOptions('AvgPool2d', options, { stride: true, padding: true, countIncludePad: true })
    checkWindow('AvgPool2d', kernelSize, this.#options)
    checkFlags('AvgPool2d', { countIncludePad: this.#options.countIncludePad })
    this.kernelSize = typeof kernelSize === 'number' ? kernelSize : [...kernelSize]
  }

  override extraRepr(): string {
    return settings({ kernelSize: this.kernelSize, ...this.#options })
  }

  forward(x: Tensor): Tensor {
    return avgPool2d(x, this.kernelSize, this.#options)
  }
}
