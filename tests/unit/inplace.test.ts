import { describe, expect, it } from 'vitest'
import {
  AutogradError,
  arange,
  type NestedArray,
  nn,
  noGrad,
  type Tensor,
  tensor,
  ValueError,
  zeros,
} from '../../lib/index.js'
import { deviceNames } from '../suites/support.js'

describe.each(deviceNames)('copy_ on %s', (device) => {
  const numbers = () => arange(0, 6, 1, { dtype: 'float32', device })
  it('takes the tensor itself', () => {
    const x = numbers()
    x.copy_(x)
    x.view([2, 3]).copy_(x.view([2, 3]))
    expect([...x.dataSync()]).toEqual([0, 1, 2, 3, 4, 5])
  })
  it('takes parts that overlap', () => {
    const x = numbers()
    x.narrow(0, 1, 5).copy_(x.narrow(0, 0, 5))
    expect([...x.dataSync()]).toEqual([0, 0, 1, 2, 3, 4])
    const y = arange(0, 4, 1, { dtype: 'float32', device }).view([2, 2])
    y.copy_(y.transpose(0, 1))
    expect([...y.dataSync()]).toEqual([0, 2, 1, 3])
    const z = numbers()
    z.copy_(z.narrow(0, 3, 1))
    expect([...z.dataSync()]).toEqual([3, 3, 3, 3, 3, 3])
  })
  it('loads a model its own state', () => {
    const layer = new nn.Linear(3, 2, { device })
    const before = [...layer.weight.dataSync()]
    layer.loadStateDict(layer.stateDict())
    expect([...layer.weight.dataSync()]).toEqual(before)
  })
})

describe.each(deviceNames)('writing in place on %s', (device) => {
  const leaf = (value: NestedArray) => tensor(value, { device, requiresGrad: true })

  it('fill_ writes any layout, also with what is not contiguous', () => {
    const x = zeros([3, 4], { device })
    x.transpose(0, 1).narrow(0, 1, 2).fill_(5)
    x.slice([0, 3, 2], 3).fill_(7)
    expect(x.toArray()).toEqual([
      [0, 5, 5, 7],
      [0, 5, 5, 0],
      [0, 5, 5, 7],
    ])
    const bytes = zeros([2, 2], { device, dtype: 'uint8' })
    bytes.transpose(0, 1).select(0, 1).fill_(255)
    expect(bytes.toArray()).toEqual([
      [0, 255],
      [0, 255],
    ])
    zeros([0, 3], { device }).transpose(0, 1).fill_(1)
  })

  it('names its function where elements are one in memory', () => {
    const expanded = () => zeros([1, 3], { device }).expand([2, 3])
    for (const [op, write] of [
      ['copy_', (x: Tensor) => x.copy_(zeros([1], { device }))],
      ['fill_', (x: Tensor) => x.fill_(1)],
      ['zeros_', (x: Tensor) => nn.init.zeros_(x)],
      ['uniform_', (x: Tensor) => nn.init.uniform_(x)],
      ['normal_', (x: Tensor) => nn.init.normal_(x)],
    ] as const) {
      expect(() => write(expanded())).toThrow(ValueError)
      expect(() => write(expanded())).toThrow(new RegExp(`^\\[${op}\\] several elements .* clone\\(\\)`))
      write(expanded().clone())
      write(zeros([2, 1], { device }).expand([2, 1]))
    }
  })

  it('never loses a gradient: what takes part in a graph is copied under noGrad only', () => {
    const [x, y] = [leaf([1, 2]), zeros([2], { device })]
    expect(() => y.copy_(x)).toThrow(AutogradError)
    expect(() => y.copy_(x.mul(2))).toThrow(/^\[copy_\] src takes part in a graph .*detach\(\)/)
    expect(y.toArray()).toEqual([0, 0])
    noGrad(() => y.copy_(x))
    y.copy_(x.detach().mul(3))
    expect([y.toArray(), y.requiresGrad]).toEqual([[3, 6], false])
  })

  it('into views of leaves and of results is refused, like into themselves', () => {
    const x = leaf([1, 2, 3])
    for (const target of [x, x.narrow(0, 0, 2), x.view([3, 1]), x.mul(2), x.mul(2).narrow(0, 0, 1)]) {
      expect(() => target.fill_(0)).toThrow(AutogradError)
      expect(() => target.copy_(zeros([1], { device }))).toThrow(/^\[copy_\] cannot write in place into .*noGrad/)
    }
    noGrad(() => x.narrow(0, 0, 2).fill_(9))
    expect([x.toArray(), x.isLeaf]).toEqual([[9, 9, 3], true])
  })

  it('into what a backward pass needs is found out, through every view of it', () => {
    const writes: readonly ((x: Tensor) => unknown)[] = [
      (x) => x.fill_(0),
      (x) => x.copy_(zeros([1], { device })),
      (x) => x.narrow(0, 0, 1).fill_(0),
      (x) => x.detach().fill_(0),
      (x) => x.view([2, 1]).transpose(0, 1).fill_(0),
      (x) => nn.init.uniform_(x),
    ]
    for (const write of writes) {
      const [w, saved] = [leaf([1, 2]), tensor([3, 4], { device })]
      const loss = w.mul(saved).sum()
      write(saved)
      expect(() => loss.backward()).toThrow(AutogradError)
      expect(w.grad).toBeNull()
      const result = w.exp()
      const root = result.sum()
      noGrad(() => write(result))
      expect(() => root.backward()).toThrow(/^\[exp\] its backward needs output 0 as it was/)
    }
  })

  it('and a module that moves between forward and backward is found out', () => {
    const layer = new nn.Linear(2, 2, { device })
    const x = leaf([[1, 2]])
    const loss = layer.forward(x).sum()
    layer.to('bfloat16')
    expect(() => loss.backward()).toThrow(/moved to another device or dtype since/)
  })
})
