/** The rows of copies; views cost nothing and have no kernel. */
import { every, numbers, numeric, row } from './grammar.js'

export const shape = {
  /**
   * out = x, converted to out's dtype (floats to integers truncate, anything to bool is != 0); only dense float32
   * becomes blocks, and blocks must lie along the last dimension
   */
  copy: { args: { out: 'out stored', x: 'strided stored' } },
  /** dst = src (same shape; src may be broadcast), converted to dst's dtype; blocks only to the same dtype */
  copy_into: row({ dst: 'update stored', src: 'strided stored' }, { overwritten: ['dst'] }),
  /** dst += src */
  accumulate: { args: { dst: 'update T', src: 'strided T' }, T: numbers },
  fill: { args: { out: 'out stored', value: 'number' } },
  /** out[i] = start + i * step */
  arange: { args: { out: 'out T', start: 'number', step: 'number' }, T: numeric },
  cat: { args: { out: 'out T', inputs: 'strided[] T', dim: 'integer' }, T: every },
} as const
