/** Preloaded into programs that call the added operators: notes the name of each that was called in a file. */
import { appendFileSync } from 'node:fs'

const seen = new Set()
globalThis.witness = (name) => {
  if (!seen.has(name)) appendFileSync(process.env.FIRESTEEL_WITNESS, `${name}\n`)
  seen.add(name)
}
