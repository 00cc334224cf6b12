/** Reports of a test set, and model cards. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import * as f from '../../lib/index.js'

const { nn, optim } = f

/** Returns its input, because the batches hold the scores. */
class Passing extends nn.Module {
  readonly scale = new nn.Parameter(f.ones([1]))

  forward(x: f.Tensor): f.Tensor {
    return x.mul(this.scale)
  }
}

/** Always the first class. */
class First extends Passing {
  override forward(x: f.Tensor): f.Tensor {
    return x.mul(0).add(f.tensor([1, 0, 0]))
  }
}

const trainerOf = (model: Passing = new Passing()) =>
  new f.Trainer(model, {
    optimizer: new optim.SGD(model.parameters(), { lr: 0.1 }),
    loss: nn.functional.crossEntropy,
    metrics: { accuracy: f.metrics.accuracy },
  })

const logs = (...rows: readonly (readonly number[])[]) => f.tensor(rows.map((row) => row.map(Math.log)))
/** Six rows in two batches of different lengths; rows 2 and 5 are wrong. */
const test = () =>
  [
    [
      logs([0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.85, 0.05, 0.1], [0.1, 0.3, 0.6]),
      f.tensor([0, 1, 2, 2], { dtype: 'int32' }),
    ],
    [logs([0.95, 0.04, 0.01], [0.3, 0.4, 0.3]), f.tensor([0, 0], { dtype: 'int32' })],
  ] as [f.Tensor, f.Tensor][]

describe('a report', () => {
  it('has metrics, confusion, calibration and the worst rows', async () => {
    const report = await trainerOf().report(test(), { worst: 2 })
    expect(report.rows).toBe(6)
    const own = [0.7, 0.8, 0.1, 0.6, 0.95, 0.3]
    expect(report.loss).toBeCloseTo(own.reduce((sum, each) => sum - Math.log(each), 0) / 6, 5)
    expect(report.metrics['accuracy']?.value).toBeCloseTo(4 / 6, 6)
    const { confusion, calibration, worst, ignored } = report.classes as f.ClassesReport
    expect(confusion).toEqual([
      [2, 1, 0],
      [0, 1, 0],
      [1, 0, 1],
    ])
    expect(worst.map(({ row, label, predicted }) => [row, label, predicted])).toEqual([
      [2, 2, 0],
      [5, 0, 1],
    ])
    const named = await trainerOf().report(test(), { worst: 3, classes: ['a', 'b', 'c'] })
    expect(String(named)).toMatch(
      /row 2: c, taken for a \(.*\)\n {2}row 5: a, taken for b \(.*\)\n {2}row 3: c, which is right \(/,
    )
    const placed = await trainerOf().report(test(), { worst: 1, rowName: (row) => `rows.csv:${row + 1}` })
    expect(placed.classes?.worst[0]).toMatchObject({ row: 2, name: 'rows.csv:3' })
    expect(named.classes?.worst[0]?.name).toBe(null)
    expect(String(placed)).toContain('\n  rows.csv:3: 2, taken for 0 (')
    await expect(trainerOf().report(test(), { rowName: 'line' as never })).rejects.toThrow(
      /rowName is 'line'|rowName is a string/,
    )
    expect(ignored).toBe(0)
    expect(calibration.reduce((sum, { count }) => sum + count, 0)).toBe(6)
    const [bin] = calibration.slice(8, 9)
    // Only 0.85 is used, because 0.8 as the exponential of a float32 may fall on either side of the border.
    expect([bin?.from, bin?.to]).toEqual([0.8, 0.9])
    expect(calibration[9]).toMatchObject({ count: 1, accuracy: 1 })
    expect(calibration[9]?.confidence).toBeCloseTo(0.95, 5)
    expect(calibration[0]).toEqual({ from: 0, to: 0.1, count: 0, confidence: null, accuracy: null })
    expect(report.classes?.calibrationError).toBeGreaterThan(0.2)
  })

  it('has intervals that are the quantiles of resamples, the same for the same seed', async () => {
    // Half of 40 rows are right, so a resample's accuracy is binomial: mean 0.5, deviation 0.079.
    const rows = Array.from({ length: 40 }, (_, i) => (i % 2 === 0 ? [0.9, 0.1] : [0.1, 0.9]))
    const set = [[logs(...rows), f.zeros([40], { dtype: 'int32' })]] as [f.Tensor, f.Tensor][]
    const accuracy = async (options: object) =>
      (await trainerOf().report(set, options)).metrics['accuracy'] as f.MetricReport
    const first = await accuracy({ seed: 1 })
    expect(first).toEqual(await accuracy({ seed: 1 }))
    expect(await accuracy({ seed: 1, resamples: 7 })).not.toEqual(await accuracy({ seed: 2, resamples: 7 }))
    expect(first.value).toBe(0.5)
    expect(Math.abs((first.low as number) - (0.5 - 1.96 * 0.079))).toBeLessThan(0.04)
    expect(Math.abs((first.high as number) - (0.5 + 1.96 * 0.079))).toBeLessThan(0.04)
    const narrow = await accuracy({ confidence: 0.5 })
    expect((narrow.high as number) - (narrow.low as number)).toBeLessThan(0.15)
    expect(await accuracy({ resamples: 0 })).toEqual({
      value: 0.5,
      low: null,
      high: null,
      base: null,
      difference: null,
    })
  })

  it('holds a base model against it, on the same resamples, and tells what was forgotten', async () => {
    const same = await trainerOf().report(test(), { against: new Passing(), resamples: 20 })
    expect(same.metrics['accuracy']?.difference).toEqual({ value: 0, low: 0, high: 0 })
    expect(same.baseLoss).toBe(same.loss)
    const before = [[logs([0.1, 0.9, 0.1], [0.1, 0.9, 0.1]), f.zeros([2], { dtype: 'int32' })]] as [
      f.Tensor,
      f.Tensor,
    ][]
    const report = await trainerOf().report(test(), { against: new First(), forgetting: before, resamples: 20 })
    expect(report.metrics['accuracy']?.base?.value).toBe(0.5)
    expect(report.metrics['accuracy']?.difference?.value).toBeCloseTo(1 / 6, 6)
    expect(report.forgetting?.metrics['accuracy']).toMatchObject({
      value: 0,
      base: { value: 1 },
      difference: { value: -1 },
    })
    expect(String(report)).toMatch(/accuracy 0\.66667 \(.*\), base 0\.5 .*, more by 0\.16667/)
    expect(String(report)).toMatch(/of before: 2 rows/)
  })

  it('leaves rows without a label out, and counts them', async () => {
    const [[scores], second] = test() as [[f.Tensor, f.Tensor], [f.Tensor, f.Tensor]]
    const set = [[scores, f.tensor([0, 1, -100, 2], { dtype: 'int32' })], second] as [f.Tensor, f.Tensor][]
    const model = new Passing()
    const trainer = new f.Trainer(model, {
      optimizer: new optim.SGD(model.parameters(), { lr: 0.1 }),
      loss: nn.functional.crossEntropy,
    })
    const { classes } = await trainer.report(set)
    expect(classes?.ignored).toBe(1)
    expect(classes?.confusion.flat().reduce((sum, count) => sum + count, 0)).toBe(5)
  })

  it('of a regression has its metrics alone', async () => {
    const model = new Passing()
    const trainer = new f.Trainer(model, {
      optimizer: new optim.SGD(model.parameters(), { lr: 0.1 }),
      loss: f.mseLoss,
      metrics: { mae: f.metrics.mae },
    })
    const report = await trainer.report([[f.tensor([[1], [2], [3]]), f.tensor([[1], [2], [6]])]])
    expect([report.classes, report.metrics['mae']?.value]).toEqual([null, 1])
  })

  it('is saved as a page without scripts, escaped, as data and as text', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'firesteel-report-'))
    try {
      const report = await trainerOf().report(test(), { classes: ['<b>good</b>', 'bad', '"so&so"'], resamples: 10 })
      const read = async (name: string) => {
        await report.save(join(folder, name))
        return readFileSync(join(folder, name), 'utf8')
      }
      const html = await read('report.html')
      expect(html).toContain('&lt;b&gt;good&lt;/b&gt;')
      expect(html).not.toMatch(/<script|<b>|src=|href=|undefined/)
      expect(JSON.parse(await read('report.json'))).toMatchObject({ rows: 6, classes: { ignored: 0 } })
      expect(await read('report.txt')).toContain('calibration error')
      await expect(report.save('report.pdf')).rejects.toThrow('must end in .html, .json or .txt')
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

  it.each<[RegExp, f.ReportOptions<never>]>([
    [/resamples is 10001, but must be a whole number from 0 to 10000/, { resamples: 10_001 }],
    [/confidence is 1, but must be between 0 and 1/, { confidence: 1 }],
    [/classes has 2 names, but the model has 3 classes/, { classes: ['a', 'b'], resamples: 0 }],
    [/model is the number 3/, { against: 3 as never }],
    [/there is no option again/, { again: 1 } as never],
  ])('says %s', async (message, options) => {
    await expect(trainerOf().report(test(), options as never)).rejects.toThrow(message)
  })

  it('refuses batches that are none, and rows of different shapes', async () => {
    await expect(trainerOf().report([])).rejects.toThrow('[Trainer.report] there are no batches for the report')
    const [first] = test() as [[f.Tensor, f.Tensor]]
    const other = [f.rand([2, 4]), f.zeros([2], { dtype: 'int32' })] as const
    await expect(trainerOf().report([first, other])).rejects.toThrow(
      'rows of the output in batch 2 have a different shape than before',
    )
  })
})

describe('a model card', () => {
  it('says what it was told, with figures and versions, and nothing else', async () => {
    const report = await trainerOf().report(test(), { against: new First(), resamples: 10 })
    const card = f.modelCard({
      name: 'Moods',
      base: './bert-base-chinese',
      data: ['reviews.csv', 'a | <b>'],
      language: ['zh'],
      license: 'apache-2.0',
      training: 'Three epochs of AdamW.',
      history: { epochs: [{ epoch: 2, loss: 0.25, seconds: 1, lr: 0.1, validation: { loss: 0.5 } }], stopped: null },
      report,
    })
    expect(card).toMatch(
      /^---\nlibrary_name: firesteel\nbase_model: ".\/bert-base-chinese"\nlicense: "apache-2.0"\nlanguage:\n- "zh"\n---\n\n# Moods\n/,
    )
    expect(card).toContain('- a \\| &lt;b&gt;')
    expect(card).toContain('3 epochs; after the last one:')
    expect(card).toContain('| validation loss | 0.5 |')
    expect(card).toMatch(/\| accuracy \| 0\.6667 \(.*\) \| 0\.5 \(.*\) \| 0\.1667 /)
    expect(card).toMatch(/Firesteel \d+\.\d+\.\d+\S*, Node v\d+/)
    const run = {
      model: { parameters: 2000, trainable: 10 },
      config: { "lr of the optimizer's group 0": '0.1', "lr of the optimizer's group 1": '0.2', schedule: null },
    }
    const hub = f.modelCard({ name: 'x', library: 'peft', task: 'text-classification', report, run })
    expect(hub).toMatch(
      /^---\nlibrary_name: peft\npipeline_tag: text-classification\ntags:\n- firesteel\nmodel-index:\n/,
    )
    expect(hub).toContain('    - type: "accuracy"\n      value: 0.666')
    expect(hub).toContain('| weights | 2,000 |\n| weights that learned | 10 |\n| lr | 0.1, 0.2 |\n\n## Evaluation')
    const bare = f.modelCard({ name: 'x' })
    expect(bare).not.toMatch(/## Data|## Training|## Evaluation|base_model|undefined/)
  })

  it.each<[RegExp, object]>([
    [/name is '', but must be a text/, { name: '' }],
    [/data is 'x.csv', but must be a list of texts/, { name: 'x', data: 'x.csv' }],
    [/report is the number 3, but must be a result of trainer.report/, { name: 'x', report: 3 }],
    [/run is the number 3, but must be the parsed content of run.json/, { name: 'x', run: 3 }],
    [/there is no option title/, { name: 'x', title: 'y' }],
  ])('says %s', (message, options) => expect(() => f.modelCard(options as never)).toThrow(message))
})
