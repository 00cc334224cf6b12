// Prints members of native/sources.json for binding.gyp and shell scripts, one a line: lists of sources as paths from the
// package's root, lists of flags as they are. Usage: node scripts/list-sources.cjs <list>...   (flags.all, kernels, ...)
//
// With --avx512 prints 1 or 0: whether a build of this checkout has AVX-512 kernels. It leaves them out where the machine could
// not run them, which saves a third of the time; releases set FIRESTEEL_INSTRUCTION_SETS=all.
const { readFileSync } = require('node:fs')
const sources = require('../native/sources.json')

/** Whether this machine runs AVX-512; true where that cannot be told. */
function runsAvx512() {
  try {
    return /\bavx512f\b/.test(readFileSync('/proc/cpuinfo', 'utf8'))
  } catch {
    return true
  }
}

for (const name of process.argv.slice(2)) {
  if (name === '--avx512') {
    console.log(process.env.FIRESTEEL_INSTRUCTION_SETS === 'all' || runsAvx512() ? 1 : 0)
    continue
  }
  const [group, member] = name.split('.')
  const list = member === undefined ? sources[group] : sources[group][member]
  if (list === undefined) throw new Error(`native/sources.json has no ${name}`)
  for (const entry of list) console.log(member === undefined ? `native/${entry}` : entry)
}
