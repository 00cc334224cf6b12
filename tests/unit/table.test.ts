/** The table of kernels: the refusals of its grammar, and the cost of calls by its rows. */
import { describe, expect, it } from 'vitest'
import { kernelOf } from '../../lib/backend/call.js'
import { callCost } from '../../lib/backend/cost.js'
import {
  checkRow,
  checkTable,
  dtypesOf,
  type KernelSpec,
  parseArguments,
  row,
} from '../../lib/backend/table/grammar.js'
import { families, familyOf, kernelNames, kernels } from '../../lib/backend/table/index.js'
import type { KernelCall, StridedView } from '../../lib/core/device.js'
import type { DType } from '../../lib/core/dtype.js'
import { device, InternalError } from '../../lib/index.js'

const view = (sizes: readonly number[], dtype: DType = 'float32', steps?: readonly number[]): StridedView => ({
  storage: device('reference').allocate(dtype, 0, false, 'test'),
  dtype,
  offset: 0,
  sizes,
  steps: steps ?? sizes.map((_, d) => sizes.slice(d + 1).reduce((a, b) => a * b, 1)),
})

describe('the grammar of the table', () => {
  it('takes arguments apart, in order', () => {
    const args = {
      out: 'place T',
      x: 'in? float',
      all: 'strided[] bool',
      eps: 'number',
      stride: 'integers',
      at: 'philox',
    } as const
    expect(parseArguments({ args, T: ['float32'] })).toEqual([
      { name: 'out', role: 'place', arity: 'one', dtype: 'T' },
      { name: 'x', role: 'in', arity: 'optional', dtype: 'float' },
      { name: 'all', role: 'strided', arity: 'list', dtype: 'bool' },
      { name: 'eps', role: 'number', arity: 'one', dtype: null },
      { name: 'stride', role: 'integers', arity: 'one', dtype: null },
      { name: 'at', role: 'philox', arity: 'one', dtype: null },
    ])
  })

  it('says the dtypes of an argument', () => {
    const spec = {
      args: { out: 'out T', a: 'in float', b: 'in any', c: 'in int32', d: 'number' },
      T: ['bool', 'uint8'],
    } as const
    expect(parseArguments(spec).map((arg) => dtypesOf(spec, arg))).toEqual([
      ['bool', 'uint8'],
      ['float32', 'bfloat16'],
      ['float32', 'bfloat16', 'float16', 'int32', 'uint8', 'bool'],
      ['int32'],
      [],
    ])
  })

  const out = { out: 'out float32' } as const
  const wrong: readonly (readonly [why: RegExp, spec: KernelSpec])[] = [
    [/'x: read float32' is not an argument/, { args: { ...out, x: 'read float32' as never } }],
    [/'x: in complex' is not an argument/, { args: { ...out, x: 'in complex' as never } }],
    [/'x: integers\?' is not an argument/, { args: { ...out, x: 'integers?' as never } }],
    [/'x: in' is not an argument/, { args: { ...out, x: 'in' as never } }],
    [/no tensor is always there/, { args: { x: 'in? float32', eps: 'number' } }],
    [/T is not said/, { args: { x: 'in T' } }],
    [/no argument is of dtype T/, { args: out, T: ['float32'] }],
    [/partly says 'x: out'/, { args: out, partly: { x: 'out' } }],
    [/partly says 'out: eps'/, { args: { ...out, eps: 'number' }, partly: { out: 'eps' } }],
    [/partly says 'out: x'/, { args: { ...out, x: 'in? float32' }, partly: { out: 'x' } }],
    [/overwritten says 'out'/, { args: out, overwritten: ['out'] }],
    [/overwritten says 'y'/, { args: out, overwritten: ['y'] }],
  ]
  it.each(wrong)('refuses a row by the name of its kernel: %s', (why, spec) => {
    expect(() => checkRow('crooked', spec)).toThrow(InternalError)
    expect(() => checkRow('crooked', spec)).toThrow(/^\[crooked\] the table of kernels has a wrong row: /)
    expect(() => checkRow('crooked', spec)).toThrow(why)
  })

  it('refuses a second row of one name', () => {
    expect(() => checkRow('add', kernels.add, 'conv')).toThrow(
      '[add] the table of kernels has a wrong row: conv has a row of this name too',
    )
    expect(() => checkRow('add', kernels.add)).not.toThrow()
    expect(() => checkTable({ conv: { add: kernels.add }, elementwise: { add: kernels.add } })).toThrow(
      '[add] the table of kernels has a wrong row: conv has a row of this name too',
    )
  })

  it('refuses no row of the table', () => {
    expect(() => checkTable(families)).not.toThrow()
  })

  it('holds facts to the arguments of their row, by type', () => {
    const args = { out: 'out float32', x: 'in? float32', eps: 'number' } as const
    // @ts-expect-error: there is no y
    row(args, { multiplyAdds: ({ y }) => y })
    // @ts-expect-error: x may be null
    row(args, { multiplyAdds: ({ x }) => x.sizes.length })
    // @ts-expect-error: eps is no tensor
    row(args, { partly: { out: 'eps' } })
    // @ts-expect-error: there is no y
    row(args, { overwritten: ['y'] })
    // @ts-expect-error: no precision
    row(args, { precision: 'high' })
    const made = row(args, { optional: true, multiplyAdds: ({ eps }) => eps })
    expect(made.args).toBe(args)
    expect(made.optional satisfies true).toBe(true)
  })

  it('gives writers their integers as they are, of any length', () => {
    const [x, weight, out] = [view([2, 6, 9, 9]), view([4, 3, 5, 3]), view([2, 4, 5, 7])]
    const options = { stride: [1], padding: [], dilation: [1, 2, 3], groups: 2, relu: true }
    const written: unknown[] = []
    const tensor = (value: StridedView) => written.push(value)
    const value = (name: string, given: unknown) => written.push([name, given])
    kernelOf('conv2d_forward').write(
      {
        out: tensor,
        place: tensor,
        dense: tensor,
        strided: tensor,
        absent: () => written.push(null),
        list: () => written.push('list'),
        number: value,
        integers: value,
        philox: () => written.push('philox'),
      },
      { out, x, weight, bias: null, ...options },
    )
    expect(written).toEqual([out, x, weight, null, ...Object.entries(options)])
  })

  it('has every kernel once, in the family of its file', () => {
    expect(Object.values(families).flatMap((rows) => Object.keys(rows))).toEqual(kernelNames)
    expect(familyOf('layer_norm_forward')).toBe('norm')
    expect(familyOf('toString')).toBeUndefined()
  })
})

describe('the cost of calls', () => {
  const cost = (kernel: string, call: KernelCall) => {
    const { readBytes, writtenBytes, multiplyAdds } = callCost(kernel, call)
    return [readBytes, writtenBytes, multiplyAdds]
  }

  it('counts what is read and written, broadcasts once', () => {
    expect(cost('add', { out: view([3, 4]), a: view([3, 4]), b: view([3, 4], 'float32', [1, 0]) })).toEqual([60, 48, 0])
    expect(cost('accumulate', { dst: view([5]), src: view([5]) })).toEqual([40, 20, 0])
    expect(callCost('copy', { out: view([5]), x: view([5], 'bfloat16') })).toEqual({
      bytes: 30,
      readBytes: 10,
      writtenBytes: 20,
      multiplyAdds: 0,
      dtype: 'bfloat16',
    })
  })

  it('counts what is touched in part by what it is touched for', () => {
    const ids = view([3], 'int32')
    expect(cost('embedding', { out: view([3, 8]), weight: view([1000, 8]), ids })).toEqual([108, 96, 0])
    expect(cost('index_accumulate', { sum: view([1000, 8]), dy: view([3, 8]), index: ids, dim: 0, skip: -1 })).toEqual([
      204, 96, 0,
    ])
  })

  it('does not read what is only overwritten', () => {
    expect(cost('copy_into', { dst: view([5]), src: view([5]) })).toEqual([20, 20, 0])
    const one = [view([5])]
    const sgd = { params: one, grads: one, momentumBuffers: [], shadows: [view([5], 'bfloat16')] }
    expect(cost('sgd', sgd)).toEqual([40, 30, 0])
  })

  it('counts multiply-adds by definition', () => {
    const [x, weight, out] = [view([2, 6, 9, 9]), view([4, 3, 5, 3]), view([2, 4, 5, 7])]
    const conv = 2 * 4 * 5 * 7 * (3 * 5 * 3)
    expect(cost('matmul', { out: view([7, 2, 5]), a: view([7, 2, 3]), b: view([7, 3, 5]), bias: null })[2]).toBe(210)
    expect(cost('matmul_accumulate', { sum: view([2, 5]), a: view([2, 3]), b: view([3, 5]) })[2]).toBe(30)
    expect(cost('conv2d_forward', { out, x, weight, bias: null, stride: [2, 1] })[2]).toBe(conv)
    expect(cost('conv2d_input_gradient', { dx: x, dy: out, weight })[2]).toBe(conv)
    expect(cost('conv2d_weight_gradient', { dweight: weight, dy: out, x })[2]).toBe(conv)
    const q = view([2, 3, 4, 5])
    const scores = { q, k: view([2, 3, 6, 5]), v: view([2, 3, 6, 7]) }
    expect(cost('attention_forward', { out: view([2, 3, 4, 7]), ...scores, offset: 6, window: 0 })[2]).toBe(6 * 24 * 12)
    for (const offset of [0, 1, 2, 3, 5, 9])
      for (const window of [0, 1, 2, 3, 7]) {
        let pairs = 0
        for (let i = 0; i < 4; i++)
          for (let j = 0; j < 6; j++) if (j <= offset + i && (window === 0 || j > offset + i - window)) pairs++
        const call = { out: view([2, 3, 4, 7]), ...scores, offset, window }
        expect(cost('attention_forward', call)[2], `${offset} ${window}`).toBe(6 * pairs * 12)
      }
    const gradients = { dq: q, dk: null, dv: scores.v }
    expect(cost('attention_backward', { ...gradients, ...scores, offset: 6, window: 0 })[2]).toBe(
      6 * 24 * (2 * 5 + 2 * 7),
    )
    const lstm = { x: view([10, 2, 3]), wIh: view([16, 3]), wHh: view([16, 4]) }
    expect(cost('lstm_forward', lstm)[2]).toBe(20 * (48 + 64))
    expect(cost('lstm_backward', { ...lstm, dx: null, dwIh: lstm.wIh, dwHh: lstm.wHh })[2]).toBe(20 * (48 + 2 * 64))
  })
})
