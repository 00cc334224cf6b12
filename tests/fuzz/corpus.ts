/** Sound calls of every kernel, recorded while the cases of tests/cases run on the native device. */

import { NativeDevice } from '../../lib/backend/native/device.js'
import {
  type KernelName,
  kernelNames,
  kernels,
  type PhiloxPosition,
  parseArguments,
} from '../../lib/backend/table/index.js'
import type { KernelCall, KernelKey, StridedView } from '../../lib/core/device.js'
import { type DType, dtypes } from '../../lib/core/dtype.js'
import { isDense } from '../../lib/core/shape.js'
import {
  arange,
  type Device,
  device,
  manualSeed,
  nn,
  noGrad,
  ones,
  optim,
  randn,
  type Tensor,
} from '../../lib/index.js'
import { cholesky } from '../../lib/linalg/index.js'
import { forwardEach } from '../../lib/nn/linear-each.js'
import { turnedInto } from '../../lib/ops/attention/turn.js'
import { allCases, runCase } from '../suites/support.js'

export interface SoundTensor {
  readonly dtype: DType
  readonly shape: readonly number[]
  readonly strides: readonly number[]
  /** The elements of a dense int32 argument that is only read, because other elements may be refused. */
  readonly indices: readonly number[] | null
}

export type SoundArgument = SoundTensor | readonly SoundTensor[] | PhiloxPosition | number | readonly number[] | null

export interface SoundCall {
  readonly kernel: KernelName
  readonly opcode: number
  readonly args: { readonly [name: string]: SoundArgument }
}

/** Bytes from a view's first element to its last. */
export function extentOf({ dtype, shape, strides }: SoundTensor): number {
  if (shape.includes(0)) return 0
  return shape.reduce((sum, size, d) => sum + (size - 1) * (strides[d] as number), 1) * dtypes[dtype].bytes
}

const largestTensor = 1 << 15
const callsPerKernel = 12
/** Calls of each combination of dtypes, however many calls there are of other combinations. */
const callsPerDTypes = 2

function isView(value: unknown): value is StridedView {
  return typeof value === 'object' && value !== null && 'storage' in value
}

/** `isRead` tells whether the kernel reads dense memory, whose elements may decide whether the call is sound. */
function plain(view: StridedView, device: NativeDevice, isRead: boolean): SoundTensor {
  const { dtype, sizes, steps } = view
  const indices = isRead && dtype === 'int32' && isDense(view.sizes, view.steps) ? [...device.readSync(view)] : null
  return { dtype, shape: [...sizes], strides: [...steps], indices }
}

/** The dtypes of all tensors of a call. */
const dtypesOf = (call: KernelCall): string =>
  Object.values(call)
    .flat()
    .map((value) => (isView(value) ? value.dtype : ''))
    .join()

/** Null if a tensor is too large to be made again for every call, or if the call will come again with a dense copy. */
function record(kernel: KernelName, call: KernelCall, device: NativeDevice): SoundCall | null {
  const args: { [name: string]: SoundArgument } = {}
  let small = true
  for (const { name, role } of parseArguments(kernels[kernel])) {
    const value = call[name] ?? null
    if (role === 'integers') {
      args[name] = value as readonly number[]
      continue
    }
    if (role === 'in') small &&= [value].flat().every((view) => !isView(view) || isDense(view.sizes, view.steps))
    if (isView(value)) args[name] = plain(value, device, role === 'in')
    else if (Array.isArray(value)) args[name] = value.map((view) => plain(view, device, role === 'in'))
    else args[name] = typeof value === 'boolean' ? Number(value) : (value as PhiloxPosition | number | null)
    for (const tensor of [args[name]].flat())
      if (tensor !== null && typeof tensor === 'object' && 'shape' in tensor)
        small &&= extentOf(tensor) <= largestTensor
  }
  return small ? { kernel, opcode: kernelNames.indexOf(kernel), args } : null
}

/** The kernels of a decoder's token: layers of one input, and new columns of a cache. */
function decode(cpu: Device): void {
  for (const dtype of ['float32', 'bfloat16'] as const) {
    const make = (shape: readonly number[]): Tensor => randn([...shape], { device: cpu }).to(dtype)
    const table = { cosines: randn([3, 3], { device: cpu }), sines: randn([3, 3], { device: cpu }) }
    for (const bias of [true, false]) {
      const layers = [5, 1].map((out) => new nn.Linear(6, out, { bias, device: cpu }))
      for (const layer of layers) layer.to(dtype)
      forwardEach(make([2, 3, 6]), layers)
    }
    const memory = { keys: make([1, 2, 8, 6]).narrow(2, 4, 3), values: make([1, 2, 8, 6]).narrow(2, 4, 3) }
    const [q, k] = [make([1, 3, 4, 6]).transpose(1, 2), make([1, 3, 2, 6]).transpose(1, 2)]
    turnedInto(memory, { q, k, v: make([1, 2, 3, 6]) }, table)
  }
}

/** The kernels that no case of an operator calls. */
function callByHand(cpu: Device): void {
  arange(0, 9, 2, { device: cpu })
  noGrad(() => decode(cpu))
  // Few random matrices are positive definite, but all of no rows are.
  for (const rows of [0, 1]) cholesky(ones([1, rows, rows], { device: cpu }))
  manualSeed(1)
  for (const amsgrad of [false, true]) {
    const model = new nn.Sequential(new nn.Linear(3, 5, { device: cpu }), new nn.Linear(5, 2, { device: cpu }))
    const adam = new optim.Adam(model.parameters(), { amsgrad })
    const sgd = new optim.SGD(model.parameters(), { lr: 0.1, momentum: amsgrad ? 0.9 : 0 })
    model
      .forward(randn([4, 3], { device: cpu }))
      .sum()
      .backward()
    optim.clipGradNorm(model.parameters(), 1)
    adam.step()
    sgd.step()
    const others = [optim.Adamax, optim.NAdam, optim.RAdam, optim.RMSprop, optim.Adagrad, optim.Adadelta, optim.Lion]
    for (const Class of others) new Class(model.parameters()).step()
  }
}

export function recordCorpus(): readonly SoundCall[] {
  const seen = new Map<string, Map<string, SoundCall>>()
  const counts = new Map<string, number>()
  const cpu = device('cpu')
  const run = NativeDevice.prototype.run
  NativeDevice.prototype.run = function (this: NativeDevice, key: KernelKey, args: KernelCall) {
    const kernel = key.name
    const calls = seen.get(kernel) ?? new Map<string, SoundCall>()
    seen.set(kernel, calls)
    const kinds = `${kernel} ${dtypesOf(args)}`
    const alike = counts.get(kinds) ?? 0
    if (calls.size < callsPerKernel || alike < callsPerDTypes) {
      const call = record(kernel as KernelName, args, this)
      if (call) {
        calls.set(JSON.stringify(call.args), call)
        counts.set(kinds, alike + 1)
      }
    }
    return run.call(this, key, args)
  }
  try {
    for (const each of allCases) runCase(each.case, cpu, 'float32')
    callByHand(cpu)
  } finally {
    NativeDevice.prototype.run = run
  }
  cpu.synchronize()
  const missing = kernelNames.filter((name) => !seen.get(name)?.size)
  if (missing.length > 0) throw new Error(`no case of tests/cases calls ${missing.join(', ')} with small tensors`)
  return [...seen.values()].flatMap((calls) => [...calls.values()])
}
