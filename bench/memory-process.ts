/**
 * Trains a few steps of one workload in its own process, and prints the memory that they took (`OwnMemory`).
 *
 * Usage: node --expose-gc --import tsx bench/memory-process.ts WORKLOADS NAME THREADS
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { device, memory, setDefaultDevice } from 'firesteel'
import { NativeDevice } from '../lib/backend/native/device.js'
import { Maker } from './maker.js'
import type { OwnMemory } from './memory.js'
import { builderOf, readWorkloads } from './suite.js'

const steps = 5

/** VmRSS, or VmHWM (the largest VmRSS so far), in bytes. */
function resident(field: 'VmRSS' | 'VmHWM'): number {
  const found = new RegExp(`${field}:\\s+(\\d+) kB`).exec(readFileSync('/proc/self/status', 'utf8'))
  if (found === null) throw new Error(`/proc/self/status has no ${field}`)
  return Number(found[1]) * 1024
}

const [path = '', name = '', threads = ''] = process.argv.slice(2)
const workload = readWorkloads(path).find((w) => w.name === name)
const builder = workload === undefined ? `no workload is called ${name}` : builderOf(workload)
if (workload === undefined || typeof builder === 'string') throw new Error(String(builder))
const cpu = device('cpu')
if (cpu instanceof NativeDevice) cpu.threads = Number(threads)
setDefaultDevice(cpu)
const { run } = builder(workload, new Maker(cpu))
cpu.synchronize()
globalThis.gc?.()
const before = resident('VmRSS')
writeFileSync('/proc/self/clear_refs', '5') // resets VmHWM
for (let i = 0; i < steps; i++) run()
cpu.synchronize()
const { reservedBytes, peakBytes } = memory(cpu)
const result: OwnMemory = { growth: resident('VmHWM') - before, reserved: reservedBytes, tensors: peakBytes }
console.log(JSON.stringify(result))
