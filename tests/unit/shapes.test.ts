/** Shapes that enter or leave the library are copies. No change of a program's list affects a tensor. */
import vm from 'node:vm'
import { describe, expect, it } from 'vitest'
import * as f from '../../lib/index.js'
import { deviceNames } from '../suites/support.js'

describe.each(deviceNames)('shapes on %s', (device) => {
  const six = () => f.arange(0, 6, 1, { dtype: 'float32', device })
  const rows = [
    [0, 1, 2],
    [3, 4, 5],
  ]

  it('are copied when they come in, by every function that takes one', () => {
    const row = f.ones([1, 3], { device })
    const ways: readonly ((shape: number[]) => f.Tensor)[] = [
      (s) => six().reshape(s),
      (s) => six().view(s),
      (s) => row.expand(s),
      (s) => f.zeros(s, { device }),
      (s) => f.ones(s, { device }),
      (s) => f.full(s, 2, { device }),
      (s) => f.rand(s, { device }),
      (s) => f.randn(s, { device }),
      (s) => f.randint(0, 2, s, { device }),
      (s) => f.fromTypedArray(new Float32Array(6), s, { device }),
    ]
    for (const way of ways) {
      const shape = [2, 3]
      const x = way(shape)
      shape[0] = 100
      shape.push(7)
      expect(x.shape, `${way}`).toEqual([2, 3])
      expect(x.toArray()).toHaveLength(2)
      expect(x.numel).toBe(6)
    }
    const order = [1, 0]
    const turned = six().view([2, 3]).permute(order)
    order[0] = 0
    expect(turned.shape).toEqual([3, 2])
    const sizes = [2, 4]
    const parts = six().split(sizes)
    sizes[0] = 5
    expect(parts.map(({ shape }) => shape)).toEqual([[2], [4]])
  })

  it('and the gradient of what was made with one comes back in the right shape', () => {
    const x = f.zeros([6], { device, requiresGrad: true })
    const lists = { shape: [2, 3], order: [1, 0], sizes: [1, 2], amounts: [1, 1] }
    const [a, b] = x.reshape(lists.shape).permute(lists.order).split(lists.sizes) as [f.Tensor, f.Tensor]
    const y = f.cat([a, f.mul(b, 2)])
    const padded = f.pad(y, lists.amounts)
    for (const list of Object.values(lists)) list.fill(9)
    f.sum(padded).backward()
    expect(x.grad?.shape).toEqual([6])
    expect([...(x.grad as f.Tensor).dataSync()]).toEqual([1, 2, 2, 1, 2, 2])
  })

  it('are copies when they go out, of tensors, views, results, gradients and errors', () => {
    const x = f.zeros([2, 3], { device, requiresGrad: true })
    const y = f.exp(x)
    const all = [x, y, x.view([3, 2]), x.transpose(0, 1), f.add(x, 1), f.sum(x, 1, { keepdim: true })]
    for (const t of all) {
      const [shape, strides] = [t.shape, t.strides]
      const spoilt = t.shape as number[]
      spoilt.pop()
      spoilt[0] = 1000
      ;(t.strides as number[]).fill(999)
      expect([t.shape, t.strides]).toEqual([shape, strides])
    }
    f.sum(y).backward()
    ;(x.grad?.shape as unknown as number[]).length = 0
    expect(x.grad?.shape).toEqual([2, 3])
    expect(y.toArray()).toEqual([
      [1, 1, 1],
      [1, 1, 1],
    ])
    try {
      f.add(x, f.zeros([5], { device }) as never)
      expect.unreachable()
    } catch (error) {
      for (const shape of (error as f.FiresteelError).shapes) (shape as number[]).fill(7)
    }
    expect(x.shape).toEqual([2, 3])
    expect(() => {
      ;(x as { shape: unknown }).shape = [6]
    }).toThrow(TypeError)
  })

  it('are read once, and may come from a subclass, a proxy, or another realm', () => {
    let reads = 0
    const proxy = new Proxy([2, 3], {
      get(target, key, receiver) {
        if (key === '0') return reads++ === 0 ? 2 : 1_000_000
        return Reflect.get(target, key, receiver)
      },
    })
    expect(six().reshape(proxy).toArray()).toEqual(rows)
    expect(reads).toBe(1)
    reads = 0
    expect(f.zeros(proxy, { device }).shape).toEqual([2, 3])
    class Sizes extends Array<number> {}
    expect(
      six()
        .reshape(Sizes.from([2, 3]))
        .toArray(),
    ).toEqual(rows)
    expect(six().reshape(vm.runInNewContext('[2, -1]')).toArray()).toEqual(rows)
    expect(
      six()
        .reshape(Object.freeze([2, 3]))
        .toArray(),
    ).toEqual(rows)
    expect(f.zeros([1, 1, 1, 1, 2, 1], { device }).shape).toEqual([1, 1, 1, 1, 2, 1])
  })

  it('must be one array of integers', () => {
    const x = six().view([2, 3]) as unknown as { [name: string]: (...args: unknown[]) => unknown }
    const wrong = (name: string, args: readonly unknown[], message: string) =>
      expect(() => x[name]?.(...args), name).toThrow(message)
    wrong(
      'reshape',
      [2, 3],
      '[reshape] takes one array of integers, but got the number 2; pass an array, as in reshape([2, 3])',
    )
    wrong('view', [6], '[view] takes one array')
    wrong('expand', [2, 3], '[expand] takes one array')
    wrong(
      'permute',
      [1, 0],
      '[permute] takes one array of integers, but got the number 1; pass an array, as in permute([1, 0])',
    )
    wrong('mean', [{ dim: 1 }], '[mean] dim is an object, but must be an integer or an array of them, as in mean(1)')
    wrong('sum', ['0'], "[sum] dim is '0'")
    wrong('transpose', [[0, 1]], '[transpose] dim is an array')
    wrong('reshape', [new Int32Array([6])], '[reshape] takes one array of integers, but got an Int32Array')
    wrong('reshape', [['6']], '[reshape] a shape must hold non-negative integers')
    wrong('reshape', [[-1, -1]], '[reshape] a shape must hold')
    wrong('reshape', [[-1, 4]], '[reshape] [2, 3] has 6 elements, which do not fill [-1, 4]')
    wrong('reshape', [[-1, 0]], '[reshape] [2, 3] has 6 elements, which do not fill [-1, 0]')
    wrong('reshape', [[7]], '[reshape] [2, 3] has 6 elements, which do not fill [7]')
    wrong('reshape', [new Array(9).fill(1)], '[reshape] the shape has 9 dimensions, but a tensor may have at most 8')
    wrong('slice', [{}], '[slice] the index of dimension 0 is an object')
    wrong('split', ['a'], "[split] size is 'a'")
    expect(f.zeros([0, 2], { device }).reshape([-1, 0]).shape).toEqual([0, 0])
    expect(() => f.zeros(3 as never)).toThrow(
      '[zeros] a shape must be an array of sizes such as [2, 3], but is the number 3',
    )
    for (const join of [f.cat, f.stack])
      expect(() => join(six() as never)).toThrow(/takes an array of tensors, but got a Tensor; write \w+\(\[a, b\]\)/)
  })
})
