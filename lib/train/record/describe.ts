/** The contents of `run.json`. */
import { noGrad } from '../../autograd/mode.js'
import type { Device } from '../../core/device.js'
import { defaultGenerator } from '../../core/generator.js'
import { packageRoot } from '../../core/package-root.js'
import { scope } from '../../core/scope.js'
import { Tensor } from '../../core/tensor.js'
import { TensorDataset } from '../../data/dataset.js'
import type { Module } from '../../nn/module.js'
import { fromTypedArray } from '../../ops/creation.js'
import { indexSelect } from '../../ops/indexing/index.js'
import { lengthOf } from '../checks.js'
import type { Batches } from '../options.js'
import { type Config, isResumable } from '../resume.js'
import { availableParallelism, cpus, createHash, hostname, join, process, readFileSync, totalmem } from './system.js'

/** The number of rows in a fingerprint. */
const mostRows = 256

/**
 * A fingerprint of data in tensors (a TensorDataset, a list of batches): of shapes, dtypes and the bytes of up to 256
 * evenly spaced rows. Null for data that can be seen only in a pass.
 */
export async function fingerprintOf(batches: unknown): Promise<string | null> {
  const { dataset = batches } = (batches ?? {}) as { readonly dataset?: unknown }
  const tensors = dataset instanceof TensorDataset ? dataset.tensors : Array.isArray(dataset) ? dataset.flat() : []
  if (tensors.length === 0 || !tensors.every((each: unknown): each is Tensor => each instanceof Tensor)) return null
  const hash = createHash('sha256')
  for (const tensor of tensors as readonly Tensor[]) {
    hash.update(`${tensor.dtype} ${tensor.sizes.join('x')};`)
    const { buffer, byteOffset, byteLength } = await rowsOf(tensor, Math.max(1, Math.floor(mostRows / tensors.length)))
    hash.update(new Uint8Array(buffer, byteOffset, byteLength))
  }
  return `sha256:${hash.digest('hex')}`
}

function rowsOf(tensor: Tensor, most: number) {
  const [rows = 0] = tensor.sizes
  if (rows <= most) return tensor.data()
  const chosen = Array.from({ length: most }, (_, i) => Math.floor((i * (rows - 1)) / Math.max(1, most - 1)))
  return scope(() => {
    const index = fromTypedArray(Int32Array.from(chosen), [most], { device: tensor.device })
    return { read: noGrad(() => indexSelect(tensor, 0, index)).data() }
  }).read
}

/** The package's own version, or null if a bundler moved it into another file. */
export function version(): string | null {
  const root = packageRoot()
  if (root === null) return null
  return (JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }).version
}

interface Described {
  readonly model: Module
  readonly config: Config
  readonly batches: unknown
  readonly fingerprint: string | null
  /** Options of the fit. */
  readonly fit: object
}

/** The part of the description that is the same for all fits of a run. */
export function describeRun({ model, config, batches, fingerprint, fit }: Described): object {
  const { dataset } = batches as { readonly dataset?: { readonly length?: unknown } }
  const counted = (value: unknown) => (Number.isSafeInteger(value) ? (value as number) : null)
  const parameters = [...model.parameters()]
  return {
    firesteel: version(),
    model: {
      class: model.constructor.name,
      parameters: parameters.reduce((sum, { numel }) => sum + numel, 0),
      trainable: parameters.reduce((sum, { numel, requiresGrad }) => sum + (requiresGrad ? numel : 0), 0),
      layers: String(model).split('\n'),
    },
    config,
    fit,
    data: { rows: counted(dataset?.length), batches: lengthOf(batches as Batches<unknown>), fingerprint },
  }
}

/** The environment of one fit, and the step at which it begins. */
export function describeSession(device: Device, batches: unknown, step: number): object {
  const { isa, threads, model } = device as Device & {
    readonly isa?: string
    readonly threads?: number
    readonly model?: string
  }
  return {
    started: new Date().toISOString(),
    step,
    command: process.argv.slice(1),
    pid: process.pid,
    firesteel: version(),
    node: process.version,
    machine: {
      host: hostname(),
      platform: `${process.platform}-${process.arch}`,
      processor: cpus()[0]?.model.trim() || process.arch,
      cores: availableParallelism(),
      memory: totalmem(),
    },
    device: { name: device.name, isa, threads, model },
    seeds: { default: defaultGenerator().stateDict(), data: isResumable(batches) ? plain(batches.stateDict()) : null },
  }
}

/** A state as plain data. Null if it is not plain, as a stream's may be. */
function plain(state: unknown): unknown {
  try {
    return JSON.parse(JSON.stringify(state))
  } catch {
    return null
  }
}
