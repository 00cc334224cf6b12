/** Weights of classes in a config: in the loss of a run and of its evaluation, and refused where they have no meaning. */
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, it, vi } from 'vitest'
import { evaluateCommand } from '../../lib/cli/commands/evaluate.js'
import { finetuneCommand } from '../../lib/cli/commands/finetune.js'
import { exitCodeOf } from '../../lib/cli/exit.js'
import { encoderModel, workplace } from './cli-finetune.js'

let folder: string
let printed = ''

beforeAll(async () => {
  folder = await workplace()
  await encoderModel(join(folder, 'bert'))
  const labels = ['a', 'a', 'a', 'b']
  writeFileSync(
    join(folder, 'rows.jsonl'),
    Array.from({ length: 8 }, (_, i) => JSON.stringify({ text: `good cat ${i}`, label: labels[i % 4] })).join('\n'),
  )
  writeFileSync(join(folder, 'many.jsonl'), '{"text": "a", "label": ["x"]}\n{"text": "b", "label": ["x", "y"]}')
  writeFileSync(
    join(folder, 'c.yaml'),
    'model: ./bert\ndata: { file: rows.jsonl }\ntrain: { steps: 1, batchSize: 8, lr: 1e-9 }\noutput: runs/plain\n',
  )
  vi.spyOn(console, 'error').mockImplementation(() => undefined)
  vi.spyOn(process.stderr, 'write').mockReturnValue(true)
  vi.spyOn(console, 'log').mockImplementation((text) => {
    printed += text
  })
})
afterAll(() => rmSync(folder, { recursive: true }))
beforeEach(() => {
  printed = ''
})

const args = (...values: string[]) => [join(folder, 'c.yaml'), ...values.flatMap((value) => ['--set', value])]

/** The loss of the first step, and that of an evaluation of the result. */
async function losses(...values: string[]): Promise<readonly [number, number]> {
  printed = ''
  await finetuneCommand([...args(...values), '--json'])
  const { epochs } = JSON.parse(printed) as { readonly epochs: readonly { readonly loss: number }[] }
  printed = ''
  await evaluateCommand([...args(...values), '--data', join(folder, 'rows.jsonl'), '--json'])
  return [epochs[0]?.loss as number, (JSON.parse(printed) as { readonly loss: number }).loss]
}

it('weights count in the loss of the run and of its evaluation, and are in its manifest', async () => {
  const onlyA = await losses('data.classWeights={b: 0}', 'output=runs/a')
  const onlyB = await losses('data.classWeights={a: 0}', 'output=runs/b')
  const plain = await losses()
  const equal = await losses('data.classWeights=balanced', 'output=runs/balanced')
  for (const at of [0, 1] as const) {
    expect(onlyA[at]).not.toBeCloseTo(onlyB[at], 3)
    // Six rows are of a, and two of b.
    expect(plain[at]).toBeCloseTo(0.75 * onlyA[at] + 0.25 * onlyB[at], 4)
    expect(equal[at]).toBeCloseTo((onlyA[at] + onlyB[at]) / 2, 4)
  }
  const { rows } = JSON.parse(readFileSync(join(folder, 'runs/balanced/finetune.json'), 'utf8')) as {
    readonly rows: { readonly weights: readonly number[] }
  }
  expect(rows.weights).toEqual([8 / 12, 2])
}, 60_000)

it('weights are refused where they have no meaning', async () => {
  for (const [values, says] of [
    [['data.classWeights={A: 2}'], "there is no class 'A'; did you mean 'a'? there are 'a', 'b'"],
    [['data.classWeights={a: -1}'], 'data.classWeights.a is -1'],
    [['data.classWeights=equal'], "data.classWeights is 'equal', but must be 'balanced'"],
    [['data.classWeights=balanced', 'data.labels=[a, b, c]'], "no row to learn from has 'c'; add such rows"],
    [['data.classWeights=balanced', 'data.file=many.jsonl'], 'rows have several classes each; give a table'],
    [['data.classWeights={a: 2}', 'data.file=r.csv', 'data.labelKind=number'], 'numbers, which have no classes'],
    [['data.classWeights=balanced', 'model=./model', 'data.format=text'], 'data.classWeights is for classification'],
  ] as const) {
    writeFileSync(join(folder, 'r.csv'), 'text,label\na,1.5\nb,2\n')
    const error = await finetuneCommand([...args(...values, 'output=runs/no'), '--dry']).catch(
      (thrown: unknown) => thrown,
    )
    expect(exitCodeOf(error), String(error)).toBe(2)
    expect((error as Error).message).toContain(says)
  }
})
