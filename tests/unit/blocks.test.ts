/** Block dtypes: bytes, views, files, products, and what is refused. */
import { mkdtemp, rm } from 'node:fs/promises'
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

/** GGML's bytes for them, of its Python package gguf; those of nf4 from the formula in NumPy, each level the nearest. */
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
    // Views of a turned tensor are copied row by row, as all sources are.
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
    expect(() => wanting.to('q8_0')).toThrow('[to] no gradient comes back through q8_0')
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

  // Widths and depths around the panels of all instruction sets, with rests; rows for the vector's way, tiles and packing.
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
      // The same matrix from the other side: as many blocks along the columns.
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
      await expect(saveTensors(path, new Map(), { 'firesteel.blocks': '' })).rejects.toThrow(f.ValueError)

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
})
