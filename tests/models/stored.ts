/** Weights in other libraries' formats: files of `torch.save`, and bitsandbytes' NF4. */
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { readSafetensors } from '../../lib/io/safetensors.js'
import { openTensors } from '../../lib/io/shards.js'
import { type FileArray, type FileTensor, isFileDType, type TensorSource } from '../../lib/io/source.js'
import { loadTensors } from '../../lib/io/tensors.js'
import { Nf4Source } from '../../lib/models/nf4.js'
import { type Result, Tally } from './folder.js'

async function messageOf(work: Promise<unknown>): Promise<string> {
  return work.then(() => '').catch((error: Error) => error.message)
}

/**
 * Each file must hold the tensors of `<name>-expected.safetensors`, or else of expected.safetensors, bit for bit. Files
 * whose names begin with `refuse` must be refused, in words that name what they ask for.
 */
export async function checkTorch(folder: string): Promise<Result> {
  const tally = new Tally()
  for (const file of existsSync(folder) ? readdirSync(folder).sort() : []) {
    const [, name, asked] = /^((?:refuse-(\w+))?.*)\.(?:pt|pth|bin)$/.exec(file) ?? []
    if (name === undefined) continue
    if (asked !== undefined) {
      const message = await messageOf(openTensors(join(folder, file)))
      tally.is(`${file} is refused, and names ${asked}`, message.includes(asked), message)
      continue
    }
    const own = join(folder, `${name}-expected.safetensors`)
    const expected = await openTensors(existsSync(own) ? own : join(folder, 'expected.safetensors'))
    const got = await openTensors(join(folder, file))
    const names = (source: TensorSource) => [...source.names].sort().join()
    tally.is(`${file} names its tensors`, names(got) === names(expected), names(got))
    for (const each of expected.names) {
      const spec = expected.spec(each)
      tally.is(`${file}: ${each} has its shape`, got.spec(each)?.shape.join() === spec?.shape.join())
      if (spec !== undefined && isFileDType(spec.dtype)) {
        const bytes = async (source: TensorSource) => Buffer.from((await source.read(each)).data.buffer)
        tally.is(`${file}: ${each} has its values`, (await bytes(got)).equals(await bytes(expected)))
      } else {
        const message = await messageOf(got.read(each))
        tally.is(`${file}: ${each} is refused by its dtype`, message.includes(String(spec?.dtype)), message)
      }
    }
    await Promise.all([got.close(), expected.close()])
  }
  return tally.result()
}

/** Tensors in memory, in the form of a file. */
function sourceOf(tensors: ReadonlyMap<string, FileTensor>): TensorSource {
  const at = (name: string) => tensors.get(name) as FileTensor
  const readSync = (name: string, into: FileArray, from: number): FileTensor => {
    const { data } = at(name)
    into.set(data.subarray(from, from + into.length) as never)
    return { ...at(name), data: into }
  }
  return {
    path: 'nf4',
    names: [...tensors.keys()],
    spec: (name) => tensors.get(name),
    read: async (name, into, from = 0) => (into === undefined ? at(name) : readSync(name, into, from)),
    readSync,
    close: async () => undefined,
  }
}

/** A weight under the names that it has in a file of transformers. */
function stored(
  tensors: ReadonlyMap<string, FileTensor>,
  { key, blocks, shape }: { key: string; blocks: number; shape: readonly number[] },
) {
  const part = (name: string) => tensors.get(`${key}.${name}`) as FileTensor
  const offset = tensors.get(`${key}.offset`)?.data[0]
  const state = { quant_type: 'nf4', blocksize: blocks, shape, nested_blocksize: 256, nested_offset: offset }
  const { nested_blocksize: _, nested_offset: __, ...single } = state
  const text = new TextEncoder().encode(JSON.stringify(offset === undefined ? single : state))
  const found = new Map<string, FileTensor>([
    ['weight', part('packed')],
    ['weight.absmax', part('absmax')],
    ['weight.quant_state.bitsandbytes__nf4', { dtype: 'U8', shape: [text.length], data: text }],
  ])
  if (offset !== undefined) {
    found.set('weight.nested_absmax', part('nested_absmax'))
    found.set('weight.nested_quant_map', tensors.get('dynamic_signed') as FileTensor)
  }
  return sourceOf(found)
}

/**
 * Weights whose rows are whole blocks must become the reference's numbers, bit for bit. Others must be refused, with
 * their shape named.
 */
export async function checkNf4(folder: string): Promise<Result> {
  const tally = new Tally()
  const path = join(folder, 'nf4.safetensors')
  const tensors = existsSync(path) ? await readSafetensors(path) : new Map<string, FileTensor>()
  for (const [name, { shape, data }] of tensors) {
    const [, key = '', blocks = ''] = /^(.*\.(\d+)\.\w+)\.dequantised$/.exec(name) ?? []
    if (key === '') continue
    const load = async () => {
      const source = await Nf4Source.open('nf4', stored(tensors, { key, blocks: Number(blocks), shape }))
      return (await loadTensors(source)).get('weight')
    }
    if ((shape.at(-1) as number) % 64 !== 0) {
      const message = await messageOf(load())
      tally.is(`${key} is refused by its shape`, message.includes('whole blocks of 64'), message)
      continue
    }
    const got = (await load())?.to('float32').dataSync() as Float32Array
    const expected = data as Float32Array
    tally.is(
      `${key} has its values`,
      got.length === expected.length && got.every((value, i) => Object.is(value, expected[i])),
    )
  }
  return tally.result()
}
