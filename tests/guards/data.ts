/** Sound calls of datasets, loaders, samplers and splits, each with every option. */
import * as datasets from '../../lib/data/datasets/index.js'
import * as f from '../../lib/index.js'
import type { PublicCall } from '../cases/sound.js'
import { collector } from './collect.js'

const t = (...shape: number[]) => f.rand(shape)
const { entries, add, make } = collector()

make('TensorDataset', f.TensorDataset, () => [t(4, 2), t(4)])
make('Picture', f.Picture, () => [new Uint8Array(12), 2, 2, 3])
const rowsModule = `data:text/javascript,${encodeURIComponent('export const dataset = (first) => [first, 1, 2]')}`
add('moduleDataset', f.moduleDataset, () => [rowsModule, { name: 'dataset', args: [3] }])
make('Subset', f.Subset, () => [new f.TensorDataset(t(4, 2), t(4)), [0, 2]])
make('FunctionDataset', f.FunctionDataset, () => [3, (i: number) => i, (items: readonly number[]) => items])
const stream = () => new f.IterableDataset(() => [1, 2, 3, 4])
add(
  'IterableDataset',
  (open) => new f.IterableDataset(open).toArray(),
  () => [() => [1, 2]],
)
add(
  'shuffle',
  (buffer, options) => stream().shuffle(buffer, options).toArray(),
  () => [2, { generator: new f.Generator(1) }],
)
add(
  'batches',
  (size, options) => stream().batches(size, options).toArray(),
  () => [2, { dropLast: true, dtypes: 'int32' }],
)
for (const name of ['take', 'skip'] as const) {
  add(
    name,
    (count) => stream()[name](count).toArray(),
    () => [2],
  )
  add(
    name,
    (count) => new f.TensorDataset(t(4, 2))[name](count),
    () => [2],
  )
}
add(
  'concat',
  (other) => stream().concat(other).toArray(),
  () => [stream()],
)
add(
  'interleave',
  (other) => stream().interleave(other).toArray(),
  () => [stream()],
)
add(
  'pass',
  (state) => stream().pass(state).next(),
  () => [{ given: 1 }],
)
add('defaultCollate', f.defaultCollate, () => [[{ x: 1 }, { x: 2 }], { dtypes: { x: 'int32' } }])
const patients = () => Array.from({ length: 8 }, (_, id) => ({ id, label: id % 2, patient: id >> 1 }))
add('splitRows', f.splitRows as never, () => [
  patients(),
  { validation: 0.25, test: 2, stratify: 'label', groups: 'patient', seed: 1 },
])
add(
  'splitRows',
  (options) => f.splitRows(stream(), options),
  () => [{ validation: 0.25, test: 0.25, seed: 1 }],
)
add('kFold', f.kFold as never, () => [patients(), { folds: 2, stratify: 'label', groups: 'patient', seed: 1 }])
add('randomSplit', f.randomSplit as never, () => [patients(), [5, 3], { generator: new f.Generator(1) }])
const sampled = (sampler: f.Sampler) => new f.DataLoader([1, 2, 3], { sampler }).length
add(
  'weighted',
  (w, o) => sampled(f.weighted(w, o)),
  () => [[1, 2, 3], { count: 2, replacement: false }],
  'DataLoader',
)
add(
  'byLength',
  (l, o) => sampled(f.byLength(l, o)),
  () => [[1, 2, 3], { tokens: 8 }],
  'DataLoader',
)
add(
  'loadStateDict',
  (state) => new f.DataLoader([1, 2, 3]).loadStateDict(state),
  () => [{ epoch: 1, batch: 1, rows: 3, order: new f.Generator(1).stateDict() }],
  'DataLoader',
)
make('ImageDataset', datasets.ImageDataset, () => [
  new Uint8Array(8),
  new Uint8Array(2),
  [1, 2, 2],
  { mean: 0.1, std: 2 },
])
add(
  'batch',
  (indices) => new f.TensorDataset(t(4, 2)).batch(indices),
  () => [[0, 3]],
  'TensorDataset',
)
add(
  'DataLoader',
  async (set, options) => {
    for await (const _ of new f.DataLoader(set, options));
  },
  () => [
    new f.TensorDataset(t(4, 2), t(4)),
    { batchSize: 3, shuffle: true, dropLast: true, prefetch: 1, generator: new f.Generator(1) },
  ],
  'Dataset',
)
add(
  'DataLoader',
  async (set, options) => {
    for await (const _ of new f.DataLoader(set, options));
  },
  () => [[1, 2, 3], { batchSize: 3, sampler: f.weighted([1, 2, 3]), collate: String }],
  'weighted',
)

export const dataCalls: readonly PublicCall[] = entries
