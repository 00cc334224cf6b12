/** Connectionist temporal classification. Its gradient is exact through log softmax. */
import * as f from '../../../lib/index.js'
import { type Case, type ErrorCase, exactly, type Input, integers, normal } from '../case.js'
import { ints, type PublicCall, sound, t } from '../sound.js'
import type { ZeroSizes } from '../zero.js'

const reductions = ['mean', 'sum', 'none'] as const
const lengths = (...values: number[]): Input => exactly([values.length], 'int32', values)

/** logits [T, N, C] and so on. */
const ofLogits = (options: f.CtcLossOptions): Case['call'] => {
  return (x, ...rest) =>
    f.ctcLoss(f.logSoftmax(x as f.Tensor, -1), ...(rest as [f.Tensor, f.Tensor, f.Tensor]), options)
}

/** Repeated labels, one label fewer than there are steps, no label at all, and a sequence that just fits. */
const batch = [
  normal([7, 4, 5]),
  exactly([4, 3], 'int32', [1, 1, 2, 3, 4, -9, 99, 2, 1, 4, 4, 4]),
  lengths(7, 3, 6, 5),
  lengths(3, 2, 0, 3),
]

export const cases: readonly Case[] = [
  ...reductions.map(
    (reduction): Case => ({
      op: 'ctcLoss',
      name: reduction,
      inputs: batch,
      call: ofLogits({ reduction }),
      length: 100,
      roundings: 100,
    }),
  ),
  {
    op: 'ctcLoss',
    name: 'impossible targets count for nothing',
    inputs: [
      normal([4, 3, 5]),
      exactly([3, 3], 'int32', [1, 1, 1, 1, 2, 3, 2, 0, 0]),
      lengths(4, 3, 0),
      lengths(3, 2, 1),
    ],
    call: ofLogits({ zeroInfinity: true }),
    length: 60,
    roundings: 100,
  },
  {
    op: 'ctcLoss',
    name: 'another blank, targets one behind another',
    inputs: [normal([6, 3, 4]), exactly([5], 'int32', [0, 1, 1, 3, 0])],
    call: (x, y) =>
      f.ctcLoss(f.logSoftmax(x as f.Tensor, -1), y as f.Tensor, [6, 5, 6], [2, 0, 3], { blank: 2, reduction: 'sum' }),
    length: 90,
    roundings: 100,
  },
  {
    op: 'ctcLoss',
    name: 'one sequence, lengths as numbers',
    inputs: [normal([6, 4]), exactly([3], 'int32', [1, 2, 2])],
    call: (x, y) => f.ctcLoss(f.logSoftmax(x as f.Tensor, -1), y as f.Tensor, 6, 3, { reduction: 'none' }),
    length: 60,
    roundings: 100,
  },
  {
    op: 'ctcLoss',
    name: 'lists of lengths',
    inputs: [normal([6, 2, 4]), integers([2, 2], 1, 4)],
    call: (x, y) => f.ctcLoss(f.logSoftmax(x as f.Tensor, -1), y as f.Tensor, [6, 5], [2, 1]),
    length: 60,
    roundings: 100,
  },
  {
    op: 'ctcLoss',
    name: 'no targets',
    inputs: [normal([3, 2, 4]), exactly([2, 0], 'int32', [])],
    call: (x, y) => f.ctcLoss(f.logSoftmax(x as f.Tensor, -1), y as f.Tensor, [3, 2], [0, 0]),
    length: 60,
    roundings: 100,
  },
  {
    op: 'ctcLoss',
    name: 'as long as sentences are',
    inputs: [normal([67, 3, 33], 2), integers([3, 19], 1, 33), lengths(67, 55, 60), lengths(19, 17, 3)],
    call: ofLogits({ reduction: 'none' }),
    length: 400,
    roundings: 400,
  },
]

const x = normal([4, 2, 3])
const y = integers([2, 2], 1, 3)
const wrong = (
  name: string,
  code: ErrorCase['code'],
  mentions: ErrorCase['mentions'],
  call: ErrorCase['call'],
): ErrorCase => ({ op: 'ctcLoss', name, code, mentions, call })

export const errors: readonly ErrorCase[] = [
  wrong('blank 3', 'ERR_VALUE', ['blank is 3', '0 to 2'], (make) =>
    f.ctcLoss(make(x), make(y), [4, 4], [2, 2], { blank: 3 }),
  ),
  wrong('a flag that is none', 'ERR_VALUE', ['zeroInfinity is 1'], (make) =>
    f.ctcLoss(make(x), make(y), [4, 4], [2, 2], { zeroInfinity: 1 as never }),
  ),
  wrong('inputs that are too long', 'ERR_VALUE', ['inputLengths[1] is 5', '0 to 4'], (make) =>
    f.ctcLoss(make(x), make(y), [4, 5], [2, 2]),
  ),
  wrong('lengths of other sequences', 'ERR_VALUE', ['targetLengths are 3', '2 sequences'], (make) =>
    f.ctcLoss(make(x), make(y), [4, 4], [2, 2, 1]),
  ),
  wrong('lengths of another shape', 'ERR_SHAPE', ['[3]', '[2]'], (make) =>
    f.ctcLoss(make(x), make(y), make(lengths(4, 4, 4)), [2, 2]),
  ),
  wrong('targets of other sequences', 'ERR_SHAPE', ['[3, 2]', '[4, 2, 3]'], (make) =>
    f.ctcLoss(make(x), make(integers([3, 2], 1, 3)), [4, 4], [2, 2]),
  ),
  wrong('targets that are not all there', 'ERR_VALUE', ['in all 4', '[3]'], (make) =>
    f.ctcLoss(make(x), make(lengths(1, 2, 1)), [4, 4], make(lengths(2, 2))),
  ),
  wrong('targets of floats', 'ERR_DTYPE', ['targets', 'int32'], (make) =>
    f.ctcLoss(make(x), make(normal([2, 2])), [4, 4], [2, 2]),
  ),
  wrong('one dimension', 'ERR_SHAPE', ['[4]'], (make) => f.ctcLoss(make(normal([4])), make(y), 4, 2)),
]

export const calls: readonly PublicCall[] = [
  sound(
    'ctcLoss',
    f.ctcLoss,
    () => [t(4, 2, 3), ints([2, 2]), [4, 3], [2, 1], { blank: 0, zeroInfinity: true, reduction: 'sum' }],
    'gather',
    'tensor',
  ),
]

export const zeroSizes: { readonly [call: string]: ZeroSizes } = {
  ctcLoss: {
    sizes: { t: 4, n: 2, c: 3, s: 2 },
    inputs: ({ t = 0, n = 0, c = 0, s = 0 }) => [normal([t, n, c]), integers([n, s], 1, 3)],
    call: ([x, y], { t = 0, n = 0, s = 0 }) =>
      f.ctcLoss(x as f.Tensor, y as f.Tensor, new Array<number>(n).fill(t), new Array<number>(n).fill(s)),
    refuses: ['t', 'n', 'c'],
  },
}
