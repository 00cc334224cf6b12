/**
 * Times the library on the workloads of workloads.json: seconds of one call and the wait for the device, the least of some
 * samples. With --against torch it takes turns with PyTorch, sample by sample, and holds every result against PyTorch's.
 */
import { writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  type Device,
  DeviceError,
  describeDevice,
  device as findDevice,
  setDefaultDevice,
  tensor,
  unavailable,
} from 'firesteel'
import { NativeDevice } from '../lib/backend/native/device.js'
import { differences } from './compare.js'
import { measureEventLoop } from './event-loop.js'
import { Maker } from './maker.js'
import { type Options, readOptions, usage } from './options.js'
import { findPeer, memorySettings, Peer, type PeerRow } from './peers.js'
import { builderOf, readWorkloads } from './suite.js'
import type { Check, Work, Workload } from './work.js'

/** The reference backend is asked for what takes less than this, judged by its speed on a small product. */
const referenceSeconds = 20
/** A backend runs a workload for this long before it is timed, so that the JavaScript around it is compiled. */
const warmUpSeconds = 0.2
/** Threads that spin after their work go to sleep before the other's turn. */
const pauseMilliseconds = 10

interface Row {
  readonly name: string
  readonly backend: string
  readonly best: number | null
  readonly torch: number | null
  readonly torchTuned: number | null
  readonly checked: boolean
}

/** A backend that has a workload in hand. */
interface Player {
  readonly device: Device
  readonly work: Work
  readonly check: Check
  readonly samples: number
  best: number
}

function seconds(device: Device, run: () => void): number {
  const started = performance.now()
  run()
  device.synchronize()
  return (performance.now() - started) / 1000
}

/** Operations a second of the reference backend. */
function referenceRate(device: Device): number {
  const work = (builderOf({ name: '', kind: 'matmul' }) as (w: Workload, make: Maker) => Work)(
    { name: 'rate', kind: 'matmul', m: 96, n: 96, k: 96 },
    new Maker(device),
  )
  let best = Number.POSITIVE_INFINITY
  for (let i = 0; i < 5; i++) best = Math.min(best, seconds(device, work.run))
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

function format(value: number | null): string {
  if (value === null) return '-'
  if (value >= 1) return `${value.toFixed(3)} s`
  return value >= 1e-3 ? `${(value * 1e3).toFixed(3)} ms` : `${(value * 1e6).toFixed(1)} us`
}

function ratio(theirs: number | null, ours: number | null): string {
  return theirs === null || ours === null ? '-' : (theirs / ours).toFixed(2)
}

const columns = [24, 11, 13, 13, 13, 8, 8] as const

function line(...cells: readonly string[]): string {
  return cells
    .map((cell, i) =>
      i < 2 ? cell.padEnd(columns[i] ?? 0) : i < columns.length ? cell.padStart(columns[i] ?? 0) : `  ${cell}`,
    )
    .join('')
}

/** Builds a workload on a device, checks and warms it up; a text says why not. */
function prepare(workload: Workload, device: Device, repeats: number, rate: number | null): Player | string {
  const builder = builderOf(workload)
  if (typeof builder === 'string') return builder
  setDefaultDevice(device)
  const work = builder(workload, new Maker(device))
  if (device.kind === 'reference') {
    // Some of its kernels run at a third of the rate.
    if (rate !== null && (3 * work.checkCalls * work.operations) / rate > referenceSeconds)
      return `not run: would take more than ${referenceSeconds} s`
    const started = performance.now()
    const check = work.check()
    const best = (performance.now() - started) / 1000 / work.checkCalls
    // What takes long needs no second look; what does not is timed once it is compiled.
    return { device, work, check, samples: best > 1 ? 0 : 1, best }
  }
  const check = work.check()
  const started = performance.now()
  do seconds(device, work.run)
  while (performance.now() - started < warmUpSeconds * 1000)
  return { device, work, check, samples: repeats, best: Number.POSITIVE_INFINITY }
}

class Peers {
  readonly #peers: readonly Peer[]

  constructor(options: Options, threads: number) {
    const where = findPeer({ script: options.peerScript, python: options.peerPython })
    this.#peers = [{}, memorySettings].map((settings) => new Peer(where, threads, options.workloads, settings))
  }

  /** One sample of each: as it comes, and with the memory settings. */
  async sample(name: string): Promise<readonly PeerRow[]> {
    const rows: PeerRow[] = []
    for (const peer of this.#peers) {
      await sleep(pauseMilliseconds)
      rows.push(await peer.time(name))
    }
    return rows
  }

  close(): void {
    for (const peer of this.#peers) peer.close()
  }
}

async function measure(
  workload: Workload,
  devices: readonly Device[],
  options: Options,
  peers: Peers | null,
  rate: number | null,
): Promise<readonly Row[]> {
  const { name } = workload
  const first = peers === null ? null : await peers.sample(name)
  const players = devices.map((device) => {
    try {
      return prepare(workload, device, options.repeats, rate)
    } catch (error) {
      if (error instanceof DeviceError) return error.message
      throw error
    }
  })
  const torch = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY]
  for (let repeat = 0; repeat < options.repeats; repeat++) {
    for (const player of players) {
      if (typeof player === 'string' || repeat >= player.samples) continue
      await sleep(pauseMilliseconds)
      player.best = Math.min(player.best, seconds(player.device, player.work.run))
    }
    const rows = peers === null ? [] : await peers.sample(name)
    for (const [i, { best }] of rows.entries()) torch[i] = Math.min(torch[i] as number, best)
  }
  const [plain, tuned] = peers === null ? [null, null] : (torch as [number, number])
  return players.map((player, i) => {
    const backend = (devices[i] as Device).name
    if (typeof player === 'string') {
      console.log(line(name, backend, '-', format(plain), format(tuned), '-', '-', player))
      return { name, backend, best: null, torch: plain, torchTuned: tuned, checked: false }
    }
    const faults = (first ?? []).flatMap((row) => differences(player.check, row.check, player.work.reduces))
    const checked = first !== null && faults.length === 0
    const note = first === null ? '' : checked ? 'agrees' : `DIFFERS: ${[...new Set(faults)].join('; ')}`
    const { best } = player
    console.log(
      line(name, backend, format(best), format(plain), format(tuned), ratio(plain, best), ratio(tuned, best), note),
    )
    return { name, backend, best, torch: plain, torchTuned: tuned, checked }
  })
}

function geometricMean(ratios: readonly number[]): number {
  return Math.exp(ratios.reduce((sum, r) => sum + Math.log(r), 0) / ratios.length)
}

function summarise(rows: readonly Row[], device: Device): void {
  const own = rows.filter(({ backend, best }) => backend === device.name && best !== null)
  if (own.length === 0) return
  const mean = (key: 'torch' | 'torchTuned') =>
    geometricMean(own.map((row) => (row[key] as number) / (row.best as number))).toFixed(3)
  const right = own.filter(({ checked }) => checked).length
  console.log(
    `${device.name}: geometric mean of ${own.length} ratios torch / ours: ${mean('torch')} as PyTorch comes, ` +
      `${mean('torchTuned')} with memory settings; ${right} of ${own.length} results agree`,
  )
}

/** Microseconds of a sum of 16 elements through the public functions, its collection included: the least of some runs. */
function tinyAdd(device: Device): number {
  const a = tensor(
    Array.from({ length: 16 }, (_, i) => i),
    { device },
  )
  const b = tensor(
    Array.from({ length: 16 }, (_, i) => -i),
    { device },
  )
  const calls = 200_000
  const run = () => {
    for (let i = 0; i < calls; i++) a.add(b)
  }
  let best = Number.POSITIVE_INFINITY
  for (let i = 0; i < 7; i++) best = Math.min(best, seconds(device, run))
  return (best / calls) * 1e6
}

async function main(options: Options): Promise<void> {
  const devices = chosenDevices(options)
  const workloads = readWorkloads(options.workloads).filter(({ name }) => options.only.test(name))
  if (workloads.length === 0) throw new Error(`--only ${options.only.source}: no workload has such a name`)
  const native = devices.find((device) => device instanceof NativeDevice)
  const threads = options.threads ?? (native instanceof NativeDevice ? native.threads : 2)
  for (const device of devices) console.log(`${device.name}: ${describeDevice(device)}`)
  const reference = devices.find(({ kind }) => kind === 'reference')
  const rate = reference === undefined ? null : referenceRate(reference)
  const peers = options.against === null ? null : new Peers(options, threads)
  const rows: Row[] = []
  try {
    console.log(line('workload', 'backend', 'seconds', 'torch', 'torch tuned', 'ratio', 'tuned', ''))
    for (const workload of workloads) {
      const builder = builderOf(workload)
      if (typeof builder === 'string') console.log(line(workload.name, '', '-', '-', '-', '-', '-', builder))
      else rows.push(...(await measure(workload, devices, options, peers, rate)))
      globalThis.gc?.()
    }
  } finally {
    peers?.close()
  }
  if (peers !== null) for (const device of devices) summarise(rows, device)
  const fast = devices.find(({ kind }) => kind !== 'reference')
  if (fast !== undefined && options.only.source === '(?:)') {
    setDefaultDevice(fast)
    console.log(`16-element add, made and collected: ${tinyAdd(fast).toFixed(3)} us`)
    const { percentile99, longest, steps, loss } = await measureEventLoop(fast)
    console.log(
      `event loop while the Trainer runs ${steps} steps of the CNN (loss ${loss.toFixed(3)}): ` +
        `99th percentile ${percentile99.toFixed(1)} ms, longest ${longest.toFixed(1)} ms`,
    )
  }
  if (options.json !== null) writeFileSync(options.json, `${JSON.stringify({ rows }, null, 2)}\n`)
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
