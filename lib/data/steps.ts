/**
 * The steps from rows to rows. Each is a generator with a position, which is little more than its source's position.
 */
import { permutation } from '../core/draws.js'
import { kindOf, ValueError } from '../core/errors.js'
import { defaultGenerator, Generator, type GeneratorState } from '../core/generator.js'
import { type Collated, collateFor, type RowDTypes } from './collate.js'
import type { PassState, RowPass } from './iterable.js'

/** The rows that a step reads. */
interface Rows<R> {
  pass(state?: PassState): RowPass<R>
}

type Placed<R, S> = AsyncGenerator<R, void, void> & { state(): S }

const placed = <R, S>(rows: AsyncGenerator<R, void, void>, state: () => S): Placed<R, S> =>
  Object.assign(rows, { state })

export function map<R, T>(rows: RowPass<R>, fn: (row: R) => T | Promise<T>): Placed<T, PassState> {
  async function* mapped() {
    for await (const row of rows) yield await fn(row)
  }
  return placed(mapped(), () => rows.state())
}

export function filter<R>(rows: RowPass<R>, keep: (row: R) => boolean | Promise<boolean>): Placed<R, PassState> {
  async function* kept() {
    for await (const row of rows) if (await keep(row)) yield row
  }
  return placed(kept(), () => rows.state())
}

export interface TakeState {
  readonly left: number
  readonly rows: PassState
}

export function take<R>(dataset: Rows<R>, count: number, from?: TakeState): Placed<R, TakeState> {
  let left = from?.left ?? count
  const rows = dataset.pass(from?.rows)
  async function* taken() {
    if (left === 0) return
    for await (const row of rows) {
      left--
      yield row
      // The check is here, and not before the next row, which may never come.
      if (left === 0) return
    }
  }
  return placed(taken(), () => ({ left, rows: rows.state() }))
}

export function skip<R>(dataset: Rows<R>, count: number, from?: PassState): Placed<R, PassState> {
  let left = from === undefined ? count : 0
  const rows = dataset.pass(from)
  async function* rest() {
    for await (const row of rows)
      if (left > 0) left--
      else yield row
  }
  return placed(rest(), () => rows.state())
}

export interface ShuffleState {
  /** The beginning of the current run, with the generator of its order. */
  readonly rows: PassState
  readonly order: GeneratorState
  /** The number of the run's rows given so far. */
  readonly given: number
  /** The state of the generator from which passes take theirs, if it is the dataset's own. */
  readonly generator?: GeneratorState
}

export function shuffle<R>(
  dataset: Rows<R>,
  buffer: number,
  generator: Generator | undefined,
  from?: ShuffleState,
): Placed<R, ShuffleState> {
  if (from?.generator !== undefined) generator?.loadStateDict(from.generator)
  const order = from === undefined ? (generator ?? defaultGenerator()).split() : new Generator(0)
  if (from !== undefined) order.loadStateDict(from.order)
  const rows = dataset.pass(from?.rows)
  let given = from?.given ?? 0
  let start = { rows: rows.state(), order: order.stateDict() }
  async function* shuffled() {
    try {
      for (let run: R[] = []; ; run = [], given = 0) {
        start = { rows: rows.state(), order: order.stateDict() }
        while (run.length < buffer) {
          const { done, value } = await rows.next()
          if (done) break
          run.push(value)
        }
        const places = permutation(run.length, order, 'shuffle')
        while (given < run.length) yield run[places[given++] as number] as R
        if (run.length < buffer) return
      }
    } finally {
      await rows.return()
    }
  }
  return placed(shuffled(), () => ({
    ...start,
    given,
    ...(generator === undefined ? {} : { generator: generator.stateDict() }),
  }))
}

export interface ConcatState {
  /** The dataset that is being read. */
  readonly dataset: number
  readonly rows: PassState
}

export function concat<R>(datasets: readonly Rows<R>[], from?: ConcatState): Placed<R, ConcatState> {
  let dataset = from?.dataset ?? 0
  let rows = (datasets[dataset] as Rows<R>).pass(from?.rows)
  async function* all() {
    for (;;) {
      yield* rows
      const next = datasets[dataset + 1]
      if (next === undefined) return
      dataset++
      rows = next.pass()
    }
  }
  return placed(all(), () => ({ dataset, rows: rows.state() }))
}

export interface InterleaveState {
  /** The position in each dataset, or null if its rows are used up. */
  readonly rows: readonly (PassState | null)[]
  /** The dataset whose turn is next. */
  readonly turn: number
}

export function interleave<R>(datasets: readonly Rows<R>[], from?: InterleaveState): Placed<R, InterleaveState> {
  const passes = datasets.map((dataset, i): RowPass<R> | null => {
    const state = from?.rows[i]
    return state === null ? null : dataset.pass(state)
  })
  let turn = from?.turn ?? 0
  async function* inTurn() {
    try {
      while (passes.some((pass) => pass !== null)) {
        const own = turn
        turn = (turn + 1) % passes.length
        const result = await passes[own]?.next()
        if (result === undefined) continue
        if (result.done) passes[own] = null
        else yield result.value
      }
    } finally {
      for (const pass of passes) await pass?.return()
    }
  }
  return placed(inTurn(), () => ({ rows: passes.map((pass) => pass?.state() ?? null), turn }))
}

export type Collate<R, B> = (rows: readonly R[]) => B | Promise<B>

/** The function that makes batches: the program's, or the default one with these dtypes. */
export function checkedCollate<R, B>(
  op: string,
  collate: Collate<R, B> | undefined,
  dtypes: RowDTypes | undefined,
): Collate<R, B> {
  if (collate === undefined) return (rows) => collateFor(op, rows, dtypes) as Collated<R> & B
  if (typeof collate !== 'function')
    throw new ValueError(op, `collate is ${kindOf(collate)}, but must be a function of rows`)
  if (dtypes !== undefined)
    throw new ValueError(op, 'dtypes are only for the default collate; choose them within your own collate instead')
  return collate
}

export function batches<R, B>(
  rows: RowPass<R>,
  size: number,
  dropLast: boolean,
  collate: Collate<R, B>,
): Placed<B, PassState> {
  async function* made() {
    let batch: R[] = []
    for await (const row of rows) {
      batch.push(row)
      if (batch.length < size) continue
      yield await collate(batch)
      batch = []
    }
    if (batch.length > 0 && !dropLast) yield await collate(batch)
  }
  return placed(made(), () => rows.state())
}
