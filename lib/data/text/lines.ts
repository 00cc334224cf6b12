/** Lines of text, read in pieces: no file is in memory, whatever its size. */
import { shown, ValueError } from '../../core/errors.js'
import { checkOptions } from '../../core/options.js'
import { InputFile } from '../../io/input.js'
import { kindBytes, kindOf as kindOfFile } from '../../io/kinds.js'
import type { IterableDataset } from '../iterable.js'
import { type Files, type Placed, rowsOfFiles } from './files.js'
import { repeatedKey } from './json.js'

/** The position of the next line. */
export interface LinePlace {
  /** The place in the file, in bytes. */
  readonly offset: number
  /** The line's number, from 1. */
  readonly line: number
}

export interface Line {
  /** The text without its line end. */
  readonly text: string
  /** The line's number, from 1. */
  readonly line: number
  readonly next: LinePlace
}

export interface LineOptions {
  /**
   * The most bytes of a line, or of another unit that makes a row. More are an error, because they would fill the
   * memory. Default 16 MiB.
   */
  readonly longest?: number
}

const pieceBytes = 1 << 16
const [newline, carriageReturn] = [0x0a, 0x0d]

export function checkLongest(op: string, longest = 1 << 24): number {
  if (!Number.isSafeInteger(longest) || longest < 1 || longest > 2 ** 29)
    throw new ValueError(op, `longest is ${shown(longest)}, but must be a number of bytes from 1 to ${2 ** 29}`)
  return longest
}

/** An error that names the file and the line. */
export function fault(op: string, path: string, line: number, why: string): ValueError {
  return new ValueError(op, `${path}:${line}: ${why}`)
}

/**
 * The lines of a file from a position on, in UTF-8. They end with
 *  or \r
 *  and, if `loneReturns` are line ends, also with \r.
 */
export async function* linesOf(
  op: string,
  path: string,
  from: LinePlace | null,
  longest: number,
  loneReturns = false,
): AsyncGenerator<Line, void, void> {
  const file = await InputFile.open(op, path)
  try {
    if (from !== null && from.offset > file.size)
      throw new ValueError(
        op,
        `the state is at byte ${from.offset} of ${path}, which now has ${file.size} bytes; continue with the same file`,
      )
    const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
    let { offset, line } = from ?? { offset: 0, line: 1 }
    const lineOf = async (bytes: Uint8Array, end: number): Promise<Line> => {
      let text: string
      try {
        text = decoder.decode(bytes.at(-1) === 0x0d ? bytes.subarray(0, -1) : bytes)
      } catch {
        const kind = kindOfFile(await file.head(kindBytes))
        throw fault(op, path, line, kind ? `the file is ${kind}` : 'the line is not UTF-8; save the file as UTF-8')
      }
      const own = line++
      // This is the mark that some programs put before UTF-8.
      if (own === 1 && text.startsWith('\ufeff')) text = text.slice(1)
      return { text, line: own, next: { offset: end, line } }
    }
    /** The beginning of a line, from pieces before this one. */
    let begun: Uint8Array[] = []
    let length = 0
    /**
     * Whether a \r at this place of a piece is the first half of a line end, which is at the
     * .
     */
    const beforeNewline = async (piece: Uint8Array, at: number) => {
      if (at + 1 < piece.length) return piece[at + 1] === newline
      const next = offset + at + 1
      return next < file.size && (await file.read('a piece', next, Uint8Array, 1))[0] === newline
    }
    const endIn = async (piece: Uint8Array, start: number): Promise<number> => {
      const end = piece.indexOf(newline, start)
      if (!loneReturns) return end
      for (let at = piece.indexOf(carriageReturn, start); at >= 0; at = piece.indexOf(carriageReturn, at + 1)) {
        if (end >= 0 && at > end) break
        if (!(await beforeNewline(piece, at))) return at
      }
      return end
    }
    while (offset < file.size) {
      const piece = await file.read('a piece', offset, Uint8Array, Math.min(pieceBytes, file.size - offset))
      let start = 0
      for (let end = await endIn(piece, 0); end >= 0; end = await endIn(piece, start)) {
        begun.push(piece.subarray(start, end))
        length += end - start
        if (length > longest) throw tooLong(op, path, line, longest)
        start = end + 1
        const bytes = begun.length === 1 ? (begun[0] as Uint8Array) : Buffer.concat(begun)
        begun = []
        length = 0
        yield await lineOf(bytes, offset + start)
      }
      offset += piece.length
      if (start === piece.length) continue
      begun.push(piece.subarray(start))
      length += piece.length - start
      if (length > longest) throw tooLong(op, path, line, longest)
    }
    if (length > 0) yield await lineOf(Buffer.concat(begun), offset)
  } finally {
    await file.close()
  }
}

export function tooLong(op: string, path: string, line: number, longest: number): ValueError {
  return fault(op, path, line, `it has more than ${longest} bytes without an end; if that is intended, raise longest`)
}

export interface TextOptions extends LineOptions {
  /**
   * The unit of a row: a 'line' (default); a 'paragraph', which is the lines up to an empty one; or a 'file' with all
   * its lines. Empty lines, and files with nothing else, are not rows.
   */
  readonly by?: 'line' | 'paragraph' | 'file'
}

/**
 * Rows of text: the lines of files in UTF-8, their paragraphs, or whole files. Throws ValueError for other bytes, with
 * file and line.
 */
export function textFiles(files: Files, options: TextOptions = {}): IterableDataset<string> {
  const op = 'textFiles'
  const { by = 'line', longest } = checkOptions(op, options, { by: true, longest: true })
  const read = { line: textLines, paragraph: paragraphs, file: wholeFiles }
  if (typeof by !== 'string' || !Object.hasOwn(read, by))
    throw new ValueError(op, `by is ${shown(by)}, but must be 'line', 'paragraph' or 'file'`)
  const most = checkLongest(op, longest)
  return rowsOfFiles(op, files, (path, from: LinePlace | null) => read[by](op, path, from, most))
}

async function* wholeFiles(
  op: string,
  path: string,
  from: LinePlace | null,
  longest: number,
): AsyncGenerator<Placed<string, LinePlace>> {
  const lines: string[] = []
  let length = 0
  let place: LinePlace = from ?? { offset: 0, line: 1 }
  for await (const { text, line, next } of linesOf(op, path, from, longest)) {
    place = next
    lines.push(text)
    length += Buffer.byteLength(text) + 1
    if (length > longest + 1) throw tooLong(op, path, line, longest)
  }
  const text = lines.join('\n')
  if (text.trim() !== '') yield { row: text, place }
}

async function* textLines(
  op: string,
  path: string,
  from: LinePlace | null,
  longest: number,
): AsyncGenerator<Placed<string, LinePlace>> {
  for await (const { text, next } of linesOf(op, path, from, longest))
    if (text.trim() !== '') yield { row: text, place: next }
}

async function* paragraphs(
  op: string,
  path: string,
  from: LinePlace | null,
  longest: number,
): AsyncGenerator<Placed<string, LinePlace>> {
  let lines: string[] = []
  let length = 0
  let place: LinePlace = { offset: 0, line: 1 }
  for await (const { text, line, next } of linesOf(op, path, from, longest)) {
    place = next
    if (text.trim() !== '') {
      lines.push(text)
      length += Buffer.byteLength(text)
      if (length > longest) throw tooLong(op, path, line, longest)
    } else if (lines.length > 0) {
      yield { row: lines.join('\n'), place }
      lines = []
      length = 0
    }
  }
  if (lines.length > 0) yield { row: lines.join('\n'), place }
}

/**
 * Rows of JSON lines: a value on each line, with empty lines left out. The type R is not checked. Throws ValueError,
 * with file and line, for a line that is not JSON, or that has a key twice in one object.
 */
export function jsonl<R = unknown>(files: Files, options: LineOptions = {}): IterableDataset<R> {
  const op = 'jsonl'
  const longest = checkLongest(op, checkOptions(op, options, { longest: true }).longest)
  return rowsOfFiles(op, files, async function* (path, from: LinePlace | null) {
    for await (const { text, line, next } of linesOf(op, path, from, longest)) {
      if (text.trim() === '') continue
      let row: R
      try {
        row = JSON.parse(text) as R
      } catch (error) {
        throw fault(op, path, line, `the line is not valid JSON: ${(error as Error).message.slice(0, 200)}`)
      }
      const twice = repeatedKey(text, row)
      if (twice !== null)
        throw fault(op, path, line, `the key ${JSON.stringify(twice)} occurs twice in one object; leave one out`)
      yield { row, place: next }
    }
  })
}
