/** The bench's view of a workload: something to time, and numbers that another implementation must reproduce. */
import { type nn, ones, optim, scope, type Tensor, zeroGrad } from 'firesteel'
import type { Maker } from './maker.js'

/** One entry of the workloads file. Beside `name` and `kind` it has the sizes of its kind. */
export interface Workload {
  readonly name: string
  readonly kind: string
  readonly dtype?: string
  readonly [size: string]: unknown
}

/**
 * The L2 norms of an operator's output and gradients (inputs, then parameters), or the first three losses of a
 * training.
 */
export type Check = { readonly out: number; readonly grads: readonly number[] } | { readonly losses: readonly number[] }

export interface Work {
  /** Submits one call. Whoever times it waits for the device. */
  readonly run: () => void
  /** Called once, before any `run`. */
  readonly check: () => Check
  /** The number of calls that a check takes. */
  readonly checkCalls: number
  /**
   * The number of terms of the longest sum behind one number of the check, including the rounding of consecutive
   * layers.
   */
  readonly reduces: number
  /**
   * Absent if everything is float32. 'mixed': products are of bfloat16 and sums of float32, so that bfloat16's rounding
   * decides.
   */
  readonly precision?: 'mixed'
  /**
   * The approximate number of floating point operations of a call on the reference device, increased if its kernel is
   * much slower than its matmul.
   */
  readonly operations: number
}

/** Makes the workloads of one kind. */
export type Builder = (workload: Workload, make: Maker) => Work

/** The factor by which the reference LSTM is slower than matmul, because it is written to be read. */
export const slowRecurrence = 12
/** The same factor for attention. */
export const slowAttention = 2

/** A size of a workload. */
export function size(workload: Workload, name: string, fallback?: number): number {
  const value = workload[name] ?? fallback
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 0)
    throw new Error(`workload ${workload.name}: ${name} is ${String(value)}, but must be a non-negative integer`)
  return value
}

export function flag(workload: Workload, name: string, fallback: boolean): boolean {
  const value = workload[name] ?? fallback
  if (typeof value !== 'boolean')
    throw new Error(`workload ${workload.name}: ${name} is ${String(value)}, but must be true or false`)
  return value
}

/** The L2 norm. */
export function norm(x: Tensor): number {
  const values = x.to('float32').dataSync()
  let sum = 0
  for (let i = 0; i < values.length; i++) sum += (values[i] as number) ** 2
  return Math.sqrt(sum)
}

type Costs = Pick<Work, 'reduces' | 'operations' | 'precision'>

/** Runs `forward` and, if leaves require gradients, also backward from a gradient of ones. */
export function operator(forward: () => Tensor, leaves: readonly Tensor[], costs: Costs): Work {
  const wanting = leaves.filter((leaf) => leaf.requiresGrad)
  const call = (): Tensor => {
    zeroGrad(wanting)
    const out = forward()
    if (wanting.length > 0) out.backward({ gradient: ones(out.shape, { device: out.device }) })
    return out
  }
  return {
    ...costs,
    checkCalls: 1,
    run: () => scope(() => void call()),
    check: () =>
      scope(() => ({
        out: norm(call()),
        grads: wanting.map((leaf) => {
          if (leaf.grad === null) throw new Error('a leaf has no gradient')
          return norm(leaf.grad)
        }),
      })),
  }
}

/** One step of AdamW (lr 1e-3, weight decay 0.01). */
export function training(model: nn.Module, loss: () => Tensor, costs: Costs): Work {
  const optimizer = new optim.AdamW(model.parameters(), { lr: 1e-3, weightDecay: 0.01 })
  const step = (): Tensor => {
    optimizer.zeroGrad()
    const value = loss()
    value.backward()
    optimizer.step()
    return value
  }
  return {
    ...costs,
    checkCalls: 3,
    run: () => scope(() => void step()),
    check: () => ({ losses: [0, 1, 2].map(() => scope(() => step().item())) }),
  }
}
