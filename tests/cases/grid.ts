/** Cases of sampling at the positions of a grid. */
import * as f from '../../lib/index.js'
import { type Case, drawn, type ErrorCase, type Input, label, normal } from './case.js'
import { type PublicCall, sound, t } from './sound.js'
import type { ZeroSizes } from './zero.js'

const modes: readonly f.GridMode[] = ['bilinear', 'nearest', 'bicubic']
const edges: readonly f.GridPadding[] = ['zeros', 'border', 'reflection']

/**
 * Positions in and around an image or volume of these sizes, no nearer to a whole or half element than a tenth of one,
 * where slopes change.
 */
function places(batch: number, outer: f.Shape, space: f.Shape, alignCorners: boolean): Input {
  const rank = space.length
  return {
    ...normal([batch, ...outer, rank]),
    values: (random, count) =>
      drawn(count, (i) => {
        const length = space[rank - 1 - (i % rank)] as number
        const at = Math.floor(random() * (length + 2)) - 1.5 + Math.floor(2 * random()) / 2 + 0.1 + 0.3 * random()
        return alignCorners ? (2 * at) / Math.max(1, length - 1) - 1 : (2 * at + 1) / length - 1
      }),
  }
}

function sampleCase(space: f.Shape, outer: f.Shape, options: f.GridSampleOptions): Case {
  const { alignCorners = false } = options
  const grid = places(2, outer, space, alignCorners)
  return {
    op: 'gridSample',
    name: `${label(space)} at ${label(outer)} ${JSON.stringify(options)}`,
    inputs: [normal([2, 3, ...space]), grid],
    call: (x, at) => f.gridSample(x, at, options),
    length: 64,
    roundings: 128,
  }
}

export const cases: readonly Case[] = [
  sampleCase([4, 5], [3, 2], {}),
  ...modes.flatMap((mode) =>
    edges.map((paddingMode, i) => sampleCase([4, 5], [3, 2], { mode, paddingMode, alignCorners: i % 2 === 0 })),
  ),
  ...edges.map((paddingMode) => sampleCase([2, 3, 4], [2, 1, 3], { paddingMode })),
  sampleCase([2, 3, 4], [2, 1, 3], { mode: 'nearest', alignCorners: true }),
  sampleCase([1, 3], [2, 2], { paddingMode: 'reflection', alignCorners: true }),
  ...[true, false].flatMap((alignCorners) =>
    [
      [2, 1, 3, 4],
      [1, 3, 2, 1, 3],
    ].map(
      (size): Case => ({
        op: 'affineGrid',
        name: `${label(size)}${alignCorners ? ' with corners aligned' : ''}`,
        inputs: [normal([size[0] as number, size.length - 2, size.length - 1])],
        call: (theta) => f.affineGrid(theta, size, { alignCorners }),
        length: 16,
      }),
    ),
  ),
]

const x = normal([1, 2, 5, 5])
const grid = normal([1, 3, 3, 2])

export const errors: readonly ErrorCase[] = [
  {
    op: 'gridSample',
    name: 'a mode that is none',
    code: 'ERR_VALUE',
    mentions: ["'linear'", 'bilinear, nearest, bicubic'],
    call: (make) => f.gridSample(make(x), make(grid), { mode: 'linear' as never }),
  },
  {
    op: 'gridSample',
    name: 'a padding that is none',
    code: 'ERR_VALUE',
    mentions: ["'reflect'", 'zeros, border, reflection'],
    call: (make) => f.gridSample(make(x), make(grid), { paddingMode: 'reflect' as never }),
  },
  {
    op: 'gridSample',
    name: 'places of volumes in images',
    code: 'ERR_SHAPE',
    mentions: ['[2, 3, 3, 3]', '[1, 2, 5, 5]', "[N, H', W', 2]", 'different batches'],
    call: (make) => f.gridSample(make(x), make(normal([2, 3, 3, 3]))),
  },
  {
    op: 'gridSample',
    name: 'bicubic volumes',
    code: 'ERR_SHAPE',
    mentions: ['bicubic', '[1, 2, 3, 4, 5]'],
    call: (make) => f.gridSample(make(normal([1, 2, 3, 4, 5])), make(normal([1, 2, 2, 2, 3])), { mode: 'bicubic' }),
  },
  {
    op: 'gridSample',
    name: 'places of another dtype',
    code: 'ERR_DTYPE',
    mentions: ['x is float', 'grid bfloat16'],
    call: (make) => f.gridSample(make(x), make(grid).to('bfloat16')),
  },
  {
    op: 'affineGrid',
    name: 'a matrix of volumes for an image',
    code: 'ERR_SHAPE',
    mentions: ['[2, 3, 4]', '[2, 2, 3]'],
    call: (make) => f.affineGrid(make(normal([2, 3, 4])), [2, 1, 4, 4]),
  },
  {
    op: 'affineGrid',
    name: 'a size of 0',
    code: 'ERR_VALUE',
    mentions: ['size is [2, 1, 0, 4]', 'positive'],
    call: (make) => f.affineGrid(make(normal([2, 2, 3])), [2, 1, 0, 4]),
  },
  {
    op: 'affineGrid',
    name: 'a size beyond what a list holds',
    code: 'ERR_VALUE',
    mentions: ['coordinates of places', 'take a smaller size'],
    call: (make) => f.affineGrid(make(normal([2, 2, 3])), [2, 1, 3, 2 ** 40]),
  },
]

export const calls: readonly PublicCall[] = [
  sound('gridSample', f.gridSample, () => [
    t(1, 2, 4, 5),
    t(1, 3, 2, 2),
    { mode: 'bicubic', paddingMode: 'reflection', alignCorners: true },
  ]),
  sound('affineGrid', f.affineGrid, () => [t(2, 2, 3), [2, 1, 3, 4], { alignCorners: true }]),
]

export const zeroSizes: { readonly [call: string]: ZeroSizes } = {
  gridSample: {
    sizes: { n: 2, c: 2, h: 3, w: 4, p: 2 },
    inputs: ({ n = 0, c = 0, h = 0, w = 0, p = 0 }) => [normal([n, c, h, w]), normal([n, p, 3, 2])],
    call: ([x, grid]) => f.gridSample(x as f.Tensor, grid as f.Tensor),
    refuses: ['h', 'w'],
  },
  affineGrid: {
    sizes: { n: 2, h: 3, w: 4 },
    inputs: ({ n = 0 }) => [normal([n, 2, 3])],
    call: ([theta], { n = 0, h = 0, w = 0 }) => f.affineGrid(theta as f.Tensor, [n, 1, h, w]),
    refuses: ['n', 'h', 'w'],
  },
}
