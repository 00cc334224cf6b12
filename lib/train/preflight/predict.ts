/**
 * Predicts the peak memory of a training step. Model, optimizer and batch move to a device that has the real one's
 * kernels but no elements. A step runs there as in the Trainer, and its allocations are counted in their order.
 */

import { mapLeaves } from '../../autograd/values.js'
import type { Device } from '../../core/device.js'
import { dtypes } from '../../core/dtype.js'
import { DeviceError, ValueError } from '../../core/errors.js'
import { printed } from '../../core/host.js'
import { scope, visitTensors } from '../../core/scope.js'
import type { Storage } from '../../core/storage.js'
import { Tensor } from '../../core/tensor.js'
import { type Module, trainModes } from '../../nn/module.js'
import { recomputing } from '../../nn/recompute.js'
import { PlanningDevice } from '../../ops/plan.js'
import { clipGradNorm } from '../../optim/clip.js'
import type { Optimizer } from '../../optim/optimizer.js'
import { divide, newGroup } from '../group.js'
import type { Measured } from '../objective.js'
import { Aside, tensorsOf } from './aside.js'
import { cutRows } from './rows.js'
import { noThrift, type Thrift } from './thrift.js'

/** The model of a Trainer, and the way it is trained. */
export interface Subject {
  readonly model: Module
  readonly optimizer: Optimizer
  /** Runs model and loss on a batch, in the requested precision. */
  readonly measured: (op: string, batch: unknown) => Measured
  /** The number of batches in a step. */
  readonly accumulate: number
  readonly clipGradNorm: number | undefined
  /** Whether the model's blocks are computed again in every case. */
  readonly checkpointing: boolean
}

/** Figures in bytes, except counts. `console.log` prints a table, which is also its text form. */
export class MemoryPrediction {
  /** The most that tensors of the training take at one time: all entries below that live at the same time. */
  readonly peak: number
  /** Parameters, including frozen ones, and buffers. */
  readonly weights: number
  /** Gradients of all parameters that learn. */
  readonly gradients: number
  /** The optimizer's state after the first step. */
  readonly optimizer: number
  /**
   * All tensors that the forward pass of a batch, or of one part of it, makes and that the step keeps until the
   * backward pass.
   */
  readonly activations: number
  /** The tensors of a batch, without views of other tensors. */
  readonly batch: number
  /** All other tensors on the device now: data, other models. */
  readonly others: number
  /** Multiply-adds of a batch's forward and backward pass. */
  readonly multiplyAdds: number
  /** The number of parts into which each batch was cut. */
  readonly parts: number
  /** The number of blocks that were computed again. */
  readonly recomputed: number

  constructor(numbers: Numbers) {
    this.peak = numbers.peak
    this.weights = numbers.weights
    this.gradients = numbers.gradients
    this.optimizer = numbers.optimizer
    this.activations = numbers.activations
    this.batch = numbers.batch
    this.others = numbers.others
    this.multiplyAdds = numbers.multiplyAdds
    this.parts = numbers.parts
    this.recomputed = numbers.recomputed
  }

  /** The most that all tensors on the device take: `memory().peakBytes`. The kernels' scratch space comes on top. */
  get total(): number {
    return this.peak + this.others
  }

  toString(): string {
    const { peak, weights, gradients, optimizer, activations, batch, others } = this
    const rows = Object.entries({ peak, weights, gradients, optimizer, activations, batch, others })
    return rows.map(([name, bytes]) => `${name.padEnd(12)}${formatBytes(bytes).padStart(10)}`).join('\n')
  }

  [printed](): string {
    return this.toString()
  }
}

type Numbers = {
  readonly [K in keyof MemoryPrediction as MemoryPrediction[K] extends number ? Exclude<K, 'total'> : never]: number
}

/** 1234567 -> 1.23 MB */
export function formatBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB']
  let [value, unit] = [bytes, 0]
  while (value >= 1000 && unit < units.length - 1) [value, unit] = [value / 1000, unit + 1]
  return `${unit === 0 ? value : value.toPrecision(3)} ${units[unit]}`
}

const bytesOf = ({ count, dtype }: Pick<Storage, 'count' | 'dtype'>) => count * dtypes[dtype].bytes

function storageBytes(tensors: Iterable<Tensor>): number {
  const seen = new Set<Storage>()
  let bytes = 0
  for (const { storage } of tensors) if (seen.size < seen.add(storage).size) bytes += bytesOf(storage)
  return bytes
}

/** The tensors that own all of their memory. A view of a whole data set does not. */
function ownTensors(value: unknown): Tensor[] {
  const found: Tensor[] = []
  visitTensors(value, (tensor) => {
    if (tensor.storage.count <= tensor.numel) found.push(tensor)
  })
  return found
}

/** The device of a model's first parameter. */
export function deviceOf(op: string, model: Module): Device {
  const [first] = model.parameters()
  if (first === undefined) throw new ValueError(op, 'the model has no parameters')
  if (first.device.kind === 'meta')
    throw new DeviceError(op, 'the model is on meta, where it cannot be trained; load its weights first: load(path)')
  return first.device
}

/**
 * Throws ValueError if the step cannot run without elements, because it reads some or takes tensors that belong neither
 * to the model nor to the batch.
 */
export function predict(op: string, subject: Subject, batch: unknown, thrift: Thrift = noThrift): MemoryPrediction {
  const { model, optimizer } = subject
  const device = deviceOf(op, model)
  const all = [...tensorsOf(model)].filter(({ storage }) => !storage.freed)
  const gradientsNow = all.flatMap((tensor) => tensor.peekGrad() ?? [])
  const statesNow = [...optimizer.stateDict().state.values()].flatMap(({ tensors }) => Object.values(tensors))
  const shadowsNow = all.flatMap(({ storage }) => (storage.shadow === null ? [] : [storage.shadow.storage]))
  const batchNow = ownTensors(batch).filter((tensor) => tensor.device === device)
  const mine =
    storageBytes([...all, ...gradientsNow, ...statesNow, ...batchNow].filter((tensor) => tensor.device === device)) +
    shadowsNow.reduce((sum, storage) => sum + bytesOf(storage), 0)
  const planning = new PlanningDevice(device)
  const aside = new Aside(model, optimizer, {
    copy: ({ storage }) => planning.allocate(storage.dtype, storage.count),
    hooks: false,
  })
  const before = planning.planned.bytes
  const planned = mapLeaves(batch, (leaf) => (leaf instanceof Tensor ? planning.like(leaf) : leaf))
  // Views of data that is in memory anyway take no more memory in the step than they do now.
  const views = planning.planned.bytes - before - storageBytes(ownTensors(batch))
  const seen = { activations: 0, multiplyAdds: 0 }
  const watch: Watch = (measure) => {
    const live = planning.planned.bytes
    const measured = measure()
    seen.activations = Math.max(seen.activations, planning.planned.bytes - live)
    return measured
  }
  const accumulate = Math.min(enough, subject.accumulate)
  try {
    aside.run(() =>
      planning.run(() => {
        trainModes(model)
        // The second step already has the results of the first: states, and copies in other dtypes.
        for (let step = 0; step < 2; step++) {
          planning.resetPeak()
          const trace = planning.device.startTrace()
          try {
            tryStep(op, { ...subject, accumulate }, planned, thrift, watch, enough)
          } finally {
            const kernels = trace.stop()
            const all = kernels.reduce((sum, { multiplyAdds }) => sum + multiplyAdds, 0)
            seen.multiplyAdds = (all * Math.max(1, thrift.parts / enough)) / accumulate
          }
        }
      }),
    )
  } catch (error) {
    throw unpredictable(op, error)
  }
  return new MemoryPrediction({
    ...seen,
    peak: planning.planned.peakBytes - views,
    weights: storageBytes(all),
    gradients: storageBytes(optimizer.parameters().filter(({ requiresGrad }) => requiresGrad)),
    optimizer: storageBytes(aside.states().flatMap(({ tensors }) => Object.values(tensors))),
    batch: storageBytes(ownTensors(batch)),
    others: Math.max(0, bytesOn(device) - mine),
    parts: thrift.parts,
    recomputed: thrift.recomputed.flat().length,
  })
}

function bytesOn(device: Device): number {
  return device.memory().bytes
}

type Watch = (measure: () => Measured) => Measured

/**
 * The number of parts, and of batches in a step, to try for a prediction. The second one finds gradients, as do all
 * that follow.
 */
const enough = 2

/** Takes one step like the Trainer's, with one batch used `accumulate` times. Returns the loss of the last part. */
export function tryStep(
  op: string,
  { model, optimizer, measured, accumulate, clipGradNorm: maxNorm }: Subject,
  batch: unknown,
  { parts, recomputed }: Thrift,
  watch: Watch = (measure) => measure(),
  mostParts = parts,
): Tensor {
  const optimized = optimizer.parameters()
  const cut = cutRows(op, batch, parts).slice(0, mostParts)
  const isGroup = accumulate > 1 || parts > 1
  const group = newGroup()
  const learn = (part: unknown): Tensor => {
    const found = watch(() => recomputing(recomputed, () => measured(op, part)))
    const root = isGroup ? found.total() : found.mean()
    root.backward()
    group.counts.add(found.count)
    return root.detach()
  }
  const learnAll = () => cut.map((part) => (parts > 1 ? scope(() => learn(part)) : learn(part)))
  try {
    for (let i = 1; i < accumulate; i++) scope(() => void learnAll())
    return scope(() => {
      const totals = learnAll()
      if (isGroup) divide(optimized, group.counts.divisor())
      if (maxNorm !== undefined) clipGradNorm(optimized, maxNorm)
      optimizer.step()
      optimizer.zeroGrad()
      model.zeroGrad()
      return totals.at(-1) as Tensor
    })
  } finally {
    group.counts.end()
  }
}

function unpredictable(op: string, error: unknown): unknown {
  if (!(error instanceof DeviceError)) return error
  return new ValueError(
    op,
    `the memory of this step cannot be predicted, because it does not run without elements: ${error.message}; a step that reads ` +
      'elements, or takes tensors that are neither in a property of the model nor in the batch, can only be measured: memory().peakBytes',
  )
}
