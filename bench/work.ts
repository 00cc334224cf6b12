/** What a workload is to the bench: something to time, and numbers that another implementation must reproduce. */
import { type nn, ones, optim, scope, type Tensor, zeroGrad } from 'firesteel'
import type { Maker } from './maker.js'

/** One entry of the workloads file; beside `name` and `kind` the sizes of its kind. */
export interface Workload {
  readonly name: string
  readonly kind: string
  readonly dtype?: string
  readonly [size: string]: unknown
}

/** L2 norms of an operator's output and gradients (inputs, then parameters), or the first three losses of a training. */
export type Check = { readonly out: number; readonly grads: readonly number[] } | { readonly losses: readonly number[] }

export interface Work {
  /** One call, submitted; whoever times it waits for the device. */
  readonly run: () => void
  /** Called once, before any `run`. */
  readonly check: () => Check
  /** Calls that a check takes. */
  readonly checkCalls: number
  /** Terms of the longest sum behind one number of the check, rounding of consecutive layers included. */
  readonly reduces: number
  /** Absent where all is float32. Mixed: products of bfloat16 decide over what is added up in float32. */
  readonly precision?: 'mixed'
  /**
   * How much a call asks of the reference device: floating point operations, roughly, more where its kernel is far from the
   * speed of its matmul.
   */
  readonly operations: number
}

/** Makes the workloads of one kind. */
export type Builder = (workload: Workload, make: Maker) => Work

/** The reference LSTM is written for its meaning: that much slower than matmul. */
export const slowRecurrence = 12
/** Likewise attention. */
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

/** Runs `forward`, and where leaves want gradients also backward from a gradient of ones. */
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
