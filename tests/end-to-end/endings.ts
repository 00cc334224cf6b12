/** Runs each way of workers.mjs to end a process in its own process, and says how the process must end. */
import { spawnSync } from 'node:child_process'
import { bundled } from '../program.js'
import type { Report } from './measure.js'
import type { NodeBinary } from './nodes.js'

const script = new URL('workers.mjs', import.meta.url)

export const endings = [
  'train and terminate',
  'terminate while it waits',
  'process.exit',
  'uncaught throw',
  'throw in a worker',
] as const
export type Ending = (typeof endings)[number]

const exitCodes: { readonly [E in Ending]: number } = {
  'train and terminate': 0,
  'terminate while it waits': 0,
  'process.exit': 7,
  'uncaught throw': 1,
  'throw in a worker': 0,
}

/** The most milliseconds from the last word of the process to its end. A kernel may run to the end of a chunk. */
const promptly = 3000

export function runEnding(node: NodeBinary, name: Ending): Report {
  const { stdout, stderr, status, signal } = spawnSync(node.path, [bundled(script), name], {
    encoding: 'utf8',
    timeout: 120_000,
    killSignal: 'SIGKILL',
  })
  const ended = Date.now()
  const last = stdout.trim().split('\n').at(-1) ?? ''
  const delay = ended - Number(/at (\d+)$/.exec(last)?.[1])
  const faults = []
  if (status !== exitCodes[name])
    faults.push(`ended with ${status ?? signal} instead of ${exitCodes[name]}: ${stdout}${stderr}`)
  if (!(delay < promptly)) faults.push(`took ${delay} ms to end after: ${last}`)
  if (/unhandled|fatal|segmentation|abort/i.test(stderr)) faults.push(stderr)
  return { name: `ends by ${name}`, figures: `${last.replace(/ at \d+$/, '')}; ended after ${delay} ms`, faults }
}
