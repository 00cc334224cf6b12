import { shown } from '../core/errors.js'
import type { Tensor } from '../core/tensor.js'
import { div, gt, lerp, maximum, mul, rsqrt, sqrt, square, sub, where } from '../ops/elementwise/index.js'
import { matmul } from '../ops/matmul.js'
import { mean } from '../ops/reduce/index.js'
import { direction } from './direction.js'
import { Optimizer } from './optimizer.js'
import { type Defaults, notAtLeast, notFlag } from './options.js'
import type { At } from './round.js'
import type { Slots } from './slots.js'

export interface AdafactorOptions {
  /**
   * The largest rate of a step, relative to the parameter's size; the rate of step t is at most 1 / sqrt(t). Default
   * 1e-2.
   */
  lr: number
  /** The average of squares keeps 1 - t^beta2Decay at step t. Default -0.8. */
  beta2Decay: number
  /**
   * The lower bounds of the root of an average of squares, and of a parameter's size. Default [2^-23 (float64: 2^-52),
   * 1e-3].
   */
  eps: readonly [number | null, number]
  /** The largest root mean square of a step before its rate. Default 1. */
  d: number
  /** Decoupled decay. Default 0. */
  weightDecay: number
  maximize: boolean
}

/**
 * The averages of squares by row and by column of a matrix (the last two dimensions), or the average of squares of
 * other tensors.
 */
export interface AdafactorState {
  readonly rowVar?: Tensor
  readonly colVar?: Tensor
  readonly variance?: Tensor
}

/** At least `least`, also for NaN, so that a NaN in the gradient of a vector spoils one element, as in PyTorch. */
const atLeast = (x: Tensor, least: number): Tensor => where(gt(x, least), x, least)

const rootMeanSquare = (x: Tensor): Tensor => sqrt(mean(square(x)))

/**
 * Adam's rates from averages over rows and columns only (Shazeer and Stern, 2018), in PyTorch's form. A matrix of m x n
 * needs m + n numbers instead of 2 m n.
 */
export class Adafactor extends Optimizer<AdafactorOptions, AdafactorState> {
  protected override defaults(): Defaults<AdafactorOptions> {
    return { lr: 1e-2, beta2Decay: -0.8, eps: [null, 1e-3], d: 1, weightDecay: 0, maximize: false }
  }

  protected override faults(options: AdafactorOptions): readonly (string | false)[] {
    const { lr, beta2Decay, eps, d, weightDecay, maximize } = options
    const fits = (value: unknown) => notAtLeast('', value, 0) === false
    return [
      notAtLeast('lr', lr, 0),
      !(typeof beta2Decay === 'number' && beta2Decay <= 0) &&
        `beta2Decay is ${shown(beta2Decay)}, but must be at most 0`,
      !(Array.isArray(eps) && eps.length === 2 && (eps[0] === null || fits(eps[0])) && fits(eps[1])) &&
        `eps is ${shown(eps)}, but must be two numbers of at least 0, the first of which may be null`,
      !(typeof d === 'number' && d >= 1) && `d is ${shown(d)}, but must be at least 1`,
      notAtLeast('weightDecay', weightDecay, 0),
      notFlag('maximize', maximize),
    ]
  }

  protected override slots({ sizes }: Tensor): Slots<AdafactorState> {
    if (sizes.length < 2) return { variance: {} }
    const [rows, columns] = sizes.slice(-2) as [number, number]
    const batch = sizes.slice(0, -2)
    return { rowVar: { shape: [...batch, rows, 1] }, colVar: { shape: [...batch, 1, columns] } }
  }

  protected override update(
    parameter: Tensor,
    gradient: Tensor,
    { rowVar, colVar, variance }: AdafactorState,
    { lr, beta2Decay, eps: [eps1, eps2], d, weightDecay, maximize }: AdafactorOptions,
    { step }: At,
  ): void {
    const uphill = direction(parameter, gradient, maximize, 0)
    const least = eps1 ?? (parameter.dtype === 'float64' ? 2 ** -52 : 2 ** -23)
    const towards = (x: Tensor, y: Tensor) => x.copy_(lerp(x, y, step ** beta2Decay))
    const kept = weightDecay === 0 ? parameter : mul(parameter, 1 - lr * weightDecay)
    const rate = mul(atLeast(rootMeanSquare(parameter), eps2), Math.min(lr, step ** -0.5))
    const squares = square(uphill)
    let estimate: Tensor
    if (rowVar !== undefined && colVar !== undefined) {
      towards(rowVar, mean(squares, -1, { keepdim: true }))
      towards(colVar, mean(squares, -2, { keepdim: true }))
      estimate = div(matmul(rowVar, colVar), maximum(mean(rowVar, -2, { keepdim: true }), least))
    } else estimate = towards(variance as Tensor, squares)
    const update = mul(rsqrt(maximum(estimate, least * least)), uphill)
    const size = div(rate, atLeast(div(rootMeanSquare(update), d), 1))
    parameter.copy_(sub(kept, mul(update, size)))
  }
}
