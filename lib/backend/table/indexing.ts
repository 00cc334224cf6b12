/** The rows of indexing. An index outside [0, size) is recorded as an error of the call. */
import { every, float, row, rows } from './grammar.js'

export const indexing = {
  /** out[.., i, ..] = x[.., index[i], ..] along dim; index has one dimension; of blocks dim is not the last */
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
      calledAs: 'indexSelect backward',
      T: float,
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
} as const
