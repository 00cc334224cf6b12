/**
 * Reads mutated files of weights: PyTorch's and GGUF. Each must give tensors of the shapes that it names, or a
 * ValueError that names the file. `mutants.ts` says how to call this.
 */
import { readFileSync } from 'node:fs'
import { openTensors } from '../../lib/index.js'
import { isFileDType } from '../../lib/io/source.js'
import { below, changed, fuzz, insist, type Kind, mutant, pick, random, refusalOf } from './mutants.js'

const original = (name: string) => readFileSync(new URL(`../models/data/${name}`, import.meta.url))
const torch = ['state.pt', 'state-legacy.pt', 'checkpoint.pt', 'refuse-print.pt'].map((name) =>
  original(`torch/${name}`),
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
    refusalOf(error, mutant)
    return false
  }
}

const kindOf = (originals: readonly Buffer[]): Kind => ({
  make() {
    const bytes = random() < 0.7 ? bent(pick(originals)) : pick(originals)
    return random() < 0.4 ? changed(bytes, bytes.length) : bytes
  },
  read: check,
})

await fuzz({ pt: kindOf(torch), gguf: kindOf([original('gguf/small.gguf')]) })
