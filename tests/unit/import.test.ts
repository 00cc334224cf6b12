/**
 * The modules that an import of the library loads. The rest of Node waits until it is used, because every program would
 * wait for it.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { build } from 'esbuild'
import { afterAll, beforeAll, expect, it } from 'vitest'

const folder = mkdtempSync(join(tmpdir(), 'firesteel-import-'))
const library = join(folder, 'library.mjs')

beforeAll(async () => {
  await build({
    entryPoints: [new URL('../../lib/index.ts', import.meta.url).pathname],
    outfile: library,
    bundle: true,
    platform: 'node',
    format: 'esm',
    packages: 'external',
    logLevel: 'error',
  })
})

afterAll(() => rmSync(folder, { recursive: true }))

/** Modules of Node that a program has loaded beyond those of an empty module, and its output. */
function loadedBy(program: string): { readonly modules: readonly string[]; readonly printed: unknown } {
  const code = `await import('data:text/javascript,0')
    const before = new Set(process.moduleLoadList)
    const library = await import(${JSON.stringify(library)})
    const printed = await (${program})(library)
    const modules = process.moduleLoadList.filter((name) => !before.has(name)).map((name) => name.replace(/^\\S+ /, ''))
    console.log(JSON.stringify({ modules, printed }))`
  const child = spawnSync(process.execPath, ['--input-type=module', '-e', code], { encoding: 'utf8' })
  expect(child.stderr).toBe('')
  return JSON.parse(child.stdout)
}

it('opens no stream, and loads neither cryptography nor compression nor promises of files', () => {
  const { modules } = loadedBy('() => null')
  const late = modules.filter((name) =>
    /^(crypto|zlib|stream|tty|net|module|vm|worker_threads|child_process|os|fs\/promises)$/.test(name),
  )
  expect(late).toEqual([])
})

it('leaves what it waits with in order', () => {
  const write = `async ({ saveCheckpoint, loadCheckpoint, setDefaultDevice, tensor }) => {
    setDefaultDevice("reference")
    const path = ${JSON.stringify(join(folder, 'checkpoint'))}
    await saveCheckpoint(path, { x: tensor([1, 2]), step: 3 })
    const { x, step } = await loadCheckpoint(path)
    return [...(await x.data()), step]
  }`
  const { modules, printed } = loadedBy(write)
  expect(printed).toEqual([1, 2, 3])
  expect(modules).toContain('zlib')
})
