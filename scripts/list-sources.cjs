// Prints members of native/sources.json for binding.gyp and shell scripts, one a line: lists of sources as paths from the
// package's root, lists of flags as they are. Usage: node scripts/list-sources.cjs <list>...   (flags.all, kernels, ...)
const sources = require('../native/sources.json')

for (const name of process.argv.slice(2)) {
  const [group, member] = name.split('.')
  const list = member === undefined ? sources[group] : sources[group][member]
  if (list === undefined) throw new Error(`native/sources.json has no ${name}`)
  for (const entry of list) console.log(member === undefined ? `native/${entry}` : entry)
}
