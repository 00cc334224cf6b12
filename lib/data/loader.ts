/** Batches of a dataset, some made ahead, and the position within a pass. */
import { kindOf, shown, ValueError } from '../core/errors.js'
import {
  checkGenerator,
  checkGeneratorState,
  defaultGenerator,
  Generator,
  type GeneratorState,
  type Resumable,
} from '../core/generator.js'
import { checkFlag, checkOptions } from '../core/options.js'
import { prepareState } from '../core/resumable.js'
import { askHeap, checkEntries, mostEntries } from '../core/room.js'
import { scope } from '../core/scope.js'
import { type Collated, type CollateOptions, collateFor } from './collate.js'
import { type BatchSource, checkSource, Dataset, describeDataset, ownBatches } from './dataset.js'
import { IterableDataset, type PassState } from './iterable.js'
import { batchGenerator, nameRow, type SeededPass } from './row-context.js'
import { checkSampler, everyRow, type Sampler, type SamplerPass } from './sampler.js'
import { type Collate, checkedCollate } from './steps.js'
import type { Workers } from './workers.js'

/**
 * A source of rows for a DataLoader: an array, a dataset by index, a stream, or an object that makes batches itself.
 */
export type Source<R, B> = readonly R[] | Dataset<R, B> | IterableDataset<R> | AsyncIterable<R> | BatchSource<B>

/** A step from batch to batch. Its random numbers belong to the batch, by (seed, epoch, batch). */
export type BatchStep<B> = (batch: B, generator: Generator) => B

export interface DataLoaderOptions<R = unknown, B = Collated<R>> extends CollateOptions {
  /** Rows in a batch. Default 1. */
  readonly batchSize?: number
  /** A new random order for every pass. Default false. */
  readonly shuffle?: boolean
  /** Leave out a last batch with fewer rows. Default false. */
  readonly dropLast?: boolean
  /**
   * The number of batches made ahead while the last one is used. Default 2, and 2 for each worker. With 0 each is made
   * on demand.
   */
  readonly prefetch?: number
  /**
   * The number of threads that make the batches. Default 0: this thread makes them. Functions cannot leave their
   * thread, so the dataset must be one that threads can make again. It may come from `moduleDataset`, or from
   * `imageFolder` with steps of `firesteel/images`, or be a part of such a one. Batches have the same order and numbers
   * as without threads.
   */
  readonly workers?: number
  /**
   * Steps that turn a batch into another, such as mixup(0.2) and cutmix(1). Each batch goes through one of them, chosen
   * at random.
   */
  readonly mix?: readonly BatchStep<B>[]
  /** The generator of the order. Default: the default generator. */
  readonly generator?: Generator
  /** Chooses the rows of each batch: `weighted(weights)`, `byLength(lengths)`. By default every row occurs once. */
  readonly sampler?: Sampler
  /** Makes a batch of rows. Default: the dataset's own way, or `defaultCollate`. */
  readonly collate?: (rows: readonly R[]) => B | Promise<B>
}

/** The position of a loader. Plain data, which may be written as JSON if an iterable dataset's state may be. */
export interface DataLoaderState {
  /** The pass, from 0. */
  readonly epoch: number
  /** The number of its batches that were given. Those made ahead do not count. */
  readonly batch: number
  /** The generator's state from which the order of the pass was drawn. */
  readonly order?: GeneratorState
  /** The number of rows in the dataset, which must be the same again. */
  readonly rows?: number
  /** The position in an iterable dataset. */
  readonly source?: PassState
  /** The end of the pass before in an iterable dataset, until this pass has given a batch. */
  readonly before?: PassState
  /** The state of the loader's own generator, for later passes. */
  readonly generator?: GeneratorState
  /** Options of the loader, which must be the same again. */
  readonly batchSize?: number
  readonly shuffle?: boolean
  readonly dropLast?: boolean
}

/** One pass of a loader. */
export interface LoaderPass<B> extends AsyncGenerator<B, void, void> {
  /** The position after the batches given so far, for `loadStateDict` of a loader. */
  state(): DataLoaderState
}

/** The result of an abandoned wait, because nobody wants the batch any more. */
const left = Symbol('left')

/** Waits of a pass, each of which can be abandoned. */
class Waits {
  #left = false
  #giveUp = () => {}

  get over(): boolean {
    return this.#left
  }

  leave(): void {
    this.#left = true
    this.#giveUp()
  }

  /**
   * There is one at a time. Promise.race is not used, because it keeps the awaited value as long as the other promise
   * lives.
   */
  on<T>(made: Promise<T>): Promise<T | typeof left> {
    return new Promise((resolve, reject) => {
      this.#giveUp = () => resolve(left)
      if (this.#left) resolve(left)
      made.then(resolve, reject)
    })
  }
}

/** A pass under way, from its beginning or from a state on. */
interface Place {
  readonly epoch: number
  batch: number
  order?: GeneratorState
  rows?: number
  source?: PassState
  before?: PassState
  finished: boolean
}

/**
 * Rows in batches: `for await (const batch of loader)`, one pass for each loop. `length` is the number of batches, or
 * NaN for a stream of rows. After `loadStateDict(state)` the next pass gives the remaining batches of the state's pass.
 */
export class DataLoader<const R, B = Collated<R>> implements AsyncIterable<B>, Resumable<DataLoaderState> {
  readonly dataset: Source<R, B>
  readonly batchSize: number
  readonly #source: BatchSource<B> | IterableDataset<R>
  readonly #collate: Collate<R, B>
  readonly #shuffle: boolean
  readonly #dropLast: boolean
  readonly #prefetch: number
  readonly #workers: number
  readonly #dtypes: CollateOptions['dtypes']
  readonly #mix: readonly ((batch: unknown, generator: Generator) => B)[]
  readonly #sampler: Sampler
  readonly #generator: Generator | undefined
  #place: Place | null = null
  /** Threads of the pass before, which wait for the next one. */
  #kept: Workers | null = null
  /** The position at which the next pass begins, or null for its beginning. */
  #resume: DataLoaderState | null = null

  constructor(dataset: Source<R, B>, options: DataLoaderOptions<R, B> = {}) {
    const op = 'DataLoader'
    checkOptions(op, options, {
      batchSize: true,
      shuffle: true,
      dropLast: true,
      prefetch: true,
      workers: true,
      mix: true,
      generator: true,
      sampler: true,
      collate: true,
      dtypes: true,
    })
    const { batchSize = 1, shuffle = false, dropLast = false, workers = 0, mix = [], generator, sampler } = options
    if (!Number.isSafeInteger(workers) || workers < 0 || workers > mostWorkers)
      throw new ValueError(op, `workers is ${shown(workers)}, but must be a number of threads from 0 to ${mostWorkers}`)
    const prefetch = options.prefetch ?? Math.max(2, 2 * workers)
    if (!Number.isSafeInteger(batchSize) || batchSize < 1)
      throw new ValueError(op, `batchSize is ${shown(batchSize)}, but must be a positive integer`)
    if (!Number.isSafeInteger(prefetch) || prefetch < 0)
      throw new ValueError(op, `prefetch is ${shown(prefetch)}, but must be a non-negative integer`)
    if (prefetch < workers)
      throw new ValueError(
        op,
        `there are ${workers} workers, but only ${prefetch} batches are made ahead (prefetch), so some workers would be idle; give ` +
          `a prefetch of at least ${workers}`,
      )
    checkMix(op, mix)
    checkFlag(op, 'shuffle', shuffle)
    checkFlag(op, 'dropLast', dropLast)
    checkGenerator(op, generator)
    checkSampler(op, sampler)
    this.#collate = checkedCollate(op, options.collate, options.dtypes)
    this.#source = sourceOf(dataset, this.#collate, options.collate !== undefined || options.dtypes !== undefined)
    if (this.#source instanceof IterableDataset && (shuffle || sampler !== undefined))
      throw new ValueError(
        op,
        `the rows are a stream, so ${shuffle ? 'shuffle' : 'a sampler'} cannot choose among them; use ` +
          'dataset.shuffle(buffer), or read all rows: await dataset.toArray()',
      )
    if (workers > 0) checkWorkers(op, dataset, options.collate)
    this.dataset = dataset
    this.batchSize = batchSize
    this.#shuffle = shuffle
    this.#dropLast = dropLast
    this.#prefetch = prefetch
    this.#workers = workers
    this.#dtypes = options.dtypes
    this.#mix = [...mix] as readonly ((batch: unknown, generator: Generator) => B)[]
    this.#sampler = sampler ?? everyRow
    this.#generator = generator
    if (!(this.#source instanceof IterableDataset)) this.#checkPass(this.#passOver(this.#source.length))
  }

  /** The number of batches in one pass, or NaN if it is unknown before the end. */
  get length(): number {
    return this.#source instanceof IterableDataset ? Number.NaN : this.#countOf(this.#passOver(this.#source.length))
  }

  /** The position after the batches that were given, without those made ahead. */
  stateDict(): DataLoaderState {
    return this.#stateOf(this.#place)
  }

  #stateOf(at: Place | null): DataLoaderState {
    const own = {
      batchSize: this.batchSize,
      shuffle: this.#shuffle,
      dropLast: this.#dropLast,
      ...(this.#generator === undefined ? {} : { generator: this.#generator.stateDict() }),
    }
    if (this.#resume !== null) return { ...this.#resume, ...own }
    if (at === null) return { epoch: 0, batch: 0, ...own }
    const { finished, ...place } = at
    return { ...(finished ? afterwards(place) : place), ...own }
  }

  /**
   * Lets the next pass continue where the state was taken. Throws ValueError for another number of rows, and then
   * changes nothing.
   */
  loadStateDict(state: DataLoaderState): void {
    this[prepareState](state)()
  }

  [prepareState](state: DataLoaderState): () => void {
    const own = checkState(state)
    const op = 'DataLoader.loadStateDict'
    const options = { batchSize: this.batchSize, shuffle: this.#shuffle, dropLast: this.#dropLast }
    for (const [name, now] of Object.entries(options)) {
      const saved = state[name as keyof typeof options]
      if (saved !== undefined && saved !== now)
        throw new ValueError(
          op,
          `${name} is ${shown(now)}, but was ${shown(saved)} in the state; continue with the same options`,
        )
    }
    if ((own.generator === undefined) !== (this.#generator === undefined))
      throw new ValueError(
        op,
        `the loader has ${this.#generator === undefined ? 'no' : 'a'} generator option, but that of the state had ${own.generator === undefined ? 'none' : 'one'}; continue with the same options`,
      )
    if (own.batch > this.length)
      throw new ValueError(
        op,
        `the state is after batch ${own.batch}, but a pass has ${this.length}; it belongs to another loader`,
      )
    if (own.rows !== undefined && !(this.#source instanceof IterableDataset) && own.rows !== this.#source.length)
      throw new ValueError(
        op,
        `the state is of ${own.rows} rows, but the dataset has ${this.#source.length}; continue with the same data`,
      )
    const draw = own.generator === undefined ? undefined : this.#generator?.[prepareState](own.generator)
    return () => {
      draw?.()
      this.#place = null
      this.#resume = own
    }
  }

  #passOver(length: number): SamplerPass {
    return { length, batchSize: this.batchSize, dropLast: this.#dropLast, shuffle: this.#shuffle }
  }

  /** Throws before a list of indices is made that does not fit in memory. */
  #checkPass(pass: SamplerPass): void {
    const { length } = pass
    const [count, what, advice] = this.#shuffle
      ? [length, 'items in a random order', 'draw indices within the dataset, or shuffle parts of it (Subset)']
      : [Math.min(this.batchSize, length), 'items in a batch', 'give a smaller batchSize']
    checkEntries('DataLoader', count, mostEntries, what, advice)
    askHeap(8 * count, 'DataLoader', `the indices of ${count} ${what}`, advice)
    this.#countOf(pass)
  }

  #countOf(pass: SamplerPass): number {
    const count: unknown = this.#sampler.count(pass)
    if (Number.isSafeInteger(count) && (count as number) >= 0) return count as number
    throw new ValueError(
      'DataLoader',
      `count() of the sampler gave ${shown(count)}, but must give the number of batches, an integer of at least 0`,
    )
  }

  /** Begins the next pass, or continues the one of the loaded state. */
  #begin(): Place {
    const first: DataLoaderState = { epoch: 0, batch: 0 }
    const { generator, batchSize, shuffle, dropLast, ...from } =
      this.#resume ?? (this.#place ? afterwards(this.#place) : first)
    this.#resume = null
    this.#place = { ...from, finished: false }
    return this.#place
  }

  /**
   * The `state()` of the iterator is the position of exactly this pass, whatever passes have begun since. Its
   * `return()` ends the pass at once, even if a batch never comes.
   */
  [Symbol.asyncIterator](): LoaderPass<B> {
    let own: Place | null = null
    const waits = new Waits()
    const batches = this.#pass(waits, (place) => {
      own = place
    })
    const end = batches.return.bind(batches)
    return Object.assign(batches, {
      state: () => (own === null ? this.stateDict() : this.#stateOf(own)),
      return() {
        waits.leave()
        return end()
      },
    })
  }

  async *#pass(waits: Waits, begun: (place: Place) => void): AsyncGenerator<B, void, void> {
    const resumed = this.#resume !== null
    const place = this.#begin()
    begun(place)
    const batches =
      this.#source instanceof IterableDataset
        ? this.#stream(this.#source, place, resumed, waits)
        : this.#byIndex(this.#source, place, waits)
    yield* batches
    if (!waits.over) place.finished = true
  }

  /** The batch, mixed by one of the steps. */
  #mixed(batch: B, pass: SeededPass, index: number): B {
    const { length } = this.#mix
    if (length === 0) return batch
    const generator = batchGenerator(pass, index)
    const step = this.#mix[generator.randint(0, length)] as (batch: unknown, generator: Generator) => B
    return scope(() => step(batch, generator))
  }

  async *#byIndex(source: BatchSource<B>, place: Place, waits: Waits): AsyncGenerator<B> {
    const batches = this.#order(source.length, place)[Symbol.iterator]()
    const pass: SeededPass = { seed: (place.order as GeneratorState).seed, epoch: place.epoch }
    const made = await this.#maker(source, pass)
    let whole = false
    const ahead: Promise<B>[] = []
    let more = true
    const start = () => {
      const { done, value } = batches.next()
      if (done) more = false
      else ahead.push(watched(made.batch(value)))
    }
    try {
      for (let i = 0; i < place.batch; i++) batches.next()
      for (;;) {
        while (more && ahead.length <= this.#prefetch) start()
        const next = ahead.shift()
        whole = next === undefined
        if (next === undefined) return
        const batch = await waits.on(next)
        if (batch === left) return
        const mixed = this.#mixed(batch, pass, place.batch)
        place.batch++
        yield mixed
      }
    } finally {
      await made.end(whole)
    }
  }

  /** Makes batches in this thread, or in others, which survive a pass that ends normally. */
  async #maker(source: BatchSource<B>, pass: SeededPass) {
    // A promise is made in any case, so that an error of the dataset is thrown where its batch is awaited.
    if (this.#workers === 0)
      return { batch: (indices: readonly number[]) => ownBatch(source, indices, pass), end: async () => {} }
    const { length } = source
    const kept = this.#kept
    this.#kept = null
    const awake = kept?.wake(length) === true
    if (!awake) await kept?.end()
    const workers = awake ? (kept as Workers) : await this.#start(length)
    return {
      batch: (indices: readonly number[]) => workers.batch(indices, pass) as Promise<B>,
      end: async (whole: boolean) => {
        if (!whole || this.#kept !== null) return workers.end()
        workers.rest()
        this.#kept = workers
      },
    }
  }

  async #start(length: number): Promise<Workers> {
    const dataset = describeDataset('DataLoader', this.dataset as Dataset<R, B>)
    // The threads' code is loaded on demand, because few programs have workers.
    const { Workers } = await import('./workers.js')
    return new Workers(this.#workers, {
      dataset,
      length,
      dtypes: this.#dtypes ?? (this.dataset as Dataset<R, B>).rowDTypes,
      chosen: this.#dtypes !== undefined,
    })
  }

  /** The indices of each batch of the pass. Drawing them leaves the generator at its new position. */
  #order(length: number, place: Place): Iterable<readonly number[]> {
    const pass = this.#passOver(length)
    this.#checkPass(pass)
    const order = new Generator(0)
    if (place.order === undefined) {
      const generator = this.#generator ?? defaultGenerator()
      place.order = generator.stateDict()
      place.rows = length
      order.loadStateDict(place.order)
      const batches = this.#sampler.batches(pass, order)
      generator.loadStateDict(order.stateDict())
      return batches
    }
    order.loadStateDict(place.order)
    return this.#sampler.batches(pass, order)
  }

  async *#stream(source: IterableDataset<R>, place: Place, resumed: boolean, waits: Waits): AsyncGenerator<B> {
    // Generators within the dataset have the state in which the pass before left them.
    if (resumed && place.before !== undefined) for await (const _ of source.pass(place.before));
    const rows = source.pass(place.source)
    // The rows have no seed, so batches are mixed by the seed of the loader's generator, or of the default one.
    const pass: SeededPass = { seed: (this.#generator ?? defaultGenerator()).stateDict().seed, epoch: place.epoch }
    interface Made {
      readonly rows: readonly R[]
      readonly batch: B | null
      readonly state: PassState
    }
    const read = async (): Promise<Made> => {
      const batch: R[] = []
      while (batch.length < this.batchSize) {
        const { done, value } = await rows.next()
        if (done) break
        batch.push(value)
      }
      const state = rows.state()
      const whole = batch.length === this.batchSize || (batch.length > 0 && !this.#dropLast)
      return { rows: batch, batch: whole ? await this.#collate(batch) : null, state }
    }
    const ahead: Promise<Made>[] = []
    let last: Promise<unknown> = Promise.resolve()
    let gaveUp = false
    try {
      for (;;) {
        while (ahead.length <= this.#prefetch) {
          // The rows are read one after the other, because they have one order.
          const made = watched(last.then(read))
          last = made
          ahead.push(made)
        }
        const made = await waits.on(ahead.shift() as Promise<Made>)
        gaveUp = made === left
        if (made === left || made.batch === null) return
        const mixed = this.#mixed(made.batch, pass, place.batch)
        place.batch++
        place.source = made.state
        delete place.before
        yield mixed
      }
    } finally {
      const closed = last.catch(() => undefined).then(() => rows.return())
      // A row that never comes must not hold up a loop that has ended.
      if (gaveUp) closed.catch(() => undefined)
      else await closed
    }
  }
}

/** More threads than any machine can use. */
const mostWorkers = 256

function checkMix(op: string, mix: unknown): void {
  if (!Array.isArray(mix) || !mix.every((step) => typeof step === 'function'))
    throw new ValueError(op, `mix is ${shown(mix)}, but must be an array of steps, such as [mixup(0.2)]`)
}

/** Throws unless threads can make the batches. */
function checkWorkers(op: string, dataset: unknown, collate: unknown): void {
  if (collate !== undefined)
    throw new ValueError(
      op,
      'workers cannot call collate, because functions stay in their thread; make the batches in a module: a Dataset with ' +
        'batch(indices), through moduleDataset',
    )
  if (!(dataset instanceof Dataset))
    throw new ValueError(
      op,
      `workers need a Dataset, which makes rows by index, but the rows are ${kindOf(dataset)}; make them in a module, with ` +
        'moduleDataset, or leave workers out',
    )
  describeDataset(op, dataset)
}

/** The beginning of the pass after this one. */
function afterwards({ epoch, source, before = source }: DataLoaderState): DataLoaderState {
  return { epoch: epoch + 1, batch: 0, ...(before === undefined ? {} : { before }) }
}

/** A batch made in this thread. The error of a row names it. */
async function ownBatch<B>(source: BatchSource<B>, indices: readonly number[], pass: SeededPass): Promise<B> {
  try {
    return await source.batch(indices, pass)
  } catch (error) {
    nameRow('DataLoader', error)
    throw error
  }
}

/** The promise. Its error waits until the promise is awaited. */
function watched<T>(made: Promise<T>): Promise<T> {
  made.catch(() => undefined)
  return made
}

/**
 * One of two forms: batches by index, or a stream of rows. `own` means that this collate makes batches, whatever the
 * dataset has.
 */
function sourceOf<R, B>(
  dataset: Source<R, B>,
  collate: Collate<R, B>,
  own: boolean,
): BatchSource<B> | IterableDataset<R> {
  const op = 'DataLoader'
  if (Array.isArray(dataset)) {
    const rows = dataset as readonly R[]
    return {
      get length() {
        return rows.length
      },
      batch: (indices) => collate(indices.map((index) => rows[index] as R)),
    }
  }
  if (ArrayBuffer.isView(dataset))
    throw new ValueError(
      op,
      `the dataset is ${kindOf(dataset)}; give an array of rows, or a tensor of the numbers: ` +
        'new TensorDataset(fromTypedArray(data, shape))',
    )
  if (dataset instanceof IterableDataset) return dataset
  if (dataset instanceof Dataset && (own || !dataset[ownBatches]()))
    return {
      get length() {
        return dataset.length
      },
      batch: async (indices, pass) => {
        const rows = await dataset.rows(indices, pass)
        return own ? collate(rows) : (collateFor(op, rows, dataset.rowDTypes) as Collated<R> & B)
      },
    }
  if (typeof dataset === 'object' && dataset !== null && Symbol.asyncIterator in dataset) {
    if ('next' in dataset)
      throw new ValueError(
        op,
        'the rows are an iterator, which is used up after one pass; give a function that begins each pass: new IterableDataset(() => rows())',
      )
    return new IterableDataset(() => dataset as AsyncIterable<R>)
  }
  checkSource(op, dataset)
  if (own)
    throw new ValueError(
      op,
      'the dataset makes its batches itself; leave collate and dtypes out, or extend Dataset and define get(index)',
    )
  return dataset as BatchSource<B>
}

function checkState(state: DataLoaderState): DataLoaderState {
  const op = 'DataLoader.loadStateDict'
  if (typeof state !== 'object' || state === null)
    throw new ValueError(op, `the state is ${kindOf(state)}, but must be a result of stateDict()`)
  const { epoch, batch, order, rows, source, before, generator } = state
  for (const [name, value] of Object.entries({ epoch, batch, rows: rows ?? 0 }))
    if (!Number.isSafeInteger(value) || value < 0)
      throw new ValueError(op, `${name} in the state is ${shown(value)}, but must be a non-negative integer`)
  return {
    epoch,
    batch,
    ...(order === undefined ? {} : { order: checkGeneratorState(op, order) }),
    ...(rows === undefined ? {} : { rows }),
    ...(source === undefined ? {} : { source }),
    ...(before === undefined ? {} : { before }),
    ...(generator === undefined ? {} : { generator: checkGeneratorState(op, generator) }),
  }
}
