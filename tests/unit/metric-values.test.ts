/**
 * Metrics: what they accept and refuse, and cases that the golden files lack: empty passes, NaN, ignored labels,
 * dimensions.
 */
import { describe, expect, it } from 'vitest'
import {
  DTypeError,
  full,
  metrics,
  movedim,
  narrow,
  randint,
  randn,
  ShapeError,
  type Tensor,
  tensor,
  ValueError,
  zeros,
} from '../../lib/index.js'
import { stemOf } from '../../lib/train/metrics/text/stemmer.js'
import { tokenizers } from '../../lib/train/metrics/text/tokenizers.js'

const { measure } = metrics
const labels = (values: number[] | number[][]) => tensor(values, { dtype: 'int32' }) as Tensor
const floats = (values: number[] | number[][]) => tensor(values as number[]) as Tensor

const ofClasses = {
  accuracy: metrics.accuracy(),
  topK: metrics.topK(2),
  f1: metrics.f1({ average: 'macro' }),
  balancedAccuracy: metrics.balancedAccuracy(),
  cohenKappa: metrics.cohenKappa(),
  matthews: metrics.matthews(),
  logLoss: metrics.logLoss(),
  brier: metrics.brier(),
  calibrationError: metrics.calibrationError(),
  perplexity: metrics.perplexity(),
  rocAuc: metrics.rocAuc(),
  averagePrecision: metrics.averagePrecision(),
  prAuc: metrics.prAuc(),
} as const

describe.each(Object.entries(ofClasses))('%s', (_name, metric: metrics.ResumableMetric) => {
  it('is NaN of nothing, and of labels that are ignored', async () => {
    expect(await metric.fresh().compute()).toBeNaN()
    expect(await measure(metric, randn([3, 4]), labels([-100, -100, -100]))).toBeNaN()
  })

  it('leaves ignored labels out', async () => {
    const [x, y] = [randn([12, 3]), [0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2]]
    const some = y.map((label, i) => (i < 8 ? label : -100))
    const value = await measure(metric, x, labels(some))
    expect(value).toBeCloseTo(await measure(metric, narrow(x, 0, 0, 8), labels(y.slice(0, 8))), 6)
  })

  it('takes classes along dimension 1 or the last', async () => {
    const [x, y] = [randn([4, 3, 5]), randint(0, 3, [4, 5])]
    const first = await measure(metric, x, y)
    expect(await measure(metric, movedim(x, 1, 2), y)).toBeCloseTo(first, 12)
  })

  it('refuses labels that are floats, of another number of rows, and weights of another shape', () => {
    const update = (...given: readonly [Tensor, Tensor, Tensor?]) => metric.fresh().update(...given)
    expect(() => update(randn([2, 3]), zeros([2]))).toThrow(DTypeError)
    expect(() => update(randn([2, 3]), labels([0, 1, 2]))).toThrow(ShapeError)
    expect(() => update(randn([2, 3]), labels([0, 1]), randn([3]))).toThrow('sampleWeight is [3], but must be [2]')
  })
})

describe('classes', () => {
  it('binary is the default, and for two classes', async () => {
    expect(await measure(metrics.precision(), floats([2, -1, 3, 0.5]), labels([1, 1, 0, 1]))).toBeCloseTo(2 / 3, 12)
    expect(() => metrics.f1().update(randn([2, 3]), labels([0, 1]))).toThrow(
      "average is 'binary', but there are 3 classes",
    )
    expect(() => metrics.f1({ average: 'samples' }).update(randn([2, 3]), labels([0, 1]))).toThrow('multilabel: true')
  })

  it('labels may be given instead of scores, with how many classes there are', async () => {
    const [said, is] = [labels([0, 1, 1]), labels([0, 1, 2])]
    const own = metrics.recall({ average: 'none', classes: 4, zeroDivision: Number.NaN })
    expect(await measure(own, said, is)).toEqual([1, 1, 0, Number.NaN])
    expect(() => metrics.recall({ average: 'macro' }).update(said, is)).toThrow('give classes')
    expect(await measure(metrics.recall({ average: 'macro', classes: 4, zeroDivision: Number.NaN }), said, is)).toBe(
      2 / 3,
    )
    expect(await measure(metrics.accuracy(), said, is)).toBeCloseTo(2 / 3, 6)
  })

  it('thresholds are of probabilities, whatever the outputs are', async () => {
    const [p, y] = [[0.3, 0.45, 0.8], labels([1, 1, 1])]
    const logits = p.map((each) => Math.log(each / (1 - each)))
    for (const [outputs, from] of [
      [p, 'probabilities'],
      [logits, 'logits'],
    ] as const)
      expect(await measure(metrics.recall({ from, threshold: 0.4 }), floats(outputs), y)).toBeCloseTo(2 / 3, 12)
  })

  it('batches of other numbers of classes are refused', () => {
    const metric = metrics.confusionMatrix()
    metric.update(randn([2, 3]), labels([0, 1]))
    expect(() => metric.update(randn([2, 4]), labels([0, 1]))).toThrow('4 classes, but those before had 3')
    expect(() => metrics.confusionMatrix().update(randn([1, 4097]), labels([0]))).toThrow('at most 4096')
    expect(() => metrics.f1({ labels: [3], average: 'macro' }).update(randn([2, 3]), labels([0, 1]))).toThrow(
      'labels has 3',
    )
  })

  it('top k ranks NaN above all, and equal scores by their classes', async () => {
    expect(await measure(metrics.topK(1), floats([[1, 1]]), labels([0]))).toBe(0)
    expect(await measure(metrics.topK(1), floats([[1, 1]]), labels([1]))).toBe(1)
    expect(await measure(metrics.topK(1), floats([[Number.NaN, 1]]), labels([0]))).toBe(0)
    expect(await measure(metrics.topK(1), floats([[Number.NaN, 1]]), labels([1]))).toBe(0)
    expect(await measure(metrics.topK(2), floats([[Number.NaN, 1]]), labels([0]))).toBe(1)
  })

  it('a probability of nothing costs 36 nats, and one of two logits that far apart', async () => {
    const most = -Math.log(2 ** -52)
    expect(await measure(metrics.logLoss({ from: 'probabilities' }), floats([[1, 0]]), labels([1]))).toBeCloseTo(
      most,
      6,
    )
    expect(await measure(metrics.logLoss(), floats([[1000, 0]]), labels([1]))).toBeCloseTo(most, 6)
    expect(await measure(metrics.logLoss(), floats([-1000]), labels([1]))).toBeCloseTo(most, 6)
    expect(await measure(metrics.perplexity(), floats([[3, 0]]), labels([1]))).toBeCloseTo(1 + Math.exp(3), 4)
  })
})

describe('order', () => {
  it('scores of NaN make areas NaN, and have no curve', async () => {
    const [x, y] = [floats([Number.NaN, 1]), labels([0, 1])]
    for (const make of [metrics.rocAuc, metrics.averagePrecision, metrics.prAuc])
      expect(await measure(make(), x, y)).toBeNaN()
    await expect(measure(metrics.rocCurve(), x, y)).rejects.toThrow('[rocCurve] scores that are NaN')
  })

  it('infinities are the first and the last', async () => {
    const x = floats([Number.POSITIVE_INFINITY, 0, Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY])
    expect(await measure(metrics.rocAuc(), x, labels([1, 1, 0, 1]))).toBe(1)
  })

  it('an area where one class has all items is NaN', async () => {
    expect(await measure(metrics.rocAuc(), floats([1, 2]), labels([1, 1]))).toBeNaN()
    expect(await measure(metrics.averagePrecision(), floats([1, 2]), labels([0, 0]))).toBe(0)
  })
})

describe('numbers', () => {
  it('are NaN of nothing, and of NaN', async () => {
    const makers = [metrics.mae, metrics.rmse, metrics.r2, metrics.explainedVariance, metrics.maxError, metrics.pearson]
    for (const make of [...makers, metrics.medianAbsoluteError, metrics.spearman]) {
      expect(await make().compute()).toBeNaN()
      expect(await measure(make(), floats([1, Number.NaN, 3]), floats([1, 2, 4]))).toBeNaN()
    }
  })

  it('that do not vary have an r2 of 1 or 0', async () => {
    const same = full([3], 2)
    expect(await measure(metrics.r2(), same, same)).toBe(1)
    expect(await measure(metrics.r2(), floats([1, 2, 3]), same)).toBe(0)
    expect(await measure(metrics.r2(), floats([1]), floats([1]))).toBeNaN()
  })

  it('of other shapes are refused', () => {
    expect(() => metrics.mse().update(zeros([3, 1]), zeros([3]))).toThrow('[mse] outputs are [3, 1], targets [3]')
    expect(() => metrics.spearman().update(zeros([3]), zeros([3]), zeros([3]))).toThrow('takes no sampleWeight')
  })
})

describe('language', () => {
  it('bytes are those of the pass, or of each batch', async () => {
    const [x, y] = [zeros([4, 2]), labels([0, 1, 1, -100])]
    expect(await measure(metrics.bitsPerByte({ bytes: 6 }), x, y)).toBeCloseTo(0.5, 6)
    const metric = metrics.bitsPerByte({ bytes: ({ numel }) => numel })
    for (let i = 0; i < 2; i++) metric.update(x, y)
    expect(await metric.compute()).toBeCloseTo(6 / 8, 6)
    expect(() => metrics.bitsPerByte({ bytes: 0 })).toThrow('[bitsPerByte] bytes is 0')
  })
})

describe('texts', () => {
  it('are NaN of none, and refused where they are not texts', async () => {
    const makers = [metrics.bleu, metrics.chrf, metrics.ter, metrics.wordErrorRate, metrics.characterErrorRate]
    for (const make of makers) {
      const metric: metrics.TextMetric = make()
      expect(await metric.compute()).toBeNaN()
      expect(() => metric.update('a' as never, ['a'])).toThrow(ValueError)
      expect(() => metric.update(['a'], ['a', 'b'])).toThrow('there are 1 hypotheses, but references for 2')
      expect(() => metric.update(['a', 'b'], [['a'], []])).toThrow('hypothesis 1 has no references')
      expect(() => metric.update(['a', 3 as never], [['a'], ['b']])).toThrow('the number 3, but must be a string')
      expect(await metric.compute()).toBeNaN()
    }
  })

  it('are changed and split as the program says', async () => {
    const transform = (text: string) => text.toLowerCase().replace(/[^\w ]/g, '')
    expect(await measure(metrics.wordErrorRate({ transform }), ['Hello, world'], ['hello world!'])).toBe(0)
    expect(() => metrics.wordErrorRate().update(['a'], [['a', 'b']])).toThrow('2 references, but must have one')
    const tokenize = (text: string) => text.split('-')
    expect(await measure(metrics.bleu({ tokenize, maxOrder: 1 }), ['a-b'], ['b-a'])).toBeCloseTo(100, 9)
    expect(await measure(metrics.rouge({ type: 'rougeL', stem: true }), ['running quickly'], ['runs quickly'])).toBe(1)
  })

  it('give Chinese no silent zero', async () => {
    const characters = metrics.rouge({ type: 'rougeL', tokenize: (text: string) => [...text] })
    expect(await measure(characters, ['床前看月光'], ['床前明月光'])).toBeCloseTo(0.8, 12)
    const latin = metrics.rouge({ type: 'rouge1' })
    expect(() => latin.update(['床前看月光'], ['床前明月光'])).toThrow(
      'give tokenize, such as (text) => [...text] for Chinese',
    )
    expect(await measure(latin, ['床前看月光', ''], ['the moon', '!'])).toBe(0)
    expect(await measure(latin, ['GPT 训练'], ['GPT 模型'])).toBe(1)
    expect(() => metrics.rouge({ tokenize: 'zh' as never })).toThrow("tokenize is 'zh', but must be a function")
  })

  it('part as sacrebleu parts them', () => {
    expect(tokenizers['13a']('It\'s 3.5, "ok". A&amp;B\nend-')).toEqual([
      "It's",
      '3.5',
      ',',
      '"',
      'ok',
      '"',
      '.',
      'A',
      '&',
      'B',
      'end-',
    ])
    expect(tokenizers.zh('我用AI, 好→😀a')).toEqual(['我', '用', 'AI', ',', '好', '→', '😀a'])
    expect(tokenizers.intl('1,000 été, 5$!')).toEqual(['1,000', 'été', ',', '5', '$', '!'])
    expect(tokenizers.char('a 😀b')).toEqual(['a', '😀', 'b'])
    expect(tokenizers.none('a\u2003b\u001cc\ufeff')).toEqual(['a', 'b', 'c\ufeff'])
  })

  it.each([
    ['caresses', 'caress'],
    ['ponies', 'poni'],
    ['ties', 'tie'],
    ['agreed', 'agre'],
    ['plastered', 'plaster'],
    ['hopping', 'hop'],
    ['falling', 'fall'],
    ['filing', 'file'],
    ['enjoy', 'enjoy'],
    ['happy', 'happi'],
    ['relational', 'relat'],
    ['theology', 'theolog'],
    ['skies', 'sky'],
    ['adoption', 'adopt'],
    ['controlling', 'control'],
    ['syzygy', 'syzygi'],
  ])('the stem of %s is %s', (word, stem) => expect(stemOf(word)).toBe(stem))
})
