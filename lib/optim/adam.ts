import { run } from '../backend/dispatch.js'
import { shown } from '../core/errors.js'
import { checkOptions, type OptionNames } from '../core/options.js'
import type { Tensor } from '../core/tensor.js'
import { checkNumbers, notAtLeast, notFlag, Optimizer, type Ready, withDefaults } from './optimizer.js'
import type { ParameterGroup, Parameters } from './parameters.js'
import type { SlotNames } from './state.js'

export interface AdamOptions {
  /** Default 1e-3. */
  lr: number
  /** Decay of the averages of the gradient and of its square. Default [0.9, 0.999]. */
  betas: readonly [number, number]
  /** Default 1e-8. */
  eps: number
  /** Adam: L2 penalty, default 0. AdamW: decoupled decay, default 0.01. */
  weightDecay: number
  amsgrad: boolean
  maximize: boolean
}

const names: OptionNames<AdamOptions> = {
  lr: true,
  betas: true,
  eps: true,
  weightDecay: true,
  amsgrad: true,
  maximize: true,
}

const defaults: AdamOptions = {
  lr: 1e-3,
  betas: [0.9, 0.999],
  eps: 1e-8,
  weightDecay: 0,
  amsgrad: false,
  maximize: false,
}

/** Adam (Kingma and Ba, 2015), with AMSGrad (Reddi et al., 2018) if asked for. */
export class Adam extends Optimizer<AdamOptions> {
  protected readonly decoupled: boolean = false
  protected override readonly slots: SlotNames = { mean: 'always', square: 'always', maxSquare: 'sometimes' }

  constructor(params: Parameters | readonly ParameterGroup<AdamOptions>[], options: Partial<AdamOptions> = {}) {
    super(params, withDefaults(new.target.name, options, defaults, names))
  }

  protected override needed({ amsgrad }: AdamOptions): readonly string[] {
    return amsgrad ? ['mean', 'square', 'maxSquare'] : ['mean', 'square']
  }

  protected override names(): OptionNames<AdamOptions> {
    return names
  }

  protected override checked(options: AdamOptions): AdamOptions {
    checkOptions(this.constructor.name, options, names)
    const { lr, betas, eps, weightDecay, amsgrad, maximize } = options
    checkNumbers(this.constructor.name, [
      notAtLeast('lr', lr, 0),
      notAtLeast('eps', eps, 0),
      notAtLeast('weightDecay', weightDecay, 0),
      !(Array.isArray(betas) && betas.length === 2 && betas.every((b) => notAtLeast('', b, 0) === false && b < 1)) &&
        `betas are ${shown(betas)}, but must be two numbers in [0, 1)`,
      notFlag('amsgrad', amsgrad),
      notFlag('maximize', maximize),
    ])
    return { ...options }
  }

  protected override update(ready: readonly Ready[], options: AdamOptions, shadows: readonly Tensor[]): void {
    const slots = (name: string) => ready.map((each) => this.slot(each, name))
    run('adam', {
      params: ready.map(({ parameter }) => parameter),
      grads: ready.map(({ gradient }) => gradient),
      means: slots('mean'),
      squares: slots('square'),
      maxSquares: options.amsgrad ? slots('maxSquare') : [],
      lr: options.lr,
      beta1: options.betas[0],
      beta2: options.betas[1],
      eps: options.eps,
      weightDecay: options.weightDecay,
      decoupled: this.decoupled,
      maximize: options.maximize,
      step: ready[0]?.state.step ?? 1,
      shadows,
    })
  }
}

/** Adam with decoupled weight decay (Loshchilov and Hutter, 2019). */
export class AdamW extends Adam {
  protected override readonly decoupled: boolean = true

  constructor(params: Parameters | readonly ParameterGroup<AdamOptions>[], options: Partial<AdamOptions> = {}) {
    super(params, withDefaults<Partial<AdamOptions>>(new.target.name, options, { weightDecay: 0.01 }, names))
  }
}
