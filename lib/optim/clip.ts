import { noGrad } from '../autograd/mode.js'
import { checkTensor } from '../autograd/operator.js'
import { empty, run } from '../backend/dispatch.js'
import { ValueError } from '../core/errors.js'
import { checkOptions } from '../core/options.js'
import type { Tensor } from '../core/tensor.js'
import { zeros } from '../ops/creation.js'

export interface ClipOptions {
  /** Default 2; Infinity takes the largest element. */
  readonly normType?: number
}

/**
 * Scales all gradients so that their common norm is at most `maxNorm`. Returns the norm before, as a tensor: nothing waits
 * for it. Parameters without a gradient do not count.
 */
export function clipGradNorm(parameters: Iterable<Tensor>, maxNorm: number, options: ClipOptions = {}): Tensor<[]> {
  const { normType = 2 } = checkOptions('clipGradNorm', options, { normType: true })
  if (!(maxNorm >= 0))
    throw new ValueError('clipGradNorm', `maxNorm is ${String(maxNorm)}, but must be a non-negative number`)
  if (!(normType > 0)) throw new ValueError('clipGradNorm', `normType is ${String(normType)}, but must be positive`)
  if (typeof parameters?.[Symbol.iterator] !== 'function')
    throw new ValueError('clipGradNorm', `the parameters are ${String(parameters)}, but must be tensors in a list`)
  const gradients: Tensor[] = []
  for (const parameter of parameters) {
    checkTensor('clipGradNorm', 'each parameter', parameter)
    const gradient = parameter.peekGrad()
    if (gradient !== null) gradients.push(gradient)
  }
  const first = gradients[0]
  if (first === undefined) return zeros([])
  return noGrad(() => {
    const norm = empty(first.device, [] as [], first.dtype, 'clipGradNorm')
    run('total_norm', { out: norm, tensors: gradients, p: normType })
    run('clip_scale', { tensors: gradients, norm, maxNorm })
    for (const gradient of gradients) gradient.storage.markWritten('clipGradNorm')
    return norm
  })
}
