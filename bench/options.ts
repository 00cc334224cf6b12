import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { seedOf } from './draw.js'
import { defaultScript } from './peers.js'

export const usage = `Usage: npm run bench -- [options]
  --only REGEX       only workloads whose name matches
  --backend NAME     one device (cpu, reference, cuda) instead of cpu and reference
  --threads N        threads of the native kernels and of PyTorch (default: the native kernels' choice)
  --repeats N        samples of each workload, at least six for an interval at 95% (default 7; the reference backend takes 1)
  --seed N           draws twelve more shapes (default: the date, as in 20260131); --no-drawn leaves them out
  --json FILE        writes {"rows": [...]}, with minima in seconds, and everything in the table
  --html FILE        writes a page: a roofline with every kernel, and bars against the peers
  --save             saves the run under bench/results, by its date
  --workloads FILE   other workloads of the same kinds (default bench/workloads.json)
  --against torch    takes turns with PyTorch, by default and with memory settings, and checks every result against it;
                     takes turns with numpy's OpenBLAS if matrices are multiplied; and measures the memory of trainings
  --no-memory        leaves out the memory of trainings, which takes as long as the rest
  --python FILE      an interpreter that has PyTorch (or FIRESTEEL_PEERS_PYTHON; default .peers/venv, made if missing)
  FIRESTEEL_PEERS    another torch_bench.py, or its folder
  FIRESTEEL_ISA      limits library and peers to an instruction set (base, avx2, avx512)
The table: seconds are minima. share is the bound (bench/bound.ts) divided by the time, with its limit: flops, the memory, or
the cache that holds the largest call's tensors (memory~: they are within 4 times L3, and part of them stays in it). ratios
are the peers' times divided by ours, from samples in turns, with the interval of the signed-rank test at 95%.
Without --only, it also prints the time of a sum of 16 elements, and how long the Trainer blocks the event loop.`

export interface Options {
  readonly only: RegExp
  /** null: native and reference. */
  readonly backend: string | null
  /** null: the native device's own number. */
  readonly threads: number | null
  readonly repeats: number
  readonly json: string | null
  readonly html: string | null
  readonly save: boolean
  readonly memory: boolean
  /** null: no shapes are drawn. */
  readonly seed: number | null
  readonly workloads: string
  readonly against: 'torch' | null
  readonly peerScript: string
  readonly peerPython: string | null
  /** The instruction set to which library and peers are limited. null: each takes the best there is. */
  readonly isa: string | null
}

function positive(option: string, text: string, most: number): number {
  const value = Number(text)
  if (!Number.isInteger(value) || value < 1 || value > most)
    throw new Error(`${option} is '${text}', but must be an integer from 1 to ${most}`)
  return value
}

function pattern(text: string): RegExp {
  try {
    return new RegExp(text)
  } catch (error) {
    throw new Error(`--only '${text}' is not a regular expression: ${(error as Error).message}`)
  }
}

/** The options of a command line, or null if the usage was asked for. Throws an error that says what is wrong. */
export function readOptions(args: readonly string[], environment: NodeJS.ProcessEnv): Options | null {
  const text = { type: 'string' } as const
  const { values } = parseArgs({
    args: [...args],
    options: {
      only: text,
      backend: text,
      threads: text,
      repeats: text,
      json: text,
      html: text,
      save: { type: 'boolean' },
      'no-memory': { type: 'boolean' },
      seed: text,
      'no-drawn': { type: 'boolean' },
      workloads: text,
      against: text,
      python: text,
      help: { type: 'boolean', short: 'h' },
    },
  })
  if (values.help) return null
  const { against } = values
  if (against !== undefined && against !== 'torch')
    throw new Error(`--against is '${against}', but the only peer is 'torch'`)
  if (values.python !== undefined && against === undefined) throw new Error('--python needs --against torch')
  if (values.seed !== undefined && values['no-drawn'])
    throw new Error('--seed and --no-drawn cannot be combined: leave one out')
  const seed = values.seed === undefined ? seedOf(new Date()) : positive('--seed', values.seed, 2 ** 31 - 1)
  const workloads = resolve(values.workloads ?? fileURLToPath(new URL('./workloads.json', import.meta.url)))
  if (!existsSync(workloads)) throw new Error(`--workloads: there is no file ${workloads}`)
  return {
    only: pattern(values.only ?? ''),
    backend: values.backend ?? null,
    threads: values.threads === undefined ? null : positive('--threads', values.threads, 256),
    repeats: values.repeats === undefined ? 7 : positive('--repeats', values.repeats, 100_000),
    json: values.json ?? null,
    html: values.html ?? null,
    save: values.save ?? false,
    memory: against !== undefined && !values['no-memory'],
    seed: values['no-drawn'] ? null : seed,
    workloads,
    against: against ?? null,
    peerScript: environment['FIRESTEEL_PEERS'] || defaultScript,
    peerPython: values.python ?? (environment['FIRESTEEL_PEERS_PYTHON'] || null),
    isa: environment['FIRESTEEL_ISA'] || null,
  }
}
