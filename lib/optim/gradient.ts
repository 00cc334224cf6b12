/** Checks that refuse a step: gradients that do not fit their parameters, and parameters that no step can change. */
import { DeviceError, DisposedError, DTypeError, formatShape, ShapeError } from '../core/errors.js'
import { sameShape } from '../core/shape.js'
import type { Tensor } from '../core/tensor.js'
import type { Parameter } from '../nn/module.js'

export function gradientFits(parameter: Parameter, gradient: Tensor): boolean {
  const { storage } = parameter
  const own = gradient.storage
  return (
    !storage.freed &&
    !own.freed &&
    own.device === storage.device &&
    (own.dtype === 'float32' || own.dtype === 'float64') &&
    own.dtype === storage.dtype &&
    sameShape(gradient.sizes, parameter.sizes)
  )
}

/** Throws for a gradient that does not fit; `name` is the parameter's. */
export function refuseGradient(op: string, name: string, parameter: Parameter, gradient: Tensor): never {
  if (parameter.storage.freed || gradient.storage.freed)
    throw new DisposedError(
      op,
      `the ${parameter.storage.freed ? 'parameter' : 'gradient of'} ${name} was freed by dispose(), using or the end of its scope`,
    )
  if (parameter.dtype !== 'float32' && parameter.dtype !== 'float64')
    throw new DTypeError(
      op,
      `the parameter ${name} is ${parameter.dtype}, but must be float32 or float64; convert the model with .to('float32'), and let autocast compute in bfloat16`,
    )
  if (gradient.storage.device !== parameter.storage.device)
    throw new DeviceError(
      op,
      `the gradient of ${name} is on ${gradient.device.name}, the parameter on ${parameter.device.name}; call zeroGrad() after moving a model`,
    )
  if (gradient.dtype !== parameter.dtype)
    throw new DTypeError(
      op,
      `the gradient of ${name} is ${gradient.dtype}, but must be ${parameter.dtype}; convert it with .to('${parameter.dtype}')`,
    )
  throw new ShapeError(
    op,
    `the gradient of ${name} is ${formatShape(gradient.sizes)}, but the parameter is ${formatShape(parameter.sizes)}`,
    [gradient.sizes, parameter.sizes],
  )
}
