/**
 * Offset, window and lengths hide the same keys from attention as a mask would. The cases are a chunk of queries after
 * a cache, a sliding window and padded batches. But hidden keys may hold anything.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import * as f from '../../lib/index.js'
import { randomOf } from '../cases/case.js'
import { devices } from '../suites/support.js'

const [B, H, Tq, Tk, D] = [3, 2, 5, 9, 4]
type Sees = (batch: number, query: number, key: number) => boolean

const limits: readonly (readonly [string, f.AttentionOptions, readonly number[] | null, Sees])[] = [
  ['offset', { isCausal: true, offset: 4 }, null, (_, i, j) => j <= 4 + i],
  ['window', { isCausal: true, window: 2 }, null, (_, i, j) => j <= i && j > i - 2],
  ['both', { isCausal: true, offset: 3, window: 3 }, null, (_, i, j) => j <= 3 + i && j > i],
  ['lengths', {}, [9, 0, 4], (b, _, j) => j < ([9, 0, 4][b] as number)],
  [
    'all three',
    { isCausal: true, offset: 3, window: 3 },
    [9, 2, 4],
    (b, i, j) => j <= 3 + i && j > i && j < ([9, 2, 4][b] as number),
  ],
]

describe.each(devices.map((device) => [device.name, device] as const))('on %s', (_name, device) => {
  const before = f.defaultDevice()
  beforeAll(() => f.setDefaultDevice(device))
  afterAll(() => f.setDefaultDevice(before))

  const lengthsOf = (counts: readonly number[] | null) => counts && f.tensor(counts, { dtype: 'int32' })
  const inputs = (spoil: Sees | null = null) => {
    const random = randomOf(5)
    const made = [Tq, Tk, Tk].map((t, which): f.Tensor => {
      const values = Float32Array.from({ length: B * H * t * D }, () => random() - 0.5)
      for (let e = 0; spoil && which > 0 && e < values.length; e++) {
        const [b, key] = [Math.floor(e / (H * t * D)), Math.floor(e / D) % t]
        if (!Array.from({ length: Tq }, (_, i) => i).some((i) => spoil(b, i, key))) values[e] = Number.NaN
      }
      const x = f.fromTypedArray(values, [B, H, t, D])
      x.requiresGrad = true
      return x
    })
    return made as [f.Tensor, f.Tensor, f.Tensor]
  }
  const results = ([q, k, v]: [f.Tensor, f.Tensor, f.Tensor], options: f.AttentionOptions) => {
    const y = f.scaledDotProductAttention(q, k, v, { ...options, generator: new f.Generator(3) })
    f.sum(f.mul(y, y)).backward()
    return [y, q.grad, k.grad, v.grad].map((x) => [...((x as f.Tensor).detach().dataSync() as Float32Array)])
  }

  it.each(limits)('%s hides what a mask does, with the same dropout', (_what, options, counts, sees) => {
    const bits = Array.from({ length: B * Tq * Tk }, (_, e) =>
      sees(Math.floor(e / (Tq * Tk)), Math.floor(e / Tk) % Tq, e % Tk),
    )
    const attnMask = f.reshape(f.tensor(bits), [B, 1, Tq, Tk])
    const given = results(inputs(), { ...options, lengths: lengthsOf(counts), dropoutP: 0.25 })
    const wanted = results(inputs(), { attnMask, dropoutP: 0.25 })
    for (const [n, values] of given.entries())
      for (const [e, value] of values.entries()) expect(value).toBeCloseTo(wanted[n]?.[e] as number, 5)
  })

  it.each(limits)('%s: NaN that no query sees changes nothing', (_what, options, counts, sees) => {
    const all = { ...options, lengths: lengthsOf(counts) }
    expect(results(inputs(sees), all)).toEqual(results(inputs(), all))
  })

  it.each([[-1], [Tk + 1]])('refuses a length of %d', async (length) => {
    const [q, k, v] = inputs()
    const lengths = lengthsOf([1, length, 2])
    const read = async () => f.scaledDotProductAttention(q, k, v, { lengths }).data()
    await expect(read()).rejects.toThrow(`lengths holds ${length} at 1, but a row has 0 to ${Tk} real keys`)
    await expect(read()).rejects.toMatchObject({ code: 'ERR_VALUE' })
  })

  it('a layer passes them on', () => {
    const layer = new f.nn.MultiheadAttention(8, 2)
    const x = f.randn([2, 6, 8])
    const chunk = f.narrow(x, 1, 4, 2)
    const lengths = f.tensor([6, 5], { dtype: 'int32' })
    const options = { isCausal: true, window: 3, lengths }
    const whole = f.narrow(layer.forward(x, x, x, options), 1, 4, 2)
    const part = layer.forward(chunk, x, x, { ...options, offset: 4 })
    const values = [...(part.detach().dataSync() as Float32Array)]
    for (const [e, value] of [...(whole.detach().dataSync() as Float32Array)].entries())
      expect(values[e]).toBeCloseTo(value, 5)
    const unlimited = [...(layer.forward(chunk, x, x).detach().dataSync() as Float32Array)]
    expect(Math.abs((unlimited[0] as number) - (values[0] as number))).toBeGreaterThan(1e-4)
  })
})
