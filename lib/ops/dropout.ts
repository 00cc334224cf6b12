/** Dropout. The `generator` is by default the one that `manualSeed` seeds. */
import { checkTensor } from '../autograd/operator.js'
import type { DType } from '../core/dtype.js'
import { checkGenerator, defaultGenerator, type Generator } from '../core/generator.js'
import { checkFlag, checkOptions, type OptionNames } from '../core/options.js'
import type { Shape } from '../core/shape.js'
import type { Tensor } from '../core/tensor.js'
import { checkProbability } from './common.js'
import { dropoutAt } from './drop.js'

export interface DropoutOptions {
  /** Whether to drop. Default true; false returns x itself. */
  readonly training?: boolean
  readonly generator?: Generator | undefined
}

const dropoutNames: OptionNames<DropoutOptions> = { training: true, generator: true }

/** Zeroes each element with probability p and scales the others by 1 / (1 - p). */
export function dropout<S extends Shape, D extends DType>(
  x: Tensor<S, D>,
  p?: number,
  options?: DropoutOptions,
): Tensor<S, D>
export function dropout(x: Tensor, p = 0.5, options: DropoutOptions = {}): Tensor {
  const { training = true, generator } = checkOptions('dropout', options, dropoutNames)
  checkFlag('dropout', 'training', training)
  checkGenerator('dropout', generator)
  checkTensor('dropout', 'x', x)
  checkProbability('dropout', p)
  if (!training || p === 0) return x
  return dropoutAt(x, p, (generator ?? defaultGenerator()).take(x.numel))
}
