/** Settings of schedules: the rates of two groups, and their momentum, over 60 steps. */
import * as f from '../../../lib/index.js'
import { type Choices, keywords, literal, type Setting } from './setting.js'

const { optim } = f

type Options = { readonly [name: string]: unknown }
type Rates = { readonly [name: string]: (options: Options) => f.optim.Rate }

const steps = 60

/** The options of a schedule that is one factor of the first rate, by the name of its rate. */
function factor(draw: Choices): [name: string, options: Options] {
  const totalIters = draw.integer(1, 25)
  const gamma = draw.pick([0.5, 0.9, 1.1])
  return draw.pick<() => [string, Options]>([
    () => ['constant', { factor: draw.pick([0.25, 0.5, 1]), totalIters }],
    () => ['linear', { startFactor: draw.pick([0.2, 0.5, 1]), endFactor: draw.pick([0.3, 1]), totalIters }],
    () => ['step', { stepSize: draw.integer(1, 20), gamma }],
    () => {
      const milestones = Array.from({ length: draw.integer(1, 4) }, () => draw.integer(1, 50)).sort((a, b) => a - b)
      return ['multiStep', { milestones, gamma }]
    },
    () => ['exponential', { gamma }],
    () => ['polynomial', { totalIters, power: draw.pick([1, 2, 0.5]) }],
  ])()
}

const classOf = (name: string) => `${name[0]?.toUpperCase()}${name.slice(1)}LR`

/** `make` is a schedule of the optimiser o in Python. */
function setting(
  draw: Choices,
  make: string,
  built: (optimizer: f.optim.SGD) => { step(metric: number): unknown },
  metrics?: readonly number[],
): Setting {
  const python = metrics ? `${literal(metrics)}` : 'None'
  return {
    python: `rates(lambda o: ${make}, x0, ${steps}, ${python})`,
    inputs: [draw.between([2], 0.5, 2, false)],
    call: ([lrs]) => {
      const like = { dtype: (lrs as f.Tensor).dtype as 'float32', device: (lrs as f.Tensor).device }
      const groups = Array.from((lrs as f.Tensor).dataSync(), (lr) => ({
        params: [f.zeros([1], { requiresGrad: true })],
        lr: Number(lr),
      }))
      const optimizer = new optim.SGD(groups, { lr: 1, momentum: 0.9 })
      const schedule = built(optimizer)
      const row = () => optimizer.paramGroups.flatMap(({ lr, momentum }) => [lr, momentum as number])
      const rows = [row()]
      for (let step = 0; step < steps; step++) {
        schedule.step(metrics?.[step] ?? 0)
        rows.push(row())
      }
      return f.tensor(rows, like)
    },
  }
}

const ratesOf = (name: string, options: Options): f.optim.Rate =>
  ((optim.rates as unknown as Rates)[name] as Rates[string])(options)

export function schedule(draw: Choices): Setting {
  type Class = new (optimizer: f.optim.SGD, options: never) => { step(): unknown }
  const named = (name: string, options: Options) =>
    setting(
      draw,
      `torch.optim.lr_scheduler.${name}(o${keywords(options).replace('t_max', 'T_max')})`,
      (optimizer) => new (optim[name as 'StepLR'] as unknown as Class)(optimizer, options as never),
    )
  const etaMin = draw.pick([0, 0.1])
  return draw.pick([
    () => {
      const [name, options] = factor(draw)
      return named(classOf(name), options)
    },
    () => named('CosineAnnealingLR', { tMax: draw.integer(1, 70), etaMin }),
    () => {
      const [t0, tMult] = [draw.integer(1, 20), draw.integer(1, 3)]
      const options = keywords({ tMult, etaMin }).replace('t_mult', 'T_mult')
      return setting(
        draw,
        `torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(o, T_0=${t0}${options})`,
        (optimizer) => new optim.CosineAnnealingWarmRestarts(optimizer, { t0, tMult, etaMin }),
      )
    },
    () => {
      const options = {
        maxLr: draw.flag() ? 2 : [1, 3],
        totalSteps: steps + 1 + draw.integer(0, 20),
        pctStart: draw.pick([0.3, 0.1, 0.5]),
        annealStrategy: draw.pick(['cos', 'linear'] as const),
        divFactor: draw.pick([25, 2]),
        finalDivFactor: draw.pick([1e4, 10]),
        threePhase: draw.flag(),
        cycleMomentum: draw.flag(),
      }
      return named('OneCycleLR', options)
    },
    () =>
      named('CyclicLR', {
        baseLr: draw.flag() ? 0.1 : [0.1, 0.3],
        maxLr: draw.flag() ? 1 : [1, 2],
        stepSizeUp: draw.integer(1, 20),
        ...(draw.flag() ? { stepSizeDown: draw.integer(1, 20) } : {}),
        mode: draw.pick(['triangular', 'triangular2']),
        cycleMomentum: draw.flag(),
      }),
    () => {
      const metrics = Array.from({ length: steps }, (_, i) => 1 / (1 + i * 0.1) + 0.5 * draw.random())
      const options = {
        mode: draw.pick(['min', 'max'] as const),
        factor: draw.pick([0.5, 0.1]),
        patience: draw.integer(0, 5),
        threshold: draw.pick([1e-4, 0.1]),
        thresholdMode: draw.pick(['rel', 'abs'] as const),
        cooldown: draw.integer(0, 4),
        minLr: draw.pick([0, 0.05]),
      }
      return setting(
        draw,
        `torch.optim.lr_scheduler.ReduceLROnPlateau(o${keywords(options)})`,
        (optimizer) => new optim.ReduceLROnPlateau(optimizer, options),
        metrics,
      )
    },
    () => {
      const parts = [factor(draw), factor(draw), factor(draw)]
      const made = parts.map(([name, options]) => `torch.optim.lr_scheduler.${classOf(name)}(o${keywords(options)})`)
      const rates = parts.map(([name, options]) => ratesOf(name, options))
      if (draw.flag())
        return setting(
          draw,
          `torch.optim.lr_scheduler.ChainedScheduler([${made.join(', ')}])`,
          (optimizer) => new optim.ChainedScheduler(optimizer, rates),
        )
      const first = draw.integer(1, 20)
      const milestones = [first, first + draw.integer(1, 20)]
      return setting(
        draw,
        `torch.optim.lr_scheduler.SequentialLR(o, [${made.join(', ')}], [${milestones.join(', ')}])`,
        (optimizer) => new optim.SequentialLR(optimizer, rates, { milestones }),
      )
    },
  ])()
}
