/** Sound calls of `firesteel/distributions`: every constructor, and every method that takes something. */
import * as d from '../../lib/distributions/index.js'
import * as f from '../../lib/index.js'
import type { PublicCall } from '../cases/sound.js'
import { collector } from './collect.js'

const { entries, add, make } = collector()

const scale = () => f.full([2, 3], 2)
const options = () => ({ validateArgs: true })
make('Normal', d.Normal, () => [f.zeros([2, 3]), scale(), options()])
make('LogNormal', d.LogNormal, () => [f.zeros([2, 3]), scale(), options()])
make('Laplace', d.Laplace, () => [f.zeros([2, 3]), scale(), options()])
make('Uniform', d.Uniform, () => [f.zeros([2, 3]), scale(), options()])
make('Exponential', d.Exponential, () => [scale(), options()])
make('Gamma', d.Gamma, () => [scale(), scale(), options()])
make('Beta', d.Beta, () => [scale(), scale(), options()])
make('Dirichlet', d.Dirichlet, () => [scale(), options()])
for (const [name, Class] of [
  ['Bernoulli', d.Bernoulli],
  ['Categorical', d.Categorical],
] as const) {
  make(name, Class, () => [{ probs: f.full([2, 3], 0.5), ...options() }])
  make(name, Class, () => [{ logits: f.zeros([2, 3]), ...options() }])
}
const normal = () => new d.Normal(f.zeros([2, 3]), 1)
make('Independent', d.Independent as never, () => [normal(), 1])
add('klDivergence', d.klDivergence, () => [normal(), normal()])

/** One of each, with the batch [2, 3] or [2], and a value of it. */
const kinds: readonly (readonly [name: string, make: () => d.Distribution, value: () => f.Tensor])[] = [
  ['Normal', normal, scale],
  ['LogNormal', () => new d.LogNormal(f.zeros([2, 3]), 1), scale],
  ['Laplace', () => new d.Laplace(f.zeros([2, 3]), 1), scale],
  ['Uniform', () => new d.Uniform(f.zeros([2, 3]), 4), scale],
  ['Exponential', () => new d.Exponential(scale()), scale],
  ['Gamma', () => new d.Gamma(scale(), 1), scale],
  ['Beta', () => new d.Beta(scale(), 1), () => f.full([2, 3], 0.5)],
  ['Dirichlet', () => new d.Dirichlet(f.ones([2, 4])), () => f.full([2, 4], 0.25)],
  ['Bernoulli', () => new d.Bernoulli({ logits: f.zeros([2, 3]) }), () => f.ones([2, 3])],
  ['Categorical', () => new d.Categorical({ logits: f.zeros([2, 3, 4]) }), () => f.ones([2, 3], { dtype: 'int32' })],
  ['Independent', () => new d.Independent(normal(), 1), scale],
]
for (const [name, of, value] of kinds) {
  for (const method of ['logProb', 'cdf', 'icdf'] as const)
    add(
      `${name}.${method}`,
      (x) => of()[method](x),
      () => [value()],
    )
  for (const method of ['sample', 'rsample'] as const)
    add(
      `${name}.${method}`,
      (shape, given) => of()[method](shape, given),
      () => [[2], { generator: new f.Generator(1) }],
    )
  add(
    `${name}.expand`,
    (shape) => of().expand(shape),
    () => [[4, ...of().batchShape]],
  )
}

export const distributionCalls: readonly PublicCall[] = entries
