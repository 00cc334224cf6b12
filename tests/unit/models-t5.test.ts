import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { noGrad } from '../../lib/autograd/mode.js'
import { setDefaultDevice } from '../../lib/backend/devices.js'
import { memory } from '../../lib/backend/memory.js'
import { Generator } from '../../lib/core/generator.js'
import { scope } from '../../lib/core/scope.js'
import type { Tensor } from '../../lib/core/tensor.js'
import { applyLora } from '../../lib/finetune/index.js'
import { saveTensors } from '../../lib/io/tensors.js'
import { AutoModel, KvCache, Source, type T5Options, t5 } from '../../lib/models/index.js'
import { relativeBucket } from '../../lib/models/t5.js'
import { normal_ } from '../../lib/nn/init.js'
import { fromTypedArray, tensor } from '../../lib/ops/creation.js'
import { AutoTokenizer } from '../../lib/text/index.js'

setDefaultDevice('cpu')

const folder = mkdtempSync(join(tmpdir(), 'firesteel-t5-'))
afterAll(() => rmSync(folder, { recursive: true }))

const small = { vocabSize: 40, width: 16, heads: 2, headDim: 6, inner: 20, layers: 2, decoderLayers: 3 } as const
const make = (options: T5Options = {}) => t5({ ...small, generator: new Generator(3), ...options })
const ints = (rows: number[][]) => tensor(rows, { dtype: 'int32' })
const floats = (x: Tensor) => x.dataSync() as Float32Array
const sources = [
  [5, 9, 21, 3, 1],
  [7, 1],
  [30, 2, 2, 14, 8, 8, 1],
]

/** The best tokens, computed without a cache, each source alone. */
function bestOf(model: ReturnType<typeof make>, source: readonly number[], count: number): number[] {
  const read = [0]
  for (let i = 0; i < count; i++)
    scope(() =>
      noGrad(() => {
        const logits = model.forward(ints([[...source]]), { decoderIds: ints([read]) })
        read.push(
          logits
            .select(1, read.length - 1)
            .argmax(-1)
            .item() as number,
        )
      }),
    )
  return read.slice(1)
}

describe('buckets of distances', () => {
  it('are those of transformers where ranges begin and end', () => {
    // From `_relative_position_bucket` of transformers 5.24: the first distance of each bucket, for 32 buckets up to
    // 128.
    const begins = [0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 23, 32, 46, 64, 91]
    for (const [bucket, first] of begins.entries()) {
      expect(relativeBucket(-first, true, 32, 128)).toBe(bucket)
      if (bucket > 0) expect(relativeBucket(-first + 1, true, 32, 128)).toBe(bucket - 1)
      expect(relativeBucket(first, true, 32, 128)).toBe(first === 0 ? 0 : 16 + bucket)
    }
    expect(relativeBucket(-100_000, true, 32, 128)).toBe(15)
    const past = [0, 15, 16, 18, 19, 20, 21, 112, 113, 127, 128, 5000].map((far) =>
      relativeBucket(-far, false, 32, 128),
    )
    expect(past).toEqual([0, 15, 16, 16, 17, 17, 18, 30, 31, 31, 31, 31])
    expect(relativeBucket(3, false, 32, 128)).toBe(0)
  })
})

describe('T5 from nothing', () => {
  it('begins with the deviations of the paper', () => {
    const model = t5({
      vocabSize: 50,
      width: 64,
      heads: 4,
      headDim: 32,
      inner: 100,
      layers: 1,
      generator: new Generator(1),
    })
    const deviation = (name: string) => {
      const values = floats(model.stateDict().get(name) as Tensor)
      return Math.sqrt(values.reduce((sum, value) => sum + value * value, 0) / values.length)
    }
    const expected = {
      'shared.weight': 1,
      'encoder.block.0.layer.0.SelfAttention.q.weight': (64 * 32) ** -0.5,
      'encoder.block.0.layer.0.SelfAttention.k.weight': 1 / 8,
      'decoder.block.0.layer.1.EncDecAttention.o.weight': 128 ** -0.5,
      'decoder.block.0.layer.2.DenseReluDense.wi.weight': 1 / 8,
      'decoder.block.0.layer.2.DenseReluDense.wo.weight': 0.1,
    }
    for (const [name, wanted] of Object.entries(expected))
      expect(Math.abs(deviation(name) / wanted - 1), name).toBeLessThan(0.06)
    expect(deviation('decoder.final_layer_norm.weight')).toBe(1)
    expect(model.lmHead.weight).toBe(model.shared.weight)
    expect(make({ tieWordEmbeddings: false }).lmHead.weight).not.toBe(make().shared.weight)
  })

  it('has blocks from input to output, and a walk finds the embedding once', () => {
    const model = make()
    expect(model.blocks()).toHaveLength(5)
    const names = model.namedParameters().map(([name]) => name)
    expect(names.filter((name) => /shared|embed|head/.test(name))).toEqual(['shared.weight'])
    expect(names.filter((name) => /relative/.test(name))).toEqual([
      'encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight',
      'decoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight',
    ])
  })

  it('takes adapters on q and v by the names of the checkpoint', () => {
    const model = applyLora(make(), { rank: 2, targetModules: ['q', 'v'], generator: new Generator(1) })
    const trained = model.namedParameters().filter(([, { requiresGrad }]) => requiresGrad)
    // q and v of 2 + 2 * 3 attentions, with a pair of matrices each.
    expect(trained).toHaveLength(2 * 2 * 8)
    const { total } = model.loss(ints([[5, 1]]), { labels: ints([[7, 1]]) })
    total.backward()
    expect(trained.every(([, { grad }]) => grad !== null)).toBe(true)
  })

  it('refuses what it cannot be, by name', async () => {
    expect(() => t5({ ...small, feedForward: 'gated-swirl' as 'relu' })).toThrow(/feed_forward_proj.*gated-gelu/)
    expect(() => t5({ ...small, startToken: 40 })).toThrow(/decoder_start_token_id.*40/)
    expect(() => t5({ ...small, padToken: -1 })).toThrow(/pad_token_id is -1/)
    expect(() => t5({ ...small, endTokens: [40] })).toThrow(/eos_token_id/)
    expect(() => t5({ ...small, depth: 3 } as T5Options)).toThrow(/no option depth/)
    const json = { model_type: 't5', ...make().toConfig() }
    const of = (change: object) => AutoModel.forSeq2Seq({ ...json, ...change })
    await expect(of({ relative_attention_num_buckets: 3 })).rejects.toThrow(/relative_attention_num_buckets is 3/)
    await expect(of({ relative_attention_max_distance: 16 })).rejects.toThrow(/relative_attention_max_distance is 16/)
    await expect(of({ relative_attention_max_distance: 17 })).resolves.toBeDefined()
    await expect(of({ is_encoder_decoder: false })).rejects.toThrow(/is_encoder_decoder/)
    await expect(of({ sparse_step: 2 })).rejects.toThrow(/sparse_step is 2/)
    await expect(of({ model_type: 'bart' })).rejects.toThrow(/model_type is 'bart'.*t5, mt5/)
    await expect(of({ model_type: 'mt5', scale_decoder_outputs: true })).rejects.toThrow(/scale_decoder_outputs/)
  })
})

describe('a T5 folder', () => {
  const change = (path: string, changes: { readonly [name: string]: unknown }) => {
    const file = join(path, 'config.json')
    writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, 'utf8')), ...changes }))
  }
  const logitsOf = (model: { forward: ReturnType<typeof make>['forward'] }) =>
    noGrad(() => floats(model.forward(ints([[5, 9, 1]]), { decoderIds: ints([[0, 4]]) })))
  const open = async (path: string) => {
    const model = (await AutoModel.forSeq2Seq(path)).eval()
    return { model, tied: model.outputHead().weight === model.inputEmbedding().weight }
  }

  it('keeps a head of its own in the spellings of T5 1.1 and of transformers 5', async () => {
    const own = make({ tieWordEmbeddings: false, feedForward: 'gated-gelu' }).eval()
    const path = join(folder, 'own')
    await own.save(path, { log: () => undefined })
    for (const spelling of [
      { tie_word_embeddings: false, scale_decoder_outputs: false },
      { tie_word_embeddings: false, scale_decoder_outputs: undefined },
      { tie_word_embeddings: true, scale_decoder_outputs: false },
    ]) {
      change(path, spelling)
      const { model, tied } = await open(path)
      expect(tied).toBe(false)
      expect(logitsOf(model)).toEqual(logitsOf(own))
    }
    change(path, { tie_word_embeddings: true, scale_decoder_outputs: true })
    const scaled = logitsOf((await open(path)).model)
    expect(scaled).toEqual(logitsOf(own).map((value) => value / 4))
  })

  it('ties a head that the file lacks or has with the same values, and keeps what was said of scaling', async () => {
    const tied = make().eval()
    const path = join(folder, 'tied')
    await tied.save(path, { log: () => undefined })
    const weights = join(path, 'model.safetensors')
    const state = new Map(tied.stateDict())
    change(path, { tie_word_embeddings: undefined, scale_decoder_outputs: undefined })
    expect((await open(path)).tied).toBe(true)
    // The state of the first published folders, with all names of the shared memory, and a bias that nothing reads.
    state.set(
      'decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight',
      fromTypedArray(new Float32Array(64), [32, 2]),
    )
    expect([...state.keys()].filter((name) => /embed_tokens|lm_head|shared/.test(name))).toHaveLength(4)
    await saveTensors(weights, state)
    const all = await open(path)
    expect(all.tied).toBe(true)
    expect(logitsOf(all.model)).toEqual(logitsOf(tied))
    change(path, { tie_word_embeddings: false })
    for (const name of ['encoder.embed_tokens.weight', 'lm_head.weight']) {
      state.delete(name)
      await saveTensors(weights, state)
      expect((await open(path)).tied).toBe(true)
    }
    const unscaled = await open(path)
    expect(logitsOf(unscaled.model)).toEqual(logitsOf(tied).map((value) => value * 4))
    await unscaled.model.save(path, { log: () => undefined })
    expect(logitsOf((await open(path)).model)).toEqual(logitsOf(unscaled.model))
    state.set('lm_head.weight', fromTypedArray(new Float32Array(80), [5, 16]))
    await saveTensors(weights, state)
    await expect(open(path)).rejects.toThrow(/lm_head.weight is \[5, 16\], but must be \[40, 16\]/)
  })

  it('is resized, with its head', async () => {
    for (const tieWordEmbeddings of [true, false]) {
      const model = make({ tieWordEmbeddings }).eval()
      const before = logitsOf(model)
      expect(() => model.resizeTokenEmbeddings(0)).toThrow(/count is 0/)
      model.resizeTokenEmbeddings(43)
      const after = logitsOf(model)
      expect(after).toHaveLength(2 * 43)
      expect(after.slice(0, 40)).toEqual(before.slice(0, 40))
      for (const { embedTokens } of [model.encoder, model.decoder]) {
        expect(embedTokens.weight === model.shared.weight).toBe(true)
        expect(embedTokens.numEmbeddings).toBe(43)
      }
      expect(model.lmHead.weight === model.shared.weight).toBe(tieWordEmbeddings)
      await model.save(join(folder, `resized-${tieWordEmbeddings}`), { log: () => undefined })
    }
  })
})

describe('the loss of labels', () => {
  const model = make({ startToken: 2, padToken: 3 }).eval()
  const ids = ints([
    [5, 9, 1],
    [7, 1, 0],
  ])
  const attentionMask = ints([
    [1, 1, 1],
    [1, 1, 0],
  ])
  const labels = ints([
    [4, 6, 1],
    [8, -100, -100],
  ])

  it('shifts them right, counts those that are learned, and smooths', () => {
    expect([...model.shiftRight(labels).dataSync()]).toEqual([2, 4, 6, 2, 8, 3])
    const { total, count } = model.loss(ids, { attentionMask, labels })
    expect((count as Tensor).item()).toBe(4)
    const logits = model.forward(ids, { attentionMask, labels })
    const learned = [
      [0, 0, 4],
      [0, 1, 6],
      [0, 2, 1],
      [1, 0, 8],
    ] as const
    const logs = logits.logSoftmax(-1)
    const expected = learned.reduce(
      (sum, [b, t, id]) => sum - Number(logs.select(0, b).select(0, t).select(0, id).item()),
      0,
    )
    expect(total.item()).toBeCloseTo(expected, 4)
    const smooth = model.loss(ids, { attentionMask, labels, labelSmoothing: 0.1 }).total.item() as number
    const even = learned.reduce((sum, [b, t]) => sum - Number(logs.select(0, b).select(0, t).mean().item()), 0)
    expect(smooth).toBeCloseTo(0.9 * expected + 0.1 * even, 4)
  })

  it('is the same by a head with a hook, which must see the logits', () => {
    const plain = model.loss(ids, { attentionMask, labels }).total.item() as number
    let seen: readonly number[] = []
    const hook = model.lmHead.registerForwardHook((_, _x, y) => {
      seen = [...(y as Tensor).sizes]
    })
    expect(model.loss(ids, { attentionMask, labels }).total.item()).toBeCloseTo(plain, 4)
    hook.remove()
    expect(seen).toEqual([2, 3, 40])
  })

  it('refuses what does not fit', () => {
    expect(() => model.loss(ids, { labels: ints([[1, 2]]) })).toThrow(/the source has 2 rows/)
    expect(() => model.loss(ids, { labels, decoderIds: ints([[2], [2]]) })).toThrow(
      /labels are \[2, 3\], but decoderIds \[2, 1\]/,
    )
    expect(() => model.forward(ids, {})).toThrow(/neither decoderIds nor labels/)
    expect(() => model.loss(ids, { labels: fromTypedArray(new Float32Array(6), [2, 3]) })).toThrow(/labels/)
    expect(() => model.encode(ids, { attentionMask: ints([[1]]) })).toThrow(/attentionMask is \[1, 1\]/)
    expect(() => model.decode(ids, {} as Source)).toThrow(/a result of encode\(\)/)
    expect(() => model.decode(ids, model.encode(ids), { cache: new KvCache(3) })).toThrow(/noGrad/)
  })
})

describe('writing from a source', () => {
  const model = make({ dropout: 0.4, tieWordEmbeddings: false })
  // The outputs of a new model hardly depend on the source.
  const generator = new Generator(4)
  for (const [name, weight] of model.namedParameters())
    if (/EncDec|SelfAttention\.v/.test(name)) normal_(weight, 0, 1.5, { generator })
  const tokensOf = (texts: readonly { readonly tokens: readonly number[] }[]) => texts.map(({ tokens }) => tokens)

  it('takes the best tokens, of sources of different lengths, in evaluation mode', async () => {
    const written = tokensOf(await model.generate(sources, { maxNewTokens: 9 }))
    expect(model.training).toBe(true)
    model.eval()
    expect(written).toEqual(sources.map((source) => bestOf(model, source, 9)))
    expect(new Set(written.map(String)).size).toBe(3)
    model.train()
  })

  it('reads each source once, and makes cross-attention of it once, however many beams and tokens', async () => {
    let [read, projected] = [0, 0]
    const attention = model.decoder.block[1]?.layer[1].inner as { readonly k: typeof model.lmHead }
    const hooks = [
      model.encoder.registerForwardHook(() => void read++),
      attention.k.registerForwardHook(() => void projected++),
    ]
    await model.generate(sources, { maxNewTokens: 6, beams: 3 })
    for (const hook of hooks) hook.remove()
    expect([read, projected]).toEqual([1, 1])
  })

  it('searches beams in a batch as each source alone', async () => {
    const options = { maxNewTokens: 8, beams: 3, returnSequences: 2, stopTokens: 11 } as const
    const together = await model.generate(sources, options)
    const alone = (await Promise.all(sources.map((source) => model.generate(source, options)))).flat()
    expect(tokensOf(together)).toEqual(tokensOf(alone))
    for (const [i, { score }] of together.entries()) expect(score).toBeCloseTo(alone[i]?.score as number, 4)
  })

  it('lets rows end by themselves', async () => {
    const plain = tokensOf(await model.generate(sources, { maxNewTokens: 9 }))
    const stop = plain[1]?.[3] as number
    const cut = await model.generate(sources, { maxNewTokens: 9, stopTokens: stop })
    cut.forEach(({ tokens }, i) => {
      const row = plain[i] as readonly number[]
      const end = row.indexOf(stop)
      expect(tokens).toEqual(end < 0 ? row : row.slice(0, end + 1))
    })
    expect(cut[1]?.finish).toBe('token')
  })

  it('streams, draws by a seed, and frees all', async () => {
    const source = sources[0] as number[]
    const [plain = []] = tokensOf(await model.generate(source, { maxNewTokens: 7 }))
    const streamed: number[] = []
    for await (const token of model.stream(source, { maxNewTokens: 7 })) streamed.push(token)
    expect(streamed).toEqual(plain)
    const drawn = { maxNewTokens: 7, temperature: 2, seed: 5 }
    expect(tokensOf(await model.generate(sources, drawn))).toEqual(tokensOf(await model.generate(sources, drawn)))
    const before = memory().tensors
    await model.generate(sources, { maxNewTokens: 9, stopTokens: plain[2] as number })
    await model.generate(sources, { maxNewTokens: 5, beams: 2 })
    expect(memory().tensors).toBe(before)
  })

  it('translates a text, and several in their order', async () => {
    const tokenizer = await AutoTokenizer.load(join(import.meta.dirname, '../models/data/tokenizers/unigram'))
    const wide = make({ vocabSize: tokenizer.size, endTokens: [1] })
    const options = { maxNewTokens: 5, prefix: 'say: ' }
    const texts = ['a longer text of the two', 'a text', 'text']
    const many = await wide.translate(tokenizer, texts, { ...options, batchSize: 2 })
    expect(many).toEqual(await Promise.all(texts.map((text) => wide.translate(tokenizer, text, options))))
    const [first] = await wide.generate([...tokenizer.encode('say: text').ids], { maxNewTokens: 5, tokenizer })
    expect(many[2]).toBe(first?.text)
    expect(await wide.translate(tokenizer, [])).toEqual([])
    await expect(wide.translate(tokenizer, 5 as never)).rejects.toThrow(
      /is the number 5, but must be a text, or a list of them/,
    )
    await expect(wide.translate(tokenizer, texts, { batchSize: 0 })).rejects.toThrow(/batchSize is 0/)
    await expect(wide.translate(tokenizer, texts, { tokenizer } as never)).rejects.toThrow(/no option tokenizer/)
  })

  it('refuses sources that are none', async () => {
    await expect(model.generate([[]])).rejects.toThrow(/empty/)
    await expect(model.generate([[40]])).rejects.toThrow(/40.*0 to 39/)
    model.generationConfig = { decoder_start_token_id: 40 }
    await expect(model.generate(sources)).rejects.toThrow(/decoder_start_token_id.*40/)
    model.generationConfig = null
  })
})

describe('a source', () => {
  it('is shared by beams of a text, and picked where texts leave', () => {
    const states = fromTypedArray(Float32Array.from([1, 2, 3]), [3, 1, 1])
    const beams = new Source(states, null).reorder([0, 0, 1, 1, 2, 2])
    expect([beams.states, beams.copies, beams.rows]).toEqual([states, 2, 6])
    expect(beams.reorder([1, 0, 2, 2, 5, 5])).toBe(beams)
    const left = beams.reorder([0, 1, 4, 5])
    expect([...floats(left.states)]).toEqual([1, 3])
    expect([left.copies, left.rows]).toEqual([2, 4])
    const uneven = left.reorder([0, 2, 2])
    expect([[...floats(uneven.states)], uneven.copies]).toEqual([[1, 3, 3], 1])
    expect(() => uneven.reorder([3])).toThrow(/places among the 3 rows/)
    expect(() => states.dataSync()).toThrow(/disposed|freed/)
  })
})
