/** Running statistics that are measured anew, beside the numbers of PyTorch's `update_bn`. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  DataLoader,
  type Device,
  defaultDevice,
  nn,
  noGrad,
  optim,
  setDefaultDevice,
  type Tensor,
  tensor,
} from '../../lib/index.js'
import { devices } from '../suites/support.js'

const batches = () => [
  tensor([
    [1, 2],
    [3, -2],
  ]),
  tensor([
    [0, 4],
    [-1, 2],
    [2, 0],
  ]),
]

const statistics = (norm: nn.BatchNorm1d) =>
  [norm.runningMean, norm.runningVar, norm.numBatchesTracked].map((each) => [...(each as Tensor).dataSync()])

describe.each(devices.map((device) => [device.name, device] as const))('on %s', (_name, device: Device) => {
  const before = defaultDevice()
  beforeAll(() => setDefaultDevice(device))
  afterAll(() => setDefaultDevice(before))

  const make = () => {
    const norm = new nn.BatchNorm1d(2)
    const model = new nn.Sequential(norm, new nn.Dropout(0.5))
    noGrad(() => {
      norm.runningMean?.fill_(7)
      norm.numBatchesTracked?.fill_(5)
    })
    return { norm, model }
  }
  const close = (norm: nn.BatchNorm1d) => {
    const [mean, variance, count] = statistics(norm) as [number[], number[], number[]]
    for (const [got, want] of [
      [mean[0], 1.1666666269302368],
      [mean[1], 1],
      [variance[0], 2.1666665077209473],
      [variance[1], 6],
    ])
      expect(got).toBeCloseTo(want as number, 5)
    expect(count).toEqual([2])
  }

  it('are those of PyTorch, and modes and momenta stay', async () => {
    const { norm, model } = make()
    model.eval()
    await optim.updateBn(batches(), model)
    close(norm)
    expect([model.training, norm.training, norm.momentum]).toEqual([false, false, 0.1])
  })

  it('come from pairs, from a loader, and from batches of another form', async () => {
    const pairs = make()
    await optim.updateBn(
      batches().map((x) => [x, 'label'] as const),
      pairs.model,
    )
    close(pairs.norm)
    const loaded = make()
    const rows = [...batches()].flatMap((x) => Array.from({ length: x.sizes[0] as number }, (_, i) => x.select(0, i)))
    await optim.updateBn(new DataLoader(rows.slice(0, 4), { batchSize: 2 }), loaded.model)
    expect(statistics(loaded.norm)[2]).toEqual([2])
    expect(statistics(loaded.norm)[0]?.[0]).toBeCloseTo(0.75, 5)
    const named = make()
    async function* other() {
      for (const x of batches()) yield { x }
    }
    await optim.updateBn(other(), named.model, { forward: ({ x }) => named.model.forward(x) })
    close(named.norm)
  })

  it.each([
    ['no batches', () => [], 'there are no batches'],
    ['a batch that is no tensor', () => [...batches(), 3], 'a batch is the number 3'],
    ['numbers for batches', () => new Float32Array(2), 'the batches are'],
    ['batches that are a number', () => 3, 'the batches are the number 3'],
  ])('refuse %s, and are then as before', async (_title, given, message) => {
    const { norm, model } = make()
    const all = statistics(norm)
    await expect(optim.updateBn(given() as never, model)).rejects.toThrow(message)
    expect(statistics(norm)).toEqual(all)
    expect([model.training, norm.momentum]).toEqual([true, 0.1])
  })

  it('refuse weights that change meanwhile', async () => {
    const { norm, model } = make()
    const all = statistics(norm)
    const measured = optim.updateBn(batches(), model)
    noGrad(() => norm.weight?.fill_(2))
    await expect(measured).rejects.toThrow('the weights changed meanwhile')
    expect(statistics(norm)).toEqual(all)
  })
})

it('are none in a model without batch norms, which takes no pass', async () => {
  const model = new nn.Linear(2, 2)
  await optim.updateBn(
    (function* () {
      yield expect.fail('a batch was taken')
    })(),
    model,
  )
  await expect(optim.updateBn([], {} as never)).rejects.toThrow('the model is an object')
  await expect(optim.updateBn([], model, { forward: 3 as never })).rejects.toThrow('forward is the number 3')
})
