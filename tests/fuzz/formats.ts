/**
 * Reads mutated files of weights. Each gives tensors of the shapes that it names, or a ValueError that names the file; none takes
 * long, and all together take little memory.
 *
 * `tsx formats.ts SEED SECONDS FILE [COUNT]`: writes what it is about to read into FILE, as base64, so that a crash or a hang can be
 * told; ends after so many files, if that is sooner.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { OutOfMemoryError, openTensors, ValueError } from '../../lib/index.js'
import { isFileDType } from '../../lib/io/source.js'
import { randomOf } from '../cases/case.js'
import { mutations } from './mutations.js'

const [, , seedText = '1', secondsText = '5', path = '', countText = 'Infinity'] = process.argv
const random = randomOf(Number(seedText))
const { below, pick, changed } = mutations(random)

/** A file takes a thousandth of this where nothing else runs. */
const longMilliseconds = 5000
const moreMemory = 300_000_000

const folder = mkdtempSync(join(tmpdir(), 'firesteel-fuzz-'))
const mutant = join(folder, 'mutant')

function insist(holds: boolean, what: string): void {
  if (!holds) throw new Error(what)
}

const names = ['state.pt', 'state-legacy.pt', 'checkpoint.pt', 'refuse-print.pt']
const originals = [...names.map((name) => `torch/${name}`), 'gguf/small.gguf'].map((name) =>
  readFileSync(new URL(`../models/data/${name}`, import.meta.url)),
)

/** Bytes that bend a pickle or a directory: instructions, lengths and indices. */
function bent(bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes)
  for (let changes = pick([1, 1, 2, 4, 8]); changes > 0 && copy.length > 4; changes--) {
    const at = below(copy.length - 4)
    if (random() < 0.4) copy.writeUInt32LE(pick([0, 1, 0xff, 0xffff, 0x7fffffff, 0xffffffff]), at)
    else copy[at] = pick([0x28, 0x30, 0x52, 0x62, 0x68, 0x71, 0x75, 0x74, 0x85, 0x8a, 0x2e, 0x32, below(256)])
  }
  return copy
}

async function check(): Promise<boolean> {
  const started = Date.now()
  try {
    const source = await openTensors(mutant)
    try {
      for (const name of source.names) {
        const { dtype, shape } = source.spec(name) as { dtype: string; shape: readonly number[] }
        if (!isFileDType(dtype)) continue
        const { data } = await source.read(name)
        const bytes = { q8_0: 34 / 32, q4_0: 18 / 32 }[dtype as string] ?? 1
        insist(
          data.length === shape.reduce((count, size) => count * size, bytes),
          `${name} has ${data.length} elements`,
        )
      }
    } finally {
      await source.close()
    }
    return true
  } catch (error) {
    const ours = error instanceof ValueError || error instanceof OutOfMemoryError
    insist(
      ours && error.message.includes(mutant),
      `${error instanceof Error ? error.stack : error}: does not name the file`,
    )
    insist((error as Error).message.length < 2000, 'the message is endless')
    return false
  } finally {
    insist(Date.now() - started < longMilliseconds, `${Date.now() - started} ms`)
  }
}

let [done, read] = [0, 0]
const before = process.memoryUsage.rss()
const end = Date.now() + 1000 * Number(secondsText)
while (Date.now() < end && done < Number(countText)) {
  const original = pick(originals)
  let bytes = random() < 0.7 ? bent(original) : original
  if (random() < 0.4) bytes = changed(bytes, bytes.length)
  writeFileSync(mutant, bytes)
  if (path !== '') writeFileSync(path, bytes.toString('base64'))
  if (await check()) read++
  done++
}
const more = process.memoryUsage.rss() - before
insist(more < moreMemory, `${more} bytes more than before`)
insist(read > 0 && read < done, `${read} of ${done} were read`)
rmSync(folder, { recursive: true })
process.stdout.write(`${done} files, of which ${read} were read\n`)
