// Prints the sources that native/sources.json names, one to a line, and its flags, for binding.gyp, CMakeLists.txt and
// shell scripts. Usage: node scripts/list-sources.cjs <list>...   (addon, core, kernels; flags.all, flags.kernels, ...)
//
// An entry that ends in "/" stands for all .cpp files in that folder and below; sources are paths from the package's root.
//
// With --avx512 it prints 1 or 0: whether a build of this checkout has AVX-512 kernels. A build leaves them out if the
// machine could not run them, which saves a third of the time. FIRESTEEL_INSTRUCTION_SETS=all has them built, as
// releases do, and FIRESTEEL_INSTRUCTION_SETS=avx2 leaves them out.
const { readdirSync, readFileSync } = require('node:fs')
const path = require('node:path')
const sources = require('../native/sources.json')

const native = path.join(__dirname, '../native')

/** The .cpp files of a folder of native and below, in an order that does not depend on the file system. */
function filesOf(folder) {
  return readdirSync(path.join(native, folder), { withFileTypes: true })
    .flatMap((entry) => {
      const name = `${folder}${entry.name}`
      return entry.isDirectory() ? filesOf(`${name}/`) : name.endsWith('.cpp') ? [name] : []
    })
    .sort()
}

/** The members of a list, in the form in which they are printed. */
function membersOf(name) {
  const [group, member] = name.split('.')
  const list = member === undefined ? sources[group] : sources[group]?.[member]
  if (!Array.isArray(list)) throw new Error(`native/sources.json has no ${name}`)
  if (member !== undefined) return list
  return list.flatMap((entry) => (entry.endsWith('/') ? filesOf(entry) : [entry])).map((source) => `native/${source}`)
}

/** Whether this machine runs AVX-512; true if this cannot be told. */
function runsAvx512() {
  try {
    return /\bavx512f\b/.test(readFileSync('/proc/cpuinfo', 'utf8'))
  } catch {
    return true
  }
}

function hasAvx512() {
  const wanted = process.env.FIRESTEEL_INSTRUCTION_SETS || undefined
  if (wanted !== undefined && wanted !== 'all' && wanted !== 'avx2')
    throw new Error(`FIRESTEEL_INSTRUCTION_SETS is ${wanted}, but must be all or avx2`)
  return wanted === undefined ? runsAvx512() : wanted === 'all'
}

module.exports = { membersOf }

for (const name of require.main === module ? process.argv.slice(2) : []) {
  if (name === '--avx512') console.log(hasAvx512() ? 1 : 0)
  else for (const member of membersOf(name)) console.log(member)
}
