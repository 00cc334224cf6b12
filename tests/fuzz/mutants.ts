/**
 * The loop of all fuzzers of files: a mutant of a file is written, read and judged, one kind of file after another. No
 * reading may take long, and all together may take little memory.
 *
 * Programs that call `fuzz` run as `tsx PROGRAM SEED SECONDS FILE [COUNT] [KIND]`. They write each mutant into FILE as
 * base64 before they read it, so that a crash or a hang can be traced. They end after SECONDS, or after COUNT files.
 * All kinds take turns unless KIND names one.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { OutOfMemoryError, ValueError } from '../../lib/index.js'
import { randomOf } from '../cases/case.js'
import { mutations } from './mutations.js'

const [, , seedText = '1', secondsText = '5', last = '', countText = 'Infinity', named = 'all'] = process.argv

/** The processor's time, because everything waits on a busy machine. A file takes a thousandth of this. */
const longMilliseconds = 5000
/** Bytes. */
const moreMemory = 300_000_000
const filesPerLook = 500
/** Whether a caller waits for reports of progress. */
const tells = process.env['FIRESTEEL_FUZZ_PROGRESS'] === '1'

export const random = randomOf(Number(seedText))
export const { below, pick, changed } = mutations(random)

/** A folder that is deleted at the end, and the file in it to which mutants are written. */
export const folder = mkdtempSync(join(tmpdir(), 'firesteel-fuzz-'))
export const mutant = join(folder, 'mutant')

/** A separate folder for files that are read together. */
export function folderFor(name: string): string {
  const path = join(folder, name)
  mkdirSync(path)
  return path
}

export function insist(holds: boolean, what: string): void {
  if (!holds) throw new Error(what)
}

/** One change or several, in the first `size` bytes. */
export function mutated(original: Buffer, within = original.length): Buffer {
  let bytes: Buffer = Buffer.from(original)
  for (let changes = pick([1, 1, 1, 2, 5]); changes > 0; changes--) bytes = changed(bytes, within)
  return bytes
}

/** The text of a refusal. Throws for an error that is not Firesteel's, does not name the file, or is endless. */
export function refusalOf(error: unknown, path: string): string {
  const ours = error instanceof ValueError || error instanceof OutOfMemoryError
  insist(
    ours && error.message.includes(path),
    `${error instanceof Error ? error.stack : error}: is no refusal of the file`,
  )
  const { message } = error as Error
  insist(message.length < 2000, 'the message is endless')
  return message
}

export interface Kind {
  /** The next mutant. */
  readonly make: () => Buffer
  /** The path to which it is written, by default `mutant`. */
  readonly path?: () => string
  /** Reads the written file, and returns whether it was accepted. Throws for anything that no reader may do. */
  readonly read: (bytes: Buffer) => Promise<boolean>
}

const processorMilliseconds = () => {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}

export async function fuzz(kinds: { readonly [name: string]: Kind }): Promise<void> {
  const chosen = named === 'all' ? Object.values(kinds) : [kinds[named]]
  let [done, read, slowest] = [0, 0, 0]
  const before = process.memoryUsage.rss()
  const checkMemory = () => {
    const more = process.memoryUsage.rss() - before
    insist(more < moreMemory, `${more} bytes more than before, after ${done} files`)
  }
  const end = Date.now() + 1000 * Number(secondsText)
  while (Date.now() < end && done < Number(countText)) {
    // Kinds take turns, so that each has its share of a count.
    const kind = chosen[done % chosen.length]
    if (kind === undefined) throw new Error(`there are no files ${named}; there are ${Object.keys(kinds).join(', ')}`)
    const bytes = kind.make()
    writeFileSync(kind.path?.() ?? mutant, bytes)
    if (last !== '') writeFileSync(last, bytes.toString('base64'))
    const started = processorMilliseconds()
    if (await kind.read(bytes)) read++
    const took = processorMilliseconds() - started
    slowest = Math.max(slowest, took)
    insist(took < longMilliseconds, `${took} ms`)
    done++
    if (done % filesPerLook === 0) {
      checkMemory()
      if (tells) process.stdout.write(`${done} files\n`)
    }
  }
  checkMemory()
  insist(read > 0 && read < done, `${read} of ${done} were read`)
  rmSync(folder, { recursive: true })
  const more = Math.max(0, process.memoryUsage.rss() - before)
  process.stdout.write(
    `${done} files, of which ${read} were read; ${(processorMilliseconds() / 1000).toFixed(0)} s of processor time, ` +
      `the slowest file ${slowest.toFixed(0)} ms, ${(more / 1e6).toFixed(0)} MB more at the end\n`,
  )
}
