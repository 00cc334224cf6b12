/**
 * The way from operators to devices: allocates results, and calls kernels as the table of kernels asks, making
 * arguments dense where they must be. The trace sees every call.
 */
import { checkBlockRows } from '../core/blocks.js'
import type { Device, KernelCall } from '../core/device.js'
import type { DType } from '../core/dtype.js'
import { InternalError } from '../core/errors.js'
import { allocate } from '../core/scope.js'
import type { Shape } from '../core/shape.js'
import { denseTensor, Tensor } from '../core/tensor.js'
import { type Kernel, kernelOf } from './call.js'
import { type KernelArguments, type KernelName, kernels, parseArguments } from './table/index.js'

/** A new dense tensor whose elements the next kernel must write. */
export function empty<S extends Shape>(device: Device, shape: S, dtype: DType, op: string): Tensor<S> {
  let count = 1
  for (let i = 0; i < shape.length; i++) count *= shape[i] as number
  return denseTensor(allocate(device, dtype, count, op), shape)
}

/** A dense tensor with the same elements: itself, or a copy. No graph. */
export function contiguous(x: Tensor): Tensor {
  if (x.isContiguous) return x
  checkBlockRows('contiguous', x)
  const out = empty(x.device, x.sizes, x.dtype, 'contiguous')
  x.device.run(copyKernel, { out, x })
  return out
}

const copyKernel = kernelOf('copy')
const copyInto = kernelOf('copy_into')

type Call = { readonly [name: string]: Tensor | readonly Tensor[] | number | boolean | null }

/** A dense copy for one call, and the view to write it back to. */
interface Temporary {
  readonly copy: Tensor
  readonly target: Tensor | null
}

/**
 * Runs a kernel, given by name or as `kernelOf(name)`, on the device of its first tensor. Dense arguments that are not
 * dense are copied first, and those that the kernel writes are copied back.
 */
export function run<K extends KernelName>(kernel: K | Kernel<K>, args: KernelArguments<K, Tensor>): void {
  const entry = typeof kernel === 'string' ? kernelOf(kernel) : kernel
  const call = args as unknown as KernelCall
  const first = entry.first(call)
  if (first === undefined) throw new InternalError(entry.name, 'a call without tensors')
  runOn(first.storage.device, entry, args)
}

/** `run` for callers that know the device. */
export function runOn<K extends KernelName>(device: Device, kernel: Kernel<K>, args: KernelArguments<K, Tensor>): void {
  if (!device.run(kernel, args as unknown as KernelCall)) runDensified(kernel, device, args as unknown as Call)
}

/** Runs the call with dense copies where they are needed. */
function runDensified(kernel: Kernel, device: Device, call: Call): void {
  const temporaries: Temporary[] = []
  const changed: { [name: string]: Call[string] } = { ...call }
  for (const { name, role } of parseArguments(kernels[kernel.name])) {
    const value = call[name]
    if (role !== 'in' && role !== 'inout' && role !== 'out') continue
    const replace = (tensor: Tensor): Tensor => {
      if (tensor.isContiguous) return tensor
      const copy = contiguous(tensor)
      temporaries.push({ copy, target: role === 'in' ? null : tensor })
      return copy
    }
    if (value instanceof Tensor) changed[name] = replace(value)
    else if (Array.isArray(value)) changed[name] = value.map(replace)
  }
  device.run(kernel, changed as KernelCall)
  for (const { copy, target } of temporaries) {
    if (target !== null) device.run(copyInto, { dst: target, src: copy })
    copy.dispose()
  }
}
