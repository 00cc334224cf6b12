/** Sorting along a dimension, and binary search. */
import type { Kernels } from '../table/index.js'
import type { HostView } from './view.js'
import { around } from './walk.js'

/** The order of two numbers, negative if a comes before b. NaN is larger than everything else. */
function order(a: number, b: number): number {
  if (Number.isNaN(a) || Number.isNaN(b)) return Number(Number.isNaN(a)) - Number(Number.isNaN(b))
  return a < b ? -1 : Number(a > b)
}

export const sort = {
  sort({ out, indices, x, dim, descending }) {
    const { outer, size, inner } = around(x.shape, dim)
    const kept = out.shape[dim] ?? 1
    const places = new Int32Array(size)
    for (let a = 0; a < outer; a++) {
      for (let b = 0; b < inner; b++) {
        const first = x.offset + a * size * inner + b
        const at = (i: number) => x.data[first + i * inner] as number
        for (let i = 0; i < size; i++) places[i] = i
        // Ties are ordered by place, because sorting a typed array is not guaranteed to be stable.
        places.sort((i, j) => (descending ? order(at(j), at(i)) : order(at(i), at(j))) || i - j)
        for (let k = 0; k < kept; k++) {
          const to = (a * kept + k) * inner + b
          const place = places[k] as number
          out.data[out.offset + to] = at(place)
          indices.data[indices.offset + to] = place
        }
      }
    }
  },

  searchsorted({ out, sorted, values, right }) {
    const size = sorted.shape.at(-1) ?? 1
    const { outer: rows } = around(sorted.shape, sorted.shape.length - 1)
    const { outer, size: last } = around(values.shape, values.shape.length - 1)
    const count = outer * last
    const each = rows === 0 ? 0 : count / rows
    for (let i = 0; i < count; i++) {
      const value = values.data[values.offset + i] as number
      const row = sorted.offset + Math.floor(i / each) * size
      let low = 0
      let high = size
      while (low < high) {
        const middle = (low + high) >>> 1
        const here = sorted.data[row + middle] as number
        if (right ? !(here > value) : !(here >= value)) low = middle + 1
        else high = middle
      }
      out.data[out.offset + i] = low
    }
  },
} satisfies Pick<Kernels<HostView>, 'sort' | 'searchsorted'>
