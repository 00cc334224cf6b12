/**
 * Every reader of files, on mutants of its own kind of file, each in its own process, and as many at a time as there
 * are processors. A crash, a hang, an error that is not Firesteel's, and a wrong result are failures. The file that was
 * read last is kept.
 *
 * Usage: npm run fuzz:readers -- [--count 100000 | --seconds 60] [--seed 1] [KIND ...]. Count or seconds apply to each
 * kind. Prints a line for each and ends with `N passed, N failed`.
 */
import { spawn } from 'node:child_process'
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const programs: { readonly [program: string]: readonly string[] } = {
  'readers.ts': ['text', 'paragraphs', 'jsonl', 'csv', 'typedCsv', 'npy', 'parquet'],
  'files.ts': ['safetensors', 'idx'],
  'formats.ts': ['pt', 'gguf'],
  'folders.ts': ['tokenizer', 'shards', 'corpus', 'checkpoint'],
}
/**
 * A process that reports no progress for this long hangs, even on a busy machine, because it reports every few hundred
 * files.
 */
const silentMilliseconds = 1_800_000

const { values, positionals } = parseArgs({
  options: { count: { type: 'string' }, seconds: { type: 'string' }, seed: { type: 'string', default: '1' } },
  allowPositionals: true,
})
const numberOf = (name: 'count' | 'seconds' | 'seed', otherwise: number) => {
  const number = values[name] === undefined ? otherwise : Number(values[name])
  if (!(number > 0)) throw new RangeError(`--${name} is ${values[name]}, but must be a positive number`)
  return number
}
const seconds = numberOf('seconds', Number.POSITIVE_INFINITY)
const count = numberOf('count', values.seconds === undefined ? 100_000 : Number.POSITIVE_INFINITY)
const seed = numberOf('seed', 1)

const all = Object.entries(programs).flatMap(([program, kinds]) => kinds.map((kind) => ({ program, kind })))
const unknown = positionals.filter((name) => !all.some(({ kind }) => kind === name))
if (unknown.length > 0)
  throw new RangeError(`there are no files ${unknown.join(', ')}; there are ${all.map(({ kind }) => kind).join(', ')}`)

interface Ended {
  /** Null if all went well. */
  readonly fault: string | null
  readonly said: string
}

function run(program: string, kind: string, last: string): Promise<Ended> {
  const path = fileURLToPath(new URL(program, import.meta.url))
  const child = spawn(
    process.execPath,
    ['--import', 'tsx', path, String(seed), String(seconds), last, String(count), kind],
    { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, FIRESTEEL_FUZZ_PROGRESS: '1' } },
  )
  let [said, faults, silent] = ['', '', false]
  let timer: NodeJS.Timeout
  const wait = () => {
    clearTimeout(timer)
    timer = setTimeout(() => {
      silent = true
      child.kill('SIGKILL')
    }, silentMilliseconds)
  }
  wait()
  child.stdout.on('data', (data) => {
    // The last line reports the whole run.
    said = `${said}${data}`.slice(-2000)
    wait()
  })
  child.stderr.on('data', (data) => {
    faults = `${faults}${data}`.slice(-4000)
  })
  return new Promise((resolve) => {
    child.on('close', (code, signal) => {
      clearTimeout(timer)
      const how = silent ? 'hung' : `ended with ${code ?? signal}`
      resolve({ fault: code === 0 ? null : `${how}\n${faults}`, said: said.trim().split('\n').at(-1) ?? '' })
    })
  })
}

let [passed, failed] = [0, 0]
const waiting = all.filter(({ kind }) => positionals.length === 0 || positionals.includes(kind))

/** Runs one kind after another, until none waits. */
async function runThose(): Promise<void> {
  for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) await runOne(next)
}

async function runOne({ program, kind }: { readonly program: string; readonly kind: string }): Promise<void> {
  const last = join(tmpdir(), `firesteel-fuzz-last-${process.pid}-${kind}`)
  const { fault, said } = await run(program, kind, last)
  if (fault === null) {
    passed++
    process.stdout.write(`${kind}: ${said}\n`)
    rmSync(last, { force: true })
  } else {
    failed++
    const bytes = existsSync(last) ? `read last (${last}, in base64): ${readFileSync(last, 'utf8').slice(0, 4000)}` : ''
    process.stdout.write(`${kind}: seed ${seed}, ${fault}\n${bytes}\n`)
  }
}
// A reader keeps one processor busy.
await Promise.all(Array.from({ length: availableParallelism() }, runThose))
process.stdout.write(`${passed} passed, ${failed} failed\n`)
process.exitCode = failed === 0 ? 0 : 1
