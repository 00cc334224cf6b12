/** Streams of rows, of any length. A stream is read again in every pass, and can continue within one. */
import { kindOf, shown, ValueError } from '../core/errors.js'
import { checkGenerator, type Generator } from '../core/generator.js'
import { checkOptions } from '../core/options.js'
import { checkEntries, mostEntries } from '../core/room.js'
import type { Collated, CollateOptions } from './collate.js'
import * as steps from './steps.js'

/** The position of a pass. Plain data, which may be written as JSON if the content of `own` may be. */
export interface PassState {
  /** The number of rows given so far. */
  readonly given: number
  /** The step that gave them, such as 'map'. Left out for rows that are read. */
  readonly step?: string
  /** The position that the rows' iterator reports itself, if it does. */
  readonly own?: unknown
}

/** One pass over rows. `return()` ends it early and closes its files. */
export interface RowPass<R> extends AsyncGenerator<R, void, void> {
  /** The position after the rows given so far. */
  state(): PassState
}

/** An iterable from which rows can be read. */
export type RowSource<R> = Iterable<R> | AsyncIterable<R>

interface Resumed {
  state?: () => unknown
}

/** Throws unless it is a count of rows. */
function checkCount(op: string, name: string, count: unknown, least: number): number {
  if (!Number.isSafeInteger(count) || (count as number) < least)
    throw new ValueError(op, `${name} is ${shown(count)}, but must be an integer of at least ${least}`)
  return count as number
}

/** Throws unless this many rows can be in memory at once. */
function checkRows(op: string, name: string, count: unknown): void {
  checkEntries(op, checkCount(op, name, count, 1), mostEntries, 'rows in memory', `give a smaller ${name}`)
}

function checkFunction(op: string, fn: unknown): void {
  if (typeof fn !== 'function') throw new ValueError(op, `needs a function of a row, but got ${kindOf(fn)}`)
}

function checkPassState(op: string, state: PassState, step: string | undefined): PassState {
  if (typeof state !== 'object' || state === null)
    throw new ValueError(op, `the state is ${kindOf(state)}, but must be a result of state()`)
  if (state.step !== step) {
    const named = (each: unknown) => (each === undefined ? 'rows that are read' : kindOf(each))
    throw new ValueError(
      op,
      `the state is of ${named(state.step)}, but these are ${step === undefined ? named(step) : `the rows of ${named(step)}`}; continue ` +
        'with the same steps in the same order',
    )
  }
  checkCount(op, 'given in the state', state.given, 0)
  return state
}

export interface ShuffleOptions {
  /** Each pass takes its own generator from this one, by `split`. Default: the default generator. */
  readonly generator?: Generator
}

export interface BatchesOptions<R, B = Collated<R>> extends CollateOptions {
  /** Leave out a last batch with fewer rows. Default false. */
  readonly dropLast?: boolean
  /** Makes a batch of rows. Default `defaultCollate`. */
  readonly collate?: (rows: readonly R[]) => B | Promise<B>
}

/**
 * Rows from a function that begins a pass: it returns an iterable, such as a generator. An interrupted pass continues
 * by reading and skipping the rows that were given, unless the iterator has a `state()`; then the function gets that
 * state. Each step (`map`, `filter`, ...) makes another such dataset, lazily, and keeps this one's way of continuing.
 */
export class IterableDataset<R> implements AsyncIterable<R> {
  readonly #open: (state?: unknown) => RowSource<R>
  /** The step by which this dataset comes from another one's rows. */
  #step: string | undefined

  constructor(open: (state?: unknown) => RowSource<R>) {
    if (typeof open !== 'function')
      throw new ValueError(
        'IterableDataset',
        `needs a function that begins a pass over the rows, such as () => rows, but got ${kindOf(open)}`,
      )
    this.#open = open
  }

  /** Begins a pass, or continues one from the state that its `state()` returned. */
  pass(state?: PassState): RowPass<R> {
    const step = this.#step === undefined ? {} : { step: this.#step }
    const from = state === undefined ? { given: 0, ...step } : checkPassState('IterableDataset.pass', state, this.#step)
    const open = this.#open
    let given = from.given
    let iterator: Resumed | null = null
    async function* rows(): AsyncGenerator<R, void, void> {
      const { source, iterator: opened } = begin(open(from.own))
      iterator = opened
      let skipped = from.own === undefined ? 0 : from.given
      for await (const row of source) {
        if (skipped < from.given) skipped++
        else {
          given++
          yield row
        }
      }
      if (skipped < from.given)
        throw new ValueError(
          'IterableDataset.pass',
          `the rows end after ${skipped}, but the state is after ${from.given}; continue with the same data`,
        )
    }
    const place = (): PassState => {
      if (iterator === null) return from
      return { given, ...step, ...(typeof iterator.state === 'function' ? { own: iterator.state() } : {}) }
    }
    return Object.assign(rows(), { state: place })
  }

  [Symbol.asyncIterator](): RowPass<R> {
    return this.pass()
  }

  /**
   * Rows of a step from these. Their states record the step, because other steps, or another order, mean other rows.
   */
  #through<T>(step: string, open: (state?: unknown) => RowSource<T>): IterableDataset<T> {
    const made = new IterableDataset(open)
    made.#step = step
    return made
  }

  /** The function's result for each row. The function may be asynchronous. */
  map<T>(fn: (row: R) => T | Promise<T>): IterableDataset<T> {
    checkFunction('map', fn)
    return this.#through('map', (state) => steps.map(this.pass(state as PassState | undefined), fn))
  }

  /** The rows for which the function returns true. */
  filter(keep: (row: R) => boolean | Promise<boolean>): IterableDataset<R> {
    checkFunction('filter', keep)
    return this.#through('filter', (state) => steps.filter(this.pass(state as PassState | undefined), keep))
  }

  /** The first `count` rows. */
  take(count: number): IterableDataset<R> {
    checkCount('take', 'count', count, 0)
    return this.#through('take', (state) => steps.take(this, count, state as steps.TakeState | undefined))
  }

  /** All but the first `count` rows. */
  skip(count: number): IterableDataset<R> {
    checkCount('skip', 'count', count, 0)
    return this.#through('skip', (state) => steps.skip(this, count, state as PassState | undefined))
  }

  /**
   * The rows in runs of `buffer`, each run in a random order that differs in each pass. Only this many rows are in
   * memory, and rows move no further. Use a buffer of many batches, and `interleave` files that hold one class each. A
   * continued pass reads its run again.
   */
  shuffle(buffer: number, options: ShuffleOptions = {}): IterableDataset<R> {
    checkRows('shuffle', 'buffer', buffer)
    const { generator } = checkOptions('shuffle', options, { generator: true })
    checkGenerator('shuffle', generator)
    return this.#through('shuffle', (state) =>
      steps.shuffle(this, buffer, generator, state as steps.ShuffleState | undefined),
    )
  }

  /** These rows, and then those of the others. */
  concat<T>(...others: readonly IterableDataset<T>[]): IterableDataset<R | T> {
    checkDatasets('concat', others)
    return this.#through('concat', (state) =>
      steps.concat<R | T>([this, ...others], state as steps.ConcatState | undefined),
    )
  }

  /** A row of each in turn, until all rows are used up. */
  interleave<T>(...others: readonly IterableDataset<T>[]): IterableDataset<R | T> {
    checkDatasets('interleave', others)
    return this.#through('interleave', (state) =>
      steps.interleave<R | T>([this, ...others], state as steps.InterleaveState | undefined),
    )
  }

  /** Batches of `size` rows, each made by `collate`. A DataLoader does the same ahead of its reader. */
  batches<B = Collated<R>>(size: number, options: BatchesOptions<R, B> = {}): IterableDataset<B> {
    checkRows('batches', 'size', size)
    const { dropLast, collate, dtypes } = checkOptions('batches', options, {
      dropLast: true,
      collate: true,
      dtypes: true,
    })
    if (dropLast !== undefined && typeof dropLast !== 'boolean')
      throw new ValueError('batches', `dropLast is ${shown(dropLast)}, but must be true or false`)
    const together = steps.checkedCollate('batches', collate, dtypes)
    return this.#through('batches', (state) =>
      steps.batches(this.pass(state as PassState | undefined), size, dropLast ?? false, together),
    )
  }

  /** All rows, in memory. */
  async toArray(): Promise<R[]> {
    const rows: R[] = []
    for await (const row of this) rows.push(row)
    return rows
  }
}

function checkDatasets(op: string, others: readonly unknown[]): void {
  for (const other of others)
    if (!(other instanceof IterableDataset))
      throw new ValueError(
        op,
        `takes iterable datasets, but got ${kindOf(other)}; new IterableDataset(() => rows) makes one from an array`,
      )
}

/** An iterator, which may know its position, and an iterable of it. */
function begin<R>(opened: RowSource<R>): { source: RowSource<R>; iterator: Resumed } {
  const some = typeof opened === 'object' && opened !== null
  if (some && typeof (opened as AsyncIterable<R>)[Symbol.asyncIterator] === 'function') {
    const iterator = (opened as AsyncIterable<R>)[Symbol.asyncIterator]()
    return { source: { [Symbol.asyncIterator]: () => iterator }, iterator: iterator as Resumed }
  }
  if (some && typeof (opened as Iterable<R>)[Symbol.iterator] === 'function') {
    const iterator = (opened as Iterable<R>)[Symbol.iterator]()
    return { source: { [Symbol.iterator]: () => iterator }, iterator: iterator as Resumed }
  }
  throw new ValueError('IterableDataset', `the function gave ${kindOf(opened)}, but must give an iterable of rows`)
}
