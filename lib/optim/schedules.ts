/** The named schedules. Each is a rate of `rates.ts`; steps are calls of `step()`, as `Schedule` says. */
import { checkOptions } from '../core/options.js'
import * as r from './rates.js'
import { Schedule, type Scheduled } from './schedule.js'

/** Keeps `factor` times the first rate for `totalIters` steps, then the first rate. */
export class ConstantLR extends Schedule {
  constructor(optimizer: Scheduled, options: r.Constant = {}) {
    super(optimizer, r.constant('ConstantLR', options))
  }
}

/** Goes from startFactor to endFactor times the first rate in `totalIters` equal steps: a linear warm-up. */
export class LinearLR extends Schedule {
  constructor(optimizer: Scheduled, options: r.Linear = {}) {
    super(optimizer, r.linear('LinearLR', options))
  }
}

/** Multiplies the rate by `gamma` every `stepSize` steps. */
export class StepLR extends Schedule {
  constructor(optimizer: Scheduled, options: r.Step) {
    super(optimizer, r.step('StepLR', options))
  }
}

/** Multiplies the rate by `gamma` at each milestone. */
export class MultiStepLR extends Schedule {
  constructor(optimizer: Scheduled, options: r.MultiStep) {
    super(optimizer, r.multiStep('MultiStepLR', options))
  }
}

/** Multiplies the rate by `gamma` at every step. */
export class ExponentialLR extends Schedule {
  constructor(optimizer: Scheduled, options: r.Exponential) {
    super(optimizer, r.exponential('ExponentialLR', options))
  }
}

/** Falls as (1 - steps / totalIters)^power times the first rate, and stays 0 from there on. */
export class PolynomialLR extends Schedule {
  constructor(optimizer: Scheduled, options: r.Polynomial = {}) {
    super(optimizer, r.polynomial('PolynomialLR', options), { end: options.totalIters ?? 5 })
  }
}

/**
 * Falls along half a cosine from the first rate to `etaMin` in `tMax` steps (Loshchilov and Hutter, 2017), and rises
 * again after them. Steps are calls of `step()`: if the Trainer steps it with the optimiser, `tMax` is epochs times
 * batches, not epochs.
 */
export class CosineAnnealingLR extends Schedule {
  constructor(optimizer: Scheduled, options: r.Cosine) {
    super(optimizer, r.cosine('CosineAnnealingLR', options), { end: options.tMax })
  }
}

/**
 * Falls along half a cosine to `etaMin`, again and again. Each period is `tMult` times as long as the previous one
 * (Loshchilov and Hutter, 2017).
 */
export class CosineAnnealingWarmRestarts extends Schedule {
  constructor(optimizer: Scheduled, options: r.CosineWarmRestarts) {
    super(optimizer, r.cosineWarmRestarts('CosineAnnealingWarmRestarts', options))
  }
}

/** Sets the first rate times a function of the steps. A list of functions has one for each group. */
export class LambdaLR extends Schedule {
  constructor(optimizer: Scheduled, factor: r.Factor | readonly r.Factor[]) {
    super(optimizer, r.lambda('LambdaLR', factor))
  }
}

/** Multiplies the rate by a function of the steps at each step. */
export class MultiplicativeLR extends Schedule {
  constructor(optimizer: Scheduled, factor: r.Factor) {
    super(optimizer, r.multiplicative('MultiplicativeLR', factor))
  }
}

/** Sets one rate after the other: `rates[i]` begins at `milestones[i - 1]`, as if it were the first. */
export class SequentialLR extends Schedule {
  constructor(
    optimizer: Scheduled,
    rates: Parameters<typeof r.rates.sequential>[0],
    options: { readonly milestones: readonly number[] },
  ) {
    const { milestones } = checkOptions('SequentialLR', options, { milestones: true })
    super(optimizer, r.sequential('SequentialLR', rates, milestones))
  }
}

/**
 * Sets rates one on top of the other: each is the base of the next, so that factors multiply, as in PyTorch. A rate with
 * a lowest value (`etaMin`) falls to that value, whatever the rates before it.
 */
export class ChainedScheduler extends Schedule {
  constructor(optimizer: Scheduled, rates: Parameters<typeof r.rates.chained>[0]) {
    super(optimizer, r.chained('ChainedScheduler', rates))
  }
}

/** Goes from the first rate to `swaLr`, and stays there while weights are averaged (Izmailov et al., 2018). */
export class SWALR extends Schedule {
  constructor(optimizer: Scheduled, options: r.Swa) {
    super(optimizer, r.swa('SWALR', options))
  }
}

/** A linear warm-up from 0 over `warmupSteps`, then the first rate. The same as in transformers. */
export class WarmupConstantLR extends Schedule {
  constructor(optimizer: Scheduled, options: r.Warmup) {
    super(optimizer, r.warmupConstant('WarmupConstantLR', options))
  }
}

/**
 * A linear warm-up from 0 over `warmupSteps`, then down to 0 in equal parts at `totalSteps`. The same as in
 * transformers.
 */
export class WarmupLinearLR extends Schedule {
  constructor(optimizer: Scheduled, options: r.WarmupLinear) {
    super(optimizer, r.warmupLinear('WarmupLinearLR', options), { end: options.totalSteps })
  }
}

/**
 * A linear warm-up from 0 over `warmupSteps`, then half a cosine down to `etaMin` at `totalSteps`, where it stays. The
 * same as in transformers. Steps are calls of `step()`, as for CosineAnnealingLR.
 */
export class WarmupCosineLR extends Schedule {
  constructor(optimizer: Scheduled, options: r.WarmupCosine) {
    super(optimizer, r.warmupCosine('WarmupCosineLR', options), { end: options.totalSteps })
  }
}

/**
 * A linear warm-up from 0 over `warmupSteps`, then down with the root of the steps (Vaswani et al., 2017; Zhai et al.,
 * 2022).
 */
export class WarmupInverseSqrtLR extends Schedule {
  constructor(optimizer: Scheduled, options: r.WarmupInverseSqrt) {
    super(optimizer, r.warmupInverseSqrt('WarmupInverseSqrtLR', options))
  }
}

/**
 * A warm-up, the constant first rate, and a decay over the last `decaySteps` of `totalSteps` (Hu et al., 2024; Hägele
 * et al., 2024).
 */
export class WarmupStableDecayLR extends Schedule {
  constructor(optimizer: Scheduled, options: r.WarmupStableDecay) {
    super(optimizer, r.warmupStableDecay('WarmupStableDecayLR', options), { end: options.totalSteps })
  }
}

/**
 * A short linear rise from 1 / `ratio` of the first rate to it, and a long linear fall back (Howard and Ruder, 2018).
 * Steps are calls of `step()`, as for CosineAnnealingLR.
 */
export class SlantedTriangularLR extends Schedule {
  constructor(optimizer: Scheduled, options: r.SlantedTriangular) {
    super(optimizer, r.slantedTriangular('SlantedTriangularLR', options), { end: options.totalSteps })
  }
}
