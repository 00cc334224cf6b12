/** Rows that become batches, and rows that cannot. */
import { describe, expect, it } from 'vitest'
import {
  type CollateOptions,
  DataLoader,
  defaultCollate,
  nn,
  optim,
  Tensor,
  Trainer,
  tensor,
  zeros,
} from '../../lib/index.js'

/** Tensors as [dtype, values]. */
function plain(batch: unknown): unknown {
  if (batch instanceof Tensor) return [batch.dtype, batch.toArray()]
  if (Array.isArray(batch)) return batch.map(plain)
  if (typeof batch !== 'object' || batch === null) return batch
  return Object.fromEntries(Object.entries(batch).map(([name, value]) => [name, plain(value)]))
}

const batches: readonly (readonly [string, readonly unknown[], unknown, CollateOptions?])[] = [
  ['numbers', [1, 2.5], ['float32', [1, 2.5]]],
  ['numbers of a dtype', [1, 2], ['int32', [1, 2]], { dtypes: 'int32' }],
  ['booleans', [true, false], ['bool', [true, false]]],
  ['bigints', [1n, 2n], ['int32', [1, 2]]],
  ['text', ['a', ''], ['a', '']],
  [
    'typed arrays',
    [Int32Array.of(1, 2), Int32Array.of(3, 4)],
    [
      'int32',
      [
        [1, 2],
        [3, 4],
      ],
    ],
  ],
  ['buffers', [Buffer.from([1]), Buffer.from([2])], ['uint8', [[1], [2]]]],
  [
    'tensors',
    [tensor([1, 2]), tensor([3, 4])],
    [
      'float32',
      [
        [1, 2],
        [3, 4],
      ],
    ],
  ],
  ['tensors of another dtype', [tensor([1]), tensor([3])], ['int32', [[1], [3]]], { dtypes: 'int32' }],
  [
    'lists of numbers',
    [
      [1, 2],
      [3, 4],
    ],
    [
      'float32',
      [
        [1, 2],
        [3, 4],
      ],
    ],
  ],
  ['empty lists', [[], []], ['float32', [[], []]]],
  [
    'tuples of lists',
    [
      [[1, 2], [3]],
      [[4, 5], [6]],
    ],
    [
      [
        'float32',
        [
          [1, 2],
          [4, 5],
        ],
      ],
      ['float32', [[3], [6]]],
    ],
  ],
  [
    'tuples',
    [
      [[1, 2], 0],
      [[3, 4], 1],
    ],
    [
      [
        'float32',
        [
          [1, 2],
          [3, 4],
        ],
      ],
      ['int32', [0, 1]],
    ],
    { dtypes: [undefined, 'int32'] },
  ],
  [
    'records',
    [
      { pixels: [[1], [2]], label: 1, name: 'a' },
      { name: 'b', pixels: [[3], [4]], label: 0 },
    ],
    {
      pixels: [
        'float32',
        [
          [[1], [2]],
          [[3], [4]],
        ],
      ],
      label: ['int32', [1, 0]],
      name: ['a', 'b'],
    },
    { dtypes: { label: 'int32' } },
  ],
  [
    'records in tuples',
    [
      [{ x: 1 }, 'a'],
      [{ x: 2 }, 'b'],
    ],
    [{ x: ['float32', [1, 2]] }, ['a', 'b']],
  ],
]

describe('rows become a batch', () => {
  it.each(batches)('of %s', (...[, rows, expected, options]) => {
    expect(plain(defaultCollate(rows as readonly unknown[], options as CollateOptions))).toEqual(expected)
  })

  const cycle: { self?: unknown } = {}
  cycle.self = cycle
  const wrong: readonly (readonly [string, readonly unknown[], string, object?])[] = [
    ['none', [], 'there are no rows'],
    ['null', [{ x: 1 }, { x: null }], 'row 1.x is null, which cannot become a tensor; make rows alike by map'],
    ['a hole', Object.assign(new Array(2), { 0: 1 }), 'row 1 of the batch is undefined'],
    ['dates', [new Date(0)], 'row 0 of the batch is a Date'],
    [
      'kinds that differ',
      [
        [1, 'a'],
        ['b', 'a'],
      ],
      "row 1[0] is 'b', but row 0[0] the number 1",
    ],
    ['ragged lists', [{ ids: [1, 2] }, { ids: [1] }], 'row 0.ids is [2], but row 1.ids [1]; pad them'],
    [
      'ragged arrays',
      [new Float32Array(2), new Float32Array(3)],
      'row 0 of the batch is [2], but row 1 of the batch [3]',
    ],
    ['ragged tensors', [zeros([2]), zeros([1, 2])], 'rows have different sizes'],
    [
      'raggedness within',
      [
        {
          x: [
            [1, 2],
            [3, 4],
          ],
        },
        { x: [[1, 2], [3]] },
      ],
      '[defaultCollate]',
    ],
    ['tuples of other lengths', [['a', 1], ['a']], 'row 1 of the batch has 1 parts, but row 0 of the batch has 2'],
    ['a field that is missing', [{ x: 1, y: 1 }, { x: 1 }], 'row 1 of the batch has no y, which only row 0'],
    ['a field too many', [{ x: 1 }, { x: 1, z: 1 }], 'row 1 of the batch has a z, which row 0 of the batch lacks'],
    ['a dtype of text', ['a'], "dtypes name 'int32' for row 0 of the batch, which is text", { dtypes: 'int32' }],
    ['a dtype that is none', [1], "dtypes name 'int3'", { dtypes: 'int3' }],
    ['a dtype of all', [{ x: 1 }], 'which has the places x; give a dtype for each', { dtypes: 'int32' }],
    ['a dtype of nothing', [{ x: 1 }], 'dtypes name y, but row 0 of the batch has x', { dtypes: { y: 'int32' } }],
    ['fractions for integers', [0.5], '[defaultCollate]', { dtypes: 'int32' }],
    ['wide bigints', [2n ** 70n], 'more than 64 bits'],
    ['rows that hold themselves', [cycle], 'is nested deeper than 64'],
  ]
  it.each(wrong)('but not of %s', (...[, rows, message, options]) => {
    const make = () => defaultCollate(rows as readonly unknown[], options as CollateOptions)
    expect(make).toThrow(/^\[defaultCollate\]/)
    expect(make).toThrow(message as string)
  })

  it('that a loader types by its rows', async () => {
    const rows = [{ x: [1, 2], label: 1, name: 'a' }]
    for await (const { x, label, name } of new DataLoader(rows, { dtypes: { label: 'int32' } })) {
      const [size, first]: [Tensor, string | undefined] = [x, name[0]]
      expect([size.shape, label.dtype, first]).toEqual([[1, 2], 'int32', 'a'])
    }
    for await (const size of new DataLoader(rows, { collate: (all) => all.length })) expect(size.toFixed(0)).toBe('1')
  })

  it('that trains a model, from an array of pairs', async () => {
    const model = new nn.Linear(2, 1)
    const trainer = new Trainer(model, {
      optimizer: new optim.SGD(model.parameters(), { lr: 0.1 }),
      loss: nn.functional.mseLoss,
    })
    const loader = new DataLoader(
      [
        [[0, 1], [1]],
        [[1, 0], [0]],
        [[1, 1], [1]],
      ],
      { batchSize: 2 },
    )
    const { epochs } = await trainer.fit(loader, { epochs: 5, progress: false })
    expect(epochs.at(-1)?.loss).toBeLessThan(epochs[0]?.loss as number)
  })
})
