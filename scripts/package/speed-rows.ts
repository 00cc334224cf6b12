/**
 * The program of speed.ts. It reads names of workloads, one a line, and prints for each the milliseconds of processor
 * time of a call.
 */
import { createInterface } from 'node:readline'
import { defaultDevice } from 'firesteel'
import { Maker } from '../../bench/maker.js'
import { builderOf } from '../../bench/suite.js'
import type { Work, Workload } from '../../bench/work.js'
import list from '../../bench/workloads.json' with { type: 'json' }
import { loadNative } from '../../lib/backend/native/loader.js'

const workloads: readonly Workload[] = list
const device = defaultDevice()
const works = new Map<string, Work>()

function workOf(name: string): Work {
  const known = works.get(name)
  if (known !== undefined) return known
  const workload = workloads.find((each) => each.name === name)
  const builder = workload === undefined ? `there is no workload ${name}` : builderOf(workload)
  if (workload === undefined || typeof builder === 'string') throw new Error(String(builder))
  const work = builder(workload, new Maker(device))
  work.check()
  works.set(name, work)
  return work
}

/** The time of a call, which is a mean over as many as fill two milliseconds, because the clock counts microseconds. */
function millisecondsOf({ run }: Work): number {
  const before = process.cpuUsage()
  for (let calls = 1; ; calls++) {
    run()
    device.synchronize()
    const { user, system } = process.cpuUsage(before)
    const milliseconds = (user + system) / 1000
    if (milliseconds >= 2) return milliseconds / calls
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  if (line === 'names') console.log(JSON.stringify(workloads.map(({ name }) => name)))
  else if (line === 'path') {
    const loaded = loadNative()
    console.log('path' in loaded ? loaded.path : loaded.unavailable)
  } else console.log(millisecondsOf(workOf(line)))
}
