import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { noGrad } from '../../lib/autograd/mode.js'
import { setDefaultDevice } from '../../lib/backend/devices.js'
import { Generator } from '../../lib/core/generator.js'
import type { Tensor } from '../../lib/core/tensor.js'
import { applyLora } from '../../lib/finetune/index.js'
import { loadTensors, saveTensors } from '../../lib/io/tensors.js'
import { fromConfig } from '../../lib/models/architecture.js'
import { type ConfigJson, configText, Settings } from '../../lib/models/config.js'
import { gemma2Architecture, gemma3Architecture } from '../../lib/models/gemma.js'
import { AutoModel, KvCache, type Llama, llama } from '../../lib/models/index.js'
import { llamaArchitecture, mistralArchitecture, qwen2Architecture, qwen3Architecture } from '../../lib/models/llama.js'
import { normal_ } from '../../lib/nn/init.js'
import { tensor } from '../../lib/ops/creation.js'

setDefaultDevice('cpu')
const root = mkdtempSync(join(tmpdir(), 'firesteel-llama-'))
afterAll(() => rmSync(root, { recursive: true }))
const log = () => {}
const numbers = (x: Tensor) => Array.from(x.dataSync() as Float32Array)

function read<C extends object>(architecture: { read(settings: Settings): C }, json: ConfigJson): C {
  const settings = new Settings('test', 'config.json', json)
  const config = architecture.read(settings)
  settings.close()
  return config
}

describe('rotary settings', () => {
  const sizes = { hidden_size: 64, num_attention_heads: 4, max_position_embeddings: 512 }
  const rope = (json: ConfigJson) => read(llamaArchitecture, { ...sizes, ...json }).rope

  it('are read in both spellings', () => {
    const scaling = { factor: 8, low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 64 }
    const expected = {
      base: 500_000,
      headDim: 16,
      scaling: { type: 'llama3', factor: 8, lowFreqFactor: 1, highFreqFactor: 4, originalMaxPositions: 64 },
    }
    expect(rope({ rope_parameters: { rope_type: 'llama3', rope_theta: 500_000, ...scaling } })).toEqual(expected)
    expect(rope({ rope_theta: 500_000, rope_scaling: { rope_type: 'llama3', ...scaling } })).toEqual(expected)
    expect(rope({ rope_theta: 500_000, rope_scaling: { type: 'linear', factor: 2 } }).scaling).toEqual({
      type: 'linear',
      factor: 2,
    })
    expect(rope({ rope_scaling: { type: 'dynamic', factor: 2 } })).toEqual({
      base: 10_000,
      headDim: 16,
      scaling: { type: 'dynamic', factor: 2, originalMaxPositions: 512 },
    })
    expect(rope({})).toEqual({ base: 10_000, headDim: 16, scaling: null })
    expect(rope({ rope_theta: 5, rope_scaling: null, partial_rotary_factor: 1 })).toEqual({
      base: 5,
      headDim: 16,
      scaling: null,
    })
  })

  it('that are unknown or wrong are refused by name', () => {
    expect(() => rope({ rope_scaling: { type: 'su', factor: 2 } })).toThrow(/rope_scaling is of type 'su'/)
    expect(() => rope({ rope_scaling: { type: 'linear' } })).toThrow(/rope_scaling\.factor is undefined/)
    expect(() => rope({ rope_parameters: { rope_type: 'linear', factor: 2, beta_fast: 3 } })).toThrow(/beta_fast is 3/)
    expect(() => rope({ rope_scaling: { type: 'linear', factor: 0.5 } })).toThrow(/scaling\.factor is 0\.5/)
    expect(() => rope({ partial_rotary_factor: 0.5 })).toThrow(/partial_rotary_factor is 0\.5/)
    expect(() => rope({ rope_theta: 0 })).toThrow(/rope_theta is 0/)
  })

  it('of Gemma 3 are those of each kind of layer, in both spellings', () => {
    const layers = { num_hidden_layers: 2, head_dim: 16, sliding_window_pattern: 2 }
    const older = read(gemma3Architecture, {
      ...layers,
      rope_theta: 7,
      rope_local_base_freq: 5,
      rope_scaling: { rope_type: 'linear', factor: 8 },
    })
    const newer = read(gemma3Architecture, {
      ...layers,
      rope_parameters: {
        full_attention: { rope_type: 'linear', rope_theta: 7, factor: 8 },
        sliding_attention: { rope_type: 'default', rope_theta: 5 },
      },
    })
    expect(older.ropes).toEqual(newer.ropes)
    expect(older.ropes.full_attention).toEqual({ base: 7, headDim: 16, scaling: { type: 'linear', factor: 8 } })
    expect(older.kinds).toEqual(['sliding_attention', 'full_attention'])
  })
})

describe('a configuration that is written', () => {
  it('has a fraction where transformers takes nothing else', () => {
    const json = {
      final_logit_softcapping: 30,
      hidden_size: 4,
      rope_scaling: { factor: 8, short_factor: [1, 1.5], x: 1 },
    }
    const text = configText(json)
    expect(JSON.parse(text)).toEqual(json)
    expect(text.replace(/\s/g, '')).toBe(
      '{"final_logit_softcapping":30.0,"hidden_size":4,"rope_scaling":{"factor":8.0,"short_factor":[1.0,1.5],"x":1}}',
    )
  })
})

describe('windows', () => {
  it('are those of each architecture', () => {
    const layers = { num_hidden_layers: 3 }
    expect(read(llamaArchitecture, layers).windows).toEqual([null, null, null])
    expect(read(mistralArchitecture, layers).windows).toEqual([4096, 4096, 4096])
    expect(read(mistralArchitecture, { ...layers, sliding_window: null }).windows).toEqual([null, null, null])
    const late = { ...layers, sliding_window: 5, max_window_layers: 2 }
    expect(read(qwen2Architecture, late).windows).toEqual([null, null, null])
    expect(read(qwen2Architecture, { ...late, use_sliding_window: true }).windows).toEqual([null, null, 5])
    expect(() =>
      read(qwen3Architecture, { ...late, layer_types: ['full_attention', 'full_attention', 'sliding_attention'] }),
    ).toThrow(/use_sliding_window is false/)
    expect(() => read(qwen3Architecture, { ...late, layer_types: ['full_attention'] })).toThrow(/a list of 3/)
    expect(read(gemma2Architecture, layers)).toMatchObject({ softcap: 50, logitCap: 30 })
    expect(read(gemma2Architecture, { ...layers, attn_logit_softcapping: null })).toMatchObject({ softcap: null })
    // transformers reads it nowhere for Gemma 3.
    expect(read(gemma3Architecture, { ...layers, attn_logit_softcapping: 2 })).toMatchObject({ softcap: null })
  })
})

describe('a Llama', () => {
  const sizes = { vocabSize: 50, layers: 2, width: 32, heads: 4, keyHeads: 2, inner: 64, context: 64 } as const
  const make = () => llama({ ...sizes, generator: new Generator(1) })
  const ids = () => tensor([[3, 1, 4, 1, 5, 9, 2, 6]], { dtype: 'int32' })

  it('is saved and loaded again, with a head of its own', async () => {
    const model = make()
    const path = join(root, 'plain')
    await model.save(path, { log })
    const again = (await AutoModel.forCausalLM(path)) as Llama
    expect(numbers(again.forward(ids()))).toEqual(numbers(model.forward(ids())))
    expect(again.lmHead.weight).not.toBe(again.model.embedTokens.weight)
    again.resizeTokenEmbeddings(52)
    expect(again.forward(ids()).shape).toEqual([1, 8, 52])
    expect(again.config.vocabSize).toBe(52)
  })

  it('gives padding columns no part in what others give, on either side', () => {
    const model = make().eval()
    const plain = numbers(noGrad(() => model.forward(ids())))
    for (const padding of [
      [0, 0, 1, 1, 1, 1, 1, 1, 1, 1],
      [1, 1, 1, 1, 1, 1, 1, 1, 0, 0],
    ]) {
      const first = padding.indexOf(1)
      const row = padding.map((real, i) => (real ? (ids().dataSync()[i - first] as number) : 7))
      const inputs = { attentionMask: tensor([padding], { dtype: 'int32' }) }
      const padded = noGrad(() => model.forward(tensor([row], { dtype: 'int32' }), inputs).narrow(1, first, 8))
      numbers(padded).forEach((value, i) => {
        expect(value).toBeCloseTo(plain[i] as number, 5)
      })
    }
  })

  it('writes with a window what it would without a cache', async () => {
    const sizes = { hidden_size: 16, num_attention_heads: 2, num_key_value_heads: 1, intermediate_size: 8 }
    for (const sliding_window of [1, 2, 5]) {
      const json = { ...sizes, num_hidden_layers: 2, vocab_size: 30, sliding_window, initializer_range: 0.5 }
      const model = fromConfig('test', mistralArchitecture, json, { generator: new Generator(3) }).eval()
      const all = [4, 7, 1, 9]
      const [text] = await model.generate(all, { maxNewTokens: 16 })
      for (let i = 0; i < 16; i++) {
        const scores = noGrad(() => model.forward(tensor([all], { dtype: 'int32' })).select(1, all.length - 1))
        all.push(scores.argmax(-1).item() as number)
      }
      expect(text?.tokens).toEqual(all.slice(4))
      expect(new Set(text?.tokens).size).toBeGreaterThan(1)
    }
  })

  it('turns by the same angles token by token, on both sides of a table of 256 columns', () => {
    const sizes = { vocabSize: 10, layers: 1, width: 16, heads: 2, inner: 8, context: 600 } as const
    const model = llama({ ...sizes, generator: new Generator(4) }).eval()
    const all = Array.from({ length: 514 }, (_, i) => (i * 7) % 10)
    const ids = (list: readonly number[]) => tensor([[...list]], { dtype: 'int32' })
    const whole = numbers(noGrad(() => model.hidden(ids(all))))
    for (const from of [254, 510]) {
      using cache = new KvCache(514)
      noGrad(() => model.hidden(ids(all.slice(0, from)), { cache }))
      for (let column = from; column < from + 4; column++) {
        const step = numbers(noGrad(() => model.hidden(ids(all.slice(column, column + 1)), { cache })))
        step.forEach((value, i) => {
          expect(value).toBeCloseTo(whole[16 * column + i] as number, 5)
        })
      }
    }
  })

  it('gives losses and log probabilities without logits, and with a head that is adapted', () => {
    const model = make().eval()
    const labels = tensor([[3, 1, -100, 1, 5, 9, 2, 6]], { dtype: 'int32' })
    const expected = () => {
      const logs = noGrad(() => model.forward(ids()).logSoftmax(-1))
      const at = [1, -100, 1, 5, 9, 2, 6, -100]
      return at.map((label, t) => (label < 0 ? 0 : (logs.select(1, t).select(1, label).item() as number)))
    }
    const check = () => {
      const wanted = expected()
      numbers(noGrad(() => model.tokenLogProbs(ids(), { labels }))).forEach((log, t) => {
        expect(log).toBeCloseTo(wanted[t] as number, 4)
      })
      const { total, count } = model.loss(ids(), { labels })
      expect(total.item()).toBeCloseTo(-wanted.reduce((a, b) => a + b), 3)
      expect((count as Tensor).item()).toBe(6)
      return wanted
    }
    const plain = check()
    applyLora(model, { rank: 2, targetModules: ['lm_head'] })
    for (const [name, parameter] of model.namedParameters()) if (name.includes('lora_B')) normal_(parameter, 0, 0.5)
    expect(check()).not.toEqual(plain)
  })

  it('refuses heads that make no groups', () => {
    expect(() => llama({ ...sizes, heads: 4, keyHeads: 3 })).toThrow(/must be a multiple of num_key_value_heads, 3/)
  })
})

describe('weights in NF4', () => {
  /** A folder of a Llama whose first projection is stored as bitsandbytes stores it without double quantisation. */
  async function folder(change: (state: { [name: string]: unknown }, tensors: Map<string, Tensor>) => void) {
    const path = join(root, 'nf4')
    mkdirSync(path, { recursive: true })
    const sizes = { vocabSize: 10, layers: 1, width: 64, heads: 2, inner: 64, context: 16 } as const
    await llama({ ...sizes, generator: new Generator(1) }).save(path, { log })
    const config = JSON.parse(readFileSync(join(path, 'config.json'), 'utf8')) as object
    const quantization_config = { quant_method: 'bitsandbytes', load_in_4bit: true, bnb_4bit_quant_type: 'nf4' }
    writeFileSync(join(path, 'config.json'), JSON.stringify({ ...config, quantization_config }))
    const tensors = new Map(await loadTensors(path))
    const name = 'model.layers.0.self_attn.q_proj.weight'
    tensors.set(
      name,
      tensor(
        Array.from({ length: 2048 }, (_, i) => [i % 251]),
        { dtype: 'uint8' },
      ),
    )
    tensors.set(`${name}.absmax`, tensor(Array.from({ length: 64 }, (_, i) => i + 1)))
    const state = { quant_type: 'nf4', blocksize: 64, shape: [64, 64] }
    change(state, tensors)
    const text = [...new TextEncoder().encode(JSON.stringify(state))]
    tensors.set(`${name}.quant_state.bitsandbytes__nf4`, tensor(text, { dtype: 'uint8' }))
    await saveTensors(join(path, 'model.safetensors'), tensors)
    return path
  }

  it('are read as blocks, which are frozen and cannot be saved so', async () => {
    const model = (await AutoModel.forCausalLM(await folder(() => {}))) as Llama
    const { weight } = model.model.layers[0]?.selfAttn.qProj ?? {}
    expect(weight?.dtype).toBe('nf4')
    expect(weight?.requiresGrad).toBe(false)
    // Byte 0 holds levels 0 and 0, byte 1 levels 0 and 1; the magnitude of row 1 is twice that of row 0.
    const values = numbers(weight?.to('float32') as Tensor)
    expect(values.slice(0, 3)).toEqual([-1, -1, -1])
    expect(values[3]).toBeCloseTo(-0.6962, 4)
    // Byte 32, which begins row 1, holds levels 2 and 0.
    expect(values[64]).toBeCloseTo(2 * -0.5251, 3)
    expect(values[65]).toBe(-2)
    model.loss(tensor([[1, 2, 3]], { dtype: 'int32' })).total.backward()
    await expect(model.save(join(root, 'again'), { log })).rejects.toThrow(/nf4 blocks/)
  })

  it('may share a magnitude between blocks', async () => {
    const name = 'model.layers.0.self_attn.q_proj.weight.absmax'
    const half = tensor(Array.from({ length: 32 }, (_, i) => i + 1))
    const path = await folder((state, tensors) => {
      tensors.set(name, half)
      state['blocksize'] = 128
    })
    const { weight } = ((await AutoModel.forCausalLM(path)) as Llama).model.layers[0]?.selfAttn.qProj ?? {}
    const values = numbers(weight?.to('float32') as Tensor)
    // Rows 0 and 1 share the first magnitude, row 2 has the second.
    expect([values[0], values[65], values[129]]).toEqual([-1, -1, -2])
  })

  it('whose parts do not go together are refused', async () => {
    const absmax = 'model.layers.0.self_attn.q_proj.weight.absmax'
    const load = async (change: Parameters<typeof folder>[0]) => AutoModel.forCausalLM(await folder(change))
    await expect(load((state) => void (state['blocksize'] = 96))).rejects.toThrow(/blocks of 96 .* multiples of 64/)
    await expect(load((state) => void (state['blocksize'] = 128))).rejects.toThrow(/must be 32 numbers/)
    await expect(load((state) => void (state['shape'] = [128, 32]))).rejects.toThrow(/must be whole blocks of 64/)
    await expect(load((state) => void (state['quant_type'] = 'fp4'))).rejects.toThrow(/quant_type 'fp4'/)
    await expect(load((_, tensors) => void tensors.delete(absmax))).rejects.toThrow(/absmax is missing/)
    await expect(load((_, tensors) => void tensors.set(absmax, tensor([1])))).rejects.toThrow(/must be 64 numbers/)
  })
})
