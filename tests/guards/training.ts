/** Sound calls of the Trainer and its kin: callbacks, loggers, reports, searches. */
import { join } from 'node:path'
import * as f from '../../lib/index.js'
import { type PublicCall, t } from '../cases/sound.js'
import { collector } from './collect.js'
import { folder } from './folder.js'
import { model } from './modules.js'

const { nn, optim } = f
const { entries, add, make } = collector()

const regression = (m = new nn.Linear(3, 2)) => ({
  m,
  options: {
    optimizer: new optim.SGD(m.parameters(), { lr: 0.1 }),
    loss: f.mseLoss,
    metrics: {},
    callbacks: [],
    clipGradNorm: 1,
    precision: 'float32',
  },
})
make('Trainer', f.Trainer, () => {
  const { m, options } = regression()
  return [m, options]
})
/** Stops after the first epoch, because some calls ask for a training of 2^31 epochs. */
const trainer = () => {
  const { m, options } = regression()
  const once: f.Callback = { onEpochEnd: (_, { stop }) => stop('once is enough') }
  return new f.Trainer(m, { ...options, callbacks: [once] } as never)
}
export const batches = () => [[t(2, 3), t(2, 2)]]
add(
  'fit',
  (data, options) => trainer().fit(data, options),
  () => [batches(), { epochs: 1, validation: batches(), progress: false }],
  'Trainer',
)
add(
  'evaluate',
  (data, options) => trainer().evaluate(data, options),
  () => [batches(), { model: new nn.Linear(3, 2) }],
  'Trainer',
  'linear',
)
add(
  'report',
  (data, options) => trainer().report(data, options),
  () => [
    batches(),
    {
      ...{ against: new nn.Linear(3, 2), forgetting: batches(), resamples: 2, confidence: 0.9, seed: 1, worst: 3 },
      classes: ['a', 'b'],
    },
  ],
  'Trainer.report',
  'Trainer',
  'linear',
)
add('modelCard', f.modelCard as never, () => [
  {
    name: 'x',
    base: 'y',
    data: ['z'],
    history: { epochs: [], stopped: null },
    report: { rows: 1, loss: 1, baseLoss: null, metrics: {} },
  },
])
make('Ensemble', f.Ensemble as never, () => [[model(), model()], { combine: 'votes', dim: -1 }])
add(
  'Ensemble.forward',
  (x) => new f.Ensemble([model(), model()]).forward(x),
  () => [t(2, 3)],
  'linear',
)
add('averageWeights', f.averageWeights as never, () => [[model(), model()], { into: model(), greedy: () => 1 }])
add('snapshots', f.snapshots as never, () => [{ every: 2 }])
make(
  'earlyStopping',
  class {
    constructor(o: never) {
      f.earlyStopping(o)
    }
  },
  () => [{ monitor: 'loss', patience: 2, minDelta: 0.1, mode: 'min', restoreBest: true }],
)
add('bestWeights', f.bestWeights as never, () => [{ monitor: 'validation.loss', minDelta: 0.1, mode: 'min' }])
add(
  'findLearningRate',
  f.findLearningRate as never,
  () => [
    new f.Trainer(...(Object.values(regression()) as [f.nn.Linear, never])),
    batches(),
    { from: 1e-5, to: 1, steps: 10, diverged: 4 },
  ],
  'Trainer.steps',
)
add(
  'check',
  (data, options) => trainer().check(data, options),
  () => [batches(), { validation: batches(), steps: 2, rows: 10, memory: '1 GB' }],
  'Trainer.check',
)
add(
  'predictMemory',
  (data, options) => trainer().predictMemory(data, options),
  () => [batches(), { parts: 2, checkpointing: false }],
  'Trainer.predictMemory',
)
add('consoleLogger', f.consoleLogger as never, () => [{ steps: true }])
add('csvLogger', f.csvLogger as never, () => [join(folder, 'table.csv'), { rows: 'step' }])
add('jsonLines', f.jsonLines as never, () => [join(folder, 'events.jsonl')])
add('tensorBoard', f.tensorBoard as never, () => [join(folder, 'board')])
add('choice', f.choice, () => [64, 'x', null])
add('uniform', f.uniform, () => [0, 0.5])
add('logUniform', f.logUniform, () => [1e-5, 1e-2])
add('integer', f.integer, () => [1, 3])
/** Whether this is an options object without options, with which a comparison would take five seconds. */
const isBare = (value: unknown) =>
  typeof value === 'object' &&
  value !== null &&
  Object.keys(value).length === 0 &&
  (Object.getPrototypeOf(value) ?? Object.prototype) === Object.prototype
const compare: typeof f.compare = (devices, make, options) =>
  f.compare(devices, make, isBare(options) ? { seconds: 0 } : options)
add('compare', compare, () => [['cpu'], () => () => 1, { losses: 1, seconds: 0.001 }])

let searches = 0
add('search', f.search as never, () => [
  join(folder, `search-${searches++}`),
  {
    ...{ space: { x: f.uniform(0, 1) }, trials: 2, minimise: 'loss', method: 'random', seed: 1 },
    ...{ halving: { epochs: [1, 2] }, prune: 'median' },
  },
  () => 1,
])
add('progressBar', f.progressBar, () => [process.stderr])

export const trainingCalls: readonly PublicCall[] = entries
