/** Tensors in safetensors files. */
import { noGrad } from '../autograd/mode.js'
import type { Device } from '../core/device.js'
import type { DType, TypedArray } from '../core/dtype.js'
import { ShapeError, ValueError } from '../core/errors.js'
import { denseStrides, maxDims, sameShape } from '../core/shape.js'
import { Tensor } from '../core/tensor.js'
import { type NewFile, writeAtomically } from '../io/atomic.js'
import {
  type ComingTensor,
  type FileDType,
  type FileTensor,
  SafetensorsFile,
  safetensorsChunks,
} from '../io/safetensors.js'
import { creationNames, fromTypedArray, place, zeros } from '../ops/creation.js'
import { contiguous } from '../ops/shape.js'

const fileDTypes = {
  float32: 'F32',
  float64: 'F64',
  bfloat16: 'BF16',
  float16: 'F16',
  int32: 'I32',
  uint8: 'U8',
  bool: 'BOOL',
} as const satisfies { readonly [D in DType]: FileDType }

const ownDTypes = new Map<FileDType, DType>(Object.entries(fileDTypes).map(([own, file]) => [file, own as DType]))

/** int64 exists in files only: narrowed, if every value fits. */
function narrowed(op: string, path: string, name: string, wide: BigInt64Array): Int32Array {
  // By halves, which are numbers: a BigInt of each element would take ten times as long.
  const halves = new Int32Array(wide.buffer)
  const narrow = new Int32Array(wide.length)
  for (let i = 0; i < narrow.length; i++) {
    const low = halves[2 * i] as number
    if (halves[2 * i + 1] !== low >> 31)
      throw new ValueError(op, `${path}: ${name} holds ${wide[i]}, which does not fit into 32 bits`)
    narrow[i] = low
  }
  return narrow
}

function toTensor(op: string, path: string, name: string, { dtype, shape, data }: FileTensor, device: Device): Tensor {
  if (shape.length > maxDims)
    throw new ShapeError(op, `${path}: ${name} has ${shape.length} dimensions; a tensor has at most ${maxDims}`, [
      shape,
    ])
  if (data instanceof BigInt64Array) return fromTypedArray(narrowed(op, path, name, data), shape, { device })
  const own = ownDTypes.get(dtype) as DType
  if (device.supports(own)) return fromTypedArray(data, shape, { dtype: own, device })
  return fromTypedArray(new Float32Array(data), shape, { device })
}

/** What a tensor must be to be read from a file. */
export type Wanted = Pick<Tensor, 'shape' | 'device'>

/**
 * The tensors of a file by name, float64 as float32 where the device has no float64. Without `wanted` all of them, on the
 * default device. With it, only those whose name and shape are wanted are read, to the device of the one that wants them;
 * each of the others is there by name and shape alone, so that `loadStateDict` can tell what does not fit.
 */
export async function loadTensors(
  path: string,
  wanted?: ReadonlyMap<string, Wanted>,
  op = 'load',
): Promise<Map<string, Tensor>> {
  const file = await SafetensorsFile.open(path, op)
  try {
    return await tensorsIn(file, path, wanted, op)
  } finally {
    await file.close()
  }
}

/** As loadTensors, of a file that is open, and stays so. */
export async function tensorsIn(
  file: SafetensorsFile,
  path: string,
  wanted: ReadonlyMap<string, Wanted> | undefined,
  op: string,
): Promise<Map<string, Tensor>> {
  const { device } = place(op, {}, creationNames)
  const tensors = new Map<string, Tensor>()
  for (const [name, { shape }] of file.tensors) {
    const by = wanted?.get(name)
    if (wanted && !(by && sameShape(by.shape, shape))) tensors.set(name, unread(shape, by !== undefined))
    else tensors.set(name, toTensor(op, path, name, await file.read(name), by?.device ?? device))
  }
  return tensors
}

/** A shape without elements: one number that stands for all, or, where nobody may read it, no memory at all. */
function unread(shape: readonly number[], readable: boolean): Tensor {
  const one = zeros([])
  if (!readable) one.dispose()
  return new Tensor(one.storage, shape, readable ? shape.map(() => 0) : denseStrides(shape), 0)
}

/**
 * A file of the tensors as they are now. All their reads are in the device's queue when this returns, before any later
 * kernel, so that training may go on while the file is written. Until then their elements are in memory once more.
 */
export function tensorFile(
  path: string,
  tensors: ReadonlyMap<string, Tensor>,
  metadata: { readonly [key: string]: string } = {},
  op = 'save',
): NewFile {
  const coming = new Map<string, ComingTensor>()
  for (const [name, tensor] of tensors) {
    // Bits as they are: the 16-bit floats too.
    const dense = noGrad(() => contiguous(tensor))
    const data: Promise<TypedArray> = dense.device.read(dense)
    // Whoever writes the file meets the first that fails; the rest must not end the process.
    data.catch(() => {})
    coming.set(name, { dtype: fileDTypes[tensor.dtype], shape: tensor.sizes, data })
  }
  return { path, chunks: safetensorsChunks(coming, metadata, op) }
}

/** Writes tensors, as they are now, to a file, whole or not at all. */
export async function saveTensors(
  path: string,
  tensors: ReadonlyMap<string, Tensor>,
  metadata: { readonly [key: string]: string } = {},
  op = 'save',
): Promise<void> {
  const { chunks } = tensorFile(path, tensors, metadata, op)
  await writeAtomically(path, chunks, op)
}
