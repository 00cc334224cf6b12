/** Measures one workload on every device and peer, in turns. */
import { setTimeout as sleep } from 'node:timers/promises'
import { type Device, DeviceError, setDefaultDevice, trace } from 'firesteel'
import { type Bound, boundOf, leastTimes } from './bound.js'
import { differences } from './compare.js'
import { bestRates, type Level, levels, type Machine, type Rates } from './machine.js'
import { Maker } from './maker.js'
import type { MemoryUse } from './memory.js'
import { type PeerName, type PeerRow, type Peers, pauseMilliseconds } from './peers.js'
import { type Interval, pairedRatio } from './statistics.js'
import { builderOf } from './suite.js'
import type { Check, Work, Workload } from './work.js'

/** The reference backend runs only workloads that take less than this, judged by its speed on a small product. */
const referenceSeconds = 20
/**
 * Everybody runs a workload for this long before it is timed. Workloads of microseconds need longer, because most of
 * their time is the JavaScript around the kernels, which is not fully compiled at first.
 */
const warmUpSeconds = { short: 1, long: 0.2 }
const shortSeconds = 5e-3
/**
 * A sample is the least of as many calls as fill this time, up to `mostCalls`. A single call would find caches cold and
 * threads asleep.
 */
const sampleSeconds = 0.03
const mostCalls = 50

/** The result of one workload on one backend, in seconds: minima, or null if there is none. */
export interface Row {
  readonly name: string
  readonly backend: string
  readonly best: number | null
  readonly torch: number | null
  readonly torchTuned: number | null
  readonly openblas: number | null
  /** Whether every number of the check agrees with PyTorch's. */
  readonly checked: boolean
  readonly drawn: boolean
  readonly note: string
  /** The ratios of the peers' times to ours, from samples in turns. */
  readonly ratios: { readonly [P in PeerName]: Interval | null }
  readonly bound: Bound | null
  /** The bound divided by the best time. */
  readonly share: number | null
  /** The machine's rates meanwhile, from which the bound is computed. */
  readonly rates: Rates | null
  readonly memory: MemoryUse | null
}

export interface Course {
  readonly devices: readonly Device[]
  readonly repeats: number
  readonly peers: Peers | null
  readonly machine: Machine | null
  /** The operations per second of the reference backend. */
  readonly referenceRate: number | null
}

/** A backend that runs a workload. */
interface Player {
  readonly device: Device
  readonly work: Work
  readonly check: Check
  readonly repeats: number
  /** The number of calls in a sample. */
  readonly calls: number
  readonly samples: number[]
}

export function secondsOf(device: Device, run: () => void): number {
  const started = performance.now()
  run()
  device.synchronize()
  return (performance.now() - started) / 1000
}

/** Builds a workload on a device, checks it and warms it up. A text says why that is impossible. */
function prepare(workload: Workload, device: Device, { repeats, referenceRate }: Course): Player | string {
  const builder = builderOf(workload)
  if (typeof builder === 'string') return builder
  setDefaultDevice(device)
  const work = builder(workload, new Maker(device))
  if (device.kind === 'reference') {
    // Some of its kernels run at a third of this rate.
    if (referenceRate !== null && (3 * work.checkCalls * work.operations) / referenceRate > referenceSeconds)
      return `not run: would take more than ${referenceSeconds} s`
    const started = performance.now()
    const check = work.check()
    const first = (performance.now() - started) / 1000 / work.checkCalls
    // Slow workloads need no second run, and fast ones are timed once they are compiled.
    return { device, work, check, repeats: first > 1 ? 0 : 1, calls: 1, samples: [first] }
  }
  const check = work.check()
  let once = secondsOf(device, work.run)
  const until = performance.now() + (once < shortSeconds ? warmUpSeconds.short : warmUpSeconds.long) * 1000
  do once = Math.min(once, secondsOf(device, work.run))
  while (performance.now() < until)
  const calls = Math.min(mostCalls, Math.max(1, Math.round(sampleSeconds / once)))
  return { device, work, check, repeats, calls, samples: [] }
}

function sample({ device, work, calls, samples }: Player): void {
  let best = secondsOf(device, work.run)
  for (let i = 1; i < calls; i++) best = Math.min(best, secondsOf(device, work.run))
  samples.push(best)
}

/** The kernels and their times, each run on its own. */
function traceOf({ device, work, calls }: Player) {
  return leastTimes(Array.from({ length: calls > 1 ? 3 : 1 }, () => trace(work.run, device).kernels))
}

const least = (samples: readonly number[]): number | null => (samples.length === 0 ? null : Math.min(...samples))

/** `drawn` workloads are new to everybody, and do not run on the reference backend if there is another. */
export async function measure(workload: Workload, drawn: boolean, course: Course): Promise<readonly Row[]> {
  const { peers, machine, repeats } = course
  const devices = course.devices.filter((device, i) => !drawn || device.kind !== 'reference' || i === 0)
  const { name } = workload
  const against = peers?.of(workload) ?? []
  const first = new Map<PeerName, PeerRow | null>()
  for (const peer of against) first.set(peer, (await peers?.sample(peer, name, 1)) ?? null)
  const players = devices.map((device) => {
    try {
      return prepare(workload, device, course)
    } catch (error) {
      if (error instanceof DeviceError) return error.message
      throw error
    }
  })
  const fast = players.find((player): player is Player => typeof player !== 'string' && player.device.kind === 'cpu')
  const records = machine === null || fast === undefined ? null : traceOf(fast)
  const used = levels.filter((level) => records?.some((r) => machine?.levelOf(r.bytes) === level))
  const calls = fast?.calls ?? 1
  if (calls > 1) for (const peer of against) await peers?.warmUp(peer, name, warmUpSeconds.short)
  const theirs = new Map<PeerName, number[]>(against.map((peer) => [peer, []]))
  const rates: Rates[] = []
  for (let repeat = 0; repeat < repeats; repeat++) {
    for (const player of players) {
      if (typeof player === 'string' || repeat >= player.repeats) continue
      await sleep(pauseMilliseconds)
      sample(player)
    }
    for (const [peer, samples] of theirs) {
      const row = await peers?.sample(peer, name, calls)
      if (row) samples.push(row.best)
    }
    if (machine !== null && records !== null) rates.push(machine.measure(used as readonly Level[]))
  }
  const best = (peer: PeerName) => least(theirs.get(peer) ?? [])
  const checks = [...first.values()].flatMap((row) => (row === null ? [] : [row.check]))
  return players.map((player, i): Row => {
    const peerTimes = { torch: best('torch'), torchTuned: best('torchTuned'), openblas: best('openblas') }
    const none = { best: null, bound: null, share: null, rates: null, memory: null, checked: false }
    const backend = (devices[i] as Device).name
    if (typeof player === 'string') {
      const ratios = { torch: null, torchTuned: null, openblas: null }
      return { name, backend, ...peerTimes, ...none, drawn, note: player, ratios }
    }
    const ours = least(player.samples) as number
    const ratioTo = (peer: PeerName) => pairedRatio(theirs.get(peer) ?? [], player.samples)
    const faults = [...new Set(checks.flatMap((check) => differences(player.check, check, player.work)))]
    const local = player === fast && rates.length > 0 ? bestRates(rates) : null
    const bound = local === null || records === null || machine === null ? null : boundOf(records, machine, local)
    return {
      name,
      backend,
      best: ours,
      ...peerTimes,
      checked: checks.length > 0 && faults.length === 0,
      drawn,
      note: faults.length > 0 ? `DIFFERS: ${faults.join('; ')}` : checks.length > 0 ? 'agrees' : '',
      ratios: { torch: ratioTo('torch'), torchTuned: ratioTo('torchTuned'), openblas: ratioTo('openblas') },
      bound,
      share: bound === null || bound.limit === 'calls' ? null : bound.seconds / ours,
      rates: local,
      memory: null,
    }
  })
}
