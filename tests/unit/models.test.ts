import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { noGrad } from '../../lib/autograd/mode.js'
import { setDefaultDevice } from '../../lib/backend/devices.js'
import { Generator } from '../../lib/core/generator.js'
import type { Tensor } from '../../lib/core/tensor.js'
import { applyLora, mergeLora, removeLora } from '../../lib/finetune/index.js'
import { loadTensors, saveTensors } from '../../lib/io/tensors.js'
import { AutoModel, type Gpt2, gpt2, KvCache } from '../../lib/models/index.js'
import { Parameter } from '../../lib/nn/module.js'
import { tensor } from '../../lib/ops/creation.js'
import { AdamW } from '../../lib/optim/index.js'
import { Trainer } from '../../lib/train/index.js'

setDefaultDevice('cpu')
const root = mkdtempSync(join(tmpdir(), 'firesteel-models-'))
const sizes = { vocabSize: 40, layers: 2, width: 16, heads: 2, context: 32 } as const
const lines: string[] = []
const log = (line: string) => void lines.push(line)
const make = (more: object = {}): Gpt2 => gpt2({ ...sizes, generator: new Generator(5), dropout: 0, ...more })
const ids = () => tensor([[3, 1, 4, 1, 5, 9, 2, 6]], { dtype: 'int32' })
const numbers = (x: Tensor) => Array.from(x.dataSync() as Float32Array)
const outputs = (model: Gpt2) => numbers(model.forward(ids()))

let folder: string
async function saved(name: string, model = make()): Promise<string> {
  const path = join(root, name)
  await model.save(path, { log })
  return path
}
/** A copy of a saved folder with these changes in its configuration. */
async function changed(name: string, changes: object): Promise<string> {
  const path = await saved(name)
  const config = JSON.parse(readFileSync(join(path, 'config.json'), 'utf8')) as object
  writeFileSync(join(path, 'config.json'), JSON.stringify({ ...config, ...changes }))
  return path
}

beforeAll(async () => {
  folder = await saved('whole')
})
afterAll(() => rmSync(root, { recursive: true }))

describe('a folder of a model', () => {
  it('gives the same outputs again, and says so', async () => {
    expect(lines.at(-1)).toMatch(/whole: 28 tensors, read again and proved: 640 outputs are equal bit for bit/)
    const again = (await AutoModel.forCausalLM(folder)) as Gpt2
    expect(outputs(again)).toEqual(outputs(make()))
    expect(again.lmHead.weight).toBe(again.transformer.wte.weight)
    expect(again.training).toBe(true)
  })

  it('is written untied where a tied pair is one no longer', async () => {
    const model = make()
    model.lmHead.weight = new Parameter(noGrad(() => model.lmHead.weight.mul(2)))
    const path = await saved('untied', model)
    expect(JSON.parse(readFileSync(join(path, 'config.json'), 'utf8'))).toMatchObject({ tie_word_embeddings: false })
    const again = (await AutoModel.forCausalLM(path)) as Gpt2
    expect(outputs(again)).toEqual(outputs(model))
    expect(outputs(again)).not.toEqual(outputs(make()))
  })

  it('is refused by its save where it would not give the model again', async () => {
    const model = make()
    model.transformer.h[0]?.ln1.registerForwardHook((_, _inputs, output) => (output as Tensor).mul(2))
    await expect(model.save(join(root, 'hooked'), { log })).rejects.toThrow(/gives other outputs/)
  })

  it('holds no adapters', async () => {
    const model = make()
    applyLora(model, { rank: 2, targetModules: ['c_attn'] })
    await expect(model.save(join(root, 'adapted'), { log })).rejects.toThrow(/saveAdapter/)
  })

  it('holds weights of one dtype that transformers has', async () => {
    const model = make()
    model.transformer.lnF.to('bfloat16')
    await expect(model.save(join(root, 'mixed'), { log })).rejects.toThrow(
      /wte\.weight is float32.*ln_f\.weight is bfloat16/,
    )
    const wide = make({ device: 'reference' })
    wide.to('float64')
    await expect(wide.save(join(root, 'wide'), { log })).rejects.toThrow(/is float64, but must be/)
  })

  it('may be of the body alone, with the masks that OpenAI stored beside the weights', async () => {
    const tensors = await loadTensors(folder)
    const body = new Map([...tensors].map(([name, x]) => [name.replace(/^transformer\./, ''), x]))
    body.set('h.0.attn.bias', tensor([[1]]))
    const path = await saved('body')
    await saveTensors(join(path, 'model.safetensors'), body)
    expect(outputs((await AutoModel.forCausalLM(path)) as Gpt2)).toEqual(outputs(make()))
  })

  it('tells in one error what is missing, left over and misshapen', async () => {
    const tensors = new Map(await loadTensors(folder))
    tensors.delete('transformer.h.1.ln_2.bias')
    tensors.set('transformer.h.2.ln_2.bias', tensor([1]))
    tensors.set('transformer.ln_f.weight', tensor([1, 2]))
    const path = await saved('faulty')
    await saveTensors(join(path, 'model.safetensors'), tensors)
    const error = await AutoModel.forCausalLM(path).catch((thrown: Error) => thrown)
    expect(String(error)).toMatch(
      /missing: transformer\.h\.1\.ln_2\.bias[\s\S]*unexpected: transformer\.h\.2\.ln_2\.bias[\s\S]*ln_f\.weight is \[2\], but must be \[16\]/,
    )
  })

  it('is converted to the dtype that is asked for', async () => {
    const half = await AutoModel.forCausalLM(folder, { dtype: 'bfloat16' })
    expect(new Set([...half.parameters()].map(({ dtype }) => dtype))).toEqual(new Set(['bfloat16']))
    const path = join(root, 'half')
    await half.save(path, { log })
    expect([...(await AutoModel.forCausalLM(path)).parameters()][0]?.dtype).toBe('float32')
    expect([...(await AutoModel.forCausalLM(path, { dtype: 'auto' })).parameters()][0]?.dtype).toBe('bfloat16')
  })
})

describe('a configuration', () => {
  it('is refused by the names of what is wrong, unknown or unsupported, all at once', async () => {
    const path = await changed('wrong', {
      n_layer: 0,
      resid_pdrop: 1,
      activation_function: 'gelu2',
      add_cross_attention: true,
      rotary: 'some',
      n_head: 3,
    })
    const error = String(await AutoModel.forCausalLM(path).catch((thrown: Error) => thrown))
    for (const name of ['n_layer', 'resid_pdrop', 'activation_function', 'add_cross_attention', 'rotary', 'n_head'])
      expect(error).toContain(name)
  })

  it('may have settings that change nothing', async () => {
    const path = await changed('idle', {
      _name: 'x',
      use_bfloat16: false,
      task_specific_params: { a: 1 },
      sep_token_id: 3,
    })
    expect(outputs((await AutoModel.forCausalLM(path)) as Gpt2)).toEqual(outputs(make()))
  })

  it('of an architecture that is unknown lists those that are known', async () => {
    await expect(AutoModel.forCausalLM(await changed('unknown', { model_type: 'mamba' }))).rejects.toThrow(
      /model_type is 'mamba'.*known ones are gpt2/,
    )
  })

  it('makes a model without a folder', async () => {
    const json = { model_type: 'gpt2', vocab_size: 40, n_positions: 32, n_embd: 16, n_layer: 2, n_head: 2 }
    const model = (await AutoModel.forCausalLM(json, { generator: new Generator(5) })) as Gpt2
    expect(outputs(model.eval())).toEqual(outputs(make().eval()))
    await expect(AutoModel.forCausalLM({ ...json, n_head: 3 })).rejects.toThrow(/the configuration: n_embd is 16/)
    await expect(AutoModel.forCausalLM({ vocab_size: 4 })).rejects.toThrow(
      /model_type is undefined.*known ones are gpt2/,
    )
    await expect(AutoModel.forCausalLM(folder, { generator: new Generator(1) })).rejects.toThrow(/generator is for/)
    await expect(AutoModel.forCausalLM(3 as never)).rejects.toThrow(/path/)
    const half = await AutoModel.forCausalLM({ ...json, dtype: 'bfloat16' }, { dtype: 'auto' })
    expect(half.inputEmbedding().weight.dtype).toBe('bfloat16')
  })

  it('begins with the weights of the paper', () => {
    const model = gpt2({ ...sizes, width: 64, generator: new Generator(1) })
    const deviation = (x: Tensor) => Math.sqrt(numbers(x).reduce((sum, each) => sum + each * each, 0) / x.numel)
    const block = model.transformer.h[0] as (typeof model.transformer.h)[0]
    expect(deviation(block.attn.cAttn.weight)).toBeCloseTo(0.02, 3)
    expect(deviation(block.mlp.cProj.weight)).toBeCloseTo(0.01, 3)
    expect(deviation(block.mlp.cFc.bias)).toBe(0)
    expect(deviation(block.ln1.weight as Tensor)).toBe(1)
    expect(model.blocks()).toHaveLength(2)
  })
})

describe('another vocabulary', () => {
  it('keeps the rows that stay, and the tie', () => {
    const model = make()
    const before = outputs(model)
    model.resizeTokenEmbeddings(44)
    expect(model.lmHead.weight).toBe(model.transformer.wte.weight)
    const after = model.forward(ids())
    expect(after.shape).toEqual([1, 8, 44])
    expect(numbers(after.narrow(2, 0, 40))).toEqual(before)
    model.resizeTokenEmbeddings(40)
    expect(outputs(model)).toEqual(before)
    expect(() => model.resizeTokenEmbeddings(0)).toThrow(/count is 0/)
  })
})

describe('a cache', () => {
  it('gives what the whole text gives, column by column', () => {
    const model = make().eval()
    const whole = noGrad(() => model.forward(ids()))
    const cache = new KvCache(8)
    noGrad(() => {
      for (let at = 0; at < 8; at++) {
        const step = model.forward(ids().narrow(1, at, 1).contiguous(), { cache })
        const expected = numbers(whole.narrow(1, at, 1))
        numbers(step).forEach((value, i) => {
          expect(value).toBeCloseTo(expected[i] as number, 5)
        })
      }
      expect(() => model.forward(ids(), { cache })).toThrow(/8 columns do not fit after the 8/)
    })
    expect(() => model.forward(ids(), { cache: new KvCache(8) })).toThrow(/noGrad/)
  })

  it('of a layer with a window keeps what is seen, however the columns come', () => {
    const column = (from: number, count: number) =>
      tensor(Array.from({ length: count }, (_, i) => [from + i])).reshape([1, 1, count, 1])
    for (const steps of [
      [1, 1, 1, 1, 1, 1, 1, 1, 1, 1],
      [4, 1, 1, 5, 1],
      [9, 1, 1],
      [2, 7, 1],
      [5, 5, 5],
    ]) {
      const cache = new KvCache(20)
      let at = 0
      for (const count of steps) {
        const { keys, first } = cache.append(0, column(at, count), column(at, count), 3)
        at += count
        const got = numbers(keys)
        // The first query of the step sees two columns before it.
        expect(first).toBeLessThanOrEqual(Math.max(0, at - count - 2))
        expect(got).toEqual(Array.from({ length: at - first }, (_, i) => first + i))
      }
    }
  })
})

describe('a training', () => {
  it('of the model itself, then of LoRA beside it, which is merged and saved', async () => {
    const model = gpt2({ ...sizes, vocabSize: 20, width: 32, generator: new Generator(2), dropout: 0 })
    const counting = (from: number) => Array.from({ length: 12 }, (_, i) => (from + 3 * i) % 20)
    const rows = Array.from({ length: 8 }, (_, i) => tensor([counting(i)], { dtype: 'int32' }))
    const objective = { loss: (own: Gpt2, given: Tensor) => own.loss(given) }
    const learn = (epochs: number) => {
      const optimizer = new AdamW(model.parameters(), { lr: 1e-2 })
      return new Trainer(model, { optimizer, objective }).fit(rows, { epochs })
    }
    await learn(12)
    expect((await model.generate([1, 4, 7], { maxNewTokens: 6 }))[0]?.tokens).toEqual([10, 13, 16, 19, 2, 5])
    const before = outputs(model)
    applyLora(model, { rank: 2, targetModules: ['c_attn', 'c_fc'] })
    await learn(1)
    mergeLora(model)
    removeLora(model)
    expect(outputs(model)).not.toEqual(before)
    const again = (await AutoModel.forCausalLM(await saved('learned', model))) as Gpt2
    expect(outputs(again)).toEqual(outputs(model))
  })
})
