/**
 * npm's `prepare`: after `npm ci` in a checkout (and for a git dependency) builds dist and the addon. Without a C++
 * compiler it says so in one line and succeeds, for the reference backend serves then; with FIRESTEEL_REQUIRE=native
 * that is an error.
 */
import { spawnSync } from 'node:child_process'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { buildNative } from './build-native.mjs'

const root = fileURLToPath(new URL('../', import.meta.url))

function typescriptCompiler() {
  try {
    return createRequire(import.meta.url).resolve('typescript/bin/tsc')
  } catch {
    return null
  }
}

function buildTypescript() {
  const compiler = typescriptCompiler()
  if (compiler === null) return true
  return (
    spawnSync(process.execPath, [compiler, '-p', 'tsconfig.build.json'], { cwd: root, stdio: 'inherit' }).status === 0
  )
}

const built = await buildNative({ quiet: true })
if (built === null) {
  console.error('firesteel: no C++ compiler found, so no native kernels: the slow reference backend will serve')
  if (process.env.FIRESTEEL_REQUIRE === 'native') process.exitCode = 1
} else if (!built) process.exitCode = 1
if (!buildTypescript()) process.exitCode = 1
