/** States that are loaded into a part with other options than the one that they are of. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { unfreezeGradually } from '../../lib/finetune/index.js'
import {
  bestWeights,
  earlyStopping,
  loadCheckpoint,
  nn,
  optim,
  saveCheckpoint,
  snapshots,
  tensor,
} from '../../lib/index.js'

const folder = mkdtempSync(join(tmpdir(), 'firesteel-options-'))
const path = join(folder, 'run.ckpt')
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const model = new nn.Linear(1, 1)
const deep = new nn.Sequential(new nn.Linear(1, 1), new nn.Linear(1, 1))
const sgd = (lr = 0.5, groups = 1) =>
  new optim.SGD(
    Array.from({ length: groups }, () => ({ params: [new nn.Parameter(tensor([1]))] })),
    { lr, momentum: 0.9 },
  )
const { rates } = optim
const warm = (steps: number) => rates.warmupConstant({ warmupSteps: steps })
/** Two makers of each part, the field in which their parts differ, and its two values. */
type Pair = readonly [name: string, make: (second: boolean) => object, field: string, before: string, now: string]

const schedule = (name: string, make: (optimizer: optim.SGD, second: boolean) => object) =>
  [name, (second: boolean) => make(sgd(), second)] as const
const pairs: readonly Pair[] = [
  [...schedule('StepLR', (o, b) => new optim.StepLR(o, { stepSize: b ? 2 : 3 })), 'stepSize', '3', '2'],
  [
    ...schedule('MultiStepLR', (o, b) => new optim.MultiStepLR(o, { milestones: [1, b ? 2 : 3] })),
    'milestones',
    '[1, 3]',
    '[1, 2]',
  ],
  [...schedule('ConstantLR', (o, b) => new optim.ConstantLR(o, b ? { factor: 0.5 } : {})), 'factor', '0.333', '0.5'],
  [...schedule('LinearLR', (o, b) => new optim.LinearLR(o, { totalIters: b ? 7 : 8 })), 'totalIters', '8', '7'],
  [...schedule('ExponentialLR', (o, b) => new optim.ExponentialLR(o, { gamma: b ? 0.5 : 1 })), 'gamma', '1', '0.5'],
  [...schedule('PolynomialLR', (o, b) => new optim.PolynomialLR(o, { power: b ? 2 : 3 })), 'power', '3', '2'],
  [...schedule('cosine', (o, b) => new optim.CosineAnnealingLR(o, { tMax: b ? 9 : 10 })), 'tMax', '10', '9'],
  [
    ...schedule('restarts', (o, b) => new optim.CosineAnnealingWarmRestarts(o, { t0: 4, tMult: b ? 2 : 1 })),
    'tMult',
    '1',
    '2',
  ],
  [...schedule('SWALR', (o, b) => new optim.SWALR(o, { swaLr: b ? 0.1 : 0.2 })), 'swaLr', '0.2', '0.1'],
  [
    ...schedule('WarmupConstantLR', (o, b) => new optim.WarmupConstantLR(o, { warmupSteps: b ? 1 : 2 })),
    'warmupSteps',
    '2',
    '1',
  ],
  [
    ...schedule('WarmupLinearLR', (o, b) => new optim.WarmupLinearLR(o, { warmupSteps: 1, totalSteps: b ? 5 : 6 })),
    'totalSteps',
    '6',
    '5',
  ],
  [
    ...schedule('WarmupCosineLR', (o, b) => {
      return new optim.WarmupCosineLR(o, { warmupSteps: 1, totalSteps: 5, etaMin: b ? 0.1 : 0 })
    }),
    'etaMin',
    '0',
    '0.1',
  ],
  [
    ...schedule('WarmupInverseSqrtLR', (o, b) => {
      return new optim.WarmupInverseSqrtLR(o, { warmupSteps: 5, ...(b && { timescale: 4 }) })
    }),
    'timescale',
    '5',
    '4',
  ],
  [
    ...schedule('WarmupStableDecayLR', (o, b) => {
      const decay = b ? 'cosine' : 'linear'
      return new optim.WarmupStableDecayLR(o, { warmupSteps: 1, totalSteps: 5, decaySteps: 2, decay })
    }),
    'decay',
    "'linear'",
    "'cosine'",
  ],
  [
    ...schedule('SlantedTriangularLR', (o, b) => new optim.SlantedTriangularLR(o, { totalSteps: 9, ratio: b ? 8 : 9 })),
    'ratio',
    '9',
    '8',
  ],
  [
    ...schedule('CyclicLR', (o, b) => new optim.CyclicLR(o, { baseLr: 0.1, maxLr: 1, ...(b && { maxMomentum: 1 }) })),
    'maxMomentum',
    '0.9',
    '1',
  ],
  [
    ...schedule('CyclicLR with a function', (o, b) => {
      return new optim.CyclicLR(o, { baseLr: 0.1, maxLr: 1, stepSizeUp: 10, scaleFn: () => (b ? 0.5 : 1) })
    }),
    'the rate of group 0 after 10 steps',
    '1',
    '0.55',
  ],
  [
    ...schedule('OneCycleLR', (o, b) => new optim.OneCycleLR(o, { maxLr: 1, totalSteps: 9, pctStart: b ? 0.3 : 0.5 })),
    'pctStart',
    '0.5',
    '0.3',
  ],
  [
    ...schedule('LambdaLR', (o, b) => new optim.LambdaLR(o, (steps) => (b ? 1 : 0.5 ** steps))),
    'the rate of group 0 after 1 steps',
    '0.5',
    '1',
  ],
  [
    ...schedule('Schedule', (o, b) => new optim.Schedule(o, (base, steps) => base * (b ? 1 : steps))),
    'the rate of group 0 after 0 steps',
    '0',
    '1',
  ],
  [
    ...schedule('SequentialLR', (o, b) => {
      return new optim.SequentialLR(o, [warm(3), rates.exponential({ gamma: b ? 0.5 : 0.25 })], { milestones: [3] })
    }),
    'rates[1].gamma',
    '0.25',
    '0.5',
  ],
  [
    ...schedule('ChainedScheduler', (o, b) => {
      return new optim.ChainedScheduler(o, [warm(b ? 3 : 2), (base: number) => base])
    }),
    'rates[0].warmupSteps',
    '2',
    '3',
  ],
  [
    ...schedule('ReduceLROnPlateau', (o, b) => new optim.ReduceLROnPlateau(o, { patience: b ? 3 : 2 })),
    'patience',
    '2',
    '3',
  ],
  ['ema', (b) => new optim.WeightAverage(model, optim.ema(b ? 0.9 : 0.99)), 'decay', '0.99', '0.9'],
  ['swa', (b) => new optim.WeightAverage(model, b ? optim.swa() : optim.ema(0.9)), 'averaging', "'ema'", "'swa'"],
  [
    'an own averaging',
    (b) => new optim.WeightAverage(model, (count) => (b ? 0.5 : 1 / (count + 1))),
    'the share of new weights after 10 steps',
    '0.0833333',
    '0.5',
  ],
  ['snapshots', (b) => snapshots({ every: b ? 2 : 3 }), 'every', '3', '2'],
  [
    'gradual unfreezing',
    (b) => {
      const callback = unfreezeGradually(deep, b ? { everySteps: 3 } : { everyEpochs: 3 })
      callback.onStart?.({} as never)
      return callback
    },
    'everyEpochs',
    '3',
    'null',
  ],
  ['early stopping', (b) => earlyStopping({ patience: b ? 5 : 4 }), 'patience', '4', '5'],
  [
    'best weights',
    (b) => bestWeights({ monitor: b ? 'loss' : 'validation.loss' }),
    'monitor',
    "'validation.loss'",
    "'loss'",
  ],
]

describe('a state of other options', () => {
  it.each(pairs)(
    'of %s is refused by the field, and one of the same options is not',
    async (_name, make, field, before, now) => {
      await saveCheckpoint(path, { part: make(false) })
      await loadCheckpoint(path, { part: make(false) })
      const loading = loadCheckpoint(path, { part: make(true) })
      await expect(loading).rejects.toThrow(`${field} is ${now}, but was ${before}`)
    },
  )

  it('of an optimiser is taken, as in PyTorch', async () => {
    await saveCheckpoint(path, { optimizer: sgd(0.25) })
    const optimizer = sgd(0.5)
    await loadCheckpoint(path, { optimizer })
    expect(optimizer.paramGroups).toMatchObject([{ lr: 0.25 }])
  })

  it('is not looked for in states of earlier versions', () => {
    const { options: _options, ...earlier } = new optim.StepLR(sgd(), { stepSize: 2 }).stateDict()
    const schedule = new optim.StepLR(sgd(), { stepSize: 3 })
    schedule.loadStateDict({ ...earlier, steps: 2 })
    expect(schedule.steps).toBe(2)
  })

  it('of the second of two groups is noticed, too', () => {
    const make = (second: number) => new optim.LambdaLR(sgd(0.5, 2), [() => 1, () => second])
    expect(() => make(2).loadStateDict(make(3).stateDict())).toThrow(
      'the rate of group 1 after 0 steps is 2, but was 3',
    )
  })
})
