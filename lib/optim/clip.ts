import { noGrad } from '../autograd/mode.js'
import { checkTensor } from '../autograd/operator.js'
import { empty, run } from '../backend/dispatch.js'
import { DeviceError, DisposedError, DTypeError, shown, ValueError } from '../core/errors.js'
import { checkOptions, listOf } from '../core/options.js'
import { outsideFrames } from '../core/scope.js'
import { isOverlapping } from '../core/shape.js'
import type { Storage } from '../core/storage.js'
import type { Tensor } from '../core/tensor.js'
import { zeros } from '../ops/creation.js'
import { clone } from '../ops/shape.js'

export interface ClipOptions {
  /** Default 2; Infinity takes the largest element. */
  readonly normType?: number
}

/**
 * Scales all gradients so that their common norm is at most `maxNorm`. Returns the norm before, as a tensor: nothing waits
 * for it. Parameters without a gradient do not count, and one that is listed twice counts once.
 * Throws DeviceError or DTypeError where gradients are on several devices or of several dtypes.
 */
export function clipGradNorm(parameters: Iterable<Tensor>, maxNorm: number, options: ClipOptions = {}): Tensor<[]> {
  const { normType = 2 } = checkOptions('clipGradNorm', options, { normType: true })
  if (typeof maxNorm !== 'number' || !(maxNorm >= 0))
    throw new ValueError('clipGradNorm', `maxNorm is ${shown(maxNorm)}, but must be a non-negative number`)
  if (typeof normType !== 'number' || !(normType > 0))
    throw new ValueError('clipGradNorm', `normType is ${shown(normType)}, but must be positive`)
  const withGradient: Tensor[] = []
  const memories = new Set<Storage>()
  for (const parameter of listOf('clipGradNorm', 'the parameters', parameters, 'tensors in a list')) {
    checkTensor('clipGradNorm', 'each parameter', parameter)
    const gradient = parameter.peekGrad()
    if (gradient === null) continue
    withGradient.push(parameter)
    memories.add(gradient.storage)
  }
  return noGrad(() => {
    // Mostly each gradient has memory of its own, and then nothing is listed twice.
    const gradients =
      memories.size === withGradient.length
        ? ownGradients(withGradient, null)
        : ownGradients([...new Set(withGradient)], new Map())
    const first = gradients[0]
    if (first === undefined) return zeros([])
    const norm = empty(first.device, [] as [], first.dtype, 'clipGradNorm')
    run('total_norm', { out: norm, tensors: gradients, p: normType })
    run('clip_scale', { tensors: gradients, norm, maxNorm })
    for (const gradient of gradients) gradient.storage.markWritten('clipGradNorm')
    return norm
  })
}

type Extent = readonly [from: number, to: number]

/**
 * The gradients, checked. One that shares elements with another (where storages are to be watched for that), or within
 * itself, is copied first: each is scaled once.
 */
function ownGradients(parameters: readonly Tensor[], taken: Map<Storage, Extent[]> | null): Tensor[] {
  const gradients = parameters.map((parameter) => parameter.peekGrad() as Tensor)
  for (let i = 0; i < gradients.length; i++) {
    const gradient = gradients[i] as Tensor
    checkGradient(gradient, i, gradients[0] as Tensor)
    if (!isOverlapping(gradient) && (taken === null || !meetsOther(gradient, taken))) continue
    const copy = outsideFrames(() => clone(gradient))
    ;(parameters[i] as Tensor).grad = copy
    gradients[i] = copy
  }
  return gradients
}

function checkGradient(gradient: Tensor, i: number, first: Tensor): void {
  if (gradient.storage.freed) throw new DisposedError('clipGradNorm', `gradient ${i} was freed`)
  if (gradient.device !== first.device)
    throw new DeviceError(
      'clipGradNorm',
      `gradient 0 is on ${first.device.name}, gradient ${i} on ${gradient.device.name}; clip those of each device on their own`,
    )
  if (gradient.dtype !== first.dtype || (gradient.dtype !== 'float32' && gradient.dtype !== 'float64'))
    throw new DTypeError(
      'clipGradNorm',
      `gradient ${i} is ${gradient.dtype}, but all must be float32, or all float64 (gradient 0 is ${first.dtype})`,
    )
}

/** Whether the elements lie among those of a gradient before; else they are noted. */
function meetsOther(gradient: Tensor, taken: Map<Storage, Extent[]>): boolean {
  const [from, to] = extent(gradient)
  const others = taken.get(gradient.storage) ?? []
  if (others.some(([start, end]) => from < end && start < to)) return true
  taken.set(gradient.storage, [...others, [from, to]])
  return false
}

/** From where to where in its storage the elements lie. */
function extent({ offset, sizes, steps, numel }: Tensor): Extent {
  if (numel === 0) return [offset, offset]
  return [offset, 1 + sizes.reduce((last, size, d) => last + (size - 1) * (steps[d] as number), offset)]
}
