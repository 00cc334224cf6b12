/** Writes tensors into a GGUF file, and reads it again before the call returns. */
import { noGrad } from '../autograd/mode.js'
import { dtypes } from '../core/dtype.js'
import { kindOf, shown, ValueError } from '../core/errors.js'
import { checkOptions } from '../core/options.js'
import { keep, scope } from '../core/scope.js'
import type { Tensor } from '../core/tensor.js'
import { castTo } from '../ops/convert.js'
import { isfinite, logicalAnd, logicalNot } from '../ops/elementwise/logic.js'
import { sum } from '../ops/reduce/sums.js'
import type { GgufTensor, GgufValue } from './gguf.js'
import { comingTensors, namedTensors } from './tensors.js'

/** The dtypes in which matrices can be stored. */
const stored = ['float32', 'float16', 'q8_0'] as const
export type GgufDType = (typeof stored)[number]

export interface SaveGgufOptions {
  /** The dtype of tensors with two or more dimensions. Others stay float32, as llama.cpp expects. Default 'float16'. */
  readonly dtype?: GgufDType
  /**
   * `{ 'general.architecture': 'llama', 'llama.block_count': 2 }`: numbers, texts, booleans, and lists of values of one
   * of these types.
   */
  readonly metadata?: { readonly [key: string]: GgufValue }
}

export interface SavedGguf {
  /** Tensors in the requested dtype. */
  readonly converted: number
  /** Names of matrices that are float16, because their rows are not whole blocks of 'q8_0'. */
  readonly unblocked: readonly string[]
}

/**
 * Writes tensors by name, as they are at the call, to a GGUF file, whole or not at all. Then reads the file and
 * compares every byte. Names are those for the file; llama.cpp uses others than transformers. Throws ValueError if a
 * tensor has more than four dimensions or holds integers, if a number is too large for the dtype, or if the file's
 * content differs from what was written.
 */
export async function saveGguf(
  path: string,
  tensors: ReadonlyMap<string, Tensor> | { readonly [name: string]: Tensor },
  options: SaveGgufOptions = {},
): Promise<SavedGguf> {
  const op = 'saveGguf'
  const { dtype = 'float16', metadata = {} } = checkOptions(op, options, { dtype: true, metadata: true })
  if (!stored.includes(dtype))
    throw new ValueError(op, `dtype is ${shown(dtype)}, but must be one of ${stored.join(', ')}`)
  if (typeof metadata !== 'object' || metadata === null)
    throw new ValueError(op, `metadata are ${kindOf(metadata)}, but must be an object`)
  const named = namedTensors(op, tensors)
  const unblocked: string[] = []
  const made = new Map<string, Tensor>()
  const losses = new Map<string, Tensor>()
  let converted = 0
  for (const [name, tensor] of named) {
    if (!/^b?float/.test(tensor.dtype) && tensor.dtype !== 'q8_0')
      throw new ValueError(op, `'${name}' is ${tensor.dtype}, but must be of floats`)
    const fits = dtype !== 'q8_0' || (tensor.sizes.at(-1) as number) % dtypes.q8_0.block === 0
    const own = tensor.ndim < 2 ? 'float32' : fits ? dtype : 'float16'
    if (tensor.ndim >= 2 && !fits) unblocked.push(name)
    if (own === dtype) converted++
    const stored = noGrad(() => castTo(tensor, own))
    made.set(name, stored)
    if (stored !== tensor) losses.set(name, lost(tensor, stored))
  }
  const written = new Map<string, GgufTensor>()
  for (const [name, { data, ...spec }] of comingTensors(made, op)) {
    const read = await data
    written.set(name, { ...spec, data: typeof read === 'function' ? read() : read })
  }
  const counts = new Map<string, number>()
  for (const [name, count] of losses) counts.set(name, (await count.data())[0] as number)
  for (const [name, tensor] of made) if (tensor !== named.get(name)) tensor.dispose()
  for (const count of losses.values()) count.dispose()
  for (const [name, count] of counts)
    if (count > 0)
      throw new ValueError(
        op,
        `'${name}' has ${count} ${count === 1 ? 'number' : 'numbers'} too large for ${dtype}; give { dtype: 'float32' }`,
      )
  const { writeGguf } = await import('./gguf.js')
  await writeGguf(path, written, metadata, op)
  await prove(op, path, written)
  return { converted, unblocked }
}

/** The number of elements that were finite before a conversion and are not after it: int32 []. */
function lost(before: Tensor, after: Tensor): Tensor {
  const finite = (x: Tensor) => isfinite(/^float(32|64)$/.test(x.dtype) ? x : castTo(x, 'float32'))
  return noGrad(() => scope(() => keep(sum(logicalAnd(finite(before), logicalNot(finite(after)))))))
}

function sameBytes({ data: a }: Pick<GgufTensor, 'data'>, { data: b }: Pick<GgufTensor, 'data'>): boolean {
  const [x, y] = [a, b].map((each) => new Uint8Array(each.buffer, each.byteOffset, each.byteLength)) as [
    Uint8Array,
    Uint8Array,
  ]
  return x.length === y.length && x.every((byte, i) => byte === y[i])
}

async function prove(op: string, path: string, written: ReadonlyMap<string, GgufTensor>): Promise<void> {
  const { GgufFile } = await import('./gguf.js')
  const file = await GgufFile.open(path)
  try {
    const wrong: string[] = []
    for (const [name, tensor] of written) if (!sameBytes(await file.read(name), tensor)) wrong.push(name)
    if (wrong.length > 0) throw new ValueError(op, `${path} was written, but holds other numbers in ${shown(wrong)}`)
  } finally {
    await file.close()
  }
}
