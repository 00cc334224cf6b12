/**
 * Adapters of ViT under the names of transformers 5 and under earlier ones. Logits are PEFT 0.21's over transformers
 * 5.24.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { addWeightedAdapter, applyIa3, applyLora, loadAdapter, saveAdapter } from '../../lib/finetune/index.js'
import { loadTensors, noGrad, saveTensors, type Tensor, tensor, ValueError } from '../../lib/index.js'
import { type VitClassifier, vit } from '../../lib/models/index.js'

const root = mkdtempSync(join(tmpdir(), 'firesteel-vit-adapters-'))
afterAll(() => rmSync(root, { recursive: true }))

const wave = (name: string, shape: readonly number[], scale: number): Tensor => {
  const count = shape.reduce((all, size) => all * size, 1)
  const values = Array.from({ length: count }, (_, i) => scale * Math.sin(0.7 * i + name.length))
  return tensor(values).reshape([...shape])
}

function make(): VitClassifier {
  const sizes = { imageSize: 4, patchSize: 2, width: 8, layers: 2, heads: 2, inner: 12, classes: 3 } as const
  const model = vit(sizes).eval() as VitClassifier
  noGrad(() => {
    for (const [name, weight] of model.namedParameters())
      weight.copy_(wave(model.adapterName(name), weight.shape, 0.3) as never)
  })
  return model
}

const pixels = tensor(Array.from({ length: 96 }, (_, i) => Math.sin(i * 0.37))).reshape([2, 3, 4, 4])
const logits = (model: VitClassifier): number[] => [...(noGrad(() => model.forward(pixels)).dataSync() as Float32Array)]
const near = (found: readonly number[], expected: readonly number[]) => {
  expect(found.length).toBe(expected.length)
  found.forEach((value, i) => {
    expect(value).toBeCloseTo(expected[i] as number, 5)
  })
}
const base = [0.33163026, -0.09210274, -0.474545, 0.33165002, -0.09195241, -0.47433162]
const adapted = [-0.23501568, -0.00632092, 0.21698238, -0.23487158, -0.00625503, 0.21694045]

/** Names of layers now, and before transformers 5. */
const forms = {
  now: { query: 'attention.q_proj', value: 'attention.v_proj', inner: 'mlp.fc1', block: 'layers' },
  before: {
    query: 'attention.attention.query',
    value: 'attention.attention.value',
    inner: 'intermediate.dense',
    block: 'encoder.layer',
  },
} as const

/** The adapter as PEFT writes it, under either set of names. */
async function written(form: keyof typeof forms, more: object = {}): Promise<string> {
  const folder = join(root, `written-${form}`)
  mkdirSync(folder, { recursive: true })
  const { query, value, inner, block } = forms[form]
  const tensors = new Map<string, Tensor>()
  for (const i of [0, 1])
    for (const key of ['query', 'value', 'inner'] as const) {
      const rank = i === 1 && key === 'inner' ? 1 : 2
      for (const [part, shape] of [
        ['lora_A', [rank, 8]],
        ['lora_B', [key === 'inner' ? 12 : 8, rank]],
      ] as const) {
        const now = `base_model.model.vit.layers.${i}.${forms.now[key]}.${part}.weight`
        tensors.set(`base_model.model.vit.${block}.${i}.${forms[form][key]}.${part}.weight`, wave(now, shape, 0.4))
      }
    }
  for (const [part, shape] of [
    ['weight', [3, 8]],
    ['bias', [3]],
  ] as const)
    tensors.set(`base_model.model.classifier.${part}`, wave(`base_model.model.classifier.${part}`, shape, 0.4))
  await saveTensors(join(folder, 'adapter_model.safetensors'), tensors)
  const config = {
    peft_type: 'LORA',
    r: 2,
    lora_alpha: 3,
    target_modules: [query.split('.').at(-1), value.split('.').at(-1), inner],
    modules_to_save: ['classifier'],
    rank_pattern: { [`${block}.1.${inner}`]: 1 },
    ...more,
  }
  writeFileSync(join(folder, 'adapter_config.json'), JSON.stringify(config))
  return folder
}

describe("a ViT's adapter", () => {
  it.each(['now', 'before'] as const)(
    'with the names of %s gives the logits of PEFT, and is saved with them',
    async (form) => {
      const model = make()
      near(logits(model), base)
      await loadAdapter(model, await written(form))
      near(logits(model), adapted)
      const [folder, lines] = [join(root, `saved-${form}`), [] as string[]]
      await saveAdapter(model, folder, { log: (line) => void lines.push(line) })
      expect(lines[0]).toMatch(/equal bit for bit, and so are 6 outputs/)
      const names = async (path: string) =>
        [...(await loadTensors(join(path, 'adapter_model.safetensors'))).keys()].sort()
      expect(await names(folder)).toEqual(await names(join(root, `written-${form}`)))
      const again = make()
      await loadAdapter(again, folder)
      expect(logits(again)).toEqual(logits(model))
    },
  )

  it('is applied by names of either form, and all-linear has those that PEFT loads', async () => {
    for (const [targetModules, written] of [
      [['q_proj'], 'vit.layers.0.attention.q_proj'],
      [['query'], 'vit.encoder.layer.0.attention.attention.query'],
      ['all-linear', 'vit.layers.0.mlp.fc2'],
      ['.*mlp.fc2', 'vit.layers.0.mlp.fc2'],
      [['vit.encoder.layer.0.output.dense'], 'vit.encoder.layer.0.output.dense'],
    ] as const) {
      const model = applyLora(make(), { rank: 1, targetModules })
      const folder = join(root, 'either')
      await saveAdapter(model, folder, { log: () => {} })
      const tensors = await loadTensors(join(folder, 'adapter_model.safetensors'))
      expect([...tensors.keys()]).toContain(`base_model.model.${written}.lora_A.weight`)
      await loadAdapter(make(), folder)
    }
  })

  it('may be a combination, or factors', async () => {
    const model = applyLora(make(), { rank: 1, name: 'a', targetModules: ['fc1', 'q_proj'] })
    applyLora(model, { rank: 2, name: 'b', targetModules: ['q_proj'] })
    addWeightedAdapter(model, { name: 'both', adapters: ['a', 'b'], weights: [1, 2], combinationType: 'cat' })
    const folder = join(root, 'both')
    await saveAdapter(model, folder, { name: 'both', log: () => {} })
    const config = JSON.parse(readFileSync(join(folder, 'adapter_config.json'), 'utf8')) as { target_modules: string[] }
    expect(config.target_modules).toContain('vit.layers.1.mlp.fc1')
    await loadAdapter(make(), folder)
    const factors = applyIa3(make(), { targetModules: ['k_proj', 'fc2'], feedforwardModules: ['fc2'] })
    await saveAdapter(factors, folder, { log: () => {} })
    const names = [...(await loadTensors(join(folder, 'adapter_model.safetensors'))).keys()]
    expect(names).toContain('base_model.model.vit.layers.1.mlp.fc2.ia3_l')
  })

  it('names what it does not find by the paths of the model', () => {
    expect(() => applyLora(make(), { targetModules: ['q_prj'] })).toThrow(ValueError)
    expect(() => applyLora(make(), { targetModules: ['q_prj'] })).toThrow(/'query'.*encoder\.layer/)
  })
})
