/** The row of interpolation. */
import { floats, row } from './grammar.js'

export const interpolate = {
  /**
   * x [planes, H, W] -> out [planes, P, Q], each row and column of which is a weighted sum of x's. The table of an axis
   * with R results: taps holds R + 1 ends, rising from 0, and then the positions in x of each result's terms, from
   * ends[r] to ends[r + 1]; weights holds the weights of the terms. Without a table the axis is unchanged.
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
