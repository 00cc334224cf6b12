import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, it } from 'vitest'
import { loadTensors, openTensors, ValueError } from '../../lib/index.js'
import { SafetensorsFile } from '../../lib/io/safetensors.js'
import { isFileDType, type TensorSource } from '../../lib/io/source.js'
import { TorchFile } from '../../lib/io/torch.js'

const data = fileURLToPath(new URL('../models/data/torch/', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'firesteel-torch-'))
afterAll(() => rmSync(folder, { recursive: true }))

/** Every tensor of one source is in the other, with the same bytes. */
async function expectSame(got: TensorSource, expected: TensorSource): Promise<void> {
  expect([...got.names].sort()).toEqual([...expected.names].sort())
  for (const name of expected.names) {
    const { dtype, shape } = expected.spec(name) as { dtype: string; shape: readonly number[] }
    expect(got.spec(name)).toMatchObject({ dtype, shape })
    if (isFileDType(dtype)) expect((await got.read(name)).data, name).toEqual((await expected.read(name)).data)
    else await expect(got.read(name)).rejects.toThrow(`has dtype ${dtype}, which cannot be loaded`)
  }
}

describe('files of torch.save', () => {
  it.each([
    ['state.pt', 'expected.safetensors'],
    ['state-legacy.pt', 'expected.safetensors'],
    ['checkpoint.pt', 'checkpoint-expected.safetensors'],
  ])('%s holds the tensors of %s', async (file, expected) => {
    const [got, theirs] = [await openTensors(join(data, file)), await SafetensorsFile.open(join(data, expected))]
    await expectSame(got, theirs)
    await got.close()
    await theirs.close()
  })

  it('give parts of views, also without a turn of the event loop', async () => {
    const file = await TorchFile.open(join(data, 'state.pt'))
    for (const name of ['transposed', 'slice', 'expanded', 'shared_b']) {
      const whole = (await file.read(name)).data as Float32Array
      for (const [from, count] of [
        [0, 1],
        [2, 3],
        [whole.length - 1, 1],
        [0, whole.length],
      ] as const) {
        const wanted = whole.slice(from, from + count)
        expect((await file.read(name, new Float32Array(wanted.length), from)).data).toEqual(wanted)
        expect(file.readSync(name, new Float32Array(wanted.length), from).data).toEqual(wanted)
      }
      await expect(file.read(name, new Float32Array(2), whole.length - 1)).rejects.toThrow('does not have 2 elements')
    }
    await file.close()
  })

  it('become tensors, and say how many other values they hold', async () => {
    const tensors = await loadTensors(join(data, 'checkpoint.pt'))
    expect(tensors.get('model.weight')?.shape).toEqual([2, 3])
    for (const tensor of tensors.values()) tensor.dispose()
    const file = await TorchFile.open(join(data, 'checkpoint.pt'))
    expect(file.leftOut).toBeGreaterThan(5)
    await file.close()
  })

  it('that ask for a function are refused by its name', async () => {
    const error = await openTensors(join(data, 'refuse-print.pt')).catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(ValueError)
    expect((error as Error).message).toMatch(/refuse-print\.pt .*asks for "__builtin__\.print".*nothing was run/)
  })

  it('that are cut anywhere are refused with their name', async () => {
    for (const name of ['state.pt', 'state-legacy.pt']) {
      const bytes = readFileSync(join(data, name))
      for (let end = 9; end < bytes.length; end += 97) {
        const path = join(folder, name)
        writeFileSync(path, bytes.subarray(0, end))
        const error = await TorchFile.open(path).catch((reason: unknown) => reason)
        expect(error, `${name} cut at ${end}`).toBeInstanceOf(ValueError)
        expect((error as Error).message).toContain(path)
      }
    }
  })

  it('in shards are one source, by the index of the folder', async () => {
    const shard = readFileSync(join(data, 'state.pt'))
    writeFileSync(join(folder, 'pytorch_model-00001-of-00001.bin'), shard)
    const source = await TorchFile.open(join(data, 'state.pt'))
    const weight_map = Object.fromEntries(source.names.map((name) => [name, 'pytorch_model-00001-of-00001.bin']))
    await source.close()
    writeFileSync(join(folder, 'pytorch_model.bin.index.json'), JSON.stringify({ weight_map }))
    const got = await openTensors(folder)
    expect((await got.read('shared_b')).shape).toEqual([7])
    await got.close()
    writeFileSync(
      join(folder, 'pytorch_model.bin.index.json'),
      JSON.stringify({ weight_map: { ...weight_map, more: 'pytorch_model-00001-of-00001.bin' } }),
    )
    await expect(openTensors(folder)).rejects.toThrow('"more" should be in pytorch_model-00001-of-00001.bin')
  })
})
