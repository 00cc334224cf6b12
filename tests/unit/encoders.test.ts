import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { noGrad } from '../../lib/autograd/mode.js'
import { setDefaultDevice } from '../../lib/backend/devices.js'
import { Generator } from '../../lib/core/generator.js'
import type { Tensor } from '../../lib/core/tensor.js'
import { loadTensors, saveTensors } from '../../lib/io/tensors.js'
import { type Architecture, fromConfig } from '../../lib/models/architecture.js'
import { bertArchitectures } from '../../lib/models/bert.js'
import { distilbertArchitectures } from '../../lib/models/distilbert.js'
import { AutoModel, type PretrainedModel } from '../../lib/models/index.js'
import { robertaArchitectures } from '../../lib/models/roberta.js'
import { Parameter } from '../../lib/nn/module.js'
import { tensor } from '../../lib/ops/creation.js'

setDefaultDevice('reference')
const root = mkdtempSync(join(tmpdir(), 'firesteel-encoders-'))
afterAll(() => rmSync(root, { recursive: true }))

const sizes = {
  vocab_size: 20,
  hidden_size: 8,
  num_attention_heads: 2,
  num_hidden_layers: 2,
  intermediate_size: 12,
  max_position_embeddings: 10,
  hidden_dropout_prob: 0,
  attention_probs_dropout_prob: 0,
} as const
const distilled = {
  vocab_size: 20,
  dim: 8,
  n_heads: 2,
  n_layers: 1,
  hidden_dim: 12,
  max_position_embeddings: 10,
  dropout: 0,
  attention_dropout: 0,
} as const
const make = <C extends object, M extends PretrainedModel<C>>(of: Architecture<C, M>, more: object = {}): M =>
  fromConfig(
    'test',
    of,
    { ...(of.modelTypes[0] === 'distilbert' ? distilled : sizes), ...more },
    { generator: new Generator(5) },
  )
const int = (values: readonly (number | readonly number[])[]) => tensor(values as number[][], { dtype: 'int32' })
const ids = () =>
  int([
    [3, 1, 4, 1, 5, 9],
    [2, 6, 5, 3, 1, 1],
  ])
const numbers = (x: Tensor) => Array.from(x.dataSync() as Float32Array)
const log = () => undefined

let pretrained: string
beforeAll(async () => {
  pretrained = join(root, 'pretrained')
  await make(bertArchitectures.preTraining).save(pretrained, { log })
})

describe('a folder with other heads', () => {
  it('gives its body to a new head, whose classes are named', async () => {
    await expect(AutoModel.forSequenceClassification(pretrained)).rejects.toThrow(/missing: classifier\.weight/)
    const model = await AutoModel.forSequenceClassification(pretrained, { labels: ['bad', 'good', 'odd'] })
    expect(model.config.labels).toEqual(['bad', 'good', 'odd'])
    expect(model.newWeights).toEqual(['classifier.weight', 'classifier.bias'])
    const trained = make(bertArchitectures.preTraining)
    const names = new Map(model.namedParameters())
    for (const name of ['bert.pooler.dense.weight', 'bert.embeddings.word_embeddings.weight'])
      expect(numbers(names.get(name) as Tensor)).toEqual(numbers(trained.stateDict().get(name) as Tensor))
    expect(new Set(numbers(names.get('classifier.weight') as Tensor)).size).toBeGreaterThan(20)
    expect(model.forward(ids()).shape).toEqual([2, 3])
    const path = join(root, 'classifier')
    await model.save(path, { log })
    const again = await AutoModel.forSequenceClassification(path, { labels: ['bad', 'good', 'odd'] })
    expect(numbers(again.forward(ids()))).toEqual(numbers(model.forward(ids())))
    expect(again.newWeights).toEqual([])
    expect((await AutoModel.forSequenceClassification(path)).config.labels).toEqual(['bad', 'good', 'odd'])
  })

  it('keeps all but the layers of other sizes, if the classes are others', async () => {
    const path = join(root, 'three')
    const labels = ['a', 'b', 'c']
    const made = make(robertaArchitectures.sequenceClassification, { id2label: { 0: 'a', 1: 'b', 2: 'c' } })
    await made.save(path, { log })
    const load = AutoModel.forSequenceClassification
    await expect(load(path, { labels: ['x', 'y'] })).rejects.toThrow(/classifier\.out_proj\.weight/)
    const lines: string[] = []
    const settings = { ignoreMismatchedSizes: true, log: (line: string) => lines.push(line) }
    const other = await load(path, { labels: ['x', 'y'], ...settings })
    expect(lines).toEqual([
      `classifier.out_proj begins with new weights: classifier.out_proj.weight is [3, 8] in ${path}/model.safetensors, but [2, 8] in the model`,
    ])
    expect(other.newWeights).toEqual(['classifier.out_proj.weight', 'classifier.out_proj.bias'])
    expect(other.config.labels).toEqual(['x', 'y'])
    const state = other.stateDict()
    // As in transformers, the layer before the last one has its size, so it stays.
    for (const [name, own] of made.stateDict())
      if (!name.startsWith('classifier.out_proj'))
        expect(numbers(state.get(name) as Tensor), name).toEqual(numbers(own))
    expect(new Set(numbers(state.get('classifier.out_proj.weight') as Tensor)).size).toBeGreaterThan(10)
    expect(other.forward(ids()).shape).toEqual([2, 2])
    lines.length = 0
    expect((await load(path, { labels, ...settings })).newWeights).toEqual([])
    const tagger = await AutoModel.forTokenClassification(path, { labels, newHead: true, ...settings })
    expect(lines).toEqual([
      `classifier begins with new weights: classifier.dense.weight is [8, 8] in ${path}/model.safetensors, but the model has none`,
    ])
    expect(tagger.newWeights).toEqual(['classifier.weight', 'classifier.bias'])
  })

  it('refuses a body of another size, and a missing head that nobody asked for', async () => {
    const path = join(root, 'three')
    const json = { ...JSON.parse(readFileSync(join(path, 'config.json'), 'utf8')), intermediate_size: 16 } as object
    const other = join(root, 'wider')
    mkdirSync(other)
    writeFileSync(join(other, 'config.json'), JSON.stringify(json))
    cpSync(join(path, 'model.safetensors'), join(other, 'model.safetensors'))
    const settings = { ignoreMismatchedSizes: true, log }
    await expect(AutoModel.forSequenceClassification(other, settings)).rejects.toThrow(/intermediate\.dense\.weight/)
    await expect(AutoModel.forSequenceClassification(pretrained, settings)).rejects.toThrow(/missing: classifier/)
    for (const wrong of [{ ignoreMismatchedSizes: 1 }, { log: 'stdout' }])
      await expect((async () => AutoModel.forTokenClassification(path, wrong as object))()).rejects.toThrow(
        new RegExp(`${Object.keys(wrong)[0]} is`),
      )
  })

  it('is a body alone too, and takes its names without a prefix and of old files', async () => {
    const body = await AutoModel.forEmbedding(pretrained)
    const states = numbers(body.forward(ids()))
    const path = join(root, 'body')
    await body.save(path, { log })
    const old = new Map(
      [...(await loadTensors(path))].map(([name, x]) => [
        name.replace('LayerNorm.weight', 'LayerNorm.gamma').replace('LayerNorm.bias', 'LayerNorm.beta'),
        x,
      ]),
    )
    expect([...old.keys()]).toContain('embeddings.LayerNorm.gamma')
    old.set('embeddings.position_ids', int([[0, 1]]))
    await saveTensors(join(path, 'model.safetensors'), old)
    expect(numbers((await AutoModel.forEmbedding(path)).forward(ids()))).toEqual(states)
    const tagger = await AutoModel.forTokenClassification(path, { newHead: true })
    expect(numbers(tagger.body.forward(ids()))).toEqual(states)
  })

  it('refuses labels that are no names, and unknown problems', async () => {
    const load = AutoModel.forSequenceClassification
    for (const labels of [[], ['a', 'a'], ['a', 2] as unknown as string[]])
      await expect((async () => load(pretrained, { labels }))()).rejects.toThrow(/labels are/)
    const problemType = 'ranking' as 'regression'
    await expect((async () => load(pretrained, { problemType }))()).rejects.toThrow(/problemType is 'ranking'/)
  })
})

describe('a masked language model', () => {
  it('whose head was trained apart is saved untied, with both names of the bias', async () => {
    const model = make(bertArchitectures.maskedLM)
    const head = model.outputHead()
    expect(head.weight).toBe(model.inputEmbedding().weight)
    head.weight = noGrad(() => new Parameter(head.weight.mul(2)))
    const path = join(root, 'untied')
    await model.save(path, { log })
    expect(JSON.parse(readFileSync(join(path, 'config.json'), 'utf8'))).toMatchObject({ tie_word_embeddings: false })
    expect([...(await loadTensors(path)).keys()]).toEqual(
      expect.arrayContaining([
        'cls.predictions.bias',
        'cls.predictions.decoder.bias',
        'cls.predictions.decoder.weight',
      ]),
    )
    const again = await AutoModel.forMaskedLM(path)
    expect(numbers(again.forward(ids()))).toEqual(numbers(model.forward(ids())))
  })

  it('learns the labels that are not -100', () => {
    const model = make(distilbertArchitectures.maskedLM)
    const labels = int([
      [-100, 4, -100, -100, -100, 7],
      [-100, -100, -100, -100, -100, -100],
    ])
    const { total, count } = model.loss(ids(), { labels })
    expect((count as Tensor).item()).toBe(2)
    const logits = numbers(model.eval().forward(ids()))
    const cost = (column: number, label: number) => {
      const row = logits.slice(column * 20, column * 20 + 20)
      return Math.log(row.reduce((sum, x) => sum + Math.exp(x), 0)) - (row[label] as number)
    }
    expect(total.item()).toBeCloseTo(cost(1, 4) + cost(5, 7), 4)
    expect(() => model.loss(ids(), { labels: int([[1]]) })).toThrow(/labels is \[1, 1\], but must be \[2, 6\]/)
    expect(() => model.forward(ids(), { tokenTypeIds: ids() })).toThrow(/no embedding for them/)
  })
})

describe('positions', () => {
  it('of RoBERTa count what is no padding, whatever the mask says, and end before the table does', () => {
    const model = make(robertaArchitectures.embedding, { pad_token_id: 1 })
    const positions = int([
      [2, 1, 3, 1, 4, 5],
      [2, 3, 4, 5, 1, 1],
    ])
    expect(numbers(model.forward(ids()))).toEqual(numbers(model.forward(ids(), { positions })))
    const columns = (count: number) => int([Array.from({ length: count }, () => 3)])
    expect(model.forward(columns(8)).shape).toEqual([1, 8, 8])
    expect(() => model.forward(columns(9))).toThrow(/9 columns, but the model has 8 positions/)
    expect(() => make(robertaArchitectures.embedding, { pad_token_id: null })).toThrow(/pad_token_id is null/)
  })
})

describe('a vector of a text', () => {
  it('is the mean of its tokens, of length 1, whatever padding holds', () => {
    const model = make(bertArchitectures.embedding)
    const attentionMask = int([
      [1, 1, 1, 0, 0, 0],
      [1, 1, 1, 1, 1, 1],
    ])
    const got = numbers(model.embed(ids(), { attentionMask }))
    const short = numbers(model.embed(int([[3, 1, 4]])))
    expect(Math.hypot(...short)).toBeCloseTo(1, 5)
    short.forEach((value, i) => void expect(got[i]).toBeCloseTo(value, 5))
  })
})

describe('several choices', () => {
  it('are scored each by itself', () => {
    for (const model of [
      make(bertArchitectures.multipleChoice),
      make(robertaArchitectures.multipleChoice),
      make(distilbertArchitectures.multipleChoice),
    ]) {
      model.eval()
      const both = int([
        [3, 1, 4],
        [2, 6, 5],
      ])
      const scores = model.forward(both.reshape([1, 2, 3]))
      expect(scores.shape).toEqual([1, 2])
      const swapped = model.forward(
        int([
          [2, 6, 5],
          [3, 1, 4],
        ]).reshape([1, 2, 3]),
      )
      expect(numbers(swapped)).toEqual(numbers(scores).reverse())
      const { total, count } = model.loss(both.reshape([1, 2, 3]), { labels: int([1]) })
      expect((count as Tensor).item()).toBe(1)
      const [first, second] = numbers(scores) as [number, number]
      expect(total.item()).toBeCloseTo(Math.log(Math.exp(first) + Math.exp(second)) - second, 5)
      expect(() => model.forward(both)).toThrow(/must be \[B, choices, T\]/)
    }
  })
})

describe('answers', () => {
  it('that lie outside of the text are not learned', () => {
    const model = make(bertArchitectures.questionAnswering).eval()
    const loss = (start: number, end: number) =>
      model.loss(ids(), { startPositions: int([2, start]), endPositions: int([3, end]) })
    expect((loss(5, 5).count as Tensor).item()).toBe(4)
    expect((loss(6, 7).count as Tensor).item()).toBe(2)
    expect(loss(-1, 5).total.item()).toBe(loss(0, 5).total.item())
  })
})

describe('labels of texts', () => {
  it('mean what the configuration says, else what their dtype and number say', () => {
    const yes = tensor([
      [1, 0, 1],
      [0, 0, 1],
    ])
    const three = { id2label: { 0: 'a', 1: 'b', 2: 'c' } }
    const inferred = make(bertArchitectures.sequenceClassification, three)
    const told = make(bertArchitectures.sequenceClassification, {
      ...three,
      problem_type: 'multi_label_classification',
    })
    expect(inferred.loss(ids(), { labels: yes }).total.item()).toBe(told.loss(ids(), { labels: yes }).total.item())
    expect((inferred.loss(ids(), { labels: int([2, 0]) }).count as Tensor).item()).toBe(2)
    expect(() => told.loss(ids(), { labels: int([2, 0]) })).toThrow(/labels/)
    const one = make(bertArchitectures.sequenceClassification, { num_labels: 1 })
    const output = numbers(one.forward(ids()))
    const wanted = output.reduce((sum, x, i) => sum + (x - i) ** 2, 0)
    expect(one.loss(ids(), { labels: tensor([0, 1]) }).total.item()).toBeCloseTo(wanted, 5)
    expect(() => make(bertArchitectures.sequenceClassification, { id2label: { 1: 'b' } })).toThrow(/id2label/)
  })
})

describe('settings', () => {
  it('that this BERT does not have are refused', () => {
    const wrong = { position_embedding_type: 'relative_key', is_decoder: true, num_attention_heads: 3 }
    for (const name of Object.keys(wrong)) expect(() => make(bertArchitectures.embedding, wrong)).toThrow(name)
  })

  it('of a folder that has none of the heads are told', async () => {
    const path = join(root, 'gpt')
    await make(bertArchitectures.embedding).save(path, { log })
    const config = join(path, 'config.json')
    writeFileSync(config, readFileSync(config, 'utf8').replace('"bert"', '"gpt2"'))
    await expect(AutoModel.forMaskedLM(path)).rejects.toThrow(
      /model_type is 'gpt2'.*known ones are bert, roberta, distilbert/,
    )
  })
})
