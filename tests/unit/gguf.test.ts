import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, it } from 'vitest'
import { fromTypedArray, loadTensors, saveGguf, type Tensor, ValueError } from '../../lib/index.js'
import { GgufFile, writeGguf } from '../../lib/io/gguf.js'
import { dataSync } from '../../lib/ops/read.js'

const data = fileURLToPath(new URL('../models/data/gguf/', import.meta.url))
const small = join(data, 'small.gguf')
const folder = mkdtempSync(join(tmpdir(), 'firesteel-gguf-'))
afterAll(() => rmSync(folder, { recursive: true }))

interface Expected {
  readonly shape: readonly number[]
  readonly values: readonly number[]
}

describe('GGUF files', () => {
  it('hold what llama.cpp says', async () => {
    const expected = JSON.parse(readFileSync(join(data, 'small.json'), 'utf8')) as { readonly [name: string]: Expected }
    const tensors = await loadTensors(small, { names: Object.keys(expected), device: 'reference' })
    for (const [name, { shape, values }] of Object.entries(expected)) {
      const tensor = tensors.get(name)
      expect(tensor?.shape, name).toEqual(shape)
      const got = [...dataSync(tensor as NonNullable<typeof tensor>)]
      expect(got.length).toBe(values.length)
      got.forEach((value, i) => {
        expect(value).toBeCloseTo(values[i] as number, 6)
      })
    }
  })

  it('have metadata of every kind, and fail at a type only where it is read', async () => {
    const file = await GgufFile.open(small)
    expect(file.values.get('general.architecture')).toBe('llama')
    expect(file.values.get('llama.context_length')).toBe(32)
    expect(file.values.get('tokenizer.ggml.tokens')).toEqual(['<unk>', '▁é', '\ufffd'])
    expect(file.values.get('tokenizer.ggml.scores')).toEqual([0, -1, -2.5])
    expect(file.values.get('tokenizer.ggml.add_bos_token')).toBe(true)
    expect(file.values.get('x.wide')).toBe(-(2n ** 60n))
    expect(file.spec('q6')).toMatchObject({ dtype: '14', shape: [1, 256] })
    await expect(file.read('q6')).rejects.toThrow('has the GGML type 14, which cannot be loaded')
    await file.close()
  })

  it('are written and read again, bytes for bytes', async () => {
    const source = await GgufFile.open(small)
    const tensors = new Map()
    for (const name of ['f32', 'f16', 'q8']) tensors.set(name, await source.read(name))
    const path = join(folder, 'out.gguf')
    const metadata = {
      'general.architecture': 'llama',
      list: ['a', 'b'],
      mixed: [1, -2, 0.5],
      big: 2 ** 40,
      low: -7,
      yes: true,
    }
    await writeGguf(path, tensors, metadata)
    const again = await GgufFile.open(path)
    for (const [key, value] of Object.entries(metadata)) expect(again.values.get(key)).toEqual(value)
    for (const [name, tensor] of tensors) {
      expect(await again.read(name)).toEqual(tensor)
      expect(again.readSync(name, tensor.data.slice(1), 1).data).toEqual(tensor.data.slice(1))
    }
    await again.close()
    await source.close()
  })

  it('that cannot be are not written', async () => {
    const write = (dtype: 'BF16' | 'F32' | 'q8_0', shape: number[], metadata = {}) =>
      writeGguf(
        join(folder, 'no.gguf'),
        new Map([['x', { dtype, shape, data: dtype === 'q8_0' ? new Uint8Array(34) : new Float32Array(4) }]]),
        metadata,
      )
    await expect(write('BF16', [4])).rejects.toThrow('has dtype BF16')
    await expect(write('F32', [5])).rejects.toThrow('with at most 4 dimensions')
    await expect(write('F32', [1, 1, 1, 1, 4])).rejects.toThrow('with at most 4 dimensions')
    await expect(write('q8_0', [31])).rejects.toThrow('cannot be written as q8_0')
    await expect(write('F32', [4], { x: null })).rejects.toThrow('the metadata "x" is null')
    await expect(write('F32', [4], { x: [1, 'a'] })).rejects.toThrow('of several kinds')
  })

  it('that are cut anywhere are refused with their name', async () => {
    const bytes = readFileSync(small)
    const path = join(folder, 'cut.gguf')
    for (let end = 4; end < bytes.length - 300; end += 37) {
      writeFileSync(path, bytes.subarray(0, end))
      const error = await GgufFile.open(path).catch((reason: unknown) => reason)
      expect(error, `cut at ${end}`).toBeInstanceOf(ValueError)
      expect((error as Error).message).toContain(path)
    }
  })
})

describe('saveGguf', () => {
  /** Numbers that no 16-bit float holds. */
  const floats = (shape: readonly number[]) =>
    fromTypedArray(
      Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => Math.sin(i + 1)),
      shape,
    )
  const worst = (got: ArrayLike<number>, wanted: ArrayLike<number>) =>
    Array.from(wanted, (each, i) => Math.abs(each - (got[i] as number))).reduce((a, b) => Math.max(a, b), 0)

  it.each([
    ['float32', 0, 0],
    ['float16', 1e-5, 1e-3],
    ['q8_0', 1e-4, 1e-2],
  ] as const)('writes matrices in %s, and vectors in float32', async (dtype, least, most) => {
    const path = join(folder, `${dtype}.gguf`)
    const tensors = { weight: floats([3, 64]), bias: floats([5]) }
    const metadata = { 'general.architecture': 'llama' }
    const { unblocked } = await saveGguf(path, tensors, { dtype, metadata })
    expect(unblocked).toEqual([])
    const file = await GgufFile.open(path)
    expect(file.values.get('general.architecture')).toBe('llama')
    expect(file.spec('weight')).toMatchObject({ dtype: { float32: 'F32', float16: 'F16', q8_0: 'q8_0' }[dtype] })
    expect(file.spec('bias')).toMatchObject({ dtype: 'F32', shape: [5] })
    await file.close()
    const again = await loadTensors(path)
    const read = (name: string) => dataSync((again.get(name) as Tensor).to('float32'))
    expect(worst(read('bias'), dataSync(tensors.bias))).toBe(0)
    const off = worst(read('weight'), dataSync(tensors.weight))
    expect(off).toBeGreaterThanOrEqual(least)
    expect(off).toBeLessThanOrEqual(most)
  })

  it('keeps rows of 31, 33 and 63 numbers as float16, and says so', async () => {
    const rows = Object.fromEntries([31, 32, 33, 63, 64].map((width) => [`w${width}`, floats([2, width])]))
    const saved = await saveGguf(join(folder, 'rows.gguf'), rows, { dtype: 'q8_0' })
    expect(saved).toEqual({ converted: 2, unblocked: ['w31', 'w33', 'w63'] })
  })

  it('refuses what the format does not hold', async () => {
    const path = join(folder, 'refused.gguf')
    await expect(saveGguf(path, { x: floats([2, 2]) }, { dtype: 'q4_0' as never })).rejects.toThrow(
      "dtype is 'q4_0', but must be one of float32, float16, q8_0",
    )
    await expect(saveGguf(path, { x: fromTypedArray(Int32Array.of(1), [1]) })).rejects.toThrow("'x' is int32")
    await expect(saveGguf(path, { x: floats([1, 1, 1, 1, 2]) })).rejects.toThrow(/at most 4 dimensions/)
  })

  it.each([
    ['float16', 65504, 65536],
    ['q8_0', 8e6, 1e8],
  ] as const)('refuses numbers that %s has not, and keeps those that were not finite', async (dtype, held, beyond) => {
    const path = join(folder, `range-${dtype}.gguf`)
    const of = (x: number) => ({ x: fromTypedArray(new Float32Array(64).fill(x), [2, 32]) })
    await expect(saveGguf(path, of(beyond), { dtype })).rejects.toThrow(
      `'x' has 64 numbers too large for ${dtype}; give { dtype: 'float32' }`,
    )
    expect(await saveGguf(path, of(held), { dtype })).toEqual({ converted: 1, unblocked: [] })
    expect(await saveGguf(path, of(Number.NaN), { dtype })).toEqual({ converted: 1, unblocked: [] })
  })
})
