/** Checks of targets that are indices of classes, and of the shapes that go with them. */
import { checkDType, checkTensor } from '../../autograd/operator.js'
import { DTypeError, Faults, formatShape, ShapeError, shown, ValueError } from '../../core/errors.js'
import { type Shape, sameShape } from '../../core/shape.js'
import type { Tensor } from '../../core/tensor.js'

/** Throws unless the tensor can hold indices of classes, or counts. */
export function checkLabels(op: string, name: string, x: Tensor): void {
  checkTensor(op, name, x)
  checkDType(op, name, x, ['int32'])
}

/** Throws unless the target holds class indices. The hint depends on what its shape suggests that it holds instead. */
function checkTarget(op: string, target: Tensor, [name, x]: readonly [name: string, x: Tensor]): void {
  checkTensor(op, 'target', target)
  const byClass = sameShape(target.sizes, x.sizes) && !(x.ndim === 1 && x.sizes[0] === 1)
  if (target.dtype === 'int32' && !byClass) return
  const dim = x.ndim === 1 ? 0 : 1
  if (byClass) {
    const message =
      `target is ${target.dtype} ${formatShape(target.sizes)}, the shape of ${name}, but must hold an int32 index of a class ` +
      `for each row: of a one-hot target argmax(target, ${dim})`
    throw target.dtype === 'int32' ? new ShapeError(op, message, [x.sizes, target.sizes]) : new DTypeError(op, message)
  }
  checkLabels(op, 'target', target)
}

/** The shape of the rows: [N] for [N, C], [] for [C], [N, d...] for [N, C, d...]. */
export function rowShape({ ndim, sizes }: Tensor): Shape {
  return ndim <= 1 ? [] : [...sizes.slice(0, 1), ...sizes.slice(2)]
}

/**
 * Throws unless the shapes of logits (or of their log softmax), target and weights fit, in any number of dimensions.
 */
export function checkClasses(
  op: string,
  given: readonly [name: string, x: Tensor],
  target: Tensor,
  weight: Tensor | null,
): void {
  checkTarget(op, target, given)
  const [name, x] = given
  const classes = x.sizes[x.ndim === 1 ? 0 : 1] ?? 0
  const expected = rowShape(x)
  const faults = new Faults()
  faults.check(x.ndim >= 1, () => `${name} must have at least one dimension`)
  faults.check(
    sameShape(target.sizes, expected),
    () =>
      `${name} are ${formatShape(x.sizes)}, target is ${formatShape(target.sizes)}, but must be ${formatShape(expected)}`,
  )
  faults.check(
    !weight || (weight.ndim === 1 && weight.sizes[0] === classes),
    () => `weight is ${formatShape(weight?.sizes ?? [])}, but must be [${classes}]`,
  )
  faults.throwShape(op, [x.sizes, target.sizes])
}

export function checkIgnoreIndex(op: string, ignoreIndex: number | undefined): void {
  if (ignoreIndex !== undefined && !Number.isSafeInteger(ignoreIndex))
    throw new ValueError(op, `ignoreIndex is ${shown(ignoreIndex)}, but must be an integer`)
}
