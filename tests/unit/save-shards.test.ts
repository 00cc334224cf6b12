import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, it } from 'vitest'
import { noGrad } from '../../lib/autograd/mode.js'
import { setDefaultDevice } from '../../lib/backend/devices.js'
import { Generator } from '../../lib/core/generator.js'
import type { Tensor } from '../../lib/core/tensor.js'
import { writeTogether } from '../../lib/io/atomic.js'
import { weightFiles } from '../../lib/io/save-shards.js'
import { loadTensors } from '../../lib/io/tensors.js'
import { AutoModel, type Gpt2, gpt2 } from '../../lib/models/index.js'
import { Parameter } from '../../lib/nn/module.js'
import { tensor, zeros } from '../../lib/ops/creation.js'

setDefaultDevice('cpu')
const root = mkdtempSync(join(tmpdir(), 'firesteel-save-shards-'))
afterAll(() => rmSync(root, { recursive: true }))
const lines: string[] = []
const log = (line: string) => void lines.push(line)
const sizes = { vocabSize: 40, layers: 2, width: 16, heads: 2, context: 32, dropout: 0 } as const
const make = (seed = 5): Gpt2 => gpt2({ ...sizes, generator: new Generator(seed) })
const outputs = (model: Gpt2) => [
  ...(model.forward(tensor([[3, 1, 4, 1, 5]], { dtype: 'int32' })).dataSync() as Float32Array),
]
const weightsIn = (folder: string) => readdirSync(folder).filter((name) => /safetensors/.test(name))
const indexIn = (folder: string) =>
  JSON.parse(readFileSync(join(folder, 'model.safetensors.index.json'), 'utf8')) as {
    metadata: object
    weight_map: { [name: string]: string }
  }
const shardNames = (count: number) =>
  Array.from({ length: count }, (_, i) => `model-0000${i + 1}-of-0000${count}.safetensors`)

describe('a save in shards', () => {
  it('has the files and the index of transformers 5.24, and gives the same outputs again', async () => {
    const folder = join(root, 'sharded')
    await make().save(folder, { log, maxShardSize: '5KB' })
    expect(lines.at(-1)).toMatch(/sharded: 28 tensors in 7 shards, read again and proved: 640 outputs are equal/)
    expect(weightsIn(folder)).toEqual([...shardNames(7), 'model.safetensors.index.json'])
    const { metadata, weight_map: map } = indexIn(folder)
    expect(metadata).toEqual({ total_parameters: 7744, total_size: 30976 })
    expect(Object.keys(map)).toEqual(Object.keys(map).sort())
    // The shards are those of save_pretrained(max_shard_size='5KB') of the same model.
    const [first, second] = ['transformer.h.0.', 'transformer.h.1.']
    const [attention, head] = ['attn.c_attn', 'attn.c_proj'].map((name) => [`${name}.bias`, `${name}.weight`]) as [
      string[],
      string[],
    ]
    const norms = ['ln_1.bias', 'ln_1.weight', 'ln_2.bias', 'ln_2.weight']
    const named = (begin: string, names: readonly string[]) => names.map((name) => begin + name)
    expect(Object.keys(map).filter((name) => map[name] === shardNames(7)[0])).toEqual(
      named(first, [...attention, ...head, ...norms, 'mlp.c_fc.bias']),
    )
    expect(Object.keys(map).filter((name) => map[name] === shardNames(7)[1])).toEqual(
      named(first, ['mlp.c_fc.weight', 'mlp.c_proj.bias']),
    )
    expect(map[`${second}attn.c_attn.weight`]).toBe(shardNames(7)[3])
    expect(map['transformer.wte.weight']).toBe(shardNames(7)[6])
    const again = (await AutoModel.forCausalLM(folder)) as Gpt2
    expect(outputs(again)).toEqual(outputs(make()))
    expect(again.lmHead.weight).toBe(again.transformer.wte.weight)
  })

  it('leaves no files of weights of an earlier save', async () => {
    const folder = join(root, 'changing')
    await make().save(folder, { log })
    writeFileSync(join(folder, 'model-of-mine.safetensors'), 'kept')
    for (const [seed, maxShardSize, names] of [
      [6, '8KB', [...shardNames(6), 'model.safetensors.index.json']],
      [7, 5000, [...shardNames(7), 'model.safetensors.index.json']],
      [8, '1TB', ['model.safetensors']],
    ] as const) {
      await make(seed).save(folder, { log, maxShardSize })
      expect(weightsIn(folder)).toEqual([...names, 'model-of-mine.safetensors'].sort())
      expect(outputs((await AutoModel.forCausalLM(folder)) as Gpt2)).toEqual(outputs(make(seed)))
    }
  })

  it('has one file if the weights fill the limit, and no model.safetensors from one byte less', async () => {
    const folder = join(root, 'limit')
    await make().save(folder, { log, maxShardSize: 30976 })
    expect(weightsIn(folder)).toEqual(['model.safetensors'])
    await make().save(folder, { log, maxShardSize: 30975 })
    expect(weightsIn(folder)).toEqual([...shardNames(2), 'model.safetensors.index.json'])
  })

  it('is proved as a single file is', async () => {
    const model = make()
    model.transformer.h[0]?.ln1.registerForwardHook((_, _inputs, output) => (output as Tensor).mul(2))
    await expect(model.save(join(root, 'hooked'), { log, maxShardSize: '5KB' })).rejects.toThrow(/gives other outputs/)
  })

  it('writes a pair that is tied no longer twice', async () => {
    const model = make()
    model.lmHead.weight = new Parameter(noGrad(() => model.lmHead.weight.mul(2)))
    const folder = join(root, 'untied')
    await model.save(folder, { log, maxShardSize: '4KB' })
    expect(indexIn(folder).weight_map['lm_head.weight']).toBeDefined()
    expect(indexIn(folder).metadata).toEqual({ total_parameters: 8384, total_size: 33536 })
    expect(outputs((await AutoModel.forCausalLM(folder)) as Gpt2)).toEqual(outputs(model))
  })

  it.each([0, -1, 2.5, Number.NaN, '5', '5GiB', '0KB', 'GB', null, {}])('refuses the size %j', async (size) => {
    const folder = join(root, 'refused')
    await expect(make().save(folder, { log, maxShardSize: size as never })).rejects.toThrow(
      /\[save\] maxShardSize is .*, but must be a whole number of bytes above 0, or a text of a number and KB/,
    )
    expect(readdirSync(root)).not.toContain('refused')
  })
})

describe('files of weights', () => {
  const write = async (folder: string, counts: { readonly [name: string]: number }, limit: number | string) => {
    mkdirSync(folder)
    const tensors = new Map(Object.entries(counts).map(([name, n]) => [name, zeros([n], { dtype: 'uint8' })]))
    const { weights, index, outdated } = await weightFiles(folder, tensors, 0, limit, 'save').placed()
    await writeTogether([...weights, ...index], 'save', outdated)
  }

  it('are split as huggingface_hub documents it', async () => {
    const folder = join(root, 'rule')
    const counts = { a: 6000, b: 6000, c: 2000, d: 6000, e: 2000, f: 2000, g: 11000, h: 1 }
    await write(folder, counts, '10kb')
    // The tensor of 11000 bytes comes before the shard that goes on around it.
    const places = { a: 1, b: 2, c: 2, d: 4, e: 4, f: 4, g: 3, h: 5 }
    for (const [name, place] of Object.entries(places))
      expect([name, indexIn(folder).weight_map[name]]).toEqual([name, shardNames(5)[place - 1]])
    expect((await loadTensors(folder)).size).toBe(8)
  })

  it('are in the order of numbers, not of digits', async () => {
    const folder = join(root, 'order')
    const names = ['h.10.w', 'h.2.w', 'h.x.w', 'h.x10.w', 'h.x9.w', 'h.2']
    await write(folder, Object.fromEntries(names.map((name) => [name, 1])), 1)
    const { weight_map: map } = indexIn(folder)
    expect(Object.keys(map).sort((a, b) => ((map[a] as string) < (map[b] as string) ? -1 : 1))).toEqual([
      'h.2',
      'h.2.w',
      'h.10.w',
      'h.x.w',
      'h.x9.w',
      'h.x10.w',
    ])
  })
})

describe('a save over another', () => {
  it('leaves the old model or the new one if it is killed, at whatever step', async () => {
    const limits = { whole: '1TB', shards: '5KB', 'fewer shards': '8KB' } as const
    const counts = { whole: 1, shards: 8, 'fewer shards': 7 } as const
    const kinds = Object.keys(limits) as (keyof typeof limits)[]
    const pairs = kinds.flatMap((before) => kinds.map((after) => [before, after] as const))
    const script = fileURLToPath(new URL('./save-shards-in-steps.mjs', import.meta.url))
    const of = (before: string, after: string) => join(root, `${before}, then ${after}`)
    const runs = pairs.map(([before, after]) => [of(before, after), limits[before], limits[after]])
    const { stdout, stderr } = spawnSync(process.execPath, ['--import', 'tsx', script, JSON.stringify(runs)], {
      encoding: 'utf8',
    })
    expect(stderr).toBe('')
    const copies = JSON.parse(stdout) as string[]
    const [old, fresh] = [1, 2].map((seed) => JSON.stringify(outputs(make(seed))))
    for (const [before, after] of pairs) {
      const folder = of(before, after)
      const left = copies.filter((copy) => copy.startsWith(`${folder}-`))
      const found: string[] = []
      for (const copy of [...left, folder]) {
        const read = JSON.stringify(outputs((await AutoModel.forCausalLM(copy)) as Gpt2))
        expect([old, fresh], copy).toContain(read)
        found.push(read === old ? 'old' : 'new')
      }
      expect(found.join(' '), folder).toMatch(/^(old ?)+(new ?)+$/)
      expect(weightsIn(folder), folder).toHaveLength(counts[after])
      // A later save is as whole over what a kill left, and removes it.
      for (const copy of left) {
        await make(3).save(copy, { log, maxShardSize: '5KB' })
        expect(outputs((await AutoModel.forCausalLM(copy)) as Gpt2), copy).toEqual(outputs(make(3)))
        expect(weightsIn(copy).filter((name) => !name.endsWith('.partial'))).toHaveLength(8)
      }
    }
  })

  it('gives names of its own to shards over others, and the first names to those over these', async () => {
    const folder = join(root, 'names')
    const own = shardNames(7).map((name) => name.replace('model-', 'model-2-'))
    for (const [seed, names] of [shardNames(7), own, shardNames(7)].entries()) {
      await make(seed).save(folder, { log, maxShardSize: '5KB' })
      expect(weightsIn(folder)).toEqual([...names, 'model.safetensors.index.json'].sort())
    }
  })
})
