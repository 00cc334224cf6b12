/**
 * The part of the library that a browser would load: the files that its entries reach by imports. None of them may
 * import a module of Node or a package, because a browser refuses such an import. None may use a global name of Node,
 * because a browser does not have it. `nodeModule` of lib/core/host.ts is the way around this.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

/**
 * Entries that promise to load in a browser. The command line does not, nor does lib/data/text, which only reads files.
 */
export const browserEntries = [
  'lib/index.ts',
  'lib/finetune/index.ts',
  'lib/data/datasets/index.ts',
  'lib/distributions/index.ts',
  'lib/linalg/index.ts',
]

/** Files that may use names of Node: the seam itself, and code behind it that runs only in Node. */
const ofNode = ['lib/core/host.ts', 'lib/backend/native/']

const globalName = /(?<![\w.$'"`#])(process|Buffer|global|require|setImmediate|__dirname|__filename)\s*[.([]/g
const comments = /\/\*[\s\S]*?\*\/|^\s*\/\/.*$|\s\/\/ .*$/gm

/** The global names of Node that a text uses without declaring them itself. */
function globalsOf(text: string): readonly string[] {
  const plain = text.replace(comments, '')
  const used = new Set([...plain.matchAll(globalName)].map(([, name = '']) => name))
  return [...used].filter(
    (name) => !new RegExp(`\\b(import|const|let|class|function)\\b[^;=]*?\\b${name}\\b`).test(plain),
  )
}

const root = fileURLToPath(new URL('../', import.meta.url))

/** Everything that would fail in a browser, as `file: fault`. The entries' paths begin at the folder. */
export async function checkBrowser(entries = browserEntries, folder = root): Promise<string[]> {
  // The transpiler knows which imports remain once types are gone.
  const { metafile } = await build({
    absWorkingDir: folder,
    entryPoints: [...entries],
    outdir: 'out',
    bundle: true,
    write: false,
    metafile: true,
    format: 'esm',
    platform: 'node',
    packages: 'external',
    logLevel: 'silent',
  })
  const why = 'which no browser has (scripts/browser-graph.ts)'
  return Object.entries(metafile.inputs).flatMap(([file, { imports }]) => {
    const outside = imports.filter(({ external, path }) => external && path !== '<runtime>')
    const mayName = ofNode.some((path) => file.startsWith(path))
    const names = mayName ? [] : globalsOf(readFileSync(join(folder, file), 'utf8'))
    return [
      ...outside.map(({ path }) => `${file}: imports '${path}', ${why}`),
      ...names.map((name) => `${file}: uses '${name}', ${why}`),
    ]
  })
}
