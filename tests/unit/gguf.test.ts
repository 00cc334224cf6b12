import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, it } from 'vitest'
import { loadTensors, ValueError } from '../../lib/index.js'
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
    await expect(write('F32', [5])).rejects.toThrow('is no tensor of at most 4 dimensions')
    await expect(write('F32', [1, 1, 1, 1, 4])).rejects.toThrow('is no tensor of at most 4 dimensions')
    await expect(write('q8_0', [31])).rejects.toThrow('is no tensor')
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
