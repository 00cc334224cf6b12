import { shown } from '../core/errors.js'
import type { Tensor } from '../core/tensor.js'
import { add, mul, neg, sub } from '../ops/elementwise/index.js'
import { Optimizer } from './optimizer.js'
import { type Defaults, notAtLeast, notFlag } from './options.js'
import type { ParameterGroup, Parameters } from './parameters.js'
import type { At, Row } from './round.js'
import { rowOf } from './row.js'
import type { Slots } from './slots.js'

export interface SgdOptions {
  lr: number
  /** Default 0. */
  momentum: number
  dampening: number
  /** L2 penalty. Default 0. */
  weightDecay: number
  /** Nesterov's momentum, which needs a momentum and no dampening. Default false. */
  nesterov: boolean
  maximize: boolean
}

/** The running sum of gradients, of the parameter's shape; only with a momentum. */
export interface SgdState {
  readonly momentumBuffer?: Tensor
}

const plain: Slots<SgdState> = { momentumBuffer: { used: false } }
const withMomentum: Slots<SgdState> = { momentumBuffer: { used: true } }

/** Stochastic gradient descent, with momentum (Sutskever et al., 2013, in PyTorch's form). */
export class SGD extends Optimizer<SgdOptions, SgdState> {
  constructor(
    params: Parameters | readonly ParameterGroup<SgdOptions>[],
    options: Partial<SgdOptions> & { lr: number },
  ) {
    super(params, options)
  }

  protected override defaults(): Defaults<SgdOptions> {
    return { momentum: 0, dampening: 0, weightDecay: 0, nesterov: false, maximize: false }
  }

  protected override faults(options: SgdOptions): readonly (string | false)[] {
    const { lr, momentum, weightDecay, dampening, nesterov, maximize } = options
    return [
      notAtLeast('lr', lr, 0),
      notAtLeast('momentum', momentum, 0),
      notAtLeast('weightDecay', weightDecay, 0),
      !Number.isFinite(dampening) && `dampening is ${shown(dampening)}, but must be a finite number`,
      notFlag('nesterov', nesterov),
      notFlag('maximize', maximize),
      nesterov && (momentum <= 0 || dampening !== 0) && 'nesterov needs a momentum and no dampening',
    ]
  }

  protected override slots(_parameter: Tensor, { momentum }: SgdOptions): Slots<SgdState> {
    return momentum === 0 ? plain : withMomentum
  }

  protected override update(
    parameter: Tensor,
    gradient: Tensor,
    { momentumBuffer }: SgdState,
    { lr, momentum, dampening, weightDecay, nesterov, maximize }: SgdOptions,
    { fresh }: At,
  ): void {
    const uphill = maximize ? neg(gradient) : gradient
    let d = weightDecay === 0 ? uphill : add(uphill, mul(parameter, weightDecay))
    if (momentumBuffer !== undefined) {
      momentumBuffer.copy_(fresh.length > 0 ? d : add(mul(momentumBuffer, momentum), mul(d, 1 - dampening)))
      d = nesterov ? add(d, mul(momentumBuffer, momentum)) : momentumBuffer
    }
    parameter.copy_(sub(parameter, mul(d, lr)))
  }

  /**
   * The buffer begins at each parameter's first step with a momentum. The momentum may be set, or the parameter join,
   * at any step.
   */
  protected override row(
    slot: (name: string) => readonly Tensor[],
    { lr, momentum, dampening, weightDecay, nesterov, maximize }: SgdOptions,
    { fresh }: At,
  ): Row {
    const momentumBuffers = slot('momentumBuffer')
    const first = fresh.length > 0
    return rowOf('sgd', { momentumBuffers, lr, momentum, dampening, weightDecay, nesterov, maximize, first })
  }
}
