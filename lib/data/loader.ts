import { permutation } from '../core/draws.js'
import { shown, ValueError } from '../core/errors.js'
import { checkGenerator, defaultGenerator, type Generator } from '../core/generator.js'
import { checkOptions } from '../core/options.js'
import { askHeap, checkEntries, mostEntries } from '../core/room.js'
import { checkDataset, type Dataset } from './dataset.js'

export interface DataLoaderOptions {
  /** Items a batch. Default 1. */
  readonly batchSize?: number
  /** A new random order for every pass. Default false. */
  readonly shuffle?: boolean
  /** Leave out a last batch with fewer items. Default false. */
  readonly dropLast?: boolean
  /** Batches made ahead while the last one is used. Default 2; 0 makes each when it is asked for. */
  readonly prefetch?: number
  /** For the order. */
  readonly generator?: Generator
}

/** A dataset in batches: `for await (const batch of loader)`, one pass each time. `length` is the number of batches. */
export class DataLoader<B> implements AsyncIterable<B> {
  readonly dataset: Dataset<B>
  readonly batchSize: number
  readonly #shuffle: boolean
  readonly #dropLast: boolean
  readonly #prefetch: number
  readonly #generator: Generator | undefined

  constructor(dataset: Dataset<B>, options: DataLoaderOptions = {}) {
    checkOptions('DataLoader', options, {
      batchSize: true,
      shuffle: true,
      dropLast: true,
      prefetch: true,
      generator: true,
    })
    const { batchSize = 1, shuffle = false, dropLast = false, prefetch = 2, generator } = options
    if (!Number.isSafeInteger(batchSize) || batchSize < 1)
      throw new ValueError('DataLoader', `batchSize is ${shown(batchSize)}, but must be a positive integer`)
    if (!Number.isSafeInteger(prefetch) || prefetch < 0)
      throw new ValueError('DataLoader', `prefetch is ${shown(prefetch)}, but must be a non-negative integer`)
    checkDataset('DataLoader', dataset)
    for (const [name, value] of Object.entries({ shuffle, dropLast }))
      if (typeof value !== 'boolean')
        throw new ValueError('DataLoader', `${name} is ${shown(value)}, but must be true or false`)
    checkGenerator('DataLoader', generator)
    this.dataset = dataset
    this.batchSize = batchSize
    this.#shuffle = shuffle
    this.#dropLast = dropLast
    this.#prefetch = prefetch
    this.#generator = generator
    this.#checkLists(dataset.length)
  }

  /** Batches in one pass. */
  get length(): number {
    const whole = this.dataset.length / this.batchSize
    return this.#dropLast ? Math.floor(whole) : Math.ceil(whole)
  }

  /** Throws before a list of indices is made that no memory holds. */
  #checkLists(length: number): void {
    const [count, what, advice] = this.#shuffle
      ? [length, 'items in a random order', 'draw indices within the dataset, or shuffle parts of it (Subset)']
      : [Math.min(this.batchSize, length), 'items in a batch', 'give a smaller batchSize']
    checkEntries('DataLoader', count, mostEntries, what, advice)
    askHeap(8 * count, 'DataLoader', `the indices of ${count} ${what}`, advice)
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<B> {
    const { length } = this.dataset
    this.#checkLists(length)
    const order = this.#shuffle ? permutation(length, this.#generator ?? defaultGenerator()) : null
    const indices = (batch: number) => {
      const from = batch * this.batchSize
      const to = Math.min(length, from + this.batchSize)
      return order ? order.slice(from, to) : Array.from({ length: to - from }, (_, i) => from + i)
    }
    const ahead: Promise<B>[] = []
    let next = 0
    const start = () => {
      const batch = indices(next++)
      // Through a promise in any case, so that a dataset that throws does so where its batch is awaited.
      const made = (async () => this.dataset.batch(batch))()
      made.catch(() => undefined)
      ahead.push(made)
    }
    while (next < this.length || ahead.length > 0) {
      while (next < this.length && ahead.length <= this.#prefetch) start()
      yield (await ahead.shift()) as B
    }
  }
}
