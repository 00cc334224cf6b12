/** Threads of this library: each runs a file of its own. */
import type { Worker } from 'node:worker_threads'
import { ValueError } from '../core/errors.js'
import { nodeModule } from '../core/host.js'
import { packageRoot } from '../core/package-root.js'
import { existsSync, join } from '../io/system.js'

/** Files of threads, below the sources and below what the build puts into dist/. */
export type ThreadFile = 'data/worker' | 'text/tokenizer/worker'

/**
 * Starts a thread with this data: from the TypeScript source if the library runs from there, else from dist/. Throws
 * ValueError if the file is missing.
 */
export function startThread(op: string, file: ThreadFile, workerData: unknown): Worker {
  const { Worker: NodeWorker } = nodeModule('node:worker_threads')
  if (import.meta.url.endsWith('.ts')) {
    // A program that runs the sources has tsx, which Node 20 does not load for the first file of a thread.
    // No `new URL(..., import.meta.url)`: bundlers would look for the file in the package, which has no sources.
    const source = JSON.stringify(import.meta.url.replace(/data\/[^/]*$/, `${file}.ts`))
    const code = `import('tsx/esm/api').then(({ register }) => (register(), import(${source})))`
    return new NodeWorker(code, { workerData, eval: true })
  }
  const path = join(packageRoot() ?? '', 'dist', `${file}.js`)
  if (!existsSync(path))
    throw new ValueError(
      op,
      `workers need the file of their threads, which is not at ${path}; exclude firesteel from the bundle, or leave workers out`,
    )
  return new NodeWorker(path, { workerData })
}
