/**
 * Builds the addon with node-gyp into build/Release: all cores, ccache where it is installed, nothing downloaded.
 * Usage: node scripts/build-native.mjs [--quiet]; quiet writes to build-native.log and shows it only on failure.
 */
import { spawnSync } from 'node:child_process'
import { mkdirSync, openSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../', import.meta.url))

function works(command) {
  return spawnSync(command, ['--version'], { stdio: 'ignore' }).status === 0
}

/** The C++ compiler to call, or null. CXX says which, and whether through ccache. */
function findCompiler() {
  if (process.env.CXX) return process.env.CXX
  const compiler = ['g++', 'clang++', 'c++'].find(works)
  if (compiler === undefined) return null
  return works('ccache') ? `ccache ${compiler}` : compiler
}

/** Null if there is no compiler, else whether the build succeeded. */
export function buildNative({ quiet = false } = {}) {
  const compiler = findCompiler()
  if (compiler === null) return null
  const nodeGyp = createRequire(import.meta.url).resolve('node-gyp/bin/node-gyp.js')
  const nodedir = `${root}native/gyp`
  mkdirSync(`${root}build`, { recursive: true })
  const log = `${root}build/build-native.log`
  const output = quiet ? openSync(log, 'w') : 'inherit'
  const { status } = spawnSync(
    process.execPath,
    [nodeGyp, 'configure', 'build', `--nodedir=${nodedir}`, '-j', String(availableParallelism())],
    // The variable wins over the option, and a machine may have set it.
    {
      cwd: root,
      stdio: ['ignore', output, output],
      env: { ...process.env, CXX: compiler, npm_config_nodedir: nodedir },
    },
  )
  if (status !== 0 && quiet) console.error(readFileSync(log, 'utf8'))
  return status === 0
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const built = buildNative({ quiet: process.argv.includes('--quiet') })
  if (built === null) console.error('no C++ compiler found: install g++ or clang++, or name one in CXX')
  process.exitCode = built ? 0 : 1
}
