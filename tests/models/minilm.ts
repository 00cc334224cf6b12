/**
 * Compares all-MiniLM-L6-v2 with its real weights with PyTorch: ids, hidden states, vectors of 40 real sentences, and
 * the nearest sentences of each; and with the similarities that its own page publishes. The weights are in the folder
 * that MINILM_DIR names.
 */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { noGrad } from '../../lib/autograd/mode.js'
import { scope } from '../../lib/core/scope.js'
import type { Tensor } from '../../lib/core/tensor.js'
import { readSafetensors } from '../../lib/io/safetensors.js'
import { AutoModel } from '../../lib/models/index.js'
import { fromTypedArray } from '../../lib/ops/creation.js'
import { AutoTokenizer } from '../../lib/text/index.js'
import { notImplemented, type Result, Tally } from './folder.js'

interface Reference {
  readonly sentences: readonly string[]
  readonly ids: readonly (readonly number[])[]
  readonly nearest_five: readonly (readonly number[])[]
  readonly published: {
    readonly sentences: readonly string[]
    readonly similarity: readonly (readonly number[])[]
  }
}

const dot = (a: Float32Array, b: Float32Array): number => a.reduce((sum, value, i) => sum + value * (b[i] as number), 0)

/** The rows other than the vector's own, the most similar first. */
function nearest(vectors: readonly Float32Array[], row: number, count: number): number[] {
  const own = vectors[row] as Float32Array
  const others = vectors.map((each, i) => ({ i, similarity: dot(own, each) })).filter(({ i }) => i !== row)
  return others
    .sort((a, b) => b.similarity - a.similarity)
    .slice(0, count)
    .map(({ i }) => i)
}

/** `folder` has the reference. */
export async function checkMiniLm(folder: string): Promise<Result> {
  const weights = process.env['MINILM_DIR']
  if (weights === undefined || !existsSync(join(weights, 'model.safetensors')))
    throw notImplemented('its weights are looked for in the folder that MINILM_DIR names')
  const tally = new Tally()
  const json = JSON.parse(readFileSync(join(folder, 'reference.json'), 'utf8')) as Reference
  const tensors = await readSafetensors(join(folder, 'reference.safetensors'))
  const expected = (name: string) => tensors.get(`out.${name}`)?.data as Float32Array
  const tokenizer = await AutoTokenizer.load(weights)
  const model = await AutoModel.forEmbedding(weights)
  model.eval()
  for (const [i, { ids }] of tokenizer.encodeBatch(json.sentences).entries())
    tally.is(`the ids of sentence ${i}`, ids.join() === json.ids[i]?.join(), ids.join())

  const hidden: Float32Array[] = []
  scope(() => {
    const keep = (x: unknown) => void hidden.push((x as Tensor).dataSync() as Float32Array)
    const blocks = model.blocks()
    const hooks = blocks.map((block) => block.registerForwardPreHook((_, [x]) => keep(x)))
    const last = blocks.at(-1)?.registerForwardHook((_, _inputs, x) => keep(x))
    const ids = Int32Array.from(json.ids[0] ?? [])
    noGrad(() => model.forward(fromTypedArray(ids, [1, ids.length])))
    for (const hook of [...hooks, ...(last ? [last] : [])]) hook.remove()
  })
  for (const [i, states] of hidden.entries())
    tally.close('hidden', `hidden_${i}`, states, expected(`hidden_${i}.first`), 1e-4)

  const vectors = await model.embed(tokenizer, json.sentences)
  const of = (name: string, all: readonly Float32Array[]) =>
    tally.close('vectors', name, Float32Array.from(all.flatMap((each) => [...each])), expected(name), 1e-5)
  of('embedding', vectors)
  for (const [i, rows] of json.nearest_five.entries()) {
    const got = nearest(vectors, i, rows.length).join()
    tally.is(`the nearest five of sentence ${i}`, got === rows.join(), got)
  }
  const published = await model.embed(tokenizer, json.published.sentences)
  of('published_embedding', published)
  for (const [i, row] of json.published.similarity.entries())
    for (const [j, similarity] of row.entries()) {
      const got = dot(published[i] as Float32Array, published[j] as Float32Array)
      // The page rounds to four digits.
      tally.is(`the published similarity of ${i} and ${j}`, Math.abs(got - similarity) <= 1e-4, `${got}`)
    }
  return tally.result()
}
