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

type Amounts = number | readonly number[] | null

interface SizeOptions<Z extends Amounts = Amounts, F extends Amounts = Amounts> {
  /**
   * The sizes of the result: one number, or one for each dimension after N and C. Give either this or `scaleFactor`.
   */
  readonly size?: Z | undefined
  /** The factor by which sizes grow. Sizes of the result are rounded down. */
  readonly scaleFactor?: F | undefined
}

export interface UpsampleOptions<Z extends Amounts = Amounts, F extends Amounts = Amounts>
  extends SizeOptions<Z, F>,
    Pick<InterpolateOptions, 'mode' | 'alignCorners' | 'recomputeScaleFactor'> {}

const { antialias: _, ...upsampleNames } = interpolateNames

abstract class Interpolation<Z extends Amounts, F extends Amounts> extends Module {
  readonly #layer: string
  readonly #options: InterpolateOptions
  readonly #plan: ReturnType<typeof interpolation>
  declare readonly signature?: {
    readonly op: 'interpolate'
    readonly takes: 'anything'
    readonly gives: { readonly kind: 'scaled'; readonly size: Z; readonly factor: F }
  }

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

/** Resizes [N, C, L], [N, C, H, W] or [N, C, D, H, W] to `size`, or by `scaleFactor`; see `interpolate`. */
export class Upsample<const Z extends Amounts = Amounts, const F extends Amounts = Amounts> extends Interpolation<
  Z,
  F
> {
  constructor(options: UpsampleOptions<Z, F>) {
    super('Upsample', options, upsampleNames, {})
  }
}

const sizeNames = { size: true, scaleFactor: true } as OptionNames<UpsampleOptions>

/** Enlarges [N, C, H, W] by repeating the nearest element. */
export class UpsamplingNearest2d<
  const Z extends Amounts = Amounts,
  const F extends Amounts = Amounts,
> extends Interpolation<Z, F> {
  constructor(options: SizeOptions<Z, F>) {
    super('UpsamplingNearest2d', options, sizeNames, { mode: 'nearest' })
  }
}

/** Enlarges [N, C, H, W] bilinearly, with corners aligned. */
export class UpsamplingBilinear2d<
  const Z extends Amounts = Amounts,
  const F extends Amounts = Amounts,
> extends Interpolation<Z, F> {
  constructor(options: SizeOptions<Z, F>) {
    super('UpsamplingBilinear2d', options, sizeNames, { mode: 'bilinear', alignCorners: true })
  }
}
