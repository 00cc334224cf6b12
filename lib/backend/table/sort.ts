/** The rows of sorting, and of searching sorted tensors. NaN counts as largest, and -0 as 0. */
import { numeric } from './grammar.js'

export const sort = {
  /**
   * out = the first out.sizes[dim] elements of x along dim in rising or falling order, equal ones in the order of x;
   * indices = their places in x along dim
   */
  sort: {
    args: { out: 'out T', indices: 'out int32', x: 'in T', dim: 'integer', descending: 'flag' },
    T: numeric,
  },
  /**
   * out = the number of elements of a row of `sorted` that are less than the value, or with `right` not greater; sorted
   * has one dimension, or all dimensions of values except the last
   */
  searchsorted: {
    args: { out: 'out int32', sorted: 'in T', values: 'in T', right: 'flag' },
    T: numeric,
    precision: 'widest',
  },
} as const
