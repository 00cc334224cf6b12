/** Layers that interpolate. */
import { type OptionNames, ownOptions } from '../core/options.js'
import type { Tensor } from '../core/tensor.js'
import {
  type InterpolateOptions,
  interpolated,
  interpolateNames,
  interpolation,
} from '../ops/interpolate/interpolate.js'
import { Module, settings } from './module.js'

export type UpsampleOptions = Pick<
  InterpolateOptions,
  'size' | 'scaleFactor' | 'mode' | 'alignCorners' | 'recomputeScaleFactor'
>

const { antialias: _, ...upsampleNames } = interpolateNames

abstract class Interpolation extends Module {
  readonly #layer: string
  readonly #options: InterpolateOptions
  readonly #plan: ReturnType<typeof interpolation>
  declare readonly signature?: { readonly takes: 'anything'; readonly gives: 'keep' }

  constructor(layer: string, options: UpsampleOptions, names: OptionNames<UpsampleOptions>, fixed: UpsampleOptions) {
    super()
    this.#layer = layer
    this.#options = { ...ownOptions<UpsampleOptions>(layer, options, names), ...fixed }
    this.#plan = interpolation(layer, this.#options)
  }

  override extraRepr(): string {
    return settings({ ...this.#options })
  }

  forward(x: Tensor): Tensor {
    return interpolated(this.#layer, x, this.#plan)
  }
}

/** [N, C, L], [N, C, H, W] or [N, C, D, H, W] at `size`, or at `scaleFactor` times its sizes; see `interpolate`. */
export class Upsample extends Interpolation {
  constructor(options: UpsampleOptions) {
    super('Upsample', options, upsampleNames, {})
  }
}

type SizeOptions = Pick<InterpolateOptions, 'size' | 'scaleFactor'>
const sizeNames = { size: true, scaleFactor: true } as OptionNames<UpsampleOptions>

/** [N, C, H, W] enlarged by repeating the nearest element. */
export class UpsamplingNearest2d extends Interpolation {
  constructor(options: SizeOptions) {
    super('UpsamplingNearest2d', options, sizeNames, { mode: 'nearest' })
  }
}

/** [N, C, H, W] enlarged bilinearly, corner on corner. */
export class UpsamplingBilinear2d extends Interpolation {
  constructor(options: SizeOptions) {
    super('UpsamplingBilinear2d', options, sizeNames, { mode: 'bilinear', alignCorners: true })
  }
}
