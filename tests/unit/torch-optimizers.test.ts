/** Steps of optimisers, and rates, that the golden cases lack, beside the numbers of PyTorch 2.13 in float64. */
import { describe, expect, it } from 'vitest'
import { nn, noGrad, optim, type Tensor, tensor } from '../../lib/index.js'
import { devices } from '../suites/support.js'

const gradients = [
  [1, -2, 3, 0.5],
  [0.5, 1, 2, -0.25],
  [0.5, 1, -1, -0.5],
  [-2, 0.5, -1, 0],
]

const close = (x: Tensor | undefined, expected: readonly number[], what: string) => {
  expect(x?.numel, what).toBe(expected.length)
  for (const [i, value] of [...(x as Tensor).dataSync()].entries())
    expect(Math.abs((value as number) - (expected[i] as number)), `${what}, element ${i}`).toBeLessThan(3e-7)
}

interface Expected {
  readonly make: (params: nn.Parameter[]) => optim.Optimizer
  /** The rate that is set before the third step. */
  readonly rate?: number
  /** The parameter after each step. */
  readonly rows: readonly (readonly number[])[]
  /** The state after the last. */
  readonly state: { readonly [slot: string]: readonly number[] }
}

const expected: readonly (readonly [string, Expected])[] = [
  [
    'Rprop',
    {
      make: (params) => new optim.Rprop(params, { lr: 0.1 }),
      rows: [
        [0.15, 0.6, -0.85, 0.9],
        [0.03, 0.6, -0.97, 0.9],
        [-0.114, 0.55, -0.97, 0.95],
        [-0.114, 0.49, -0.91, 0.95],
      ],
      state: { previous: [0, 0.5, -1, 0], stepSize: [0.072, 0.06, 0.06, 0.05] },
    },
  ],
  [
    'Rprop between bounds, upwards',
    {
      make: (params) => new optim.Rprop(params, { lr: 0.1, etas: [0.25, 3], stepSizes: [0.05, 0.2], maximize: true }),
      rate: 5,
      rows: [
        [0.35, 0.4, -0.65, 1.1],
        [0.55, 0.4, -0.45, 1.1],
        [0.75, 0.45, -0.45, 1.05],
        [0.75, 0.6, -0.5, 1.05],
      ],
      state: { previous: [0, -0.5, 1, 0], stepSize: [0.05, 0.15, 0.05, 0.05] },
    },
  ],
  [
    'ASGD whose rate is changed',
    {
      make: (params) => new optim.ASGD(params, { lr: 0.1, lambd: 0.25, alpha: 0.5, t0: 1, weightDecay: 0.1 }),
      rate: 0.5,
      rows: [
        [0.14125, 0.6825, -1.02375, 0.915],
        [0.08698043197408407, 0.560132649595074, -1.1859043332199672, 0.9080611995835366],
        [0.035214480979856286, 0.4434104700241966, -1.0478079815396366, 0.9258400085489276],
        [0.8827619196026004, 0.1640349527744705, -0.465031160241252, 0.7876671814116065],
      ],
      state: {
        average: [0.4589882002912284, 0.30372271139933354, -0.7564195708904443, 0.856753594980267],
        eta: [0.4082482904638631],
      },
    },
  ],
]

describe.each(devices.map((device) => [device.name, device] as const))('on %s', (_name, device) => {
  const dtype = device.name === 'reference' ? 'float64' : 'float32'
  const of = (values: readonly number[]) => tensor(values, { device, dtype })

  describe.each(expected)('%s', (_title, { make, rate, rows, state }) => {
    const begin = () => {
      const p = new nn.Parameter(of([0.25, 0.5, -0.75, 1]))
      return { p, optimizer: make([p]) }
    }

    it.each([0, 1, 2, 3])('takes the steps of PyTorch, with a stop before step %i', (stop) => {
      let { p, optimizer } = begin()
      for (const [i, gradient] of gradients.entries()) {
        if (i === stop) {
          const next = begin()
          noGrad(() => next.p.copy_(p.detach()))
          ;(next.optimizer as optim.Rprop).loadStateDict(optimizer.stateDict())
          ;({ p, optimizer } = next)
        }
        const [group] = optimizer.paramGroups
        if (i === 2 && group !== undefined) group.lr = rate ?? group.lr
        p.grad = of(gradient)
        optimizer.step()
        close(p, rows[i] as readonly number[], `after step ${i + 1}`)
      }
      const { step, tensors } = optimizer.stateDict().state.get('0.0') as optim.ParameterState
      expect(step).toBe(4)
      expect(Object.keys(tensors).sort()).toEqual(Object.keys(state).sort())
      for (const [slot, values] of Object.entries(state)) close(tensors[slot], values, slot)
    })
  })

  it('Adafactor spoils the element of a vector whose gradient is NaN, and no other', () => {
    const p = new nn.Parameter(of([0.5, -0.25, 1]))
    const adafactor = new optim.Adafactor([p], { lr: 0.05 })
    p.grad = of([0.3, Number.NaN, 0.9])
    adafactor.step()
    const [first, spoilt, last] = [...p.dataSync()]
    expect(spoilt).toBeNaN()
    for (const [got, want] of [
      [first, 0.46692810851681],
      [last, 0.96692810851681],
    ])
      expect(got).toBeCloseTo(want as number, 5)
  })
})

it.each([
  [{ etas: [0.5, 1] }, 'etas are [0.5, 1]'],
  [{ etas: [0, 1.2] }, 'etas are [0, 1.2]'],
  [{ etas: 0.5 }, 'etas are 0.5'],
  [{ stepSizes: [2, 1] }, 'stepSizes are [2, 1]'],
  [{ stepSizes: [0, Number.NaN] }, 'stepSizes are [0, NaN]'],
] as const)('Rprop refuses %j', (options, message) => {
  expect(() => new optim.Rprop([new nn.Parameter(tensor([1]))], options as never)).toThrow(message)
})

it('ChainedScheduler multiplies rates as PyTorch does, and goes on from a state', () => {
  const make = () => {
    const optimizer = new optim.SGD([new nn.Parameter(tensor([1]))], { lr: 0.5 })
    const { linear, exponential, multiStep, cosine } = optim.rates
    const schedule = new optim.ChainedScheduler(optimizer, [
      linear({ startFactor: 0.25, totalIters: 3 }),
      exponential({ gamma: 0.9 }),
      multiStep({ milestones: [2, 5], gamma: 0.5 }),
      cosine({ tMax: 8 }),
    ])
    return { optimizer, schedule }
  }
  let { optimizer, schedule } = make()
  const lrs = [0.125, 0.21643644740751977, 0.12963342119635346, 0.12599702777426883, 0.0820125, 0.02278245375142114]
  for (const [i, lr] of lrs.entries()) {
    if (i === 3) {
      const next = make()
      next.schedule.loadStateDict(JSON.parse(JSON.stringify(schedule.stateDict())))
      ;({ optimizer, schedule } = next)
    }
    expect(optimizer.paramGroups[0]?.lr).toBeCloseTo(lr, 12)
    schedule.step()
  }
  expect(() => new optim.ChainedScheduler(optimizer, 0.1 as never)).toThrow('[ChainedScheduler] rates are 0.1')
})
