/** Loaders and datasets: what they give, and what they refuse. */
import { describe, expect, it } from 'vitest'
import { ImageDataset } from '../../lib/data/datasets/index.js'
import {
  arange,
  DataLoader,
  DeviceError,
  FunctionDataset,
  Generator,
  nn,
  optim,
  reshape,
  Subset,
  type Tensor,
  TensorDataset,
  Trainer,
  tensor,
  zeros,
} from '../../lib/index.js'

const rows = (n: number) => new TensorDataset(reshape(arange(n).to('float32'), [n, 1]), zeros([n, 1]))
const items = (n: number) =>
  new FunctionDataset<number, readonly number[]>(
    n,
    (i) => i,
    (all) => all,
  )

async function all<B>(loader: DataLoader<B>): Promise<B[]> {
  const batches: B[] = []
  for await (const batch of loader) batches.push(batch)
  return batches
}

describe('a loader', () => {
  it.each([
    [0, [], []],
    [1, [[0]], []],
    [2, [[0, 1]], [[0, 1]]],
    [3, [[0, 1], [2]], [[0, 1]]],
  ])('of %i items in twos, with the last batch and without', async (n, whole, dropped) => {
    for (const prefetch of [0, 1, 9]) {
      const loader = new DataLoader(items(n), { batchSize: 2, prefetch })
      expect(await all(loader)).toEqual(whole)
      expect(loader.length).toBe(whole.length)
      const dropping = new DataLoader(items(n), { batchSize: 2, prefetch, dropLast: true })
      expect(await all(dropping)).toEqual(dropped)
      expect(dropping.length).toBe(dropped.length)
    }
  })

  it('makes of a dataset without end one batch after another, and of a small one a batch of all', async () => {
    const endless = new DataLoader({ length: 2 ** 40, batch: (indices) => indices }, { batchSize: 2, prefetch: 0 })
    expect(endless.length).toBe(2 ** 39)
    for await (const batch of endless) {
      expect(batch).toEqual([0, 1])
      break
    }
    expect(await all(new DataLoader(items(3), { batchSize: 2 ** 40 }))).toEqual([[0, 1, 2]])
    // A dataset may have grown since.
    const growing = { length: 3, batch: () => 0 }
    const loader = new DataLoader(growing, { shuffle: true })
    growing.length = 2 ** 40
    await expect(all(loader)).rejects.toThrow(`[DataLoader] ${2 ** 40} items in a random order`)
  })

  it('gives every item once in each order, another in each pass, the same for one seed', async () => {
    const loader = () => new DataLoader(items(20), { batchSize: 3, shuffle: true, generator: new Generator(5) })
    const [one, other] = [loader(), loader()]
    const passes = [await all(one), await all(one)].map((batches) => batches.flat())
    expect(passes[0]).not.toEqual(passes[1])
    for (const pass of passes) expect([...pass].sort((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, i) => i))
    expect([(await all(other)).flat(), (await all(other)).flat()]).toEqual(passes)
  })

  it('throws what its dataset throws, where that batch is, and can be used again', async () => {
    let broken = true
    const set = new FunctionDataset<number, number>(
      4,
      (i) => {
        if (i === 2 && broken) throw new Error('item 2 is broken')
        return i
      },
      ([first]) => first as number,
    )
    const loader = new DataLoader(set, { prefetch: 3 })
    const seen: number[] = []
    await expect(
      (async () => {
        for await (const batch of loader) seen.push(batch)
      })(),
    ).rejects.toThrow('item 2 is broken')
    expect(seen).toEqual([0, 1])
    broken = false
    expect(await all(loader)).toEqual([0, 1, 2, 3])
  })

  it('trains a model, batch by batch', async () => {
    const model = new nn.Linear(1, 1)
    const trainer = new Trainer(model, {
      optimizer: new optim.SGD(model.parameters(), { lr: 1e-3 }),
      loss: nn.functional.mseLoss,
    })
    const { epochs } = await trainer.fit(new DataLoader(rows(5), { batchSize: 2 }), { epochs: 2, progress: false })
    expect(epochs).toHaveLength(2)
    expect(epochs[1]?.loss).toBeLessThan(epochs[0]?.loss as number)
  })

  const wrong: readonly (readonly [string, () => unknown, string])[] = [
    [
      'an array of pairs',
      () => new DataLoader([[zeros([1]), zeros([1])]] as never),
      'the dataset is an array; make one',
    ],
    ['a typed array', () => new DataLoader(new Float32Array(3) as never), 'the dataset is an array'],
    ['a tensor', () => new DataLoader(zeros([3]) as never), 'the dataset needs a length'],
    ['nothing', () => new DataLoader(undefined as never), 'the dataset needs a length'],
    ['no batch method', () => new DataLoader({ length: 3 } as never), 'and a batch(indices) method'],
    ['a length below 0', () => new DataLoader({ length: -1, batch: () => 0 }), '(-1)'],
    ['options that are none', () => new DataLoader(items(1), 3 as never), 'options are the number 3'],
    ['workers', () => new DataLoader(items(1), { workers: 2 } as never), 'there is no option workers'],
    ['batches of 0', () => new DataLoader(items(1), { batchSize: 0 }), 'batchSize is 0'],
    ['batches of text', () => new DataLoader(items(1), { batchSize: '2' as never }), "batchSize is '2'"],
    ['shuffle by text', () => new DataLoader(items(1), { shuffle: 'yes' as never }), "shuffle is 'yes'"],
    ['dropLast by number', () => new DataLoader(items(1), { dropLast: 1 as never }), 'dropLast is 1'],
    [
      'a seed for a generator',
      () => new DataLoader(items(1), { generator: 7 as never }),
      'generator is 7, but must be a Generator',
    ],
    [
      'an order of more items than a list holds',
      () => new DataLoader({ length: 2 ** 26 + 1, batch: () => 0 }, { shuffle: true }),
      '67108865 items in a random order, but at most 67108864 are possible; draw indices',
    ],
    [
      'a batch of more items than a list holds',
      () => new DataLoader({ length: 2 ** 40, batch: () => 0 }, { batchSize: 2 ** 40 }),
      `${2 ** 40} items in a batch, but at most 67108864 are possible; give a smaller batchSize`,
    ],
    ['half a prefetch', () => new DataLoader(items(1), { prefetch: 0.5 }), 'prefetch is 0.5'],
  ]
  it.each(wrong)('refuses %s', (_title, make, message) => {
    expect(make).toThrow(/^\[DataLoader\]/)
    expect(make).toThrow(message)
  })
})

describe('a dataset', () => {
  it('gives the rows that are asked for, in that order', () => {
    const [x] = rows(4).batch([3, 0, 3])
    expect([...x.dataSync()]).toEqual([3, 0, 3])
    const subset = new Subset(items(5), [4, 2])
    expect(subset.length).toBe(2)
    expect(subset.batch([1, 0])).toEqual(expect.any(Promise))
  })

  it('of some items keeps its own list of them', async () => {
    const indices = [1, 2]
    const subset = new Subset(items(3), indices)
    indices[0] = 99
    expect(await subset.batch([0])).toEqual([1])
  })

  it('of images: pixel / 255, less the mean, by the deviation', () => {
    const set = new ImageDataset(Uint8Array.of(0, 255, 51, 102), Uint8Array.of(3, 1), [1, 1, 2], {
      mean: 0.2,
      std: 0.5,
    })
    const [images, labels] = set.batch([1, 0])
    expect(images.shape).toEqual([2, 1, 1, 2])
    const rounded = [...images.dataSync()].map((value) => Math.round(value * 1e6) / 1e6)
    expect(rounded).toEqual([0, 0.4, -0.4, 1.6])
    expect([...labels.dataSync()]).toEqual([1, 3])
    expect(set.classes).toBe(4)
  })

  const bytes = new Uint8Array(4)
  const wrong: readonly (readonly [string, () => unknown, string])[] = [
    ['no tensors', () => new TensorDataset(), '[TensorDataset] needs tensors'],
    [
      'arrays',
      () => new TensorDataset([1, 2] as never),
      '[TensorDataset] argument 0 must be a tensor, but is an array',
    ],
    [
      'a scalar',
      () => new TensorDataset(tensor(1) as Tensor),
      '[TensorDataset] needs tensors with at least one dimension',
    ],
    ['other numbers of rows', () => new TensorDataset(zeros([2]), zeros([3])), 'different numbers of rows: 2, 3'],
    [
      'no functions',
      () => new FunctionDataset(2, null as never, null as never),
      '[FunctionDataset] needs two functions',
    ],
    ['a length of text', () => new FunctionDataset('2' as never, Number, String), '[FunctionDataset] length is'],
    ['no dataset', () => new Subset(null as never, [0]), '[Subset] the dataset needs a length'],
    ['no indices', () => new Subset(items(3), 2 as never), '[Subset] the indices are the number 2'],
    ['an index outside', () => new Subset(items(3), [0, 3]), '[Subset] index 3 lies outside of the 3 items'],
    [
      'an index that is none',
      () => new Subset(items(3), [undefined as never]),
      '[Subset] index undefined lies outside',
    ],
    [
      'floats for pixels',
      () => new ImageDataset(new Float32Array(4) as never, bytes, [1, 1, 1]),
      'pixels must be a Uint8Array',
    ],
    [
      'numbers for labels',
      () => new ImageDataset(bytes, [1, 2, 3, 4] as never, [1, 1, 1]),
      'labels must be a Uint8Array',
    ],
    ['two sides', () => new ImageDataset(bytes, bytes, [2, 2] as never), '[ImageDataset] shape is [2, 2]'],
    ['a side of 0', () => new ImageDataset(bytes, bytes, [1, 0, 1]), '[ImageDataset] shape is [1, 0, 1]'],
    ['a mean that is none', () => new ImageDataset(bytes, bytes, [1, 1, 1], { mean: Number.NaN }), 'mean is NaN'],
    ['no deviation', () => new ImageDataset(bytes, bytes, [1, 1, 1], { std: 0 }), 'std is 0'],
  ]
  it.each(wrong)('refuses %s', (_title, make, message) => {
    expect(make).toThrow(message)
  })

  it('of tensors on different devices is refused', () => {
    const make = () => new TensorDataset(zeros([2]), zeros([2], { device: 'reference' }))
    expect(make).toThrow(DeviceError)
    expect(make).toThrow(".to('cpu')")
  })
})
