/** The methods of a config. Each learns to the bit what a program with the same strategy learns. */
import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { evaluateCommand } from '../../lib/cli/commands/evaluate.js'
import { finetuneCommand } from '../../lib/cli/commands/finetune.js'
import { exitCodeOf } from '../../lib/cli/exit.js'
import {
  applyIa3,
  applyLora,
  applyPrompt,
  bitfit,
  byLength,
  type ClassificationBatch,
  causalLM,
  classification,
  completionRows,
  freeze,
  freezeNorms,
  layerwiseGroups,
  quantize,
  saveAdapter,
  textRows,
  unfreeze,
  unfreezeGradually,
} from '../../lib/finetune/index.js'
import { type Callback, manualSeed, optim, Trainer } from '../../lib/index.js'
import { AutoModel, type SequenceClassifier } from '../../lib/models/index.js'
import { AutoTokenizer, jsonl } from '../../lib/text/index.js'
import { encoderModel, workplace } from './cli-finetune.js'

let folder: string

beforeAll(async () => {
  folder = await workplace()
  await encoderModel(join(folder, 'bert'))
  // Blocks of nf4 have 64 elements.
  await encoderModel(join(folder, 'wide'), 64)
  const rows = Array.from({ length: 12 }, (_, i) => ({
    text: i % 2 ? `go on ${i}` : `ping ${i}`,
    label: i % 2 ? 'go' : 'stay',
  }))
  writeFileSync(join(folder, 'labels.jsonl'), rows.map((row) => JSON.stringify(row)).join('\n'))
  writeFileSync(join(folder, 'texts.jsonl'), Array.from({ length: 6 }, () => '{"text": "ping pong"}').join('\n'))
  const sizes = { vocab_size: 1403, n_embd: 8, n_layer: 1, n_head: 1, n_positions: 128 }
  const gpt2 = await AutoModel.forCausalLM({ model_type: 'gpt2', ...sizes })
  await gpt2.save(join(folder, 'gpt2'), { log: () => undefined })
  for (const name of ['tokenizer.json', 'tokenizer_config.json'])
    cpSync(join(folder, 'model', name), join(folder, 'gpt2', name))
  const config = { model: './bert', data: { file: 'labels.jsonl' }, train: { epochs: 3, lr: 1e-2, batchSize: 4 } }
  writeFileSync(join(folder, 'methods.json'), JSON.stringify({ ...config, output: 'runs/none' }))
})
afterAll(() => rmSync(folder, { recursive: true }))
afterEach(() => {
  vi.restoreAllMocks()
})

/** Runs the command, and returns the learned file. */
async function learned(name: string, method: unknown, ...set: string[]): Promise<Buffer> {
  vi.spyOn(console, 'log').mockImplementation(() => undefined)
  vi.spyOn(console, 'error').mockImplementation(() => undefined)
  vi.spyOn(process.stderr, 'write').mockImplementation(() => true)
  const values = [`method=${JSON.stringify(method)}`, `output=runs/${name}`, ...set]
  const args = [join(folder, 'methods.json'), ...values.flatMap((value) => ['--set', value])]
  expect(await finetuneCommand(args)).toBe(0)
  const isAdapter = ['lora', 'ia3', 'prompt'].some((key) => Object.hasOwn(method as object, key))
  // Loads it again, as the other commands do.
  const data = set.find((value) => value.startsWith('data.file='))?.slice('data.file='.length) ?? 'labels.jsonl'
  if (isAdapter) expect(await evaluateCommand([...args, '--data', join(folder, data)])).toBe(0)
  const path = isAdapter ? 'adapter/adapter_model.safetensors' : 'model/model.safetensors'
  return readFileSync(join(folder, 'runs', name, path))
}

type Classifier = SequenceClassifier
interface Strategy {
  readonly params?: Iterable<unknown>
  readonly callbacks?: readonly Callback[]
  readonly schedule?: (optimizer: optim.Optimizer) => optim.Schedule
}

const rate = { lr: 1e-2 }
const head = 'classifier'

/** A method as the config states it, the lines of a program for it, and further values of the config. */
const methods: {
  readonly [name: string]: readonly [method: unknown, apply: (model: Classifier) => Strategy, ...set: string[]]
} = {
  full: ['full', () => ({})],
  'frozen norms': [
    { full: { freezeNorms: true } },
    (model) => {
      freezeNorms(model)
      return {}
    },
  ],
  'linear probe': [
    'head',
    (model) => {
      freeze(model)
      unfreeze(model, [head, 'bert.pooler'])
      return {}
    },
  ],
  'the last block': [
    { last: 1, freezeNorms: true },
    (model) => {
      freeze(model)
      unfreeze(model, { last: 1 })
      freezeNorms(model)
      return {}
    },
  ],
  BitFit: [
    { bitfit: { norms: true } },
    (model) => {
      bitfit(model, { norms: true, head: [head, 'bert.pooler'] })
      return {}
    },
  ],
  'rates by layer': [
    { layerwise: { decay: 0.5, headLr: 2e-2 } },
    (model) => ({
      params: layerwiseGroups(model, { ...rate, decay: 0.5, head: { lr: 2e-2, modules: [head, 'bert.pooler'] } }),
    }),
  ],
  'gradual unfreezing': [
    { gradual: { everySteps: 3, decay: 0.5 } },
    (model) => ({
      params: layerwiseGroups(model, { ...rate, decay: 0.5 }),
      callbacks: [unfreezeGradually(model, { everySteps: 3 })],
    }),
  ],
  'gradual unfreezing of groups': [
    { gradual: { groups: [head, ['bert.encoder.layer.1', 'bert.pooler']] } },
    (model) => ({
      callbacks: [unfreezeGradually(model, { groups: [head, ['bert.encoder.layer.1', 'bert.pooler']] })],
    }),
  ],
  'a probe before fine-tuning': [
    { probe: { epochs: 2, headLr: 2e-2 } },
    (model) => ({
      params: layerwiseGroups(model, { ...rate, decay: 1, head: { lr: 2e-2, modules: [head, 'bert.pooler'] } }),
      callbacks: [unfreezeGradually(model, { groups: [[head, 'bert.pooler'], '*'], everyEpochs: 2 })],
    }),
  ],
  DoRA: [
    { lora: { rank: 2, dora: true, dropout: 0.1 } },
    (model) => {
      const own = { rank: 2, dora: true, dropout: 0.1 }
      applyLora(model, { ...own, targetModules: 'all-linear', modulesToSave: [head, 'bert.pooler'] })
      return {}
    },
  ],
  'LoRA with biases': [
    { lora: { rank: 2, bias: 'lora_only', excludeModules: ['dense'] } },
    (model) => {
      const own = { rank: 2, bias: 'lora_only', excludeModules: ['dense'] } as const
      applyLora(model, { ...own, targetModules: 'all-linear', modulesToSave: [head, 'bert.pooler'] })
      return {}
    },
  ],
  PiSSA: [
    { lora: { rank: 2, init: 'pissa' } },
    (model) => {
      applyLora(model, { rank: 2, init: 'pissa', targetModules: 'all-linear', modulesToSave: [head, 'bert.pooler'] })
      return {}
    },
  ],
  QLoRA: [
    { lora: { rank: 2, quantize: 'nf4' } },
    (model) => {
      quantize(model, 'nf4', { modules: /^bert\.encoder\./ })
      applyLora(model, { rank: 2, targetModules: 'all-linear', modulesToSave: [head, 'bert.pooler'] })
      return { params: [...model.parameters()].filter(({ requiresGrad }) => requiresGrad) }
    },
    'model=./wide',
  ],
  'slanted triangular rates': [
    'full',
    // Three epochs of three steps.
    () => ({ schedule: (optimizer) => new optim.SlantedTriangularLR(optimizer, { totalSteps: 9 }) }),
    'train.schedule=slanted',
  ],
  IA3: [
    { ia3: { targetModules: ['key', 'value', 'output.dense'], feedforwardModules: ['output.dense'] } },
    (model) => {
      const own = { targetModules: ['key', 'value', 'output.dense'], feedforwardModules: ['output.dense'] }
      applyIa3(model, { ...own, modulesToSave: [head, 'bert.pooler'] })
      return {}
    },
  ],
}

/** The bytes that a program with the strategy saves. */
async function programmed(
  name: string,
  apply: (model: Classifier) => Strategy,
  isAdapter: boolean,
  base: string,
): Promise<Buffer> {
  const tokenizer = await AutoTokenizer.load(join(folder, base))
  const rows = await textRows(jsonl<{ text: string; label: string }>(join(folder, 'labels.jsonl')), tokenizer, {
    text: 'text',
    label: 'label',
    maxLength: 64,
  })
  manualSeed(0)
  const model = await AutoModel.forSequenceClassification(join(folder, base), { labels: rows.labels })
  const { params, callbacks = [], schedule } = apply(model)
  const optimizer = new optim.AdamW((params ?? model.parameters()) as ReturnType<typeof layerwiseGroups>, rate)
  const trainer = new Trainer<string, ClassificationBatch, Classifier>(model, {
    optimizer,
    ...(schedule && { schedule: schedule(optimizer) }),
    objective: classification(),
    clipGradNorm: 1,
    callbacks,
  })
  await trainer.fit(byLength(rows, { batchSize: 4, seed: 0 }), { epochs: 3, progress: false })
  const out = join(folder, 'programs', name)
  await (isAdapter ? saveAdapter(model, out, { log: () => undefined }) : model.save(out, { log: () => undefined }))
  return readFileSync(join(out, isAdapter ? 'adapter_model.safetensors' : 'model.safetensors'))
}

describe('a method of a config learns what a program learns', () => {
  it.each(Object.entries(methods))('%s', async (name, [method, apply, ...set]) => {
    const file = await learned(name, method, ...set)
    const isAdapter = typeof method === 'object' && method !== null && ('lora' in method || 'ia3' in method)
    const base = set.includes('model=./wide') ? 'wide' : 'bert'
    expect(file.equals(await programmed(name, apply, isAdapter, base))).toBe(true)
  })

  it('no two of them the same', async () => {
    const files = Object.entries(methods).map(([name, [method]]) => {
      const isAdapter = typeof method === 'object' && method !== null && ('lora' in method || 'ia3' in method)
      return readFileSync(
        join(folder, 'runs', name, isAdapter ? 'adapter/adapter_model.safetensors' : 'model/model.safetensors'),
      ).toString('latin1')
    })
    expect(new Set(files).size).toBe(files.length)
  })

  it('gradual unfreezing and a probe that are cut go on to the same bytes', async () => {
    const cut = ['gradual unfreezing', 'a probe before fine-tuning'] as const
    for (const name of cut) {
      const [method] = methods[name] as (typeof methods)[string]
      // The run looks as if it was killed after the fourth of nine steps. By then one method has opened its second
      // group, and the other has not.
      await learned(`cut ${name}`, method, 'train.checkpoints={ every: 4, keep: 9 }')
      const checkpoints = join(folder, 'runs', `cut ${name}`, 'checkpoints')
      for (const file of readdirSync(checkpoints)) if (!file.includes('0004.')) rmSync(join(checkpoints, file))
      expect(readdirSync(checkpoints)).toHaveLength(1)
      const values = [
        `method=${JSON.stringify(method)}`,
        `output=runs/cut ${name}`,
        'train.checkpoints={ every: 4, keep: 9 }',
      ]
      const args = [join(folder, 'methods.json'), '--resume', ...values.flatMap((value) => ['--set', value])]
      expect(await finetuneCommand(args)).toBe(0)
      const [own, uncut] = [`cut ${name}`, name].map((run) =>
        readFileSync(join(folder, 'runs', run, 'model/model.safetensors')),
      ) as [Buffer, Buffer]
      expect(own.equals(uncut), name).toBe(true)
    }
  })

  it.each(['prompt', 'prefix'] as const)('a %s before texts', async (kind) => {
    const file = await learned(kind, { prompt: { kind, tokens: 3 } }, 'model=./model', 'data.file=texts.jsonl')
    const tokenizer = await AutoTokenizer.load(join(folder, 'model'))
    const rows = await completionRows(jsonl<{ text: string }>(join(folder, 'texts.jsonl')), tokenizer, { text: 'text' })
    manualSeed(0)
    const model = applyPrompt(await AutoModel.forCausalLM(join(folder, 'model')), { kind, tokens: 3 })
    const trainer = new Trainer(model, {
      optimizer: new optim.AdamW(model.parameters(), rate),
      objective: causalLM(),
      clipGradNorm: 1,
    })
    await trainer.fit(byLength(rows, { batchSize: 4, seed: 0 }), { epochs: 3, progress: false })
    const out = join(folder, 'programs', kind)
    await saveAdapter(model, out, { log: () => undefined })
    expect(file.equals(readFileSync(join(out, 'adapter_model.safetensors')))).toBe(true)
  })
})

describe('a method is refused', () => {
  const wrong: readonly (readonly [method: unknown, says: string, ...set: string[]])[] = [
    [{ gradual: { everyEpoch: 1 } }, "there is no 'everyEpoch' in method.gradual; did you mean 'everyEpochs'?"],
    [{ gradual: { everyEpochs: 1, everySteps: 2 } }, 'has both everyEpochs and everySteps; give one of them'],
    [{ gradual: { groups: ['nobody'] } }, "method.gradual: nothing matches 'nobody'; the parameters are "],
    [{ gradual: { everySteps: 0 } }, 'method.gradual.everySteps is 0, but must be a whole number of at least 1'],
    [{ layerwise: { decay: 1.01 } }, 'method.layerwise.decay is 1.01, but must be a number above 0, at most 1'],
    [{ layerwise: { decay: 0 } }, 'method.layerwise.decay is 0, but must be a number above 0, at most 1'],
    [{ lora: { dora: 1 } }, 'method.lora.dora is 1, but must be true or false: whether the norms'],
    [{ ia3: { feedforwardModules: ['x'] } }, 'method.ia3: feedforwardModules is '],
    [{ prompt: { kind: 'prefix', tokens: 3 } }, "kind 'prefix' is for decoders, which can have keys before them"],
    [{ prompt: {} }, 'method.prompt.tokens is missing in method.prompt; it must be a whole number'],
    [{ bitfit: {} }, 'has no biases; let the weights of its norms learn', 'model=./model', 'data.file=texts.jsonl'],
    [{ probe: {} }, "probe is for a task's own head, which ", 'model=./model', 'data.file=texts.jsonl'],
    [{ lora: { quantize: 'q5_0' } }, "method.lora.quantize is 'q5_0', but must be 'q8_0', 'q4_0' or 'nf4'"],
    [{ lora: { quantize: 'nf4' } }, 'method.lora: '],
    [{ layerwise: {}, last: 2 }, 'method is an object, but must be'],
    [{ soup: {} }, "there is no 'soup' in method; there are full, bitfit, lora, ia3, prompt, last"],
    [
      { prompt: { tokens: 100 } },
      "data.maxLength is 29, but the model has 28 positions beside the prompt's 100; give at most 28",
      'model=./gpt2',
      'data={ file: texts.jsonl, maxLength: 29 }',
    ],
  ]
  it.each(wrong.map((each) => [each[0], each] as const))('%j', async (_, [method, says, ...set]) => {
    const values = [`method=${JSON.stringify(method)}`, 'output=runs/wrong', ...set]
    const args = [join(folder, 'methods.json'), '--dry', ...values.flatMap((value) => ['--set', value])]
    const error = await finetuneCommand(args).catch((thrown: unknown) => thrown)
    expect((error as Error).message).toContain(says)
    expect((error as Error).message).toMatch(/^--set /)
    expect(exitCodeOf(error)).toBe(2)
  })
})
