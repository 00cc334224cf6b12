/**
 * Sound calls of functions that read and write files: states, adapters, checkpoints, IDX, and rows of tables and texts.
 */
import { writeFileSync } from 'node:fs'
import { gzipSync } from 'node:zlib'
import * as datasets from '../../lib/data/datasets/index.js'
import * as text from '../../lib/data/text/index.js'
import * as finetune from '../../lib/finetune/index.js'
import * as f from '../../lib/index.js'
import { type PublicCall, t } from '../cases/sound.js'
import { parquetTable } from '../unit/written.js'
import { collector } from './collect.js'
import { lora } from './finetune.js'
import { folder, path } from './folder.js'
import { model } from './modules.js'

const { entries, add } = collector()

const ready = (async () => {
  const { writeFile } = await import('node:fs/promises')
  await model().save(path('model.safetensors'))
  await finetune.saveAdapter(lora(), path('adapter'))
  await f.saveCheckpoint(path('run.ckpt'), { model: new f.nn.Linear(2, 1) })
  const images = Buffer.from([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 2, 1, 2, 3, 4, 5, 6, 7, 8])
  const labels = Buffer.from([0, 0, 8, 1, 0, 0, 0, 2, 0, 1])
  for (const split of ['train', 't10k']) {
    await writeFile(path(`${split}-images-idx3-ubyte.gz`), gzipSync(images))
    await writeFile(path(`${split}-labels-idx1-ubyte.gz`), gzipSync(labels))
  }
})()
add(
  'save',
  (to) => model().save(to),
  () => [path('saved.safetensors')],
  'safetensors',
)
add(
  'load',
  async (from, options) => {
    await ready
    return model().load(from, options)
  },
  () => [path('model.safetensors'), { strict: true }],
  'safetensors',
  'loadStateDict',
)
add(
  'openTensors',
  async (from) => {
    await ready
    const source = await f.openTensors(from)
    await source.close()
  },
  () => [path('model.safetensors')],
  'safetensors',
)
add(
  'loadTensors',
  async (from, options) => {
    await ready
    return f.loadTensors(from, options)
  },
  () => [path('model.safetensors'), { names: ['0.weight'], device: 'cpu' }],
  'safetensors',
)
add('saveTensors', f.saveTensors, () => [path('saved.safetensors'), { x: t(2) }, { metadata: { format: 'pt' } }])
add('saveGguf', f.saveGguf, () => [path('saved.gguf'), { x: t(2, 3) }, { dtype: 'float16', metadata: { a: 1 } }])
add('saveCheckpoint', f.saveCheckpoint, () => [path('saved.ckpt'), { model: new f.nn.Linear(2, 1), epoch: 1 }])
add(
  'loadCheckpoint',
  async (from, parts) => {
    await ready
    return f.loadCheckpoint(from, parts)
  },
  () => [path('run.ckpt'), { model: new f.nn.Linear(2, 1) }],
)
add('saveAdapter', finetune.saveAdapter as never, () => [
  lora(),
  path('saved-adapter'),
  { name: 'default', log: () => undefined },
])
add(
  'loadAdapter',
  async (m, from, options) => {
    await ready
    return finetune.loadAdapter(m, from, options)
  },
  () => [model(), path('adapter'), { name: 'default' }],
  'applyLora',
  'loadStateDict',
  'safetensors',
)
add(
  'readIdx',
  async (from) => {
    await ready
    return datasets.readIdx(from)
  },
  () => [path('train-images-idx3-ubyte.gz')],
  'idx',
)
add(
  'idx',
  async (from, options) => {
    await ready
    return datasets.idx(from, options)
  },
  () => [folder, { mean: 0.1, std: 2 }],
  'readIdx',
  'ImageDataset',
)

const table = path('table.csv')
const lines = path('lines.jsonl')
const numbers = path('numbers.npy')
const packed = path('table.parquet')
{
  writeFileSync(table, 'a,b\n1,x\n')
  writeFileSync(lines, '{"a": 1}\n')
  writeFileSync(packed, parquetTable)
  const header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }\n"
  writeFileSync(
    numbers,
    Buffer.concat([
      Buffer.from('\x93NUMPY\x01\x00', 'latin1'),
      Buffer.of(header.length, 0),
      Buffer.from(header),
      Buffer.alloc(16),
    ]),
  )
}
const rowsOf = (read: (from: never, options: never) => f.IterableDataset<unknown>) => (from: never, options: never) =>
  read(from, options).toArray()
add('csv', rowsOf(text.csv), () => [table, { types: { a: 'number' }, delimiter: ',', longest: 99 }])
add('textFiles', rowsOf(text.textFiles), () => [[table], { by: 'paragraph', longest: 99 }])
add('jsonl', rowsOf(text.jsonl), () => [lines, { longest: 99 }])
add('parquet', rowsOf(text.parquet), () => [packed, { columns: ['x'] }])
add(
  'npy',
  async (from) => (await text.npy(from)).batch([0, 1]),
  () => [numbers],
)
add(
  'npy',
  async (indices) => (await text.npy(numbers as never)).batch(indices),
  () => [[0, 1]],
)

export const fileCalls: readonly PublicCall[] = entries
