/**
 * Prompts before texts that an encoder reads. Numbers are PEFT 0.21's over transformers 5.24, with waves as weights.
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { applyPrompt, loadAdapter, removeLora, saveAdapter, withoutAdapters } from '../../lib/finetune/index.js'
import { loadTensors, type nn, noGrad, saveTensors, type Tensor, tensor } from '../../lib/index.js'
import { AutoModel, t5 } from '../../lib/models/index.js'
import { fillWithWaves, putWave } from '../waves.js'

/** Sets what learns to the numbers that PEFT used. */
const learned = (model: nn.Module) =>
  noGrad(() => {
    for (const [name, weight] of model.namedParameters())
      if (weight.requiresGrad) putWave(weight, name.startsWith('prompt_encoder') ? 6 : 4, 0.5)
  })
const tableOf = ({ adapters: { prompt } }: { adapters: nn.Prompts }) => (prompt as nn.Prompt).table.weight
const ints = (rows: readonly (readonly number[])[]) => tensor(rows as number[][], { dtype: 'int32' })
const ids = ints([
  [3, 5, 7, 2],
  [4, 6, 8, 9],
])
const attentionMask = ints([
  [1, 1, 1, 0],
  [1, 1, 1, 1],
])
const near = (found: Tensor, expected: readonly number[]) => {
  const values = [...(found.dataSync() as Float32Array)]
  expect(values.length).toBe(expected.length)
  values.forEach((value, i) => void expect(value, `number ${i}`).toBeCloseTo(expected[i] as number, 6))
}

async function inFolder(run: (path: string) => Promise<void>): Promise<void> {
  const path = await mkdtemp(join(tmpdir(), 'firesteel-prompts-'))
  try {
    await run(path)
  } finally {
    await rm(path, { recursive: true })
  }
}
const quiet = { log: () => undefined }
const configOf = async (path: string) => JSON.parse(await readFile(join(path, 'adapter_config.json'), 'utf8'))
const write = (path: string, config: object) => writeFile(join(path, 'adapter_config.json'), JSON.stringify(config))

const sizes = {
  vocab_size: 12,
  hidden_size: 8,
  num_hidden_layers: 2,
  num_attention_heads: 2,
  intermediate_size: 10,
  max_position_embeddings: 16,
  id2label: { 0: 'a', 1: 'b', 2: 'c' },
}
const configs = {
  bert: { model_type: 'bert', ...sizes, type_vocab_size: 2, pad_token_id: 0 },
  roberta: { model_type: 'roberta', ...sizes, type_vocab_size: 1, pad_token_id: 1 },
  distilbert: {
    model_type: 'distilbert',
    vocab_size: 12,
    dim: 8,
    n_layers: 2,
    n_heads: 2,
    hidden_dim: 10,
    max_position_embeddings: 16,
    id2label: sizes.id2label,
    pad_token_id: 0,
  },
} as const
const make = async (kind: keyof typeof configs) =>
  fillWithWaves(await AutoModel.forSequenceClassification(configs[kind]))
const prompt = { kind: 'prompt', tokens: 2 } as const
const tokenTypeIds = ints([
  [0, 0, 1, 1],
  [0, 1, 1, 1],
])

describe.each([
  [
    'bert',
    ['classifier'],
    [-0.4187625, -0.3862247, -0.1696001, -0.4187857, -0.3861396, -0.1694449],
    [-0.0002889, -0.0004669, 0.0008502, -0.0000532],
  ],
  [
    'roberta',
    ['classifier'],
    [1.2603552, 0.4365511, -0.5724842, 1.2602692, 0.4364383, -0.5725731],
    [0.0009123, -0.0003908, -0.0026354, 0.0012285],
  ],
  [
    'distilbert',
    ['pre_classifier', 'classifier'],
    [-0.1764455, -0.4331682, -0.4847327, -0.1760313, -0.4331163, -0.4850663],
    [0.0000234, 0.0006093, -0.0004337, -0.0000473],
  ],
] as const)('a prompt before what %s classifies', (kind, modulesToSave, logits, gradient) => {
  const inputs = { attentionMask, ...(kind === 'bert' ? { tokenTypeIds } : {}) }

  it("gives PEFT's logits and gradients, and is saved and loaded with the head", async () => {
    const model = await make(kind)
    const base = noGrad(() => model.forward(ids, inputs))
    applyPrompt(model, { ...prompt, modulesToSave })
    learned(model)
    near(
      noGrad(() => model.forward(ids, inputs)),
      logits,
    )
    const { total, count } = model.loss(ids, { ...inputs, labels: tensor([0, 2], { dtype: 'int32' }) })
    ;(total.div(count as Tensor) as Tensor).backward()
    const { grad } = tableOf(model)
    near((grad as Tensor).reshape([16]).narrow(0, 0, 4) as Tensor, gradient)
    await inFolder(async (path) => {
      const lines: string[] = []
      await saveAdapter(model, path, { log: (line) => void lines.push(line) })
      expect(lines.join()).toMatch(/and so are 6 outputs$/)
      expect(await configOf(path)).toMatchObject({ task_type: 'SEQ_CLS', num_transformer_submodules: 1, token_dim: 8 })
      const names = [...(await loadTensors(join(path, 'adapter_model.safetensors'))).keys()]
      expect(names).toContain('prompt_embeddings')
      expect(names.filter((name) => /^base_model\.(pre_)?classifier\./.test(name))).toHaveLength(names.length - 1)
      // PEFT names heads twice, and names one that does not exist.
      await write(path, { ...(await configOf(path)), modules_to_save: ['classifier', 'score', 'classifier', 'score'] })
      const other = await make(kind)
      // The hash of the written settings is left out.
      await saveTensors(
        join(path, 'adapter_model.safetensors'),
        await loadTensors(join(path, 'adapter_model.safetensors')),
      )
      await loadAdapter(other, path)
      near(
        noGrad(() => other.forward(ids, inputs)),
        logits,
      )
    })
    expect(withoutAdapters(model, () => noGrad(() => model.forward(ids, inputs))).dataSync()).toEqual(base.dataSync())
    removeLora(model)
    expect(noGrad(() => model.forward(ids, inputs)).dataSync()).toEqual(base.dataSync())
  })

  it('needs room and counts its own positions', async () => {
    const model = applyPrompt(await make(kind), { kind: 'prompt', tokens: kind === 'roberta' ? 10 : 12 })
    expect(noGrad(() => model.forward(ids)).shape).toEqual([2, 3])
    const longer = ints([[3, 5, 7, 2, 4]])
    expect(() => model.forward(longer)).toThrow(/there are 1[57] columns, but the model has 1[46] positions/)
    expect(() => model.forward(ids, { positions: ids })).toThrow('positions are given while a prompt is active')
  })
})

describe('T5', () => {
  const makeT5 = () =>
    fillWithWaves(
      t5({
        vocabSize: 12,
        width: 8,
        headDim: 4,
        inner: 10,
        layers: 2,
        heads: 2,
        startToken: 0,
        padToken: 0,
        endTokens: [1],
      }),
    )
  const labels = ints([
    [4, 6, 1],
    [5, 1, -100],
  ])
  const inputs = { attentionMask, labels }
  const second = (model: ReturnType<typeof makeT5>) =>
    noGrad(() => model.forward(ids, inputs).narrow(0, 0, 1).narrow(1, 1, 1).reshape([12]) as Tensor)

  it.each([
    [
      'prompt',
      [
        0.0016503, 0.0074393, 0.0098889, 0.0078998, 0.0023647, -0.0042319, -0.0089289, -0.009618, -0.0059899, 0.0003269,
        0.0064969, 0.0097507,
      ],
      [0.0020141, -0.0016384, -0.0025137, 0.0005378],
      2.4956937,
    ],
    [
      'prefix',
      [
        -0.0027004, -0.0084576, -0.0104185, -0.0077028, -0.0015296, 0.0053302, 0.0097975, 0.0098669, 0.0055075,
        -0.0013242, -0.0075614, -0.0104046,
      ],
      [0.0003515, 0.0002262, -0.0000006, -0.0002272],
      2.4953961,
    ],
  ] as const)(
    "with a %s gives PEFT's logits and gradients, and what it writes",
    async (kind, logits, gradient, loss) => {
      const model = applyPrompt(makeT5(), { kind, tokens: 2 })
      learned(model)
      near(second(model), logits)
      const { total, count } = model.loss(ids, inputs)
      const mean = total.div(count as Tensor) as Tensor
      expect(mean.item()).toBeCloseTo(loss, 5)
      mean.backward()
      const { grad } = tableOf(model)
      near((grad as Tensor).flatten().narrow(0, 0, 4) as Tensor, gradient)
      await inFolder(async (path) => {
        await saveAdapter(model, path, quiet)
        const config = await configOf(path)
        expect(config).toMatchObject({
          task_type: 'SEQ_2_SEQ_LM',
          num_transformer_submodules: kind === 'prefix' ? 2 : 1,
        })
        const other = makeT5()
        await loadAdapter(other, path)
        near(second(other), logits)
        // Each token generated with a cache equals the one without it.
        const [written] = await other.generate([[3, 5, 7]], { maxNewTokens: 3, stopTokens: [] })
        const tokens = [0]
        for (let i = 0; i < 3; i++) {
          const scores = noGrad(() => other.forward(ints([[3, 5, 7]]), { decoderIds: ints([tokens]) }))
          const last = [...(scores.narrow(1, -1, 1).dataSync() as Float32Array)]
          tokens.push(last.indexOf(Math.max(...last)))
        }
        expect(written?.tokens).toEqual(tokens.slice(1))
        if (kind === 'prefix') {
          await write(path, { ...config, num_transformer_submodules: 1 })
          await expect(loadAdapter(makeT5(), path)).rejects.toThrow(/different saves/)
          return
        }
        // PEFT's own table has twice as many rows, the rest for a decoder that does not read them.
        const weights = join(path, 'adapter_model.safetensors')
        const [name, table] = [...(await loadTensors(weights))][0] as [string, Tensor]
        await saveTensors(
          weights,
          new Map([[name, tensor([...table.dataSync(), ...table.dataSync()] as number[]).reshape([4, 8])]]),
        )
        await write(path, { ...config, num_transformer_submodules: 2 })
        await loadAdapter(other, path)
        near(second(other), logits)
        expect(tableOf(other).shape).toEqual([4, 8])
        await saveAdapter(other, path, quiet)
        expect(await configOf(path)).toMatchObject({ num_transformer_submodules: 2 })
      })
    },
  )
})

it('a prompt is refused by what cannot read it', async () => {
  const bert = await make('bert')
  expect(() => applyPrompt(bert, { kind: 'prefix', tokens: 2 })).toThrow("kind 'prefix' is for decoders")
  const tags = await AutoModel.forTokenClassification(configs.bert)
  expect(() => applyPrompt(tags, prompt)).toThrow('takes no prompts')
  expect(() => applyPrompt(bert, { ...prompt, modulesToSave: ['nowhere'] })).toThrow("modulesToSave names ['nowhere']")
  expect(() => applyPrompt(bert, { ...prompt, stacks: 2 } as never)).toThrow('stacks')
  await inFolder(async (path) => {
    await saveAdapter(applyPrompt(bert, prompt), path, quiet)
    const config = await configOf(path)
    for (const [change, message] of [
      [{ task_type: 'CAUSAL_LM' }, 'the prompt is for models that are a decoder, but this one is an encoder'],
      [
        { task_type: 'QUESTION_ANS' },
        'task_type is "QUESTION_ANS", but must be one of "CAUSAL_LM", "SEQ_CLS", "SEQ_2_SEQ_LM"',
      ],
      [{ num_transformer_submodules: 2 }, 'num_transformer_submodules is 2, but must be 1'],
    ] as const) {
      await write(path, { ...config, ...change })
      await expect(loadAdapter(await make('bert'), path)).rejects.toThrow(message)
    }
  })
})
