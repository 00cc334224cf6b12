/** Sound calls of optimisers, schedules and averages of weights, each with every option. */
import * as f from '../../lib/index.js'
import type { PublicCall } from '../cases/sound.js'

const { optim } = f

type Options = { readonly [name: string]: unknown }
type Optimizer = new (params: f.Tensor[], options: never) => unknown
type Schedule = new (optimizer: f.optim.SGD, options: never) => unknown

const weights = (): f.Tensor[] => [f.zeros([3, 2], { requiresGrad: true })]
const sgd = () => new optim.SGD(weights(), { lr: 0.1, momentum: 0.9 })

/** Optimisers that are updated with operators alone. */
const optimizers: readonly (readonly [string, Optimizer, Options])[] = [
  [
    'RMSprop',
    optim.RMSprop,
    { lr: 0.1, alpha: 0.9, eps: 1e-6, weightDecay: 0.1, momentum: 0.8, centered: true, maximize: true },
  ],
  [
    'Adagrad',
    optim.Adagrad,
    { lr: 0.1, lrDecay: 0.1, weightDecay: 0.1, initialAccumulatorValue: 0.5, eps: 1e-6, maximize: true },
  ],
  ['Adadelta', optim.Adadelta, { lr: 1, rho: 0.8, eps: 1e-6, weightDecay: 0.1, maximize: true }],
  ['Adamax', optim.Adamax, { lr: 0.1, betas: [0.8, 0.9], eps: 1e-6, weightDecay: 0.1, maximize: true }],
  [
    'NAdam',
    optim.NAdam,
    {
      lr: 0.1,
      betas: [0.8, 0.9],
      eps: 1e-6,
      weightDecay: 0.1,
      momentumDecay: 0.1,
      decoupledWeightDecay: true,
      maximize: true,
    },
  ],
  [
    'RAdam',
    optim.RAdam,
    { lr: 0.1, betas: [0.8, 0.9], eps: 1e-6, weightDecay: 0.1, decoupledWeightDecay: true, maximize: true },
  ],
  [
    'Adafactor',
    optim.Adafactor,
    { lr: 0.1, beta2Decay: -0.5, eps: [null, 1e-3], d: 2, weightDecay: 0.1, maximize: true },
  ],
  [
    'LBFGS',
    optim.LBFGS,
    {
      lr: 0.5,
      maxIter: 4,
      maxEval: 6,
      toleranceGrad: 1e-6,
      toleranceChange: 1e-8,
      historySize: 5,
      lineSearchFn: 'strongWolfe',
    },
  ],
  ['Rprop', optim.Rprop, { lr: 0.1, etas: [0.4, 1.5], stepSizes: [1e-5, 10], maximize: true }],
  ['ASGD', optim.ASGD, { lr: 0.1, lambd: 0.01, alpha: 0.5, t0: 2, weightDecay: 0.1, maximize: true }],
  ['Lion', optim.Lion, { lr: 0.1, betas: [0.8, 0.9], weightDecay: 0.1, maximize: true }],
  [
    'Muon',
    optim.Muon,
    {
      lr: 0.1,
      weightDecay: 0.1,
      momentum: 0.9,
      nesterov: false,
      nsCoefficients: [3.4445, -4.775, 2.0315],
      eps: 1e-6,
      nsSteps: 3,
      adjustLr: 'matchRmsAdamw',
    },
  ],
]

const schedules: readonly (readonly [string, Schedule, Options])[] = [
  ['ConstantLR', optim.ConstantLR, { factor: 0.5, totalIters: 3 }],
  ['LinearLR', optim.LinearLR, { startFactor: 0.1, endFactor: 0.9, totalIters: 10 }],
  ['StepLR', optim.StepLR, { stepSize: 2, gamma: 0.5 }],
  ['MultiStepLR', optim.MultiStepLR, { milestones: [2, 4], gamma: 0.5 }],
  ['ExponentialLR', optim.ExponentialLR, { gamma: 0.5 }],
  ['PolynomialLR', optim.PolynomialLR, { totalIters: 4, power: 2 }],
  ['CosineAnnealingLR', optim.CosineAnnealingLR, { tMax: 10, etaMin: 0.01 }],
  ['CosineAnnealingWarmRestarts', optim.CosineAnnealingWarmRestarts, { t0: 3, tMult: 2, etaMin: 0.01 }],
  ['SWALR', optim.SWALR, { swaLr: 0.05, annealSteps: 3, annealStrategy: 'linear' }],
  ['WarmupConstantLR', optim.WarmupConstantLR, { warmupSteps: 2 }],
  ['WarmupLinearLR', optim.WarmupLinearLR, { warmupSteps: 2, totalSteps: 10 }],
  ['WarmupCosineLR', optim.WarmupCosineLR, { warmupSteps: 2, totalSteps: 10, etaMin: 0.01 }],
  ['WarmupInverseSqrtLR', optim.WarmupInverseSqrtLR, { warmupSteps: 2, timescale: 4 }],
  [
    'WarmupStableDecayLR',
    optim.WarmupStableDecayLR,
    { warmupSteps: 2, totalSteps: 10, decaySteps: 3, decay: 'cosine', minFactor: 0.1 },
  ],
  ['SlantedTriangularLR', optim.SlantedTriangularLR, { totalSteps: 10, cutFraction: 0.2, ratio: 16 }],
  [
    'CyclicLR',
    optim.CyclicLR,
    {
      baseLr: 0.01,
      maxLr: 0.1,
      stepSizeUp: 3,
      stepSizeDown: 4,
      mode: 'expRange',
      gamma: 0.9,
      scaleMode: 'iterations',
      cycleMomentum: true,
      baseMomentum: 0.8,
      maxMomentum: 0.9,
    },
  ],
  [
    'OneCycleLR',
    optim.OneCycleLR,
    {
      maxLr: 0.1,
      totalSteps: 10,
      pctStart: 0.4,
      annealStrategy: 'linear',
      divFactor: 10,
      finalDivFactor: 100,
      threePhase: true,
      cycleMomentum: true,
      baseMomentum: 0.8,
      maxMomentum: 0.9,
    },
  ],
  [
    'ReduceLROnPlateau',
    optim.ReduceLROnPlateau,
    {
      mode: 'max',
      factor: 0.5,
      patience: 2,
      threshold: 0.01,
      thresholdMode: 'abs',
      cooldown: 1,
      minLr: 0.001,
      eps: 1e-9,
    },
  ],
]

/** Optimisers whose last argument is an options object. */
export const withOptions: readonly PublicCall[] = [
  ...optimizers.map(([name, Class, options]) => made(name, Class, () => [weights(), options])),
  ...schedules.map(([name, Class, options]) => made(name, Class, () => [sgd(), options])),
  made('SequentialLR', optim.SequentialLR, () => [sgd(), [optim.rates.linear()], { milestones: [] }]),
]

function made(name: string, Class: new (...args: never[]) => unknown, args: () => unknown[]): PublicCall {
  return { names: [name], args, call: (...given) => new Class(...given) }
}

const state = (
  name: string,
  target: () => { loadStateDict(state: never): void },
  given: () => unknown,
): PublicCall => ({
  names: [`${name}.loadStateDict`, 'loadStateDict'],
  args: () => [given()],
  call: (saved) => target().loadStateDict(saved),
})

const model = () => new f.nn.Linear(2, 3)
const average = () => {
  const averages = new optim.WeightAverage(model(), optim.ema(0.9))
  averages.update()
  return averages
}

export const others: readonly PublicCall[] = [
  made('LambdaLR', optim.LambdaLR, () => [sgd(), (steps: number) => 0.9 ** steps]),
  made('ChainedScheduler', optim.ChainedScheduler, () => [sgd(), [optim.rates.linear()]]),
  made('MultiplicativeLR', optim.MultiplicativeLR, () => [sgd(), () => 0.9]),
  made('Schedule', optim.Schedule, () => [sgd(), (base: number) => base, { end: 3 }]),
  made('WeightAverage', optim.WeightAverage, () => [model(), optim.swa()]),
  {
    names: ['clipGradValue'],
    args: () => [weights(), 0.5],
    call: (params, value) => optim.clipGradValue(params, value),
  },
  {
    names: ['updateBn'],
    args: () => [[f.ones([2, 3])], new f.nn.BatchNorm1d(3), { forward: () => 1 }],
    call: (batches, target, options) => optim.updateBn(batches, target, options),
  },
  { names: ['ema'], args: () => [0.9], call: (decay) => optim.ema(decay) },
  { names: ['swa'], args: () => [], call: () => optim.swa() },
  { names: ['WeightAverage.copyTo', 'copyTo'], args: () => [model()], call: (other) => average().copyTo(other) },
  { names: ['ReduceLROnPlateau.step', 'step', 'item'], args: () => [0.5], call: (metric) => plateau().step(metric) },
  state('ReduceLROnPlateau', plateau, () => plateau().stateDict()),
  { names: ['LBFGS.step', 'step', 'item'], args: () => [descent], call: (closure) => lbfgs().step(closure) },
  state('LBFGS', lbfgs, () => lbfgs().stateDict()),
  state('WeightAverage', average, () => average().stateDict()),
  state(
    'StepLR',
    () => new optim.StepLR(sgd(), { stepSize: 1 }),
    () => ({ steps: 1, base: [0.1] }),
  ),
]

const point = f.tensor([3], { requiresGrad: true })

function descent(): f.Tensor {
  point.grad = null
  const loss = point.square().sum()
  loss.backward()
  return loss
}

function lbfgs() {
  const optimizer = new optim.LBFGS([point], { maxIter: 2 })
  optimizer.step(descent)
  return optimizer
}

function plateau() {
  return new optim.ReduceLROnPlateau(sgd())
}
