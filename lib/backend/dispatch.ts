/**
 * From operators to devices: allocation of results, and calls of kernels with what the table of kernels asks for (dense
 * arguments are made dense here). The trace sees every call.
 */
import type { Device, KernelCall } from '../core/device.js'
import type { DType } from '../core/dtype.js'
import { allocationsTracked, registerAllocation } from '../core/scope.js'
import type { Shape } from '../core/shape.js'
import { denseTensor, Tensor } from '../core/tensor.js'
import { type KernelArguments, type KernelName, kernels, parseArguments } from './kernels.js'

/** Names of the tensor arguments that must be dense, per kernel, and of all tensor lists that must be. */
interface DenseArguments {
  readonly single: readonly string[]
  readonly lists: readonly string[]
  /** Those of both that the kernel writes. */
  readonly written: ReadonlySet<string>
  readonly first: string
}

const denseArguments = new Map<string, DenseArguments>()
for (const [kernel, spec] of Object.entries(kernels)) {
  const args = parseArguments(spec)
  const dense = args.filter((arg) => arg.role === 'in' || arg.role === 'inout' || arg.role === 'out')
  denseArguments.set(kernel, {
    single: dense.filter((arg) => arg.arity !== 'list').map((arg) => arg.name),
    lists: dense.filter((arg) => arg.arity === 'list').map((arg) => arg.name),
    written: new Set(dense.filter((arg) => arg.role !== 'in').map((arg) => arg.name)),
    first: args[0]?.name ?? '',
  })
}

/** A new dense tensor whose elements the next kernel must write. */
export function empty<S extends Shape>(device: Device, shape: S, dtype: DType, op: string): Tensor<S> {
  let count = 1
  for (let i = 0; i < shape.length; i++) count *= shape[i] as number
  const tracked = allocationsTracked()
  const storage = device.allocate(dtype, count, tracked, op)
  storage.tracked = tracked
  registerAllocation(storage)
  return denseTensor(storage, shape)
}

/** A dense tensor with the same elements: itself, or a copy. No graph. */
export function contiguous(x: Tensor): Tensor {
  if (x.isContiguous) return x
  const out = empty(x.device, x.shape, x.dtype, 'contiguous')
  x.device.run('copy', { out, x })
  return out
}

type Call = { readonly [name: string]: Tensor | readonly Tensor[] | number | boolean | null }

/** A dense copy for one call, and what it is to be written back to. */
interface Temporary {
  readonly copy: Tensor
  readonly target: Tensor | null
}

/**
 * Runs a kernel on the device of its first argument. Dense arguments that are not dense are copied first, and those that
 * the kernel writes are copied back.
 */
export function run<K extends KernelName>(kernel: K, args: KernelArguments<K, Tensor>): void {
  const dense = denseArguments.get(kernel) as DenseArguments
  const call = args as unknown as Call
  const first = call[dense.first]
  const device = (first instanceof Tensor ? first : deviceTensor(call)).device
  if (isDenseCall(dense, call)) device.run(kernel, call as KernelCall)
  else {
    const temporaries: Temporary[] = []
    device.run(kernel, densified(dense, call, temporaries) as KernelCall)
    for (const { copy, target } of temporaries) {
      if (target !== null) device.run('copy_into', { dst: target, src: copy })
      copy.dispose()
    }
  }
}

/** By far most calls: nothing is to be copied. */
function isDenseCall({ single, lists }: DenseArguments, call: Call): boolean {
  for (let i = 0; i < single.length; i++) {
    const tensor = call[single[i] as string] as Tensor | null
    if (tensor !== null && !tensor.isContiguous) return false
  }
  for (let i = 0; i < lists.length; i++) {
    const list = call[lists[i] as string] as readonly Tensor[]
    for (let k = 0; k < list.length; k++) if (!(list[k] as Tensor).isContiguous) return false
  }
  return true
}

/** The call with dense copies where they are needed. */
function densified({ single, lists, written }: DenseArguments, call: Call, temporaries: Temporary[]): Call {
  const replace = (name: string, tensor: Tensor): Tensor => {
    if (tensor.isContiguous) return tensor
    const copy = contiguous(tensor)
    temporaries.push({ copy, target: written.has(name) ? tensor : null })
    return copy
  }
  const changed: { [name: string]: Call[string] } = { ...call }
  for (const name of single) {
    const tensor = call[name] as Tensor | null
    if (tensor !== null) changed[name] = replace(name, tensor)
  }
  for (const name of lists) changed[name] = (call[name] as readonly Tensor[]).map((tensor) => replace(name, tensor))
  return changed
}

/** A call whose first argument is an absent or list argument: any tensor tells the device. */
function deviceTensor(call: { readonly [name: string]: unknown }): Tensor {
  for (const value of Object.values(call)) {
    if (value instanceof Tensor) return value
    if (Array.isArray(value) && value[0] instanceof Tensor) return value[0]
  }
  throw new Error('a kernel call without tensors')
}
