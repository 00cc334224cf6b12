/** Datasets: rows by index, and the way to make a batch of them. */
import { DeviceError, DTypeError, kindOf, ShapeError, shown, ValueError } from '../core/errors.js'
import { listOf } from '../core/options.js'
import { Tensor } from '../core/tensor.js'
import { fromTypedArray } from '../ops/creation.js'
import { indexSelect } from '../ops/indexing/index.js'
import { select } from '../ops/shape/slices.js'
import { type Collated, collateFor, type RowDTypes } from './collate.js'
import { IterableDataset } from './iterable.js'
import { type Description, keepsForm, recipeOf } from './recipe.js'
import { type RowContext, rowContext, type SeededPass } from './row-context.js'

/**
 * Batches of rows by their indices, which is all that a DataLoader needs. A batch may hold anything; the Trainer takes
 * [input, target].
 */
export interface BatchSource<B> {
  readonly length: number
  /** The rows at these indices, combined. May be asynchronous. A loader tells for which pass they are. */
  batch(indices: readonly number[], pass?: SeededPass): B | Promise<B>
}

/** The description from which another thread makes the dataset. It is a symbol, because programs do not use it. */
const describe = Symbol('describe')
/** Whether the dataset makes batches in its own way, not from its rows by `defaultCollate`. */
export const ownBatches = Symbol('ownBatches')

/**
 * Rows of type R by index, and batches of type B. A subclass defines `length` and `get`, and may define `batch` if it
 * can make a whole batch at once. Each step (`map`, `take`, ...) makes another dataset, lazily.
 */
export abstract class Dataset<R, B = Collated<R>> implements BatchSource<B> {
  abstract readonly length: number

  /**
   * Dtypes of the rows' numbers if they differ from the usual ones. An option `dtypes` of a loader takes precedence.
   */
  get rowDTypes(): RowDTypes | undefined {
    return undefined
  }

  /** One row. May be asynchronous. A loader gives the context, with the row's random numbers. */
  abstract get(index: number, context?: RowContext): R | Promise<R>

  /** The rows at these indices, combined. The default is `defaultCollate` of the results of `get`. */
  batch(indices: readonly number[], pass?: SeededPass): B | Promise<B> {
    return this.rows(indices, pass).then((rows) => collateFor('Dataset.batch', rows, this.rowDTypes) as Collated<R> & B)
  }

  /** The rows at these indices, all requested at once. An error of one has its index in the property `row`. */
  rows(indices: readonly number[], pass?: SeededPass): Promise<R[]> {
    return Promise.all(
      checkIndices('Dataset', indices, this.length).map(async (index) => {
        try {
          return await this.get(index, rowContext(pass, index))
        } catch (error) {
          markRow(error, index)
          throw error
        }
      }),
    )
  }

  /**
   * A dataset of the function's results. The function may be asynchronous, and runs whenever a row is requested. Random
   * numbers that it takes from `context.generator` are the same in the same pass of a loader, at any number of workers.
   */
  map<T>(fn: (row: R, context: RowContext) => T | Promise<T>): Dataset<T> {
    return new MappedDataset(this, fn)
  }

  [ownBatches](): boolean {
    return this.batch !== Dataset.prototype.batch
  }

  [describe](op: string): Description {
    throw new ValueError(
      op,
      `workers cannot make the rows of ${kindOf(this)}, because functions and tensors stay in their thread; export a function ` +
        "that makes the dataset from a module, and pass await moduleDataset(new URL('./rows.js', import.meta.url)), or leave " +
        'workers out',
    )
  }

  /** The rows at these indices, in this order. */
  select(indices: readonly number[]): Dataset<R, B> {
    return new Subset(this, indices)
  }

  /** The first `count` rows. */
  take(count: number): Dataset<R, B> {
    return new Range<R, B>('take', this, 0, checkCount('take', count))
  }

  /** All but the first `count` rows. */
  skip(count: number): Dataset<R, B> {
    return new Range<R, B>('skip', this, checkCount('skip', count), Number.POSITIVE_INFINITY)
  }

  /** These rows, and then those of the others. */
  concat<T>(...others: readonly Dataset<T, unknown>[]): Dataset<R | T> {
    return new ConcatDataset<R | T>([this, ...others])
  }

  /**
   * The rows in order, as a stream, for steps that do not keep positions, which an IterableDataset has (`filter`,
   * `interleave`, `shuffle` within a buffer, `batches`).
   */
  stream(): IterableDataset<R> {
    const next = (from: number) => {
      let index = from
      const rows = async function* (this: Dataset<R, B>): AsyncGenerator<R, void, void> {
        while (index < this.length) yield await this.get(index++)
      }
      return Object.assign(rows.call(this), { state: () => index })
    }
    return new IterableDataset((state) => next((state as number | undefined) ?? 0))
  }

  /** The rows for which the function returns true, as a stream. */
  filter(keep: (row: R) => boolean | Promise<boolean>): IterableDataset<R> {
    return this.stream().filter(keep)
  }
}

/** The description from which another thread makes the dataset. Throws ValueError, in the name of `op`, if none can. */
export function describeDataset(op: string, dataset: Dataset<unknown, unknown>): Description {
  const recipe = recipeOf(dataset)
  return recipe === undefined ? dataset[describe](op) : { kind: 'made', recipe }
}

/** Adds the row to an error. The first index added stays, because the innermost dataset knows the row best. */
function markRow(error: unknown, index: number): void {
  if (!(error instanceof Error) || Object.hasOwn(error, 'row') || !Object.isExtensible(error)) return
  Object.defineProperty(error, 'row', { value: index, configurable: true })
}

const isLength = (length: unknown) => Number.isSafeInteger(length) && (length as number) >= 0

/** Throws ValueError unless the value has the members of a source of batches. */
export function checkSource(op: string, source: unknown): asserts source is BatchSource<unknown> {
  const { length, batch } = (source ?? {}) as { readonly [name: string]: unknown }
  if (!isLength(length) || typeof batch !== 'function')
    throw new ValueError(
      op,
      `the dataset needs a length (it is ${shown(length)}), which must be a non-negative integer, and a batch(indices) method; rows may ` +
        'also be an array, or an IterableDataset',
    )
}

function checkCount(op: string, count: number): number {
  if (!isLength(count)) throw new ValueError(op, `count is ${shown(count)}, but must be a non-negative integer`)
  return count
}

/** The indices in our own list, if each is the index of an item. */
function checkIndices(op: string, indices: Iterable<number>, length: number): readonly number[] {
  const own = listOf(op, 'the indices', indices, 'an array of integers')
  for (const index of own)
    if (!Number.isInteger(index) || index < 0 || index >= length)
      throw new ValueError(op, `index ${shown(index)} lies outside the ${length} items`)
  return own
}

/** Rows of tensors that belong together. Item i is row i of each. */
export class TensorDataset<const T extends readonly Tensor[]> extends Dataset<{ readonly [K in keyof T]: Tensor }, T> {
  readonly tensors: T
  readonly length: number

  constructor(...tensors: T) {
    super()
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

  /** Row `index` of each tensor: views. */
  get(index: number): { readonly [K in keyof T]: Tensor } {
    checkIndices('TensorDataset', [index], this.length)
    return this.tensors.map((tensor) => select(tensor, 0, index)) as { readonly [K in keyof T]: Tensor }
  }

  override batch(indices: readonly number[]): T {
    const { device } = this.tensors[0] as Tensor
    const own = checkIndices('TensorDataset', indices, this.length)
    const index = fromTypedArray(Int32Array.from(own), [own.length], { device })
    return this.tensors.map((tensor) => indexSelect(tensor, 0, index)) as readonly Tensor[] as T
  }
}

/**
 * Rows from a function, combined by another (`defaultCollate` if it is left out), for data that is read or made on
 * demand.
 */
export class FunctionDataset<R, B = Collated<R>> extends Dataset<R, B> {
  readonly length: number
  readonly #get: (index: number, context?: RowContext) => R | Promise<R>
  readonly #collate: ((rows: readonly R[]) => B) | undefined

  constructor(
    length: number,
    get: (index: number, context?: RowContext) => R | Promise<R>,
    collate?: (rows: readonly R[]) => B,
  ) {
    super()
    if (!isLength(length))
      throw new ValueError('FunctionDataset', `length is ${shown(length)}, but must be a non-negative integer`)
    if (typeof get !== 'function' || (collate !== undefined && typeof collate !== 'function'))
      throw new ValueError(
        'FunctionDataset',
        'needs a function get(index), and optionally collate(rows), which makes the batch',
      )
    this.length = length
    this.#get = get
    this.#collate = collate
  }

  get(index: number, context?: RowContext): R | Promise<R> {
    return this.#get(index, context)
  }

  override async batch(indices: readonly number[], pass?: SeededPass): Promise<B> {
    const rows = await this.rows(indices, pass)
    return this.#collate ? this.#collate(rows) : (collateFor('FunctionDataset', rows, undefined) as Collated<R> & B)
  }
}

/** A source with rows, or with only batches, as a dataset of rows. */
function withRows<R, B>(op: string, source: Dataset<R, B> | BatchSource<B>): Dataset<R, B> {
  if (source instanceof Dataset) return source
  throw new ValueError(
    op,
    'the dataset has a batch(indices) method, but no rows; extend Dataset, and define get(index)',
  )
}

/** Some of another dataset's rows, in the given order. */
export class Subset<R, B = Collated<R>> extends Dataset<R, B> {
  readonly dataset: Dataset<R, B> | BatchSource<B>
  readonly indices: readonly number[]

  constructor(dataset: Dataset<R, B> | BatchSource<B>, indices: readonly number[]) {
    super()
    checkSource('Subset', dataset)
    const own = checkIndices('Subset', indices, dataset.length)
    this.dataset = dataset
    this.indices = own
  }

  get length(): number {
    return this.indices.length
  }

  override get rowDTypes(): RowDTypes | undefined {
    return this.dataset instanceof Dataset ? this.dataset.rowDTypes : undefined
  }

  get(index: number, context?: RowContext): R | Promise<R> {
    checkIndices('Subset', [index], this.length)
    return withRows('Subset', this.dataset).get(this.indices[index] as number, context)
  }

  override batch(indices: readonly number[], pass?: SeededPass): B | Promise<B> {
    return this.dataset.batch(this.#within(indices), pass)
  }

  override async rows(indices: readonly number[], pass?: SeededPass): Promise<R[]> {
    return withRows('Subset', this.dataset).rows(this.#within(indices), pass)
  }

  #within(indices: readonly number[]): number[] {
    return checkIndices('Subset', indices, this.length).map((index) => this.indices[index] as number)
  }

  override [ownBatches](): boolean {
    return !(this.dataset instanceof Dataset) || this.dataset[ownBatches]()
  }

  override [describe](op: string): Description {
    const dataset = describeDataset(op, withRows('Subset', this.dataset))
    return { kind: 'select', dataset, indices: Float64Array.from(this.indices) }
  }
}

/** Rows of another dataset from a given one on, without a list of them. */
export class Range<R, B> extends Dataset<R, B> {
  readonly #op: string
  readonly #dataset: Dataset<R, B>
  readonly #from: number
  readonly #most: number

  constructor(op: string, dataset: Dataset<R, B>, from: number, most: number) {
    super()
    this.#op = op
    this.#dataset = dataset
    this.#from = from
    this.#most = most
  }

  get length(): number {
    return Math.min(this.#most, Math.max(0, this.#dataset.length - this.#from))
  }

  override get rowDTypes(): RowDTypes | undefined {
    return this.#dataset.rowDTypes
  }

  get(index: number, context?: RowContext): R | Promise<R> {
    checkIndices(this.#op, [index], this.length)
    return this.#dataset.get(this.#from + index, context)
  }

  override batch(indices: readonly number[], pass?: SeededPass): B | Promise<B> {
    return this.#dataset.batch(this.#within(indices), pass)
  }

  override async rows(indices: readonly number[], pass?: SeededPass): Promise<R[]> {
    return this.#dataset.rows(this.#within(indices), pass)
  }

  #within(indices: readonly number[]): number[] {
    return checkIndices(this.#op, indices, this.length).map((index) => this.#from + index)
  }

  override [ownBatches](): boolean {
    return this.#dataset[ownBatches]()
  }

  override [describe](op: string): Description {
    return { kind: 'range', dataset: describeDataset(op, this.#dataset), from: this.#from, most: this.#most }
  }
}

export class MappedDataset<R, T> extends Dataset<T> {
  readonly #dataset: Dataset<R, unknown>
  readonly #fn: (row: R, context: RowContext) => T | Promise<T>

  constructor(dataset: Dataset<R, unknown>, fn: (row: R, context: RowContext) => T | Promise<T>) {
    super()
    if (typeof fn !== 'function') throw new ValueError('map', `needs a function of a row, but got ${kindOf(fn)}`)
    this.#dataset = dataset
    this.#fn = fn
  }

  get length(): number {
    return this.#dataset.length
  }

  override get rowDTypes(): RowDTypes | undefined {
    return keepsForm(this.#fn) ? this.#dataset.rowDTypes : undefined
  }

  async get(index: number, context: RowContext = rowContext(undefined, index)): Promise<T> {
    return this.#fn(await this.#dataset.get(index, context), context)
  }

  override [describe](op: string): Description {
    const dataset = describeDataset(op, this.#dataset)
    const step = recipeOf(this.#fn)
    if (step !== undefined) return { kind: 'map', dataset, step }
    throw new ValueError(
      op,
      `workers cannot run ${this.#fn.name === '' ? 'the function' : `the function ${this.#fn.name}`} of map, because functions ` +
        'stay in their thread; map within a module, and give await moduleDataset(new URL(...)), or leave workers out',
    )
  }
}

export class ConcatDataset<R> extends Dataset<R> {
  readonly #datasets: readonly Dataset<R, unknown>[]

  constructor(datasets: readonly Dataset<R, unknown>[]) {
    super()
    for (const dataset of datasets)
      if (!(dataset instanceof Dataset))
        throw new ValueError('concat', `takes datasets of rows by index, but got ${kindOf(dataset)}`)
    this.#datasets = datasets
  }

  get length(): number {
    return this.#datasets.reduce((sum, { length }) => sum + length, 0)
  }

  /** The dtypes of the first dataset, because rows of one batch are alike. */
  override get rowDTypes(): RowDTypes | undefined {
    return this.#datasets[0]?.rowDTypes
  }

  get(index: number, context?: RowContext): R | Promise<R> {
    checkIndices('concat', [index], this.length)
    let own = index
    const dataset = this.#datasets.find(({ length }) => {
      if (own < length) return true
      own -= length
      return false
    }) as Dataset<R, unknown>
    return dataset.get(own, context)
  }

  override [describe](op: string): Description {
    return { kind: 'concat', datasets: this.#datasets.map((dataset) => describeDataset(op, dataset)) }
  }
}
