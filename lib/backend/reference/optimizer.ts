/**
 * The norm of all gradients, and their scaling. On this device the steps of optimisers are composed of operators
 * (lib/optim).
 */
import { countOf } from '../../core/shape.js'
import type { KernelArguments, Kernels } from '../table/index.js'
import type { HostView } from './view.js'

function total_norm({ out, tensors, p }: KernelArguments<'total_norm', HostView>): void {
  let total = 0
  for (const { data, offset, shape } of tensors) {
    const end = offset + countOf(shape)
    if (p === 2) for (let i = offset; i < end; i++) total += (data[i] as number) * (data[i] as number)
    else if (p === Number.POSITIVE_INFINITY)
      for (let i = offset; i < end; i++) total = Math.max(total, Math.abs(data[i] as number))
    else for (let i = offset; i < end; i++) total += Math.abs(data[i] as number) ** p
  }
  const root = p === 2 ? Math.sqrt(total) : p === Number.POSITIVE_INFINITY ? total : total ** (1 / p)
  out.data[out.offset] = root
}

function clip_scale({ tensors, norm, maxNorm }: KernelArguments<'clip_scale', HostView>): void {
  const scale = Math.min(1, maxNorm / ((norm.data[norm.offset] as number) + 1e-6))
  for (const { data, offset, shape } of tensors) {
    const end = offset + countOf(shape)
    for (let i = offset; i < end; i++) data[i] = (data[i] as number) * scale
  }
}

export const optimizer = { total_norm, clip_scale } satisfies Pick<Kernels<HostView>, 'total_norm' | 'clip_scale'>
