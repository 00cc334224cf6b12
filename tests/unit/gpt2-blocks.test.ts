/** GPT-2 with its weights in blocks: Conv1D stores floats [in, out], and blocks [out, in]. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { applyLora, quantize } from '../../lib/finetune/index.js'
import {
  Generator,
  loadTensors,
  nn,
  noGrad,
  randn,
  saveGguf,
  saveTensors,
  sum,
  type Tensor,
  tensor,
  transpose,
} from '../../lib/index.js'
import { AutoModel, Conv1D, type Gpt2, gpt2 } from '../../lib/models/index.js'

const root = mkdtempSync(join(tmpdir(), 'firesteel-gpt2-blocks-'))
afterAll(() => rmSync(root, { recursive: true }))

const dtypes = ['q8_0', 'q4_0', 'nf4'] as const
const sizes = { vocabSize: 64, layers: 1, width: 64, heads: 2, context: 16, dropout: 0 } as const
const make = (): Gpt2 => gpt2({ ...sizes, generator: new Generator(3) })
const ids = tensor([[3, 1, 4, 1, 5]], { dtype: 'int32' })
const scores = (model: Gpt2): unknown => noGrad(() => model.forward(ids)).toArray()

describe.each(dtypes)('a Conv1D in %s', (dtype) => {
  it('computes what a Linear of its numbers does', () => {
    for (const device of ['cpu', 'reference']) {
      const layer = new Conv1D(64, 96, { device, generator: new Generator(1) })
      const twin = new nn.Linear(64, 96, { device })
      noGrad(() => twin.weight.copy_(transpose(layer.weight, 0, 1)).shape)
      noGrad(() => twin.bias?.copy_(layer.bias).shape)
      const x = randn([3, 64], { device, generator: new Generator(2) })
      quantize(layer, dtype)
      quantize(twin, dtype)
      expect([layer.weight.dtype, layer.weight.shape]).toEqual([dtype, [96, 64]])
      expect(layer.dense().toArray()).toEqual(twin.dense().toArray())
      expect(layer.forward(x).toArray()).toEqual(twin.forward(x).toArray())
    }
  })

  it('is adapted by DoRA, which needs its numbers', () => {
    const model = new nn.Sequential(new Conv1D(64, 96), new nn.Linear(96, 2))
    quantize(model, dtype, { modules: ['0'] })
    const x = randn([3, 64])
    const before = model.forward(x as never).toArray()
    applyLora(model, { rank: 2, alpha: 2, dora: true, targetModules: ['0'] })
    const after = model.forward(x as never) as Tensor
    ;(after.toArray() as number[][]).flat().forEach((value, i) => {
      expect(value).toBeCloseTo((before as number[][]).flat()[i] as number, 4)
    })
    sum(after).backward()
    const learning = [...model.parameters()].filter(({ requiresGrad }) => requiresGrad)
    expect(learning.length).toBe(3)
    expect(learning.every(({ grad }) => grad !== null)).toBe(true)
  })

  it('must have whole blocks along what it sums over', () => {
    quantize(new Conv1D(64, 33), dtype)
    expect(() => quantize(new Conv1D(33, 64), dtype)).toThrow(
      /along the last dimension, but the last dimension of \[64, 33\]/,
    )
  })
})

describe('a GPT-2 in blocks', () => {
  it('has the scores of its floats, nearly, and is quantised once', () => {
    const [model, twin] = [quantize(make(), 'q8_0', { modules: /./ }), make()]
    const [stored, floats] = [scores(model), scores(twin)] as [number[][][], number[][][]]
    const most = Math.max(...stored.flat(2).map((value, i) => Math.abs(value - (floats.flat(2)[i] as number))))
    expect(most).toBeGreaterThan(0)
    expect(most).toBeLessThan(0.01)
    const weight = model.transformer.h[0]?.attn.cProj.weight
    const storage = weight?.storage
    quantize(model, 'q8_0', { modules: /./ })
    expect(weight?.dtype).toBe('q8_0')
    expect(weight?.storage).toBe(storage)
    expect(scores(model)).toEqual(stored)
  })

  it('is a GGUF file, whose blocks are its own', async () => {
    const model = quantize(make(), 'q8_0', { modules: /./ })
    const path = join(root, 'model.gguf')
    await saveGguf(path, model.stateDict(), { dtype: 'q8_0' })
    const twin = quantize(make(), 'q8_0', { modules: /./ })
    noGrad(() => {
      for (const weight of twin.parameters()) if (weight.dtype === 'float32') weight.fill_(0)
    })
    expect(scores(twin)).not.toEqual(scores(model))
    await twin.load(path)
    expect(scores(twin)).toEqual(scores(model))
    expect((await loadTensors(path)).get('transformer.h.0.attn.c_attn.weight')?.shape).toEqual([192, 64])
  })

  it('does not take a file of floats, which are stored otherwise', async () => {
    const path = join(root, 'floats.safetensors')
    await saveTensors(path, make().stateDict())
    await expect(quantize(make(), 'q8_0').load(path)).rejects.toThrow(
      /c_attn.weight is \[64, 192\], but must be \[192, 64\]/,
    )
  })

  it("loads from a folder in bitsandbytes' layout, whose weights are [out, in] too", async () => {
    const path = join(root, 'nf4')
    await make().save(path, { log: () => {} })
    const config = JSON.parse(readFileSync(join(path, 'config.json'), 'utf8')) as object
    const quantization_config = { quant_method: 'bitsandbytes', load_in_4bit: true, bnb_4bit_quant_type: 'nf4' }
    writeFileSync(join(path, 'config.json'), JSON.stringify({ ...config, quantization_config }))
    const stored = quantize(make(), 'nf4', { modules: /c_|mlp|attn/ })
    const tensors = new Map(await loadTensors(path))
    for (const [name, weight] of stored.stateDict()) {
      if (weight.dtype !== 'nf4') continue
      // A block is its magnitude and 32 bytes with two numbers each.
      const bytes = weight.device.readSync(weight) as Uint8Array
      const blocks = Array.from({ length: bytes.length / 36 }, (_, i) => bytes.slice(36 * i, 36 * i + 36))
      const packed = blocks.flatMap((block) => [...block.subarray(4)].map((byte) => [byte]))
      tensors.set(name, tensor(packed, { dtype: 'uint8' }))
      const magnitudes = blocks.map((block) => new DataView(block.buffer).getFloat32(0, true))
      tensors.set(`${name}.absmax`, tensor(magnitudes))
      const state = JSON.stringify({ quant_type: 'nf4', blocksize: 64, shape: weight.shape })
      tensors.set(
        `${name}.quant_state.bitsandbytes__nf4`,
        tensor([...new TextEncoder().encode(state)], { dtype: 'uint8' }),
      )
    }
    await saveTensors(join(path, 'model.safetensors'), tensors)
    const model = (await AutoModel.forCausalLM(path)) as Gpt2
    expect(model.transformer.h[0]?.attn.cAttn.weight.shape).toEqual([192, 64])
    expect(scores(model)).toEqual(scores(stored))
  })
})
