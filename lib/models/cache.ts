/** Keys and values of the columns that a decoder has read, in memory that is allocated once and written in place. */
import { noGrad } from '../autograd/mode.js'
import { formatShape, ShapeError, shown, ValueError } from '../core/errors.js'
import { listOf } from '../core/options.js'
import { keep, outsideFrames, scope } from '../core/scope.js'
import { Tensor } from '../core/tensor.js'
import type { Prompt } from '../nn/prompt.js'
import { fromTypedArray, zeros } from '../ops/creation.js'
import { indexSelect } from '../ops/indexing/index.js'
import { copyInto } from '../ops/inplace.js'
import { cat, clone, narrow } from '../ops/shape/index.js'

/** The number of columns whose rows of a table are computed together. */
const columnsOfTable = 256

/** The view of a layer's queries: keys and values [B, H, T, D] of the columns from `first` on. */
export interface Seen {
  readonly keys: Tensor
  readonly values: Tensor
  readonly first: number
}

/**
 * Columns of a memory [B, H, T, D]. They are a view rather than an operator, because each layer makes four of them for
 * every token, and none needs a graph.
 */
function columnsIn({ storage, sizes, steps, offset }: Tensor, from: number, count: number): Tensor {
  const [b, h, , d] = sizes as readonly [number, number, number, number]
  return new Tensor(storage, [b, h, count, d], steps, offset + from * (steps[2] as number))
}

/** The view of a layer's queries after the new columns, which are parts of it, have been written. */
export interface Placed extends Seen {
  readonly newKeys: Tensor
  readonly newValues: Tensor
}

function filled(placed: Placed, k: Tensor, v: Tensor): Seen {
  copyInto(placed.newKeys, k, 'KvCache')
  copyInto(placed.newValues, v, 'KvCache')
  return placed
}

/**
 * One layer's memory. A layer with a window keeps the columns that its next query sees, and moves them to the front
 * when it reaches the end.
 */
class LayerCache {
  #keys: Tensor
  #values: Tensor
  readonly #window: number | undefined
  /** The column of the first kept one, and the number of kept ones. */
  #first = 0
  #count = 0

  constructor(k: Tensor, v: Tensor, capacity: number, window: number | undefined) {
    const room = window === undefined ? capacity : Math.min(capacity, 2 * window)
    const memory = ({ sizes, dtype, device }: Tensor) =>
      outsideFrames(() =>
        keep(zeros([sizes[0] as number, sizes[1] as number, room, sizes[3] as number], { dtype, device })),
      )
    this.#keys = memory(k)
    this.#values = memory(v)
    this.#window = window
  }

  append(k: Tensor, v: Tensor): Seen {
    const [count, added] = [this.#count, k.sizes[2] as number]
    const placed = this.place(added)
    if (placed !== null) return filled(placed, k, v)
    const kept = Math.min(count, (this.#window as number) - 1)
    // There are more columns at once than there is room for: they see each other, and the last of them are kept.
    const whole = (memory: Tensor, more: Tensor) => cat([narrow(memory, 2, count - kept, kept), more], 2)
    const seen = { keys: whole(this.#keys, k), values: whole(this.#values, v), first: this.#first + count - kept }
    const last = Math.min(kept + added, (this.#window as number) - 1)
    const skipped = kept + added - last
    this.#first = seen.first + skipped
    this.#count = 0
    if (last > 0) filled(this.#next(last), narrow(seen.keys, 2, skipped, last), narrow(seen.values, 2, skipped, last))
    return seen
  }

  /**
   * Reserves room for more columns after the existing ones. Null if there is too little, even without the columns that
   * no query sees.
   */
  place(added: number): Placed | null {
    const room = this.#keys.sizes[2] as number
    if (this.#count + added <= room) return this.#next(added)
    const kept = Math.min(this.#count, (this.#window as number) - 1)
    if (!(kept + added <= room)) return null
    this.#retain(kept)
    return this.#next(added)
  }

  #next(added: number): Placed {
    const at = this.#count
    this.#count += added
    const [keys, values] = [this.#keys, this.#values]
    return {
      newKeys: columnsIn(keys, at, added),
      newValues: columnsIn(values, at, added),
      keys: columnsIn(keys, 0, this.#count),
      values: columnsIn(values, 0, this.#count),
      first: this.#first,
    }
  }

  /** Moves the last columns to the front. */
  #retain(kept: number): void {
    const from = this.#count - kept
    for (const memory of [this.#keys, this.#values])
      if (kept > 0) copyInto(narrow(memory, 2, 0, kept), clone(narrow(memory, 2, from, kept)), 'KvCache')
    this.#first += from
    this.#count = kept
  }

  reorder(rows: readonly number[]): void {
    const index = fromTypedArray(Int32Array.from(rows), [rows.length], { device: this.#keys.device })
    const pick = (memory: Tensor): Tensor => {
      if (rows.length !== memory.sizes[0]) {
        const picked = outsideFrames(() => keep(indexSelect(memory, 0, index)))
        memory.dispose()
        return picked
      }
      const used = narrow(memory, 2, 0, this.#count)
      if (this.#count > 0) copyInto(used, indexSelect(used, 0, index), 'KvCache')
      return memory
    }
    this.#keys = pick(this.#keys)
    this.#values = pick(this.#values)
  }

  dispose(): void {
    this.#keys.dispose()
    this.#values.dispose()
  }
}

/**
 * The keys and values that a decoder computed, for up to `capacity` columns, prompt and new tokens together. A model
 * fills it when it is called with `{ cache }` under `noGrad`. Its next call then needs only the new columns.
 * `dispose()` frees it.
 */
export class KvCache {
  readonly capacity: number
  readonly #layers: (LayerCache | undefined)[] = []
  /** Rows that invocations of adapters have reached, [B, 1], by the invocation's name. */
  readonly #reached = new Map<string, Tensor>()
  readonly #tables = new Map<object, { readonly from: number; readonly tables: readonly Tensor[] }>()
  #length = 0
  #rows: number | null = null
  /** The prompt whose columns come before all others. */
  #prompt: Prompt | null = null

  constructor(capacity: number) {
    if (!Number.isSafeInteger(capacity) || capacity < 1)
      throw new ValueError('KvCache', `capacity is ${shown(capacity)}, but must be a positive integer`)
    this.capacity = capacity
  }

  /** The number of its columns, without those of a learned prompt. */
  get length(): number {
    return this.#length
  }

  /** Throws if a call's ids [B, T] do not fit after the existing columns, or if the call has a different prompt. */
  check(op: string, ids: Tensor, prompt: Prompt | null = null): void {
    const [rows = 0, columns = 0] = ids.sizes
    if (this.#length === 0) this.#prompt = prompt
    else if (this.#prompt !== prompt) {
      const called = (of: Prompt | null) => (of === null ? 'no prompt' : `the prompt '${of.adapterName}'`)
      throw new ValueError(
        op,
        `the cache was filled with ${called(this.#prompt)} before the tokens, but now there is ${called(prompt)}; make another cache`,
      )
    }
    if (this.#rows !== null && this.#rows !== rows)
      throw new ShapeError(op, `ids are ${formatShape(ids.sizes)}, but the cache has ${this.#rows} rows`, [ids.sizes])
    if (this.#length + columns > this.capacity)
      throw new ValueError(
        op,
        `${columns} columns do not fit after the ${this.#length} in a cache of ${this.capacity}; make a larger one`,
      )
  }

  /** Appends keys and values [B, H, T, D] of a layer. Returns the columns that its queries may see. */
  append(layer: number, k: Tensor, v: Tensor, window?: number): Seen {
    return noGrad(() => this.#layer(layer, k, v, window).append(k, v))
  }

  /**
   * Room for keys and values of this shape after the existing ones, which the caller must write at once. Null if a
   * window leaves too little room for them: use `append` then.
   */
  place(layer: number, k: Tensor, v: Tensor, window?: number): Placed | null {
    return noGrad(() => this.#layer(layer, k, v, window).place(k.sizes[2] as number))
  }

  #layer(layer: number, k: Tensor, v: Tensor, window: number | undefined): LayerCache {
    this.#rows = k.sizes[0] as number
    this.#layers[layer] ??= new LayerCache(k, v, this.capacity + (this.#prompt?.tokens ?? 0), window)
    return this.#layers[layer] as LayerCache
  }

  /**
   * The row of a column in tables [columns, ..]. `make` computes them for a run of columns, because a table for each
   * single token would cost a call of every operator in it. Tables live as long as the cache, one set for each `key`.
   */
  rowOf(key: object, column: number, make: (from: number, count: number) => readonly Tensor[]): readonly Tensor[] {
    const from = column - (column % columnsOfTable)
    let found = this.#tables.get(key)
    if (found?.from !== from) {
      for (const table of found?.tables ?? []) table.dispose()
      found = { from, tables: scope(() => noGrad(() => make(from, columnsOfTable).map((table) => keep(table)))) }
      this.#tables.set(key, found)
    }
    return found.tables.map((table) => narrow(table, 0, column - from, 1))
  }

  reachedBy(name: string): Tensor | null {
    return this.#length === 0 ? null : (this.#reached.get(name) ?? null)
  }

  noteReached(name: string, reached: Tensor): void {
    const before = this.#reached.get(name)
    this.#reached.set(
      name,
      noGrad(() => outsideFrames(() => keep(clone(reached)))),
    )
    before?.dispose()
  }

  /** Records that all layers now have these columns. */
  advance(columns: number): void {
    this.#length += columns
  }

  /**
   * Row i takes the place of the former row `rows[i]`, for beams. If the number of rows changes, new memory is
   * allocated.
   */
  reorder(given: readonly number[]): void {
    const most = this.#rows ?? 0
    const rows = listOf('KvCache.reorder', 'rows', given, 'a list of places')
    if (rows.length === 0 || rows.some((row) => !Number.isInteger(row) || row < 0 || row >= most))
      throw new ValueError('KvCache.reorder', `rows are ${shown(rows)}, but must be places among the ${most} rows`)
    if (rows.length === most && rows.every((row, i) => row === i)) return
    // The copies of a step are freed at once, because a text has many steps.
    scope(() =>
      noGrad(() => {
        for (const layer of this.#layers) layer?.reorder(rows)
        for (const [name, reached] of this.#reached) {
          const index = fromTypedArray(Int32Array.from(rows), [rows.length], { device: reached.device })
          this.noteReached(name, indexSelect(reached, 0, index))
        }
      }),
    )
    this.#rows = rows.length
  }

  dispose(): void {
    for (const layer of this.#layers) layer?.dispose()
    this.#layers.length = 0
    for (const reached of this.#reached.values()) reached.dispose()
    this.#reached.clear()
    for (const { tables } of this.#tables.values()) for (const table of tables) table.dispose()
    this.#tables.clear()
  }

  [Symbol.dispose](): void {
    this.dispose()
  }
}
