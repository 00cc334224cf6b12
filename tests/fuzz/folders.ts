/**
 * Reads mutated files of folders: a tokenizer.json, a model's shards with their index, a corpus' shards of tokens, and
 * the checkpoint of a run. Each must give its content, or a ValueError that names the fault. If a checksum goes with
 * the bytes, only the written bytes may be accepted. `mutants.ts` says how to call this.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { loadCheckpoint, openTensors, saveCheckpoint, saveTensors, type Tensor, tensor } from '../../lib/index.js'
import { openShards, prepare } from '../../lib/pretrain/index.js'
import { AutoTokenizer, Tokenizer, trainTokenizer } from '../../lib/text/index.js'
import {
  below,
  folder,
  folderFor,
  fuzz,
  insist,
  type Kind,
  mutant,
  mutated,
  pick,
  random,
  refusalOf,
} from './mutants.js'

type Json = null | boolean | number | string | Json[] | { [name: string]: Json }

function isTree(value: Json | undefined): value is Json[] | { [name: string]: Json } {
  return typeof value === 'object' && value !== null
}

/** The text of a JSON file with a wrong value somewhere. */
function bent(text: string): Buffer {
  const value = JSON.parse(text) as Json
  let at = value
  for (;;) {
    if (!isTree(at)) break
    const key = pick(Object.keys(at)) as string | undefined
    if (key === undefined) break
    const table = at as { [name: string]: Json }
    const below = table[key]
    if (isTree(below) && random() < 0.7) {
      at = below
      continue
    }
    const others: Json[] = [
      null,
      true,
      -1,
      0.5,
      1e30,
      2 ** 31,
      '',
      'a',
      '\ud800',
      '(',
      '[a-z]+',
      [],
      {},
      [[]],
      below ?? 0,
      value,
    ]
    if (random() < 0.2) delete table[key]
    else table[random() < 0.9 ? key : '__proto__'] = structuredClone(pick(others))
    break
  }
  return Buffer.from(JSON.stringify(value))
}

const broken = (text: string) => (random() < 0.5 ? bent(text) : mutated(Buffer.from(text)))

/** A tokenizer of few tokens, because of all its parts only the vocabulary is large. */
function small(name: string): string {
  const path = new URL(`../models/data/tokenizers/${name}/tokenizer.json`, import.meta.url)
  const json = JSON.parse(readFileSync(path, 'utf8')) as {
    added_tokens: { content: string }[]
    model: { vocab: { [token: string]: number } | [string, number][]; merges?: (string | [string, string])[] }
  }
  const { model } = json
  const kept = new Set(json.added_tokens.map(({ content }) => content))
  const keeps = (token: string) => token.length < 3 || kept.has(token) || /^<0x..>$/.test(token)
  if (Array.isArray(model.vocab)) model.vocab = model.vocab.slice(0, 100)
  else model.vocab = Object.fromEntries(Object.entries(model.vocab).filter(([token]) => keeps(token)))
  if (model.merges !== undefined)
    model.merges = model.merges
      .filter((merge) => keeps(Array.isArray(merge) ? merge.join('') : merge.replace(' ', '')))
      .slice(0, 40)
  return JSON.stringify(json)
}

const published = ['byte-bpe', 'llama-bpe', 'llama3-bpe', 'roberta-bpe', 'unigram', 'wordpiece'].map(small)
const text = 'Fire, steel:\t1234 "été" 中文 😀  \n<s> [MASK]</s> the end'

/** Whether an error is one that Firesteel throws on purpose. */
const isOurs = (error: unknown) => typeof (error as { readonly op?: unknown }).op === 'string'

function read(tokenizer: Tokenizer): string {
  try {
    const { ids, offsets } = tokenizer.encode(text)
    for (const [i, id] of ids.entries()) {
      insist(Number.isInteger(id) && id >= 0 && id < tokenizer.size, `id ${id} of ${tokenizer.size}`)
      const [from, to] = offsets[i] as readonly [number, number]
      insist(from >= 0 && from <= to && to <= text.length, `a token from ${from} to ${to} of ${text.length}`)
    }
    return `${ids.join()} ${tokenizer.decode(ids)}`
  } catch (error) {
    insist(isOurs(error), `${(error as Error).stack}: is none of Firesteel's`)
    return 'refused'
  }
}

async function checkTokenizer(): Promise<boolean> {
  let tokenizer: Tokenizer
  try {
    tokenizer = await AutoTokenizer.load(mutant)
  } catch (error) {
    refusalOf(error, mutant)
    return false
  }
  const told = read(tokenizer)
  insist(read(new Tokenizer(tokenizer.toJSON(), {}, mutant)) === told, 'another answer from what toJSON gives')
  return true
}

/** Files of a folder. One at a time is mutated, and the others stay as they were written. */
function filesIn(path: string, names: readonly string[], read: (name: string) => Promise<boolean>): Kind {
  const originals = new Map(names.map((name) => [name, readFileSync(join(path, name))]))
  let name = names[0] as string
  return {
    make() {
      writeFileSync(join(path, name), originals.get(name) as Buffer)
      name = pick(names)
      const original = originals.get(name) as Buffer
      return name.endsWith('.json') ? broken(original.toString()) : mutated(original)
    },
    path: () => join(path, name),
    read: () => read(name),
  }
}

const model = folderFor('model')
const index = 'model.safetensors.index.json'
const shardNames = ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors']
const [first, second] = [{ 'a.weight': tensor([[1, 2, 3]]), 'a.bias': tensor([4]) }, { 'b.weight': tensor([5, 6]) }]
await saveTensors(join(model, shardNames[0] as string), first)
await saveTensors(join(model, shardNames[1] as string), second)
const mapOf = (tensors: object, name: string | undefined) => Object.keys(tensors).map((key) => [key, name])
writeFileSync(
  join(model, index),
  JSON.stringify({
    metadata: { total_size: 24 },
    weight_map: Object.fromEntries([...mapOf(first, shardNames[0]), ...mapOf(second, shardNames[1])]),
  }),
)

async function checkModel(): Promise<boolean> {
  try {
    const source = await openTensors(join(model, index))
    try {
      for (const name of source.names) {
        const { shape } = source.spec(name) as { readonly shape: readonly number[] }
        const { data } = await source.read(name)
        insist(data.length === shape.reduce((count, size) => count * size, 1), `${name} has ${data.length} elements`)
      }
    } finally {
      await source.close()
    }
    return true
  } catch (error) {
    refusalOf(error, model)
    return false
  }
}

const corpus = join(folder, 'corpus')
const tokenizer = await trainTokenizer('bpe', ['a sea of words'], {
  vocabSize: 260,
  special: ['<|end|>'],
  roles: { eos: '<|end|>' },
})
const texts = ['a sea', 'of words', 'words of a sea', 'sea', 'a word of a sea of words']
const made = await prepare(texts, tokenizer, corpus, { validation: 0, shardTokens: 24, deduplicate: false })
const tokens = (await made.train.read(0, made.train.tokens)).join()
await made.close()
const endings = ['.bin', '.ends']
const files = ['train-00000', 'train-00001'].flatMap((name) => endings.map((ending) => `${name}${ending}`))

async function checkCorpus(name: string): Promise<boolean> {
  try {
    const shards = await openShards(corpus)
    try {
      await shards.train.verify()
      const read = (await shards.train.read(0, shards.train.tokens)).join()
      // A manifest has no checksum, and may name fewer shards.
      if (!name.endsWith('.json')) insist(read === tokens, `other tokens: ${read}`)
    } finally {
      await shards.close()
    }
    return true
  } catch (error) {
    refusalOf(error, corpus)
    return false
  }
}

const state = { weight: tensor([1, 2, 3]), places: tensor([[4], [5]], { dtype: 'int32' }) }
const holder = (tensors: { readonly [name: string]: Tensor }) => ({
  loaded: {} as { readonly [name: string]: Tensor },
  stateDict: () => ({ step: 7, names: ['a', null, 1.5], tensors }),
  loadStateDict(value: { readonly tensors: { readonly [name: string]: Tensor } }) {
    this.loaded = value.tensors
  },
})
await saveCheckpoint(mutant, { model: holder(state) })
const checkpoint = readFileSync(mutant)

async function checkCheckpoint(bytes: Buffer): Promise<boolean> {
  const into = holder({})
  try {
    await loadCheckpoint(mutant, { model: into })
  } catch (error) {
    if (!isOurs(error)) throw error
    insist(!bytes.equals(checkpoint), `${error}: refuses what was written`)
    return false
  }
  insist(bytes.equals(checkpoint), 'takes other bytes than were written')
  for (const each of Object.values(into.loaded)) each.dispose()
  return true
}

await fuzz({
  tokenizer: { make: () => broken(pick(published)), read: checkTokenizer },
  shards: filesIn(model, [index, ...shardNames], checkModel),
  corpus: filesIn(corpus, ['corpus.json', ...files], checkCorpus),
  // Sometimes nothing is changed, because no other file may be accepted.
  checkpoint: { make: () => (below(20) === 0 ? checkpoint : mutated(checkpoint)), read: checkCheckpoint },
})
