/** The row of interpolation. */
import { floats, row } from './grammar.js'

export const interpolate = {
  /**
   * x [planes, H, W] -> out [planes, P, Q], each row and column of which is a weighted sum of x's. A table of an axis
   * with R results: taps holds R + 1 ends, rising from 0, then the positions in x of the terms ends[r] to ends[r + 1]
   * of each result; weights those of the terms. Without a table the axis stays as it is.
   */
  resample: row(
    {
      out: 'out T',
      x: 'in T',
      rowTaps: 'in? int32',
      rowWeights: 'in? float32',
      columnTaps: 'in? int32',
      columnWeights: 'in? float32',
    },
    { calledAs: 'interpolate', T: floats },
  ),
} as const
