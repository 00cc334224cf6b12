/** Tensors in safetensors files. */
import { noGrad } from '../autograd/mode.js'
import { type DType, dtypes, type TypedArray } from '../core/dtype.js'
import { ValueError } from '../core/errors.js'
import type { Tensor } from '../core/tensor.js'
import { type FileDType, type FileTensor, readSafetensors, writeSafetensors } from '../io/safetensors.js'
import { fromTypedArray } from '../ops/creation.js'
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
function narrowed(path: string, name: string, data: Uint8Array): Int32Array {
  const wide = new BigInt64Array(data.buffer, data.byteOffset, data.byteLength / 8)
  return Int32Array.from(wide, (value) => {
    if (value !== BigInt.asIntN(32, value))
      throw new ValueError('load', `${path}: ${name} holds ${value}, which does not fit into 32 bits`)
    return Number(value)
  })
}

function bytesOf(array: TypedArray): Uint8Array<ArrayBuffer> {
  return new Uint8Array(array.buffer as ArrayBuffer, array.byteOffset, array.byteLength)
}

/** Reads all tensors of a file to the default device. */
export async function loadTensors(path: string): Promise<Map<string, Tensor>> {
  const { tensors } = await readSafetensors(path)
  const made = new Map<string, Tensor>()
  for (const [name, { dtype, shape, data }] of tensors) {
    if (dtype === 'I64') made.set(name, fromTypedArray(narrowed(path, name, data), shape))
    else {
      const own = ownDTypes.get(dtype) as DType
      const array = new dtypes[own].Array(data.buffer, data.byteOffset, data.byteLength / dtypes[own].bytes)
      made.set(name, fromTypedArray(array, shape, own === 'float64' ? {} : { dtype: own }))
    }
  }
  return made
}

/** Writes tensors to a file, whole or not at all. */
export async function saveTensors(
  path: string,
  tensors: ReadonlyMap<string, Tensor>,
  metadata: { readonly [key: string]: string } = {},
): Promise<void> {
  const content = new Map<string, FileTensor>()
  for (const [name, tensor] of tensors) {
    // Bits as they are: the 16-bit floats too.
    const dense = noGrad(() => contiguous(tensor))
    const array: TypedArray = await dense.device.read(dense)
    content.set(name, { dtype: fileDTypes[tensor.dtype], shape: tensor.shape, data: bytesOf(array) })
  }
  await writeSafetensors(path, content, metadata)
}
