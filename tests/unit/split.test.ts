/** Parts of rows share none, have their sizes, and keep classes and groups. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Dataset, FunctionDataset, Generator, IterableDataset, kFold, randomSplit, splitRows } from '../../lib/index.js'
import { takeOutput } from '../setup.js'

interface Row {
  readonly id: number
  readonly label: string
  readonly patient: number
}
const rows: readonly Row[] = Array.from({ length: 100 }, (_, id) => ({
  id,
  label: id % 10 === 0 ? 'rare' : 'usual',
  patient: Math.floor(id / 5),
}))
const idsOf = (part: readonly Row[]) => part.map(({ id }) => id)
const rare = (part: readonly Row[]) => part.filter(({ label }) => label === 'rare').length
const everyId = rows.map(({ id }) => id)
const sorted = (ids: readonly number[]) => [...ids].sort((a, b) => a - b)

describe('a split', () => {
  it('has all rows, each in one part, by share or by number', () => {
    const { train, validation, test } = splitRows(rows, { validation: 0.1, test: 20, seed: 1 })
    expect([train.length, validation.length, test.length]).toEqual([70, 10, 20])
    expect(sorted([...idsOf(train), ...idsOf(validation), ...idsOf(test)])).toEqual(everyId)
    expect(idsOf(train)).toEqual(sorted(idsOf(train)))
    expect(splitRows(rows, { validation: 0.1, test: 20, seed: 1 }).validation).toEqual(validation)
    expect(splitRows(rows, { validation: 0.1, test: 20, seed: 2 }).validation).not.toEqual(validation)
  })

  it('gives each part its share of each class', () => {
    for (const stratify of ['label', (row: Row) => row.label, rows.map(({ label }) => label)] as const) {
      const { train, validation, test } = splitRows(rows, { validation: 0.2, test: 0.1, stratify, seed: 0 })
      expect([rare(train), rare(validation), rare(test)]).toEqual([7, 2, 1])
    }
  })

  it('of any classes is within one row of each share', () => {
    const classes = fc.array(fc.integer({ min: 0, max: 4 }), { minLength: 12, maxLength: 60 })
    fc.assert(
      fc.property(classes, fc.double({ min: 0.1, max: 0.6, noNaN: true }), (drawn, share) => {
        const labels = drawn.filter((label) => drawn.filter((each) => each === label).length > 1)
        const { train, validation } = splitRows(labels, { validation: share, stratify: labels, seed: 3 })
        expect(validation.length).toBe(Math.round(share * labels.length))
        expect(train.length + validation.length).toBe(labels.length)
        for (const label of new Set(labels)) {
          const [all, own] = [labels, validation].map((list) => list.filter((each) => each === label).length)
          expect(Math.abs((own as number) - ((all as number) * validation.length) / labels.length)).toBeLessThan(1)
        }
      }),
    )
  })

  it('keeps groups whole, with classes too', () => {
    for (const stratify of [undefined, 'label'] as const) {
      const { train, validation } = splitRows(rows, {
        validation: 0.2,
        groups: 'patient',
        ...(stratify && { stratify }),
        seed: 5,
      })
      const seen = new Set(train.map(({ patient }) => patient))
      expect(validation.filter(({ patient }) => seen.has(patient))).toEqual([])
      expect(validation.length).toBe(20)
    }
  })

  it('of a dataset is one of parts of it', async () => {
    const dataset = new FunctionDataset(10, (i) => i)
    const { train, validation } = splitRows(dataset, { validation: 3, stratify: (i) => i % 2, seed: 0 })
    expect([train.length, validation.length]).toEqual([7, 3])
    expect(train).toBeInstanceOf(Dataset)
    expect(sorted([...train.indices, ...validation.indices])).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
  })

  it('of a stream gives each row to one part, the same in each pass, and goes on', async () => {
    const stream = new IterableDataset(() => Array.from({ length: 2000 }, (_, i) => i))
    const { train, validation, test } = splitRows(stream, { validation: 0.2, test: 0.1, seed: 4 })
    const parts = [await train.toArray(), await validation.toArray(), await test.toArray()]
    expect(sorted(parts.flat())).toEqual(Array.from({ length: 2000 }, (_, i) => i))
    // Three standard deviations of a binomial are 54 and 40 rows.
    expect(Math.abs((parts[1]?.length ?? 0) - 400)).toBeLessThan(54)
    expect(Math.abs((parts[2]?.length ?? 0) - 200)).toBeLessThan(41)
    expect(await validation.toArray()).toEqual(parts[1])
    const pass = validation.pass()
    for (let i = 0; i < 3; i++) await pass.next()
    expect((await validation.pass(pass.state()).next()).value).toBe(parts[1]?.[3])
    const grouped = splitRows(stream, { validation: 0.5, groups: (i) => i % 7, seed: 4 })
    const groups = new Set((await grouped.validation.toArray()).map((i) => i % 7))
    expect((await grouped.train.toArray()).filter((i) => groups.has(i % 7))).toEqual([])
  })

  const stream = new IterableDataset(() => rows)
  const wrong: readonly (readonly [string, () => unknown, string])[] = [
    ['nothing held back', () => splitRows(rows, {}), '[splitRows] no rows are held out'],
    ['a share of 0', () => splitRows(rows, { validation: 0 }), '[splitRows] validation is 0'],
    ['one row and a half', () => splitRows(rows, { validation: 1.5 }), '[splitRows] validation is 1.5'],
    [
      'all held back',
      () => splitRows(rows, { validation: 60, test: 40 }),
      '[splitRows] train would be empty: validation is 60, test is 40',
    ],
    ['a share of no row', () => splitRows([1, 2], { validation: 0.1 }), '[splitRows] validation would be empty'],
    [
      'a field that is none',
      () => splitRows(rows, { validation: 9, stratify: 'mood' as never }),
      "row 0 has no 'mood' to stratify by",
    ],
    [
      'classes of NaN',
      () => splitRows(rows, { validation: 9, stratify: () => Number.NaN }),
      'stratify of row 0 is the number NaN',
    ],
    [
      'too few classes',
      () => splitRows(rows, { validation: 9, groups: [1] }),
      'groups has 1 entries, but there are 100 rows',
    ],
    [
      'a class of one row',
      () => splitRows(['a', 'b', 'a', 'c', 'a', 'b'], { validation: 2, stratify: (row) => row }),
      "[splitRows] 1 of 3 classes to stratify by have one row, which can be in one part only: 'c' (row 3); give each class",
    ],
    [
      'a class of one row, of a dataset in groups',
      () => {
        const dataset = new FunctionDataset(8, (i) => ({ id: i >> 1, label: Math.min(i, 1) }))
        return splitRows(dataset, { validation: 2, stratify: 'label', groups: 'id' })
      },
      '1 of 2 classes to stratify by have one row, which can be in one part only: 0 (row 0)',
    ],
    [
      'one group',
      () => splitRows(rows, { validation: 9, groups: () => 0 }),
      'no group is left for validation: there are 1 groups',
    ],
    ['a seed of text', () => splitRows(rows, { validation: 9, seed: 'x' as never }), "seed is 'x'"],
    ['no rows', () => splitRows(3 as never, { validation: 9 }), '[splitRows] rows are the number 3'],
    ['an option that is none', () => splitRows(rows, { valid: 3 } as never), 'there is no option valid'],
    [
      'classes of rows that come later',
      () => splitRows(new FunctionDataset(3, async (i) => i), { validation: 1, stratify: (i) => i }),
      'give stratify as a list',
    ],
    ['rows of a stream by number', () => splitRows(stream, { validation: 3 }), 'only shares can be held out'],
    ['classes of a stream', () => splitRows(stream, { validation: 0.1, stratify: 'label' }), 'classes are not known'],
    ['folds of a stream', () => kFold(stream as never), '[kFold] the rows are a stream'],
    ['a single fold', () => kFold(rows, { folds: 1 }), '[kFold] folds is 1'],
    ['more folds than rows', () => kFold([1, 2], { folds: 3 }), 'to the number of rows, 2'],
    [
      'more folds than groups',
      () => kFold(rows, { folds: 5, groups: (row) => row.id % 3 }),
      '[kFold] no group is left for fold',
    ],
    ['lengths that miss rows', () => randomSplit(rows, [50, 49]), '[randomSplit] lengths [50, 49] add up to 99'],
    ['lengths below 0', () => randomSplit(rows, [-1, 101]), 'must be numbers of at least 0'],
  ]
  it.each(wrong)('refuses %s', (_title, make, message) => expect(make).toThrow(message))
})

describe('folds', () => {
  it('hold back each row once, classes in proportion', () => {
    const folds = kFold(rows, { folds: 4, stratify: 'label', seed: 2 })
    expect(sorted(folds.flatMap(({ validation }) => idsOf(validation)))).toEqual(everyId)
    for (const { train, validation } of folds) {
      expect(sorted([...idsOf(train), ...idsOf(validation)])).toEqual(everyId)
      expect(validation.length).toBe(25)
      expect([2, 3]).toContain(rare(validation))
    }
  })

  it('with fewer rows of a class than folds are told of', async () => {
    kFold(rows, { folds: 10, stratify: 'label', seed: 2 })
    kFold(rows, { folds: 11, stratify: 'label', seed: 2 })
    await new Promise((resolve) => setImmediate(resolve))
    expect(takeOutput()).toEqual([
      expect.stringContaining(
        "[kFold] 1 classes have fewer rows than the 11 folds, some of which hold out none of them: 'rare' (10)",
      ),
    ])
  })

  it('keep groups whole', () => {
    for (const { train, validation } of kFold(rows, { folds: 4, groups: 'patient', seed: 2 })) {
      const seen = new Set(train.map(({ patient }) => patient))
      expect(validation.some(({ patient }) => seen.has(patient))).toBe(false)
      expect(validation.length).toBe(25)
    }
  })
})

describe('a random split', () => {
  it('has parts of these lengths, or shares', () => {
    const parts = randomSplit(rows, [70, 30], { generator: new Generator(1) })
    expect(parts.map(({ length }) => length)).toEqual([70, 30])
    expect(sorted(parts.flatMap(idsOf))).toEqual(everyId)
    expect(randomSplit([1, 2, 3, 4, 5], [0.5, 0.5]).map(({ length }) => length)).toEqual([3, 2])
    expect(randomSplit(rows, [0.7, 0.2, 0.1]).map(({ length }) => length)).toEqual([70, 20, 10])
    const [part] = randomSplit(new FunctionDataset(4, (i) => i), [2, 2])
    expect(part?.length).toBe(2)
  })
})
