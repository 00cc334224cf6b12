/** The owner that frees a storage (the collector, a frame, a backward pass), and storages that the program has seen. */
import { describe, expect, it } from 'vitest'
import type { Owner } from '../../lib/core/storage.js'
import * as f from '../../lib/index.js'
import { devices } from '../suites/support.js'

const ownerOf = ({ storage }: f.Tensor): Owner => storage.owner

describe.each(devices.map((device) => [device.name, device] as const))('owners of storages on %s', (_name, device) => {
  it('hands what a scope made up to the next one, and then to the collector', () => {
    const x = f.ones([3], { device })
    expect(ownerOf(x)).toBe('collector')
    let left: f.Tensor | null = null
    const y = f.scope(() => {
      const inner = f.scope(() => {
        left = x.add(1)
        return x.mul(2)
      })
      expect(ownerOf(inner)).toMatchObject({ parent: null })
      expect(left?.storage.freed).toBe(true)
      return inner
    })
    expect(ownerOf(y)).toBe('collector')
    expect(y.toArray()).toEqual([2, 2, 2])
  })

  it('gives what is kept to the model at once, so that no scope frees it', () => {
    const kept = f.scope(() => {
      const inside = f.keep(f.ones([2], { device }))
      expect(ownerOf(inside)).toBe('model')
      const parameter = new f.nn.Parameter(f.zeros([2], { device }))
      expect(ownerOf(parameter)).toBe('model')
      void inside
      return [() => inside, () => parameter]
    })
    expect(kept.map((each) => each().toArray())).toEqual([
      [1, 1],
      [0, 0],
    ])
  })

  it('lets a leaf take a gradient from the pass, and frees it unless it was seen', () => {
    const w = f.ones([4], { device })
    w.requiresGrad = true
    const pass = () => f.scope(() => w.mul(w).sum().backward())
    pass()
    const unseen = w.peekGrad() as f.Tensor
    expect([ownerOf(unseen), unseen.storage.seen]).toEqual(['collector', false])
    f.zeroGrad([w])
    expect(unseen.storage.freed).toBe(true)
    pass()
    const seen = w.grad as f.Tensor
    f.zeroGrad([w])
    expect([seen.storage.seen, seen.storage.freed]).toEqual([true, false])
    expect(seen.toArray()).toEqual([2, 2, 2, 2])
  })

  it('leaves to the collector what a hook was shown and what the program sets', () => {
    const w = f.ones([2], { device })
    w.requiresGrad = true
    const shown: f.Tensor[] = []
    w.registerHook((gradient) => void shown.push(gradient))
    const given = f.scope(() => {
      w.mul(3).sum().backward()
      const gradient = f.ones([2], { device })
      const other = f.zeros([2], { device })
      other.grad = gradient
      return () => [other.grad as f.Tensor, gradient]
    })
    const [read, set] = given()
    expect(read).toBe(set)
    for (const tensor of [...shown, ...given()])
      expect([ownerOf(tensor), tensor.storage.seen]).toEqual(['collector', true])
    expect(shown.map((tensor) => tensor.toArray())).toEqual([[3, 3]])
    // The leaf's new gradient has its own memory, and the gradient that the hook saw is unchanged.
    w.mul(3).sum().backward()
    expect(shown[0]?.toArray()).toEqual([3, 3])
    expect(w.grad?.toArray()).toEqual([6, 6])
  })
})
