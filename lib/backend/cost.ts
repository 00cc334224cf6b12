/** What a kernel call asks of the machine at the least, whatever the kernel does: what a roofline is drawn from. */
import type { CallCost, KernelCall, StridedView } from '../core/device.js'
import { dtypes } from '../core/dtype.js'
import { countOf } from '../core/shape.js'
import {
  type KernelArguments,
  type KernelName,
  type KernelSpec,
  type KernelTable,
  kernels,
  type ParsedArgument,
  parseArguments,
} from './kernels.js'

type HeavyName = {
  [K in KernelName]: KernelTable[K] extends { work: 'heavy' } ? K : never
}[KernelName]

const size = (view: StridedView, dim: number): number => view.sizes.at(dim) ?? 1

/** Products of an output element of a convolution: weight is OIHW. */
const window = (weight: StridedView): number => size(weight, 1) * size(weight, 2) * size(weight, 3)

/** Pairs of query and key that take part; a mask's data are not looked at. */
function pairs(q: StridedView, k: StridedView, causal: boolean): number {
  const [queries, keys] = [size(q, 2), size(k, 2)]
  let count = queries * keys
  if (causal) {
    const short = Math.min(queries, keys)
    count = (short * (short + 1)) / 2 + (queries - short) * keys
  }
  return size(q, 0) * size(q, 1) * count
}

/** Multiply-adds by definition, as a direct algorithm has them; those with the zeros of a padding count. */
const multiplyAdds: {
  readonly [K in HeavyName]: (args: KernelArguments<K, StridedView>) => number
} = {
  matmul: ({ out, a }) => countOf(out.sizes) * size(a, -1),
  matmul_accumulate: ({ sum, a }) => countOf(sum.sizes) * size(a, -1),
  conv2d_forward: ({ out, weight }) => countOf(out.sizes) * window(weight),
  conv2d_input_gradient: ({ dy, weight }) => countOf(dy.sizes) * window(weight),
  conv2d_weight_gradient: ({ dy, dweight }) => countOf(dy.sizes) * window(dweight),
  lstm_forward: ({ x, wIh, wHh }) => size(x, 0) * size(x, 1) * (countOf(wIh.sizes) + countOf(wHh.sizes)),
  lstm_backward: ({ x, wIh, wHh, dx, dwIh, dwHh }) => {
    const input = (dx === null ? 0 : 1) + (dwIh === null ? 0 : 1)
    const recurrent = 1 + (dwHh === null ? 0 : 1)
    return size(x, 0) * size(x, 1) * (input * countOf(wIh.sizes) + recurrent * countOf(wHh.sizes))
  },
  attention_forward: ({ q, k, v, causal }) => pairs(q, k, causal) * (size(q, 3) + size(v, 3)),
  attention_backward: ({ q, k, v, causal, dq, dk, dv }) => {
    // The scores once more, and the gradient of the weights, for any of the three.
    const keyed = 1 + (dq === null ? 0 : 1) + (dk === null ? 0 : 1)
    const valued = 1 + (dv === null ? 0 : 1)
    return pairs(q, k, causal) * (keyed * size(q, 3) + valued * size(v, 3))
  },
}

type TensorRole = Exclude<ParsedArgument['role'], 'number' | 'integer' | 'flag' | 'philox'>

const roles: { readonly [R in TensorRole]: { readonly reads: boolean; readonly writes: boolean } } = {
  out: { reads: false, writes: true },
  place: { reads: false, writes: true },
  inout: { reads: true, writes: true },
  update: { reads: true, writes: true },
  in: { reads: true, writes: false },
  strided: { reads: true, writes: false },
}

/** Of these arguments only as much is touched as another one holds. */
const partly: { readonly [kernel: string]: { readonly [name: string]: string } } = {
  index_select: { x: 'out' },
  embedding: { weight: 'out' },
  gather: { x: 'out' },
  index_accumulate: { sum: 'dy' },
}
/** This one is only written, though it is there before. */
const overwritten: { readonly [kernel: string]: string } = { copy_into: 'dst', adam: 'shadows', sgd: 'shadows' }

const parsed = new Map<string, readonly ParsedArgument[]>()

function argumentsOf(kernel: string): readonly ParsedArgument[] {
  let list = parsed.get(kernel)
  if (list === undefined) {
    list = parseArguments(kernels[kernel as KernelName] as KernelSpec)
    parsed.set(kernel, list)
  }
  return list
}

function viewBytes(view: StridedView): number {
  // A broadcast dimension is read again and again from the same memory.
  let count = countOf(view.sizes)
  for (let i = 0; i < view.sizes.length; i++) if (view.steps[i] === 0 && count > 0) count /= view.sizes[i] as number
  return count * dtypes[view.dtype].bytes
}

function viewsOf(value: KernelCall[string] | undefined): readonly StridedView[] {
  if (value === null || typeof value !== 'object') return []
  return Array.isArray(value) ? (value as readonly StridedView[]) : 'storage' in value ? [value as StridedView] : []
}

export function callCost(kernel: string, args: KernelCall): CallCost {
  let [readBytes, writtenBytes] = [0, 0]
  let dtype: CallCost['dtype'] | null = null
  for (const { name, role } of argumentsOf(kernel)) {
    for (const view of viewsOf(args[name])) {
      const touched = partly[kernel]?.[name]
      const bytes = viewBytes(touched === undefined ? view : (args[touched] as StridedView))
      const { reads, writes } = roles[role as TensorRole]
      if (writes) writtenBytes += bytes
      if (reads && overwritten[kernel] !== name) readBytes += bytes
      if (reads && !writes) dtype ??= view.dtype
    }
  }
  const count = multiplyAdds[kernel as HeavyName] as ((args: object) => number) | undefined
  return {
    bytes: readBytes + writtenBytes,
    readBytes,
    writtenBytes,
    multiplyAdds: count?.(args) ?? 0,
    dtype: dtype ?? 'float32',
  }
}
