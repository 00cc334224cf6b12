import { formatShape, ShapeError, shown } from '../core/errors.js'
import type { Tensor } from '../core/tensor.js'
import { add, div, maximum, mul, sqrt, square, sub } from '../ops/elementwise/index.js'
import { matmul } from '../ops/matmul.js'
import { sum } from '../ops/reduce/index.js'
import { transpose } from '../ops/shape/index.js'
import { average } from './direction.js'
import { Optimizer } from './optimizer.js'
import { type Defaults, notAtLeast, notFlag, notWithin } from './options.js'
import type { ParameterGroup } from './parameters.js'
import type { Slots } from './slots.js'

export interface MuonOptions {
  /** Default 1e-3. */
  lr: number
  /** Decoupled decay. Default 0.1. */
  weightDecay: number
  /** Decay of the average of gradients. Default 0.95. */
  momentum: number
  /** Default true. */
  nesterov: boolean
  /**
   * Coefficients of the polynomial that the iteration applies to the singular values. Default [3.4445, -4.775, 2.0315].
   */
  nsCoefficients: readonly [number, number, number]
  /** The lower bound of the norm to divide by. Default 1e-7. */
  eps: number
  /** The number of times that the polynomial is applied. Default 5. */
  nsSteps: number
  /**
   * The way in which the rate depends on the matrix [rows, columns]. 'original' multiplies it by sqrt(max(1, rows /
   * columns)). 'matchRmsAdamw' multiplies it by 0.2 sqrt(max(rows, columns)), with which AdamW's rates can be used.
   * Default 'original'.
   */
  adjustLr: 'original' | 'matchRmsAdamw'
}

/** The average of gradients. */
export interface MuonState {
  readonly momentumBuffer: Tensor
}

/** Rounds to bfloat16 values held as float32. Their products are summed in float32 and rounded once, as in PyTorch. */
function rounded(x: Tensor): Tensor {
  return x.to('bfloat16').to('float32')
}

/**
 * Approximates U V^T of a matrix U S V^T by a polynomial in it (Newton and Schulz), in bfloat16. The singular values
 * end between 0.7 and 1.2, which serves as well as 1 here.
 */
function orthogonalised(x: Tensor, { nsCoefficients: [a, b, c], nsSteps, eps }: MuonOptions): Tensor {
  const [rows = 0, columns = 0] = x.sizes
  const wide = rounded(rows > columns ? transpose(x, 0, 1) : x)
  const norm = rounded(sqrt(sum(square(wide))))
  let y = rounded(div(wide, maximum(norm, eps)))
  for (let i = 0; i < nsSteps; i++) {
    const gram = rounded(matmul(y, transpose(y, 0, 1)))
    const polynomial = rounded(add(mul(gram, b), mul(matmul(gram, gram), c)))
    y = rounded(add(mul(y, a), matmul(polynomial, y)))
  }
  const all = y.to(x.dtype)
  return rows > columns ? transpose(all, 0, 1) : all
}

function checkMatrix({ sizes }: Tensor): void {
  if (sizes.length === 2) return
  const rule = 'but must be a matrix; give other parameters to an optimiser such as AdamW'
  throw new ShapeError('Muon', `a parameter is ${formatShape(sizes)}, ${rule}`, [sizes])
}

/**
 * Momentum whose steps are made orthogonal (Jordan et al., 2024), in PyTorch's form. It is for the matrices of hidden
 * layers; give biases, norms, embeddings and the head to another optimiser, such as AdamW. Throws ShapeError for a
 * parameter that is not a matrix.
 */
export class Muon extends Optimizer<MuonOptions, MuonState> {
  protected override defaults(): Defaults<MuonOptions> {
    return {
      lr: 1e-3,
      weightDecay: 0.1,
      momentum: 0.95,
      nesterov: true,
      nsCoefficients: [3.4445, -4.775, 2.0315],
      eps: 1e-7,
      nsSteps: 5,
      adjustLr: 'original',
    }
  }

  protected override faults(options: MuonOptions): readonly (string | false)[] {
    const { lr, weightDecay, momentum, nesterov, nsCoefficients, eps, nsSteps, adjustLr } = options
    const three = Array.isArray(nsCoefficients) && nsCoefficients.length === 3 && nsCoefficients.every(Number.isFinite)
    return [
      notAtLeast('lr', lr, 0),
      notAtLeast('weightDecay', weightDecay, 0),
      notAtLeast('momentum', momentum, 0),
      notFlag('nesterov', nesterov),
      !three && `nsCoefficients are ${shown(nsCoefficients)}, but must be three finite numbers`,
      notAtLeast('eps', eps, 0),
      !Number.isSafeInteger(nsSteps)
        ? `nsSteps is ${shown(nsSteps)}, but must be an integer`
        : notWithin('nsSteps', nsSteps, 0, 100),
      adjustLr !== 'original' &&
        adjustLr !== 'matchRmsAdamw' &&
        `adjustLr is ${shown(adjustLr)}, but must be 'original' or 'matchRmsAdamw'`,
    ]
  }

  override addParamGroup(group: ParameterGroup<MuonOptions>): void {
    const { params } = group
    super.addParamGroup(group)
    for (const parameter of params) checkMatrix(parameter)
  }

  /** The check stands here because `slots` is also asked for parameters that are added later. */
  protected override slots(parameter: Tensor): Slots<MuonState> {
    checkMatrix(parameter)
    return { momentumBuffer: {} }
  }

  protected override update(
    parameter: Tensor,
    gradient: Tensor,
    { momentumBuffer }: MuonState,
    options: MuonOptions,
  ): void {
    const { lr, weightDecay, momentum, nesterov, adjustLr } = options
    const [rows = 1, columns = 1] = parameter.sizes
    average(momentumBuffer, gradient, momentum)
    const d = nesterov ? add(mul(gradient, 1 - momentum), mul(momentumBuffer, momentum)) : momentumBuffer
    const scale =
      adjustLr === 'original' ? Math.sqrt(Math.max(1, rows / columns)) : 0.2 * Math.sqrt(Math.max(rows, columns))
    const kept = mul(parameter, 1 - lr * weightDecay)
    parameter.copy_(sub(kept, mul(orthogonalised(d, options), lr * scale)))
  }
}
