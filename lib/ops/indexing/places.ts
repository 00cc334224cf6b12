/** The places of true elements, as indices. */
import { countOf, type Shape } from '../../core/shape.js'

/** The places of elements that are not 0, in row-major order. */
export function placesOf(truths: ArrayLike<number>): Int32Array {
  let count = 0
  for (let i = 0; i < truths.length; i++) if (truths[i] !== 0) count++
  const places = new Int32Array(count)
  for (let i = 0, at = 0; i < truths.length; i++) if (truths[i] !== 0) places[at++] = i
  return places
}

/** The same places as indices along each dimension. */
export function columnsOf(places: Int32Array, sizes: Shape): Int32Array[] {
  return sizes.map((size, d) => {
    const stride = countOf(sizes.slice(d + 1))
    return Int32Array.from(places, (i) => Math.floor(i / stride) % size)
  })
}
