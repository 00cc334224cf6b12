/** The time at which memory is freed, by its owner: scopes, keep, dispose, and the temporaries of backward passes. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import * as f from '../../lib/index.js'
import { devices } from './support.js'

describe.each(devices.map((device) => [device.name, device] as const))('%s', (_name, device) => {
  const before = f.defaultDevice()
  beforeAll(() => f.setDefaultDevice(device))
  afterAll(() => f.setDefaultDevice(before))

  const freed = (x: f.Tensor) => x.storage.freed

  it('frees what is made inside, and only that', () => {
    const outside = f.ones([3])
    let inside: f.Tensor | null = null
    const result = f.scope(() => {
      inside = f.mul(outside, 2)
      return f.add(inside, 1)
    })
    expect(freed(inside as unknown as f.Tensor)).toBe(true)
    expect(freed(outside)).toBe(false)
    expect(result.toArray()).toEqual([3, 3, 3])
  })

  it('keeps what is returned in arrays, objects, maps and sets, and views of it', () => {
    const returned = f.scope(() => {
      const x = f.ones([2, 2])
      return {
        list: [f.mul(x, 2)],
        deep: { map: new Map([['a', f.mul(x, 3)]]), set: new Set([f.mul(x, 4)]) },
        view: f.transpose(f.mul(x, 5), 0, 1),
        text: 'no tensor',
        nothing: null,
      }
    })
    const all = [...returned.list, ...returned.deep.map.values(), ...returned.deep.set, returned.view]
    expect(all.map((t) => t.dataSync()[0])).toEqual([2, 3, 4, 5])
  })

  it('keeps what the graph behind a returned tensor needs', () => {
    const x = f.tensor([1, 2], { requiresGrad: true })
    const loss = f.scope(() => {
      const y = f.exp(f.mul(x, x))
      return f.sum(f.mul(y, y))
    })
    loss.backward()
    expect(x.grad?.toArray()).toEqual([expect.closeTo(4 * Math.exp(2), 4), expect.closeTo(8 * Math.exp(8), 0)])
  })

  it('keeps parameters, gradients and optimiser state that are made inside', () => {
    const [layer, optimizer] = f.scope(() => {
      const made = new f.nn.Linear(3, 2)
      const adam = new f.optim.Adam(made.parameters(), { lr: 0.1 })
      f.sum(made.forward(f.ones([4, 3]))).backward()
      adam.step()
      // A module is not a list of tensors. Its tensors stay because they belong to a module.
      return [() => made, () => adam] as const
    })
    expect(freed(layer().weight)).toBe(false)
    expect(layer().weight.grad?.dataSync()[0]).toBe(4)
    for (let i = 0; i < 2; i++)
      f.scope(() => {
        layer().zeroGrad()
        f.sum(layer().forward(f.ones([4, 3]))).backward()
        optimizer().step()
      })
    expect(layer().weight.dataSync()).toHaveLength(6)
  })

  it('keep() outlives all scopes, and dispose() ends it', () => {
    const kept = f.scope(() => {
      const x = f.scope(() => ({ held: f.keep(f.ones([2])) })).held
      return () => x
    })()
    expect(kept.toArray()).toEqual([1, 1])
    const view = f.narrow(kept, 0, 0, 1)
    kept.dispose()
    kept.dispose()
    expect(() => view.dataSync()).toThrow(f.DisposedError)
    expect(() => f.add(kept, 1)).toThrow(/^\[affine\]|^\[add\]/)
  })

  it('an outer scope frees what an inner one returned', () => {
    let inner: f.Tensor | null = null
    f.scope(() => {
      inner = f.scope(() => f.mul(f.ones([2]), 2))
      expect(inner.toArray()).toEqual([2, 2])
    })
    expect(freed(inner as unknown as f.Tensor)).toBe(true)
  })

  it('frees when the function throws, and goes on', () => {
    const made: f.Tensor[] = []
    for (let i = 0; i < 3; i++)
      expect(() =>
        f.scope(() => {
          made.push(f.mul(f.ones([2]), i))
          throw new RangeError('in the middle')
        }),
      ).toThrow('in the middle')
    expect(made.map(freed)).toEqual([true, true, true])
    expect(f.scope(() => f.ones([2])).toArray()).toEqual([1, 1])
  })

  it('is synchronous, and says so', async () => {
    let inside: f.Tensor | null = null
    expect(() =>
      f.scope(async () => {
        inside = f.ones([2])
        return inside
      }),
    ).toThrow(/^\[scope\] .*await/)
    expect(freed(inside as unknown as f.Tensor)).toBe(true)
    // A read that was begun inside still arrives.
    let promise: Promise<f.TypedArray> | null = null
    f.scope(() => {
      promise = f.mul(f.ones([300_000]), 3).data()
    })
    expect((await (promise as unknown as Promise<f.TypedArray>)).every((v) => v === 3)).toBe(true)
  })

  it('using a freed tensor names the operator and the way out', () => {
    const freedOne = f.scope(() => {
      const x = f.ones([2])
      return () => x
    })()
    for (const call of [() => f.exp(freedOne), () => f.matmul(freedOne, freedOne), () => freedOne.toArray()])
      expect(call).toThrow(f.DisposedError)
    expect(() => f.exp(freedOne)).toThrow(/^\[exp\] .*keep\(\)/)
  })

  it('a backward pass leaves nothing but the gradients', () => {
    const x = f.ones([64, 64], { requiresGrad: true })
    const w = f.ones([64, 64], { requiresGrad: true })
    f.scope(() => {
      const loss = f.sum(f.tanh(f.matmul(f.tanh(f.matmul(x, w)), w)))
      const tensors = f.memory(device).tensors
      loss.backward()
      expect(f.memory(device).tensors - tensors).toBeLessThanOrEqual(2)
    })
    const after = f.memory(device).tensors
    for (let i = 0; i < 20; i++)
      f.scope(() => {
        f.zeroGrad([x, w])
        f.sum(f.tanh(f.matmul(f.tanh(f.matmul(x, w)), w))).backward()
      })
    expect(f.memory(device).tensors).toBeLessThanOrEqual(after)
  })

  it('zeroGrad frees a gradient that nobody has seen, and leaves one that was', () => {
    const x = f.ones([3], { requiresGrad: true })
    f.sum(x).backward()
    const unseen = x.peekGrad() as f.Tensor
    f.zeroGrad([x])
    expect(freed(unseen)).toBe(true)
    f.sum(x).backward()
    const seen = x.grad as f.Tensor
    f.zeroGrad([x])
    expect(seen.toArray()).toEqual([1, 1, 1])
  })

  it('what a hook was shown stays', () => {
    const x = f.ones([3], { requiresGrad: true })
    const shown: f.Tensor[] = []
    x.registerHook((g) => void shown.push(g))
    f.scope(() => f.sum(f.mul(x, 2)).backward())
    f.zeroGrad([x])
    expect(shown[0]?.toArray()).toEqual([2, 2, 2])
  })

  it('what a hook makes lives as what is made beside the pass: on, or to the end of the scope around it', () => {
    const x = f.ones([3], { requiresGrad: true })
    const made: f.Tensor[] = []
    x.registerHook((g) => {
      made.push(f.mul(g, 2), f.ones([3]))
      return f.scope(() => f.mul(g, 5))
    })
    x.registerPostAccumulateGradHook((leaf) => void made.push(f.mul(leaf.grad as f.Tensor, 3)))
    f.sum(f.mul(x, 2)).backward()
    f.scope(() => f.sum(f.mul(x, 2)).backward())
    expect(made.slice(0, 3).map((tensor) => tensor.toArray())).toEqual([
      [4, 4, 4],
      [1, 1, 1],
      [30, 30, 30],
    ])
    expect(made.map(freed)).toEqual([false, false, false, true, true, true])
    expect(x.grad?.toArray()).toEqual([20, 20, 20])
  })

  it('gradients of grad() are the scope that asked for them', () => {
    const x = f.ones([3], { requiresGrad: true })
    let lost: f.Tensor | null = null
    const kept = f.scope(() => {
      const [first] = f.grad(f.sum(f.mul(x, x)), [x]) as [f.Tensor]
      lost = f.mul(first, 2)
      return first
    })
    expect(kept.toArray()).toEqual([2, 2, 2])
    expect(freed(lost as unknown as f.Tensor)).toBe(true)
  })

  it('Symbol.dispose frees', () => {
    const x = f.ones([3])
    x[Symbol.dispose]()
    expect(freed(x)).toBe(true)
  })
})
