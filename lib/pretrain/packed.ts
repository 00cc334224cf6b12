/**
 * Several documents in one row, so that little of a batch is padding, with everything that attention needs to keep them
 * apart.
 */
import { isIterable } from '../core/engine.js'
import { kindOf, shown, ValueError } from '../core/errors.js'
import { checkOptions, type OptionNames } from '../core/options.js'
import { checkEntries, mostEntries } from '../core/room.js'
import type { Tensor } from '../core/tensor.js'
import { Dataset } from '../data/dataset.js'
import { IterableDataset, type PassState, type RowSource } from '../data/iterable.js'
import { DataLoader } from '../data/loader.js'
import { fromTypedArray } from '../ops/creation.js'

/** Marks labels that are not learned. */
const ignored = -100

/** The document number of padding, which only padding attends to. */
const padding = -1

/** A document, as `chatRows` and tokenizers give them. */
export interface PackableRow {
  readonly ids: ArrayLike<number>
  /** The id of each token that is learned, and -100 for others. Default: all tokens are learned. */
  readonly labels?: ArrayLike<number>
}

export interface PackedOptions {
  /** Tokens of a packed row. */
  readonly length: number
  /** Packed rows in a batch. Default 1. */
  readonly batchSize?: number
  /**
   * The number of documents that are packed together, the longest first, each into the fullest row that has room.
   * Default 1000.
   */
  readonly buffer?: number
  /**
   * The treatment of documents that are longer than a row: an error (default), or a split into documents of that
   * length.
   */
  readonly long?: 'refuse' | 'split'
  /** Leave out a last batch with fewer rows. Default false. */
  readonly dropLast?: boolean
}

const names: OptionNames<PackedOptions> = {
  length: true,
  batchSize: true,
  buffer: true,
  long: true,
  dropLast: true,
}

/** A row of several documents, and its used length. */
export interface PackedRow {
  readonly ids: Int32Array
  readonly labels: Int32Array
  readonly positions: Int32Array
  readonly documents: Int32Array
}

/**
 * A batch for `model.loss(ids, { labels, positions, documents })` of models that predict the next token. All four
 * tensors are int32 [B, T].
 */
export interface PackedBatch {
  /** 0 for padding. */
  readonly ids: Tensor
  /** -100 at the first token of each document, because nothing before it predicts it, and for padding. */
  readonly labels: Tensor
  /** The position of each token in its document. */
  readonly positions: Tensor
  /** The document's number in its row, from 0; -1 for padding. */
  readonly documents: Tensor
}

const op = 'packed'

interface Piece {
  /** The place of the document among those packed together. */
  readonly order: number
  readonly ids: ArrayLike<number>
  readonly labels: ArrayLike<number>
}

interface State {
  /** The place where the current group of documents begins. */
  readonly rows: PassState
  /** The number of the group's packed rows that were returned so far. */
  readonly given: number
}

/**
 * Batches of packed rows: `trainer.fit(packed(rows, { length: 1024, batchSize: 2 }))`. Each document lies within one
 * row, and its tokens attend to no other document. So the summed loss is that of the documents one by one. Checkpoints
 * record the position. Throws ValueError, with the document's number, for a document without tokens, and for one that
 * is longer than a row unless `long` is 'split'.
 */
export function packed(
  rows: Dataset<PackableRow, unknown> | RowSource<PackableRow>,
  options: PackedOptions,
): DataLoader<PackedRow, PackedBatch> {
  checkOptions(op, options, names)
  const { length, batchSize, buffer = 1000, long = 'refuse', dropLast } = options
  if (!Number.isSafeInteger(length) || length < 2)
    throw new ValueError(op, `length is ${shown(length)}, but must be a number of tokens, at least 2`)
  checkEntries(op, length, mostEntries, 'tokens in a row', 'give a smaller length')
  if (!Number.isSafeInteger(buffer) || buffer < 1)
    throw new ValueError(op, `buffer is ${shown(buffer)}, but must be a number of documents, at least 1`)
  checkEntries(op, buffer, mostEntries, 'documents in memory', 'give a smaller buffer')
  if (long !== 'refuse' && long !== 'split')
    throw new ValueError(op, `long is ${shown(long)}, but must be 'refuse' or 'split'`)
  const source = sourceOf(rows)
  const packedRows = new IterableDataset((from) =>
    rowsOf(source, { length, buffer, splits: long === 'split' }, from as State | undefined),
  )
  return new DataLoader<PackedRow, PackedBatch>(packedRows, {
    ...(batchSize !== undefined && { batchSize }),
    ...(dropLast !== undefined && { dropLast }),
    collate: (batch) => together(batch, length),
  })
}

function sourceOf(rows: Dataset<PackableRow, unknown> | RowSource<PackableRow>): IterableDataset<PackableRow> {
  if (rows instanceof IterableDataset) return rows
  if (rows instanceof Dataset) return rows.stream()
  if (!isIterable(rows) || 'next' in rows)
    throw new ValueError(
      op,
      `rows are ${kindOf(rows)}, but must be rows that can be read in each pass: a list, a dataset, or new IterableDataset(() => rows())`,
    )
  return new IterableDataset(() => rows)
}

interface Packing {
  readonly length: number
  readonly buffer: number
  readonly splits: boolean
}

function rowsOf(source: IterableDataset<PackableRow>, packing: Packing, from?: State) {
  const rows = source.pass(from?.rows)
  let start: PassState = rows.state()
  let given = from?.given ?? 0
  async function* all(): AsyncGenerator<PackedRow, void, void> {
    let number = start.given
    try {
      for (let more = true; more; given = 0) {
        start = rows.state()
        const pieces: Piece[] = []
        for (let count = 0; count < packing.buffer; count++) {
          const { done, value } = await rows.next()
          more = !done
          if (done) break
          piecesOf(value, number++, packing, pieces)
        }
        const bins = fill(pieces, packing.length)
        while (given < bins.length) yield rowOf(bins[given++] as readonly Piece[], packing.length)
      }
    } finally {
      await rows.return()
    }
  }
  return Object.assign(all(), { state: (): State => ({ rows: start, given }) })
}

/** Adds a document to the pieces, whole or split. */
function piecesOf(row: PackableRow, number: number, { length, splits }: Packing, pieces: Piece[]): void {
  const { ids, labels = ids } = (row ?? {}) as Partial<PackableRow>
  if (!isList(ids) || !isList(labels))
    throw new ValueError(
      op,
      `row ${number} is ${kindOf(row)}, but must have ids, and may have labels: lists of numbers`,
    )
  if (ids.length === 0) throw new ValueError(op, `row ${number} has no tokens; leave it out by filter`)
  if (labels.length !== ids.length)
    throw new ValueError(op, `row ${number} has ${ids.length} ids, but ${labels.length} labels; give one for each`)
  if (ids.length <= length) {
    pieces.push({ order: pieces.length, ids, labels })
    return
  }
  if (!splits)
    throw new ValueError(
      op,
      `row ${number} has ${ids.length} tokens, but a packed row has ${length}; give a larger length, cut rows before, or give long: 'split'`,
    )
  const [allIds, allLabels] = [Array.from(ids), Array.from(labels)]
  for (let at = 0; at < ids.length; at += length)
    pieces.push({ order: pieces.length, ids: allIds.slice(at, at + length), labels: allLabels.slice(at, at + length) })
}

const isList = (value: unknown): value is ArrayLike<number> =>
  typeof value === 'object' && value !== null && Number.isSafeInteger((value as ArrayLike<number>).length)

/**
 * Best fit, with the longest first. Rows, and documents in them, then come in the order in which the documents were
 * read.
 */
function fill(pieces: readonly Piece[], length: number): readonly (readonly Piece[])[] {
  /** Bins by the room they have left. */
  const byRoom = new Map<number, Piece[][]>()
  const rooms: number[] = []
  const keep = (bin: Piece[], room: number) => {
    const list = byRoom.get(room)
    if (list !== undefined) list.push(bin)
    else {
      byRoom.set(room, [bin])
      rooms.splice(firstAtLeast(rooms, room), 0, room)
    }
  }
  const bins: Piece[][] = []
  for (const piece of [...pieces].sort((a, b) => b.ids.length - a.ids.length || a.order - b.order)) {
    const size = piece.ids.length
    const at = firstAtLeast(rooms, size)
    const room = rooms[at]
    const list = room === undefined ? undefined : byRoom.get(room)
    const bin = list?.pop() ?? []
    if (room === undefined) bins.push(bin)
    else if (list?.length === 0) {
      byRoom.delete(room)
      rooms.splice(at, 1)
    }
    bin.push(piece)
    keep(bin, (room ?? length) - size)
  }
  for (const bin of bins) bin.sort((a, b) => a.order - b.order)
  return bins.sort(([a], [b]) => (a as Piece).order - (b as Piece).order)
}

function firstAtLeast(ascending: readonly number[], value: number): number {
  let [low, high] = [0, ascending.length]
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((ascending[middle] as number) < value) low = middle + 1
    else high = middle
  }
  return low
}

function rowOf(pieces: readonly Piece[], length: number): PackedRow {
  const ids = new Int32Array(length)
  const labels = new Int32Array(length).fill(ignored)
  const positions = new Int32Array(length)
  const documents = new Int32Array(length).fill(padding)
  let at = 0
  for (const [document, piece] of pieces.entries()) {
    ids.set(piece.ids, at)
    labels.set(piece.labels, at)
    labels[at] = ignored
    for (let t = 0; t < piece.ids.length; t++) positions[at + t] = t
    documents.fill(document, at, at + piece.ids.length)
    at += piece.ids.length
  }
  return { ids, labels, positions, documents }
}

function together(rows: readonly PackedRow[], length: number): PackedBatch {
  const column = (name: keyof PackedRow): Tensor => {
    const all = new Int32Array(rows.length * length)
    for (const [i, row] of rows.entries()) all.set(row[name], i * length)
    return fromTypedArray(all, [rows.length, length])
  }
  return {
    ids: column('ids'),
    labels: column('labels'),
    positions: column('positions'),
    documents: column('documents'),
  }
}
