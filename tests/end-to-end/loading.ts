/**
 * Measures the loading of a Hugging Face folder beside the reading of its bytes into one buffer: the time, and the peak
 * of memory beside the weights. Each measurement is a process of its own, they take turns, and minima are compared,
 * because the system hands out fresh memory at a speed that varies fivefold.
 *
 * Usage: npx tsx tests/end-to-end/loading.ts [--layers 9] [--turns 7]. A layer has 37 MB in float32, beside 123 MB of
 * embeddings. Fails if loading weights as they are stored takes 1.5 times as long as reading, or a load peaks above 1.1
 * times the weights. Ends with `N passed, N failed`.
 */
import { spawnSync } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, readSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { ones } from '../../lib/index.js'
import { AutoModel, llama } from '../../lib/models/index.js'
import { bundled } from '../program.js'

type Way = 'read' | 'as stored' | 'float32'
type Stored = 'float32' | 'bfloat16'

interface Measured {
  readonly milliseconds: number
  /** Bytes above what the process had before. */
  readonly peak: number
}

const { values: options, positionals } = parseArgs({
  options: { layers: { type: 'string', default: '9' }, turns: { type: 'string', default: '7' } },
  allowPositionals: true,
})

/** Bytes of memory that the process has had at most. */
const peak = () => process.resourceUsage().maxRSS * 1024

async function measured(way: Way, folder: string, stored: Stored): Promise<Measured> {
  const path = join(folder, 'model.safetensors')
  // The library starts its threads, and the models' code is compiled, before anything is timed.
  ones([4]).add(1).toArray()
  const [before, start] = [peak(), performance.now()]
  if (way === 'read') {
    const bytes = Buffer.allocUnsafeSlow(statSync(path).size)
    const file = openSync(path, 'r')
    for (let at = 0; at < bytes.length; ) at += readSync(file, bytes, at, Math.min(bytes.length - at, 2 ** 30), at)
    closeSync(file)
  } else await AutoModel.forCausalLM(folder, { dtype: way === 'as stored' ? stored : way })
  return { milliseconds: performance.now() - start, peak: peak() - before }
}

/**
 * The output of this program in a process of its own. The model is also made in such a process, because a process
 * starts with the peak of memory of its parent.
 */
function inProcess(way: Way | 'make', folder: string, stored: Stored): string {
  const program = bundled(new URL(import.meta.url))
  const args = [program, way, folder, stored, '--layers', options.layers]
  const { stdout, stderr, status } = spawnSync(process.execPath, args, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`a process ended with ${status}: ${stderr}`)
  return stdout
}

const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(0)} MB`
let [passed, failed] = [0, 0]

function check(name: string, value: number, most: number): void {
  if (value <= most) passed++
  else failed++
  console.log(`${value <= most ? 'ok    ' : 'FAILED'} ${name} ${value.toFixed(2)}, at most ${most.toFixed(2)}`)
}

function compare(folder: string, stored: Stored): void {
  const size = statSync(join(folder, 'model.safetensors')).size
  const ways: readonly Way[] = stored === 'float32' ? ['read', 'as stored'] : ['read', 'as stored', 'float32']
  const least = ways.map(() => Number.POSITIVE_INFINITY)
  const most = ways.map(() => 0)
  for (let turn = 0; turn < Number(options.turns); turn++)
    for (const [i, way] of ways.entries()) {
      const run = JSON.parse(inProcess(way, folder, stored)) as Measured
      least[i] = Math.min(least[i] as number, run.milliseconds)
      most[i] = Math.max(most[i] as number, run.peak)
    }
  const reading = least[0] as number
  console.log(`${megabytes(size)} of ${stored}: read in ${reading.toFixed(0)} ms`)
  for (const [i, way] of ways.entries()) {
    if (way === 'read') continue
    const weights = size * (way !== 'as stored' && stored === 'bfloat16' ? 2 : 1)
    const name = `${stored} to ${way === 'as stored' ? stored : way}`
    const time = (least[i] as number) / reading
    if (way === 'as stored') check(`${name}: time of reading times`, time, 1.5)
    else console.log(`       ${name}: time of reading times ${time.toFixed(2)}`)
    check(`${name}: peak over the weights`, (most[i] as number) / weights, 1.1)
  }
}

async function make(folder: string, dtype: Stored): Promise<void> {
  const layers = Number(options.layers)
  const sizes = { vocabSize: 32_000, width: 960, inner: 2560, heads: 15, keyHeads: 5, layers }
  await llama({ ...sizes, tieWordEmbeddings: true, dtype }).save(folder)
}

const [way, folder = '', stored = 'float32'] = positionals as [Way | 'make' | undefined, string?, Stored?]
if (way === 'make') await make(folder, stored)
else if (way !== undefined) console.log(JSON.stringify(await measured(way, folder, stored)))
else {
  const made = mkdtempSync(join(tmpdir(), 'firesteel-loading-'))
  try {
    for (const dtype of ['float32', 'bfloat16'] as const) {
      const own = join(made, dtype)
      inProcess('make', own, dtype)
      compare(own, dtype)
    }
  } finally {
    rmSync(made, { recursive: true, force: true })
  }
  console.log(`${passed} passed, ${failed} failed`)
  process.exitCode = failed > 0 ? 1 : 0
}
