/** Orders of a dataset's items. */
import type { Generator } from '../core/generator.js'
import { philox4 } from '../core/philox.js'

/** A random order of 0 .. length - 1 (Fisher and Yates), the same for the same generator state. */
export function permutation(length: number, generator: Generator): number[] {
  const { seed, stream, offset } = generator.take(2 * length)
  const order = Array.from({ length }, (_, i) => i)
  const words = new Uint32Array(4)
  for (let i = length - 1; i > 0; i--) {
    // Two words make 53 bits: without bias for any length that fits in memory.
    if (i % 2 === 1 || i === length - 1) philox4(seed, stream, offset + (i >> 1), words)
    const half = (i % 2) * 2
    const unit = ((words[half] as number) * 2 ** 21 + ((words[half + 1] as number) >>> 11)) / 2 ** 53
    const j = Math.floor(unit * (i + 1))
    const moved = order[i] as number
    order[i] = order[j] as number
    order[j] = moved
  }
  return order
}
