/** JSON from a file of unknown origin: read in full within bounds, or refused. */
import { ValueError } from '../core/errors.js'
import { InputFile } from './input.js'

/** The bytes of a page of text. A larger file is something else. */
const mostBytes = 2 ** 20

/** The deepest nesting, so that callers may walk the value by recursion. */
const deepest = 64

/** The depth to which lists and objects of a JSON text are nested. */
export function nesting(text: string): number {
  let [depth, most, quoted] = [0, 0, false]
  for (let i = 0; i < text.length; i++) {
    const character = text[i]
    if (quoted) {
      if (character === '\\') i++
      else if (character === '"') quoted = false
    } else if (character === '"') quoted = true
    else if (character === '[' || character === '{') most = Math.max(most, ++depth)
    else if (character === ']' || character === '}') depth--
  }
  return most
}

/**
 * The value in a JSON file of at most `most` bytes (UTF-8; default 1 MiB), nested at most 64 deep. Throws a ValueError
 * that tells what is at the path instead: no file, a directory, pipe or device, something too large or too deep, or
 * something that is not JSON.
 */
export async function readJson(op: string, path: string, most: number = mostBytes): Promise<unknown> {
  const file = await InputFile.open(op, path)
  let bytes: Uint8Array
  try {
    if (file.size > most)
      throw new ValueError(
        op,
        `${path} has ${file.size} bytes, but a JSON file of its kind has at most ${most}; give the path of such a file`,
      )
    bytes = await file.head(most)
  } finally {
    await file.close()
  }
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    throw new ValueError(op, `${path} is not JSON: it is not UTF-8 text`)
  }
  const depth = nesting(text)
  if (depth > deepest)
    throw new ValueError(op, `${path} nests lists and objects ${depth} deep, but at most ${deepest} deep is read`)
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new ValueError(op, `${path} is not JSON (${(error as Error).message})`)
  }
}
