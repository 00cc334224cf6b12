import { run } from '../backend/dispatch.js'
import { checkOptions, type OptionNames } from '../core/options.js'
import type { Tensor } from '../core/tensor.js'
import { checkNumbers, notAtLeast, Optimizer, type ParameterGroup, type Parameters, type Ready } from './optimizer.js'

export interface SgdOptions {
  lr: number
  /** Default 0. */
  momentum: number
  dampening: number
  /** L2 penalty. Default 0. */
  weightDecay: number
  /** Needs momentum and no dampening. */
  nesterov: boolean
  maximize: boolean
}

const names: OptionNames<SgdOptions> = {
  lr: true,
  momentum: true,
  dampening: true,
  weightDecay: true,
  nesterov: true,
  maximize: true,
}

const defaults: Omit<SgdOptions, 'lr'> = { momentum: 0, dampening: 0, weightDecay: 0, nesterov: false, maximize: false }

/** Stochastic gradient descent, with momentum (Sutskever et al., 2013, in PyTorch's form). */
export class SGD extends Optimizer<SgdOptions> {
  constructor(
    params: Parameters | readonly ParameterGroup<SgdOptions>[],
    options: Partial<SgdOptions> & { lr: number },
  ) {
    super(params, { ...defaults, ...options })
  }

  protected override checked(options: SgdOptions): SgdOptions {
    checkOptions('SGD', options, names)
    const { lr, momentum, weightDecay, dampening, nesterov } = options
    checkNumbers('SGD', [
      notAtLeast('lr', lr, 0),
      notAtLeast('momentum', momentum, 0),
      notAtLeast('weightDecay', weightDecay, 0),
      Number.isNaN(dampening) && 'dampening is NaN',
      nesterov && (momentum <= 0 || dampening !== 0) && 'nesterov needs a momentum and no dampening',
    ])
    return { ...options }
  }

  protected override update(ready: readonly Ready[], options: SgdOptions, shadows: readonly Tensor[]): void {
    const first = ready[0]?.state.step === 1
    run('sgd', {
      params: ready.map(({ parameter }) => parameter),
      grads: ready.map(({ gradient }) => gradient),
      momentumBuffers: options.momentum === 0 ? [] : ready.map((each) => this.slot(each, 'momentumBuffer')),
      ...options,
      first,
      shadows,
    })
  }
}
