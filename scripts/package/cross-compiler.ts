/**
 * The cross compiler for platform packages: Zig's clang, which brings the headers and the symbols of every glibc since
 * 2.17, musl, and the C++ run time. It is installed from PyPI, by version, into its own environment.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const zigVersion = '0.17.1'
const folder = fileURLToPath(new URL('../../.tools/zig/', import.meta.url))
const python = join(folder, 'bin/python')

function run(command: string, args: readonly string[]): { readonly ok: boolean; readonly output: string } {
  const { status, error, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8' })
  return { ok: status === 0, output: error?.message ?? `${stdout}${stderr}`.trim() }
}

function install(): void {
  const found = ['python3', 'python'].find((name) => run(name, ['-c', 'import venv, ensurepip']).ok)
  if (found === undefined)
    throw new Error(
      `The cross compiler (ziglang ${zigVersion}) is installed from PyPI, for which Python 3 with venv is needed: ` +
        'install python3 and python3-venv.',
    )
  rmSync(folder, { recursive: true, force: true })
  const made = run(found, ['-m', 'venv', folder])
  if (!made.ok) throw new Error(`Python could not make an environment in ${folder}: ${made.output}`)
  const installed = run(python, ['-m', 'pip', 'install', '--quiet', `ziglang==${zigVersion}`])
  if (!installed.ok) throw new Error(`pip could not install ziglang ${zigVersion} into ${folder}: ${installed.output}`)
}

/** The path of the compiler's program. Installs this version if it is missing. */
export function crossCompiler(): string {
  const where = ['-c', 'import os, ziglang; print(os.path.join(os.path.dirname(ziglang.__file__), "zig"))']
  for (const last of [false, true]) {
    const { ok, output } = existsSync(python) ? run(python, where) : { ok: false, output: '' }
    if (ok && run(output, ['version']).output === zigVersion) return output
    if (!last) install()
  }
  throw new Error(`ziglang ${zigVersion} was installed into ${folder}, but does not run there; remove that folder`)
}
