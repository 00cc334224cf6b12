import * as f from '../../lib/index.js'
import { bytes, type Case, constant, distinct, type ErrorCase, exactly, integers, normal } from './case.js'
import { bools, ints, type PublicCall, sound, t } from './sound.js'
import { unaryZeros, type ZeroSizes } from './zero.js'

/** Line lengths around those by which sorting changes its way: insertion, and candidates (1024, or four times k). */
const lines = [1, 2, 31, 47, 48, 49, 1023, 1024, 1025, 5000]

const special = exactly([3, 4], 'float', [
  1,
  Number.NaN,
  -0,
  0,
  Number.POSITIVE_INFINITY,
  2,
  Number.NEGATIVE_INFINITY,
  Number.NaN,
  0,
  -0,
  -1,
  0,
])

const ordered: readonly Case[] = [
  ...lines.map((n) => ({
    op: 'sort',
    name: `a line of ${n}`,
    inputs: [constant(integers([n], -n, n))],
    call: (x: f.Tensor) => [...f.sort(x), ...f.sort(x, 0, { descending: true })],
  })),
  ...[0, 1, 2].map((dim) => ({
    op: 'sort',
    name: `along ${dim}`,
    inputs: [distinct([4, 5, 6])],
    call: (x: f.Tensor) => f.sort(x, dim, { descending: dim === 1 }),
  })),
  {
    op: 'sort',
    name: 'NaN, infinities and zeros',
    inputs: [special],
    call: (x) => [...f.sort(x), ...f.sort(x, 1, { descending: true })],
  },
  { op: 'sort', name: 'a number', inputs: [distinct([])], call: (x) => f.sort(x) },
  { op: 'sort', name: 'uint8', inputs: [bytes([5, 33])], call: (x) => f.sort(x, 1, { stable: true }) },
  {
    op: 'argsort',
    name: 'of columns',
    inputs: [constant(distinct([33, 5]))],
    call: (x) => f.argsort(x, 0, { descending: true }),
  },
  ...lines.flatMap((n) =>
    [1, Math.min(n, 50)].map((k, i) => ({
      op: 'topk',
      name: `${k} of ${n}${i === 0 ? '' : ', smallest'}`,
      inputs: [constant(normal([2, n]))],
      call: (x: f.Tensor) => f.topk(x, k, 1, { largest: i === 0 }),
    })),
  ),
  {
    op: 'topk',
    name: 'of equals',
    inputs: [integers([5000], 0, 3)],
    call: (x) => [...f.topk(x, 60), ...f.topk(x, 60, 0, { largest: false })],
  },
  {
    op: 'topk',
    name: 'of what rises',
    inputs: [
      exactly(
        [9000],
        'float',
        Array.from({ length: 9000 }, (_, i) => (i % 4000 === 17 ? Number.NaN : i)),
      ),
    ],
    call: (x) => [...f.topk(x, 300), ...f.topk(x, 300, 0, { largest: false })],
  },
  {
    op: 'topk',
    name: 'along the middle',
    inputs: [distinct([4, 5, 3])],
    call: (x) => f.topk(x, 2, 1, { sorted: false }),
  },
  { op: 'topk', name: 'NaN, infinities and zeros', inputs: [special], call: (x) => f.topk(x, 3) },
  { op: 'topk', name: 'none', inputs: [normal([3, 4])], call: (x) => f.topk(x, 0) },
  { op: 'kthvalue', name: 'of rows', inputs: [distinct([4, 33])], call: (x) => f.kthvalue(x, 7) },
  {
    op: 'kthvalue',
    name: 'of columns',
    inputs: [distinct([5, 3])],
    call: (x) => f.kthvalue(x, 5, 0, { keepdim: true }),
  },
  { op: 'median', name: 'of an even number', inputs: [distinct([4, 6])], call: (x) => f.median(x, 1) },
  {
    op: 'median',
    name: 'of an odd number',
    inputs: [distinct([5, 3])],
    call: (x) => f.median(x, 0, { keepdim: true }),
  },
  { op: 'median', name: 'of all', inputs: [distinct([4, 5])], call: (x) => f.median(x) },
  { op: 'median', name: 'NaN, infinities and zeros', inputs: [special], call: (x) => [f.median(x), ...f.median(x, 0)] },
  { op: 'median', name: 'int32', inputs: [integers([5, 33], -9, 9)], call: (x) => [...f.median(x, 1)] },
]

const withNaN = exactly([2, 3, 3], 'float', [
  3,
  Number.NaN,
  1,
  5,
  2,
  Number.NaN,
  4,
  4.5,
  0,
  Number.NaN,
  Number.NaN,
  Number.NaN,
  -1,
  7,
  2.5,
  0,
  8,
  -3,
])
const ways = ['linear', 'lower', 'higher', 'midpoint', 'nearest'] as const

const shares: readonly Case[] = [
  ...ways.map(
    (interpolation): Case => ({
      op: 'quantile',
      name: interpolation,
      inputs: [distinct([3, 7, 2])],
      call: (x) => [
        f.quantile(x, 0.3, 1, { interpolation }),
        f.quantile(x, [0, 0.5, 0.77, 1], -1, { interpolation, keepdim: true }),
        f.quantile(x, 0.9, null, { interpolation, keepdim: true }),
      ],
      length: 8,
      roundings: 64,
    }),
  ),
  {
    op: 'quantile',
    name: 'NaN',
    inputs: [withNaN],
    call: (x) => [f.quantile(x, 0.25, 2), f.nanquantile(x, [0, 0.4, 1], 2), f.nanquantile(x, 0.6)],
    roundings: 64,
  },
  {
    op: 'nanquantile',
    name: 'of rows',
    inputs: [distinct([4, 33])],
    call: (x) => f.nanquantile(x, [0.25, 0.5], 1, { keepdim: true }),
    length: 8,
    roundings: 64,
  },
  { op: 'quantile', name: 'a number', inputs: [distinct([])], call: (x) => f.quantile(x, [0.1, 0.9]), length: 2 },
  { op: 'nanmedian', name: 'of all', inputs: [distinct([4, 5])], call: (x) => f.nanmedian(x) },
  { op: 'nanmedian', name: 'of rows', inputs: [distinct([4, 6])], call: (x) => f.nanmedian(x, 1) },
  {
    op: 'nanmedian',
    name: 'NaN',
    inputs: [withNaN],
    call: (x) => [f.nanmedian(x), ...f.nanmedian(x, 2, { keepdim: true }), ...f.nanmedian(x, 1)],
  },
  { op: 'mode', name: 'of rows', inputs: [distinct([4, 9])], call: (x) => f.mode(x) },
  {
    op: 'mode',
    name: 'of equals',
    inputs: [integers([5, 33], -3, 3), special],
    call: (x, s) => [
      ...f.mode(x as f.Tensor),
      ...f.mode(x as f.Tensor, 0, { keepdim: true }),
      ...f.mode(s as f.Tensor),
    ],
  },
  { op: 'mode', name: 'a number', inputs: [distinct([])], call: (x) => f.mode(x) },
]

const boundaries = exactly([7], 'float', [-2, -1, -1, 0, 1, 1, 3])

const searched: readonly Case[] = [
  {
    op: 'isin',
    name: 'of numbers',
    inputs: [integers([5, 33], 0, 50), integers([3, 7], 0, 50)],
    call: (x, test) => [
      f.isin(x as f.Tensor, test as f.Tensor),
      f.isin(x as f.Tensor, test as f.Tensor, { invert: true }),
      f.isin(x as f.Tensor, f.narrow(test as f.Tensor, 0, 0, 0)),
    ],
  },
  {
    op: 'isin',
    name: 'NaN, infinities and zeros',
    inputs: [special, boundaries],
    call: (x, test) => [
      f.isin(x as f.Tensor, test as f.Tensor),
      f.isin(x as f.Tensor, x as f.Tensor),
      // Both hold NaN and numbers; one number is larger than all of the other tensor's.
      f.isin(test as f.Tensor, f.narrow(x as f.Tensor, 0, 0, 2)),
    ],
  },
  {
    op: 'searchsorted',
    name: 'of one row',
    inputs: [boundaries, exactly([2, 5], 'float', [-3, -1, 0, 1, 4, -2, 3, -0, Number.NaN, Number.NEGATIVE_INFINITY])],
    call: (sorted, values) => [
      f.searchsorted(sorted as f.Tensor, values as f.Tensor),
      f.searchsorted(sorted as f.Tensor, values as f.Tensor, { right: true }),
      f.searchsorted(sorted as f.Tensor, 1, { right: true }),
    ],
  },
  {
    op: 'searchsorted',
    name: 'row by row',
    inputs: [constant(normal([3, 33])), constant(normal([3, 4]))],
    call: (x, values) => f.searchsorted(f.sort(x as f.Tensor)[0], values as f.Tensor),
  },
  {
    op: 'searchsorted',
    name: 'through an order',
    inputs: [constant(normal([3, 33])), constant(normal([3, 4]))],
    call: (x, values) =>
      f.searchsorted(x as f.Tensor, values as f.Tensor, { sorter: f.argsort(x as f.Tensor), right: true }),
  },
  {
    op: 'searchsorted',
    name: 'int32, more than a chunk',
    inputs: [integers([1000], 0, 500), integers([2, 1025], -9, 509)],
    call: (x, values) => f.searchsorted(f.sort(x as f.Tensor)[0], values as f.Tensor),
  },
  {
    op: 'bucketize',
    name: 'both ways',
    inputs: [constant(normal([4, 5], 2)), boundaries],
    call: (x, edges) => [
      f.bucketize(x as f.Tensor, edges as f.Tensor),
      f.bucketize(x as f.Tensor, edges as f.Tensor, { right: true }),
    ],
  },
]

/** Sizes that depend on the elements, which a device without elements cannot tell. */
const counted: readonly Case[] = [
  { op: 'nonzero', name: 'of a matrix', inputs: [integers([4, 5], -1, 2)], call: (x) => f.nonzero(x) },
  {
    op: 'nonzero',
    name: 'by dimension',
    inputs: [integers([4, 5], -1, 2)],
    call: (x) => f.nonzero(x, { asTuple: true }),
  },
  { op: 'nonzero', name: 'NaN', inputs: [special], call: (x) => f.nonzero(x) },
  {
    op: 'unique',
    name: 'with all results',
    inputs: [integers([4, 9], -3, 3)],
    call: (x) => f.unique(x, { returnInverse: true, returnCounts: true }),
  },
  {
    op: 'unique',
    name: 'as they occur',
    inputs: [integers([4, 9], -3, 3)],
    call: (x) => f.unique(x, { sorted: false, returnInverse: true, returnCounts: true }),
  },
  {
    op: 'unique',
    name: 'slices',
    inputs: [integers([3, 40, 2], 0, 2)],
    call: (x) => f.unique(x, { dim: 1, returnInverse: true, returnCounts: true }),
  },
  { op: 'unique', name: 'NaN', inputs: [special], call: (x) => f.unique(x, { returnCounts: true }) },
  {
    op: 'uniqueConsecutive',
    name: 'with all results',
    inputs: [integers([4, 9], 0, 2)],
    call: (x) => f.uniqueConsecutive(x, { returnInverse: true, returnCounts: true }),
  },
  {
    op: 'uniqueConsecutive',
    name: 'slices',
    inputs: [integers([40, 2], 0, 2)],
    call: (x) => f.uniqueConsecutive(x, { dim: 0, returnInverse: true, returnCounts: true }),
  },
  { op: 'uniqueConsecutive', name: 'NaN', inputs: [special], call: (x) => f.uniqueConsecutive(x) },
  {
    op: 'histc',
    name: 'of all, and of a range',
    inputs: [constant(normal([5, 333]))],
    call: (x) => [f.histc(x as f.Tensor, { bins: 7 }), f.histc(x as f.Tensor, { bins: 33, min: -1, max: 2 })],
  },
  { op: 'histc', name: 'NaN', inputs: [withNaN], call: (x) => f.histc(x as f.Tensor, { bins: 3, min: 0, max: 8 }) },
  { op: 'bincount', name: 'of bytes', inputs: [bytes([333])], call: (x) => f.bincount(x) },
  {
    op: 'bincount',
    name: 'with weights',
    inputs: [integers([33], 0, 5), constant(normal([33]))],
    call: (x, w) => f.bincount(x as f.Tensor, { weights: w as f.Tensor, minlength: 9 }),
    length: 33,
  },
] as Case[]

export const cases: readonly Case[] = [
  ...ordered,
  ...shares,
  ...searched,
  ...counted.map((each) => ({ ...each, without: { meta: 'its elements say how many results there are' } })),
]

/** The number of cases that are excused, by check. */
export const excused = { meta: 14 }

const x = normal([3, 4])

export const errors: readonly ErrorCase[] = [
  { op: 'sort', name: 'a dimension too many', code: 'ERR_VALUE', mentions: ['2'], call: (make) => f.sort(make(x), 2) },
  {
    op: 'topk',
    name: 'more than there are',
    code: 'ERR_VALUE',
    mentions: ['5', '[3, 4]'],
    call: (make) => f.topk(make(x), 5),
  },
  { op: 'topk', name: 'half a one', code: 'ERR_VALUE', mentions: ['0.5'], call: (make) => f.topk(make(x), 0.5) },
  { op: 'kthvalue', name: 'the 0th', code: 'ERR_VALUE', mentions: ['0', '4'], call: (make) => f.kthvalue(make(x), 0) },
  {
    op: 'median',
    name: 'of nothing',
    code: 'ERR_VALUE',
    mentions: ['[0, 4]'],
    call: (make) => f.median(make(normal([0, 4])), 0),
  },
  {
    op: 'searchsorted',
    name: 'rows that do not fit',
    code: 'ERR_SHAPE',
    mentions: ['[3, 4]', '[2, 4]'],
    call: (make) => f.searchsorted(make(x), make(normal([2, 4]))),
  },
  {
    op: 'searchsorted',
    name: 'other dtypes',
    code: 'ERR_DTYPE',
    mentions: ['int32', 'float'],
    call: (make) => f.searchsorted(make(normal([4])), make(integers([4], 0, 9))),
  },
  {
    op: 'bucketize',
    name: 'boundaries of two dimensions',
    code: 'ERR_SHAPE',
    mentions: ['[3, 4]'],
    call: (make) => f.bucketize(make(x), make(x)),
  },
  {
    op: 'unique',
    name: 'a dimension too many',
    code: 'ERR_VALUE',
    mentions: ['2'],
    call: (make) => f.unique(make(x), { dim: 2 }),
  },
  { op: 'quantile', name: 'beyond 1', code: 'ERR_VALUE', mentions: ['1.5'], call: (make) => f.quantile(make(x), 1.5) },
  {
    op: 'quantile',
    name: 'of nothing',
    code: 'ERR_VALUE',
    mentions: ['[0, 4]'],
    call: (make) => f.quantile(make(normal([0, 4])), 0.5, 0),
  },
  {
    op: 'nanquantile',
    name: 'of integers',
    code: 'ERR_DTYPE',
    mentions: ['int32'],
    call: (make) => f.nanquantile(make(integers([4], 0, 9)), 0.5),
  },
  {
    op: 'nanmedian',
    name: 'of nothing',
    code: 'ERR_VALUE',
    mentions: ['[0, 4]'],
    call: (make) => f.nanmedian(make(normal([0, 4])), 0),
  },
  {
    op: 'mode',
    name: 'of nothing',
    code: 'ERR_VALUE',
    mentions: ['[0, 4]'],
    call: (make) => f.mode(make(normal([0, 4])), 0),
  },
  {
    op: 'histc',
    name: 'limits that cross',
    code: 'ERR_VALUE',
    mentions: ['2', '1'],
    call: (make) => f.histc(make(x), { min: 2, max: 1 }),
  },
  {
    op: 'histc',
    name: 'no limits',
    code: 'ERR_VALUE',
    mentions: ['NaN'],
    call: (make) => f.histc(make(special)),
  },
  {
    op: 'bincount',
    name: 'floats',
    code: 'ERR_DTYPE',
    mentions: ['float'],
    call: (make) => f.bincount(make(normal([4]))),
  },
  {
    op: 'bincount',
    name: 'negative ones',
    code: 'ERR_INDEX',
    mentions: ['-1'],
    call: (make) => f.bincount(make(exactly([2], 'int32', [3, -1]))),
  },
  {
    op: 'bincount',
    name: 'weights of another shape',
    code: 'ERR_SHAPE',
    mentions: ['[4]', '[3]'],
    call: (make) => f.bincount(make(integers([4], 0, 9)), { weights: make(normal([3])) }),
  },
]

export const calls: readonly PublicCall[] = [
  sound('sort', f.sort, () => [t(2, 3), 0, { descending: true, stable: true }], 'gather'),
  sound('argsort', f.argsort, () => [t(2, 3), 0, { descending: true, stable: true }]),
  sound('topk', f.topk, () => [t(2, 3), 1, 0, { largest: false, sorted: false }]),
  sound('kthvalue', f.kthvalue, () => [t(2, 3), 1, 0, { keepdim: true }]),
  sound('median', f.median, () => [t(2, 3), 0, { keepdim: true }]),
  sound('quantile', f.quantile, () => [t(2, 3), 0.5, 1, { keepdim: true, interpolation: 'nearest' }], 'sort'),
  sound('nanquantile', f.nanquantile, () => [t(2, 3), [0.5], 1, { keepdim: true, interpolation: 'lower' }], 'sort'),
  sound('nanmedian', f.nanmedian, () => [t(2, 3), 0, { keepdim: true }]),
  sound('mode', f.mode, () => [t(2, 3), 0, { keepdim: true }]),
  sound('isin', f.isin, () => [t(2, 3), t(4), { invert: true }]),
  sound('uniqueConsecutive', f.uniqueConsecutive, () => [t(2, 3), { returnInverse: true, returnCounts: true, dim: 0 }]),
  sound('histc', f.histc, () => [t(2, 3), { bins: 3, min: 0, max: 1 }]),
  sound('searchsorted', f.searchsorted, () => [t(2, 3), t(2, 4), { right: true, sorter: ints([2, 3]) }]),
  sound('bucketize', f.bucketize, () => [t(2, 3), t(4), { right: true }]),
  sound('nonzero', f.nonzero, () => [bools(2, 3), { asTuple: true }]),
  sound('unique', f.unique, () => [t(2, 3), { sorted: false, returnInverse: true, returnCounts: true, dim: 0 }]),
  sound('bincount', f.bincount, () => [ints([4]), { weights: t(4), minlength: 3 }]),
]

const distinctly = { inputs: ({ m = 0, n = 0 }) => [distinct([m, n])] }

export const zeroSizes: { readonly [call: string]: ZeroSizes } = {
  sort: { ...unaryZeros((x) => f.sort(x, 0)), ...distinctly },
  argsort: { ...unaryZeros((x) => f.argsort(x)), ...distinctly },
  topk: { ...unaryZeros((x) => f.topk(x, 2, 0), { refuses: ['m'] }), ...distinctly },
  kthvalue: { ...unaryZeros((x) => f.kthvalue(x, 2, 0), { refuses: ['m'] }), ...distinctly },
  median: { ...unaryZeros((x) => f.median(x, 0), { refuses: ['m'] }), ...distinctly },
  'median of all': unaryZeros((x) => f.median(x), { fills: { m: Number.NaN, n: Number.NaN } }),
  searchsorted: {
    sizes: { m: 3, n: 2 },
    inputs: ({ m = 0, n = 0 }) => [constant(normal([n])), constant(normal([m]))],
    call: ([sorted, values]) => f.searchsorted(sorted as f.Tensor, values as f.Tensor),
    fills: { n: 0 },
  },
  bucketize: {
    sizes: { m: 3, n: 2 },
    inputs: ({ m = 0, n = 0 }) => [constant(normal([m])), constant(normal([n]))],
    call: ([values, edges]) => f.bucketize(values as f.Tensor, edges as f.Tensor),
    fills: { n: 0 },
  },
  nonzero: unaryZeros((x) => f.nonzero(x)),
  quantile: { ...unaryZeros((x) => f.quantile(x, [0.5], 0), { refuses: ['m'] }), ...distinctly },
  nanquantile: { ...unaryZeros((x) => f.nanquantile(x, 0.5, 0), { refuses: ['m'] }), ...distinctly },
  nanmedian: { ...unaryZeros((x) => f.nanmedian(x, 0), { refuses: ['m'] }), ...distinctly },
  'nanmedian of all': unaryZeros((x) => f.nanmedian(x), { fills: { m: Number.NaN, n: Number.NaN } }),
  mode: { ...unaryZeros((x) => f.mode(x, 0), { refuses: ['m'] }), ...distinctly },
  isin: {
    sizes: { m: 3, n: 2 },
    inputs: ({ m = 0, n = 0 }) => [integers([m], 0, 3), integers([n], 0, 3)],
    call: ([x, test]) => f.isin(x as f.Tensor, test as f.Tensor),
    fills: { n: 0 },
  },
  uniqueConsecutive: unaryZeros((x) => f.uniqueConsecutive(x)),
  histc: unaryZeros((x) => f.histc(x, { bins: 3 }), { fills: { m: 0, n: 0 } }),
  unique: unaryZeros((x) => f.unique(x)),
  bincount: { sizes: { m: 3 }, inputs: ({ m = 0 }) => [integers([m], 0, 3)], call: ([x]) => f.bincount(x as f.Tensor) },
}
