/** Streams of rows, the steps from rows to rows, and passes that continue after an interruption. */
import { describe, expect, it } from 'vitest'
import { FunctionDataset, Generator, IterableDataset, type PassState, TensorDataset, tensor } from '../../lib/index.js'

const numbers = (n: number, from = 0) =>
  new IterableDataset(function* () {
    for (let i = from; i < from + n; i++) yield i
  })
/** An iterable that tells its place, and the place from which it began. */
const seeking = (n: number, begun: number[] = []) =>
  new IterableDataset<number>((state) => {
    let next = (state as number | undefined) ?? 0
    begun.push(next)
    return {
      [Symbol.iterator]: () => ({
        next: () => (next < n ? { done: false as const, value: next++ } : { done: true as const, value: undefined }),
        state: () => next,
      }),
    }
  })

const steps: readonly (readonly [
  string,
  (rows: IterableDataset<number>) => IterableDataset<unknown>,
  unknown[] | null,
])[] = [
  ['map', (rows) => rows.map(async (i) => i * 2), [0, 2, 4, 6, 8, 10, 12]],
  ['filter', (rows) => rows.filter((i) => i % 3 === 1), [1, 4]],
  ['take', (rows) => rows.take(3), [0, 1, 2]],
  ['take of none', (rows) => rows.take(0), []],
  ['take of more than there are', (rows) => rows.take(9), [0, 1, 2, 3, 4, 5, 6]],
  ['skip', (rows) => rows.skip(5), [5, 6]],
  ['skip of more than there are', (rows) => rows.skip(9), []],
  ['concat', (rows) => rows.concat(numbers(0), numbers(2, 20)), [0, 1, 2, 3, 4, 5, 6, 20, 21]],
  ['interleave', (rows) => rows.interleave(numbers(2, 20), numbers(1, 30)), [0, 20, 30, 1, 21, 2, 3, 4, 5, 6]],
  ['batches', (rows) => rows.batches(3, { collate: (all) => [...all] }), [[0, 1, 2], [3, 4, 5], [6]]],
  ['batches, whole ones', (rows) => rows.batches(3, { dropLast: true, collate: (all) => all.length }), [3, 3]],
  ['shuffle', (rows) => rows.shuffle(3, { generator: new Generator(1) }), null],
  ['shuffle of all', (rows) => rows.shuffle(100, { generator: new Generator(1) }), null],
  [
    'all of them',
    (rows) =>
      rows
        .skip(1)
        .shuffle(4, { generator: new Generator(3) })
        .interleave(numbers(5, 50).map((i) => i + 1))
        .filter((i) => i % 2 === 0)
        .take(4)
        .concat(numbers(2))
        .batches(2, { collate: (all) => all.join() }),
    null,
  ],
]

describe('rows as they come', () => {
  it.each(steps)('%s gives what it should, in each pass', async (_name, step, expected) => {
    const rows = step(numbers(7))
    if (expected) for (let pass = 0; pass < 2; pass++) expect(await rows.toArray()).toEqual(expected)
  })

  it.each(steps)('%s goes on from each of its places, of rows that know theirs or not', async (_name, step) => {
    for (const source of [numbers(7), seeking(7)]) {
      const whole = await step(source).toArray()
      for (let cut = 0; cut <= whole.length; cut++) {
        const pass = step(source).pass()
        for (let i = 0; i < cut; i++) expect((await pass.next()).value).toEqual(whole[i])
        const state = JSON.parse(JSON.stringify(pass.state())) as PassState
        await pass.return()
        const rest = step(source).pass(state)
        const rows: unknown[] = []
        for await (const row of rest) rows.push(row)
        expect(rows).toEqual(whole.slice(cut))
        expect(rest.state().given).toBe(whole.length)
      }
    }
  })

  it('are begun where they were, if they know their place', async () => {
    const begun: number[] = []
    const rows = seeking(9, begun).map((i) => i)
    const pass = rows.pass()
    for (let i = 0; i < 4; i++) await pass.next()
    expect((await rows.pass(pass.state()).next()).value).toBe(4)
    expect(begun).toEqual([0, 4])
  })

  it('shuffled are the same for a seed, others in each pass, and stay within their run', async () => {
    const make = () => numbers(100).shuffle(10, { generator: new Generator(7) })
    const [one, other] = [make(), make()]
    const passes = [await one.toArray(), await one.toArray()]
    expect([await other.toArray(), await other.toArray()]).toEqual(passes)
    expect(passes[0]).not.toEqual(passes[1])
    for (const rows of passes) {
      expect([...rows].sort((a, b) => a - b)).toEqual(Array.from({ length: 100 }, (_, i) => i))
      for (const [i, row] of rows.entries()) expect(Math.floor(row / 10)).toBe(Math.floor(i / 10))
    }
    // A later process, whose generator is at its beginning, has the passes that follow.
    const cut = make().pass()
    await cut.next()
    const later = make()
    for await (const _ of later.pass(cut.state()));
    expect(await later.toArray()).toEqual(passes[1])
  })

  it('are let go when a pass ends early', async () => {
    let closed = 0
    const open = () =>
      new IterableDataset(function* () {
        try {
          for (let i = 0; ; i++) yield i
        } finally {
          closed++
        }
      })
    expect(await open().take(2).toArray()).toEqual([0, 1])
    expect(closed).toBe(1)
    for await (const row of open()
      .map((i) => i)
      .interleave(open())
      .shuffle(3)
      .filter(() => true)) {
      expect(row).toBeLessThan(3)
      break
    }
    expect(closed).toBe(3)
  })

  it('that are fewer than before are no place to go on', async () => {
    await expect(numbers(2).pass({ given: 3 }).next()).rejects.toThrow('the rows end after 2, but the state is after 3')
  })

  const wrong: readonly (readonly [string, () => unknown, string])[] = [
    ['no function', () => new IterableDataset([1] as never), '[IterableDataset] needs a function'],
    ['a map by text', () => numbers(1).map('x' as never), '[map] needs a function of a row'],
    ['a filter by nothing', () => numbers(1).filter(undefined as never), '[filter] needs a function of a row'],
    ['half a row', () => numbers(1).take(0.5), '[take] count is 0.5'],
    ['a buffer of none', () => numbers(1).shuffle(0), '[shuffle] buffer is 0'],
    ['a buffer of too many', () => numbers(1).shuffle(2 ** 27), 'give a smaller buffer'],
    ['a seed for a generator', () => numbers(1).shuffle(2, { generator: 3 as never }), '[shuffle] generator is 3'],
    ['an array', () => numbers(1).concat([1] as never), '[concat] takes iterable datasets, but got an array'],
    ['batches of none', () => numbers(1).batches(0), '[batches] size is 0'],
    [
      'two ways',
      () => numbers(1).batches(2, { collate: String, dtypes: 'int32' }),
      '[batches] dtypes are only for the default',
    ],
    ['a state that is none', () => numbers(1).pass(3 as never), '[IterableDataset.pass] the state is the number 3'],
  ]
  it.each(wrong)('refuse %s', (_title, make, message) => expect(make).toThrow(message))

  it('are asked of what has some', async () => {
    await expect(new IterableDataset(() => 3 as never).toArray()).rejects.toThrow('the function gave the number 3')
  })
})

describe('rows by index', () => {
  const letters = new FunctionDataset(5, async (i) => 'abcde'[i] as string)
  const all = async <R>(rows: { length: number; get(i: number): R | Promise<R> }) =>
    Promise.all(Array.from({ length: rows.length }, (_, i) => rows.get(i)))

  it('have the same steps, by index', async () => {
    const upper = letters.map((letter) => letter.toUpperCase())
    expect(await all(upper)).toEqual(['A', 'B', 'C', 'D', 'E'])
    expect(await upper.batch([1, 3])).toEqual(['B', 'D'])
    expect(await all(letters.take(2))).toEqual(['a', 'b'])
    expect(await all(letters.take(9))).toHaveLength(5)
    expect(await all(letters.skip(3))).toEqual(['d', 'e'])
    expect(await all(letters.skip(9))).toEqual([])
    expect(await letters.skip(3).batch([1])).toEqual(['e'])
    expect(await all(letters.select([4, 0]).concat(upper.take(1)))).toEqual(['e', 'a', 'A'])
    expect(await letters.filter((letter) => letter > 'b').toArray()).toEqual(['c', 'd', 'e'])
    const [row] = new TensorDataset(
      tensor([
        [1, 2],
        [3, 4],
      ]),
    ).get(1)
    expect(row?.toArray()).toEqual([3, 4])
  })

  it('come as a stream that goes on by index', async () => {
    const pass = letters.stream().pass()
    await pass.next()
    await pass.next()
    const rest: string[] = []
    for await (const letter of letters.stream().pass(pass.state())) rest.push(letter)
    expect(rest).toEqual(['c', 'd', 'e'])
  })

  it('outside are refused', () => {
    for (const rows of [letters.take(2), letters.skip(1), letters.concat(letters), letters.select([0])])
      expect(() => rows.get(rows.length)).toThrow('lies outside')
  })
})

describe('a state of other steps', () => {
  const even = (i: number) => i % 2 === 0
  const twice = (i: number) => 2 * i
  const chains: { readonly [name: string]: () => IterableDataset<number> } = {
    read: () => numbers(6),
    map: () => numbers(6).map(twice),
    'map, filter': () => numbers(6).map(twice).filter(even),
    'filter, map': () => numbers(6).filter(even).map(twice),
    'filter, filter': () => numbers(6).filter(even).filter(even),
    take: () => numbers(6).take(4),
    'concat, map': () => numbers(3).concat(numbers(3)).map(twice),
    'interleave, map': () => numbers(3).interleave(numbers(3)).map(twice),
  }

  it.each(Object.keys(chains))('is refused by %s, and one of the same goes on', async (name) => {
    const rows = (chains[name] as () => IterableDataset<number>)()
    const whole = await rows.toArray()
    for (const [other, make] of Object.entries(chains)) {
      const pass = make().pass()
      await pass.next()
      const state = JSON.parse(JSON.stringify(pass.state())) as PassState
      await pass.return()
      const rest = (async () => {
        const seen: number[] = []
        for await (const row of rows.pass(state)) seen.push(row)
        return seen
      })()
      if (other === name) expect(await rest).toEqual(whole.slice(1))
      else await expect(rest).rejects.toThrow('continue with the same steps in the same order')
    }
  })

  it('is named', () => {
    expect(() => numbers(3).map(twice).pass({ given: 1, step: 'filter' })).toThrow(
      "the state is of 'filter', but these are the rows of 'map'",
    )
    expect(() => numbers(3).pass({ given: 1, step: 'filter' })).toThrow('these are rows that are read')
  })
})
