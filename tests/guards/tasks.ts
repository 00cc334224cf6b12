/** Sound calls of tasks: objectives, rows of texts in tokens, and functions that take them. */
import * as finetune from '../../lib/finetune/index.js'
import * as f from '../../lib/index.js'
import type { PublicCall } from '../cases/sound.js'
import { wordpiece } from '../unit/tasks.js'
import { collector } from './collect.js'

const { entries, add } = collector()

const tokenizer = wordpiece()
const texts = [
  { text: 'it fits', other: 'a', label: 'x', words: ['it', 'fits'], tags: ['O', 'B'], score: 0.5 },
  { text: 'no binary', other: 'b', label: 'y', words: ['no'], tags: ['O'], score: -1 },
]
const asked = [{ q: 'what?', c: 'a backend', a: { text: 'backend', start: 2 } }]
const tokens = () => ({ ids: Int32Array.of(1, 2, 3), labels: Int32Array.of(-100, 2, 3) })
const rowsOf = () => new finetune.TokenizedRows([tokens()], (rows) => rows.length)
const model = () => new f.nn.Linear(2, 2)
const batches = () => [[f.rand([3, 2]), f.tensor([0, 1, 1], { dtype: 'int32' })]]

add('classification', finetune.classification, () => [
  { multiLabel: true, labelSmoothing: 0.1, classWeights: [1, 2], threshold: 0.4 },
])
add('regression', finetune.regression, () => [])
add('tokenClassification', finetune.tokenClassification as never, () => [
  { labelSmoothing: 0.1, classWeights: [1, 2], labels: ['O', 'B-X'] },
])
add('questionAnswering', finetune.questionAnswering, () => [])
add('causalLM', finetune.causalLM, () => [])
add('seq2seq', finetune.seq2seq, () => [{ labelSmoothing: 0.1 }])
add('sentenceEmbeddings', finetune.sentenceEmbeddings as never, () => [
  { loss: 'multipleNegatives', pooling: 'cls', scale: 10 },
])
add('sentenceEmbeddings', finetune.sentenceEmbeddings as never, () => [{ loss: 'triplet', margin: 0.5 }])
add('textRows', finetune.textRows as never, () => [
  texts,
  tokenizer,
  { text: 'text', pair: 'other', label: 'label', labels: ['x', 'y'], kind: 'class', maxLength: 8 },
])
add('tokenRows', finetune.tokenRows as never, () => [
  texts,
  tokenizer,
  { words: 'words', tags: 'tags', labels: ['O', 'B'], between: ' ', maxLength: 8 },
])
add('qaRows', finetune.qaRows as never, () => [
  asked,
  tokenizer,
  { question: 'q', context: 'c', answer: 'a', maxLength: 16, stride: 2 },
])
add('completionRows', finetune.completionRows as never, () => [
  texts,
  tokenizer,
  { prompt: 'other', completion: 'text', maxLength: 16, end: false },
])
add('paddedRows', finetune.paddedRows as never, () => [[tokens()], tokenizer])
add('pairRows', finetune.pairRows as never, () => [
  texts,
  tokenizer,
  { anchor: 'text', positive: 'other', score: 'score', maxLength: 16 },
])
add('seq2seqRows', finetune.seq2seqRows as never, () => [
  texts,
  tokenizer,
  { source: 'text', target: 'other', maxLength: 16, maxTargetLength: 16, targetTokenizer: tokenizer },
])
add(
  'TokenizedRows',
  (...args: never[]) => new finetune.TokenizedRows(...(args as unknown as [[], () => 1])),
  () => [[tokens()], (rows: readonly unknown[]) => rows.length, { labels: ['x'], cut: 1, skipped: { empty: 1 } }],
)
add('checkRows', finetune.checkRows as never, () => [rowsOf(), { config: { vocabSize: 5 } }])
add('byLength', finetune.byLength as never, () => [rowsOf(), { batchSize: 1, shuffle: true, seed: 1, prefetch: 1 }])
add('byLength', finetune.byLength as never, () => [rowsOf(), { tokens: 9 }])
add(
  'chooseThreshold',
  finetune.chooseThreshold as never,
  () => [model(), finetune.classification(), batches(), { maximise: 'accuracy', each: true }],
  'classification',
  'linear',
)

export const taskCalls: readonly PublicCall[] = entries
