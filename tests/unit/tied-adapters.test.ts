/**
 * Weights that modules share, and biases of nested modules: how adapters copy them, and how PEFT's files store them.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { setDefaultDevice } from '../../lib/backend/devices.js'
import { Generator } from '../../lib/core/generator.js'
import {
  applyLora,
  type LoraOptions,
  loadAdapter,
  mergeLora,
  removeLora,
  saveAdapter,
} from '../../lib/finetune/index.js'
import { linear, nn, noGrad, type Tensor, tensor } from '../../lib/index.js'
import { readSafetensors } from '../../lib/io/safetensors.js'
import { gpt2, type Llama, llama } from '../../lib/models/index.js'

setDefaultDevice('cpu')
const root = mkdtempSync(join(tmpdir(), 'firesteel-tied-'))
afterAll(() => rmSync(root, { recursive: true }))

const sizes = { vocabSize: 20, width: 8, inner: 8, layers: 1, heads: 2, context: 16, tieWordEmbeddings: true }
const make = (more: object = {}) => llama({ ...sizes, generator: new Generator(3), ...more }).eval()
const ids = tensor([[1, 2, 3, 4]], { dtype: 'int32' })
const scores = (model: Llama) => Array.from(noGrad(() => model.forward(ids)).dataSync() as Float32Array)
const tied = { rank: 2, targetModules: ['q_proj'], ensureWeightTying: true } satisfies LoraOptions
const isTied = ({ lmHead, model }: Llama) => lmHead.weight === model.embedTokens.weight
const log = () => undefined
const read = (folder: string) => JSON.parse(readFileSync(join(folder, 'adapter_config.json'), 'utf8'))

/** Changes what learns, so that an adapter's result is not the base's. */
function teach<M extends nn.Module>(model: M): M {
  noGrad(() => {
    for (const [i, p] of [...model.parameters()].entries()) if (p.requiresGrad) p.copy_(p.add(0.01 * (i + 1)))
  })
  return model
}

describe('an embedding and a head that are tied', () => {
  it.each([[['embed_tokens']], [['lm_head']], [['embed_tokens', 'lm_head']], [['embed_tokens', 'model.embed_tokens']]])(
    'share a copy where modulesToSave has %j, and the files have it twice, as PEFT writes them',
    async (modulesToSave) => {
      const model = teach(applyLora(make(), { ...tied, modulesToSave }))
      expect(isTied(model)).toBe(true)
      expect(model.namedParameters().filter(([name]) => name.includes('modules_to_save'))).toHaveLength(1)
      const folder = join(root, modulesToSave.join('-'))
      await saveAdapter(model, folder, { log })
      expect(read(folder)).toMatchObject({ ensure_weight_tying: true, modules_to_save: modulesToSave })
      const names = [...(await readSafetensors(join(folder, 'adapter_model.safetensors'))).keys()]
      expect(names.filter((name) => !name.includes('lora')).sort()).toEqual([
        'base_model.model.lm_head.weight',
        'base_model.model.model.embed_tokens.weight',
      ])
      const again = make()
      const before = scores(again)
      await loadAdapter(again, folder)
      expect(scores(again)).toEqual(scores(model))
      expect(scores(again)).not.toEqual(before)
      mergeLora(again)
      removeLora(again)
      expect(isTied(again)).toBe(true)
      removeLora(model)
      expect(scores(model)).toEqual(before)
    },
  )

  it('get a copy each without it, and after it', () => {
    const plain = { ...tied, ensureWeightTying: false, modulesToSave: ['embed_tokens', 'lm_head'] }
    expect(isTied(applyLora(make(), plain))).toBe(false)
    const model = applyLora(make(), { ...plain, ensureWeightTying: true })
    removeLora(model)
    expect(isTied(applyLora(model, plain))).toBe(false)
  })

  it('are untied by a file of the same name that says so, and tied by one that does', async () => {
    const folders = [true, false].map((ensureWeightTying) => {
      const folder = join(root, `again-${ensureWeightTying}`)
      const model = applyLora(make(), { ...tied, ensureWeightTying, modulesToSave: ['embed_tokens', 'lm_head'] })
      return saveAdapter(model, folder, { log }).then(() => folder)
    })
    const [together, apart] = (await Promise.all(folders)) as [string, string]
    const model = make()
    for (const folder of [together, apart, together]) {
      await loadAdapter(model, folder)
      expect(isTied(model)).toBe(folder === together)
    }
  })

  it('are refused as targets, and there is a warning where nothing is tied', () => {
    const names = 'ensureWeightTying is true and targetModules names the embedding or the head'
    expect(() => applyLora(make(), { ...tied, targetModules: ['q_proj', 'embed_tokens'] })).toThrow(names)
    expect(() => applyLora(make(), { ...tied, targetModules: '.*(lm_head|q_proj)' })).toThrow(names)
    const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
    try {
      applyLora(make(), tied)
      expect(warn.mock.lastCall?.[0]).toContain('modulesToSave names neither embed_tokens nor lm_head')
      applyLora(make({ tieWordEmbeddings: false }), { ...tied, modulesToSave: ['embed_tokens'] })
      expect(warn.mock.lastCall?.[0]).toContain('the model has no embedding and head that share a weight')
      // PEFT does not know GPT-2's embedding by its name, so that its head stays as it was.
      const model = gpt2({ vocabSize: 20, width: 8, heads: 2, layers: 1, context: 16 })
      applyLora(model, { ...tied, targetModules: ['c_attn'], modulesToSave: ['wte'] })
      expect(model.lmHead.weight).not.toBe(model.transformer.wte.weight)
      expect(warn).toHaveBeenCalledTimes(3)
    } finally {
      warn.mockRestore()
    }
  })
})

/** A head with a bias of its own and layers that have biases too, one of which is the same. */
class Predictions extends nn.Module {
  readonly transform = new nn.Linear(2, 2)
  readonly decoder = new nn.Linear(2, 3)
  bias = this.decoder.bias as nn.Parameter
  forward(x: Tensor): Tensor {
    return linear(this.transform.forward(x as never) as Tensor, this.decoder.weight, this.bias)
  }
}

class Masked extends nn.Module {
  readonly body = new nn.Linear(2, 2)
  readonly predictions = new Predictions()
  forward(x: Tensor): Tensor {
    return this.predictions.forward(this.body.forward(x as never) as Tensor)
  }
}

describe('biases of a module and of those within it', () => {
  let model: Masked
  const x = tensor([[1, 2]])
  const result = (of: Masked) => Array.from(noGrad(() => of.forward(x)).dataSync() as Float32Array)
  beforeAll(() => {
    model = new Masked()
  })

  it('are all learned, saved and loaded, and a shared one is one', async () => {
    const state = model.stateDict()
    const learned = teach(applyLora(model, { rank: 1, targetModules: ['body'], bias: 'all' }))
    const { predictions } = learned
    expect(predictions.bias).toBe(predictions.decoder.bias)
    expect(learned.namedParameters().filter(([name, p]) => name.includes('bias') && p.requiresGrad)).toHaveLength(3)
    const folder = join(root, 'biases')
    await saveAdapter(learned, folder)
    const names = [...(await readSafetensors(join(folder, 'adapter_model.safetensors'))).keys()]
    expect(names.filter((name) => /bias/.test(name)).sort()).toEqual([
      'base_model.model.body.base_layer.bias',
      'base_model.model.predictions.bias',
      'base_model.model.predictions.decoder.bias',
      'base_model.model.predictions.transform.bias',
    ])
    const again = new Masked()
    again.loadStateDict(state)
    await loadAdapter(again, folder)
    expect(result(again)).toEqual(result(learned))
    removeLora(learned)
    removeLora(again)
    expect(result(again)).toEqual(result(learned))
    // Written over with what PEFT would write: the same biases in another order.
    const config = read(folder)
    writeFileSync(join(folder, 'adapter_config.json'), JSON.stringify({ ...config, bias: 'lora_only' }))
    await expect(loadAdapter(again, folder)).rejects.toThrow()
  })
})
