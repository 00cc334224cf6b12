/** Golden kinds of optimisers on a quadratic, of clipping, and of averages: the parameters after every step. */
import { noGrad } from '../../lib/autograd/mode.js'
import type { Tensor } from '../../lib/core/tensor.js'
import * as nn from '../../lib/nn/index.js'
import * as ops from '../../lib/ops/index.js'
import * as optim from '../../lib/optim/index.js'
import type { Given } from './cases.js'
import type { Comparison, Runs } from './run.js'

type Options = { readonly [name: string]: unknown }
type Make = new (params: readonly nn.Parameter[], options: never) => optim.Optimizer

const optimizers: { readonly [kind: string]: unknown } = {
  sgd: optim.SGD,
  adam: optim.Adam,
  adamw: optim.AdamW,
  rmsprop: optim.RMSprop,
  adagrad: optim.Adagrad,
  adadelta: optim.Adadelta,
  adamax: optim.Adamax,
  nadam: optim.NAdam,
  radam: optim.RAdam,
  adafactor: optim.Adafactor,
  lion: optim.Lion,
  muon: optim.Muon,
}

export function makeOptimizer(kind: string, params: Iterable<nn.Parameter>, options: Options): optim.Optimizer {
  return new (optimizers[kind] as Make)([...params], options as never)
}

/** The parameter after every step on ((a w - b)^2).mean() + 0.1 (w^4).sum(), or .mean() if the case says so. */
function quadratic(kind: string) {
  return (given: Given): Comparison[] => {
    const [a, b] = [given.in('a'), given.in('b')]
    const w = new nn.Parameter(given.in('w').clone())
    const { loss: formula = 'sum', ...options } = given.golden.args as { loss?: string }
    const optimizer = makeOptimizer(kind, [w], options)
    const total = formula.includes('mean(w^4)') ? ops.mean : ops.sum
    const expected = given.values('out.0')
    const rows: number[] = []
    for (let step = 0; step < (expected.shape[0] as number); step++) {
      optimizer.zeroGrad()
      const residual = ops.sub(ops.matmul(a, w), b)
      const loss = ops.add(ops.mean(ops.square(residual)), ops.mul(total(ops.pow(w, 4) as Tensor), 0.1)) as Tensor
      loss.backward()
      optimizer.step()
      rows.push(...w.dataSync())
    }
    return [{ what: 'parameters', got: rows, expected: expected.data, reduces: expected.data.length ** 2 }]
  }
}

function clip(given: Given): Comparison[] {
  const gradients = given.roles('in.').map((name) => given.in(name))
  const parameters = gradients.map((gradient) => {
    const parameter = new nn.Parameter(ops.zeros(gradient.shape, { device: given.device }) as Tensor)
    parameter.grad = gradient.clone()
    return parameter
  })
  const norm = optim.clipGradNorm(parameters, given.arg('maxNorm'))
  const total = given.golden.scalars?.['totalNorm'] as number
  return [
    ...parameters.map((p, i) => ({
      what: `gradient ${i}`,
      got: (p.grad as Tensor).dataSync(),
      expected: given.values(`out.${i}`).data,
      reduces: 16,
    })),
    { what: 'total norm', got: [norm.item()], expected: [total], reduces: 16 },
  ]
}

/** Each row of `w` has a parameter's values after one step. */
function ema(given: Given): Comparison[] {
  const rows = given.in('w')
  const model = new nn.Linear(1, 1, { bias: false }).to(given.device)
  model.weight = new nn.Parameter(ops.zeros([1, rows.shape[1] as number], { device: given.device })) as never
  const average = new optim.WeightAverage(model, optim.ema(given.arg('decay')))
  const got: number[] = []
  const steps = rows.shape[0] as number
  for (let step = 0; step < steps; step++) {
    noGrad(() => model.weight.copy_(ops.select(rows, 0, step)))
    average.update()
    for (const tensor of average.stateDict().tensors.values()) got.push(...tensor.dataSync())
  }
  return [{ what: 'averages', got, expected: given.values('out.0').data, reduces: steps ** 2 }]
}

export const runs: Runs = {
  ...Object.fromEntries(Object.keys(optimizers).map((kind) => [`optimizer.${kind}`, quadratic(kind)])),
  clipGradNorm: clip,
  'average.ema': ema,
}
