/**
 * The floors of the library, lowest first, and what each may import. These are the arrows of ARCHITECTURE.md, for
 * TypeScript's imports and for C++'s includes alike. Prints every import that goes another way, or that would fail in a
 * browser, and then fails. Usage: tsx scripts/floors.ts
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'
import { checkBrowser } from './browser-graph.js'

/**
 * A folder or file. It may import itself and, from the floors below it, the folders and files listed beside it. A file
 * belongs to the floor that names it most closely, so a contract between two folders can be a floor of its own. A floor
 * that may import a folder may import everything in it.
 */
export type Floor = readonly [path: string, ...mayImport: string[]]

/** Node's own headers, which are in no folder. */
const nodeHeaders = 'headers of Node'

export const floors: readonly Floor[] = [
  ['lib/core'],
  ['lib/backend', 'lib/core'],
  ['lib/autograd', 'lib/core'],
  ['lib/ops', 'lib/core', 'lib/autograd', 'lib/backend'],
  ['lib/linalg', 'lib/core', 'lib/autograd', 'lib/ops'],
  ['lib/distributions', 'lib/core', 'lib/autograd', 'lib/ops', 'lib/linalg'],
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

  // The parts of core that kernels see, and the parts of a call that the queue holds.
  ['native/generated/dtypes.h'],
  ['native/core/kernel.h', 'native/generated/dtypes.h'],
  ['native/core/call.h', 'native/core/kernel.h'],
  ['native/generated', 'native/core/kernel.h', 'native/core/call.h'],
  ['native/core/dynamic_library.h'],
  ['native/core', 'native/core/kernel.h', 'native/core/call.h', 'native/generated'],
  ['native/cpu', 'native/core/kernel.h', 'native/generated', 'native/core/peak.h', 'native/core/processor.h'],
  ['native/cuda/driver_types.h'],
  ['native/cuda/tensor_map.h'],
  ['native/emulator', 'native/cuda/driver_types.h', 'native/cuda/tensor_map.h'],
  // The CUDA library links with nothing of the addon. Its kernels also compile for the emulator.
  [
    'native/cuda',
    'native/core/kernel.h',
    'native/core/call.h',
    'native/core/dynamic_library.h',
    'native/generated',
    'native/cuda/driver_types.h',
    'native/cuda/tensor_map.h',
    'native/emulator/gpu.h',
    'native/emulator/warpgroups.h',
  ],
  ['native/emulator/tests', 'native/cuda/gpu.h'],
  [nodeHeaders],
  ['native/addon', 'native/core', 'native/cuda/library.h', nodeHeaders],
  // Node's functions in a binary for Windows.
  ['native/windows'],
  ['native/tests', 'native/core', 'native/generated', 'native/cpu', 'native/addon/decoder.cpp'],
]

const root = fileURLToPath(new URL('../', import.meta.url))

function contains(path: string, file: string): boolean {
  return file === path || file.startsWith(`${path}/`)
}

function floorOf(file: string, list: readonly Floor[]): Floor | undefined {
  return list.filter(([path]) => contains(path, file)).sort(([a], [b]) => b.length - a.length)[0]
}

/** The faults of the list itself: an arrow that leads up, or nowhere. */
export function checkFloors(list: readonly Floor[] = floors): string[] {
  return list.flatMap(([floor, ...mayImport], i) =>
    mayImport
      .filter((path) => !list.slice(0, i).some(([below]) => contains(below, path) || contains(path, below)))
      .map((path) => `${floor} may import ${path}, which stands on no floor below it`),
  )
}

interface Import {
  readonly line: number
  /** The name as it is written. */
  readonly name: string
  /** The path from the root, or null if the file is not in this repository. */
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

/** The faults in the imports of one file, whose path begins at the root. */
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

/** The faults in the list and in all files of lib and native. */
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
