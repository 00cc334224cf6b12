/**
 * Builds the addon with node-gyp into build/Release, with all cores and with ccache if it is installed. It downloads
 * nothing. Usage: node scripts/build-native.mjs [--quiet]; quiet writes to build-native.log and shows it only on
 * failure.
 */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, openSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../', import.meta.url))

function works(command) {
  return spawnSync(command, ['--version'], { stdio: 'ignore' }).status === 0
}

/** The C++ compiler to call, or null. CXX names it, and says whether to call it through ccache. */
function findCompiler() {
  if (process.env.CXX) return process.env.CXX
  const compiler = ['g++', 'clang++', 'c++'].find(works)
  if (compiler === undefined) return null
  return works('ccache') ? `ccache ${compiler}` : compiler
}

/**
 * Precompiles native/cpu/prefix.h for each instruction set, into build/precompiled. Returns the environment for a build
 * with such headers. If this fails, the build reads the header itself, and reports what is wrong with it.
 */
async function precompile(compiler) {
  const { flags } = JSON.parse(readFileSync(`${root}native/sources.json`, 'utf8'))
  const avx512 = spawnSync(process.execPath, ['scripts/list-sources.cjs', '--avx512'], { cwd: root, encoding: 'utf8' })
  const x64 = avx512.stdout.trim() === '1' ? ['base', 'avx2', 'avx512'] : ['base', 'avx2']
  const isas = process.arch === 'arm64' ? ['neon'] : x64
  const runs = isas.map((isa) => {
    const options = [...flags.all, ...flags.kernels, ...flags[isa], `-DFIRESTEEL_ISA=${isa}`]
    const command = ['../native/cpu/prefix.h', `precompiled/${isa}`, ...compiler.split(' '), ...options]
    return once(spawn('../scripts/precompile.sh', command, { cwd: `${root}build`, stdio: 'ignore' }), 'close')
  })
  await Promise.allSettled(runs)
  const wanted = `${root}build/precompiled/${isas[0]}/prefix.h.gch.flags`
  if (!existsSync(wanted)) return {}
  return {
    CCACHE_SLOPPINESS: 'pch_defines,time_macros',
    CCACHE_PCH_EXTSUM: '1',
    CXXFLAGS: `${process.env.CXXFLAGS ?? ''} ${readFileSync(wanted, 'utf8').trim()}`,
  }
}

/** Null if there is no compiler, else whether the build succeeded. */
export async function buildNative({ quiet = false } = {}) {
  const compiler = findCompiler()
  if (compiler === null) return null
  const nodeGyp = createRequire(import.meta.url).resolve('node-gyp/bin/node-gyp.js')
  const nodedir = `${root}native/gyp`
  mkdirSync(`${root}build`, { recursive: true })
  const settings = await precompile(compiler.replace(/^ccache /, ''))
  const log = `${root}build/build-native.log`
  const output = quiet ? openSync(log, 'w') : 'inherit'
  const { status } = spawnSync(
    process.execPath,
    [nodeGyp, 'configure', 'build', `--nodedir=${nodedir}`, '-j', String(availableParallelism())],
    // The variable overrides the option, and a machine may have set it.
    {
      cwd: root,
      stdio: ['ignore', output, output],
      // ccache counts paths from here, so that one clone can use what another has compiled.
      env: { CCACHE_BASEDIR: root, ...process.env, ...settings, CXX: compiler, npm_config_nodedir: nodedir },
    },
  )
  if (status !== 0 && quiet) console.error(readFileSync(log, 'utf8'))
  return status === 0
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const built = await buildNative({ quiet: process.argv.includes('--quiet') })
  if (built === null) console.error('no C++ compiler found: install g++ or clang++, or name one in CXX')
  process.exitCode = built ? 0 : 1
}
