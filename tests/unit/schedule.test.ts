/** Schedules against the numbers of PyTorch 2.13, alone, together, after their end, and resumed. */
import { describe, expect, it } from 'vitest'
import { nn, optim, StateDictError, tensor, ValueError } from '../../lib/index.js'

const make = (lr = 0.5) => new optim.SGD([new nn.Parameter(tensor([1]))], { lr })

/** The rate at the beginning, and after each of `steps` steps of all schedules in turn. */
function rates(optimizer: optim.SGD, schedules: readonly optim.Schedule[], steps: number): number[] {
  const lr = () => optimizer.paramGroups[0]?.lr as number
  const all = [lr()]
  for (let step = 0; step < steps; step++) {
    for (const schedule of schedules) schedule.step()
    all.push(lr())
  }
  return all
}

function close(actual: readonly number[], expected: readonly number[]) {
  expect(actual).toHaveLength(expected.length)
  for (const [i, value] of actual.entries()) expect(value, `after ${i} steps`).toBeCloseTo(expected[i] as number, 12)
}

describe('rates', () => {
  it('of a cosine, down and up again', () => {
    const optimizer = make()
    const schedule = new optim.CosineAnnealingLR(optimizer, { tMax: 4, etaMin: 0.1 })
    close(
      rates(optimizer, [schedule], 8),
      [0.5, 0.4414213562373095, 0.3, 0.15857864376269054, 0.1, 0.15857864376269049, 0.3, 0.4414213562373096, 0.5],
    )
  })
  it('of a linear warm-up, which stays', () => {
    const optimizer = make()
    close(
      rates(optimizer, [new optim.LinearLR(optimizer, { startFactor: 0.25, totalIters: 3 })], 6),
      [0.125, 0.25, 0.375, 0.5, 0.5, 0.5, 0.5],
    )
  })
  it('of a warm-up and a cosine, which stays at its end', () => {
    const optimizer = make(1)
    const schedule = new optim.WarmupCosineLR(optimizer, { warmupSteps: 1, totalSteps: 5, etaMin: 0.2 })
    const [quarter, threeQuarters] = [(1 + Math.SQRT1_2) / 2, (1 - Math.SQRT1_2) / 2].map((part) => 0.2 + 0.8 * part)
    close(rates(optimizer, [schedule], 7), [0, 1, quarter as number, 0.6, threeQuarters as number, 0.2, 0.2, 0.2])
  })
  it.each([
    ['SGD', () => new optim.SGD([new nn.Parameter(tensor([1]))], { lr: 0.5, momentum: 0.9 })],
    ['Adam', () => new optim.Adam([new nn.Parameter(tensor([1]))], { lr: 0.5 })],
  ] as const)('of cycles, with the momentum of %s against them', (_name, make) => {
    const momenta = (optimizer: optim.SGD | optim.Adam, schedule: optim.Schedule, steps: number) => {
      const found: (readonly [number, number])[] = []
      for (let i = 0; i < steps; i++) {
        const [{ lr, momentum, betas } = {}] = optimizer.paramGroups as Partial<optim.SgdOptions & optim.AdamOptions>[]
        found.push([lr as number, betas?.[0] ?? (momentum as number)])
        schedule.step()
      }
      return found.flat()
    }
    const cyclic = make()
    const limits = { baseLr: 0.1, maxLr: 0.5, baseMomentum: 0.7, maxMomentum: 0.95 }
    const up = [0.1, 0.95, 0.3, 0.825, 0.5, 0.7]
    close(momenta(cyclic, new optim.CyclicLR(cyclic, { ...limits, stepSizeUp: 2, stepSizeDown: 3 }), 8), [
      ...up,
      1.1 / 3,
      2.35 / 3,
      0.7 / 3,
      2.6 / 3,
      ...up,
    ])
    const once = make()
    close(
      momenta(once, new optim.OneCycleLR(once, { maxLr: 0.5, totalSteps: 6 }), 6),
      [
        0.02, 0.95, 0.49720771772545586, 0.8505584586887436, 0.4058728269748815, 0.8688255099070633,
        0.23131855133348753, 0.9037365046793212, 0.0667387650944153, 0.9366525935914912, 2e-6, 0.95,
      ],
    )
  })
  it('of an anneal to an own rate of each group', () => {
    const optimizer = new optim.SGD(
      [0.5, 1].map((lr) => ({ params: [new nn.Parameter(tensor([1]))], lr })),
      { lr: 1 },
    )
    const schedule = new optim.SWALR(optimizer, { swaLr: [0.1, 2], annealSteps: 4, annealStrategy: 'linear' })
    schedule.step()
    close(schedule.lr, [0.4, 1.25])
    const message = 'swaLr are 1 numbers, but there is also a group 1'
    expect(() => new optim.SWALR(optimizer, { swaLr: [0.1] })).toThrow(message)
    expect(() => new optim.SWALR(optimizer, { swaLr: [0.1, Number.NaN] })).toThrow('swaLr is NaN')
  })
  it('that fall when a metric stops to get better, with a pause after, and go on from a state', () => {
    const metrics = [3, 2, 2, 2, 2, Number.NaN, 2, 2, 1, 2, 2, 2, 2, 2, 2]
    const expected = [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.25, 0.2, 0.2, 0.2, 0.2, 0.2]
    for (let stop = 0; stop < metrics.length; stop++) {
      const optimizer = make(1)
      const plateau = () =>
        new optim.ReduceLROnPlateau(optimizer, { patience: 1, factor: 0.5, cooldown: 1, minLr: 0.2 })
      const [before, after] = [plateau(), plateau()]
      const found = metrics.map((metric, i) => {
        if (i === stop) after.loadStateDict(before.stateDict())
        ;(i < stop ? before : after).step(i % 2 === 0 ? metric : tensor(metric))
        return optimizer.paramGroups[0]?.lr
      })
      expect(found).toEqual(expected)
    }
  })
  it('of two schedules in turn', () => {
    const plain = make()
    const warm = (o: optim.SGD) => new optim.LinearLR(o, { startFactor: 0.25, totalIters: 3 })
    close(
      rates(plain, [warm(plain), new optim.CosineAnnealingLR(plain, { tMax: 5 })], 8),
      [
        0.125, 0.22612712429686843, 0.24544068644530265, 0.17274575140626314, 0.04774575140626316, 0,
        0.04774575140626314, 0.17274575140626322, 0.32725424859373703,
      ],
    )
    const least = make()
    close(
      rates(least, [warm(least), new optim.CosineAnnealingLR(least, { tMax: 5, etaMin: 0.1 })], 4),
      [0.125, 0.23567627457812107, 0.28344475175468054, 0.24670731976044558, 0.14054890590210736],
    )
  })
  it('after a change by hand go on from it', () => {
    const optimizer = make()
    const schedule = new optim.CosineAnnealingLR(optimizer, { tMax: 5, etaMin: 0.1 })
    close(rates(optimizer, [schedule], 2), [0.5, 0.46180339887498956, 0.3618033988749896])
    for (const group of optimizer.paramGroups) group.lr *= 0.5
    close(rates(optimizer, [schedule], 3), [0.1809016994374948, 0.14270509831248426, 0.1118033988749895, 0.1])
  })
  it('of a second schedule after the end of the first begin where that one began', () => {
    const optimizer = make()
    const cosine = () => new optim.CosineAnnealingLR(optimizer, { tMax: 3 })
    expect(rates(optimizer, [cosine()], 3).at(-1)).toBe(0)
    close(rates(optimizer, [cosine()], 3), [0.5, 0.375, 0.125, 0])
    cosine()
    for (const group of optimizer.paramGroups) group.lr = 0.1
    close(rates(optimizer, [cosine()], 1), [0.1, 0.075])
  })
  it('of a group that joins later begin from its own', () => {
    const optimizer = make()
    const schedule = new optim.LinearLR(optimizer, { startFactor: 0.5, totalIters: 2 })
    schedule.step()
    optimizer.addParamGroup({ params: [new nn.Parameter(tensor([1]))], lr: 4 })
    schedule.step()
    expect(schedule.lr).toEqual([0.5, 4])
  })
})

describe('a state', () => {
  it('goes on where it was, whichever of the two is loaded first', () => {
    const run = () => {
      const optimizer = make()
      return { optimizer, schedule: new optim.CosineAnnealingLR(optimizer, { tMax: 6, etaMin: 0.1 }) }
    }
    const one = run()
    rates(one.optimizer, [one.schedule], 2)
    const saved = [one.optimizer.stateDict(), JSON.parse(JSON.stringify(one.schedule.stateDict()))] as const
    const rest = rates(one.optimizer, [one.schedule], 3)
    for (const optimizerFirst of [true, false]) {
      const { optimizer, schedule } = run()
      if (optimizerFirst) optimizer.loadStateDict(saved[0])
      schedule.loadStateDict(saved[1])
      if (!optimizerFirst) optimizer.loadStateDict(saved[0])
      close(rates(optimizer, [schedule], 3), rest)
    }
  })
  it('keeps a rate that was changed by hand, and a group that joined, since the last step', () => {
    const run = () => {
      const optimizer = make()
      return { optimizer, schedule: new optim.StepLR(optimizer, { stepSize: 2, gamma: 0.1 }) }
    }
    const join = ({ optimizer }: ReturnType<typeof run>) =>
      optimizer.addParamGroup({ params: [new nn.Parameter(tensor([1]))], lr: 4 })
    const one = run()
    rates(one.optimizer, [one.schedule], 3)
    for (const group of one.optimizer.paramGroups) group.lr = 0.25
    join(one)
    const other = run()
    join(other)
    other.optimizer.loadStateDict(one.optimizer.stateDict())
    other.schedule.loadStateDict(one.schedule.stateDict())
    for (const { schedule } of [one, other]) {
      expect(schedule.lr[0]).toBeCloseTo(0.25, 12)
      schedule.step()
      close(schedule.lr, [0.025, 0.04])
    }
  })
  it('is given where a changed rate cannot be followed', () => {
    const optimizer = make()
    const schedule = new optim.Schedule(optimizer, (base) => base ** 2)
    for (const group of optimizer.paramGroups) group.lr = 3
    expect(schedule.stateDict()).toMatchObject({ kind: 'Schedule', steps: 0, base: [0.5] })
    expect(() => schedule.step()).toThrow('changed to 3 by something else')
  })
  it.each([
    [null, 'steps is undefined'],
    [{ steps: -1, base: [1] }, 'steps is -1'],
    [{ steps: 1.5, base: [1] }, 'steps is 1.5'],
    [{ steps: 1, base: [] }, 'base is '],
    [{ steps: 1, base: [1, 2] }, 'base is [1, 2], but must be 1 initial rates'],
    [{ steps: 1, base: [Number.NaN] }, 'base is [NaN]'],
    [{ steps: 1, base: '1' }, "base is '1'"],
  ])('that is %j is refused, and changes nothing', (state, message) => {
    const optimizer = make()
    const schedule = new optim.LinearLR(optimizer)
    const before = [schedule.stateDict(), ...schedule.lr]
    expect(() => schedule.loadStateDict(state as never)).toThrow(StateDictError)
    expect(() => schedule.loadStateDict(state as never)).toThrow(message)
    expect([schedule.stateDict(), ...schedule.lr]).toEqual(before)
  })
  it('of another class is refused, and one without a class, as earlier versions wrote it, is not', () => {
    const optimizer = make()
    const { kind, ...earlier } = new optim.CosineAnnealingLR(optimizer, { tMax: 4 }).stateDict()
    const schedule = new optim.StepLR(optimizer, { stepSize: 2 })
    const message = "the state is that of 'CosineAnnealingLR', but must be that of 'StepLR'"
    expect(() => schedule.loadStateDict({ kind: kind as string, ...earlier, steps: 3 })).toThrow(message)
    expect(schedule.steps).toBe(0)
    schedule.loadStateDict({ ...earlier, steps: 3 })
    expect(schedule.steps).toBe(3)
  })
})

it.each([
  [() => new optim.LinearLR(undefined as never), '[LinearLR] the optimizer is undefined'],
  [
    () => new optim.CosineAnnealingLR(new nn.Linear(1, 1) as never, { tMax: 1 }),
    '[CosineAnnealingLR] the optimizer is',
  ],
  [() => new optim.CosineAnnealingLR(make(), 10 as never), '[CosineAnnealingLR] options are the number 10'],
  [() => new optim.CosineAnnealingLR(make(), {} as never), 'tMax is undefined'],
  [() => new optim.CosineAnnealingLR(make(), { tMax: 0 }), 'tMax is 0'],
  [() => new optim.LinearLR(make(), null as never), '[LinearLR] options are null'],
  [() => new optim.LinearLR(make(), { totalIters: '5' as never }), "totalIters is '5'"],
  [
    () => new optim.WarmupCosineLR(make(), { warmupSteps: 5, totalSteps: 5 }),
    'warmupSteps 5 must be less than totalSteps 5',
  ],
  [() => new optim.WarmupCosineLR(make(), { warmupSteps: -1, totalSteps: 5 }), 'warmupSteps is -1'],
])('what makes no schedule is refused', (fn, message) => {
  expect(fn).toThrow(ValueError)
  expect(fn).toThrow(message)
})
