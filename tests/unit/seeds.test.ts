/** One `manualSeed` covers a whole program: weights, order of data, dropout, and numbers drawn in JavaScript. */
import { expect, it, vi } from 'vitest'
import {
  bernoulli,
  DataLoader,
  defaultGenerator,
  manualSeed,
  multinomial,
  nn,
  noGrad,
  normal,
  optim,
  rand,
  randint,
  randn,
  randperm,
  TensorDataset,
  tensor,
} from '../../lib/index.js'

/** All that a run draws, as numbers. */
async function program(): Promise<readonly unknown[]> {
  const model = new nn.Sequential(
    new nn.LSTM(3, 4, { numLayers: 2, dropout: 0.5, batchFirst: true }),
    new nn.TransformerEncoderLayer(4, 2, { dropout: 0.3, dimFeedforward: 8 }),
    new nn.Dropout(0.5),
    new nn.Linear(4, 1),
  )
  const drawn: unknown[] = [[...model.parameters()].map((p) => [...p.detach().dataSync()])]
  const data = new TensorDataset(randn([10, 2, 3]), randint(0, 9, [10]))
  const optimizer = new optim.SGD(model.parameters(), { lr: 0.1 })
  for await (const [x, target] of new DataLoader(data, { batchSize: 4, shuffle: true })) {
    drawn.push(target.toArray())
    const loss = model.forward(x).square().mean()
    loss.backward()
    optimizer.step()
    optimizer.zeroGrad()
    drawn.push(loss.item())
  }
  const generator = defaultGenerator()
  drawn.push(generator.random(), generator.randint(0, 100), generator.normal(), generator.bernoulli(0.5))
  drawn.push(generator.randperm(6), generator.multinomial([1, 2, 3], 2), generator.split().random())
  noGrad(() => {
    drawn.push(rand([3]).toArray(), randperm(5).toArray(), bernoulli(rand([6])).toArray())
    drawn.push(multinomial(tensor([1, 2, 3]), 2).toArray(), normal(0, 1, [3]).toArray())
  })
  return drawn
}

it('one seed gives the same program, another one another, and nothing draws from elsewhere', async () => {
  manualSeed(0)
  const elsewhere = vi.spyOn(Math, 'random')
  const first = await program()
  manualSeed(0)
  expect(await program()).toEqual(first)
  // Nor does a continuing run repeat itself.
  expect(await program()).not.toEqual(first)
  manualSeed(1)
  const other = await program()
  // Every part differs except those with few outcomes.
  expect(other[0]).not.toEqual(first[0])
  expect(other.filter((part, i) => JSON.stringify(part) === JSON.stringify(first[i])).length).toBeLessThan(4)
  expect(elsewhere).not.toHaveBeenCalled()
  elsewhere.mockRestore()
})
