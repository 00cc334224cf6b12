/** Creation functions: they have no inputs, so that only their sizes and options vary. */
import * as f from '../../lib/index.js'
import type { Case, ErrorCase } from './case.js'
import { creation, type ZeroSizes } from './zero.js'

export const cases: readonly Case[] = []
export const errors: readonly ErrorCase[] = [
  { op: 'zeros', name: 'a size of -1', code: 'ERR_VALUE', mentions: ['-1'], call: () => f.zeros([2, -1]) },
  { op: 'eye', name: 'half a row', code: 'ERR_VALUE', mentions: ['1.5'], call: () => f.eye(1.5) },
  {
    op: 'arange',
    name: 'a step of 0',
    code: 'ERR_VALUE',
    mentions: ['step', '0'],
    call: () => f.arange(0, 4, 0),
  },
]

export const zeroSizes: { readonly [call: string]: ZeroSizes } = {
  zeros: creation(({ m = 0, n = 0 }) => f.zeros([m, n])),
  ones: creation(({ m = 0, n = 0 }) => f.ones([m, n])),
  full: creation(({ m = 0, n = 0 }) => f.full([m, n], 2)),
  eye: creation(({ m = 0, n = 0 }) => f.eye(m, n)),
  arange: creation(({ m = 0 }) => f.arange(0, m)),
  tensor: creation(({ m = 0, n = 0 }) => f.tensor(Array.from({ length: m }, () => new Array<number>(n).fill(1)))),
  fromTypedArray: creation(({ m = 0, n = 0 }) => f.fromTypedArray(new Float32Array(m * n), [m, n])),
}
