/** The parameters of distributions: numbers and tensors that become tensors of one shape, dtype and device. */
import { checkDType, checkTensor } from '../autograd/operator.js'
import type { Device } from '../core/device.js'
import type { DType } from '../core/dtype.js'
import { DeviceError, shown, ValueError } from '../core/errors.js'
import { broadcastShapes, type Shape } from '../core/shape.js'
import { Tensor } from '../core/tensor.js'
import { anyFloating, checkScalar } from '../ops/common.js'
import { castTo } from '../ops/convert.js'
import { full } from '../ops/creation.js'
import { sum } from '../ops/reduce/index.js'
import { expand } from '../ops/shape/index.js'

/** Dtypes of parameters, the narrowest first. */
const widths: readonly DType[] = ['bfloat16', 'float32', 'float64']

/** The steps between 1 and the next number, by dtype. */
const epsilons: { readonly [dtype: string]: number } = { bfloat16: 2 ** -7, float32: 2 ** -23, float64: 2 ** -52 }

/** The step between 1 and the next number of x's dtype. */
export function epsilonOf(x: Tensor): number {
  return epsilons[x.dtype] as number
}

/** The smallest number above 0 with all digits, in x's dtype. */
export function leastOf(x: Tensor): number {
  return x.dtype === 'float64' ? 2 ** -1022 : 2 ** -126
}

/** Throws unless both tensors are on one device. */
export function checkDevice(op: string, name: string, x: Tensor, other: { readonly device: Device }): void {
  if (x.device === other.device) return
  throw new DeviceError(
    op,
    `${name} is on ${x.device.name}, but the rest is on ${other.device.name}; move it with .to('${other.device.name}')`,
  )
}

/** Throws unless the parameter is a tensor of floats. */
export function checkFloats(op: string, name: string, x: Tensor): void {
  checkDType(op, name, x, anyFloating)
  checkTensor(op, name, x)
}

/**
 * Parameters broadcast to one shape, in the widest of their dtypes. Numbers take dtype and device from the tensors; if
 * there is none, they are float32 on the default device.
 */
export function aligned<K extends string>(
  op: string,
  given: { readonly [name in K]: Tensor | number },
): { readonly [name in K]: Tensor } {
  const tensors: Tensor[] = []
  for (const name in given) {
    const value = given[name] as unknown
    if (typeof value === 'number') checkScalar(op, name, value)
    else if (value instanceof Tensor) {
      checkFloats(op, name, value)
      if (tensors[0] !== undefined) checkDevice(op, name, value, tensors[0])
      tensors.push(value)
    } else throw new ValueError(op, `${name} is ${shown(value)}, but must be a tensor or a number`)
  }
  const shape = tensors.reduce<Shape>((sizes, x) => broadcastShapes(op, sizes, x.sizes), [])
  const widest = Math.max(...tensors.map(({ dtype }) => widths.indexOf(dtype)))
  const dtype = tensors.length === 0 ? 'float32' : (widths[widest] as DType)
  const [first] = tensors
  const out: { [name in K]?: Tensor } = {}
  for (const name in given) {
    const value = given[name] as Tensor | number
    const x =
      typeof value === 'number'
        ? full([], value, { dtype, ...(first && { device: first.device }) })
        : castTo(value, dtype)
    out[name] = expand(x, shape)
  }
  return out as { readonly [name in K]: Tensor }
}

/** The sum over the last `count` dimensions. */
export function sumLast(x: Tensor, count: number): Tensor {
  return count === 0
    ? x
    : sum(
        x,
        Array.from({ length: count }, (_, i) => i - count),
      )
}
