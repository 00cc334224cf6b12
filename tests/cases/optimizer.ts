import * as f from '../../lib/index.js'
import { type Case, constant, type ErrorCase, label, normal, updated } from './case.js'

type Make = (params: f.Tensor[]) => f.optim.Optimizer

/** Optimisers that have a kernel, by its name. */
const rows: readonly [string, string, Make][] = [
  ['sgd', 'plain', (p) => new f.optim.SGD(p, { lr: 0.1 })],
  [
    'sgd',
    'momentum and decay',
    (p) => new f.optim.SGD(p, { lr: 0.1, momentum: 0.9, dampening: 0.1, weightDecay: 0.01 }),
  ],
  ['sgd', 'nesterov', (p) => new f.optim.SGD(p, { lr: 0.1, momentum: 0.9, nesterov: true })],
  ['sgd', 'maximize', (p) => new f.optim.SGD(p, { lr: 0.1, maximize: true })],
  ['adam', 'plain', (p) => new f.optim.Adam(p, { lr: 0.01 })],
  ['adam', 'decay and amsgrad', (p) => new f.optim.Adam(p, { lr: 0.01, weightDecay: 0.1, amsgrad: true })],
  ['adam', 'AdamW', (p) => new f.optim.AdamW(p, { lr: 0.01, betas: [0.8, 0.9], weightDecay: 0.1 })],
  ['rmsprop', 'plain', (p) => new f.optim.RMSprop(p)],
  [
    'rmsprop',
    'centred, with momentum and decay',
    (p) => new f.optim.RMSprop(p, { alpha: 0.9, momentum: 0.8, centered: true, weightDecay: 0.1, maximize: true }),
  ],
  ['adagrad', 'plain', (p) => new f.optim.Adagrad(p)],
  [
    'adagrad',
    'with decays and a first sum',
    (p) => new f.optim.Adagrad(p, { lrDecay: 0.1, initialAccumulatorValue: 0.5, weightDecay: 0.1, maximize: true }),
  ],
  ['adadelta', 'plain', (p) => new f.optim.Adadelta(p)],
  ['adadelta', 'with decay', (p) => new f.optim.Adadelta(p, { rho: 0.8, weightDecay: 0.1, maximize: true })],
  ['adamax', 'plain', (p) => new f.optim.Adamax(p)],
  ['adamax', 'with decay', (p) => new f.optim.Adamax(p, { betas: [0.8, 0.9], weightDecay: 0.1, maximize: true })],
  ['nadam', 'plain', (p) => new f.optim.NAdam(p)],
  ['nadam', 'with decay', (p) => new f.optim.NAdam(p, { momentumDecay: 0.1, weightDecay: 0.1, maximize: true })],
  ['nadam', 'decoupled', (p) => new f.optim.NAdam(p, { weightDecay: 0.1, decoupledWeightDecay: true })],
  ['radam', 'plain', (p) => new f.optim.RAdam(p, { betas: [0.9, 0.5] })],
  ['radam', 'with decay', (p) => new f.optim.RAdam(p, { weightDecay: 0.1, maximize: true })],
  ['radam', 'decoupled', (p) => new f.optim.RAdam(p, { weightDecay: 0.1, decoupledWeightDecay: true })],
  ['lion', 'plain', (p) => new f.optim.Lion(p)],
  ['lion', 'with decay', (p) => new f.optim.Lion(p, { betas: [0.8, 0.9], weightDecay: 0.1, maximize: true })],
]

/** Optimisers that are updates alone, with every option that changes what they compute. */
const updates: readonly [string, string, Make][] = [
  ['Adafactor', 'plain', (p) => new f.optim.Adafactor(p)],
  ['Adafactor', 'with decay', (p) => new f.optim.Adafactor(p, { d: 2, weightDecay: 0.1, maximize: true })],
  ['Rprop', 'plain', (p) => new f.optim.Rprop(p)],
  ['Rprop', 'with bounds', (p) => new f.optim.Rprop(p, { etas: [0.4, 3], stepSizes: [0.02, 0.05], maximize: true })],
  ['ASGD', 'plain', (p) => new f.optim.ASGD(p)],
  [
    'ASGD',
    'with an average and decay',
    (p) => new f.optim.ASGD(p, { lambd: 0.1, alpha: 0.5, t0: 0, weightDecay: 0.1, maximize: true }),
  ],
]

const optimizers = [...rows, ...updates]

const steps = 3
const shapes: readonly f.Shape[] = [[33, 31], [], [0], [70001]]

/** A copy that is not dense, if a copy can be. */
const turned = (x: f.Tensor): f.Tensor => (x.ndim < 2 ? f.clone(x) : f.transpose(f.clone(f.transpose(x, 0, 1)), 0, 1))

function optimizerCase([op, name, make]: (typeof optimizers)[number]): Case {
  return {
    op,
    name,
    inputs: shapes.flatMap((shape) => [constant(normal(shape)), constant(normal(shape))]),
    call(...given) {
      const params = shapes.map((_, i): f.Tensor => {
        const p = turned(given[2 * i] as f.Tensor)
        p.requiresGrad = true
        return p
      })
      const optimizer = make(params)
      for (let step = 0; step < steps; step++) {
        params.forEach((p, i) => {
          p.grad = f.mul(given[2 * i + 1] as f.Tensor, 1 + step)
        })
        optimizer.step()
      }
      return params.map((p) => p.detach())
    },
    roundings: 16 * steps,
  }
}

function norms(name: string, maxNorm: number, normType: number): Case {
  return {
    op: 'total_norm',
    name,
    inputs: shapes.map((shape) => constant(normal(shape))),
    call(...given) {
      const params = given.map((g) => {
        const p: f.Tensor = f.zeros(g.shape, { dtype: g.dtype, device: g.device, requiresGrad: true })
        p.grad = turned(g)
        return p
      })
      const norm = f.optim.clipGradNorm(params, maxNorm, { normType })
      return [norm, ...params.map((p) => (p.grad as f.Tensor).detach())]
    },
    length: 71025,
  }
}

/** Parameters and gradients that occur twice count once. */
const repeated: Case = {
  op: 'total_norm',
  name: 'of parameters listed twice and a gradient shared',
  inputs: [updated(normal([101, 103])), updated(normal([7]))],
  call(...given) {
    const [a, b, c] = [given[0], given[1], given[1]].map((g) => f.clone(g as f.Tensor)) as [
      f.Tensor,
      f.Tensor,
      f.Tensor,
    ]
    a.grad = turned(given[0] as f.Tensor)
    b.grad = c.grad = f.clone(given[1] as f.Tensor)
    const norm = f.optim.clipGradNorm([a, b, a, c, b], 1.5)
    return [norm, ...[a, b, c].map((p) => (p.grad as f.Tensor).detach())]
  },
  length: 10_417,
}

export const cases: readonly Case[] = [
  ...optimizers.map(optimizerCase),
  repeated,
  norms('of 2', 1.5, 2),
  norms('of 1', 3, 1),
  norms('of infinity', 0.5, Number.POSITIVE_INFINITY),
  norms('that needs no clipping', 1e9, 2),
].map((each) => ({ ...each, name: `${each.name} ${label([shapes.length])}` }))

const p = (make: (input: ReturnType<typeof normal>) => f.Tensor) => {
  const made = make(normal([3]))
  made.requiresGrad = true
  return [made]
}
const stepped = (make: Make) => (create: (input: ReturnType<typeof normal>) => f.Tensor) => {
  const params = p(create)
  make(params).step()
  return params
}

export const errors: readonly ErrorCase[] = [
  {
    op: 'SGD',
    name: 'lr NaN',
    code: 'ERR_VALUE',
    mentions: ['NaN', 'lr'],
    call: stepped((q) => new f.optim.SGD(q, { lr: Number.NaN })),
  },
  {
    op: 'SGD',
    name: 'nesterov without momentum',
    code: 'ERR_VALUE',
    mentions: ['nesterov', 'momentum'],
    call: stepped((q) => new f.optim.SGD(q, { lr: 1, nesterov: true })),
  },
  {
    op: 'Adam',
    name: 'betas NaN',
    code: 'ERR_VALUE',
    mentions: ['NaN', 'betas'],
    call: stepped((q) => new f.optim.Adam(q, { betas: [Number.NaN, 0.9] })),
  },
  {
    op: 'Adam',
    name: 'eps -1',
    code: 'ERR_VALUE',
    mentions: ['-1', 'eps'],
    call: stepped((q) => new f.optim.Adam(q, { eps: -1 })),
  },
  {
    op: 'Adam',
    name: 'options that are a number',
    code: 'ERR_VALUE',
    mentions: ['0.5', 'options'],
    call: stepped((q) => new f.optim.Adam(q, 0.5 as never)),
  },
  {
    op: 'SGD',
    name: 'a parameter twice',
    code: 'ERR_VALUE',
    mentions: ['0 and 1', '[3]'],
    call: stepped((q) => new f.optim.SGD([...q, ...q], { lr: 1 })),
  },
  {
    op: 'AdamW.step',
    name: 'a gradient of another shape',
    code: 'ERR_SHAPE',
    mentions: ['0.0', '[2]', '[3]'],
    call: (make) => {
      const params = p(make)
      const adam = new f.optim.AdamW(params)
      for (const each of params) each.ownGrad(f.zeros([2], { device: each.device }))
      adam.step()
      return params
    },
  },
  {
    op: 'clipGradNorm',
    name: 'maxNorm NaN',
    code: 'ERR_VALUE',
    mentions: ['NaN', 'maxNorm'],
    call: (make) => f.optim.clipGradNorm(p(make), Number.NaN),
  },
]
