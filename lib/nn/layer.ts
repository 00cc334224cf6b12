/** What the constructors of all layers share. */
import type { Device } from '../core/device.js'
import type { DType } from '../core/dtype.js'
import { Faults } from '../core/errors.js'
import type { Generator } from '../core/generator.js'
import type { OptionNames } from '../core/options.js'
import { outsideFrames } from '../core/scope.js'
import type { Shape } from '../core/shape.js'
import type { Mutable } from '../core/shape-types.js'
import { zeros } from '../ops/creation.js'
import { Buffer, Parameter } from './module.js'

export interface LayerOptions {
  readonly device?: string | Device
  /** Default float32. */
  readonly dtype?: DType
  /** For the initial weights. */
  readonly generator?: Generator
}

export const layerOptions: OptionNames<LayerOptions> = { device: true, dtype: true, generator: true }

/** A parameter of zeros, for an initialiser to fill. */
export function parameter<const S extends Shape>(shape: S, { device, dtype }: LayerOptions): Parameter<Mutable<S>> {
  return outsideFrames(
    () => new Parameter(zeros(shape, { ...(device === undefined ? {} : { device }), ...(dtype ? { dtype } : {}) })),
  )
}

/** A buffer of zeros. */
export function buffer<const S extends Shape>(shape: S, { device, dtype }: LayerOptions): Buffer<Mutable<S>> {
  return outsideFrames(
    () => new Buffer(zeros(shape, { ...(device === undefined ? {} : { device }), ...(dtype ? { dtype } : {}) })),
  )
}

/** Sizes must be positive integers; all that are not are named at once. */
export function checkSizes(layer: string, sizes: { readonly [name: string]: number }): void {
  const faults = new Faults()
  for (const [name, size] of Object.entries(sizes))
    faults.check(
      Number.isSafeInteger(size) && size > 0,
      () => `${name} is ${String(size)}, but must be a positive integer`,
    )
  faults.throwValue(layer)
}
