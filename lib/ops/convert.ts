/**
 * Conversions of dtype and device: `cast`, for programs and operators; `lower`, for autocast, whose result is only
 * read; and `transfer` between devices.
 */

import { autocastDType } from '../autograd/autocast.js'
import { isGradEnabled } from '../autograd/mode.js'
import { apply, checkTensor, type Operator } from '../autograd/operator.js'
import { deviceFor } from '../backend/devices.js'
import { contiguous, empty, run } from '../backend/dispatch.js'
import { noElements } from '../backend/meta/device.js'
import { checkBlockRows, checkBlockShape } from '../core/blocks.js'
import { currentCapture } from '../core/capture.js'
import type { Device } from '../core/device.js'
import {
  type BlockDType,
  type DType,
  dtypes,
  isBlocks,
  isConvertible,
  isDType,
  isFloating,
  type Known,
} from '../core/dtype.js'
import { DeviceError, DTypeError } from '../core/errors.js'
import { defineMethods } from '../core/methods.js'
import { keep, outsideFrames } from '../core/scope.js'
import type { Shape } from '../core/shape.js'
import type { Storage } from '../core/storage.js'
import { denseTensor, Tensor } from '../core/tensor.js'
import { like } from './common.js'
import { kernel, operator } from './operator.js'

/** Throws for a tensor that cannot be stored in blocks. */
function checkBlocksOf(x: Tensor, dtype: BlockDType): void {
  checkBlockShape('to', dtype, x.sizes)
  if (!isFloating(x.dtype))
    throw new DTypeError(
      'to',
      `only floats can become ${dtype}, but the tensor is ${x.dtype}; convert it to float32 first`,
    )
  if (x.requiresGrad && isGradEnabled())
    throw new DTypeError(
      'to',
      `no gradient passes through ${dtype}, but the tensor wants one; convert x.detach(), or do it inside noGrad()`,
    )
}

const cast: Operator<[x: Tensor], DType> = operator<[x: Tensor], DType>({
  name: 'cast',
  op: 'to',
  infer([x], dtype) {
    if (!Object.hasOwn(dtypes, dtype))
      throw new DTypeError('to', `there is no dtype '${dtype}'; known are ${Object.keys(dtypes).join(', ')}`)
    if (!x.device.supports(dtype)) throw new DTypeError('to', `device ${x.device.name} has no ${dtype}`)
    checkBlockRows('to', x)
    if (isBlocks(dtype)) checkBlocksOf(x, dtype)
    return { shape: x.sizes, dtype }
  },
  forward: kernel('copy', ([x], _dtype, { out }) => ({ out, x })),
  conversion: true,
  gradient: {
    saves: () => ({}),
    backward: (ctx, [g]) => [castTo(g, ctx.spec(0).dtype)],
  },
})

/**
 * Converts to another dtype; returns x itself if it already has it. Floats to integers truncate; anything to bool is !=
 * 0.
 */
export function castTo<S extends Shape, D extends DType>(x: Tensor<S>, dtype: D): Tensor<S, D>
export function castTo(x: Tensor, dtype: DType): Tensor {
  if (x.dtype === dtype) return x
  // Blocks are made from dense float32.
  if (isBlocks(dtype) && (x.dtype !== 'float32' || !x.isContiguous) && isFloating(x.dtype)) {
    checkBlocksOf(x, dtype)
    const numbers = contiguous(x.dtype === 'float32' ? x : apply(cast, [x], 'float32'))
    try {
      return apply(cast, [numbers], dtype)
    } finally {
      numbers.dispose()
    }
  }
  return apply(cast, [x], dtype)
}

/** Converts the terms of a sum, because sums are computed in float32. */
export function summable(x: Tensor): Tensor {
  return x.dtype === 'bfloat16' || x.dtype === 'float16' ? castTo(x, 'float32') : x
}

/**
 * A conversion whose result is only read. Unlike a cast's, the result may share memory with other conversions of the
 * same parameter, and is overwritten when the parameter is. A backward pass that comes too late gets the error for
 * overwritten memory.
 */
const lower: Operator<[x: Tensor], DType> = operator<[x: Tensor], DType>({
  name: 'lower',
  op: 'autocast',
  infer: ([x], dtype) => ({ shape: x.sizes, dtype }),
  forward([x], _dtype, { shape, dtype }) {
    // The copy is kept for a tensor that lives on, such as a parameter, because it is likely to be converted again.
    if (dtype === 'bfloat16' && x.dtype === 'float32' && (x.storage.owner === 'model' || (x.isLeaf && x.requiresGrad)))
      return new Tensor(shadowOf(x.storage), x.sizes, x.steps, x.offset)
    const y = empty(x.device, shape, dtype, 'autocast')
    run('copy', { out: y, x })
    return y
  },
  conversion: true,
  gradient: {
    saves: () => ({}),
    backward: (ctx, [g]) => [convert(g, ctx.spec(0).dtype)],
  },
})

/**
 * Does the same as `castTo`, for autocast and gradients: keeps the bfloat16 copy of a parameter beside it, and reuses
 * it.
 */
export function convert(x: Tensor, dtype: DType): Tensor {
  return x.dtype === dtype ? x : apply(lower, [x], dtype)
}

/** Converts to float32 under autocast. Functions of several operators use it if they must run in float32 as a whole. */
export function precise(x: Tensor): Tensor {
  return autocastDType() !== null && isConvertible(x.dtype) ? convert(x, 'float32') : x
}

/** The bfloat16 copy of a storage. It is made at the first request, and again after writes that did not include it. */
function shadowOf(storage: Storage): Storage {
  const before = storage.shadow
  if (before !== null && !before.storage.freed && before.version === storage.version) {
    before.used = true
    currentCapture()?.readsShadow(storage, before)
    return before.storage
  }
  const master = denseTensor(storage, [storage.count])
  const kept = before !== null && !before.storage.freed ? before.storage : null
  const copy = kept
    ? denseTensor(kept, [kept.count])
    : outsideFrames(() => keep(empty(storage.device, [storage.count], 'bfloat16', 'autocast')))
  run('copy', { out: copy, x: master })
  if (kept) kept.markWritten(storage.writer)
  storage.shadow = { storage: copy.storage, version: storage.version, used: true }
  return copy.storage
}

interface Transfer {
  readonly from: Device
  readonly to: Device
}

const transfer: Operator<[x: Tensor], Transfer> = operator<[x: Tensor], Transfer>({
  name: 'transfer',
  op: 'to',
  infer: ([x]) => like(x),
  forward([x], { to }, { shape, dtype }) {
    if (x.device.kind === 'meta') throw noElements('to')
    const out = empty(to, shape, dtype, 'to')
    if (to.kind === 'meta') return out
    const source = contiguous(x)
    to.upload(out.storage, source.device.readSync(source))
    return out
  },
  gradient: {
    saves: () => ({}),
    backward: ({ attrs: { from, to } }, [g]) => [apply(transfer, [g], { from: to, to: from })],
  },
})

/** The dtype after `to`: the named one; the same for a device; unknown if the text is. */
export type Moved<D extends DType, T> = T extends DType ? Known<T> : string extends T ? DType : D

/**
 * Converts to another dtype, or copies to another device: 'cpu', 'reference', 'cuda', or 'meta'. A tensor on 'meta' has
 * only its shape, so it cannot be copied back. Returns x itself if nothing changes. Between floats, numbers round to
 * nearest. Floats to int32 or uint8 lose their fraction, and numbers beyond the range wrap around by multiples of 2^32
 * or 2^8 (300 is 44 in uint8); NaN and infinities give 0. To bool, everything but 0 is true. Floats to a block dtype
 * ('q8_0', 'q4_0', 'nf4') are rounded block by block along the last dimension, which must hold whole blocks. A block
 * with NaN or an infinity becomes NaN.
 */
export function to<S extends Shape, D extends DType, const T extends string | Device>(
  x: Tensor<S, D>,
  target: T,
): Tensor<S, Moved<D, T>>
export function to(x: Tensor, target: string | Device): Tensor {
  checkTensor('to', 'x', x)
  if (typeof target === 'string' && isDType(target)) return castTo(x, target)
  if (typeof target === 'string' && !/^(cpu|reference|meta|cuda(:\d+)?)$/.test(target))
    throw new DeviceError(
      'to',
      `there is no dtype or device '${target}'; dtypes are ${Object.keys(dtypes).join(', ')}, devices cpu, reference, cuda:0, meta`,
    )
  const device = deviceFor('to', target)
  return x.device === device ? x : apply(transfer, [x], { from: x.device, to: device })
}

// Covariant by annotation: see core/methods.ts.
type To<out S extends Shape, out D extends DType> = <const T extends string | Device>(
  target: T,
) => Tensor<S, Moved<D, T>>

declare module '../core/tensor.js' {
  interface Tensor<S extends Shape = Shape, D extends DType = DType> {
    /** Converts to another dtype, or copies to another device. */
    to: To<S, D>
  }
}

defineMethods({
  to(target: DType | string | Device) {
    return to(this, target)
  },
})
