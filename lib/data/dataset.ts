/** Datasets: anything with a length that can make a batch of the items at some indices. */
import { DeviceError, DTypeError, kindOf, ShapeError, shown, ValueError } from '../core/errors.js'
import { listOf } from '../core/options.js'
import { Tensor } from '../core/tensor.js'
import { fromTypedArray } from '../ops/creation.js'
import { indexSelect } from '../ops/indexing/index.js'

/** Items by index, in batches of type B. What a batch holds is the dataset's business; the Trainer takes [input, target]. */
export interface Dataset<B> {
  readonly length: number
  /** The items at these indices, put together. May take its time. */
  batch(indices: readonly number[]): B | Promise<B>
}

/** Throws ValueError unless the value has what a dataset has; says what to make of an array. */
export function checkDataset(op: string, dataset: unknown): void {
  if (Array.isArray(dataset) || ArrayBuffer.isView(dataset))
    throw new ValueError(
      op,
      'the dataset is an array; make one: new TensorDataset(inputs, targets) of tensors, or ' +
        'new FunctionDataset(items.length, (i) => items[i], collate). A list of ready batches needs no loader',
    )
  const { length, batch } = (dataset ?? {}) as { readonly [name: string]: unknown }
  if (!Number.isSafeInteger(length) || (length as number) < 0 || typeof batch !== 'function')
    throw new ValueError(
      op,
      `the dataset needs a length, an integer that is not negative (${shown(length)}), and a batch(indices) method`,
    )
}

/** The indices as a list of our own, if each is one of an item. */
function checkIndices(op: string, indices: Iterable<number>, length: number): readonly number[] {
  const own = listOf(op, 'the indices', indices, 'an array of integers')
  for (const index of own)
    if (!Number.isInteger(index) || index < 0 || index >= length)
      throw new ValueError(op, `index ${shown(index)} lies outside of the ${length} items`)
  return own
}

/** Rows of tensors that belong together: item i is row i of each. */
export class TensorDataset<const T extends readonly Tensor[]> implements Dataset<T> {
  readonly tensors: T
  readonly length: number

  constructor(...tensors: T) {
    for (const [i, tensor] of tensors.entries())
      if (!(tensor instanceof Tensor))
        throw new DTypeError(
          'TensorDataset',
          `argument ${i} must be a tensor, but is ${kindOf(tensor)}; wrap numbers in tensor()`,
        )
    const first = tensors[0]
    if (first === undefined || first.ndim === 0)
      throw new ValueError('TensorDataset', 'needs tensors with at least one dimension')
    for (const tensor of tensors)
      if (tensor.device !== first.device)
        throw new DeviceError(
          'TensorDataset',
          `the tensors are on different devices: ${tensors.map((t) => t.device.name).join(', ')}; move them with .to('${first.device.name}')`,
        )
      else if (tensor.sizes[0] !== first.sizes[0])
        throw new ShapeError(
          'TensorDataset',
          `the tensors have different numbers of rows: ${tensors.map((t) => t.sizes[0] ?? 'none').join(', ')}`,
          tensors.map((t) => t.sizes),
        )
    this.tensors = tensors
    this.length = first.sizes[0] as number
  }

  batch(indices: readonly number[]): T {
    const { device } = this.tensors[0] as Tensor
    const own = checkIndices('TensorDataset', indices, this.length)
    const index = fromTypedArray(Int32Array.from(own), [own.length], { device })
    return this.tensors.map((tensor) => indexSelect(tensor, 0, index)) as readonly Tensor[] as T
  }
}

/** Items from a function, put together by another: for data that is read or made on demand. */
export class FunctionDataset<I, B> implements Dataset<B> {
  readonly length: number
  readonly #get: (index: number) => I | Promise<I>
  readonly #collate: (items: readonly I[]) => B

  constructor(length: number, get: (index: number) => I | Promise<I>, collate: (items: readonly I[]) => B) {
    if (!Number.isSafeInteger(length) || length < 0)
      throw new ValueError('FunctionDataset', `length is ${shown(length)}, but must be a non-negative integer`)
    if (typeof get !== 'function' || typeof collate !== 'function')
      throw new ValueError(
        'FunctionDataset',
        'needs two functions: get(index), and collate(items), which makes the batch',
      )
    this.length = length
    this.#get = get
    this.#collate = collate
  }

  async batch(indices: readonly number[]): Promise<B> {
    return this.#collate(await Promise.all(indices.map((index) => this.#get(index))))
  }
}

/** Some of another dataset's items, in the given order. */
export class Subset<B> implements Dataset<B> {
  readonly dataset: Dataset<B>
  readonly indices: readonly number[]

  constructor(dataset: Dataset<B>, indices: readonly number[]) {
    checkDataset('Subset', dataset)
    const own = checkIndices('Subset', indices, dataset.length)
    this.dataset = dataset
    this.indices = own
  }

  get length(): number {
    return this.indices.length
  }

  batch(indices: readonly number[]): B | Promise<B> {
    return this.dataset.batch(indices.map((index) => this.indices[index] as number))
  }
}
