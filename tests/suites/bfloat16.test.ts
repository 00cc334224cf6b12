/**
 * Tensors of bfloat16 outside autocast: the operators that accept them, their exact storage, and how they are printed.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { fromBfloat16, toBfloat16 } from '../../lib/backend/reference/half.js'
import * as f from '../../lib/index.js'
import { loadTensors, saveTensors } from '../../lib/io/tensors.js'
import { type Case, drawn } from '../cases/case.js'
import { matrixProducts } from '../cases/products.js'
import { casesFor, devices, nameOf, type Outcome, reference, runCase, valuesOf } from './support.js'

/** One rounding to the nearest bfloat16, plus the difference of the devices' float32 results before it. */
const epsilon = 2 ** -8

const computing = [
  'elementwise',
  'matmul',
  'random',
  'attention',
  'loss',
  'conv',
  'norm',
  'softmax',
  'pool',
  'recurrent',
]
const unlike: { readonly [op: string]: string } = {
  cast: 'has cases of its own',
  conv2d_input_gradient: 'a kernel, which computes in float32',
  conv2d_weight_gradient: 'a kernel, which computes in float32',
  max_pool2d_backward: 'a kernel, which computes in float32',
  avg_pool2d_backward: 'a kernel, which computes in float32',
  recurrent: 'is a cell of the program, which rounds as it pleases',
  random_uniform: 'takes no tensor',
  random_normal: 'takes no tensor',
  random_integers: 'takes no tensor',
}

const cases = casesFor('devices', (c) => c.inputs.some(({ kind }) => kind === 'float')).filter(
  ({ family, case: { op, name } }) =>
    (computing.includes(family) || (op === 'sum' && !name.startsWith('logsumexp'))) && unlike[op] === undefined,
)

const round = (values: ArrayLike<number>) => drawn(values.length, (i) => fromBfloat16(toBfloat16(values[i] as number)))

function halved(c: Case): { values: Float64Array[]; arrange: (x: f.Tensor, i: number) => f.Tensor } {
  const isFloat = (i: number) => c.inputs[i]?.kind === 'float'
  return {
    values: valuesOf(c).map((x, i) => (isFloat(i) ? round(x) : x)),
    arrange: (x, i) => (isFloat(i) ? x.to('bfloat16') : x),
  }
}

/** `relative`: compared with each element itself, otherwise with the largest, which weights of up to 1 make. */
function compare(actual: Outcome, exact: Outcome, roundings: number, relative: boolean): void {
  const all = ({ outputs, gradients }: Outcome) => [...outputs, ...gradients]
  const others = all(actual)
  all(exact).forEach((values, k) => {
    const other = others[k] ?? null
    expect(other === null).toBe(values === null)
    if (values === null || other === null) return
    if (values.dtype === 'float32') expect(other.dtype).toBe('bfloat16')
    let largest = 1
    for (const x of values.data as Iterable<number>) if (Number.isFinite(x)) largest = Math.max(largest, Math.abs(x))
    for (let i = 0; i < values.data.length; i++) {
      const [a, b] = [other.data[i] as number, values.data[i] as number]
      const scale = relative ? Math.abs(b) + 2 ** -126 : largest
      if (Object.is(a, b) || a === b || Math.abs(a - b) <= roundings * epsilon * scale) continue
      throw new Error(`value ${k}, element ${i} is ${a}, but should be ${b}`)
    }
  })
}

describe.each(devices.map((device) => [device.name, device] as const))('bfloat16 on %s', (_name, device) => {
  const before = f.defaultDevice()
  beforeAll(() => f.setDefaultDevice(device))
  afterAll(() => f.setDefaultDevice(before))

  // Outputs have one rounding for each operator of the case. Gradients have those of their weights and terms.
  it.each(cases.map((each) => [nameOf(each), each.case] as const))('computes in float32: %s', (_title, c) => {
    const { values, arrange } = halved(c)
    const low = runCase(c, device, 'float32', arrange, values)
    const only = (o: Outcome, what: 'outputs' | 'gradients'): Outcome => ({
      outputs: [],
      gradients: [],
      [what]: o[what],
    })
    const wide = runCase(c, device, 'float32', undefined, values)
    // A sum may cancel, and be near 0 compared with what float32 loses of its terms.
    const sums = ['add_scalar', 'mul_scalar', 'sub_scalar', 'linear', 'sum', 'scaledDotProductAttention']
    const isSeveral = matrixProducts.includes(c.op) || /^attention$|Scores$/.test(c.op) || c.name.includes('two layers')
    const isOne = !sums.includes(c.op) && !isSeveral
    compare(only(low, 'outputs'), only(wide, 'outputs'), isOne ? 1 : 6, isOne)
    compare(only(low, 'gradients'), only(wide, 'gradients'), 8 + (c.length ?? 1), false)
    if (device !== reference)
      compare(low, runCase(c, reference, 'float32', arrange, values), 2 + (c.length ?? 1), false)
  })

  it('reads any strides', () => {
    const x = f.randn([9, 14, 5])
    const half = x.to('bfloat16')
    const wide = half.to('float32')
    const views: readonly ((t: f.Tensor) => f.Tensor)[] = [
      (t) => t.transpose(0, 2),
      (t) => t.slice([1, 8], null, [0, 5, 2]),
      (t) => t.select(1, 3).unsqueeze(1).expand([9, 14, 5]),
    ]
    for (const view of views) {
      const expected = f.add(view(wide), 1).to('bfloat16')
      expect([...f.add(view(half), 1).dataSync()]).toEqual([...expected.dataSync()])
      const product = f.mul(view(half), view(half))
      expect([...product.dataSync()]).toEqual([...f.mul(view(wide), view(wide)).to('bfloat16').dataSync()])
    }
  })

  it('sums are rounded once', () => {
    const x = f.ones([1000], { dtype: 'bfloat16' })
    expect(f.sum(x).dtype).toBe('bfloat16')
    // In bfloat16 a sum of ones never gets beyond 256.
    expect(f.sum(x).item()).toBe(1000)
    expect(f.mean(f.mul(x, 3)).item()).toBe(3)
    const leaf = f.randn([4, 5]).to('bfloat16')
    leaf.requiresGrad = true
    f.sum(leaf, 1).backward({ gradient: f.ones([4]) })
    expect(leaf.grad?.dtype).toBe('bfloat16')
    expect([...(leaf.grad as f.Tensor).dataSync()]).toEqual(new Array(20).fill(1))
  })

  it('accumulates gradients of a leaf', () => {
    const leaf = f.full([3], 1, { dtype: 'bfloat16' })
    leaf.requiresGrad = true
    for (let i = 0; i < 2; i++) f.sum(f.mul(f.mul(leaf, leaf), leaf)).backward()
    expect(leaf.grad?.dtype).toBe('bfloat16')
    expect([...(leaf.grad as f.Tensor).dataSync()]).toEqual([6, 6, 6])
  })

  it('is made, read, shown and told apart', async () => {
    const values = [0, -0, 1, -2.5, 1 + 2 ** -7, 3e38, 1e-40, Number.POSITIVE_INFINITY, Number.NaN]
    const x = f.tensor(values, { dtype: 'bfloat16' })
    const expected = Float32Array.from(round(values))
    expect(x.dataSync()).toEqual(expected)
    expect(await x.data()).toEqual(expected)
    expect(f.tensor([1.5, -2], { dtype: 'bfloat16' }).toString()).toMatch(/1\.5.*-2.*\n.*bfloat16/s)
    expect(f.fromTypedArray(Uint16Array.of(0x3f80, 0xc020), [2], { dtype: 'bfloat16' }).toArray()).toEqual([1, -2.5])
    expect(f.zeros([2], { dtype: 'bfloat16' }).toArray()).toEqual([0, 0])
    expect(f.randn([3], { dtype: 'bfloat16' }).dtype).toBe('bfloat16')
    expect([...f.argmax(f.tensor([1, 5, 2], { dtype: 'bfloat16' }), 0).dataSync()]).toEqual([1])
    // bfloat16 rounds to nearest, ties to even.
    expect(f.tensor([1 + 2 ** -8, 1 + 3 * 2 ** -8], { dtype: 'bfloat16' }).toArray()).toEqual([1, 1 + 2 ** -6])
  })

  it('goes to a file and back bit by bit', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'firesteel-'))
    try {
      const x = f.randn([5, 7]).to('bfloat16')
      const path = join(folder, 'x.safetensors')
      await saveTensors(path, new Map([['x', x]]))
      const back = (await loadTensors(path)).get('x') as f.Tensor
      expect(back.dtype).toBe('bfloat16')
      expect([...back.dataSync()]).toEqual([...x.dataSync()])
    } finally {
      await rm(folder, { recursive: true })
    }
  })

  it('trains nothing by itself, and needs no autocast to predict', () => {
    const model = new f.nn.Sequential(new f.nn.Linear(12, 20), new f.nn.GELU(), new f.nn.Linear(20, 3))
    const x = f.randn([4, 12])
    const exact = f.noGrad(() => model.forward(x)).dataSync()
    model.to('bfloat16')
    const low = f.noGrad(() => model.forward(x.to('bfloat16')))
    expect(low.dtype).toBe('bfloat16')
    low.dataSync().forEach((value, i) => void expect(Math.abs(value - (exact[i] as number))).toBeLessThan(0.03))
  })
})
