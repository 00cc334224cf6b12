/** Block dtypes: bytes, views, files, products, and refusals. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { applyLora, quantize } from '../../lib/finetune/index.js'
import * as f from '../../lib/index.js'
import { loadTensors, saveTensors } from '../../lib/io/tensors.js'

const usual = f.defaultDevice()
afterEach(() => f.setDefaultDevice(usual))

const formats = ['q8_0', 'q4_0', 'nf4'] as const
const sizes = { q8_0: [32, 34], q4_0: [32, 18], nf4: [64, 36] } as const

/** 64 numbers of many magnitudes and both signs. */
const numbers = Float32Array.from({ length: 64 }, (_, i) => Math.sin(i * 0.7) * (1 + i / 16))
numbers[5] = -(numbers[5] as number)

/**
 * GGML's bytes for them, from its Python package gguf. Those of nf4 come from the formula in NumPy, with the nearest
 * levels.
 */
const golden = {
  q8_0: 'a125001f322f1315c9c0d501314c441ae1b2a7c60343655921d69b8eb806557f6d26a628dfb5accc063f5c4e1ad8a69ec4094b6c5a1ccf978fbd0c587c651ec78881b610',
  q4_0: '96b5e8c6854527276bbcebf8d58334061a6d9d38e6a35315184c9eedfae5a24204093d9f',
  nf4: 'afa2934079aa884457abb953347bcc952237cdd942138ceda41128deea31028efea30029',
}

const bytesOf = (x: f.Tensor) => {
  const { buffer, byteOffset, byteLength } = x.device.readSync(x)
  return new Uint8Array(buffer, byteOffset, byteLength)
}
const hex = (x: f.Tensor) => Buffer.from(bytesOf(x)).toString('hex')

const noise = (shape: readonly number[], seed: number, device: string) => {
  const count = shape.reduce((n, size) => n * size, 1)
  const data = Float32Array.from({ length: count }, (_, i) => Math.sin((i + 1) * (seed + 0.37)) * Math.cos(i * 0.011))
  return f.fromTypedArray(data, shape, { device })
}

const near = (got: f.Tensor, wanted: f.Tensor, tolerance = 2e-5) => {
  expect(got.shape).toEqual(wanted.shape)
  const [a, b] = [got, wanted].map((x) => [...x.dataSync()]) as [number[], number[]]
  const scale = b.reduce((most, x) => Math.max(most, Math.abs(x)), 1)
  let worst = 0
  for (let i = 0; i < b.length; i++) worst = Math.max(worst, Math.abs((a[i] as number) - (b[i] as number)))
  expect(worst).toBeLessThanOrEqual(tolerance * scale)
}

/** These compare with the definitions of the formats, not with this library's code. */
describe('what a format is', () => {
  /** The quantile of the normal distribution: Newton's method on erf. */
  function quantile(p: number): number {
    const erf = (x: number) => f.erf(f.tensor(x, { dtype: 'float64', device: 'reference' })).item() as number
    let x = 0
    for (let i = 0; i < 60; i++) {
      const slope = Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI)
      x -= (0.5 * (1 + erf(x / Math.SQRT2)) - p) / slope
    }
    return x
  }
  const evenly = (from: number, to: number, count: number) =>
    Array.from({ length: count }, (_, i) => from + ((to - from) * i) / (count - 1))

  // These are the levels of create_normal_map in bitsandbytes' functional.py, after appendix E of QLoRA
  // (https://arxiv.org/abs/2305.14314): 8 levels above 0 and 7 below, at quantiles from 0.9677083 to 0.5; the largest
  // is 1.
  it('nf4 has the levels of normal quantiles', () => {
    const offset = 0.9677083
    const above = evenly(offset, 0.5, 9).slice(0, -1).map(quantile)
    const below = evenly(offset, 0.5, 8)
      .slice(0, -1)
      .map((p) => -quantile(p))
    const all = [...above, 0, ...below].sort((a, b) => a - b)
    const levels = all.map((x) => x / (all.at(-1) as number))
    expect(levels).toHaveLength(16)
    const block = new Uint8Array(36)
    new DataView(block.buffer).setFloat32(0, 1, true)
    for (let i = 0; i < 8; i++) block[4 + i] = 2 * i * 16 + (2 * i + 1)
    for (const device of ['cpu', 'reference']) {
      const values = f.fromTypedArray(block, [64], { dtype: 'nf4', device }).dataSync()
      levels.forEach((level, i) => void expect(Math.abs((values[i] as number) - level), `${i}`).toBeLessThan(2e-7))
    }
  })

  // The literals of bitsandbytes' dQuantizeNF4, as a C++ compiler rounds them to floats. Each is the last number of the
  // lower level.
  it.each(['cpu', 'reference'])('nf4 takes the level above beyond the thresholds of bitsandbytes, on %s', (device) => {
    const thresholds = [
      ...[-0.84809643, -0.610632896, -0.45999527, -0.33967942, -0.234607399, -0.137911737, -0.0455250181, 0.0397901498],
      ...[0.120255254, 0.203521252, 0.292013764, 0.389312536, 0.501663387, 0.64278692, 0.861478388],
    ].map(Math.fround)
    const numbers = [1, ...thresholds, ...thresholds.map((x) => x + Math.abs(x) * 2 ** -23), ...new Array(33).fill(0)]
    const bytes = bytesOf(f.tensor(numbers, { device }).to('nf4'))
    const bits = [...bytes.subarray(4)].flatMap((byte) => [byte >> 4, byte & 15])
    thresholds.forEach((_, i) => void expect([bits[1 + i], bits[16 + i]], `threshold ${i}`).toEqual([i, i + 1]))
  })

  // dequantize_row_q8_0 and dequantize_row_q4_0 of GGML's ggml-quants.c, for blocks with any bytes.
  it.each(['q8_0', 'q4_0'] as const)('%s has the numbers of its bytes', (dtype) => {
    const [, bytes] = sizes[dtype]
    const block = Uint8Array.from({ length: bytes }, (_, i) => (i * 151 + 77) % 256)
    // The float16 of -0.34375: sign, exponent 13, 0.375 of the step to the next power of two.
    new DataView(block.buffer).setUint16(0, 0x8000 | (13 << 10) | 384, true)
    const scale = -0.34375
    const numbers = new Array<number>(32)
    for (let j = 0; j < (dtype === 'q8_0' ? 32 : 16); j++) {
      const byte = block[2 + j] as number
      if (dtype === 'q8_0') numbers[j] = scale * (byte > 127 ? byte - 256 : byte)
      else {
        numbers[j] = scale * ((byte & 0x0f) - 8)
        numbers[j + 16] = scale * ((byte >> 4) - 8)
      }
    }
    for (const device of ['cpu', 'reference'])
      expect(f.fromTypedArray(block, [32], { dtype, device }).toArray()).toEqual(numbers)
  })
})

describe.each(['cpu', 'reference'])('blocks on %s', (device) => {
  const x = () => f.fromTypedArray(numbers, [2, 32], { device })

  it.each(formats)('%s has the bytes of the format', (dtype) => {
    const flat = f.fromTypedArray(numbers, [64], { device }).to(dtype)
    expect(hex(flat)).toBe(golden[dtype])
    const [block, bytes] = sizes[dtype]
    expect(bytesOf(flat).length).toBe((64 / block) * bytes)
    // The bytes alone make the same tensor.
    const made = f.fromTypedArray(bytesOf(flat), [64], { dtype, device })
    expect(made.toArray()).toEqual(flat.toArray())
    const largest = Math.max(...numbers.map(Math.abs))
    const bound = { q8_0: 1 / 200, q4_0: 1 / 7.5, nf4: 0.16 }[dtype] * largest
    flat.dataSync().forEach((value, i) => void expect(Math.abs(value - (numbers[i] as number))).toBeLessThan(bound))
  })

  it('rounds halves as the format does', () => {
    const q8 = [127, 0.5, -0.5, 1.5, -1.5, 2.5, -2.5, ...new Array(25).fill(0)]
    expect(hex(f.tensor(q8, { device }).to('q8_0')).slice(0, 18)).toBe('003c7f01ff02fe03fd')
    const q4 = [8, -8, 0.5, -0.5, 1.5, -1.5, 7.5, -7.5, ...new Array(24).fill(0)]
    expect(hex(f.tensor(q4, { device }).to('q4_0'))).toBe('00bc808f8889878a818f8888888888888888')
  })

  it.each(formats)('%s of zeros, tiny numbers, NaN and infinities', (dtype) => {
    const [block] = sizes[dtype]
    const row = (value: number) => Array.from({ length: block }, (_, i) => (i === 3 ? value : 0))
    const rows = f.tensor([0, 1e-42, Number.NaN, Number.POSITIVE_INFINITY].map(row), { device }).to(dtype)
    const [zero, tiny, nan, infinite] = rows.toArray() as number[][]
    expect(zero?.every((v) => v === 0) && tiny?.every((v) => v === 0)).toBe(true)
    expect(nan?.every(Number.isNaN) && infinite?.every(Number.isNaN)).toBe(true)
    expect(
      f
        .zeros([2, block], { dtype, device })
        .dataSync()
        .every((v) => v === 0),
    ).toBe(true)
  })

  it.each(formats)('%s counts its bytes, and converts from and to other floats', (dtype) => {
    const [block, bytes] = sizes[dtype]
    const before = f.device(device).memory().bytes
    const made = noise([3, 5, 2 * block], 1, device).to(dtype)
    const own = 3 * 5 * 2 * bytes
    expect(bytesOf(made).length).toBe(own)
    const zeros = f.zeros([4, block], { dtype, device })
    expect(f.device(device).memory().bytes - before).toBeGreaterThanOrEqual(4 * bytes)
    expect(zeros.storage.count).toBe(4 * block)
    expect(made.to('bfloat16').toArray()).toEqual(made.to('float32').to('bfloat16').toArray())
    // Views of a transposed tensor are copied row by row, like all sources.
    const turned = noise([2 * block, 3], 2, device).transpose(0, 1)
    expect(hex(turned.to(dtype))).toBe(hex(turned.contiguous().to(dtype)))
    expect(made.toString()).toContain(dtype)
  })

  it.each(formats)('%s: views of whole rows and blocks, and rows by index', (dtype) => {
    const [block] = sizes[dtype]
    const made = noise([4, 5, 2 * block], 3, device).to(dtype)
    const dense = made.to('float32')
    const same = (a: f.Tensor, b: f.Tensor) => expect(a.toArray()).toEqual(b.toArray())
    same(made.select(0, 2), dense.select(0, 2))
    same(made.narrow(1, 1, 3), dense.narrow(1, 1, 3))
    same(made.narrow(2, block, block), dense.narrow(2, block, block))
    same(made.transpose(0, 1).contiguous(), dense.transpose(0, 1))
    same(made.transpose(0, 1).reshape([20, 2 * block]), dense.transpose(0, 1).reshape([20, 2 * block]))
    same(made.clone(), dense)
    const index = f.tensor(Int32Array.of(4, 0, 4), { device })
    same(f.indexSelect(made, 1, index), f.indexSelect(dense, 1, index))
    const rows = f.embedding(index, made.select(0, 0))
    expect(rows.dtype).toBe('float32')
    same(rows, f.embedding(index, dense.select(0, 0)))
    const target = f.zeros([4, 5, 2 * block], { dtype, device })
    target.select(0, 1).copy_(made.select(0, 3))
    same(target.select(0, 1), dense.select(0, 3))
    expect(() => made.narrow(2, 1, block)).toThrow(f.ShapeError)
    expect(() => made.select(2, 0)).toThrow(f.ShapeError)
    expect(() => made.reshape([4, 10 * block * 2, 1]).to('float32')).toThrow()
    expect(() => made.transpose(1, 2).to('float32')).toThrow(f.DTypeError)
    expect(() => made.transpose(1, 2).contiguous()).toThrow(f.DTypeError)
    expect(() => f.indexSelect(made, 2, index)).toThrow(f.DTypeError)
  })

  it('refuses what blocks cannot do, by name', () => {
    const q = x().to('q8_0')
    expect(() => noise([2, 33], 1, device).to('q8_0')).toThrow(f.ShapeError)
    expect(() => f.tensor(1, { device }).to('q4_0')).toThrow(f.ShapeError)
    expect(() => f.zeros([2, 32], { dtype: 'int32', device }).to('q4_0')).toThrow(f.DTypeError)
    expect(() => f.ones([2, 32], { dtype: 'q4_0', device })).toThrow(f.ValueError)
    expect(() => f.arange(0, 32, 1, { dtype: 'q8_0', device })).toThrow(f.DTypeError)
    expect(() => {
      q.requiresGrad = true
    }).toThrow(f.DTypeError)
    const wanting = x()
    wanting.requiresGrad = true
    expect(() => wanting.to('q8_0')).toThrow('[to] no gradient passes through q8_0')
    for (const [op, call] of [
      ['add', () => f.add(q, q)],
      ['relu', () => f.relu(q)],
      ['sum', () => f.sum(q)],
      ['softmax', () => f.softmax(q, 1)],
      ['cat', () => f.cat([q, q], 0)],
      ['eq', () => f.eq(q, q)],
      ['matmul', () => f.matmul(q, x().transpose(0, 1))],
      ['linear', () => f.linear(q, x())],
    ] as const)
      expect(call, op).toThrow(f.DTypeError)
    expect(() => f.add(q, q)).toThrow('q8_0')
  })

  // Widths and depths lie around the panels of all instruction sets, with rests. Rows are for the vector product, tiles
  // and packing.
  const shapes = [
    [1, 64, 1],
    [1, 320, 67],
    [1, 4160, 5],
    [2, 64, 33],
    [13, 448, 31],
    [50, 320, 97],
    [3, 1088, 65],
    [0, 64, 3],
    [3, 0, 4],
    [3, 64, 0],
  ] as const

  it.each(formats)('%s is the right operand of products, turned or not', (dtype) => {
    for (const [m, k, n] of shapes) {
      const a = noise([m, k], 4, device)
      const bias = noise([n], 5, device)
      const w = noise([n, k], 6, device).to(dtype)
      near(f.linear(a, w, bias), f.linear(a, w.to('float32'), bias))
      near(
        f.linear(noise([k, m], 4, device).transpose(0, 1), w),
        f.linear(noise([k, m], 4, device).transpose(0, 1), w.to('float32')),
      )
      // The same matrix transposed has the same number of blocks along its columns.
      const g = noise([m, n], 7, device)
      near(f.matmul(g, w), f.matmul(g, w.to('float32')))
      const half = a.to('bfloat16')
      expect(f.linear(half, w).dtype).toBe('bfloat16')
      near(f.linear(half, w), f.linear(half.to('float32'), w.to('float32')), 1e-2)
    }
    const batch = noise([3, 2, 5, 64], 8, device)
    const many = noise([3, 2, 7, 64], 9, device).to(dtype)
    near(f.matmul(batch, many.transpose(2, 3)), f.matmul(batch, many.to('float32').transpose(2, 3)))
    const one = noise([1, 2, 64, 128], 9, device).to(dtype)
    near(f.matmul(batch, one), f.matmul(batch, one.to('float32')))
    const row = noise([64], 10, device)
    near(f.matmul(row, row.to(dtype)), f.matmul(row, row.to(dtype).to('float32')))
  })

  it.each(formats)('%s lets gradients through to x', (dtype) => {
    const w = noise([67, 128], 11, device).to(dtype)
    for (const weight of [w, w.to('float32')]) expect(weight.requiresGrad).toBe(false)
    const gradient = (weight: f.Tensor) => {
      const input = noise([2, 5, 128], 12, device)
      input.requiresGrad = true
      const y = f.linear(input, weight)
      f.sum(f.mul(f.add(y, f.matmul(input, weight.transpose(0, 1))), y)).backward()
      return input.grad as f.Tensor
    }
    near(gradient(w), gradient(w.to('float32')))
  })

  it.each(formats)('%s is written to files and read', async (dtype) => {
    const folder = await mkdtemp(join(tmpdir(), 'firesteel-blocks-'))
    try {
      f.setDefaultDevice(device)
      const path = join(folder, 'x.safetensors')
      const made = noise([3, 128], 13, device).to(dtype)
      const plain = f.tensor([1, 2], { device })
      await saveTensors(
        path,
        new Map([
          ['__proto__', made],
          ['rows', made.narrow(0, 1, 2)],
          ['plain', plain],
        ]),
      )
      const back = await loadTensors(path)
      expect(back.get('__proto__')?.dtype).toBe(dtype)
      expect(back.get('__proto__')?.shape).toEqual([3, 128])
      expect(hex(back.get('__proto__') as f.Tensor)).toBe(hex(made))
      expect(back.get('rows')?.toArray()).toEqual(made.narrow(0, 1, 2).toArray())
      expect(back.get('plain')?.dtype).toBe('float32')
      await expect(saveTensors(path, new Map(), { metadata: { 'firesteel.blocks': '' } })).rejects.toThrow(f.ValueError)

      const model = () => new f.nn.Sequential(new f.nn.Linear(64, 64, { device }), new f.nn.Linear(64, 3, { device }))
      const first = quantize(model(), dtype, { modules: ['0'] })
      const file = join(folder, 'model.safetensors')
      await first.save(file)
      const input = noise([2, 64], 14, device)
      const stored = quantize(model(), dtype, { modules: ['0'] })
      await stored.load(file)
      expect(stored.forward(input).toArray()).toEqual(first.forward(input).toArray())
      const floats = model()
      await floats.load(file)
      near(floats.forward(input), first.forward(input))
    } finally {
      await rm(folder, { recursive: true })
    }
  })

  it.each(formats)('quantize stores layers as %s, which LoRA adapts', (dtype) => {
    const model = new f.nn.Sequential(new f.nn.Linear(64, 128, { device }), new f.nn.Linear(128, 2, { device }))
    const before = model.forward(noise([2, 64], 15, device))
    expect(quantize(model, dtype)).toBe(model)
    const [first] = [...model.modules()].filter((module) => module instanceof f.nn.Linear)
    expect(first?.weight.dtype).toBe(dtype)
    expect(first?.weight.requiresGrad).toBe(false)
    near(model.forward(noise([2, 64], 15, device)), before, 0.2)
    applyLora(model, { rank: 2, alpha: 2, targetModules: 'all-linear' })
    f.sum(model.forward(noise([2, 64], 15, device))).backward()
    const learning = [...model.parameters()].filter((p) => p.requiresGrad)
    expect(learning.length).toBe(4)
    expect(learning.every((p) => p.grad !== null)).toBe(true)
    expect(() => quantize(model, dtype === 'nf4' ? 'q4_0' : 'nf4')).toThrow(f.DTypeError)
    expect(() => quantize(model, 'float32' as never)).toThrow(f.DTypeError)
    expect(() => quantize(new f.nn.Linear(33, 2, { device }), dtype)).toThrow(f.ShapeError)
    expect(() => quantize(new f.nn.Linear(64, 2, { device }), dtype, { modules: ['no'] })).toThrow(f.ValueError)
  })

  it.each(formats)('%s meets autocast: a product of bfloat16, the weight as it is', (dtype) => {
    const [x, w] = [noise([5, 128], 21, device), noise([67, 128], 22, device).to(dtype)]
    x.requiresGrad = true
    const copies = f.trace(() => void f.autocast('bfloat16', () => f.linear(x, w)), device).count('copy')
    // Only x is converted: no copy of the weight is made in another dtype.
    expect(copies).toBe(1)
    const y = f.autocast('bfloat16', () => f.linear(x, w))
    expect(y.dtype).toBe('bfloat16')
    near(y.to('float32'), f.linear(x.to('bfloat16').to('float32'), w.to('float32')), 2 ** -8)
    y.to('float32').sum().backward()
    expect(x.grad?.dtype).toBe('float32')
    near(x.grad as f.Tensor, w.to('float32').sum(0).expand([5, 128]), 2 ** -7)
  })

  it.each(formats)('%s beside bfloat16 of any strides', (dtype) => {
    const w = noise([64, 128], 23, device).to(dtype)
    const dense = noise([128, 6], 24, device).to('bfloat16')
    const spread = noise([6, 256], 25, device).to('bfloat16').slice(null, [0, null, 2])
    for (const x of [dense.transpose(0, 1), spread, spread.narrow(0, 2, 3), spread.select(0, 1).expand([4, 128])]) {
      const wide = x.to('float32')
      near(f.linear(x, w).to('float32'), f.linear(wide, w.to('float32')), 2 ** -8)
      near(f.matmul(x.narrow(-1, 0, 64), w).to('float32'), f.matmul(wide.narrow(-1, 0, 64), w.to('float32')), 2 ** -8)
    }
  })

  it.each(formats)('%s of a model that was made on meta, and the memory that it is planned to take', async (dtype) => {
    const folder = await mkdtemp(join(tmpdir(), 'firesteel-blocks-'))
    try {
      const make = (on: string) => quantize(new f.nn.Linear(128, 64, { device: on }), dtype)
      const [path, saved] = [join(folder, 'x.safetensors'), make(device)]
      await saved.save(path)
      const planned = () => f.memory('meta').planned?.bytes ?? 0
      const before = planned()
      const model = make('meta')
      const [block, bytes] = sizes[dtype]
      // The floats before quantisation may still be in memory.
      expect(planned() - before).toBeGreaterThanOrEqual((128 * 64 * bytes) / block + 4 * 64)
      expect([model.weight.dtype, model.weight.device.name]).toEqual([dtype, 'meta'])
      const x = f.zeros([3, 128], { device: 'meta' })
      expect(model.forward(x).shape).toEqual([3, 64])
      expect(model.weight.to('float32').shape).toEqual([64, 128])
      expect(() => f.zeros([3, 33], { device: 'meta' }).to(dtype)).toThrow(f.ShapeError)
      await model.load(path, { device })
      expect(hex(model.weight)).toBe(hex(saved.weight))
      expect(model.weight.device.name).toBe(device)
    } finally {
      await rm(folder, { recursive: true })
    }
  })

  it.each(formats)('%s weights that are tied are one, in a file too', async (dtype) => {
    class Tied extends f.nn.Module {
      readonly embed = new f.nn.Embedding(9, 64, { device })
      readonly head = new f.nn.Linear(64, 9, { bias: false, device })
      constructor() {
        super()
        this.head.weight = this.embed.weight
      }
      forward(ids: f.Tensor): f.Tensor {
        return this.head.forward(this.embed.forward(ids)) as f.Tensor
      }
    }
    const folder = await mkdtemp(join(tmpdir(), 'firesteel-blocks-'))
    try {
      f.setDefaultDevice(device)
      const model = quantize(new Tied(), dtype, { modules: ['embed'] })
      expect(model.head.weight).toBe(model.embed.weight)
      expect(model.embed.weight.dtype).toBe(dtype)
      const ids = f.tensor(Int32Array.of(3, 8, 0), { device })
      const table = model.embed.weight.to('float32')
      near(model.forward(ids), f.matmul(f.indexSelect(table, 0, ids), table.transpose(0, 1)))
      const path = join(folder, 'x.safetensors')
      await model.save(path)
      expect([...(await loadTensors(path)).keys()]).toHaveLength(1)
      const other = quantize(new Tied(), dtype, { modules: ['embed'] })
      await other.load(path)
      expect(other.forward(ids).toArray()).toEqual(model.forward(ids).toArray())
      expect(other.head.weight).toBe(other.embed.weight)
    } finally {
      await rm(folder, { recursive: true })
    }
  })

  it('a file whose names of blocks are damaged is refused, and changes nothing', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'firesteel-blocks-'))
    try {
      f.setDefaultDevice(device)
      const path = join(folder, 'x.safetensors')
      const model = quantize(new f.nn.Linear(64, 3, { device }), 'q8_0')
      await model.save(path)
      const whole = await readFile(path)
      const length = Number(whole.readBigUInt64LE(0))
      const header = JSON.parse(whole.toString('utf8', 8, 8 + length))
      const key = 'firesteel.blocks'
      expect(JSON.parse(header.__metadata__[key])).toEqual([['weight', 'q8_0']])
      const before = hex(model.weight)
      const damaged = async (text: string | undefined) => {
        const metadata = { ...header.__metadata__, [key]: text }
        const json = Buffer.from(JSON.stringify({ ...header, __metadata__: metadata }))
        const size = Buffer.alloc(8)
        size.writeBigUInt64LE(BigInt(json.length))
        await writeFile(path, Buffer.concat([size, json, whole.subarray(8 + length)]))
        return model.load(path)
      }
      for (const [text, words] of [
        ['[["weight","q8_0"', 'its metadata firesteel.blocks are not JSON'],
        ['{"weight":"q8_0"}', 'are not a list of [name, dtype]'],
        ['[["weight"]]', 'are not a list of [name, dtype]'],
        ['[["weight",8]]', 'are not a list of [name, dtype]'],
        ['[["nobody","q8_0"]]', 'nobody'],
        ['[["bias","q8_0"]]', 'bias'],
        ['[["weight","nf4"]]', 'does not consist of whole blocks of nf4'],
      ] as const) {
        await expect(damaged(text), text).rejects.toThrow(f.ValueError)
        await expect(damaged(text), text).rejects.toThrow(words)
      }
      // Bytes that no metadata call blocks, or that have an unknown format, have another shape.
      for (const text of [undefined, '[]', '[["weight","q9_9"]]', '[["weight","float32"]]'])
        await expect(damaged(text), text).rejects.toThrow(f.StateDictError)
      expect(hex(model.weight)).toBe(before)
    } finally {
      await rm(folder, { recursive: true })
    }
  })
})

it.each(formats)('%s weights of more bytes than are read at once arrive whole', async (dtype) => {
  const folder = await mkdtemp(join(tmpdir(), 'firesteel-blocks-'))
  try {
    const path = join(folder, 'x.safetensors')
    // There are more elements than a piece has bytes.
    const made = f
      .expand(noise([3, 4096], 31, 'cpu'), [683, 3, 4096])
      .reshape([2049, 4096])
      .to(dtype)
    await saveTensors(path, new Map([['weight', made]]))
    const model = new f.nn.Linear(4096, 2049, { bias: false, device: 'meta' })
    await quantize(model, dtype).load(path, { device: 'cpu' })
    expect(Buffer.compare(bytesOf(model.weight), bytesOf(made))).toBe(0)
  } finally {
    await rm(folder, { recursive: true })
  }
})
