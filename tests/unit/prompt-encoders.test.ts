/** Networks through which prompts learn. Numbers are PEFT 0.21's over transformers 5.24, with waves as weights. */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { applyPrompt, loadAdapter, type PromptOptions, saveAdapter } from '../../lib/finetune/index.js'
import { loadTensors, type nn, noGrad, type Tensor, tensor, ValueError } from '../../lib/index.js'
import { gpt2 } from '../../lib/models/index.js'

const put = (weight: Tensor, by: number, scale: number) => {
  const values = Array.from({ length: weight.numel }, (_, i) => scale * Math.sin(0.7 * i + by))
  weight.copy_(tensor(values).reshape([...weight.shape]) as never)
}
const fill = (model: nn.Module, scale: number, learning: boolean) =>
  noGrad(() => {
    for (const [name, weight] of model.namedParameters())
      if (!learning || weight.requiresGrad) put(weight, name.length, scale)
  })
const make = () => {
  const model = gpt2({ vocabSize: 12, layers: 2, width: 8, heads: 2, context: 16, dropout: 0 }).eval()
  fill(model, 0.3, false)
  return model
}
const ids = tensor(
  [
    [3, 5, 7, 2],
    [4, 6, 8, 9],
  ],
  { dtype: 'int32' },
)
const last = (model: ReturnType<typeof make>) =>
  noGrad(() => [...((model.forward(ids).narrow(0, 0, 1).narrow(1, -1, 1) as Tensor).dataSync() as Float32Array)])
const near = (found: ArrayLike<number>, expected: readonly number[], what: string) =>
  expected.forEach((value, i) => void expect(found[i], `${what}, number ${i}`).toBeCloseTo(value, 6))

async function inFolder(run: (path: string) => Promise<void>): Promise<void> {
  const path = await mkdtemp(join(tmpdir(), 'firesteel-encoders-'))
  try {
    await run(path)
  } finally {
    await rm(path, { recursive: true })
  }
}

const cases: readonly {
  readonly options: PromptOptions
  readonly logits: readonly number[]
  readonly loss: number
  readonly gradients: { readonly [name: string]: readonly number[] }
  readonly count: number
  readonly config: object
  readonly shape: readonly number[]
}[] = [
  {
    options: { kind: 'prompt', tokens: 2, encoder: { kind: 'mlp', width: 6 } },
    logits: [0.0948856, 0.2618316, 0.3112497, 0.2209577, 0.0314848, -0.1721206],
    loss: 2.5958343,
    gradients: {
      'embedding.weight': [-1.76e-5, -1.8e-5, -1e-5],
      'mlp_head.0.bias': [0.0002938, 0.0009372, 0.0011399],
      'mlp_head.4.weight': [0, -0.0114739, -0.0011283],
    },
    count: 7,
    config: { peft_type: 'P_TUNING', encoder_reparameterization_type: 'MLP', encoder_hidden_size: 6 },
    shape: [2, 8],
  },
  {
    options: { kind: 'prompt', tokens: 2, encoder: { kind: 'lstm', width: 6 } },
    logits: [0.0923516, 0.2604479, 0.3116375, 0.2229429, 0.0341763, -0.1699309],
    loss: 2.6209459,
    gradients: {
      'embedding.weight': [-7.64e-5, -5.85e-5, -1.31e-5],
      'lstm_head.weight_ih_l0_reverse': [-1.15e-5, -1.98e-5, -1.89e-5],
      'lstm_head.bias_hh_l1': [-1.12e-5, 0.0002169, 9.2e-5],
      'mlp_head.2.bias': [-0.0054781, 0.0173188, 0.000629],
    },
    count: 21,
    config: { peft_type: 'P_TUNING', encoder_reparameterization_type: 'LSTM', encoder_num_layers: 2 },
    shape: [2, 8],
  },
  {
    options: { kind: 'prefix', tokens: 2, encoder: { kind: 'mlp', width: 6 } },
    logits: [0.0920124, 0.2602449, 0.3116617, 0.2231835, 0.0345253, -0.1696302],
    loss: 2.6549442,
    gradients: {
      'embedding.weight': [0.0001806, 3.52e-5, -0.0001268],
      'transform.0.bias': [0.0001438, 0.0004411, 0.0004602],
      'transform.2.weight': [-6.7e-6, 1.58e-5, 2.92e-5],
      'transform.2.bias': [6.31e-5, 0.000127, 0.0001312],
    },
    count: 5,
    config: { peft_type: 'PREFIX_TUNING', prefix_projection: true, encoder_hidden_size: 6 },
    shape: [2, 32],
  },
]

describe.each(cases)('a $options.kind through $options.encoder', (each) => {
  it("learns with PEFT's numbers and is saved as what comes out", async () => {
    const { options, logits, loss, gradients } = each
    const model = applyPrompt(make(), options)
    fill(model, 0.4, true)
    near(last(model), logits, 'logits')
    const { total, count } = model.loss(ids)
    const mean = total.div(count as Tensor) as Tensor
    expect(mean.item()).toBeCloseTo(loss, 5)
    mean.backward()
    const named = new Map(model.namedParameters())
    for (const [name, expected] of Object.entries(gradients)) {
      const { grad } = named.get(`prompt_encoder.default.${name}`) as Tensor
      near((grad as Tensor).dataSync() as Float32Array, expected, name)
    }
    expect([...named.values()].filter(({ requiresGrad }) => requiresGrad)).toHaveLength(each.count)
    await inFolder(async (path) => {
      const lines: string[] = []
      await saveAdapter(model, path, { log: (line) => void lines.push(line) })
      expect(lines.join()).toMatch(/: 1 tensors, .*, and so are \d+ outputs$/)
      expect(JSON.parse(await readFile(join(path, 'adapter_config.json'), 'utf8'))).toMatchObject(each.config)
      const tensors = await loadTensors(join(path, 'adapter_model.safetensors'))
      expect([...tensors].map(([name, { shape }]) => [name, shape])).toEqual([['prompt_embeddings', each.shape]])
      const other = make()
      await loadAdapter(other, path)
      near(last(other), logits, 'logits of the file')
      expect(other.adapters.prompt?.encoder).toBe(null)
      // It takes the place of the learned one.
      await loadAdapter(model, path)
      near(last(model), logits, 'logits in its place')
      expect(model.adapters.prompt?.encoder).toBe(null)
    })
  })
})

it.each([
  [{ kind: 'prefix', encoder: { kind: 'lstm' } }, "encoder.kind 'lstm' is for kind 'prompt'"],
  [{ encoder: 'mlp' as never }, "encoder is 'mlp', but must be an object such as { kind: 'mlp' }"],
  [{ encoder: { kind: 'gru' } }, "encoder.kind is 'gru', but must be one of mlp, lstm"],
  [{ encoder: { kind: 'mlp', layers: 3 } }, 'encoder.layers and encoder.dropout belong to the LSTM'],
  [{ encoder: { kind: 'lstm', layers: 0 } }, 'encoder.layers'],
  [{ encoder: { kind: 'mlp', width: 0 } }, 'encoder.width'],
  [{ encoder: { kind: 'lstm', dropout: 2 } }, 'encoder.dropout'],
  [{ encoder: { kind: 'mlp', depth: 1 } }, 'depth'],
] as const)('%j is refused', (options, message) => {
  const model = make()
  const apply = () => applyPrompt(model, { kind: 'prompt', tokens: 2, ...options } as never)
  expect(apply).toThrow(ValueError)
  expect(apply).toThrow(message)
  expect(model.adapters.names).toEqual([])
})
