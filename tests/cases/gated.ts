/** Functions of two tensors, of which one decides how much of the other passes. */
import * as f from '../../lib/index.js'
import { type Case, constant, type ErrorCase, exactly, normal } from './case.js'
import { type PublicCall, sound, t } from './sound.js'
import { mn, type ZeroSizes } from './zero.js'

const special = exactly([13], 'float', [
  ...[Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0, -0, 1, -1, 20, -20, 87, -87, 3, -3],
])

const turned = (x: f.Tensor | undefined): f.Tensor => f.transpose(x as f.Tensor, 0, 1)

export const cases: readonly Case[] = [
  ...[[31], [0], [3, 33], [70001]].map(
    (shape): Case => ({
      op: 'swiglu',
      name: `[${shape}]`,
      inputs: [normal(shape), normal(shape)],
      call: (gate, up) => f.swiglu(gate as f.Tensor, up as f.Tensor),
    }),
  ),
  {
    op: 'swiglu',
    name: 'a gate that lies across',
    inputs: [normal([33, 40]), normal([40, 33])],
    call: (gate, up) => f.swiglu(turned(gate), up as f.Tensor),
  },
  {
    op: 'swiglu',
    name: 'broadcast',
    inputs: [normal([3, 5]), normal([5])],
    call: (gate, up) => f.swiglu(gate as f.Tensor, up as f.Tensor),
    length: 3,
  },
  {
    op: 'swiglu',
    name: 'a frozen factor',
    inputs: [normal([3, 5]), constant(normal([3, 5]))],
    call: (gate, up) => f.swiglu(gate as f.Tensor, up as f.Tensor),
  },
  {
    op: 'swiglu',
    name: 'ends',
    inputs: [special, constant(normal([13]))],
    call: (gate, up) => f.swiglu(gate as f.Tensor, up as f.Tensor),
  },
]

export const errors: readonly ErrorCase[] = [
  {
    op: 'swiglu',
    name: 'integers',
    code: 'ERR_DTYPE',
    mentions: ['up is int32', 'float32'],
    call: (make) => f.swiglu(make(normal([2])), make(exactly([2], 'int32', [1, 2]))),
  },
  {
    op: 'swiglu',
    name: 'shapes that do not broadcast',
    code: 'ERR_SHAPE',
    mentions: ['[2, 3]', '[2]'],
    call: (make) => f.swiglu(make(normal([2, 3])), make(normal([2]))),
  },
]

export const calls: readonly PublicCall[] = [sound('swiglu', f.swiglu, () => [t(2, 4), t(2, 4)], 'mul')]

export const zeroSizes: { readonly [call: string]: ZeroSizes } = {
  swiglu: {
    sizes: mn,
    inputs: ({ m = 0, n = 0 }) => [normal([m, n]), normal([m, n])],
    call: ([a, b]) => f.swiglu(a as f.Tensor, b as f.Tensor),
  },
}
