/** The common part of the norms. */
import { type Faults, formatShape, kindOf, shown, ValueError } from '../../core/errors.js'
import { countOf, type Shape, sameShape } from '../../core/shape.js'
import type { Tensor } from '../../core/tensor.js'
import { seenAs } from '../common.js'
import { mean, sum } from '../reduce/index.js'
import { reshape } from '../shape/index.js'

/**
 * The mean over `dims`, which stay with size 1. The mean of no elements is 0, as in the kernels, so that an empty batch
 * has gradients of 0.
 */
export function meanOf(x: Tensor, dims: readonly number[], count: number): Tensor {
  return count > 0 ? mean(x, dims, { keepdim: true }) : sum(x, dims, { keepdim: true })
}

/** The shape of x as rows that are each normalised together. */
export function rowsOf({ sizes }: Tensor, normalizedShape: Shape): readonly [rows: number, columns: number] {
  let rows = 1
  for (let d = sizes.length - normalizedShape.length - 1; d >= 0; d--) rows *= sizes[d] ?? 1
  return [rows, countOf(normalizedShape)]
}

/** A parameter as a vector. */
export const flat = (x: Tensor | null) => x && seenAs(x, [x.numel])

export function checkEps(op: string, eps: number): number {
  if (typeof eps !== 'number' || !(eps >= 0))
    throw new ValueError(op, `eps is ${shown(eps)}, but must be a non-negative number`)
  return eps
}

/** A vector of the channels of x [N, C, ...], shaped to broadcast with x. */
export function perChannel(p: Tensor, { sizes }: Tensor): Tensor {
  return reshape(
    p,
    sizes.map((_, d) => (d === 1 ? p.numel : 1)),
  )
}

/** The shape of x as [N, C, L], because kernels treat all dimensions after the channels as one. */
export function imagesOf(x: Tensor): Shape {
  return [x.sizes[0] ?? 0, x.sizes[1] ?? 0, countOf(x.sizes.slice(2))]
}

/** Adds the faults of tensors that must be [C]. */
export function checkChannels(faults: Faults, x: Tensor, vectors: { readonly [name: string]: Tensor | null }): void {
  const channels = x.sizes[1] ?? 0
  for (const [name, p] of Object.entries(vectors))
    faults.check(
      !p || (p.ndim === 1 && p.sizes[0] === channels),
      () => `${name} is ${formatShape(p?.sizes ?? [])}, but x has ${channels} channels`,
    )
}

/** Adds the faults of x, and of tensors that must have the normalised shape. */
export function checkNormalized(
  faults: Faults,
  x: Tensor,
  normalizedShape: Shape,
  parameters: { readonly [name: string]: Tensor | null },
): void {
  const wanted = () => formatShape(normalizedShape)
  const tail = x.sizes.slice(x.ndim - normalizedShape.length)
  faults.check(normalizedShape.length > 0, () => 'normalizedShape is empty')
  faults.check(sameShape(tail, normalizedShape), () => `x is ${formatShape(x.sizes)}, but must end in ${wanted()}`)
  // Every norm of a model comes here: `Object.entries` would make a list of lists each time.
  for (const name in parameters) {
    const p = parameters[name]
    if (p && !sameShape(p.sizes, normalizedShape))
      faults.check(false, () => `${name} is ${formatShape(p.sizes)}, but must be ${wanted()}`)
  }
}

/** A checked copy of a program's list of sizes. */
export function ownShape(op: string, normalizedShape: Shape): Shape {
  if (!Array.isArray(normalizedShape))
    throw new ValueError(op, `normalizedShape is ${kindOf(normalizedShape)}, but must be an array of sizes`)
  return [...normalizedShape]
}

export function checkMomentum(op: string, momentum: number): void {
  if (typeof momentum !== 'number' || !(momentum >= 0 && momentum <= 1))
    throw new ValueError(op, `momentum is ${shown(momentum)}, but must lie in [0, 1]`)
}
