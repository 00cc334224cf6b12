/** Helpers over the arguments of kernel calls, the same for every device. */
import type { KernelCall, StridedView } from '../core/device.js'
import { dtypes } from '../core/dtype.js'
import { countOf } from '../core/shape.js'

function viewBytes(view: StridedView): number {
  // A broadcast dimension is read again and again from the same memory.
  let count = countOf(view.shape)
  for (let i = 0; i < view.shape.length; i++) if (view.strides[i] === 0 && count > 0) count /= view.shape[i] as number
  return count * dtypes[view.dtype].bytes
}

/** Bytes of all tensors of a call, read and written once each: what a memory-bound kernel must move. */
export function callBytes(args: KernelCall): number {
  let bytes = 0
  for (const value of Object.values(args)) {
    if (value === null || typeof value !== 'object') continue
    if ('storage' in value) bytes += viewBytes(value as StridedView)
    else if (Array.isArray(value)) for (const view of value as readonly StridedView[]) bytes += viewBytes(view)
  }
  return bytes
}
