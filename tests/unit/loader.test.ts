/** Loaders and datasets: their results and refusals. */
import { describe, expect, it } from 'vitest'
import { ImageDataset } from '../../lib/data/datasets/index.js'
import {
  arange,
  byLength,
  DataLoader,
  type DataLoaderOptions,
  type DataLoaderState,
  DeviceError,
  FunctionDataset,
  Generator,
  IterableDataset,
  manualSeed,
  nn,
  optim,
  reshape,
  Subset,
  type Tensor,
  TensorDataset,
  Trainer,
  tensor,
  weighted,
  zeros,
} from '../../lib/index.js'

const rows = (n: number) => new TensorDataset(reshape(arange(n).to('float32'), [n, 1]), zeros([n, 1]))
const stream = (n: number) =>
  new IterableDataset(function* () {
    for (let i = 0; i < n; i++) yield i
  })
const items = (n: number) =>
  new FunctionDataset<number, readonly number[]>(
    n,
    (i) => i,
    (all) => all,
  )

async function all<B>(loader: AsyncIterable<B>): Promise<B[]> {
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
    // A dataset may have grown meanwhile.
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
      'a typed array',
      () => new DataLoader(new Float32Array(3) as never),
      'the dataset is a Float32Array; give an array',
    ],
    [
      'an iterator',
      () => new DataLoader(stream(3)[Symbol.asyncIterator]()),
      'the rows are an iterator, which is used up',
    ],
    ['an order of a stream', () => new DataLoader(stream(3), { shuffle: true }), 'use dataset.shuffle(buffer)'],
    ['a sampler of a stream', () => new DataLoader(stream(3), { sampler: weighted([1]) }), 'a sampler cannot choose'],
    ['a sampler that is none', () => new DataLoader([1], { sampler: [0] as never }), 'sampler is an array'],
    ...[undefined, '3', 10n, 1.5, -1, Number.NaN].map(
      (count) =>
        [
          `a sampler that counts ${String(count)}`,
          () => new DataLoader(items(3), { sampler: { count: () => count as never, batches: () => [[0]] } }),
          'count() of the sampler gave',
        ] as const,
    ),
    ['a collate that is none', () => new DataLoader([1], { collate: 3 as never }), 'collate is the number 3'],
    [
      'a collate of ready batches',
      () => new DataLoader({ length: 1, batch: () => 0 }, { collate: () => 0 }),
      'the dataset makes its batches itself',
    ],
    ['a tensor', () => new DataLoader(zeros([3]) as never), 'the dataset needs a length'],
    ['nothing', () => new DataLoader(undefined as never), 'the dataset needs a length'],
    ['no batch method', () => new DataLoader({ length: 3 } as never), 'and a batch(indices) method'],
    ['a length below 0', () => new DataLoader({ length: -1, batch: () => 0 }), '(it is -1)'],
    ['options that are none', () => new DataLoader(items(1), 3 as never), 'options are the number 3'],
    ['threads', () => new DataLoader(items(1), { threads: 2 } as never), 'there is no option threads'],
    ['batches of 0', () => new DataLoader(items(1), { batchSize: 0 }), 'batchSize is 0'],
    ['batches of text', () => new DataLoader(items(1), { batchSize: '2' as never }), "batchSize is '2'"],
    ['shuffle by text', () => new DataLoader(items(1), { shuffle: 'yes' as never }), "shuffle is 'yes'"],
    ['dropLast by number', () => new DataLoader(items(1), { dropLast: 1 as never }), 'dropLast is 1'],
    ['a seed for a generator', () => new DataLoader(items(1), { generator: 7 as never }), 'generator is 7'],
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

describe('a loader of a stream', () => {
  it('gives its rows in batches, pass after pass', async () => {
    for (const prefetch of [0, 1, 9]) {
      const loader = new DataLoader(stream(5), { batchSize: 2, prefetch, collate: (all) => [...all] })
      for (let pass = 0; pass < 2; pass++) expect(await all(loader)).toEqual([[0, 1], [2, 3], [4]])
      expect(loader.length).toBeNaN()
      const whole = new DataLoader(stream(5), { batchSize: 2, prefetch, dropLast: true, collate: (all) => [...all] })
      expect(await all(whole)).toEqual([
        [0, 1],
        [2, 3],
      ])
    }
    const own = new DataLoader({ [Symbol.asyncIterator]: () => stream(2).pass() })
    expect((await all(own)).map((batch) => batch.toArray())).toEqual([[0], [1]])
  })

  it('reads no further ahead than it should, and lets the rows go', async () => {
    let read = 0
    let closed = false
    const rows = new IterableDataset(function* () {
      try {
        for (;;) yield read++
      } finally {
        closed = true
      }
    })
    for await (const _ of new DataLoader(rows, { batchSize: 4, prefetch: 2 })) break
    expect(read).toBeLessThanOrEqual(12)
    expect(closed).toBe(true)
  })

  it('throws what a row throws, where its batch is', async () => {
    const rows = stream(9).map((i) => {
      if (i === 5) throw new Error('row 5 is broken')
      return i
    })
    const seen: unknown[] = []
    await expect(
      (async () => {
        for await (const batch of new DataLoader(rows, { batchSize: 2, prefetch: 4 })) seen.push(batch)
      })(),
    ).rejects.toThrow('row 5 is broken')
    expect(seen).toHaveLength(2)
  })
})

describe('samplers', () => {
  const indices = (n: number, options: DataLoaderOptions<number, readonly number[]>) =>
    all(new DataLoader(items(n), { generator: new Generator(3), ...options }))

  it('by weight draw rows as often as they weigh, with replacement', async () => {
    const drawn = (await indices(3, { batchSize: 100, sampler: weighted([1, 0, 3], { count: 4000 }) })).flat()
    expect(drawn).toHaveLength(4000)
    const counts = [0, 1, 2].map((row) => drawn.filter((each) => each === row).length)
    expect(counts[1]).toBe(0)
    // Three standard deviations of a binomial of 4000 and 1/4.
    expect(Math.abs((counts[0] as number) - 1000)).toBeLessThan(83)
  })

  it('by weight draw each row once at most, without it, the heavy ones first', async () => {
    const sampler = weighted([1, 0, 9, 1], { replacement: false })
    let first = 0
    const loader = new DataLoader(items(4), { batchSize: 9, sampler, generator: new Generator(1) })
    for (let pass = 0; pass < 400; pass++) {
      const drawn = (await all(loader)).flat()
      expect([...drawn].sort()).toEqual([0, 2, 3])
      if (drawn[0] === 2) first++
    }
    // 9/11 of 400 is 327, with a standard deviation of 7.7.
    expect(Math.abs(first - 327)).toBeLessThan(24)
    expect(
      (
        await all(new DataLoader(items(4), { sampler: weighted([1, 1, 1, 1], { count: 2, replacement: false }) }))
      ).flat(),
    ).toHaveLength(2)
  })

  const lengths = [5, 1, 3, 3, 9, 1, 3]
  it('by length put rows of about one length together', async () => {
    expect(await indices(7, { batchSize: 3, sampler: byLength(lengths) })).toEqual([[1, 5, 2], [3, 6, 0], [4]])
    expect(await indices(7, { batchSize: 3, dropLast: true, sampler: byLength(lengths) })).toHaveLength(2)
    const orders = new Set<string>()
    for (let seed = 0; seed < 20; seed++) {
      const batches = await indices(7, {
        batchSize: 3,
        shuffle: true,
        sampler: byLength(lengths),
        generator: new Generator(seed),
      })
      expect(batches.flat().sort()).toEqual([0, 1, 2, 3, 4, 5, 6])
      expect(batches.map((batch) => batch.map((i) => lengths[i]).join()).sort()).toEqual(['1,1,3', '3,3,5', '9'])
      orders.add(JSON.stringify(batches))
    }
    expect(orders.size).toBeGreaterThan(5)
  })

  it('by tokens fill batches up to them, padding counted', async () => {
    const loader = new DataLoader(items(7), { sampler: byLength(lengths, { tokens: 9 }), shuffle: true })
    const batches = await all(loader)
    expect(loader.length).toBe(batches.length)
    expect(batches.map((batch) => batch.map((i) => lengths[i]).join()).sort()).toEqual(['1,1,3', '3,3', '5', '9'])
  })

  const wrong: readonly (readonly [string, () => unknown, string])[] = [
    [
      'other numbers of weights',
      () => new DataLoader([1, 2], { sampler: weighted([1]) }),
      '[weighted] there are 1 weights',
    ],
    ['an order twice', () => new DataLoader([1], { sampler: weighted([1]), shuffle: true }), 'leave shuffle out'],
    ['weights below 0', () => weighted([1, -1]), '[weighted] the weight at 1 is -1'],
    ['weights of text', () => weighted(['a'] as never), "[weighted] weights hold 'a' at 0"],
    [
      'more rows than weigh',
      () => weighted([1, 0], { count: 2, replacement: false }),
      'cannot choose 2 of the 1 weights above 0',
    ],
    [
      'other numbers of lengths',
      () => new DataLoader([1, 2], { sampler: byLength([1]) }),
      '[byLength] there are 1 lengths',
    ],
    ['half a length', () => byLength([0.5]), '[byLength] the length of row 0 is 0.5'],
    ['a row beyond the tokens', () => byLength([3, 9], { tokens: 8 }), 'row 1 has 9 tokens, but a batch holds 8'],
    ['no tokens', () => byLength([3], { tokens: 0 }), 'tokens is 0'],
    [
      'ragged batches dropped',
      () => new DataLoader([1], { sampler: byLength([3], { tokens: 9 }), dropLast: true }),
      'leave dropLast out',
    ],
  ]
  it.each(wrong)('refuse %s', (_title, make, message) => expect(make).toThrow(message))
})

describe('the place of a loader', () => {
  const plain = (batches: readonly unknown[]) => batches.map((batch) => JSON.stringify(batch))
  const loaders: readonly (readonly [string, () => DataLoader<number, unknown>])[] = [
    ['in order', () => new DataLoader(items(11), { batchSize: 2 })],
    ['shuffled', () => new DataLoader(items(11), { batchSize: 2, shuffle: true, generator: new Generator(4) })],
    ['without prefetch', () => new DataLoader(items(11), { shuffle: true, prefetch: 0, generator: new Generator(4) })],
    [
      'by length',
      () =>
        new DataLoader(items(11), {
          shuffle: true,
          sampler: byLength([3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5], { tokens: 10 }),
          generator: new Generator(4),
        }),
    ],
    [
      'by weight',
      () => new DataLoader(items(2), { sampler: weighted([1, 2], { count: 9 }), generator: new Generator(4) }),
    ],
    ['in a stream', () => new DataLoader(stream(11), { batchSize: 2, prefetch: 5, collate: (all) => [...all] })],
    [
      'in a shuffled stream',
      () =>
        new DataLoader(stream(11).shuffle(4, { generator: new Generator(9) }), {
          batchSize: 3,
          collate: (all) => [...all],
        }),
    ],
  ]

  it.each(loaders)('%s is where the next pass goes on, and those after it are the same', async (_name, make) => {
    const whole = make()
    const passes = [plain(await all(whole)), plain(await all(whole)), plain(await all(whole))]
    for (let pass = 0; pass < 2; pass++)
      for (let cut = 0; cut <= (passes[pass]?.length ?? 0); cut++) {
        const loader = make()
        for (let before = 0; before < pass; before++) await all(loader)
        let state = loader.stateDict()
        let given = 0
        if (cut > 0)
          for await (const _ of loader) {
            state = loader.stateDict()
            if (++given === cut) break
          }
        // The place is the same after the loop was left.
        expect(loader.stateDict()).toEqual(state)
        const later = make()
        later.loadStateDict(JSON.parse(JSON.stringify(state)) as DataLoaderState)
        expect(later.stateDict()).toEqual(state)
        expect(plain(await all(later))).toEqual(passes[pass]?.slice(cut))
        expect(plain(await all(later))).toEqual(passes[pass + 1])
        expect(later.stateDict().epoch).toBe(pass + 2)
      }
  })

  it('of the default generator leaves that to who saves it', async () => {
    manualSeed(6)
    const loader = new DataLoader(items(9), { shuffle: true })
    const seen: unknown[] = []
    for await (const batch of loader) if (seen.push(batch) === 3) break
    const state = loader.stateDict()
    expect(state.generator).toBeUndefined()
    manualSeed(99)
    const later = new DataLoader(items(9), { shuffle: true })
    later.loadStateDict(state)
    const rest = await all(later)
    expect([...seen, ...rest].flat().sort()).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8])
    manualSeed(6)
    expect(plain(await all(new DataLoader(items(9), { shuffle: true })))).toEqual(plain([...seen, ...rest]))
  })

  it('is refused for other data, and for what is none', () => {
    const loader = new DataLoader(items(3))
    const before = loader.stateDict()
    expect(() => loader.loadStateDict({ epoch: 0, batch: 1, rows: 4 })).toThrow('the state is of 4 rows')
    expect(() => loader.loadStateDict(null as never)).toThrow('[DataLoader.loadStateDict] the state is null')
    expect(() => loader.loadStateDict({ epoch: -1, batch: 0 })).toThrow('epoch in the state is -1')
    expect(() => loader.loadStateDict({ epoch: 0, batch: 0, order: 3 as never })).toThrow('[DataLoader.loadStateDict]')
    expect(loader.stateDict()).toEqual(before)
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
      '[FunctionDataset] needs a function get(index)',
    ],
    ['a length of text', () => new FunctionDataset('2' as never, Number, String), '[FunctionDataset] length is'],
    ['no dataset', () => new Subset(null as never, [0]), '[Subset] the dataset needs a length'],
    ['no indices', () => new Subset(items(3), 2 as never), '[Subset] the indices are the number 2'],
    ['an index outside', () => new Subset(items(3), [0, 3]), '[Subset] index 3 lies outside the 3 items'],
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
