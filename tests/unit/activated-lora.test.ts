/** Activated LoRA (aLoRA), by numbers of PEFT 0.21 with transformers 5.24. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { checkpoint } from '../../lib/autograd/checkpoint.js'
import { noGrad } from '../../lib/autograd/mode.js'
import { setDefaultDevice } from '../../lib/backend/devices.js'
import type { Tensor } from '../../lib/core/tensor.js'
import {
  addWeightedAdapter,
  applyLora,
  applyPrompt,
  loadAdapter,
  mergeLora,
  removeLora,
  saveAdapter,
  setAdapter,
  withoutAdapters,
} from '../../lib/finetune/index.js'
import { type CausalModel, KvCache, llama } from '../../lib/models/index.js'
import type { Module } from '../../lib/nn/module.js'
import { tensor } from '../../lib/ops/creation.js'

setDefaultDevice('cpu')

/** Scores after the last token of rows in which the invocation is at 1, nowhere, and at 0 and 3. */
const peft = {
  last: [
    [
      -1.630299, 2.269853, -0.535275, 0.727816, -1.722454, 2.283581, -0.056413, -0.697136, -1.10106, 1.924583, 1.517306,
      1.880504,
    ],
    [
      -0.649708, 1.869106, -0.74341, -1.729946, 0.223215, 0.125198, 0.248179, -1.702136, -0.700597, 0.230109, 0.587697,
      1.962073,
    ],
    [
      1.441687, -1.251729, -1.849534, 0.474619, -1.410511, 1.448651, -0.297225, -2.468685, 0.545143, -0.468221,
      -1.005928, 0.165819,
    ],
  ],
  loss: 3.596319,
  gradA: [
    0.016688, -0.01054, 0.005114, -0.001854, -0.000784, 0.013946, -0.005735, 0.007259, 0.019843, 0.013676, 0.008698,
    -0.000298, -0.012151, -0.00288, -0.021021, 0.011679,
  ],
  gradB: [
    -0.016397, -0.097797, -0.105262, -0.047551, 0.161257, 0.110297, 0.007898, -0.036442, -0.034601, -0.055135, -0.03746,
    -0.009414, -0.083651, -0.12491, 0.025011, 0.046757,
  ],
  /** What greedy search writes after the first five tokens of rows 0 and 1. */
  written: [
    [0, 0, 0, 11, 0, 0],
    [6, 0, 0, 0, 0, 0],
  ],
}
const rows = [
  [3, 7, 1, 9, 2, 5],
  [4, 4, 8, 6, 10, 11],
  [7, 1, 3, 7, 1, 6],
]
/** The columns of each row in which the adapter acts. */
const reached = [
  [0, 1, 1, 1, 1, 1],
  [0, 0, 0, 0, 0, 0],
  [0, 0, 0, 1, 1, 1],
]
const int = (values: readonly (readonly number[])[]) => tensor(values as number[][], { dtype: 'int32' })
const wave = (count: number, seed: number, scale: number) =>
  Array.from({ length: count }, (_, i) => scale * Math.sin(0.7 * i * i + 1.3 * i + seed))
const fill = (of: Tensor, numbers: readonly number[]) =>
  noGrad(() => void of.copy_(tensor(numbers as number[]).reshape(of.shape) as never))

/** A Llama whose weights follow from their names. */
function make(): CausalModel {
  const sizes = { vocabSize: 12, width: 8, inner: 10, layers: 2, heads: 2, context: 32 }
  const model = llama({ ...sizes, tieWordEmbeddings: false }).eval()
  for (const [name, parameter] of model.namedParameters()) {
    const seed = [...name].reduce((sum, character) => sum + character.charCodeAt(0), 0) % 97
    const numbers = wave(parameter.numel, seed, 0.6)
    fill(parameter, name.includes('norm') ? numbers.map((each) => each + 1) : numbers)
  }
  return model
}

const options = { rank: 2, alpha: 3, targetModules: ['q_proj', 'down_proj'], invocationTokens: [7, 1] } as const

/** Gives what the adapter learns the numbers that it had in PEFT. */
function learn(model: Module): void {
  let seed = 1
  for (const [name, parameter] of model.namedParameters())
    if (name.includes('lora_')) fill(parameter, wave(parameter.numel, seed++, 0.5))
}

function adapted(): CausalModel {
  const model = applyLora(make(), options)
  learn(model)
  return model
}

const close = (found: Tensor | null | undefined, expected: readonly number[], within = 2e-5) => {
  const numbers = [...((found as Tensor).dataSync() as Float32Array)]
  expect(numbers).toHaveLength(expected.length)
  expected.forEach((value, i) => void expect(Math.abs((numbers[i] as number) - value)).toBeLessThan(within))
}
const last = (scores: Tensor, row: number) => scores.select(0, row).select(0, -1)
const folders: string[] = []
afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true })
})

describe('an activated adapter', () => {
  it('acts from the last occurrence of its invocation on, and nowhere in a row without it', () => {
    const model = adapted()
    const scores = noGrad(() => model.forward(int(rows)))
    peft.last.forEach((numbers, row) => void close(last(scores, row), numbers))
    const base = noGrad(() => make().forward(int(rows)))
    const moved = scores.sub(base).abs().amax(2).gt(1e-6)
    expect([...moved.dataSync()].map(Number)).toEqual(reached.flat())
    close(
      noGrad(() => withoutAdapters(model, () => model.forward(int(rows)))),
      [...(base.dataSync() as Float32Array)],
      1e-9,
    )
  })

  it('learns where it acts, under a checkpoint too', () => {
    for (const run of [(fn: () => Tensor) => fn(), (fn: () => Tensor) => checkpoint(fn)]) {
      const model = adapted()
      const { total } = { total: run(() => model.loss(int(rows)).total) }
      const mean = total.div(15)
      close(mean, [peft.loss])
      mean.backward()
      const grads = model.namedParameters().filter(([name]) => name.includes('lora_'))
      close(grads[0]?.[1].grad, peft.gradA)
      close(grads.at(-1)?.[1].grad, peft.gradB)
    }
  })

  it('goes on acting after a cached text that has its invocation, for each row, whatever their order', async () => {
    const model = adapted()
    for (const [row, written] of peft.written.entries()) {
      const prompt = (rows[row] as number[]).slice(0, 5)
      const [found] = await model.generate([prompt], { maxNewTokens: 6 })
      expect(found?.tokens).toEqual(written)
    }
    noGrad(() => {
      const whole = model.forward(int(rows))
      const cache = new KvCache(6)
      model.hidden(int(rows.map((row) => row.slice(0, 5))), { cache })
      const order = [2, 1, 0, 0]
      cache.reorder(order)
      const next = model.forward(int(order.map((row) => rows[row]?.slice(5) as number[])), { cache })
      order.forEach((row, i) => {
        const expected = whole.select(0, row).select(0, 5).dataSync() as Float32Array
        close(last(next, i), [...expected])
      })
      cache.dispose()
    })
  })

  it('is reached within a document, and by no other one of the row', () => {
    const model = adapted()
    const join = [3, 7, 1, 9, 2, 7, 4, 4, 1, 8, 6]
    const documents = int([[0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1]])
    const positions = int([[0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4]])
    const scores = noGrad(() => model.forward(int([join]), { documents, positions }))
    const alone = (from: number, to: number) => noGrad(() => model.forward(int([join.slice(from, to)])))
    close(last(scores, 0), [...(last(alone(6, 11), 0).dataSync() as Float32Array)])
    close(scores.select(0, 0).select(0, 5), [...(last(alone(0, 6), 0).dataSync() as Float32Array)])
  })

  it('has PEFT’s files, and stands beside others', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'firesteel-'))
    folders.push(folder)
    const model = adapted()
    await saveAdapter(model, folder, { log: () => undefined })
    const config = JSON.parse(await readFile(join(folder, 'adapter_config.json'), 'utf8')) as {
      [name: string]: unknown
    }
    expect(config).toMatchObject({ alora_invocation_tokens: [7, 1], use_dora: false })
    const other = make()
    await loadAdapter(other, folder)
    peft.last.forEach(
      (numbers, row) =>
        void close(
          last(
            noGrad(() => other.forward(int(rows))),
            row,
          ),
          numbers,
        ),
    )
    applyLora(other, { name: 'plain', rank: 2, targetModules: ['q_proj'] })
    setAdapter(other, ['default', 'plain'])
    peft.last.forEach(
      (numbers, row) =>
        void close(
          last(
            noGrad(() => other.forward(int(rows))),
            row,
          ),
          numbers,
        ),
    )
    removeLora(other, { name: 'default' })
    close(
      last(
        noGrad(() => other.forward(int(rows))),
        1,
      ),
      peft.last[1] as number[],
    )
    await writeFile(join(folder, 'adapter_config.json'), JSON.stringify({ ...config, alora_invocation_tokens: ['a'] }))
    await expect(loadAdapter(make(), folder)).rejects.toThrow(
      'alora_invocation_tokens is ["a"], but must be a list of tokens, or null',
    )
  })

  it('does not act in the columns of a prompt before the text', () => {
    const model = adapted()
    applyPrompt(model, { name: 'prompt', kind: 'prompt', tokens: 3 })
    setAdapter(model, ['default', 'prompt'])
    const scores = noGrad(() => model.forward(int(rows)))
    setAdapter(model, ['prompt'])
    const base = noGrad(() => model.forward(int(rows)))
    const moved = scores.sub(base).abs().amax(2).gt(1e-6)
    expect([...moved.dataSync()].map(Number)).toEqual(reached.flatMap((row) => [0, 0, 0, ...row]))
  })

  it('is refused where it cannot act, and is neither merged nor combined', () => {
    const refused = (own: object, text: string) =>
      expect(() => applyLora(make(), { ...options, ...own })).toThrow(`[applyLora] ${text}`)
    refused({ invocationTokens: [] }, 'invocationTokens are [], but must be a list of tokens')
    refused({ invocationTokens: [1.5] }, 'invocationTokens are [1.5], but must be')
    refused({ invocationTokens: 'hi' }, "invocationTokens are 'hi', but must be")
    refused({ dora: true }, 'invocationTokens do not go with dora')
    refused({ init: 'pissa' }, 'invocationTokens do not go with init')
    for (const name of ['embed_tokens', 'lm_head'])
      refused(
        { targetModules: [name] },
        `invocationTokens are for linear layers within the model, but ${name === 'lm_head' ? name : 'model.embed_tokens'} is not one`,
      )
    const model = adapted()
    expect(() => applyLora(model.children()[0] as Module, options)).toThrow('are for models of AutoModel.forCausalLM')
    expect(() => mergeLora(model)).toThrow('the adapter acts only after its invocationTokens')
    const both = { adapters: ['default'], weights: [1], name: 'sum', combinationType: 'linear' } as const
    expect(() => addWeightedAdapter(model, both)).toThrow("'default' is not only a sum of factors")
  })
})
