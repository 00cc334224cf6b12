/** The end of memory: an error where it is asked for, nothing held afterwards, and a process that goes on. */
import { describe, expect, it } from 'vitest'
import { NativeDevice } from '../../lib/backend/native/device.js'
import { loadNative } from '../../lib/backend/native/loader.js'
import * as f from '../../lib/index.js'

const loaded = loadNative()

describe.skipIf('unavailable' in loaded && process.env['FIRESTEEL_REQUIRE'] !== 'native')('the end of memory', () => {
  /** A device on a machine of so many bytes. */
  function deviceWith(bytes: number): NativeDevice {
    const found = loadNative()
    if ('unavailable' in found) throw new Error(found.unavailable)
    return new NativeDevice(found.addon, found.path, () => bytes - found.addon.reservedBytes())
  }

  /** What lives when all garbage has been collected. */
  function held(device: NativeDevice): { readonly tensors: number; readonly bytes: number } {
    expect(() => f.zeros([2 ** 50], { device })).toThrow(f.OutOfMemoryError)
    const { tensors, bytes } = device.memory()
    return { tensors, bytes }
  }

  it('gives up what an operator had asked for before', () => {
    const device = deviceWith(100e6)
    const x = f.ones([1, 1, 3000, 3000], { device })
    const before = held(device)
    expect(before.bytes).toBe(36e6)
    // There is room for the maxima, but not for their places.
    const pool = () => f.maxPool2d(x, 1)
    for (let i = 0; i < 3; i++) {
      expect(pool).toThrow(f.OutOfMemoryError)
      expect(held(device)).toEqual(before)
      expect(pool).toThrow(/^\[maxPool2d\] 36.0 MB do not fit: 36.0 MB are held by 1 tensors/)
      f.scope(() => expect(pool).toThrow(f.OutOfMemoryError))
      expect(held(device)).toEqual(before)
    }
    expect(f.scope(() => f.maxPool2d(x, 3).sum().item())).toBe(1e6)
    expect(held(device)).toEqual(before)
  })

  it('lets a training loop go on with smaller batches', () => {
    const device = deviceWith(60e6)
    const model = new f.nn.Sequential(
      new f.nn.Linear(100, 200, { device }),
      new f.nn.ReLU(),
      new f.nn.Linear(200, 1, { device }),
    )
    const optimizer = new f.optim.AdamW(model.parameters(), { lr: 1e-3 })
    const step = (rows: number) =>
      f.scope(() => {
        const loss = model
          .forward(f.randn([rows, 100], { device }))
          .square()
          .mean()
        loss.backward()
        optimizer.step()
        optimizer.zeroGrad()
        return loss.item()
      })
    const first = step(500)
    const before = held(device)
    for (const rows of [40_000, 50_000, 200_000]) {
      expect(() => step(rows)).toThrow(f.OutOfMemoryError)
      model.zeroGrad()
      expect(held(device)).toEqual(before)
    }
    let last = first
    for (let i = 0; i < 30; i++) last = step(500)
    expect(last).toBeLessThan(first)
    expect(held(device)).toEqual(before)
  })

  it('names the module of a label that is out of range, late', async () => {
    class Lookup extends f.nn.Module {
      readonly table = new f.nn.Embedding(5, 3)
      forward(ids: f.Tensor): f.Tensor {
        return this.table.forward(ids).mean(1)
      }
    }
    const model = new f.nn.Sequential<readonly f.nn.Layer[]>(new Lookup(), new f.nn.Linear(3, 2))
    const ids = f.fromTypedArray(Int32Array.of(0, 1, 7, 2), [2, 2])
    const y = model.forward(ids)
    await expect(y.data()).rejects.toThrow(f.IndexOutOfRangeError)
    model.forward(ids)
    await expect(y.data()).rejects.toThrow(/^\[\w+\] .*7.*Sequential\.0\.table/)
    // At an optimiser's step as well, before it would learn from nonsense.
    const optimizer = new f.optim.SGD(model.parameters(), { lr: 0.1 })
    model.forward(ids).sum().backward()
    expect(() => {
      for (let i = 0; i < 1000; i++) optimizer.step()
    }).toThrow(f.IndexOutOfRangeError)
  })
})
