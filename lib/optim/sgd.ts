import { run } from '../backend/dispatch.js'
import { shown } from '../core/errors.js'
import { checkOptions, type OptionNames } from '../core/options.js'
import type { Tensor } from '../core/tensor.js'
import { checkNumbers, notAtLeast, notFlag, Optimizer, type Ready, withDefaults } from './optimizer.js'
import type { ParameterGroup, Parameters } from './parameters.js'
import type { ParameterState, SlotNames } from './state.js'

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
    super(params, withDefaults<Partial<SgdOptions>>(new.target.name, options, defaults, names) as SgdOptions)
  }

  protected override readonly slots: SlotNames = { momentumBuffer: 'sometimes' }

  /** Whether the call makes the buffers: a momentum may be set, or a parameter join, at any step. */
  protected override kind(state: ParameterState): number {
    return state.tensors['momentumBuffer'] === undefined ? 0 : 1
  }

  protected override needed({ momentum }: SgdOptions): readonly string[] {
    return momentum === 0 ? [] : ['momentumBuffer']
  }

  protected override names(): OptionNames<SgdOptions> {
    return names
  }

  protected override checked(options: SgdOptions): SgdOptions {
    checkOptions(this.constructor.name, options, names)
    const { lr, momentum, weightDecay, dampening, nesterov, maximize } = options
    checkNumbers(this.constructor.name, [
      notAtLeast('lr', lr, 0),
      notAtLeast('momentum', momentum, 0),
      notAtLeast('weightDecay', weightDecay, 0),
      !Number.isFinite(dampening) && `dampening is ${shown(dampening)}, but must be a finite number`,
      notFlag('nesterov', nesterov),
      notFlag('maximize', maximize),
      nesterov && (momentum <= 0 || dampening !== 0) && 'nesterov needs a momentum and no dampening',
    ])
    return { ...options }
  }

  protected override update(ready: readonly Ready[], options: SgdOptions, shadows: readonly Tensor[]): void {
    const first = ready[0]?.state.tensors['momentumBuffer'] === undefined
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
