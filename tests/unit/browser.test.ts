/**
 * The library without Node: bundled for browsers, and run with only the globals of a browser. `npm run check:package`
 * trains in a real browser.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createContext, runInContext } from 'node:vm'
import { build } from 'esbuild'
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import * as ours from '../../lib/index.js'
import { browserEntries, checkBrowser } from '../../scripts/browser-graph.js'

type Library = typeof ours

const bundle = build({
  entryPoints: ['lib/index.ts'],
  bundle: true,
  write: false,
  format: 'iife',
  globalName: 'firesteel',
  platform: 'browser',
  keepNames: true,
  logLevel: 'silent',
})

/** A browser without isolation has no SharedArrayBuffer. */
async function inBrowser(globals: object = {}): Promise<{ readonly library: Library; readonly warnings: string[] }> {
  const warnings: string[] = []
  const { outputFiles } = await bundle
  const { AbortController, AbortSignal, atob, btoa, crypto, MessageChannel, performance, TextDecoder, TextEncoder } =
    globalThis
  const context = createContext({
    ...{ AbortController, AbortSignal, atob, btoa, crypto, MessageChannel, performance, TextDecoder, TextEncoder },
    ...{ setTimeout, clearTimeout, queueMicrotask },
    console: { warn: (text: string) => warnings.push(text) },
    ...globals,
  })
  const library = runInContext(
    `delete globalThis.SharedArrayBuffer; ${outputFiles[0]?.text}; firesteel`,
    context,
  ) as Library
  return { library, warnings }
}

/** Losses of a small run with every part of a training: shuffled batches, dropout, a metric, validation. */
async function losses({ nn, optim, ...f }: Library): Promise<readonly number[]> {
  f.manualSeed(3)
  const device = 'reference'
  const data = new f.TensorDataset(f.randn([24, 1, 6, 6], { device }), f.randint(0, 3, [24], { device }))
  const model = new nn.Sequential(
    new nn.Conv2d(1, 4, 3, { device }),
    new nn.ReLU(),
    new nn.Flatten(),
    new nn.Dropout(0.2),
    new nn.Linear(64, 3, { device }),
  )
  const seen: number[] = []
  const trainer = new f.Trainer(model, {
    optimizer: new optim.AdamW(model.parameters(), { lr: 0.01 }),
    loss: nn.functional.crossEntropy,
    metrics: { accuracy: () => f.metrics.accuracy() },
    callbacks: [
      { onEpochEnd: ({ loss, accuracy, validation }) => void seen.push(loss, accuracy, validation?.loss ?? 0) },
    ],
  })
  await trainer.fit(new f.DataLoader(data, { batchSize: 8, shuffle: true }), {
    epochs: 2,
    validation: new f.DataLoader(data, { batchSize: 12 }),
  })
  return seen
}

describe('a browser', () => {
  let library: Library
  let warnings: string[]
  beforeAll(async () => {
    ;({ library, warnings } = await inBrowser())
  })

  it('trains on the reference kernels, without a word, to the losses of Node', async () => {
    expect(library.describeDevice()).toBe('reference kernels in TypeScript: one thread, slow')
    const [there, here] = [await losses(library), await losses(ours)]
    expect(there).toHaveLength(6)
    expect([...there]).toEqual(here)
    expect(warnings).toEqual([])
  })

  it('says of what needs Node that it is not there', async () => {
    expect(library.unavailable('cpu')).toMatch(/^native kernels need Node/)
    expect(library.unavailable('cuda')).toMatch(/^native kernels need Node/)
    expect(() => library.device('cpu')).toThrow(/^\[device\] 'cpu' is not available: native kernels need Node/)
    const weights = new Map([['w', library.zeros([2])]])
    const refused = { name: 'ValueError', message: expect.stringContaining('files need Node') }
    await expect(library.loadTensors('w.safetensors')).rejects.toMatchObject(refused)
    await expect(library.saveTensors('w.safetensors', weights)).rejects.toMatchObject(refused)
    await expect(library.openTensors('folder')).rejects.toMatchObject(refused)
    await expect(library.saveCheckpoint('run', { model: new library.nn.Linear(2, 1) })).rejects.toMatchObject(refused)
    await expect(library.loadCheckpoint('run')).rejects.toMatchObject(refused)
    const model = new library.nn.Linear(2, 1)
    const run = () =>
      new library.Trainer(model, {
        optimizer: new library.optim.SGD(model.parameters(), { lr: 1 }),
        loss: library.nn.functional.mseLoss,
        checkpoints: { folder: 'run' },
      })
    expect(run).toThrow(expect.objectContaining(refused))
    expect(library.progressBar()).toEqual({})
  })

  it('writes and reads the states of metrics as Node does', () => {
    const states = [library, ours].map(({ metrics, tensor }) => {
      const device = 'reference'
      const metric = metrics.accuracy()
      metric.update(tensor([[0.2, 0.8]], { device }) as never, tensor([1], { device, dtype: 'int32' }) as never)
      return metric.stateDict()
    })
    expect(JSON.stringify(states[0])).toMatch(/[A-Za-z0-9+/]{8,}=/)
    expect(JSON.stringify(states[0])).toBe(JSON.stringify(states[1]))
    const resumed = library.metrics.accuracy()
    resumed.loadStateDict(states[1] as never)
    expect(JSON.stringify(resumed.stateDict())).toBe(JSON.stringify(states[1]))
  })

  it('warns in the console', () => {
    const model = new library.nn.Linear(2, 1)
    new library.optim.SGD(model.parameters(), { lr: 1 }).step()
    expect(warnings).toEqual([expect.stringContaining('none of the 2 parameters has a gradient')])
  })

  it('is told from a Node that is too old', async () => {
    await expect(inBrowser({ process: { env: {}, browser: true } })).resolves.toBeDefined()
    const old = { process: { versions: { node: '18.20.0' }, version: 'v18.20.0' } }
    await expect(inBrowser(old)).rejects.toThrow('Node 20.19 or later is needed, or 22.12; this is v18.20.0')
  })
})

describe('what a browser would load', () => {
  let folder = ''
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'firesteel-browser-'))
  })
  afterEach(() => rmSync(folder, { recursive: true }))

  function faults(text: string): Promise<string[]> {
    writeFileSync(join(folder, 'index.ts'), "export * from './b.js'")
    writeFileSync(join(folder, 'b.ts'), text)
    writeFileSync(join(folder, 'c.ts'), 'export class Buffer {}')
    writeFileSync(join(folder, 'tsconfig.json'), '{ "compilerOptions": { "verbatimModuleSyntax": true } }')
    return checkBrowser(['index.ts'], folder)
  }

  it('imports and uses nothing of Node', async () => {
    expect(browserEntries).toContain('lib/index.ts')
    expect(await checkBrowser()).toEqual([])
  })

  it.each([
    ["import { open } from 'node:fs/promises'", "imports 'node:fs/promises'"],
    ["import { type Stats } from 'node:fs'", "imports 'node:fs'"],
    ["export { join } from 'node:path'", "imports 'node:path'"],
    ["const zlib = await import('node:zlib')", "imports 'node:zlib'"],
    ["import fs from 'fs'", "imports 'fs'"],
    ["import bar from 'cli-progress'", "imports 'cli-progress'"],
    ['const { env } = x\nprocess.exit()', "uses 'process'"],
    ["const text = Buffer.from('x')", "uses 'Buffer'"],
    ['setImmediate(() => {})', "uses 'setImmediate'"],
  ])('is refused with %j', async (text, fault) => {
    expect(await faults(text)).toEqual([`b.ts: ${fault}, which no browser has (scripts/browser-graph.ts)`])
  })

  it.each([
    "import type { Stats } from 'node:fs'",
    "export type { Stats } from 'node:fs'",
    "import { Buffer } from './c.js'\nBuffer.of(1)",
    'const x = { process: 1 }.process',
    '/** process.exit() */\nconst x = 1 // process.exit()',
  ])('is allowed with %j', async (text) => {
    expect(await faults(text)).toEqual([])
  })
})
