/**
 * Checks promises of the command line: `npx tsx tests/end-to-end/commands.ts [--minilm FOLDER] [--only REGEX]`.
 *
 * On three configs, `--dry` must predict the peak memory of tensors to within a tenth of what the training then takes.
 * If the folder of MiniLM is given, the same holds for its training. A run that is killed by SIGKILL and resumed must
 * end with the bytes of an uninterrupted one, and must report a lower loss within a minute. Other times are only
 * printed. Prints a table and ends with 'N passed, N failed'.
 */
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { finetuneCommand } from '../../lib/cli/commands/finetune.js'
import { memory } from '../../lib/index.js'
import { encoderModel, modelFolder } from '../unit/cli-finetune.js'

const { values: args } = parseArgs({
  options: { minilm: { type: 'string' }, only: { type: 'string', default: '' }, train: { type: 'string' } },
})
const self = fileURLToPath(import.meta.url)
const main = fileURLToPath(new URL('../../lib/cli/main.ts', import.meta.url))
const tsx = ['--import', import.meta.resolve('tsx')]

/** A training in its own process: its peak in bytes, and its seconds from the first step to the end of the last one. */
async function train(config: string): Promise<void> {
  const code = await finetuneCommand([config, '--json'])
  const steps = readFileSync(join(resolve(config, '..'), 'runs', nameOf(config), 'events.jsonl'), 'utf8')
  const times = steps.split('\n').flatMap((line) => (line === '' ? [] : [(JSON.parse(line) as { time: number }).time]))
  const seconds = ((times.at(-1) ?? Number.NaN) - (times[0] ?? Number.NaN)) / 1000
  process.stdout.write(`${JSON.stringify({ code, peak: memory().peakBytes, seconds })}\n`)
}

const nameOf = (config: string) => (/([^/]+)\.json$/.exec(config) as RegExpExecArray)[1] as string

if (args.train !== undefined) await train(args.train)
else process.exitCode = (await compared()) === 0 ? 0 : 1

/** Rows of two classes, of different lengths. */
function rowsOf(count: number): string {
  const words = [
    ['a warm and honest film', 'that moves', 'and stays'],
    ['a dull and loud film', 'that tires', 'and ends late'],
  ] as const
  const row = (i: number) => {
    const [first, ...rest] = words[i % 2] as (typeof words)[0]
    return {
      text: `${first} ${i} ${rest
        .join(' ')
        .concat(' ')
        .repeat(1 + (i % 7))}`,
      label: i % 2 ? 'bad' : 'good',
    }
  }
  return Array.from({ length: count }, (_, i) => JSON.stringify(row(i))).join('\n')
}

async function compared(): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'firesteel-commands-'))
  try {
    return await comparedIn(folder)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

async function comparedIn(folder: string): Promise<number> {
  await encoderModel(join(folder, 'bert'), 256)
  await modelFolder(join(folder, 'llama'), { hidden_size: 256, intermediate_size: 512, num_hidden_layers: 4 })
  writeFileSync(join(folder, 'labels.jsonl'), rowsOf(160))
  const shared = { data: { file: 'labels.jsonl' }, train: { epochs: 1, batchSize: 16 } }
  const configs: { readonly [name: string]: object } = {
    'classes-full': { ...shared, model: './bert', method: 'full' },
    'text-lora': {
      ...shared,
      model: './llama',
      method: { lora: { rank: 8 } },
      data: { file: 'labels.jsonl', format: 'text' },
    },
    'text-bfloat16-accumulated': {
      ...shared,
      model: './llama',
      method: 'full',
      data: { file: 'labels.jsonl', format: 'text' },
      train: { epochs: 1, batchSize: 8, accumulate: 2, precision: 'bfloat16' },
    },
    ...(args.minilm !== undefined && {
      minilm: { ...shared, model: resolve(args.minilm), method: 'full', train: { epochs: 1, batchSize: 16, lr: 1e-4 } },
    }),
  }
  let [passed, failed] = [0, 0]
  const told = (name: string, isGood: boolean, text: string) => {
    if (isGood) passed++
    else failed++
    process.stdout.write(`${isGood ? 'passed' : 'FAILED'}  ${name.padEnd(28)}${text}\n`)
  }
  for (const [name, config] of Object.entries(configs)) {
    const path = join(folder, `${name}.json`)
    if (!new RegExp(args.only).test(name)) continue
    writeFileSync(path, JSON.stringify({ ...config, output: `runs/${name}` }))
    const { peak: foreseen, seconds: expected } = jsonOf([main, 'finetune', path, '--dry', '--json'])
    const { peak, seconds } = jsonOf([self, '--train', path])
    const [memory, time] = [(foreseen as number) / (peak as number) - 1, (expected as number) / (seconds as number)]
    const bytes = [foreseen, peak].map((each) => `${((each as number) / 1e6).toFixed(1)} MB`)
    told(
      name,
      Math.abs(memory) <= 0.1,
      `memory predicted ${bytes[0]}, measured ${bytes[1]} (${(100 * memory).toFixed(2)} %); time predicted / measured ${time.toFixed(2)}`,
    )
  }
  if (args.minilm === undefined) process.stdout.write('skipped  what needs --minilm FOLDER\n')
  else {
    const { equal, improved } = await killed(folder)
    told('minilm, killed', equal, 'the bytes of a run that was not')
    told('minilm, a lower loss', improved < 60, `told after ${improved.toFixed(0)} s`)
  }
  process.stdout.write(`${passed} passed, ${failed} failed\n`)
  return failed
}

/** The last line of a process's output. */
function jsonOf(parts: readonly string[]): { readonly [name: string]: unknown } {
  const { stdout, stderr, status } = spawnSync(process.execPath, [...tsx, ...parts], { encoding: 'utf8' })
  if (status !== 0) throw new Error(`${parts.join(' ')} ended with ${status}: ${stderr}`)
  return JSON.parse(stdout.trim().split('\n').at(-1) as string) as { readonly [name: string]: unknown }
}

/**
 * Kills a training of MiniLM after its fourth step and resumes it. Returns the seconds until a loss below the first one
 * is reported.
 */
async function killed(folder: string): Promise<{ readonly equal: boolean; readonly improved: number }> {
  const path = join(folder, 'minilm.json')
  const values = (name: string, steps: number) => {
    const own = [`output=runs/${name}`, `train.steps=${steps}`, 'train.checkpoints={ every: 4, keep: 2 }']
    return [path, ...[...own, 'train.epochs=9'].flatMap((value) => ['--set', value])]
  }
  const began = performance.now()
  const child = spawn(process.execPath, [...tsx, main, 'finetune', ...values('killed', 30)], { stdio: 'ignore' })
  const ended = new Promise((done) => child.on('close', done))
  const reached = join(folder, 'runs/killed/checkpoints/step-0000000004.safetensors')
  while (!existsSync(reached) && child.exitCode === null) await sleep(5)
  child.kill('SIGKILL')
  await ended
  if (readdirSync(join(folder, 'runs/killed')).includes('model')) throw new Error('it had ended before it was killed')
  jsonOf([main, 'finetune', ...values('killed', 12), '--resume', '--json'])
  // The losses of an uninterrupted run, as its folder has them. Seconds count from the beginning of the process.
  const start = Date.now()
  jsonOf([main, 'finetune', ...values('uncut', 12), '--json'])
  const events = readFileSync(join(folder, 'runs/uncut/events.jsonl'), 'utf8').trim().split('\n')
  const losses = events
    .map((line) => JSON.parse(line) as { type: string; time: number; numbers?: { loss?: number } })
    .flatMap(({ type, time, numbers }) =>
      type === 'step' && numbers?.loss !== undefined ? [{ time, loss: numbers.loss }] : [],
    )
  const better = losses.find(({ loss }) => loss < (losses[0]?.loss ?? 0))
  const weights = (name: string) => readFileSync(join(folder, 'runs', name, 'model/model.safetensors'))
  process.stdout.write(
    `        killed, gone on with and run uncut in ${((performance.now() - began) / 1000).toFixed(0)} s\n`,
  )
  return {
    equal: weights('killed').equals(weights('uncut')),
    improved: better === undefined ? Number.POSITIVE_INFINITY : (better.time - start) / 1000,
  }
}
