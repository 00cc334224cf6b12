/**
 * PEFT's files of adapters: writing, reading, proofs and refusals. The file is over 600 lines because all kinds of
 * adapters and faults go through the same folders.
 */
import { spawn, spawnSync } from 'node:child_process'
import { copyFile, mkdir, mkdtemp, readdir, readFile, rename, rm, symlink, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  applyLora,
  LoraAdapter,
  LoraLinear,
  type LoraOptions,
  loadAdapter,
  mergeLora,
  removeLora,
  saveAdapter,
  setAdapter,
  unfreeze,
  unmergeLora,
} from '../../lib/finetune/index.js'
import { nn, noGrad, optim, StateDictError, sum, type Tensor, tensor, ValueError, zeros } from '../../lib/index.js'
import { loadTensors, saveTensors } from '../../lib/io/tensors.js'
import { takeOutput } from '../setup.js'

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'firesteel-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))
let count = 0
const fresh = () => join(folder, String(count++))

const net = (device = 'cpu') => new nn.Sequential(new nn.Linear(2, 2, { device }), new nn.Linear(2, 2, { device }))
const layer = (model: nn.Sequential, i: number) => model.at(i) as unknown as nn.Linear
const adapterOf = (model: nn.Sequential, i = 0) => layer(model, i).adapters.get('default') as LoraLinear
const apply = (model: nn.Sequential, options: Partial<LoraOptions> = {}) =>
  applyLora(model, { rank: 1, targetModules: ['0'], ...options })
function filled(model: nn.Sequential, a: number, b = 1): nn.Sequential {
  noGrad(() => {
    for (const module of model.modules())
      if (module instanceof LoraLinear) {
        module.loraA.weight.fill_(a)
        module.loraB.weight.fill_(b)
      }
  })
  return model
}
const saved = async (model: nn.Module) => {
  const path = fresh()
  await saveAdapter(model, path)
  return path
}
const close = (a: Tensor, b: Tensor) => expect(Math.max(...a.sub(b).abs().dataSync())).toBeLessThan(1e-5)
/** The same base, with adapters of a's. */
const twin = (model: nn.Sequential, device: string) => {
  const copy = net(device)
  const base = new Map([...model.stateDict()].filter(([name]) => !/lora_|modules_to_save/.test(name)))
  copy.loadStateDict(base)
  return copy
}
const configOf = async (path: string) => JSON.parse(await readFile(join(path, 'adapter_config.json'), 'utf8'))

describe.each(['cpu', 'reference'])('an adapter from files on %s', (device) => {
  const x = tensor([[1, 2]], { device })

  it.each([
    ['a list', { targetModules: ['0', '1'], alpha: 3 }],
    ['an expression', { targetModules: '[01]', dropout: 0.25 }],
    ['a RegExp', { targetModules: /1/, rankStabilized: true, rank: 4 }],
    ['ranks by pattern', { targetModules: 'all-linear', rank: 2, rankPattern: { '1': 3 }, alphaPattern: { '0': 5 } }],
    ['ranks by pattern and a default alpha', { targetModules: 'all-linear', rank: 2, rankPattern: { '\\d': 4 } }],
    ['a whole module', { targetModules: ['0'], modulesToSave: ['1'] }],
  ] as const)('gives what it gave, with %s', async (_, options) => {
    const model = filled(apply(net(device), options as Partial<LoraOptions>), 2, 3).eval()
    const path = await saved(model)
    const other = twin(model, device).eval()
    await loadAdapter(other, path)
    close(other.forward(x), model.forward(x))
    expect(other.modules().length).toBe(model.modules().length)
    // The adapter is loaded again, into the model that has it and into one that has another.
    await loadAdapter(other, path)
    close(other.forward(x), model.forward(x))
    const third = filled(apply(twin(model, device).eval(), { rank: 3, alpha: 9, targetModules: ['1'] }), 8, 8)
    await loadAdapter(third, path)
    close(third.forward(x), model.forward(x))
    expect(third.modules().filter((m) => m instanceof LoraAdapter)).toHaveLength(
      model.modules().filter((m) => m instanceof LoraAdapter).length,
    )
  })

  it('takes the place of the one that is there: scale, rank, dropout, layers', async () => {
    const paths = [
      await saved(filled(apply(net(device), { alpha: 100, dropout: 0.5 }), 1)),
      await saved(filled(apply(net(device), { alpha: 4, rank: 2, rankStabilized: true, targetModules: ['1'] }), 1)),
    ] as const
    const model = filled(apply(net(device), { alpha: 1 }), 7)
    const [before, { loraA }] = [adapterOf(model), adapterOf(model)]
    await loadAdapter(model, paths[0])
    expect([adapterOf(model).scale, adapterOf(model).dropout.p]).toEqual([100, 0.5])
    // The parameters are the same objects if their shapes are, so that optimisers still know them.
    expect([adapterOf(model), adapterOf(model).loraA.weight]).toEqual([before, loraA.weight])
    expect(loraA.weight.dataSync()[0]).toBe(1)
    await loadAdapter(model, paths[1])
    expect([layer(model, 0).adapters.get('default'), adapterOf(model, 1).rank]).toEqual([undefined, 2])
    expect(adapterOf(model, 1).scale).toBeCloseTo(4 / Math.SQRT2)
    expect(model.namedParameters().flatMap(([name, p]) => (p.requiresGrad ? [name] : []))).toEqual([
      '1.lora_A.default.weight',
      '1.lora_B.default.weight',
    ])
  })

  it('leaves the base as it is where one was merged', async () => {
    const model = filled(apply(net(device), { alpha: 2 }), 1)
    const base = layer(model, 0).weight.clone()
    const path = await saved(filled(apply(net(device), { alpha: 3 }), 5))
    mergeLora(model)
    await loadAdapter(model, path)
    expect(adapterOf(model).merged).toBe(false)
    close(layer(model, 0).weight, base)
    mergeLora(model)
    expect(layer(model, 0).weight.sub(base).dataSync()[0]).toBeCloseTo(15, 4)
    unmergeLora(model)
    close(layer(model, 0).weight, base)
  })

  it('may be saved while it is merged', async () => {
    const model = filled(apply(net(device)), 4).eval()
    const before = model.forward(x).detach()
    const plain = twin(model, device).eval()
    mergeLora(model)
    await loadAdapter(plain, await saved(model))
    close(plain.forward(x), before)
  })

  it('changes nothing where its weights do not fit', async () => {
    const path = await saved(filled(apply(net(device)), 4))
    await saveTensors(join(path, 'adapter_model.safetensors'), new Map([['x', tensor([1])]]))
    const model = net(device)
    const load = loadAdapter(model, path)
    await expect(load).rejects.toThrow(StateDictError)
    await expect(load).rejects.toThrow(`[loadAdapter] ${join(path, 'adapter_model.safetensors')}: 3 mismatches:`)
    await expect(load).rejects.toThrow('missing: base_model.model.0.lora_A.weight')
    expect([layer(model, 0).adapters.get('default'), layer(model, 0).weight.requiresGrad]).toEqual([undefined, true])
    const merged = filled(apply(net(device), { alpha: 7 }), 3)
    mergeLora(merged)
    const weight = layer(merged, 0).weight.clone()
    await expect(loadAdapter(merged, path)).rejects.toThrow(StateDictError)
    expect([adapterOf(merged).merged, adapterOf(merged).scale]).toEqual([true, 7])
    expect([...layer(merged, 0).weight.dataSync()]).toEqual([...weight.dataSync()])
  })

  it('learns on with the optimiser there was', async () => {
    const path = await saved(filled(apply(net(device)), 4))
    const wider = await saved(filled(apply(net(device), { rank: 2 }), 4))
    const model = filled(apply(net(device)), 1)
    const adam = new optim.Adam(model.parameters(), { lr: 0.5 })
    const step = () => {
      sum(model.forward(x)).backward()
      adam.step()
      adam.zeroGrad()
    }
    step()
    for (const next of [path, wider]) {
      await loadAdapter(model, next)
      const before = adapterOf(model).loraB.weight.clone()
      step()
      expect([...adapterOf(model).loraB.weight.sub(before).dataSync()].every((change) => change !== 0)).toBe(true)
    }
  })
})

describe('an adapter of tied weights', () => {
  class LM extends nn.Module {
    embed = new nn.Embedding(3, 2)
    mix = new nn.Linear(2, 2)
    head = new nn.Linear(2, 3, { bias: false })
    constructor() {
      super()
      this.head.weight = this.embed.weight as never
    }
    forward() {}
  }

  it('has a copy of each, which may differ, and leaves the base tied', async () => {
    const model = applyLora(new LM(), { targetModules: ['mix'], modulesToSave: ['embed', 'head'] })
    noGrad(() => [model.embed.weight.fill_(3), model.head.weight.fill_(4)])
    const path = await saved(model)
    const other = new LM()
    const before = [...other.embed.weight.dataSync()]
    await loadAdapter(other, path)
    expect([other.embed.weight, other.head.weight].map((weight) => weight.dataSync()[0])).toEqual([3, 4])
    setAdapter(other, [])
    expect(other.embed.weight).toBe(other.head.weight)
    expect([...other.embed.weight.dataSync()]).toEqual(before)
    const weights = join(path, 'adapter_model.safetensors')
    const tensors = await loadTensors(weights)
    tensors.delete('base_model.model.head.weight')
    await saveTensors(weights, tensors)
    await expect(loadAdapter(new LM(), path)).rejects.toThrow('missing: base_model.model.head.weight')
  })
})

describe('an adapter of an embedding', () => {
  it('is read from files that hold the weight of the embedding too, as PEFT writes them', async () => {
    const make = () => new nn.Sequential(new nn.Embedding(3, 2) as nn.Layer)
    const model = applyLora(make(), { rank: 1, targetModules: ['0'] })
    const path = await saved(model)
    const weights = join(path, 'adapter_model.safetensors')
    const tensors = await loadTensors(weights)
    expect([...tensors.keys()].sort()).toEqual([
      'base_model.model.0.lora_embedding_A',
      'base_model.model.0.lora_embedding_B',
    ])
    const { weight } = model.at(0) as unknown as nn.Embedding
    tensors.set('base_model.model.0.base_layer.weight', weight.detach())
    await saveTensors(weights, tensors)
    const other = make()
    await loadAdapter(other, path)
    close((other.at(0) as unknown as nn.Embedding).weight, weight)
    tensors.set('base_model.model.0.base_layer.weight', zeros([3, 3]))
    await saveTensors(weights, tensors)
    await expect(loadAdapter(make(), path)).rejects.toThrow(
      'base_model.model.0.base_layer.weight is [3, 3], but must be [3, 2]',
    )
  })
})

describe('a name in modules_to_save', () => {
  it('is the end of a path, though no part of it, where PEFT wrote the weights of such a module', async () => {
    const make = () =>
      new nn.ModuleDict({
        input_norm: new nn.LayerNorm(2),
        norm: new nn.LayerNorm(2),
        last_norm: new nn.LayerNorm(2),
        fc: new nn.Linear(2, 2),
      })
    const model = make()
    applyLora(model, { rank: 1, targetModules: ['fc'], modulesToSave: ['input_norm', 'norm'] })
    noGrad(() => {
      for (const [name, parameter] of model.namedParameters()) if (name.includes('modules_to_save')) parameter.fill_(3)
    })
    const path = await saved(model)
    const [weights, config] = [join(path, 'adapter_model.safetensors'), join(path, 'adapter_config.json')]
    await saveTensors(weights, await loadTensors(weights))
    await writeFile(config, JSON.stringify({ ...(await configOf(path)), modules_to_save: ['norm'] }))
    const other = make()
    // This happens twice, because the second time the modules have copies already.
    for (let time = 0; time < 2; time++) {
      await loadAdapter(other, path)
      const row = tensor([[1, 2]])
      close(other.get('input_norm').forward(row), model.get('input_norm').forward(row))
      close(other.get('norm').forward(row), model.get('norm').forward(row))
      expect([...other.stateDict().keys()].filter((name) => name.startsWith('last_norm.'))).toEqual([
        'last_norm.weight',
        'last_norm.bias',
      ])
    }
  })
})

describe('files of different saves', () => {
  const weightsIn = (path: string) => join(path, 'adapter_model.safetensors')
  const configIn = (path: string) => join(path, 'adapter_config.json')

  it.each([
    { alpha: 3 },
    { rank: 2 },
    { targetModules: ['1'] },
    { modulesToSave: ['1'] },
    { rankStabilized: true, rank: 4 },
    { rankPattern: { '0': 2 } },
    { alphaPattern: { '0': 2 } },
  ] as const)('are refused: %j', async (options) => {
    const [path, other] = [await saved(apply(net())), await saved(apply(net(), options))]
    await copyFile(configIn(other), configIn(path))
    const model = net()
    await expect(loadAdapter(model, path)).rejects.toThrow(ValueError)
    await expect(loadAdapter(model, path)).rejects.toThrow(
      `[loadAdapter] ${weightsIn(path)} and adapter_config.json beside it come from different saves`,
    )
    expect(layer(model, 0).adapters.get('default')).toBe(undefined)
  })

  it('are taken where the config is the same, or differs in what weights do not depend on', async () => {
    const [path, other] = [await saved(filled(apply(net()), 1)), await saved(filled(apply(net()), 2))]
    await copyFile(weightsIn(other), weightsIn(path))
    await writeFile(configIn(path), JSON.stringify({ ...(await configOf(path)), base_model_name_or_path: 'base' }))
    const model = net()
    await loadAdapter(model, path)
    expect(adapterOf(model).loraA.weight.dataSync()[0]).toBe(2)
  })

  it('are waited for while another process saves', async () => {
    const [path, other] = [await saved(apply(net())), await saved(apply(net(), { alpha: 3 }))]
    await copyFile(weightsIn(other), weightsIn(path))
    const model = net()
    const loading = loadAdapter(model, path)
    await new Promise((resolve) => setTimeout(resolve, 50))
    await copyFile(configIn(other), `${path}/next`)
    await rename(`${path}/next`, configIn(path))
    await loading
    expect(adapterOf(model).scale).toBe(3)
  })

  it('are never met by those who load while another process saves, nor after it is killed', async () => {
    const path = await saved(filled(apply(net(), { rank: 1, alpha: 1 }), 1))
    const script = fileURLToPath(new URL('./save-adapter-until-killed.mjs', import.meta.url))
    const child = spawn(process.execPath, ['--import', 'tsx', script, path], { stdio: ['ignore', 'pipe', 'inherit'] })
    const ended = new Promise((resolve) => child.once('exit', resolve))
    const seen = new Set<number>()
    try {
      await new Promise((resolve) => child.stdout.once('data', resolve))
      const until = Date.now() + 1000
      for (let loads = 0; loads < 20 || Date.now() < until; loads++) {
        const model = net()
        await loadAdapter(model, path)
        const { rank, scale, loraA } = adapterOf(model)
        // The script fills the weights with the rank, and makes alpha its square.
        expect([scale, loraA.weight.dataSync()[0]]).toEqual([rank, rank])
        seen.add(rank)
      }
    } finally {
      child.kill('SIGKILL')
      await ended
    }
    expect(seen).toContain(1)
    expect(seen).toContain(2)
    expect((await readdir(path)).filter((name) => !name.endsWith('.partial')).sort()).toEqual([
      'adapter_config.json',
      'adapter_model.safetensors',
    ])
  })
})

describe.each(['cpu', 'reference'])('a base that changes on %s', (device) => {
  const normed = () => new nn.Sequential(new nn.Linear(2, 2, { device }), new nn.BatchNorm1d(2, { device }))
  const x = tensor(
    [
      [1, 2],
      [3, 5],
    ],
    { device },
  )
  const warnings = async (model: nn.Module) => {
    await saved(model)
    await new Promise((resolve) => setImmediate(resolve))
    return takeOutput()
  }

  it('is told of once, by the buffers that changed, also after a move', async () => {
    const model = applyLora(normed(), { targetModules: ['0'] })
    expect(await warnings(model)).toEqual([])
    model.to('cpu').to(device)
    expect(await warnings(model)).toEqual([])
    model.forward(x)
    model.to('float32')
    const [text, ...more] = await warnings(model)
    expect(text).toContain(
      "[saveAdapter] the adapter's files leave out 1.running_mean, 1.running_var, 1.num_batches_tracked, which changed since",
    )
    expect(text).toContain('call eval() on these norms before training, or name them in modulesToSave')
    expect(more).toEqual([])
    expect(await warnings(model)).toEqual([])
  })

  it('is told of after loadAdapter too, and until LoRA is removed', async () => {
    const path = await saved(applyLora(normed(), { targetModules: ['0'] }))
    const model = normed()
    await loadAdapter(model, path)
    model.forward(x)
    await loadAdapter(model, path)
    expect(await warnings(model)).toHaveLength(1)
    removeLora(model)
    expect(await warnings(applyLora(model, { targetModules: ['0'] }))).toEqual([])
  })

  it('is not where norms are in evaluation or saved whole', async () => {
    const still = applyLora(normed(), { targetModules: ['0'] })
    still.at(1).eval()
    still.forward(x)
    expect(await warnings(still)).toEqual([])
    const whole = applyLora(normed(), { targetModules: ['0'], modulesToSave: ['1'] })
    whole.forward(x)
    expect(await warnings(whole)).toEqual([])
  })

  it('is told of by the parameters that learn', async () => {
    const model = applyLora(normed(), { targetModules: ['0'] })
    unfreeze(model, '1')
    const [text, ...more] = await warnings(model)
    expect(text).toContain('leave out 1.weight, 1.bias, which learn')
    expect(more).toEqual([])
  })
})

describe('the files of an adapter', () => {
  it('have PEFT’s names and fields', async () => {
    const path = await saved(apply(net(), { rank: 2, alpha: 8, rankPattern: { '0': 4 }, modulesToSave: ['1'] }))
    expect((await readdir(path)).sort()).toEqual(['adapter_config.json', 'adapter_model.safetensors'])
    expect(await configOf(path)).toMatchObject({
      peft_type: 'LORA',
      r: 2,
      lora_alpha: 8,
      lora_dropout: 0,
      target_modules: ['0'],
      modules_to_save: ['1'],
      rank_pattern: { '0': 4 },
      use_rslora: false,
      bias: 'none',
    })
    expect([...(await loadTensors(join(path, 'adapter_model.safetensors'))).keys()].sort()).toEqual([
      'base_model.model.0.lora_A.weight',
      'base_model.model.0.lora_B.weight',
      'base_model.model.1.bias',
      'base_model.model.1.weight',
    ])
  })

  it('select just the layers that a RegExp did, though the end of another path is the same', async () => {
    const nested = () => new nn.Sequential(new nn.Linear(2, 2), new nn.Sequential(new nn.Linear(2, 2)) as nn.Layer)
    const model = applyLora(nested(), { targetModules: /^0$/ })
    const path = await saved(model)
    expect((await configOf(path)).target_modules).toBe('0')
    const other = nested()
    await loadAdapter(other, path)
    expect(other.modules().filter((m) => m instanceof LoraAdapter)).toHaveLength(1)
  })

  it('are those of the moment of the call', async () => {
    const model = filled(apply(net()), 1)
    const path = fresh()
    const saving = saveAdapter(model, path)
    filled(model, 2, 2)
    await saving
    const tensors = await loadTensors(join(path, 'adapter_model.safetensors'))
    for (const [, weight] of tensors) expect(weight.dataSync()[0]).toBe(1)
  })

  it('are refused a place that is none', async () => {
    const model = apply(net())
    const file = fresh()
    await writeFile(file, '')
    for (const [path, message] of [
      [file, '[saveAdapter]'],
      [join(file, 'x'), '[saveAdapter]'],
      [undefined, '[saveAdapter] '],
      [3, '[saveAdapter] '],
    ] as const) {
      await expect(saveAdapter(model, path as never)).rejects.toThrow(ValueError)
      await expect(saveAdapter(model, path as never)).rejects.toThrow(message)
    }
    await expect(saveAdapter(net(), fresh())).rejects.toThrow('[saveAdapter] the model has no adapter')
    const taken = fresh()
    await mkdir(join(taken, 'adapter_config.json'), { recursive: true })
    await expect(saveAdapter(model, taken)).rejects.toThrow(ValueError)
    expect(await readdir(taken)).toEqual(['adapter_config.json'])
    await expect(loadAdapter(net(), fresh())).rejects.toThrow(ValueError)
    await expect(loadAdapter(net(), taken)).rejects.toThrow('[loadAdapter] ')
    await expect(loadAdapter(net(), null as never)).rejects.toThrow(ValueError)
  })
})

describe('files that PEFT writes', () => {
  it('name layers of a head that learns whole among the targets, which are no targets then', async () => {
    const path = await saved(apply(net(), { modulesToSave: ['1'] }))
    // The hash of the settings is left out, because it changes.
    const weights = join(path, 'adapter_model.safetensors')
    await saveTensors(weights, await loadTensors(weights))
    const settings = await configOf(path)
    const write = (targets: readonly string[]) =>
      writeFile(join(path, 'adapter_config.json'), JSON.stringify({ ...settings, target_modules: targets }))
    await write(['1', '0'])
    const model = net()
    await loadAdapter(model, path)
    expect(layer(model, 0).adapters.names).toEqual(['default'])
    expect(layer(model, 1).adapters.names).toEqual([])
    await write(['1'])
    await expect(loadAdapter(net(), path)).rejects.toThrow('no layer')
    await write(['0', '2'])
    await expect(loadAdapter(net(), path)).rejects.toThrow("targetModules names ['2']")
  })

  it('say lora_ga where the base was changed, which is told', async () => {
    const path = await saved(filled(apply(net()), 0.5))
    const settings = await configOf(path)
    await writeFile(join(path, 'adapter_config.json'), JSON.stringify({ ...settings, init_lora_weights: 'lora_ga' }))
    const model = net()
    await loadAdapter(model, path)
    await new Promise((resolve) => setImmediate(resolve))
    expect(takeOutput().join()).toContain(
      'an adapter that began with lora_ga does not contain the part that was taken out of the base',
    )
    expect([...adapterOf(model).loraA.weight.dataSync()]).toEqual([0.5, 0.5])
  })

  it('of MiCA learn only A, and stay files of MiCA', async () => {
    const path = await saved(filled(apply(net()), 0.5))
    await saveTensors(
      join(path, 'adapter_model.safetensors'),
      await loadTensors(join(path, 'adapter_model.safetensors')),
    )
    const settings = await configOf(path)
    await writeFile(join(path, 'adapter_config.json'), JSON.stringify({ ...settings, init_lora_weights: 'mica' }))
    const model = net()
    await loadAdapter(model, path)
    const learning = () => adapterOf(model).factors.map(({ requiresGrad }) => requiresGrad)
    expect(learning()).toEqual([true, false])
    mergeLora(model)
    unmergeLora(model)
    expect(learning()).toEqual([true, false])
    expect(await configOf(await saved(model))).toMatchObject({ init_lora_weights: 'mica' })
    expect(() => applyLora(net(), { rank: 1, targetModules: ['0'], init: 'mica' })).toThrow('begin the adapter in PEFT')
  })
})

describe('a config', () => {
  const right = { peft_type: 'LORA', r: 1, lora_alpha: 2, target_modules: ['0'] }
  async function load(config: unknown, text: string | Buffer = JSON.stringify(config)) {
    const path = await saved(apply(net()))
    await writeFile(join(path, 'adapter_config.json'), text)
    // PEFT writes them like this, without a hash of the config.
    const weights = join(path, 'adapter_model.safetensors')
    await saveTensors(weights, await loadTensors(weights), { metadata: { format: 'pt' } })
    const model = net()
    await loadAdapter(model, path)
    return model
  }

  it('may have what says nothing here, and leave out what has a default', async () => {
    const model = await load({
      ...right,
      lora_dropout: 0.25,
      auto_mapping: { base: 'x' },
      peft_version: '0.18.0',
      task_type: 'CAUSAL_LM',
      layers_pattern: null,
      layers_to_transform: null,
      exclude_modules: null,
      loftq_config: {},
      megatron_core: 'megatron.core',
      rank_pattern: null,
      modules_to_save: null,
      use_dora: null,
      fan_in_fan_out: true,
      of_tomorrow: false,
    })
    expect([adapterOf(model).scale, adapterOf(model).dropout.p]).toEqual([2, 0.25])
    expect(adapterOf(await load({ ...right, lora_alpha: undefined })).scale).toBe(8)
  })

  it.each([
    [null, 'holds null, but must hold an object'],
    [[right], 'but must hold an object'],
    ['x', 'holds "x", but must hold an object'],
    [{}, 'peft_type is undefined; only LORA, IA3, PROMPT_TUNING, P_TUNING, PREFIX_TUNING can be loaded'],
    [
      { ...right, peft_type: 'LOHA' },
      'peft_type is "LOHA"; only LORA, IA3, PROMPT_TUNING, P_TUNING, PREFIX_TUNING can be loaded',
    ],
    [{ ...right, r: '1' }, 'r is "1", but must be a positive integer'],
    [{ ...right, r: 0 }, 'r is 0, but must be a positive integer'],
    [{ ...right, lora_alpha: '2' }, 'lora_alpha is "2", but must be a number'],
    [{ ...right, lora_dropout: '0' }, 'lora_dropout is "0", but must be a number from 0 to 1'],
    [{ ...right, lora_dropout: 1.5 }, 'lora_dropout is 1.5, but must be a number from 0 to 1'],
    [{ ...right, target_modules: 2 }, 'target_modules is 2, but must be a list of names, or a regular expression'],
    [{ ...right, target_modules: null }, 'target_modules is null, but must be'],
    [{ ...right, target_modules: [] }, 'target_modules is [], but must be'],
    [{ ...right, target_modules: ['0', 3] }, 'target_modules is ["0",3], but must be'],
    [{ ...right, target_modules: '(' }, '[loadAdapter] targetModules "(" is not a supported regular expression'],
    [{ ...right, target_modules: '(a+)+b' }, "no layer matches targetModules '(a+)+b'"],
    [
      { ...right, target_modules: ['0', 'q'] },
      "targetModules names ['q'], but the names to choose from are ['0', '1']",
    ],
    [{ ...right, modules_to_save: '1' }, 'modules_to_save is "1", but must be a list of names, or null'],
    [{ ...right, modules_to_save: ['head'] }, "modulesToSave names ['head'], but the names"],
    [{ ...right, rank_pattern: [1] }, 'rank_pattern is [1], but must be an object of positive integers'],
    [{ ...right, rank_pattern: { '0': -1 } }, 'rank_pattern is {"0":-1}, but must be an object of positive integers'],
    [{ ...right, alpha_pattern: { '0': 'x' } }, 'alpha_pattern is {"0":"x"}, but must be an object of numbers'],
    [{ ...right, use_rslora: 1 }, 'use_rslora is 1, but must be true or false'],
    [{ ...right, use_dora: 1 }, 'use_dora is 1, but must be true or false'],
    [{ ...right, use_dora: true, lora_bias: true }, 'DoRA has no separate bias'],
    [{ ...right, bias: 'some' }, "bias is \"some\", but must be 'none', 'all' or 'lora_only'"],
    [{ ...right, layers_to_transform: [-1] }, 'layers_to_transform is [-1], but must be the number of a block'],
    [{ ...right, layers_pattern: 3 }, 'layers_pattern is 3, but must be a name'],
    [{ ...right, layers_pattern: 'h' }, "layersPattern is 'h', but layersToTransform is missing"],
    [
      { ...right, exclude_modules: 3 },
      'exclude_modules is 3, but must be a list of names, a regular expression, or null',
    ],
    [{ ...right, exclude_modules: ['0'] }, "none of the layers ['0'] is left by excludeModules"],
    [{ ...right, layer_replication: [[0, 1]] }, 'layer_replication is [[0,1]]; only null can be loaded'],
    [{ ...right, target_parameters: ['w'] }, 'target_parameters is ["w"], of which only weights of linear layers'],
    [{ ...right, target_parameters: ['0.weight'], rank_pattern: { '0': 1 } }, 'and without patterns'],
    [{ ...right, target_parameters: ['0.weight'], use_dora: true }, 'and without patterns'],
    [{ ...right, target_parameters: ['0.weight'], target_modules: '0' }, 'with target_modules that is a list'],
    [{ ...right, of_tomorrow: 3 }, 'of_tomorrow is 3; only null can be loaded'],
    [{ ...right, init_lora_weights: 'corda' }, 'init_lora_weights is "corda", which changes the weights of the base'],
    [{ ...right, r: 0, of_tomorrow: 3 }, 'of_tomorrow is 3; only null can be loaded; r is 0'],
  ])('is refused by its field: %j', async (config, message) => {
    await expect(load(config)).rejects.toThrow(ValueError)
    await expect(load(config)).rejects.toThrow(message)
  })

  it('may name the weights of linear layers instead of the layers', async () => {
    const model = await load({ ...right, target_modules: [], target_parameters: ['0.weight'] })
    expect(adapterOf(model).scale).toBe(2)
  })

  it.each([
    [{ ...right, use_dora: true }, 'missing: base_model.model.0.lora_magnitude_vector'],
    [{ ...right, lora_bias: true }, 'missing: base_model.model.0.lora_B.bias'],
    [{ ...right, bias: 'lora_only' }, 'missing: base_model.model.0.base_layer.bias'],
  ])('asks for weights of its own: %j', async (config, message) => {
    await expect(load(config)).rejects.toThrow(StateDictError)
    await expect(load(config)).rejects.toThrow(message)
  })

  it('is JSON', async () => {
    await expect(load(null, '{')).rejects.toThrow('is not JSON')
    await expect(load(null, '')).rejects.toThrow(ValueError)
    await expect(load(null, Buffer.from([0x22, 0xff, 0x22]))).rejects.toThrow('is not JSON: it is not UTF-8 text')
  })

  it('is a page of text: one byte more than 1 MiB, or a level more than 64, is refused', async () => {
    const padded = (bytes: number) => JSON.stringify(right).padEnd(bytes, ' ')
    expect(adapterOf(await load(null, padded(2 ** 20))).scale).toBe(2)
    await expect(load(null, padded(2 ** 20 + 1))).rejects.toThrow(ValueError)
    await expect(load(null, padded(2 ** 20 + 1))).rejects.toThrow(
      /adapter_config.json has 1048577 bytes, but .* at most 1048576/,
    )
    // Brackets within a text nest nothing, nor do brackets behind an escaped quote.
    const nested = (levels: number) => JSON.parse(`${'['.repeat(levels)}"\\"[[["${']'.repeat(levels)}`)
    expect(adapterOf(await load({ ...right, auto_mapping: nested(63) })).scale).toBe(2)
    await expect(load({ ...right, auto_mapping: nested(64) })).rejects.toThrow(ValueError)
    await expect(load({ ...right, auto_mapping: nested(64) })).rejects.toThrow(
      'adapter_config.json nests lists and objects 65 deep, but at most 64 deep is read',
    )
    await expect(load(null, '['.repeat(2 ** 20))).rejects.toThrow('nests lists and objects 1048576 deep')
    // A long value is shown by its beginning.
    await expect(load({ ...right, r: 'x'.repeat(1000) })).rejects.toThrow(/r is "x{99}\.\.\., but/)
  })

  it('is a file: what has no end, nobody writes to or takes memory without being there is refused', async () => {
    const path = await saved(apply(net()))
    const config = join(path, 'adapter_config.json')
    await rm(config)
    spawnSync('mkfifo', [config])
    await expect(loadAdapter(net(), path)).rejects.toThrow(`cannot read ${config}: it is a pipe`)
    await rm(config)
    await symlink('/dev/zero', config)
    await expect(loadAdapter(net(), path)).rejects.toThrow(ValueError)
    await expect(loadAdapter(net(), path)).rejects.toThrow(`cannot read ${config}: it is a device`)
    await rm(config)
    await writeFile(config, '')
    await truncate(config, 2 ** 40)
    await expect(loadAdapter(net(), path)).rejects.toThrow(`${config} has ${2 ** 40} bytes`)
  })
})
