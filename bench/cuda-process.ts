/**
 * The bench of a GPU, for scripts/check-cuda/run.py. It writes the predicted time of each workload before it measures
 * the first, and then the measured times. The file is whole after each workload, so that a run that is cut off leaves
 * its results.
 *
 * Usage: node cuda-process.js FILE SIZE SECONDS [NAME]. NAME stands for the driver's name of the GPU in the list of
 * data sheets.
 */
import { renameSync, writeFileSync } from 'node:fs'
import {
  autocast,
  type CudaGraph,
  captureGraph,
  compare,
  type Device,
  describeDevice,
  device as findDevice,
  scope,
  setFloat32MatmulPrecision,
  trace,
} from 'firesteel'
import { CudaDevice } from '../lib/backend/cuda/device.js'
import { withDefaultDevice } from '../lib/backend/devices.js'
import { createMetaDevice } from '../lib/backend/meta/device.js'
import { type Size, sizes, type Workload, workloads } from '../lib/cli/workloads.js'
import { findGpu, launchSeconds, type Prediction, predict } from './gpus.js'

/** float32; the same with factors in tf32; under autocast; or float32 with the whole step as a captured graph. */
const modes = ['float32', 'tf32', 'bfloat16', 'graph'] as const
type Mode = (typeof modes)[number]

/** The kinds of work for which a mode differs most. */
const kindsOf: { readonly [M in Mode]: readonly Workload['kind'][] } = {
  float32: ['matmul', 'conv', 'lstm', 'attention', 'mlp', 'cnn', 'gpt'],
  tf32: ['matmul', 'conv', 'gpt'],
  bfloat16: ['matmul', 'attention', 'gpt'],
  graph: ['mlp', 'gpt'],
}

interface Entry extends Pick<Workload, 'name' | 'kind' | 'sizes'> {
  readonly mode: Mode
  readonly predicted: Prediction | null
  /**
   * Milliseconds for a step: the median of samples that each wait for the device once. Null before the measurement, and
   * if `why` says so.
   */
  measured: number | null
  steps: number
  /** The number of launches in a step. A graph is one. */
  launches: number | null
  peakBytes: number
  why: string | null
}

const [file, size, seconds, named] = process.argv.slice(2)
if (file === undefined || !sizes.includes(size as Size) || !(Number(seconds) >= 0))
  throw new Error(`usage: cuda-process FILE ${sizes.join('|')} SECONDS [NAME]`)

const device = findDevice('cuda')
const description = describeDevice(device)
const gpu = findGpu(named ?? description)
const meta = createMetaDevice(device)

const wordsOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

type Step = () => unknown

/** A step in a mode. `graphs` gets what must be disposed of. */
function stepIn(mode: Mode, make: Workload['make'], on: Device, graphs: CudaGraph[] = []): Step {
  const step = make(on)
  if (mode === 'bfloat16') return () => autocast('bfloat16', () => step())
  if (mode !== 'graph' || !(on instanceof CudaDevice)) return step
  // The optimiser makes its state in the first step.
  scope(() => void step())
  const graph = captureGraph(() => {
    scope(() => void step())
  }, on)
  graphs.push(graph)
  return () => graph.replay()
}

/** The work of the device's kernels in a step, counted without elements. */
function predicted({ make }: Workload, mode: Mode): Prediction | null {
  if (gpu === null) return null
  return withDefaultDevice(meta, () => {
    const step = stepIn(mode, make, meta)
    const records = trace(() => void step(), meta).kernels
    return predict(records, gpu, { tf32: mode === 'tf32', isGraph: mode === 'graph' })
  })
}

/** The number of launches in a step that is not the first. */
function launchesOf(step: Step): number | null {
  if (!(device instanceof CudaDevice)) return null
  scope(() => void step())
  const before = device.launches
  scope(() => void step())
  return device.launches - before
}

const chosen = modes.flatMap((mode) =>
  workloads(size as Size)
    .filter(({ kind }) => kindsOf[mode].includes(kind))
    .map((workload) => ({ mode, workload })),
)
const entries = chosen.map(({ mode, workload }): Entry => {
  const entry = { name: workload.name, kind: workload.kind, sizes: workload.sizes, mode }
  const rest = { measured: null, steps: 0, launches: null, peakBytes: 0, why: null }
  try {
    return { ...entry, predicted: predicted(workload, mode), ...rest }
  } catch (error) {
    return { ...entry, predicted: null, ...rest, why: `no prediction: ${wordsOf(error)}` }
  }
})
/** Losses of training steps on the CPU and the GPU. */
const losses: { workload: string; steps: number; difference: number | null; why: string | null }[] = []

/** Writes the whole file beside itself first, because the process may be killed at any time. */
function write(): void {
  const sheet = gpu === null ? `no data sheet for '${named ?? description}', so nothing is predicted` : gpu
  const content = { device: description, sheet, launchSeconds, size, losses, workloads: entries }
  writeFileSync(`${file}.new`, `${JSON.stringify(content, null, 2)}\n`)
  renameSync(`${file}.new`, file as string)
}

async function compareLosses({ name, make }: Workload): Promise<void> {
  try {
    const row = (await compare(['cpu', 'cuda'], make, { losses: 20, seconds: 0 })).rows[1]
    if (row?.missing === null)
      losses.push({ workload: name, steps: row.losses.length, difference: row.difference, why: null })
    else losses.push({ workload: name, steps: 0, difference: null, why: row?.missing ?? 'no row' })
  } catch (error) {
    losses.push({ workload: name, steps: 0, difference: null, why: wordsOf(error) })
  }
}

async function measure(entry: Entry, { make }: Workload): Promise<void> {
  const graphs: CudaGraph[] = []
  const makeStep = (on: Device) => stepIn(entry.mode, make, on, graphs)
  setFloat32MatmulPrecision(entry.mode === 'tf32' ? 'high' : 'highest')
  try {
    const row = (await compare(['cuda'], makeStep, { losses: 0, seconds: Number(seconds) })).rows[0]
    if (row?.missing !== null) {
      entry.why = row?.missing ?? 'no row'
      return
    }
    entry.measured = row.milliseconds
    entry.steps = row.steps
    entry.peakBytes = row.peakBytes
    entry.launches = launchesOf(makeStep(device))
  } catch (error) {
    entry.why = wordsOf(error)
  } finally {
    for (const graph of graphs) graph.dispose()
    setFloat32MatmulPrecision('highest')
  }
}

write()
for (const workload of workloads('small')) {
  if (!workload.trains) continue
  await compareLosses(workload)
  write()
}
for (const [i, { workload }] of chosen.entries()) {
  const entry = entries[i] as Entry
  await measure(entry, workload)
  write()
  console.log(
    `${entry.name}, ${entry.mode}: ${entry.measured === null ? entry.why : `${entry.measured.toPrecision(4)} ms`}`,
  )
}
