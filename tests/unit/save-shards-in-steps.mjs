// Saves a model over another, and copies the folder before each rename and each removal, as a kill would leave it there.
// Prints the copies. Arguments: the folder, and the most bytes of a shard before and after.
import fs from 'node:fs'

// The functions are replaced before the library takes them.
const { renameSync, rmSync } = fs
const copies = []
const copy = (folder) => {
  copies.push(`${folder}-${copies.length}`)
  fs.cpSync(folder, copies.at(-1), { recursive: true })
}
let folder = null
fs.renameSync = (from, to) => {
  if (folder !== null) copy(folder)
  renameSync(from, to)
}
fs.rmSync = (path, options) => {
  if (folder !== null) copy(folder)
  rmSync(path, options)
}

const { Generator } = await import('../../lib/index.ts')
const { gpt2 } = await import('../../lib/models/index.ts')
const sizes = { vocabSize: 40, layers: 2, width: 16, heads: 2, context: 32, dropout: 0 }
const save = (seed, path, maxShardSize) =>
  gpt2({ ...sizes, generator: new Generator(seed) }).save(path, { log: () => {}, maxShardSize })

for (const [path, before, after] of JSON.parse(process.argv[2])) {
  await save(1, path, before)
  folder = path
  await save(2, path, after)
  folder = null
}
process.stdout.write(JSON.stringify(copies))
