/** The rows of sorting and of searching in what is sorted. NaN counts as largest, and -0 as 0. */
import { numeric } from './grammar.js'

export const sort = {
  /**
   * out = the first out.sizes[dim] elements of x along dim in rising or falling order, those that are equal in the
   * order of x; indices = where they stand in x along dim
   */
  sort: {
    args: { out: 'out T', indices: 'out int32', x: 'in T', dim: 'integer', descending: 'flag' },
    T: numeric,
  },
  /**
   * out = how many elements of a row of `sorted` are less than the value, or with `right` no greater; sorted has one
   * dimension, or those of values but for the last
   */
  searchsorted: {
    args: { out: 'out int32', sorted: 'in T', values: 'in T', right: 'flag' },
    T: numeric,
    precision: 'widest',
  },
} as const
