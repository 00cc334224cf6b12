/**
 * States in one file: a safetensors file whose metadata hold everything but tensors. Its last four bytes, a separate
 * tensor, are the CRC-32 of all bytes before them. So a file that was cut, or changed by a bad disk, is never mistaken
 * for a whole one.
 */
import { isFiresteelError, namedAs, StateDictError, shown, ValueError } from '../core/errors.js'
import type { Resumable } from '../core/generator.js'
import { preparedState } from '../core/resumable.js'
import { creationNames, place } from '../ops/placement.js'
import { type Chunks, type NewFile, writeAtomically } from './atomic.js'
import { InputFile } from './input.js'
import { nesting } from './json.js'
import { membersOf } from './members.js'
import { SafetensorsFile, safetensorsChunks } from './safetensors.js'
import type { SourceSpec } from './source.js'
import { crc32 } from './system.js'
import { comingTensors, tensorsIn } from './tensors.js'
import { putTogether, takeApart } from './tree.js'

const treeKey = 'firesteel.checkpoint'
const sumName = 'firesteel.crc32'
const sumBytes = 4

/** The most levels of JSON. A value is written at most 60 deep, and each of its levels takes up to three in JSON. */
const deepest = 256

/** Bytes that are summed or read at a time, so that the event loop gets its turns. */
const pieceBytes = 2 ** 20

/**
 * Encodes a value of plain data and tensors, as it is now, for a file. The reads of the tensors are queued when this
 * returns.
 */
export function checkpointFile(path: string, value: unknown, op: string): NewFile {
  const { json, tensors } = takeApart(op, value, [sumName])
  let sum = 0
  const coming = namedAs(op, () => comingTensors(tensors, op))
  coming.set(sumName, { dtype: 'U8', shape: [sumBytes], data: () => new Uint8Array(Uint32Array.of(sum).buffer) })
  const chunks = safetensorsChunks(coming, { [treeKey]: JSON.stringify(json) }, op)
  return {
    path,
    chunks: inPieces(chunks, (piece) => {
      sum = crc32(piece, sum)
    }),
  }
}

/** The bytes in pieces. Each is shown before it is written. */
async function* inPieces(chunks: Chunks, seen: (piece: Uint8Array) => void): AsyncGenerator<Uint8Array> {
  for await (const { buffer, byteOffset, byteLength } of chunks)
    for (let from = 0; from < byteLength; from += pieceBytes) {
      const piece = new Uint8Array(buffer, byteOffset + from, Math.min(pieceBytes, byteLength - from))
      seen(piece)
      yield piece
    }
}

/** Throws ValueError unless all bytes of the file are the written ones. */
async function checkSum(op: string, path: string): Promise<void> {
  const file = await InputFile.open(op, path)
  try {
    const end = file.size - sumBytes
    const buffer = new Uint8Array(pieceBytes)
    let sum = 0
    for (let from = 0; from < end; from += pieceBytes) {
      const piece = buffer.subarray(0, Math.min(pieceBytes, end - from))
      await file.fill('the checkpoint', from, piece)
      sum = crc32(piece, sum)
    }
    const own = new Uint8Array(sumBytes)
    if (end >= 0) await file.fill('the checksum', end, own)
    if (end < 0 || new Uint32Array(own.buffer)[0] !== sum)
      throw new ValueError(op, `${path} is not a whole checkpoint: its bytes do not match its checksum`)
  } finally {
    await file.close()
  }
}

/**
 * The value in a checkpoint's file, with tensors on the default device. Throws ValueError for a file that is not whole.
 */
export async function readCheckpoint(path: string, op: string): Promise<unknown> {
  const file = await SafetensorsFile.open(path, op)
  try {
    const json = file.metadata.get(treeKey)
    if (json === undefined || file.spec(sumName) === undefined)
      throw new ValueError(
        op,
        `${path} is a safetensors file, but not a checkpoint; read it with loadTensors, or with load() of a module`,
      )
    await checkSum(op, path)
    // If the default device lacks a dtype, tensors are made on the reference device, which has all. Each part copies
    // its own from there.
    const { device } = place(op, {}, creationNames)
    const wanted = new Map(
      file.names.map((name) => {
        const { dtype, shape } = file.spec(name) as SourceSpec
        return [
          name,
          {
            shape,
            device:
              dtype === 'F64' && !device.supports('float64')
                ? place(op, { device: 'reference' }, creationNames).device
                : device,
          },
        ]
      }),
    )
    const tensors = await tensorsIn(file, wanted, op)
    tensors.get(sumName)?.dispose()
    tensors.delete(sumName)
    if (nesting(json) > deepest)
      throw new ValueError(op, `${path}: the values in its metadata are nested deeper than ${deepest}`)
    let tree: unknown
    try {
      tree = JSON.parse(json)
    } catch {
      throw new ValueError(op, `${path}: the values in its metadata are not JSON`)
    }
    return putTogether(op, tree, tensors)
  } finally {
    await file.close()
  }
}

/**
 * Parts of a checkpoint by name: objects with a state (a module, an optimiser, a schedule, a loader, a generator), and
 * plain data.
 */
export interface CheckpointParts {
  readonly [name: string]: unknown
}

function isResumable(value: unknown): value is Resumable<unknown> {
  const { stateDict, loadStateDict } = (value ?? {}) as { readonly [name: string]: unknown }
  return typeof stateDict === 'function' && typeof loadStateDict === 'function'
}

function partsOf(op: string, parts: unknown): Map<string, unknown> {
  if (typeof parts !== 'object' || parts === null || Array.isArray(parts))
    throw new ValueError(op, `the parts are ${shown(parts)}, but must be an object: { model, optimizer, epoch }`)
  return membersOf(op, 'the parts', parts)
}

/**
 * Writes states, as they are now, to one file, whole or not at all: `saveCheckpoint('run.ckpt', { model, optimizer,
 * schedule, loader, epoch: 3 })`. The state is written of objects with `stateDict()` and `loadStateDict()`. All other
 * parts must be numbers, texts, lists, plain objects, Maps, typed arrays or tensors. Training may go on while the file
 * is written. Throws ValueError for a value that no file can hold, and names its place.
 */
export async function saveCheckpoint(path: string, parts: CheckpointParts): Promise<void> {
  const op = 'saveCheckpoint'
  const states = Object.fromEntries(
    [...partsOf(op, parts)].map(([name, part]) => [name, isResumable(part) ? part.stateDict() : part]),
  )
  const { chunks } = checkpointFile(path, states, op)
  await writeAtomically(path, chunks, op)
}

/**
 * Reads a file of `saveCheckpoint`. Loads the states into the parts with their names, and returns everything saved, by
 * name. Throws ValueError for a file that is not whole or lacks a part, and StateDictError if a state does not fit.
 * Nothing has changed then, unless the part is of your own class: parts before it may already have their states.
 */
export async function loadCheckpoint(
  path: string,
  parts: CheckpointParts = {},
): Promise<{ readonly [name: string]: unknown }> {
  const op = 'loadCheckpoint'
  const own = partsOf(op, parts)
  for (const [name, part] of own)
    if (!isResumable(part))
      throw new ValueError(op, `${name} is ${shown(part)}, but must have loadStateDict(); plain data is in the result`)
  const saved = (await readCheckpoint(path, op)) as { readonly [name: string]: unknown }
  if (typeof saved !== 'object' || saved === null || Array.isArray(saved))
    throw new ValueError(
      op,
      `${path} holds ${shown(saved)}, but must hold parts by name, as saveCheckpoint writes them`,
    )
  for (const [name] of own)
    if (!Object.hasOwn(saved, name))
      throw new ValueError(op, `${path} has no ${name}; it has ${Object.keys(saved).join(', ') || 'nothing'}`)
  const within = <R>(name: string, fn: () => R): R => {
    try {
      return namedAs(op, fn)
    } catch (error) {
      if (error instanceof StateDictError) throw new StateDictError(error.problems, op, `${path}, ${name}`)
      if (isFiresteelError(error)) throw error
      // A part of the program's own threw something else, which stays the cause.
      throw Object.assign(new ValueError(op, `${path}, ${name}: its loadStateDict threw ${String(error)}`), {
        cause: error,
      })
    }
  }
  const loads = [...own].map(([name, part]) => {
    return [name, within(name, () => preparedState(part as Resumable<unknown>, saved[name]))] as const
  })
  for (const [name, load] of loads) within(name, load)
  return saved
}
