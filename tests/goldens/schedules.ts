/** Golden kinds of schedules: the rate before every step of an SGD that begins with 0.1. */
import * as nn from '../../lib/nn/index.js'
import * as ops from '../../lib/ops/index.js'
import * as optim from '../../lib/optim/index.js'
import type { Given } from './cases.js'
import type { Comparison, Runs } from './run.js'

type Steps = { step(metric: number): void }
type Options = { readonly [name: string]: unknown }
type Make = new (optimizer: optim.SGD, options: never) => Steps

function schedule(make: (optimizer: optim.SGD, given: Given) => Steps) {
  return (given: Given): Comparison[] => {
    const optimizer = new optim.SGD([new nn.Parameter(ops.zeros([1], { device: given.device }))], { lr: 0.1 })
    const rate = make(optimizer, given)
    const { lr: expected = [], metric } = given.golden.scalars as { readonly [name: string]: readonly number[] }
    const rows = expected.map((_, i) => {
      const lr = optimizer.paramGroups[0]?.lr ?? Number.NaN
      rate.step(metric?.[i] as number)
      return lr
    })
    return [{ what: 'lr', got: rows, expected, reduces: 1 }]
  }
}

/** A schedule whose options have the names of the case's arguments. */
const of = (Class: unknown, more: Options = {}) =>
  schedule((optimizer, given) => new (Class as Make)(optimizer, { ...given.golden.args, ...more } as never))

/** `0.95 ** step`, the only form of function in the cases. */
function powers(text: string): (step: number) => number {
  const [, base] = /^([\d.]+) \*\* step$/.exec(text) ?? []
  if (base === undefined) throw new Error(`${text} is not of the form '0.95 ** step'`)
  return (step) => Number(base) ** step
}

/** `{ linear: { startFactor: 0.2 } }`, by the names of `optim.rates`. */
function rateOf(named: { readonly [name: string]: unknown }): optim.Rate {
  const [[name, options] = []] = Object.entries(named)
  return (optim.rates as unknown as { readonly [name: string]: (options: unknown) => optim.Rate })[name as string]?.(
    options,
  ) as optim.Rate
}

type OneCycleArgs = optim.OneCycleOptions & { readonly anneal: 'cos' | 'linear' }

export const runs: Runs = {
  'schedule.constant': of(optim.ConstantLR),
  'schedule.linear': of(optim.LinearLR),
  'schedule.step': of(optim.StepLR),
  'schedule.multiStep': of(optim.MultiStepLR),
  'schedule.exponential': of(optim.ExponentialLR),
  'schedule.polynomial': of(optim.PolynomialLR),
  'schedule.cosine': of(optim.CosineAnnealingLR),
  'schedule.cosineWarmRestarts': of(optim.CosineAnnealingWarmRestarts),
  'schedule.oneCycle': schedule((optimizer, given) => {
    const { anneal: annealStrategy, ...args } = given.golden.args as unknown as OneCycleArgs
    return new optim.OneCycleLR(optimizer, { ...args, annealStrategy, cycleMomentum: false })
  }),
  'schedule.cyclic': of(optim.CyclicLR, { cycleMomentum: false }),
  'schedule.reduceOnPlateau': of(optim.ReduceLROnPlateau),
  'schedule.lambda': schedule((optimizer, given) => new optim.LambdaLR(optimizer, powers(given.arg('function')))),
  'schedule.sequential': schedule(
    (optimizer, given) =>
      new optim.SequentialLR(optimizer, given.arg<{ [name: string]: unknown }[]>('schedules').map(rateOf), {
        milestones: given.arg<number[]>('milestones'),
      }),
  ),
  'schedule.warmup.constantWithWarmup': schedule(
    (optimizer, given) => new optim.WarmupConstantLR(optimizer, { warmupSteps: given.arg('warmupSteps') }),
  ),
  'schedule.warmup.inverseSqrt': schedule(
    (optimizer, given) => new optim.WarmupInverseSqrtLR(optimizer, { warmupSteps: given.arg('warmupSteps') }),
  ),
  'schedule.warmup.linear': of(optim.WarmupLinearLR),
  'schedule.warmup.cosine': of(optim.WarmupCosineLR),
  'schedule.warmup.wsd': of(optim.WarmupStableDecayLR),
}
