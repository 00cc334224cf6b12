/** Optimiser steps over all parameters at once. Each element is computed in float64 and rounded where it is stored. */
import { countOf } from '../../core/shape.js'
import type { KernelArguments, Kernels } from '../table/index.js'
import { toBfloat16 } from './half.js'
import type { HostView } from './view.js'

/** Writes a parameter's bfloat16 copy. */
function copyTo(shadow: HostView | undefined, param: HostView): void {
  if (shadow === undefined) return
  const n = countOf(param.shape)
  for (let i = 0; i < n; i++) shadow.data[shadow.offset + i] = toBfloat16(param.data[param.offset + i] as number)
}

function sgd(args: KernelArguments<'sgd', HostView>): void {
  const { params, grads, momentumBuffers, lr, momentum, dampening, weightDecay, nesterov, maximize, first, shadows } =
    args
  const sign = maximize ? -1 : 1
  params.forEach((param, t) => {
    const grad = grads[t] as HostView
    const buffer = momentumBuffers[t]
    const [p, g, m] = [param.data, grad.data, buffer?.data]
    const [pi, gi, mi] = [param.offset, grad.offset, buffer?.offset ?? 0]
    const n = countOf(param.shape)
    for (let i = 0; i < n; i++) {
      const before = p[pi + i] as number
      let d = sign * (g[gi + i] as number) + weightDecay * before
      if (m !== undefined) {
        const moving = first ? d : momentum * (m[mi + i] as number) + (1 - dampening) * d
        m[mi + i] = moving
        d = nesterov ? d + momentum * moving : moving
      }
      p[pi + i] = before - lr * d
    }
    copyTo(shadows[t], param)
  })
}

/** Adam: Kingma and Ba, arXiv 1412.6980; decoupled decay: Loshchilov and Hutter, arXiv 1711.05101. */
function adam(args: KernelArguments<'adam', HostView>): void {
  const { params, grads, means, squares, maxSquares, lr, beta1, beta2, eps, weightDecay, decoupled, maximize } = args
  const { step, shadows } = args
  const sign = maximize ? -1 : 1
  const stepSize = lr / (1 - beta1 ** step)
  const rootCorrection = Math.sqrt(1 - beta2 ** step)
  const keep = decoupled ? 1 - lr * weightDecay : 1
  const decay = decoupled ? 0 : weightDecay
  params.forEach((param, t) => {
    const [grad, mean, square] = [grads[t] as HostView, means[t] as HostView, squares[t] as HostView]
    const largest = maxSquares[t]
    const [p, g, m, v, x] = [param.data, grad.data, mean.data, square.data, largest?.data]
    const [pi, gi, mi, vi, xi] = [param.offset, grad.offset, mean.offset, square.offset, largest?.offset ?? 0]
    const n = countOf(param.shape)
    for (let i = 0; i < n; i++) {
      const before = p[pi + i] as number
      const d = sign * (g[gi + i] as number) + decay * before
      const first = beta1 * (m[mi + i] as number) + (1 - beta1) * d
      let second = beta2 * (v[vi + i] as number) + (1 - beta2) * d * d
      m[mi + i] = first
      v[vi + i] = second
      if (x !== undefined) {
        second = Math.max(x[xi + i] as number, second)
        x[xi + i] = second
      }
      p[pi + i] = keep * before - (stepSize * first) / (Math.sqrt(second) / rootCorrection + eps)
    }
    copyTo(shadows[t], param)
  })
}

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

export const optimizer = { sgd, adam, total_norm, clip_scale } satisfies Pick<
  Kernels<HostView>,
  'sgd' | 'adam' | 'total_norm' | 'clip_scale'
>
