/** What autocast converts with: as `cast`, but the bfloat16 copy of a parameter is kept beside it and reused. */
import { autocastDType } from '../autograd/autocast.js'
import { apply, defineOperator, type OperatorRecord, type TensorSpec } from '../autograd/operator.js'
import { empty, run } from '../backend/dispatch.js'
import { type DType, isConvertible } from '../core/dtype.js'
import { keep, outsideFrames } from '../core/scope.js'
import type { Storage } from '../core/storage.js'
import { denseTensor, Tensor } from '../core/tensor.js'

/**
 * A conversion that is only read. Unlike a cast's, its result may share memory with other conversions of the same parameter,
 * and is overwritten when the parameter is: a backward pass that comes too late gets the error for overwritten memory.
 */
const lower: OperatorRecord<DType> = defineOperator<DType>({
  name: 'lower',
  infer: ([x], dtype) => ({ shape: (x as Tensor).sizes, dtype }),
  forward(inputs, _dtype, [spec]) {
    const x = inputs[0] as Tensor
    const { shape, dtype } = spec as TensorSpec
    // What lives on is likely to be converted again: parameters, above all.
    if (dtype === 'bfloat16' && x.dtype === 'float32' && (x.storage.kept || (x.isLeaf && x.requiresGrad)))
      return new Tensor(shadowOf(x.storage), x.sizes, x.steps, x.offset)
    const y = empty(x.device, shape, dtype, 'autocast')
    run('copy', { out: y, x })
    return y
  },
  conversion: true,
  gradient: {
    saves: () => ({}),
    backward: (ctx, [g]) => [convert(g as Tensor, ctx.spec(0).dtype)],
  },
})

export function convert(x: Tensor, dtype: DType): Tensor {
  return x.dtype === dtype ? x : apply(lower, [x], dtype)
}

/** For what is made of several operators and is to run in float32 as a whole. */
export function precise(x: Tensor): Tensor {
  return autocastDType() !== null && isConvertible(x.dtype) ? convert(x, 'float32') : x
}

/** The bfloat16 copy of a storage: made when first asked for, and again after writes that did not write it too. */
function shadowOf(storage: Storage): Storage {
  const before = storage.shadow
  if (before !== null && !before.storage.freed && before.version === storage.version) {
    before.used = true
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
