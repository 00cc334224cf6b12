/** The meta device: models of any size without memory, and the operations that need elements. */
import { afterEach, describe, expect, it } from 'vitest'
import * as f from '../../lib/index.js'
import { nn } from '../../lib/index.js'

const device = 'meta'
const usual = f.defaultDevice()
afterEach(() => f.setDefaultDevice(usual))

/** A transformer's layers: attention, norms and a feed-forward net, with a head tied to its embedding. */
class Large extends nn.Module {
  readonly embed: nn.Embedding
  readonly blocks: { readonly norm: nn.LayerNorm; readonly up: nn.Linear; readonly down: nn.Linear }[]
  readonly attention: nn.MultiheadAttention

  constructor(width: number, layers: number, on: string) {
    super()
    this.embed = new nn.Embedding(50_000, width, { device: on })
    this.attention = new nn.MultiheadAttention(width, 64, { device: on })
    this.blocks = Array.from({ length: layers }, () => ({
      norm: new nn.LayerNorm([width], { device: on }),
      up: new nn.Linear(width, 4 * width, { device: on }),
      down: new nn.Linear(4 * width, width, { device: on }),
    }))
  }

  forward(ids: f.Tensor): f.Tensor {
    let x = this.embed.forward(ids)
    x = f.add(x, this.attention.forward(x, x, x)) as f.Tensor
    for (const { norm, up, down } of this.blocks)
      x = f.add(x, down.forward(f.gelu(up.forward(norm.forward(x) as f.Tensor) as f.Tensor)) as f.Tensor)
    return f.matmul(x, this.embed.weight.transpose(0, 1))
  }
}

describe('a model of 100 GB on meta', () => {
  it('is made, and run forward and backward, at once and in no memory', () => {
    new Large(64, 1, device)
    const before = process.memoryUsage().rss
    const held = f.memory(device).planned?.bytes ?? 0
    const started = performance.now()
    const model = new Large(8192, 46, device)
    const made = performance.now() - started
    const bytes = 4 * [...model.parameters()].reduce((sum, { numel }) => sum + numel, 0)
    expect(bytes).toBeGreaterThan(100e9)
    expect(f.memory(device)).toMatchObject({ bytes: 0, peakBytes: 0, cachedBytes: 0, reservedBytes: 0 })
    expect((f.memory(device).planned?.bytes ?? 0) - held).toBeGreaterThanOrEqual(bytes)
    const logits = model.forward(f.zeros([4, 2048], { device, dtype: 'int32' }))
    expect(logits.shape).toEqual([4, 2048, 50_000])
    f.crossEntropy(logits.reshape([-1, 50_000]), f.zeros([8192], { device, dtype: 'int32' })).backward()
    for (const [name, { grad, shape }] of model.namedParameters()) expect(grad?.shape, name).toEqual(shape)
    new f.optim.AdamW(model.parameters(), { lr: 1e-3 }).step()
    // Loading takes about 10 ms and 5 MB; the rest of the allowance is for other work of the process.
    expect(made).toBeLessThan(500)
    expect(process.memoryUsage().rss - before).toBeLessThan(100e6)
  })

  it('is described', () => {
    const model = new Large(8192, 1, device)
    expect(String(model)).toContain('Linear(inFeatures=8192')
    expect(model.summary().parameters).toBe([...model.parameters()].reduce((sum, { numel }) => sum + numel, 0))
    expect(String(model.embed.weight)).toBe('Tensor [50000, 8192] float32 on meta, requires grad, without elements')
  })
})

describe('memory of meta', () => {
  const planned = () => f.memory(device).planned as { readonly bytes: number; readonly peakBytes: number }

  it('is none, beside what the storages would take, at the peak and after they are freed', () => {
    f.resetPeakMemory(device)
    const before = { ...f.memory(device), ...planned() }
    const x = f.zeros([1000, 1000], { device, dtype: 'float64' })
    const y = f.ones([1000], { device, dtype: 'bool' })
    expect(planned().bytes - before.bytes).toBe(8_001_000)
    expect(f.memory(device).tensors - before.tensors).toBe(2)
    x.dispose()
    y.dispose()
    expect(f.memory(device)).toMatchObject({ bytes: 0, peakBytes: 0, cachedBytes: 0, reservedBytes: 0 })
    expect(planned()).toEqual({ bytes: before.bytes, peakBytes: before.bytes + 8_001_000 })
    expect(f.memory('reference').planned).toBeUndefined()
    expect(() => f.add(x, 1)).toThrow(f.DisposedError)
  })

  it('predicts the peak of a step on the cpu', () => {
    /** The most that a step takes besides the model. */
    const peak = (on: string) => {
      const model = new nn.Sequential(
        new nn.Conv2d(3, 16, 3, { device: on }),
        new nn.BatchNorm2d(16, { device: on }),
        new nn.ReLU(),
        new nn.Flatten(),
        new nn.Linear(16 * 30 * 30, 10, { device: on }),
      )
      const x = f.zeros([32, 3, 32, 32], { device: on })
      const labels = f.zeros([32], { device: on, dtype: 'int32' })
      const step = () =>
        f.scope(() => f.crossEntropy(model.forward(x) as f.Tensor<[number, number]>, labels).backward())
      step()
      model.zeroGrad()
      f.resetPeakMemory(on)
      const taken = () => f.memory(on).planned ?? f.memory(on)
      const before = taken().bytes
      step()
      return taken().peakBytes - before
    }
    const cpu = f.unavailable('cpu') === null ? peak('cpu') : peak('reference')
    expect(Math.abs(peak(device) / cpu - 1)).toBeLessThan(0.02)
  })

  it('is not asked for before a trace, which says what would run', () => {
    const x = f.zeros([64, 32], { device })
    const { kernels } = f.trace(() => f.matmul(x, x.transpose(0, 1)), device)
    expect(kernels).toMatchObject([{ kernel: 'matmul', multiplyAdds: 64 * 64 * 32, milliseconds: 0 }])
  })
})

describe('a meta tensor', () => {
  const x = f.zeros([2, 3], { device })

  it('comes from every creation function', () => {
    const generator = new f.Generator(1)
    for (const made of [
      f.full([2], 1, { device }),
      f.ones([2], { device }),
      f.arange(0, 2, 1, { device }),
      f.arange(0, 2, 1, { device, dtype: 'uint8' }),
      f.eye(2, 2, { device }),
      f.tensor([1, 2], { device }),
      f.fromTypedArray(new Float64Array(2), [2], { device }),
      f.rand([2], { device, generator }),
      f.randn([2], { device, generator }),
      f.randint(0, 2, [2], { device, generator }),
      f.zeros([2]).to(device),
    ])
      expect([made.device.name, made.shape[0]]).toEqual(['meta', 2])
    f.setDefaultDevice(device)
    expect(f.zeros([2]).device.name).toBe('meta')
    expect(f.describeDevice()).toBe('no kernels: shapes without elements')
  })

  it('has no elements to read, which is told by the name of what asked', async () => {
    const told = (op: string) => new RegExp(`^\\[${op}\\] the tensor is on meta, .*load\\(path\\)`)
    expect(() => x.dataSync()).toThrow(f.DeviceError)
    expect(() => x.dataSync()).toThrow(told('dataSync'))
    expect(() => x.toArray()).toThrow(told('toArray'))
    expect(() => x.sum().item()).toThrow(told('item'))
    expect(() => x.to('bfloat16').dataSync()).toThrow(told('dataSync'))
    expect(() => x.to('reference')).toThrow(told('to'))
    await expect(x.data()).rejects.toThrow(told('data'))
    expect(String(x)).toBe('Tensor [2, 3] float32 on meta, without elements')
  })

  it('is checked as everywhere', () => {
    expect(() => f.matmul(x, x as f.Tensor)).toThrow(f.ShapeError)
    expect(() => f.add(x, f.zeros([2, 3], { device: 'reference' }))).toThrow(f.DeviceError)
    expect(() => f.zeros([-1], { device })).toThrow(f.ValueError)
    expect(() => f.fromTypedArray(new Float32Array(3), [2], { device })).toThrow(f.ShapeError)
  })

  it('takes from a generator what a tensor with elements takes', () => {
    const left = (on: string) => {
      const generator = new f.Generator(7)
      new nn.LSTM(5, 3, { device: on, generator })
      new nn.Embedding(7, 3, { device: on, generator, paddingIdx: 0 })
      f.dropout(f.ones([9], { device: on }), 0.5, { generator })
      return generator.stateDict()
    }
    expect(left(device)).toEqual(left('reference'))
    expect(left(device).offset).toBeGreaterThan(0)
  })

  it('goes to other dtypes and other shapes, with the gradient', () => {
    const weight = new nn.Parameter(f.zeros([4, 3], { device }))
    const half = f.autocast('bfloat16', () => f.linear(x, weight, null))
    expect([half.dtype, half.shape]).toEqual(['bfloat16', [2, 4]])
    half.sum().backward()
    expect([weight.grad?.dtype, weight.grad?.shape, weight.grad?.device.name]).toEqual(['float32', [4, 3], 'meta'])
  })
})
