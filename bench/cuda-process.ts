/**
 * The bench of a GPU, for scripts/check-cuda/run.py. It writes the predicted time of each workload before it measures
 * the first, and then the measured times. The file is complete after each workload, so that an interrupted run leaves
 * its results.
 *
 * Usage: node cuda-process.js FILE SIZE SECONDS [NAME]. NAME stands for the driver's name of the GPU in the list of
 * data sheets.
 */
import { writeFileSync } from 'node:fs'
import { compare, describeDevice, device as findDevice, scope, trace } from 'firesteel'
import { CudaDevice } from '../lib/backend/cuda/device.js'
import { withDefaultDevice } from '../lib/backend/devices.js'
import { createMetaDevice } from '../lib/backend/meta/device.js'
import { type Size, sizes, type Workload, workloads } from '../lib/cli/workloads.js'
import { findGpu, launchSeconds, type Prediction, predict } from './gpus.js'

interface Entry extends Pick<Workload, 'name' | 'kind' | 'sizes'> {
  readonly predicted: Prediction | null
  /**
   * Milliseconds for a step: the median of samples that each wait for the device once. Null before the measurement, and
   * if `why` says so.
   */
  measured: number | null
  steps: number
  /** The number of kernel launches in a step. */
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

/** The work of the device's kernels in a step, counted without elements. */
function predicted({ make }: Workload): Prediction | null {
  if (gpu === null) return null
  return withDefaultDevice(meta, () => {
    const step = make(meta)
    return predict(trace(() => void step(), meta).kernels, gpu)
  })
}

/** The number of launches in a step that is not the first. */
function launchesOf(step: () => unknown): number | null {
  if (!(device instanceof CudaDevice)) return null
  scope(() => void step())
  const before = device.launches
  scope(() => void step())
  return device.launches - before
}

const chosen = workloads(size as Size)
const entries = chosen.map(
  (workload): Entry => ({
    ...{ name: workload.name, kind: workload.kind, sizes: workload.sizes, predicted: predicted(workload) },
    ...{ measured: null, steps: 0, launches: null, peakBytes: 0, why: null },
  }),
)
/** Losses of training steps on the CPU and the GPU. */
const losses: { workload: string; steps: number; difference: number | null; why: string | null }[] = []

function write(): void {
  const sheet = gpu === null ? `no data sheet for '${named ?? description}', so nothing is predicted` : gpu
  const content = { device: description, sheet, launchSeconds, size, losses, workloads: entries }
  writeFileSync(file as string, `${JSON.stringify(content, null, 2)}\n`)
}

write()
for (const { name, make, trains } of workloads('small')) {
  if (!trains) continue
  const row = (await compare(['cpu', 'cuda'], make, { losses: 20, seconds: 0 })).rows[1]
  if (row?.missing === null)
    losses.push({ workload: name, steps: row.losses.length, difference: row.difference, why: null })
  else losses.push({ workload: name, steps: 0, difference: null, why: row?.missing ?? 'no row' })
  write()
}
for (const [i, { make }] of chosen.entries()) {
  const entry = entries[i] as Entry
  try {
    const row = (await compare(['cuda'], make, { losses: 0, seconds: Number(seconds) })).rows[0]
    if (row?.missing === null) {
      entry.measured = row.milliseconds
      entry.steps = row.steps
      entry.launches = launchesOf(make(device))
      entry.peakBytes = row.peakBytes
    }
  } catch (error) {
    entry.why = (error as Error).message
  }
  write()
  console.log(`${entry.name}: ${entry.measured === null ? entry.why : `${entry.measured.toPrecision(4)} ms`}`)
}
