/**
 * Sorting of lines that one block cannot hold, side by side and padded, with equal elements, NaN and both zeros. Must
 * have the reference device's bits. Any difference is an error.
 */
import { device } from '../../lib/backend/devices.js'
import * as f from '../../lib/index.js'

const gpu = device('cuda')
const reference = device('reference')

/** There are so few values that many are equal. */
function numbers(count: number): Float32Array {
  let state = 3
  const special = [Number.NaN, -0, 0, Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY]
  return Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return special[state >>> 24] ?? ((state >>> 8) % 3000) - 1500
  })
}

function check(shape: readonly number[], dim: number, descending: boolean, kept: number): void {
  const count = shape.reduce((product, size) => product * size, 1)
  const [found, right] = [gpu, reference].map((on) =>
    f.scope(() => {
      const x = f.fromTypedArray(numbers(count), [...shape], { device: on })
      const [values, indices] =
        kept === shape[dim] ? f.sort(x, dim, { descending }) : f.topk(x, kept, dim, { largest: descending })
      return [...(values.dataSync() as Float32Array), ...(indices.dataSync() as Int32Array)]
    }),
  ) as [number[], number[]]
  for (const [i, value] of found.entries())
    if (!Object.is(value, right[i]))
      throw new Error(`[${shape}] along ${dim}, element ${i} is ${value}, and should be ${right[i]}`)
}

// A chunk of 4096 keys: fewer keys, exactly as many, and more; and several lines in one chunk.
check([3, 300], 1, false, 300)
check([4096], 0, true, 9)
check([4097, 2], 0, false, 4097)
