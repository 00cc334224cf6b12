/** Copies in another order, diagonals, and repetitions. */
import * as f from '../../../lib/index.js'
import { bits, bytes, type Case, type ErrorCase, exactly, integers, normal } from '../case.js'
import { ints, type PublicCall, sound, t } from '../sound.js'
import { unaryZeros, type ZeroSizes } from '../zero.js'

const x = normal([3, 4])
const dims3 = normal([3, 5, 7])
const odd = exactly([5], 'int32', [2, 0, 3, 1, 1])

/** Counts that are read, on a device that has elements even if the case runs on meta. */
const read = (counts: number[]) => f.fromTypedArray(Int32Array.from(counts), [counts.length], { device: 'reference' })

export const cases: readonly Case[] = [
  { op: 'flip', name: 'first and last', inputs: [dims3], call: (t) => f.flip(t, [0, -1]) },
  { op: 'flip', name: 'of no dimension', inputs: [x], call: (t) => f.flip(t, []) },
  { op: 'flip', name: 'of one number', inputs: [normal([])], call: (t) => f.flip(t, 0) },
  { op: 'flip', name: 'of nothing', inputs: [normal([3, 0])], call: (t) => f.flip(t, [0, 1]) },
  { op: 'flip', name: 'bool, transposed', inputs: [bits([5, 33])], call: (t) => f.flip(t.transpose(0, 1), 1) },
  { op: 'flip', name: 'bytes', inputs: [bytes([2, 3])], call: (t) => f.flip(t, 1) },
  { op: 'roll', name: 'two dimensions', inputs: [dims3], call: (t) => f.roll(t, [1, -2], [0, 2]) },
  { op: 'roll', name: 'by more than there are, twice', inputs: [x], call: (t) => f.roll(t, [9, 1], [1, 1]) },
  { op: 'roll', name: 'all as one row', inputs: [x], call: (t) => f.roll(t, 5) },
  { op: 'roll', name: 'by nothing', inputs: [x], call: (t) => f.roll(t, -3, 0) },
  { op: 'roll', name: 'int32', inputs: [integers([9], -9, 9)], call: (t) => f.roll(t, 2, 0) },
  ...[-1, 0, 1, 2].map(
    (k): Case => ({ op: 'rot90', name: `${k} turns`, inputs: [dims3], call: (t) => f.mul(f.rot90(t, k, [2, 0]), 2) }),
  ),
  { op: 'tile', name: 'fewer counts than dimensions', inputs: [dims3], call: (t) => f.tile(t, [2, 3]), length: 6 },
  { op: 'tile', name: 'more counts than dimensions', inputs: [x], call: (t) => f.tile(t, [2, 1, 3]), length: 6 },
  { op: 'tile', name: 'of one number', inputs: [normal([])], call: (t) => f.tile(t, 4), length: 4 },
  { op: 'tile', name: 'no times', inputs: [x], call: (t) => f.tile(t, [0, 2]) },
  { op: 'tile', name: 'once', inputs: [x], call: (t) => f.tile(t, [1]) },
  { op: 'repeat', name: 'all dimensions', inputs: [dims3], call: (t) => f.repeat(t, [1, 2, 3]), length: 6 },
  { op: 'repeat', name: 'bool', inputs: [bits([2, 3])], call: (t) => f.repeat(t, [2, 1, 2]) },
  {
    op: 'repeatInterleave',
    name: 'by a number',
    inputs: [dims3],
    call: (t) => f.repeatInterleave(t, 3, 1),
    length: 3,
  },
  { op: 'repeatInterleave', name: 'all elements', inputs: [x], call: (t) => f.repeatInterleave(t, 2), length: 2 },
  { op: 'repeatInterleave', name: 'no times', inputs: [x], call: (t) => f.repeatInterleave(t, 0, 0) },
  {
    op: 'repeatInterleave',
    name: 'by counts',
    inputs: [dims3],
    call: (t) => f.repeatInterleave(t, read([2, 0, 3, 1, 1]), -2, { outputSize: 7 }),
    length: 3,
  },
  {
    op: 'repeatInterleave',
    name: 'by one count',
    inputs: [x],
    call: (t) => f.repeatInterleave(t, read([2]), 0),
    length: 2,
  },
  { op: 'movedim', name: 'two', inputs: [dims3], call: (t) => f.mul(f.movedim(t, [0, 1], [-1, 0]), 2) },
  { op: 'movedim', name: 'one', inputs: [dims3], call: (t) => f.mul(f.movedim(t, 0, 1), 2) },
  { op: 'diagonal', name: 'main', inputs: [x], call: (t) => f.mul(f.diagonal(t), 2) },
  {
    op: 'diagonal',
    name: 'above, of chosen dimensions',
    inputs: [dims3],
    call: (t) => f.mul(f.diagonal(t, 2, -1, 0), 2),
  },
  { op: 'diagonal', name: 'below', inputs: [dims3], call: (t) => f.mul(f.diagonal(t, -2, 1, 2), 2) },
  { op: 'diagonal', name: 'beyond the corner', inputs: [x], call: (t) => f.mul(f.diagonal(t, 4), 2) },
  { op: 'diagonal', name: 'of half a matrix', inputs: [x], call: (t) => f.mul(f.diagonal(t.slice(null, [1, 3])), 2) },
  { op: 'diagEmbed', name: 'last dimensions', inputs: [x], call: (t) => f.diagEmbed(t) },
  { op: 'diagEmbed', name: 'chosen dimensions', inputs: [x], call: (t) => f.diagEmbed(t, -2, 2, 0) },
  { op: 'diagEmbed', name: 'int32', inputs: [integers([3], 1, 9)], call: (t) => f.diagEmbed(t, 1) },
  { op: 'diag', name: 'of a vector', inputs: [normal([5])], call: (t) => f.diag(t, 1) },
  { op: 'diag', name: 'of a matrix', inputs: [x], call: (t) => f.mul(f.diag(t, -1), 2) },
  { op: 'diagonal', name: 'trace of a wide matrix', inputs: [x], call: (t) => t.trace(), length: 3 },
  ...(['tril', 'triu'] as const).flatMap((op): Case[] => [
    ...[-2, 0, 1, 9].map((k): Case => ({ op, name: `diagonal ${k}`, inputs: [dims3], call: (t) => f[op](t, k) })),
    { op, name: 'int32', inputs: [integers([4, 4], 0, 9)], call: (t) => f[op](t) },
    { op, name: 'bool', inputs: [bits([4, 4])], call: (t) => f[op](t, 1) },
  ]),
]

export const errors: readonly ErrorCase[] = [
  {
    op: 'flip',
    name: 'no dims',
    code: 'ERR_VALUE',
    mentions: ['undefined'],
    call: (m) => f.flip(m(x), undefined as never),
  },
  {
    op: 'roll',
    name: 'a shift too many',
    code: 'ERR_VALUE',
    mentions: ['2', '1'],
    call: (m) => f.roll(m(x), [1, 2], 0),
  },
  { op: 'roll', name: 'two shifts of one row', code: 'ERR_VALUE', mentions: ['2'], call: (m) => f.roll(m(x), [1, 2]) },
  { op: 'rot90', name: 'one dimension', code: 'ERR_VALUE', mentions: ['[0]'], call: (m) => f.rot90(m(x), 1, [0]) },
  { op: 'tile', name: 'a negative count', code: 'ERR_VALUE', mentions: ['-1'], call: (m) => f.tile(m(x), [-1]) },
  { op: 'repeat', name: 'too few counts', code: 'ERR_VALUE', mentions: ['[3, 4]'], call: (m) => f.repeat(m(x), 2) },
  {
    op: 'repeatInterleave',
    name: 'another number of counts',
    code: 'ERR_SHAPE',
    mentions: ['[5]', '3'],
    call: (m) => f.repeatInterleave(m(x), m(odd), 0),
  },
  {
    op: 'repeatInterleave',
    name: 'another size',
    code: 'ERR_VALUE',
    mentions: ['6', '5'],
    call: (m) => f.repeatInterleave(m(x), 2, 0, { outputSize: 5 }),
  },
  {
    op: 'repeatInterleave',
    name: 'counts of floats',
    code: 'ERR_DTYPE',
    mentions: ['float32'],
    call: (m) => f.repeatInterleave(m(x), m(normal([3])).to('float32'), 0),
  },
  {
    op: 'movedim',
    name: 'one to two',
    code: 'ERR_VALUE',
    mentions: ['1', '2'],
    call: (m) => f.movedim(m(x), 0, [0, 1]),
  },
  {
    op: 'diagonal',
    name: 'of a vector',
    code: 'ERR_SHAPE',
    mentions: ['[4]'],
    call: (m) => f.diagonal(m(normal([4]))),
  },
  {
    op: 'diagonal',
    name: 'one dimension',
    code: 'ERR_VALUE',
    mentions: ['1'],
    call: (m) => f.diagonal(m(x), 0, 1, -1),
  },
  {
    op: 'diagEmbed',
    name: 'half an offset',
    code: 'ERR_VALUE',
    mentions: ['0.5'],
    call: (m) => f.diagEmbed(m(x), 0.5),
  },
  { op: 'diag', name: 'three dimensions', code: 'ERR_SHAPE', mentions: ['[3, 5, 7]'], call: (m) => f.diag(m(dims3)) },
  { op: 'trace', name: 'a vector', code: 'ERR_SHAPE', mentions: ['[4]'], call: (m) => m(normal([4])).trace() },
  { op: 'tril', name: 'a vector', code: 'ERR_SHAPE', mentions: ['[4]'], call: (m) => f.tril(m(normal([4]))) },
]

export const calls: readonly PublicCall[] = [
  sound('flip', f.flip, () => [t(2, 3), [0, 1]]),
  sound('roll', f.roll, () => [t(2, 3), [1, 2], [0, 1]]),
  sound('rot90', f.rot90, () => [t(2, 3), 1, [0, 1]]),
  sound('tile', f.tile, () => [t(2, 3), [2, 1]]),
  sound('repeat', f.repeat, () => [t(2, 3), [2, 1]]),
  sound('repeatInterleave', f.repeatInterleave, () => [t(2, 3), 2, 1, { outputSize: 6 }]),
  sound('repeatInterleave', f.repeatInterleave, () => [t(2, 3), ints([3]), 1, {}]),
  sound('movedim', f.movedim, () => [t(2, 3), [0], [1]]),
  sound('swapaxes', f.swapaxes, () => [t(2, 3), 0, 1]),
  sound('diagonal', f.diagonal, () => [t(2, 3), 1, 0, 1]),
  sound('diagEmbed', f.diagEmbed, () => [t(2, 3), 1, 0, 1]),
  sound('diag', f.diag, () => [t(2, 3), 1]),
  sound('tril', f.tril, () => [t(2, 3), 1]),
  sound('triu', f.triu, () => [t(2, 3), 1]),
]

export const zeroSizes: { readonly [call: string]: ZeroSizes } = {
  flip: unaryZeros((x) => f.flip(x, [0, 1])),
  roll: unaryZeros((x) => f.roll(x, 1, 0)),
  rot90: unaryZeros((x) => f.rot90(x, 1)),
  tile: unaryZeros((x) => f.tile(x, [2, 1])),
  repeat: unaryZeros((x) => f.repeat(x, [2, 1])),
  repeatInterleave: unaryZeros((x) => f.repeatInterleave(x, 2, 0)),
  movedim: unaryZeros((x) => f.movedim(x, 0, 1)),
  swapaxes: unaryZeros((x) => f.swapaxes(x, 0, 1)),
  diagonal: unaryZeros((x) => f.diagonal(x)),
  diagEmbed: unaryZeros((x) => f.diagEmbed(x, 1), { fills: { n: 0 } }),
  diag: unaryZeros((x) => f.diag(x)),
  'diagonal and its trace': unaryZeros((x) => x.trace(), { fills: { m: 0, n: 0 } }),
  tril: unaryZeros((x) => f.tril(x)),
  triu: unaryZeros((x) => f.triu(x)),
}
