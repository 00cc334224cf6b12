/**
 * The floors of the house, lowest first, and what each may import: the arrows of ARCHITECTURE.md, for TypeScript's imports
 * and C++'s includes alike. Prints every import that goes another way, or that a browser would fail at, and fails. Usage: tsx scripts/floors.ts
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'
import { checkBrowser } from './browser-graph.js'

/**
 * A folder or file, which may import itself and, of the floors below it, the folders and files beside it. A file belongs to
 * the floor that names it most closely, so that a contract between two folders can be a floor of its own; whoever may
 * import a folder may import what is within it and below.
 */
export type Floor = readonly [path: string, ...mayImport: string[]]

/** Node's own headers, which stand in no folder. */
const nodeHeaders = 'headers of Node'

export const floors: readonly Floor[] = [
  ['lib/core'],
  ['lib/backend', 'lib/core'],
  ['lib/autograd', 'lib/core'],
  ['lib/ops', 'lib/core', 'lib/autograd', 'lib/backend'],
  ['lib/io', 'lib/core', 'lib/autograd', 'lib/ops'],
  ['lib/nn', 'lib/core', 'lib/autograd', 'lib/ops', 'lib/io'],
  ['lib/optim', 'lib/core', 'lib/autograd', 'lib/backend', 'lib/ops', 'lib/nn'],
  ['lib/data', 'lib/core', 'lib/ops', 'lib/io'],
  ['lib/text', 'lib/core', 'lib/io', 'lib/data'],
  ['lib/images', 'lib/core', 'lib/ops', 'lib/io', 'lib/data'],
  ['lib/train', 'lib/core', 'lib/autograd', 'lib/ops', 'lib/nn', 'lib/optim', 'lib/data', 'lib/io'],
  [
    'lib/models',
    'lib/core',
    'lib/autograd',
    'lib/backend',
    'lib/ops',
    'lib/io',
    'lib/nn',
    'lib/data',
    'lib/train',
    'lib/text',
    'lib/images',
  ],
  ['lib/tasks', 'lib/core', 'lib/autograd', 'lib/ops', 'lib/nn', 'lib/data', 'lib/text', 'lib/train', 'lib/models'],
  [
    'lib/pretrain',
    'lib/core',
    'lib/autograd',
    'lib/ops',
    'lib/nn',
    'lib/data',
    'lib/io',
    'lib/text',
    'lib/train',
    'lib/models',
    'lib/tasks',
  ],
  ['lib/finetune', 'lib/core', 'lib/autograd', 'lib/ops', 'lib/nn', 'lib/train', 'lib/io', 'lib/tasks'],
  ['lib/compare', 'lib/core', 'lib/backend', 'lib/io', 'lib/train'],
  // The public face, which re-exports.
  ['lib/index.ts', 'lib'],
  ['lib/cli', 'lib'],

  // What kernels see, and what the queue holds of a call.
  ['native/generated/dtypes.h'],
  ['native/core/kernel.h', 'native/generated/dtypes.h'],
  ['native/core/call.h', 'native/core/kernel.h'],
  ['native/generated', 'native/core/kernel.h', 'native/core/call.h'],
  ['native/core', 'native/core/kernel.h', 'native/core/call.h', 'native/generated'],
  ['native/cpu', 'native/core/kernel.h', 'native/generated', 'native/core/peak.h', 'native/core/processor.h'],
  ['native/cuda/driver_types.h'],
  ['native/emulator', 'native/cuda/driver_types.h'],
  // The CUDA library links with nothing of the addon. Its kernels compile for the emulator, too.
  [
    'native/cuda',
    'native/core/kernel.h',
    'native/core/call.h',
    'native/generated',
    'native/cuda/driver_types.h',
    'native/emulator/gpu.h',
  ],
  ['native/emulator/tests', 'native/cuda/gpu.h'],
  [nodeHeaders],
  ['native/addon', 'native/core', 'native/cuda/library.h', nodeHeaders],
  ['native/tests', 'native/core', 'native/generated', 'native/cpu', 'native/addon/decoder.cpp'],
]

const root = fileURLToPath(new URL('../', import.meta.url))

function contains(path: string, file: string): boolean {
  return file === path || file.startsWith(`${path}/`)
}

function floorOf(file: string, list: readonly Floor[]): Floor | undefined {
  return list.filter(([path]) => contains(path, file)).sort(([a], [b]) => b.length - a.length)[0]
}

/** What is wrong with the list itself: an arrow that leads up, or nowhere. */
export function checkFloors(list: readonly Floor[] = floors): string[] {
  return list.flatMap(([floor, ...mayImport], i) =>
    mayImport
      .filter((path) => !list.slice(0, i).some(([below]) => contains(below, path) || contains(path, below)))
      .map((path) => `${floor} may import ${path}, which stands on no floor below it`),
  )
}

interface Import {
  readonly line: number
  /** As it is written. */
  readonly name: string
  /** From the root; null where it is no file of the house. */
  readonly file: string | null
}

function typescriptImports(file: string, text: string): Import[] {
  return ts.preProcessFile(text, true, true).importedFiles.map(({ fileName: name, pos }) => {
    const line = text.slice(0, pos).split('\n').length
    if (name === 'firesteel' || name.startsWith('firesteel/')) return { line, name, file: 'lib/index.ts' }
    return { line, name, file: name.startsWith('.') ? join(dirname(file), name.replace(/\.js$/, '.ts')) : null }
  })
}

function includes(file: string, text: string): Import[] {
  return text.split('\n').flatMap((row, i) => {
    const [, quote, name] = /^\s*#\s*include\s*([<"])([^>"]+)[>"]/.exec(row) ?? []
    if (name === undefined) return []
    const line = i + 1
    if (quote === '"') return [{ line, name, file: join(dirname(file), name) }]
    const ofNode = /^(napi|node|node_.*|js_native_api.*|uv|v8.*)\.h$/.test(name) || name.startsWith('uv/')
    return [{ line, name, file: ofNode ? nodeHeaders : null }]
  })
}

/** What is wrong with the imports of one file, whose path is from the root. */
export function checkFile(file: string, text: string, list: readonly Floor[] = floors): string[] {
  const floor = floorOf(file, list)
  if (floor === undefined) return [`${file}: it stands on no floor; scripts/floors.ts lists them all`]
  const [own, ...mayImport] = floor
  const rule = `${own} may import ${mayImport.join(', ') || 'only itself'} (scripts/floors.ts)`
  const imports = /\.(h|cpp|cu)$/.test(file) ? includes(file, text) : typescriptImports(file, text)
  return imports
    .filter(({ file: imported }) => {
      if (imported === null) return false
      const target = floorOf(imported, list)
      if (target === undefined) return true
      const isBelow = list.indexOf(target) < list.indexOf(floor)
      return target !== floor && !(isBelow && mayImport.some((path) => contains(path, imported)))
    })
    .map(({ line, name }) => `${file}:${line}: imports '${name}', but ${rule}`)
}

/** What is wrong with the list and all files of lib and native. */
export function checkHouse(): string[] {
  const files = ['lib', 'native'].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
      .filter((name) => /\.(ts|mjs|h|cpp|cu)$/.test(name))
      .map((name) => `${folder}/${name.replaceAll('\\', '/')}`),
  )
  const gone = floors.map(([path]) => path).filter((path) => path !== nodeHeaders && !existsSync(join(root, path)))
  return [
    ...checkFloors(),
    ...gone.map((path) => `${path} is a floor of scripts/floors.ts, but there is nothing of that name`),
    ...files.flatMap((file) => checkFile(file, readFileSync(join(root, file), 'utf8'))),
  ]
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const faults = [...checkHouse(), ...(await checkBrowser())]
  for (const fault of faults) console.error(fault)
  if (faults.length > 0) process.exitCode = 1
}
