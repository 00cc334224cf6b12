/** Loaders whose batches are made by threads: the same batches, and every way that a thread can fail. */
import { describe, expect, it } from 'vitest'
import {
  DataLoader,
  type DataLoaderOptions,
  type DataLoaderState,
  type Dataset,
  FunctionDataset,
  Generator,
  IterableDataset,
  moduleDataset,
  Tensor,
  ValueError,
  WorkerError,
} from '../../lib/index.js'

interface Row {
  readonly index: number
  readonly epoch: number
  readonly drawn: number
  readonly image: Float32Array
  readonly name: string
}
type Fault = { readonly [name: string]: number | boolean }

const module = new URL('./loader-rows.mjs', import.meta.url)
const rows = (length: number, fault: Fault = {}): Promise<Dataset<Row>> =>
  moduleDataset(module, { args: [length, fault] })

/** Batches as text, so that two can be compared. */
const plain = (batch: unknown): string =>
  batch instanceof Tensor
    ? JSON.stringify([batch.dtype, batch.shape, batch.toArray()])
    : JSON.stringify(
        Object.entries(batch as object).map(([name, part]) => [name, part instanceof Tensor ? plain(part) : part]),
      )

async function all<B>(batches: AsyncIterable<B>): Promise<string[]> {
  const texts: string[] = []
  for await (const batch of batches) texts.push(plain(batch))
  return texts
}

const loader = (dataset: Dataset<Row>, workers: number, options: DataLoaderOptions<Row> = {}) =>
  new DataLoader(dataset, { batchSize: 3, shuffle: true, generator: new Generator(5), workers, ...options })

describe('a loader with workers', () => {
  it('gives the batches that it gives without, pass after pass, of parts of a dataset too', async () => {
    const whole = await rows(10, { slow: true })
    const part = whole.concat(whole.select([7, 1, 2]).skip(1)).take(11)
    const [alone, together] = [loader(part, 0), loader(part, 2)]
    for (let pass = 0; pass < 2; pass++) {
      const expected = await all(alone)
      expect(expected).toHaveLength(4)
      expect(await all(together)).toEqual(expected)
    }
    expect(together.stateDict()).toEqual(alone.stateDict())
  })

  it('gives numbers the dtypes that it chooses, also where the dataset makes batches itself', async () => {
    const dtypes = { index: 'int32', epoch: 'int32' } as const
    const dataset = await rows(4)
    const [alone, together] = [0, 1].map((workers) => all(loader(dataset, workers, { dtypes })))
    expect(await together).toEqual(await alone)
    expect(JSON.stringify(await together)).toContain('int32')
  })

  it('goes on where its state was taken, with batches made ahead neither lost nor made twice', async () => {
    const dataset = await rows(10)
    const expected = await all(loader(dataset, 0))
    const first = loader(dataset, 1, { prefetch: 4 })
    const seen: string[] = []
    for await (const batch of first) if (seen.push(plain(batch)) === 2) break
    const later = loader(dataset, 0)
    later.loadStateDict(JSON.parse(JSON.stringify(first.stateDict())) as DataLoaderState)
    expect([...seen, ...(await all(later))]).toEqual(expected)
    // The abandoned loader continues with its next pass.
    expect(first.stateDict().epoch).toBe(0)
  })

  it('gives the error of a row where its batch is, with the index and the stack of the thread', async () => {
    const seen: string[] = []
    const broken = new DataLoader(await rows(8, { throws: 5 }), { batchSize: 2, workers: 1, prefetch: 4 })
    const error = await (async () => {
      for await (const batch of broken) seen.push(plain(batch))
    })().catch((thrown: unknown) => thrown)
    expect(seen).toHaveLength(2)
    expect(error).toBeInstanceOf(WorkerError)
    const { message, row, cause } = error as WorkerError & { cause: Error }
    expect(message).toBe('[DataLoader] row 5 cannot be made: row 5 is broken')
    expect(row).toBe(5)
    expect(cause.name).toBe('TypeError')
    expect(cause.stack).toContain('loader-rows.mjs')
    // Without workers it is the program's own error, with the same message.
    const alone = new DataLoader(await rows(8, { throws: 5 }), { batchSize: 2 })
    for (let pass = 0; pass < 2; pass++) {
      const own = await all(alone).catch((thrown: unknown) => thrown as TypeError & { row: number })
      expect(own).toBeInstanceOf(TypeError)
      expect(own).toMatchObject({ message, row })
      expect((own as TypeError).stack).toContain(`TypeError: ${message}\n`)
    }
  })

  it('names the row of an error once, and leaves errors alone that have none', async () => {
    const broken = new RangeError('is broken')
    const same = new FunctionDataset(4, (i) => {
      if (i > 1) throw broken
      return i
    })
    const loader = new DataLoader(
      same.map((i) => i),
      { batchSize: 2 },
    )
    for (let pass = 0; pass < 2; pass++)
      await expect(all(loader)).rejects.toThrow(/^\[DataLoader\] row 2 cannot be made: is broken$/)
    const batch = () => {
      throw new RangeError('is whole')
    }
    await expect(all(new DataLoader({ length: 1, batch }))).rejects.toThrow(/^is whole$/)
  })

  it.each([
    ['ends', { exits: 4 }, 'a worker ended with exit code 3'],
    ['has other rows', { shorter: true }, 'the dataset has 7 rows in a worker, but 8'],
  ])('throws where a thread %s', async (_name, fault, message) => {
    const batches = all(new DataLoader(await rows(8, fault as Fault), { batchSize: 2, workers: 1 }))
    await expect(batches).rejects.toThrow(WorkerError)
    await expect(batches).rejects.toThrow(message)
  })

  it('ends the wait for a batch that never comes when the pass is left', async () => {
    const pass = new DataLoader(await rows(4, { hangs: 1 }), { workers: 1 })[Symbol.asyncIterator]()
    await pass.next()
    const waiting = pass.next()
    const ended = pass.return()
    expect(await waiting).toEqual({ done: true, value: undefined })
    expect(await ended).toEqual({ done: true, value: undefined })
  })

  it('refuses what threads cannot make', async () => {
    const dataset = await rows(3)
    const wrong: readonly (readonly [make: () => unknown, message: string])[] = [
      [() => new DataLoader(new FunctionDataset(1, (i) => i), { workers: 1 }), 'the rows of a FunctionDataset'],
      [
        () =>
          new DataLoader(
            dataset.map((row) => row),
            { workers: 1 },
          ),
        'cannot run the function of map',
      ],
      [() => new DataLoader([1], { workers: 1 }), 'the rows are an array'],
      [() => new DataLoader(new IterableDataset(() => [1]), { workers: 1 }), 'the rows are an IterableDataset'],
      [() => new DataLoader(dataset, { workers: 1, collate: (own) => own as never }), 'workers cannot call collate'],
      [() => new DataLoader(dataset, { workers: 2, prefetch: 1 }), 'give a prefetch of at least 2'],
      [() => new DataLoader(dataset, { workers: -1 }), 'workers is -1'],
      [() => new DataLoader(dataset, { workers: 257 }), 'workers is 257'],
      [() => new DataLoader(dataset, { mix: [1 as never] }), 'mix is [1]'],
    ]
    for (const [make, message] of wrong) {
      expect(make).toThrow(ValueError)
      expect(make).toThrow(message)
    }
  })
})

describe('a dataset of a module', () => {
  it('is an array that the module gives, or what has a length and rows', async () => {
    expect(await (await moduleDataset(module, { name: 'few' })).rows([2, 0])).toEqual([3, 1])
    expect((await rows(4)).length).toBe(4)
  })

  it.each([
    ['a path', () => moduleDataset('./rows.js'), 'it is unknown to which folder the path'],
    ['no module', () => moduleDataset(3 as never), 'the module is the number 3'],
    ['a module that is not there', () => moduleDataset(new URL('./none.mjs', import.meta.url)), 'none.mjs'],
    ['a function that is not there', () => moduleDataset(module, { name: 'none' }), 'exports nothing as none'],
    ['what is no function', () => moduleDataset(module, { name: 'numbers' }), 'exports an array as numbers'],
    ['what gives no rows', () => moduleDataset(module, { name: 'nothing' }), 'nothing of'],
    ['arguments that stay here', () => moduleDataset(module, { args: [() => 1] }), 'args must be plain data'],
  ])('refuses %s', async (_name, make, message) => {
    await expect(make()).rejects.toThrow(message)
    await expect(make()).rejects.toThrow('[moduleDataset]')
  })
})

describe('random numbers of rows', () => {
  it('are those of the seed, the pass and the row, in any order', async () => {
    const dataset = await rows(4)
    const drawn = async (options: DataLoaderOptions<Row>) => {
      const found = new Map<number, number>()
      for await (const { index, drawn: number } of new DataLoader(dataset, { generator: new Generator(1), ...options }))
        found.set(index.item(), number.item())
      return found
    }
    const [inOrder, shuffled] = [await drawn({}), await drawn({ shuffle: true })]
    expect(new Set(inOrder.values()).size).toBe(4)
    for (const [index, number] of inOrder) expect(shuffled.get(index)).toBe(number)
    const other = await drawn({ generator: new Generator(2) })
    expect(other.get(0)).not.toBe(inOrder.get(0))
    const passes = new DataLoader(dataset, { batchSize: 4, generator: new Generator(1) })
    expect(await all(passes)).not.toEqual(await all(passes))
  })

  it('are shared by the steps of a row, so that no two draw the same', async () => {
    const drawn = new FunctionDataset(1, () => 0)
      .map((_, { generator }) => generator.random())
      .map((before, { generator }) => [before, generator.random()] as const)
    const [before, after] = await drawn.get(0)
    expect(before).not.toBe(after)
  })
})

describe('mix', () => {
  it('sends each batch through one of the steps, by numbers of its own', async () => {
    const made = () =>
      new DataLoader([0, 0, 0, 0, 0, 0, 0, 0], {
        generator: new Generator(1),
        mix: [(batch, generator) => batch.add(generator.random()), (batch) => batch.sub(1)],
      })
    const values = (await all(made())).map((text) => (JSON.parse(text) as [string, number[], number[]])[2][0] as number)
    expect(values.filter((value) => value === -1).length).toBeGreaterThan(0)
    expect(new Set(values.filter((value) => value !== -1)).size).toBeGreaterThan(1)
    expect(await all(made())).toEqual(await all(made()))
  })
})
