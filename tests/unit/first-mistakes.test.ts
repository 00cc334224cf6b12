/** Mistakes of a user who comes from PyTorch or Keras. Each error says what to write instead. */
import { DataLoader, metrics, nn, optim, randint, randn, Trainer } from 'firesteel'
import { expect, it } from 'vitest'

const model = new nn.Linear(4, 3)
const optimizer = new optim.SGD(model.parameters(), { lr: 0.1 })

it('says how a layer becomes the loss of a Trainer', () => {
  const options = { optimizer, loss: new nn.CrossEntropyLoss() } as never
  expect(() => new Trainer(model as nn.Model, options)).toThrow(
    /loss is .*, but must be a function .*crossEntropy; of a layer pass \(output, target\) => layer\.forward\(output, target\)/,
  )
})

it('says where a metric of several numbers belongs', async () => {
  const options = { optimizer, loss: nn.functional.crossEntropy, metrics: { confusion: metrics.confusionMatrix() } }
  const trainer = new Trainer(model as nn.Model, options as never)
  const batches = [[randn([8, 4]), randint(0, 3, [8])]] as never
  await expect(trainer.evaluate(batches)).rejects.toThrow(
    /metric confusion computed .*compute others by metrics\.measure/,
  )
})

it('says which dtypes a loader knows', async () => {
  const loader = new DataLoader([{ kind: 1 }], { dtypes: { kind: 'int64' } } as never)
  const read = async () => {
    for await (const _ of loader) expect.unreachable()
  }
  await expect(read()).rejects.toThrow(/'int64' for row 0\.kind, which is not a dtype; give one of float32, .*int32/)
})
