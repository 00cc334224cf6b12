/** Options within options. The error for a wrong one gives its path. */
import { expect, it } from 'vitest'
import { applyLora, applyPrompt, layerwiseGroups, saveAdapter } from '../../lib/finetune/index.js'
import { choice, mseLoss, nn, optim, search, Trainer, ValueError } from '../../lib/index.js'
import { gpt2 } from '../../lib/models/index.js'
import { trainTokenizer } from '../../lib/text/index.js'

const layer = () => new nn.Linear(2, 2)
const decoder = () => gpt2({ vocabSize: 20, layers: 2, width: 8, heads: 2, context: 16 })
const plan = { space: { lr: choice(1) }, method: 'grid', minimise: 'loss' } as const

const cases: readonly (readonly [path: string, known: string, call: (options: never) => unknown])[] = [
  [
    'checkpoints',
    'folder',
    (checkpoints) => {
      const model = layer()
      return new Trainer(model, { optimizer: new optim.SGD(model.parameters(), { lr: 1 }), loss: mseLoss, checkpoints })
    },
  ],
  [
    'scaling',
    'factor',
    (given) => new nn.RotaryEmbedding({ dims: 4, scaling: { type: 'linear', ...(given as object) } as never }),
  ],
  ['head', 'lr', (head) => layerwiseGroups(decoder(), { lr: 1, decay: 0.9, head })],
  ['halving', 'epochs', (halving) => search('unused', { ...plan, halving }, () => 0)],
  ['encoder', 'kind', (encoder) => applyPrompt(decoder(), { kind: 'prompt', tokens: 1, encoder })],
  [
    'card',
    'name',
    (card) => saveAdapter(applyLora(new nn.Sequential(layer()), { targetModules: ['0'] }), 'unused', { card }),
  ],
  ['roles', 'pad', (roles) => trainTokenizer('bpe', ['a'], { vocabSize: 9, roles })],
]

const refusal = async (call: (options: never) => unknown, options: unknown) => {
  const error = await (async () => call(options as never))().catch((thrown: unknown) => thrown)
  expect(error).toBeInstanceOf(ValueError)
  return (error as Error).message
}

it.each(cases)('of %s', async (path, known, call) => {
  const message = await refusal(call, { tempp: 1 })
  expect(message).toContain(`there is no option ${path}.tempp; there are `)
  expect(message).toContain(`${path}.${known}`)
})

it.each(cases.filter(([path]) => !['scaling', 'head', 'encoder'].includes(path)))(
  '%s is an object',
  async (path, _, call) => {
    expect(await refusal(call, 3)).toContain(`${path} is the number 3, but must be an object such as { `)
  },
)
