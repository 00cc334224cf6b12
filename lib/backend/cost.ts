/** The least work of a kernel call, however the kernel is written. Rooflines are drawn from it. */
import type { CallCost, KernelCall, StridedView } from '../core/device.js'
import { dtypes } from '../core/dtype.js'
import { countOf } from '../core/shape.js'
import { type KernelSpec, parseArguments, type Role } from './table/grammar.js'
import { type KernelName, kernels } from './table/index.js'

const roles: { readonly [R in Role]: { readonly reads: boolean; readonly writes: boolean } } = {
  out: { reads: false, writes: true },
  place: { reads: false, writes: true },
  inout: { reads: true, writes: true },
  update: { reads: true, writes: true },
  in: { reads: true, writes: false },
  strided: { reads: true, writes: false },
}

function viewBytes(view: StridedView): number {
  // A broadcast dimension counts once, because its memory is read again and again.
  let count = countOf(view.sizes)
  for (let i = 0; i < view.sizes.length; i++) if (view.steps[i] === 0 && count > 0) count /= view.sizes[i] as number
  return count * dtypes[view.dtype].bytes
}

function viewsOf(value: KernelCall[string] | undefined): readonly StridedView[] {
  if (value === null || typeof value !== 'object') return []
  return Array.isArray(value) ? (value as readonly StridedView[]) : [value as StridedView]
}

export function callCost(kernel: string, call: KernelCall): CallCost {
  const spec: KernelSpec = kernels[kernel as KernelName]
  let [readBytes, writtenBytes] = [0, 0]
  let dtype: CallCost['dtype'] | null = null
  for (const { name, role, dtype: declared } of parseArguments(spec)) {
    if (declared === null) continue
    for (const view of viewsOf(call[name])) {
      const touched = spec.partly?.[name]
      const bytes = viewBytes(touched === undefined ? view : (call[touched] as StridedView))
      const { reads, writes } = roles[role as Role]
      if (writes) writtenBytes += bytes
      if (reads && !spec.overwritten?.includes(name)) readBytes += bytes
      if (reads && !writes) dtype ??= view.dtype
    }
  }
  return {
    bytes: readBytes + writtenBytes,
    readBytes,
    writtenBytes,
    multiplyAdds: spec.multiplyAdds?.(call) ?? 0,
    dtype: dtype ?? 'float32',
  }
}
