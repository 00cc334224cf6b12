/**
 * npm run licences: writes THIRD-PARTY.md, a part of all packages. It lists the work of others in them, and its
 * licences. --check fails if the file is not up to date. Packages come from package-lock.json; the contents of a binary
 * are listed here.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { zigVersion } from './cross-compiler.js'

const root = fileURLToPath(new URL('../../', import.meta.url))
const output = join(root, 'THIRD-PARTY.md')

/** Licences that demand only that their text is included. */
const allowed = new Set(['MIT', 'ISC', '0BSD', 'BSD-2-Clause', 'BSD-3-Clause', 'Apache-2.0', 'BlueOak-1.0.0'])

export interface Lock {
  readonly packages: {
    readonly [path: string]: {
      readonly version?: string
      readonly license?: string
      readonly dependencies?: { readonly [name: string]: string }
      readonly peerDependencies?: { readonly [name: string]: string }
      readonly hasInstallScript?: boolean
    }
  }
}

interface Work {
  readonly name: string
  readonly version: string
  readonly licence: string
}

/** The place where Node finds a package from another package. */
function placeOf(lock: Lock, name: string, from: string): string {
  for (let folder = from; ; folder = folder.replace(/(^|\/)node_modules\/(@[^/]+\/)?[^/]+$/, '')) {
    const path = `${folder === '' ? '' : `${folder}/`}node_modules/${name}`
    if (lock.packages[path] !== undefined) return path
    if (folder === '') throw new Error(`package-lock.json has no ${name}, which ${from || 'the package'} depends on`)
  }
}

function workAt(lock: Lock, path: string): Work {
  const { version = '', license: licence = 'none', hasInstallScript } = lock.packages[path] ?? {}
  const name = path.replace(/^.*node_modules\//, '')
  if (!allowed.has(licence))
    throw new Error(`${name} ${version} has the licence ${licence}; allowed are ${[...allowed].join(', ')}`)
  if (hasInstallScript === true) throw new Error(`${name} ${version} has an install script; none may have one`)
  return { name, version, licence }
}

/** All that npm installs with the package, by name. */
export function installedWith(lock: Lock): readonly Work[] {
  const found = new Map<string, Work>()
  const left: (readonly [name: string, from: string])[] = []
  const needs = (path: string) =>
    left.push(...Object.keys(lock.packages[path]?.dependencies ?? {}).map((name) => [name, path] as const))
  needs('')
  for (let next = left.pop(); next !== undefined; next = left.pop()) {
    const path = placeOf(lock, ...next)
    if (found.has(path)) continue
    found.set(path, workAt(lock, path))
    needs(path)
  }
  return [...found.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
}

const peersOf = (lock: Lock) =>
  Object.keys(lock.packages['']?.peerDependencies ?? {}).map((name) => workAt(lock, placeOf(lock, name, '')))

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  return [head, head.map(() => '---'), ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n')
}

const works = (all: readonly Work[]) =>
  table(
    ['package', 'version', 'licence'],
    all.map(({ name, version, licence }) => [name, version, licence]),
  )

/** The text that the licence of a package in node_modules demands to be included. */
function textOf(name: string, file: string): string {
  return readFileSync(join(root, 'node_modules', name, file), 'utf8')
    .replaceAll('\r\n', '\n')
    .trim()
}

const mit = `Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated documentation files
(the "Software"), to deal in the Software without restriction, including without limitation the rights to use, copy, modify, merge,
publish, distribute, sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is furnished to do so,
subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF
MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR
ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH
THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.`

const llvm = 'Apache-2.0 WITH LLVM-exception'

/** The text of THIRD-PARTY.md. */
export function licences(): string {
  const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as Lock
  const versionOf = (name: string) => workAt(lock, placeOf(lock, name, '')).version
  const carried = [
    ['node-addon-api', versionOf('node-addon-api'), 'MIT', 'headers, compiled in'],
    ['node-api-headers', versionOf('node-api-headers'), 'MIT', 'declarations of Node'],
    ['libc++ and libc++abi', `of Zig ${zigVersion}`, llvm, 'linked in'],
    ['libunwind', `of Zig ${zigVersion}`, llvm, 'linked in'],
    ['compiler_rt', `of Zig ${zigVersion}`, 'MIT', 'linked in; parts were ported from musl, under the MIT licence too'],
  ]
  return `# Works of others

Written by \`npm run licences\`. Firesteel itself is under the Apache License 2.0 (LICENSE).

## Installed with firesteel

npm installs these packages beside it. None runs a script at that.

${works(installedWith(lock))}

Who wants them installs these, which firesteel then uses:

${works(peersOf(lock))}

## In the binaries

The packages \`@firesteel/*\` each hold one binary, in which is, beside Firesteel's own code:

${table(['work', 'version', 'licence', 'how'], carried)}

The exception of LLVM's licence lets compiled parts be handed on without its text. The C library is the system's. A binary that is built
from a clone has the C++ run time of its compiler instead. SIMDe serves tests only.

### node-addon-api

${textOf('node-addon-api', 'LICENSE.md')}

### node-api-headers

${textOf('node-api-headers', 'LICENSE')}

### compiler_rt

The MIT License (Expat)

Copyright (c) Zig contributors

${mit}
`
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const text = licences()
  if (!process.argv.includes('--check')) writeFileSync(output, text)
  else if (readFileSync(output, 'utf8') !== text) {
    console.error('THIRD-PARTY.md is not up to date: npm run licences')
    process.exitCode = 1
  }
}
