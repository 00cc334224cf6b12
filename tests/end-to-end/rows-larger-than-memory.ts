/**
 * Puts a file of JSON lines into tokens and takes some steps on them, with all rows in memory, and with memory for a
 * few MiB of them (FIRESTEEL_ROWS_MEMORY). Losses must be the same, and the second process must hold less, by the size
 * of the rows that do not fit.
 *
 * Usage: npx tsx tests/end-to-end/rows-larger-than-memory.ts [--rows 60000] [--words 400]
 */
import { spawnSync } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { byLength, causalLM, completionRows } from '../../lib/finetune/index.js'
import { manualSeed, optim, Trainer } from '../../lib/index.js'
import { gpt2 } from '../../lib/models/index.js'
import { jsonl, trainTokenizer } from '../../lib/text/index.js'

const { values: options } = parseArgs({
  options: {
    rows: { type: 'string', default: '60000' },
    words: { type: 'string', default: '400' },
    /** Only for the process that measures: the file. */
    file: { type: 'string' },
  },
})
const [rows, words] = [Number(options.rows), Number(options.words)]
const steps = 20
const roomy = 4

interface Measured {
  readonly losses: readonly number[]
  /** The largest resident memory, in bytes. */
  readonly resident: number
}

async function train(file: string): Promise<Measured> {
  manualSeed(0)
  const tokenizer = await trainTokenizer('bpe', ['a b c d e f g h'], { vocabSize: 300 })
  const made = await completionRows(jsonl<{ readonly text: string }>(file), tokenizer, { text: 'text' })
  const resident = process.resourceUsage().maxRSS * 1024
  const model = gpt2({ vocabSize: tokenizer.size, layers: 1, width: 16, heads: 2, context: 2 * words })
  const optimizer = new optim.SGD(model.parameters(), { lr: 0.1 })
  const trainer = new Trainer(model, { optimizer, objective: causalLM() })
  const losses: number[] = []
  for await (const { loss } of trainer.steps(byLength(made, { batchSize: 2, seed: 1 }))) {
    losses.push(await loss())
    if (losses.length === steps) break
  }
  return { losses, resident }
}

function write(path: string): void {
  const file = openSync(path, 'w')
  for (let i = 0; i < rows; i++)
    writeSync(
      file,
      `${JSON.stringify({ text: Array.from({ length: words }, (_, j) => 'abcdefgh'[(i * j + i) % 8]).join(' ') })}\n`,
    )
  closeSync(file)
}

function measure(file: string, memory: string): Measured {
  const own = ['--import', 'tsx', fileURLToPath(import.meta.url), '--file', file, '--words', String(words)]
  const env = { ...process.env, FIRESTEEL_ROWS_MEMORY: memory }
  const { stdout, stderr, status } = spawnSync(process.execPath, own, { encoding: 'utf8', env })
  if (status !== 0) throw new Error(`ended with ${status}: ${stderr.slice(-2000)}`)
  return JSON.parse(stdout) as Measured
}

if (options.file !== undefined) process.stdout.write(JSON.stringify(await train(options.file)))
else {
  const folder = mkdtempSync(join(tmpdir(), 'firesteel-rows-'))
  try {
    const file = join(folder, 'rows.jsonl')
    write(file)
    const [memory, disk] = [measure(file, '100000'), measure(file, String(roomy))]
    const same = JSON.stringify(memory.losses) === JSON.stringify(disk.losses)
    const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(0)} MB`
    // Ids and labels have four bytes each.
    const saved = rows * words * 8 - roomy * 2 ** 20
    process.stdout.write(
      `${rows} rows of ${words} tokens or more, at least ${megabytes(saved + roomy * 2 ** 20)}\n` +
        `in memory: ${megabytes(memory.resident)} resident at most; with room for ${roomy} MiB: ${megabytes(disk.resident)}\n` +
        `losses of ${steps} steps ${same ? 'equal' : 'unequal'}\n`,
    )
    if (!same || !memory.losses.every(Number.isFinite) || memory.resident - disk.resident < 0.8 * saved)
      process.exitCode = 1
  } finally {
    rmSync(folder, { recursive: true })
  }
}
