/**
 * Masks in edge cases: the lowest number, infinities, and NaN in masked places. The right values are PyTorch 2.13's. A
 * mask is added, so only -Infinity masks fully, and a NaN or infinity in a masked key or value makes the query NaN. A
 * key later than its query takes no part if isCausal is set, whatever it holds; PyTorch's two implementations differ
 * there.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import * as f from '../../lib/index.js'
import { randomOf } from '../cases/case.js'
import { devices, others, reference } from '../suites/support.js'

const lowest = -3.4028234663852886e38
const { NaN: nan, POSITIVE_INFINITY: inf } = Number

interface Made {
  readonly q: f.Tensor
  readonly k: f.Tensor
  readonly v: f.Tensor
}

const shapes = { q: [1, 1, 3, 4], k: [1, 1, 4, 4], v: [1, 1, 4, 4] } as const

/** Small numbers, with `value` in the first feature of row `row` in one of the three tensors. */
function inputs(where: keyof Made | null, row: number, value: number): Made {
  const random = randomOf(3)
  const one = (name: keyof Made) => {
    const shape = shapes[name]
    const values = Float32Array.from({ length: shape[2] * shape[3] }, () => 0.1 + random())
    if (where === name) values[row * 4] = value
    const x = f.fromTypedArray(values, shape)
    x.requiresGrad = true
    return x
  }
  return { q: one('q'), k: one('k'), v: one('v') }
}

const numbers = (x: f.Tensor) => [...(x.detach().dataSync() as Iterable<number>)]

/** A letter for each row: N if it holds NaN, I if it holds an infinity, else a dot. */
function rows(x: f.Tensor): string {
  const all = numbers(x)
  const width = x.shape[3] ?? 1
  return Array.from({ length: all.length / width }, (_, r) => {
    const row = all.slice(r * width, (r + 1) * width)
    return row.some(Number.isNaN) ? 'N' : row.every(Number.isFinite) ? '.' : 'I'
  }).join('')
}

describe.each(devices.map((device) => [device.name, device] as const))('on %s', (_name, device) => {
  const before = f.defaultDevice()
  beforeAll(() => f.setDefaultDevice(device))
  afterAll(() => f.setDefaultDevice(before))

  const bool = () => f.tensor([true, true, false, true])
  const added = () => f.tensor([0, 0, -inf, 0])

  // q is positive, so that the score of an infinite key is infinite with the same sign.
  it.each([
    ['k', nan, 'none', 'NNN'],
    ['k', nan, 'bool', 'NNN'],
    ['k', nan, 'added', 'NNN'],
    ['k', nan, 'causal', '..N'],
    ['k', inf, 'none', 'NNN'],
    ['k', inf, 'bool', 'NNN'],
    ['k', inf, 'added', 'NNN'],
    ['k', inf, 'causal', '..N'],
    ['k', -inf, 'none', '...'],
    ['k', -inf, 'bool', '...'],
    ['k', -inf, 'added', '...'],
    ['v', nan, 'none', 'NNN'],
    ['v', nan, 'bool', 'NNN'],
    ['v', nan, 'added', 'NNN'],
    ['v', nan, 'causal', '..N'],
    ['v', inf, 'none', 'III'],
    ['v', inf, 'bool', 'NNN'],
    ['v', inf, 'added', 'NNN'],
    ['v', inf, 'causal', '..I'],
    ['q', nan, 'none', '..N'],
    ['q', nan, 'bool', '..N'],
    ['q', inf, 'none', '..N'],
  ] as const)('%s of %d at row 2, mask %s: %s', (where, value, mask, expected) => {
    const { q, k, v } = inputs(where, 2, value)
    const y = f.scaledDotProductAttention(q, k, v, {
      attnMask: mask === 'bool' ? bool() : mask === 'added' ? added() : null,
      isCausal: mask === 'causal',
    })
    expect(rows(y)).toBe(expected)
  })

  it('only -Infinity masks fully', () => {
    const { q, k, v } = inputs(null, 0, 0)
    const column = (x: f.Tensor) => numbers(f.mean(x, 2))
    for (const value of [lowest, -1e38, -3e38]) {
      const mask = f.full([3, 4], value)
      mask.requiresGrad = true
      const y = f.scaledDotProductAttention(q, k, v, { attnMask: mask })
      for (const [i, x] of numbers(y).entries()) expect(x).toBeCloseTo(column(v)[i % 4] as number, 6)
      const [dv, dmask] = f.grad([f.sum(y)], [v, mask]) as f.Tensor[]
      for (const x of numbers(dv as f.Tensor)) expect(x).toBeCloseTo(0.75, 6)
      expect(numbers(dmask as f.Tensor).every(Number.isFinite)).toBe(true)
    }
    // A key at the lowest number has no weight beside others, and all of the weight beside fully masked ones.
    const few = f.scaledDotProductAttention(q, k, v, { attnMask: f.tensor([lowest, 0, lowest, lowest]) })
    expect(numbers(few)).toEqual([0, 1, 2].flatMap(() => numbers(v).slice(4, 8)))
    const one = f.scaledDotProductAttention(q, k, v, { attnMask: f.tensor([-inf, -inf, lowest, -inf]) })
    expect(numbers(one)).toEqual([0, 1, 2].flatMap(() => numbers(v).slice(8, 12)))
    const mask = f.scaledDotProductAttention(q, k, v, { attnMask: f.tensor([lowest, lowest, 3e38, lowest]) })
    expect(numbers(mask)).toEqual([0, 1, 2].flatMap(() => numbers(v).slice(8, 12)))
    expect(rows(f.scaledDotProductAttention(q, k, v, { attnMask: f.tensor([0, inf, 0, 0]) }))).toBe('NNN')
  })

  it('rows without any key give 0, and gradients of 0', () => {
    for (const mask of [f.tensor([false, false, false, false]), f.full([4], -inf)]) {
      const { q, k, v } = inputs(null, 0, 0)
      const y = f.scaledDotProductAttention(q, k, v, { attnMask: mask })
      for (const x of [y, ...(f.grad([f.sum(y)], [q, k, v]) as f.Tensor[])])
        expect(numbers(x).every((n) => n === 0)).toBe(true)
      // 0 times NaN is NaN, as in PyTorch, in the feature that holds it.
      const broken = inputs('v', 1, nan)
      const z = f.scaledDotProductAttention(broken.q, broken.k, broken.v, { attnMask: mask })
      expect(numbers(z).slice(0, 4)).toEqual([nan, 0, 0, 0])
    }
  })

  it('what is not finite in a padded tile of keys shows, as in any other', () => {
    const keys = 400
    const make = () => f.full([1, 1, keys, 4], 0.5)
    const mask = f.lt(f.arange(keys), 5)
    for (const where of ['none', 'k', 'v'] as const) {
      const [q, k, v] = [f.ones([1, 1, 3, 4]), make(), make()]
      if (where !== 'none') f.noGrad(() => (where === 'k' ? k : v).select(2, 390).fill_(nan))
      expect(rows(f.scaledDotProductAttention(q, k, v, { attnMask: mask }))).toBe(where === 'none' ? '...' : 'NNN')
    }
  })
})

describe.each(others.map((device) => [device.name, device] as const))('%s and the reference', (_name, device) => {
  it('have NaN and infinities at the same places, forward and backward', () => {
    let seen = 0
    for (let seed = 1; seed <= 120; seed++) {
      const random = randomOf(seed)
      const below = (n: number) => Math.floor(random() * n)
      const [tq, tk, d, dv] = [1 + below(70), 1 + below(150), 1 + below(20), 1 + below(20)]
      const kind = (['none', 'causal', 'bool', 'added', 'by key'] as const)[seed % 5]
      const values = (count: number) => Float32Array.from({ length: count }, () => random() * 2 - 1)
      const data = { q: values(tq * d), k: values(tk * d), v: values(tk * dv), dy: values(tq * dv) }
      const name = (['q', 'k', 'v', 'dy'] as const)[below(4)] as keyof typeof data
      data[name][below(data[name].length)] = [nan, nan, inf, -inf][below(4)] as number
      const bits = Uint8Array.from({ length: kind === 'by key' ? tk : tq * tk }, () => (random() < 0.6 ? 1 : 0))
      const run = (on: f.Device) => {
        const make = (x: Float32Array, shape: f.Shape) => {
          const y = f.fromTypedArray(x, shape, { device: on })
          y.requiresGrad = true
          return y
        }
        const [q, k, v] = [make(data.q, [1, tq, d]), make(data.k, [1, tk, d]), make(data.v, [1, tk, dv])]
        const shape = kind === 'by key' ? [tk] : [tq, tk]
        const mask =
          kind === 'bool' || kind === 'by key'
            ? f.fromTypedArray(bits, shape, { dtype: 'bool', device: on })
            : kind === 'added'
              ? f.fromTypedArray(
                  Float32Array.from(bits, (bit) => (bit === 1 ? 0.5 : -inf)),
                  shape,
                  { device: on },
                )
              : null
        const y = f.scaledDotProductAttention(q, k, v, { attnMask: mask, isCausal: kind === 'causal' })
        const dy = f.fromTypedArray(data.dy, [1, tq, dv], { device: on })
        return [y, ...(f.grad([y], [q, k, v], { gradOutputs: [dy] }) as f.Tensor[])].map(numbers)
      }
      const mark = (x: number) => (Number.isFinite(x) ? '.' : Number.isNaN(x) ? 'N' : 'I')
      const [actual, exact] = [run(device), run(reference)]
      exact.forEach((part, i) => {
        const marks = part.map(mark).join('')
        if (/[NI]/.test(marks)) seen++
        expect((actual[i] as number[]).map(mark).join(''), `seed ${seed}, ${kind}, ${name}, part ${i}`).toBe(marks)
      })
    }
    expect(seen).toBeGreaterThan(100)
  })
})
