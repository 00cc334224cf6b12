/** Writes in place: `copy_`, `fill_`, accumulation. Almost all other functions make new tensors. */

import { isGradEnabled, noGrad } from '../autograd/mode.js'
import { checkTensor } from '../autograd/operator.js'
import { run } from '../backend/dispatch.js'
import { checkBlockRows } from '../core/blocks.js'
import { type DType, isBlocks } from '../core/dtype.js'
import { AutogradError, DeviceError, DTypeError, formatShape, kindOf, ShapeError, ValueError } from '../core/errors.js'
import { defineMethods } from '../core/methods.js'
import { broadcastShapes, type Shape, sameShape } from '../core/shape.js'
import type { Tensor } from '../core/tensor.js'
import { checkDistinct } from './common.js'
import { castTo } from './convert.js'
import { full } from './creation.js'
import { checkNumber } from './elementwise/numbers.js'
import { checkFillable } from './placement.js'
import { clone } from './shape/index.js'
import { expandView } from './views.js'

/** dst = src, for callers that have checked that they may write. `op` is named if a saved tensor is overwritten. */
export function copyInto(dst: Tensor, src: Tensor, op: string): void {
  checkDistinct(op, 'the tensor', dst)
  let from: Tensor = expandView(src, dst.sizes)
  if (from.storage === dst.storage) {
    // The source may be the target itself, as when a state is loaded into its own model, or a part of the same tensor
    // that overlaps.
    if (from.offset === dst.offset && sameShape(from.steps, dst.steps)) return
    from = noGrad(() => clone(from))
  }
  if (from.dtype !== dst.dtype && (isBlocks(dst.dtype) || isBlocks(from.dtype)))
    from = noGrad(() => castTo(from, dst.dtype))
  checkBlockRows(op, from)
  checkBlockRows(op, dst)
  run('copy_into', { dst, src: from })
  dst.storage.markWritten(op)
}

/**
 * Throws if a tensor must not be written in place, because it is freed, or because a graph would not know of the write.
 */
export function checkWritable(op: string, dst: Tensor): void {
  checkTensor(op, 'the tensor', dst)
  dst.storage.check(op)
  if (dst.requiresGrad && isGradEnabled())
    throw new AutogradError(
      op,
      `cannot write in place into ${dst.describe()}, which takes part in a graph; do it inside noGrad()`,
    )
}

/**
 * Throws if the tensor called `name` must not be written into `dst`. `instead` names the function that would record a
 * graph.
 */
export function checkSource(op: string, name: string, src: Tensor, dst: Tensor, instead: string): void {
  checkTensor(op, name, src)
  src.storage.check(op)
  if (src.requiresGrad && isGradEnabled())
    throw new AutogradError(
      op,
      `${name} takes part in a graph (${src.describe()}), but ${op} records none, so no gradient would come back; ` +
        `give ${name}.detach(), do it inside noGrad(), or build the result with ${instead}`,
    )
  if (src.device !== dst.device)
    throw new DeviceError(
      op,
      `${name} is on ${src.device.name}, the tensor on ${dst.device.name}; move it with .to('${dst.device.name}')`,
    )
}

/** Overwrites the elements with those of `src`, broadcast and converted. Tensors that want a gradient need noGrad. */
export function copy_<S extends Shape, D extends DType>(dst: Tensor<S, D>, src: Tensor): Tensor<S, D> {
  checkWritable('copy_', dst)
  checkSource('copy_', 'src', src, dst, 'cat() or where()')
  if (!sameShape(broadcastShapes('copy_', dst.sizes, src.sizes), dst.sizes))
    throw new ShapeError('copy_', `src ${formatShape(src.sizes)} does not broadcast into ${formatShape(dst.sizes)}`, [
      dst.sizes,
      src.sizes,
    ])
  copyInto(dst, src, 'copy_')
  return dst
}

/** Overwrites all elements with a number. Throws ValueError if the dtype cannot hold it. */
export function fill_<S extends Shape, D extends DType>(dst: Tensor<S, D>, value: number): Tensor<S, D> {
  checkWritable('fill_', dst)
  if (typeof value !== 'number') throw new ValueError('fill_', `the value is ${kindOf(value)}, but must be a number`)
  checkNumber('fill_', value, dst.dtype)
  checkFillable('fill_', value, dst.dtype, dst.sizes)
  checkDistinct('fill_', 'the tensor', dst)
  if (dst.isContiguous) run('fill', { out: dst, value })
  else run('copy_into', { dst, src: expandView(full([], value, { dtype: dst.dtype, device: dst.device }), dst.sizes) })
  dst.storage.markWritten('fill_')
  return dst
}

/** dst += src, for gradients; no graph. */
export function accumulate(dst: Tensor, src: Tensor): void {
  if (dst.dtype !== src.dtype)
    throw new DTypeError('accumulate', `the gradient is ${src.dtype}, but is added to ${dst.dtype}`)
  run('accumulate', { dst, src: expandView(src, dst.sizes) })
  dst.storage.markWritten('gradient accumulation')
}

declare module '../core/tensor.js' {
  interface Tensor<S extends Shape = Shape, D extends DType = DType> {
    copy_(src: Tensor): Tensor<S, D>
    fill_(value: number): Tensor<S, D>
  }
}

defineMethods({
  copy_(src: Tensor) {
    return copy_(this, src)
  },
  fill_(value: number) {
    return fill_(this, value)
  },
})
