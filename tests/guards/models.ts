/** Sound calls of `firesteel/models`: constructors, forward passes, losses, generation, classification and search. */
import * as f from '../../lib/index.js'
import { bertArchitectures } from '../../lib/models/bert.js'
import * as models from '../../lib/models/index.js'
import { type PublicCall, t } from '../cases/sound.js'
import { bertSizes, labelled, small, wordpiece } from '../unit/tasks.js'
import { collector } from './collect.js'
import { path } from './folder.js'

const { entries, add, make } = collector()
type Forward = { forward(...x: never[]): unknown }

const ids = (shape: number[] = [2, 3], below = 5) => f.randint(0, below, shape)
const generator = () => new f.Generator(1)
const mask = () => f.ones([2, 3], { dtype: 'int32' })
const tokenizer = wordpiece()
/** The arguments that all layers accept. */
const shared = () => ({ device: 'cpu', dtype: 'float32', generator: generator() })

// Models made by their sizes.
const gpt2Sizes = { vocabSize: 8, layers: 1, width: 4, heads: 2, context: 8 }
const t5Sizes = { vocabSize: 8, layers: 1, width: 4, heads: 2, headDim: 2, inner: 4 }
/** A function that gets small sizes if its options have none, because the default model is large. */
const sized =
  (make: (options: never) => unknown, sizes: object) =>
  (options: object): unknown => {
    const bare = typeof options === 'object' && options !== null && Object.keys(options).length === 0
    return make((bare && !Array.isArray(options) && !(options instanceof Map) ? sizes : options) as never)
  }
add('gpt2', sized(models.gpt2, gpt2Sizes), () => [
  {
    ...{ ...gpt2Sizes, inner: 8, dropout: 0.1, activation: 'relu', tieWordEmbeddings: false, endTokens: [1] },
    ...shared(),
  },
])
add('llama', sized(models.llama, gpt2Sizes), () => [
  { ...gpt2Sizes, keyHeads: 1, headDim: 4, inner: 8, base: 1e4, ...shared() },
])
add('t5', sized(models.t5, t5Sizes), () => [
  { ...t5Sizes, decoderLayers: 1, feedForward: 'gated-gelu', dropout: 0.1, ...shared() },
])

add('resnet', models.resnet as never, () => [18, { classes: 2, channels: 1, width: 1, ...shared() }])
const vitSizes = { classes: 2, channels: 1, imageSize: 4, patchSize: 2, width: 4, layers: 1, heads: 2 }
add('vit', sized(models.vit, vitSizes), () => [{ ...vitSizes, inner: 4, ...shared() }])

// Parts.
make('Conv1D', models.Conv1D as never, () => [3, 2, shared()])
const conv1d = new models.Conv1D(3, 2)
add(
  'Conv1D.forward',
  (x) => conv1d.forward(x),
  () => [t(4, 3)],
  'linear',
)
make('KvCache', models.KvCache, () => [8])
const filled = () => {
  const cache = new models.KvCache(8)
  f.noGrad(() => gpt2.forward(ids(), { cache }))
  return cache
}
add(
  'KvCache.reorder',
  (rows) => filled().reorder(rows),
  () => [[1, 0]],
)
add('generateBy', models.generateBy as never, () => [
  ({ ids: given }: models.TextsSoFar) => f.rand([given.sizes[0] as number, 5]),
  [[1, 2]],
  { beams: 2, stopTokens: [4], device: 'cpu', maxNewTokens: 3 },
])

// Decoders.
const gpt2 = models.gpt2({ ...gpt2Sizes, dropout: 0 })
const inputs = () => ({ attentionMask: mask(), positions: ids([2, 3], 3) })
for (const name of ['forward', 'hidden'] as const)
  add(
    `Gpt2.${name}`,
    (x, options) => gpt2[name](x, options),
    () => [ids(), inputs()],
    'embedding',
  )
add(
  'Gpt2.forward',
  (cache) => f.noGrad(() => gpt2.forward(ids(), { cache })),
  () => [new models.KvCache(8)],
)
for (const name of ['loss', 'tokenLogProbs'] as const)
  add(
    `Gpt2.${name}`,
    (x, options) => gpt2[name](x, options),
    () => [ids(), { ...inputs(), labels: ids(), documents: ids() }],
    'embedding',
    'Gpt2',
  )
add(
  'Gpt2.logits',
  (x) => gpt2.logits(x),
  () => [t(2, 4)],
  'linear',
)
add(
  'Gpt2.generate',
  (prompts, options) => gpt2.generate(prompts, options),
  () => [
    [[1, 2], [3]],
    { maxNewTokens: 3, minNewTokens: 1, beams: 2, returnSequences: 2, lengthPenalty: 0.5, earlyStopping: 'never' },
  ],
)
const sampling = () => ({
  ...{ maxNewTokens: 3, sample: true, temperature: 0.9, topK: 5, topP: 0.9, minP: 0.01, typicalP: 0.9 },
  ...{
    repetitionPenalty: 1.1,
    noRepeatNgramSize: 2,
    suppressTokens: [3],
    badWords: [[1, 2]],
    stopTokens: 4,
    stopStrings: 'x',
    tokenizer,
    seed: 1,
  },
})
add(
  'Gpt2.generate',
  (prompts, options) => gpt2.generate(prompts, options),
  () => [[1, 2], { ...sampling(), logProbs: true, returnSequences: 2 }],
)
add(
  'Gpt2.generate',
  (signal) => gpt2.generate([1, 2], { signal }),
  () => [new AbortController().signal],
)
const all = async (parts: AsyncIterable<unknown>) => {
  for await (const _ of parts);
}
add(
  'Gpt2.stream',
  (prompt, options) => all(gpt2.stream(prompt, options)),
  () => [[1, 2], sampling()],
)
const talking = models.gpt2({ ...gpt2Sizes, vocabSize: 1200, context: 32 })
add(
  'Gpt2.chat',
  (own, messages, options) => all(talking.chat(own, messages, options)),
  () => [
    tokenizer,
    [{ role: 'user', content: 'it' }],
    { template: '{{ messages[0].content }}', tools: [{ name: 'x' }], variables: { x: 1 }, maxNewTokens: 2 },
  ],
  'applyChatTemplate',
  'Gpt2.stream',
)
add(
  'Gpt2.resizeTokenEmbeddings',
  (count) => models.gpt2(gpt2Sizes).resizeTokenEmbeddings(count),
  () => [9],
)
add(
  'save',
  (to) => gpt2.save(to, { log: () => undefined }),
  () => [path('saved-model')],
  'Gpt2.save',
)
add(
  'save',
  (options) => gpt2.save('', options),
  () => [{ log: () => undefined }],
  'Gpt2.save',
)

// Encoder-decoders.
const t5 = models.t5({ ...t5Sizes, dropout: 0 })
add(
  'T5.encode',
  (x, options) => t5.encode(x, options),
  () => [ids(), { attentionMask: mask() }],
  'embedding',
)
add(
  'T5.decode',
  (x, source, options) => f.noGrad(() => t5.decode(x, source, options)),
  () => [ids(), t5.encode(ids()), { cache: new models.KvCache(8) }],
  'embedding',
)
add(
  'Source.reorder',
  (rows) => t5.encode(ids()).reorder(rows),
  () => [[1, 0]],
)
add(
  'T5.forward',
  (x, options) => t5.forward(x, options),
  () => [ids(), { attentionMask: mask(), decoderIds: ids(), labels: ids() }],
  'embedding',
  'T5.encode',
  'T5.decode',
  'T5.shiftRight',
)
add(
  'T5.loss',
  (x, options) => t5.loss(x, options),
  () => [ids(), { attentionMask: mask(), labels: ids(), labelSmoothing: 0.1 }],
  'embedding',
  'T5.encode',
  'T5.decode',
)
add(
  'T5.shiftRight',
  (labels) => t5.shiftRight(labels),
  () => [ids()],
)
add(
  'T5.logits',
  (x) => t5.logits(x),
  () => [t(2, 4)],
  'linear',
)
add(
  'T5.generate',
  (sources, options) => t5.generate(sources, options),
  () => [[[1, 2], [3]], { beams: 2, returnSequences: 2 }],
)
add(
  'T5.stream',
  (source) => all(t5.stream(source, { maxNewTokens: 2 })),
  () => [[1, 2]],
)
add(
  'T5.resizeTokenEmbeddings',
  (count) => models.t5(t5Sizes).resizeTokenEmbeddings(count),
  () => [9],
)
const translating = models.t5({ ...t5Sizes, vocabSize: 1200 })
add(
  'T5.translate',
  (own, texts, options: models.TranslateOptions) =>
    translating.translate(
      own,
      texts,
      options === null || typeof options !== 'object' ? options : { ...options, maxNewTokens: 2 },
    ),
  () => [tokenizer, ['it fits'], { prefix: 'to German: ', batchSize: 1 }],
)

// Encoders of texts, and their heads.
const encoderInputs = () => ({ attentionMask: mask(), tokenTypeIds: ids([2, 3], 2), positions: ids() })
const heads = {
  Bert: small(bertArchitectures.embedding),
  BertMaskedLM: small(bertArchitectures.maskedLM),
  BertSequenceClassifier: small(bertArchitectures.sequenceClassification, labelled('x', 'y')),
  TokenClassifier: small(bertArchitectures.tokenClassification, labelled('O', 'B-x')),
  QuestionAnswerer: small(bertArchitectures.questionAnswering),
  BertNextSentence: small(bertArchitectures.nextSentence),
  BertPreTraining: small(bertArchitectures.preTraining),
}
for (const model of Object.values(heads) as (Forward & object)[])
  add(
    `${model.constructor.name}.forward`,
    (x, options) => model.forward(x, options),
    () => [ids(), encoderInputs()],
    'embedding',
    'Bert',
  )
const choosing = small(bertArchitectures.multipleChoice)
add(
  `${choosing.constructor.name}.forward`,
  (x, options) => choosing.forward(x, options),
  () => [ids([2, 2, 3]), { attentionMask: f.ones([2, 2, 3], { dtype: 'int32' }) }],
  'embedding',
  'Bert',
)
const twoClasses = () => ids([2], 2)
const losses: readonly (readonly [{ loss(...given: never[]): unknown }, () => object, number[]?])[] = [
  [heads.BertMaskedLM, () => ({ labels: ids() })],
  [heads.BertSequenceClassifier, () => ({ labels: twoClasses() })],
  [heads.TokenClassifier, () => ({ labels: ids([2, 3], 2) })],
  [heads.QuestionAnswerer, () => ({ startPositions: ids([2], 3), endPositions: ids([2], 3) })],
  [heads.BertNextSentence, () => ({ labels: twoClasses() })],
  [heads.BertPreTraining, () => ({ labels: ids(), nextSentenceLabels: twoClasses() })],
  [choosing, () => ({ labels: twoClasses() }), [2, 2, 3]],
]
for (const [model, labels, shape] of losses)
  add(
    `${model.constructor.name}.loss`,
    (x, options) => model.loss(x, options),
    () => [ids(shape), labels()],
    'embedding',
    'crossEntropy',
    'Bert',
    model.constructor.name,
  )
add(
  'Bert.embed',
  (x, options) => heads.Bert.embed(x, options),
  () => [ids(), { attentionMask: mask() }],
  'embedding',
  'Bert',
)
add(
  'Bert.embed',
  (own, texts, options) => heads.Bert.embed(own, texts, options),
  () => [tokenizer, ['it fits', 'no'], { batchSize: 1, maxLength: 8, pooling: 'max', normalize: false }],
  'Bert',
)
add(
  'BertMaskedLM.fill',
  (own, texts, options) => heads.BertMaskedLM.fill(own, texts, options),
  () => [tokenizer, ['it [MASK]'], { batchSize: 1, maxLength: 8, topK: 2, targets: ['it', 'no'] }],
)
add(
  'BertSequenceClassifier.classify',
  (own, texts, options) => heads.BertSequenceClassifier.classify(own, texts, options),
  () => [
    tokenizer,
    ['it fits', { text: 'a', pair: 'b' }],
    { batchSize: 1, maxLength: 8, activation: 'sigmoid', threshold: [0.5, 0.4] },
  ],
)
add(
  'TokenClassifier.tag',
  (own, texts, options) => heads.TokenClassifier.tag(own, texts, options),
  () => [tokenizer, ['it fits'], { batchSize: 1, aggregation: 'average', ignore: [], maxLength: 8, stride: 2 }],
)
const question = () => ({ question: 'what?', context: 'it fits a backend' })
const answering = () => ({
  ...{ batchSize: 1, maxLength: 16, stride: 2, maxAnswerTokens: 3, noAnswer: true, wholeWords: false },
})
add(
  'QuestionAnswerer.answer',
  (own, questions, options) => heads.QuestionAnswerer.answer(own, questions, options),
  () => [tokenizer, [question(), question()], answering()],
)
add(
  'QuestionAnswerer.answers',
  (own, asked, options) => heads.QuestionAnswerer.answers(own, asked, options),
  () => [tokenizer, question(), { ...answering(), topK: 2 }],
  'QuestionAnswerer.answer',
)

// Models of images.
const vit = models.vit(vitSizes)
const resnet = models.resnet(18, { classes: 2, channels: 1, width: 1 })
for (const [name, model] of [
  ['Vit', vit],
  ['ResNet', resnet],
] as const) {
  const pixels = () => t(1, 1, 4, 4)
  const classifier = model.constructor.name
  model.eval()
  for (const method of ['forward', 'embed'] as const)
    add(
      `${name}.${method}`,
      (x) => model.body[method](x),
      () => [pixels()],
      name,
    )
  add(
    `${classifier}.loss`,
    (x, options) => model.loss(x, options),
    () => [pixels(), { labels: ids([1], 2) }],
    name,
    classifier,
  )
  add(
    `${classifier}.classify`,
    (x, options) => model.classify(x, options),
    () => [pixels(), { batchSize: 1, activation: 'softmax', threshold: 0.4 }],
    name,
    'ImageProcessor.pixels',
  )
}

// Models made from configurations.
const settings: { readonly [task: string]: () => object } = {
  forCausalLM: () => ({ model_type: 'gpt2', vocab_size: 8, n_layer: 1, n_embd: 4, n_head: 2, n_positions: 8 }),
  forSeq2Seq: () => ({ model_type: 't5', vocab_size: 8, num_layers: 1, d_model: 4, num_heads: 2, d_kv: 2, d_ff: 4 }),
  forImageEmbedding: () => image(),
  forImageClassification: () => image(),
}
const image = () => ({
  ...{ model_type: 'vit', image_size: 4, patch_size: 2, num_channels: 1, hidden_size: 4, intermediate_size: 4 },
  ...{ num_hidden_layers: 1, num_attention_heads: 2 },
})
const bert = () => ({ model_type: 'bert', ...bertSizes })
const more: { readonly [task: string]: object } = {
  forSequenceClassification: { labels: ['x', 'y'], problemType: 'regression' },
  forTokenClassification: { labels: ['x', 'y'] },
  forImageClassification: { labels: ['x', 'y'], log: () => undefined },
  forQuestionAnswering: { newHead: true },
}
for (const [task, load] of Object.entries(models.AutoModel)) {
  const settingsOf = settings[task] ?? bert
  const call = (from: unknown, options: unknown) => (load as (...given: unknown[]) => unknown)(from, options)
  // This is not a plain object, so that single settings stay as they are. Tests of models make those wrong.
  add(`AutoModel.${task}`, call, () => [Object.setPrototypeOf(settingsOf(), {}), {}])
  add(
    `AutoModel.${task}`,
    (options) => call(settingsOf(), options),
    () => [{ dtype: 'bfloat16', generator: generator(), ...more[task] }],
  )
}

export const modelCalls: readonly PublicCall[] = entries
