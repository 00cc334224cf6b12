/** The rows of indexing. An index outside [0, size) is recorded as an error of the call. */
import { every, float, numeric, row, rows } from './grammar.js'

export const indexing = {
  /** out[.., i, ..] = x[.., index[i], ..] along dim; index has one dimension; for blocks dim is not the last */
  index_select: row(
    { out: 'out T', x: 'in T', index: 'in int32', dim: 'integer' },
    {
      calledAs: 'indexSelect',
      T: rows,
      partly: { x: 'out' },
    },
  ),
  /** out[.., :] = weight[ids[..], :]: rows of one matrix, for ids of any shape */
  embedding: row(
    { out: 'out T', weight: 'in T', ids: 'in int32' },
    {
      T: rows,
      partly: { weight: 'out' },
    },
  ),
  /** dx = 0, then dx[.., index[i], ..] += dy[.., i, ..] in the order of i; rows with index == skip stay 0 (-1: none) */
  index_add: {
    calledAs: 'indexSelect backward',
    args: { dx: 'out T', dy: 'in T', index: 'in int32', dim: 'integer', skip: 'integer' },
    T: float,
    precision: 'float32',
  },
  /** sum[.., index[i], ..] += dy[.., i, ..] in the order of i; rows with index == skip get nothing (-1: none) */
  index_accumulate: row(
    { sum: 'inout T', dy: 'in T', index: 'in int32', dim: 'integer', skip: 'integer' },
    {
      calledAs: 'indexAdd',
      T: numeric,
      partly: { sum: 'dy' },
    },
  ),
  /** out[i][j][k] = x[i][j][index[i][j][k]] (dim 2); index may be smaller than x in the other dimensions */
  gather: row({ out: 'out T', x: 'in T', index: 'in int32', dim: 'integer' }, { T: every, partly: { x: 'out' } }),
  /** dx = 0, then dx[i][j][index[i][j][k]] += dy[i][j][k] (dim 2) */
  scatter_add: {
    calledAs: 'gather backward',
    args: { dx: 'out T', dy: 'in T', index: 'in int32', dim: 'integer' },
    T: float,
    precision: 'float32',
  },
  /**
   * dst[i][j][index[i][j][k]] = src[i][j][k] (dim 2), in the order of k, so that the last holds if an index occurs
   * twice
   */
  scatter_into: row(
    { dst: 'inout T', src: 'in T', index: 'in int32', dim: 'integer' },
    { calledAs: 'scatter', T: every, partly: { dst: 'src' } },
  ),
  /**
   * Combines src[i][j][k] into value[i][j][index[i][j][k]] (dim 2), in the order of k. `by` is 0 for the sum, 1 the
   * product, 2 the larger, 3 the smaller; NaN if either is NaN. Integers wrap around.
   */
  scatter_accumulate: row(
    { value: 'inout T', src: 'in T', index: 'in int32', dim: 'integer', by: 'integer' },
    { calledAs: 'scatter', T: numeric, precision: 'float32', partly: { value: 'src' } },
  ),
} as const
