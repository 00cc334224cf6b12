import { noGrad } from '../autograd/mode.js'
import { checkTensor } from '../autograd/operator.js'
import { kernelOf } from '../backend/call.js'
import { empty, run } from '../backend/dispatch.js'
import { DeviceError, DisposedError, DTypeError, shown, ValueError } from '../core/errors.js'
import { checkFlag, checkOptions, listOf } from '../core/options.js'
import { outsideFrames } from '../core/scope.js'
import { isOverlapping } from '../core/shape.js'
import type { Storage } from '../core/storage.js'
import { Tensor } from '../core/tensor.js'
import { zeros } from '../ops/creation.js'
import { clamp } from '../ops/elementwise/index.js'
import { clone } from '../ops/shape/index.js'

const op = 'clipGradNorm'

export interface ClipOptions {
  /** The p of the norm. Default 2; Infinity takes the largest element. */
  readonly normType?: number
  /** Throws if the norm is not a finite number, before anything is scaled. It waits for the norm. Default false. */
  readonly errorIfNonfinite?: boolean
}

/**
 * Scales all gradients so that their common norm is at most `maxNorm`; Infinity only measures. Returns the norm before
 * scaling, as a tensor, so that nothing waits for it. Parameters without a gradient do not count, and one that is
 * listed twice counts once. Throws DeviceError or DTypeError if gradients are on several devices or of several dtypes,
 * and ValueError for a norm that is NaN or infinite, if `errorIfNonfinite` asks for it.
 */
export function clipGradNorm(parameters: Iterable<Tensor>, maxNorm: number, options: ClipOptions = {}): Tensor<[]> {
  const names = { normType: true, errorIfNonfinite: true } as const
  const { normType = 2, errorIfNonfinite = false } = checkOptions(op, options, names)
  checkFlag(op, 'errorIfNonfinite', errorIfNonfinite)
  if (typeof maxNorm !== 'number' || !(maxNorm >= 0))
    throw new ValueError(op, `maxNorm is ${shown(maxNorm)}, but must be a non-negative number`)
  if (typeof normType !== 'number' || !(normType > 0))
    throw new ValueError(op, `normType is ${shown(normType)}, but must be positive`)
  const gradients: Tensor[] = []
  let apart = true
  const all = Array.isArray(parameters)
    ? (parameters as readonly Tensor[])
    : listOf(op, 'the parameters', parameters, 'tensors in a list')
  for (let i = 0; i < all.length; i++) {
    const parameter = all[i] as Tensor
    checkParameter(op, parameter, i)
    const gradient = parameter.peekGrad()
    if (gradient === null) continue
    checkGradient(gradient, gradients.length, gradients[0] ?? gradient)
    apart &&= !isOverlapping(gradient)
    gradients.push(gradient)
  }
  return noGrad(() => {
    const first = gradients[0]
    if (first === undefined) return zeros([])
    // Gradients mostly have memory of their own, and then none is listed twice.
    const tensors = markApart(gradients) && apart ? gradients : separated(all)
    const norm = empty(first.device, [] as [], first.dtype, op)
    run(totalNorm, { out: norm, tensors, p: normType })
    if (errorIfNonfinite) checkNorm(norm.item(), normType)
    if (maxNorm < Number.POSITIVE_INFINITY) run(clipScale, { tensors, norm, maxNorm })
    return norm
  })
}

/**
 * Clamps each element of every gradient to [-clipValue, clipValue], in place; NaN stays NaN. Parameters without a
 * gradient do not count. Throws ValueError for a value that is negative or NaN.
 */
export function clipGradValue(parameters: Iterable<Tensor>, clipValue: number): void {
  const name = 'clipGradValue'
  if (typeof clipValue !== 'number' || !(clipValue >= 0))
    throw new ValueError(name, `clipValue is ${shown(clipValue)}, but must be a non-negative number`)
  const all = listOf(name, 'the parameters', parameters, 'tensors in a list')
  for (const [i, parameter] of all.entries()) {
    checkParameter(name, parameter, i)
    parameter.peekGrad()?.storage.check(name, `gradient ${i}`)
  }
  noGrad(() => {
    for (const parameter of new Set(all)) {
      const gradient = parameter.peekGrad()
      if (gradient === null) continue
      const clipped = outsideFrames(() => clamp(gradient, -clipValue, clipValue))
      // A gradient with overlapping elements is replaced, because these cannot be written one by one.
      if (isOverlapping(gradient)) parameter.grad = clipped
      else {
        gradient.copy_(clipped)
        clipped.dispose()
      }
    }
  })
}

function checkNorm(norm: number, normType: number): void {
  if (Number.isFinite(norm)) return
  const rule = 'so it cannot be clipped; look for such numbers in the data, or leave errorIfNonfinite out'
  throw new ValueError(op, `the norm (${normType}) of the gradients is ${norm}, ${rule}`)
}

const totalNorm = kernelOf('total_norm')
const clipScale = kernelOf('clip_scale')

/**
 * Marks the tensors as written, and tells whether each has a storage of its own, because each version then has grown by
 * exactly one. A set of storages would make clipping 400 small gradients take a third longer.
 */
function markApart(tensors: readonly Tensor[]): boolean {
  let grown = 0
  for (const { storage } of tensors) grown -= storage.version
  for (const { storage } of tensors) storage.markWritten(op)
  for (const { storage } of tensors) grown += storage.version
  return grown === tensors.length
}

type Extent = readonly [from: number, to: number]

/**
 * The gradients, each parameter's once. A gradient that shares elements with another, or within itself, is copied, so
 * that each element is scaled once.
 */
function separated(parameters: readonly Tensor[]): Tensor[] {
  const taken = new Map<Storage, Extent[]>()
  return [...new Set(parameters)].flatMap((parameter) => {
    const gradient = parameter.peekGrad()
    if (gradient === null) return []
    if (!isOverlapping(gradient) && !meetsOther(gradient, taken)) return [gradient]
    const copy = outsideFrames(() => clone(gradient))
    parameter.grad = copy
    return [copy]
  })
}

function checkParameter(name: string, parameter: Tensor, i: number): void {
  if (!(parameter instanceof Tensor)) checkTensor(name, 'each parameter', parameter)
  else if (parameter.storage.freed) parameter.storage.check(name, `parameter ${i}`)
}

function checkGradient(gradient: Tensor, i: number, first: Tensor): void {
  const { storage } = gradient
  const { dtype, device } = first.storage
  if (
    !storage.freed &&
    storage.device === device &&
    storage.dtype === dtype &&
    (dtype === 'float32' || dtype === 'float64')
  )
    return
  if (storage.freed) throw new DisposedError(op, `gradient ${i} was freed`)
  if (storage.device !== device)
    throw new DeviceError(
      op,
      `gradient 0 is on ${device.name}, gradient ${i} on ${storage.device.name}; clip the gradients of each device separately`,
    )
  throw new DTypeError(
    op,
    `gradient ${i} is ${storage.dtype}, but all must be float32, or all float64 (gradient 0 is ${dtype})`,
  )
}

/** Whether a gradient shares elements with an earlier one; if not, records its extent. */
function meetsOther(gradient: Tensor, taken: Map<Storage, Extent[]>): boolean {
  const [from, to] = extent(gradient)
  const others = taken.get(gradient.storage) ?? []
  if (others.some(([start, end]) => from < end && start < to)) return true
  taken.set(gradient.storage, [...others, [from, to]])
  return false
}

/** The first and the last place of the elements in their storage. */
function extent({ offset, sizes, steps, numel }: Tensor): Extent {
  let [from, to] = [offset, offset]
  if (numel === 0) return [from, to]
  sizes.forEach((size, d) => {
    const reach = (size - 1) * (steps[d] as number)
    if (reach < 0) from += reach
    else to += reach
  })
  return [from, to + 1]
}
