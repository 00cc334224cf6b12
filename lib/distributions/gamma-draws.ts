/** Gamma distributed numbers. */
import { defaultGenerator, type Generator } from '../core/generator.js'
import type { Tensor } from '../core/tensor.js'
import { castTo } from '../ops/convert.js'
import { fromTypedArray } from '../ops/creation.js'
import { zerosLike } from '../ops/like.js'
import { dataSync } from '../ops/read.js'
import { detach } from '../ops/shape/index.js'

/** A uniform number in (0, 1]. */
const unitOf = (generator: Generator) => 1 - generator.random()

/**
 * The logarithm of a gamma distributed number with rate 1 (Marsaglia and Tsang, "A simple method for generating gamma
 * variables", ACM Transactions on Mathematical Software 26, 2000). A concentration below 1 is raised by 1, and the
 * number multiplied by u^(1 / concentration).
 */
function logGamma(concentration: number, generator: Generator): number {
  const raised = concentration < 1
  const d = (raised ? concentration + 1 : concentration) - 1 / 3
  const c = 1 / Math.sqrt(9 * d)
  for (;;) {
    const x = generator.normal()
    const root = 1 + c * x
    if (root <= 0) continue
    const v = root ** 3
    if (Math.log(unitOf(generator)) >= 0.5 * x * x + d * (1 - v + Math.log(v))) continue
    return Math.log(d * v) + (raised ? Math.log(unitOf(generator)) / concentration : 0)
  }
}

/**
 * Logarithms of gamma distributed numbers with rate 1, of the shape and dtype of `concentration`, whose elements they
 * have as concentrations. Waits for these, as `dataSync` does. NaN for concentrations that are not above 0, or infinite.
 */
export function logGammas(concentration: Tensor, generator: Generator = defaultGenerator()): Tensor {
  const { device, dtype, sizes } = concentration
  if (device.kind === 'meta') return zerosLike(concentration)
  const given = dataSync(detach(concentration)) as ArrayLike<number>
  const drawn = Float64Array.from(given, (each) =>
    each > 0 && each < Number.POSITIVE_INFINITY ? logGamma(each, generator) : Number.NaN,
  )
  const wide = dtype === 'float64' ? 'float64' : 'float32'
  return castTo(fromTypedArray(drawn, sizes, { device, dtype: wide }), dtype)
}
