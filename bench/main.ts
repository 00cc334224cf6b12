/**
 * Times the library on the workloads of workloads.json and on twelve drawn ones, and compares each with the machine's
 * bound. If --against torch is given, it takes turns with PyTorch and OpenBLAS, and checks every result.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Device, describeDevice, device as findDevice, unavailable } from 'firesteel'
import { NativeDevice } from '../lib/backend/native/device.js'
import { drawWorkloads } from './draw.js'
import { writePage } from './html.js'
import { Machine, withRates } from './machine.js'
import { Maker } from './maker.js'
import { type Course, measure, type Row, secondsOf } from './measure.js'
import { measureMemory } from './memory.js'
import { type Options, readOptions, usage } from './options.js'
import { overheadLines } from './overhead.js'
import { findPeer, Peers } from './peers.js'
import { head, machineLines, rowLines, skipped, summary } from './report.js'
import { currentCommit, peerVersions, type Results, save, writeJson } from './results.js'
import { builderOf, readWorkloads } from './suite.js'
import type { Work, Workload } from './work.js'

/** The operations per second of the reference backend. */
function referenceRate(device: Device): number {
  const work = (builderOf({ name: '', kind: 'matmul' }) as (w: Workload, make: Maker) => Work)(
    { name: 'rate', kind: 'matmul', m: 96, n: 96, k: 96 },
    new Maker(device),
  )
  let best = Number.POSITIVE_INFINITY
  for (let i = 0; i < 5; i++) best = Math.min(best, secondsOf(device, work.run))
  return work.operations / best
}

function chosenDevices({ backend, threads }: Options): readonly Device[] {
  const native = unavailable('cpu')
  if (backend === null && native !== null) console.log(`no native kernels: ${native}`)
  const names = backend !== null ? [backend] : native === null ? ['cpu', 'reference'] : ['reference']
  const devices = names.map((name) => findDevice(name))
  if (threads !== null) {
    for (const device of devices) if (device instanceof NativeDevice) device.threads = threads
    if (backend !== null && !(devices[0] instanceof NativeDevice) && threads !== 1)
      throw new Error(`--threads is for the native kernels; ${backend} has no number of threads to set`)
  }
  return devices
}

interface Entry {
  readonly workload: Workload
  readonly drawn: boolean
}

/** Runs the workloads one after another, and prints a line for each as soon as it is done. */
async function run(entries: readonly Entry[], path: string, options: Options, course: Course): Promise<readonly Row[]> {
  const rows: Row[] = []
  const native = course.devices.find((device) => device instanceof NativeDevice)
  const place = { script: options.peerScript, python: options.peerPython }
  console.log(head)
  for (const { workload, drawn } of entries) {
    const builder = builderOf(workload)
    if (typeof builder === 'string') {
      console.log(skipped(workload.name, builder))
      continue
    }
    for (const measured of await measure(workload, drawn, course)) {
      const wanted = options.memory && measured.backend === native?.name && workload.kind.startsWith('train_')
      const memory =
        wanted && native !== undefined ? await measureMemory(workload.name, path, native.threads, place) : null
      const row: Row = { ...measured, memory }
      console.log(rowLines(row, course.machine))
      rows.push(row)
    }
    globalThis.gc?.()
  }
  return rows
}

async function main(options: Options): Promise<void> {
  const devices = chosenDevices(options)
  const { seed, repeats } = options
  const entries: readonly Entry[] = [
    ...readWorkloads(options.workloads).map((workload) => ({ workload, drawn: false })),
    ...(seed === null ? [] : drawWorkloads(seed)).map((workload) => ({ workload, drawn: true })),
  ].filter(({ workload }) => options.only.test(workload.name))
  if (entries.length === 0) throw new Error(`--only ${options.only.source}: no workload has such a name`)
  const native = devices.find((device) => device instanceof NativeDevice)
  for (const device of devices) console.log(`${device.name}: ${describeDevice(device)}`)
  if (seed !== null) console.log(`drawn shapes: --seed ${seed}`)
  const machine = native === undefined ? null : new Machine(native)
  const description = machine?.describe() ?? null
  if (description !== null) console.log(machineLines(description))
  const reference = devices.find(({ kind }) => kind === 'reference')
  const folder = mkdtempSync(join(tmpdir(), 'firesteel-bench-'))
  let peers: Peers | null = null
  let rows: readonly Row[] = []
  try {
    const path = join(folder, 'workloads.json')
    writeFileSync(path, JSON.stringify(entries.map(({ workload }) => workload)))
    const place = { script: options.peerScript, python: options.peerPython }
    if (options.against !== null) peers = new Peers(place, options.threads ?? native?.threads ?? 2, path, options.isa)
    const rate = reference === undefined ? null : referenceRate(reference)
    rows = await run(entries, path, options, { devices, repeats, peers, machine, referenceRate: rate })
  } finally {
    peers?.close()
    rmSync(folder, { recursive: true })
  }
  if (peers !== null) for (const device of devices) console.log(summary(rows, device.name))
  const fast = devices.find(({ kind }) => kind !== 'reference')
  if (fast !== undefined && options.only.source === '(?:)') console.log(await overheadLines(fast))
  if (options.json !== null || options.html !== null || options.save) {
    const results: Results = {
      date: new Date().toISOString(),
      commit: currentCommit(),
      seed,
      repeats,
      peers:
        peers === null
          ? null
          : peerVersions(findPeer({ script: options.peerScript, python: options.peerPython }).python),
      peersHeldTo: peers === null ? null : options.isa,
      machine:
        description === null
          ? null
          : withRates(
              description,
              rows.flatMap(({ rates }) => rates ?? []),
            ),
      rows,
    }
    if (options.json !== null) writeJson(options.json, results)
    if (options.html !== null) writePage(options.html, results)
    if (options.save) console.log(`saved as ${save(results)}`)
  }
  if (rows.some(({ checked, best }) => peers !== null && best !== null && !checked)) process.exitCode = 1
}

try {
  const options = readOptions(process.argv.slice(2), process.env)
  if (options === null) console.log(usage)
  else await main(options)
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 1
}
