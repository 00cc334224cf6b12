/**
 * Settings of optimisers: every option over some steps, in which some parameters have no gradient. Muon is left out,
 * because its sums of bfloat16 depend on their order, and Lion, because PyTorch has none.
 */
import * as f from '../../../lib/index.js'
import { type Choices, keywords, type Setting } from './setting.js'

type Options = { readonly [name: string]: unknown }
type Make = new (params: f.Tensor[], options: never) => { step(): unknown }

/** Each option is given in half of the settings, and otherwise has its default. */
function some(draw: Choices, options: { readonly [name: string]: () => unknown }): Options {
  return Object.fromEntries(
    Object.entries(options)
      .filter(() => draw.flag())
      .map(([name, one]) => [name, one()]),
  )
}

function optionsOf(draw: Choices, name: string): Options {
  const lr = draw.pick([0.5, 0.1, 0.01])
  const weightDecay = () => draw.pick([0, 0.01, 0.3])
  const maximize = () => draw.flag()
  const eps = () => draw.pick([1e-8, 1e-3, 0.1])
  const betas = () => [draw.pick([0.9, 0.5, 0.1]), draw.pick([0.999, 0.9, 0.6])]
  const usual = { weightDecay, maximize }
  switch (name) {
    case 'SGD': {
      const momentum = draw.pick([0, 0.5, 0.9])
      const nesterov = momentum > 0 && draw.chance(0.4)
      return { lr, momentum, ...(nesterov ? { nesterov } : some(draw, { dampening: () => 0.3 })), ...some(draw, usual) }
    }
    case 'Adam':
    case 'AdamW':
      return { lr, ...some(draw, { ...usual, betas, eps, amsgrad: maximize }) }
    case 'RMSprop': {
      const own = { alpha: () => draw.pick([0.99, 0.5]), momentum: () => draw.pick([0, 0.9]), centered: maximize }
      return { lr, ...some(draw, { ...usual, ...own, eps }) }
    }
    case 'Adagrad': {
      const own = { lrDecay: () => draw.pick([0, 0.1, 1]), initialAccumulatorValue: () => draw.pick([0, 0.5]) }
      return { lr, ...some(draw, { ...usual, ...own, eps }) }
    }
    case 'Adadelta':
      return { lr, ...some(draw, { ...usual, rho: () => draw.pick([0.9, 0.5, 0]), eps }) }
    case 'Adamax':
      return { lr, ...some(draw, { ...usual, betas, eps }) }
    case 'NAdam':
    case 'RAdam': {
      const own = name === 'NAdam' ? { momentumDecay: () => draw.pick([0, 4e-3, 0.5]) } : {}
      return { lr, ...some(draw, { ...usual, ...own, betas, eps, decoupledWeightDecay: maximize }) }
    }
    case 'Rprop': {
      const own = { etas: () => [draw.pick([0.3, 0.5]), draw.pick([1.2, 3])], stepSizes: () => [0.02, 0.4] }
      return { lr, ...some(draw, { ...own, maximize }) }
    }
    case 'ASGD': {
      const own = { lambd: () => draw.pick([0, 1e-4, 0.3]), alpha: () => draw.pick([0.75, 0, 2]), t0: () => 2 }
      return { lr, ...some(draw, { ...usual, ...own }) }
    }
    default: {
      const own = { beta2Decay: () => draw.pick([-0.8, -0.3]), d: () => draw.pick([1, 0.2, 3]) }
      return { lr, ...some(draw, { ...usual, ...own, eps: () => [1e-6, draw.pick([1e-3, 0.5])] }) }
    }
  }
}

const names = 'SGD Adam AdamW RMSprop Adagrad Adadelta Adamax NAdam RAdam Rprop ASGD Adafactor'.split(' ')

export function optimizer(draw: Choices): Setting {
  const name = draw.pick(names)
  const options = optionsOf(draw, name)
  const count = draw.integer(1, 3)
  const steps = draw.integer(1, 9)
  const shapes = Array.from({ length: count }, () => draw.shape(0, 3, 4))
  const has = Array.from({ length: steps }, () => shapes.map(() => draw.chance(0.85)))
  const told = has.map((row) => `[${row.map(Number).join(', ')}]`).join(', ')
  const all = shapes.map((_, i) => `x${i}`).join(', ')
  const gradients = shapes.map((_, i) => `x${count + i}`).join(', ')
  return {
    python: `stepped(lambda p: torch.optim.${name}(p${keywords(options)}), [${all}], [${gradients}], [${told}])`,
    inputs: [
      ...shapes.map((shape) => draw.floats(shape, 1, false)),
      ...shapes.map((shape) => draw.floats([steps, ...shape], 1, false)),
    ],
    call: (x) => {
      const params = x.slice(0, count).map((start) => {
        const p = f.clone(start)
        p.requiresGrad = true
        return p
      })
      const Optimizer = f.optim[name as 'SGD'] as unknown as Make
      const made = new Optimizer(params, options as never)
      const after: f.Tensor[] = []
      for (const [step, row] of has.entries()) {
        for (const [i, p] of params.entries())
          p.grad = row[i] ? f.clone(f.select(x[count + i] as f.Tensor, 0, step)) : null
        made.step()
        after.push(...params.map((p) => f.clone(p.detach())))
      }
      return after
    },
  }
}
