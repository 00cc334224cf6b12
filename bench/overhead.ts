/** The library's own costs, beside its kernels. */
import { type Device, setDefaultDevice, tensor } from 'firesteel'
import { measureEventLoop } from './event-loop.js'
import { secondsOf } from './measure.js'

/**
 * Microseconds of a sum of 16 elements through the public functions, including its collection. The least of several
 * runs counts.
 */
function tinyAdd(device: Device): number {
  const values = (sign: number) => Array.from({ length: 16 }, (_, i) => sign * i)
  const [a, b] = [tensor(values(1), { device }), tensor(values(-1), { device })]
  const calls = 200_000
  const run = () => {
    for (let i = 0; i < calls; i++) a.add(b)
  }
  let best = Number.POSITIVE_INFINITY
  for (let i = 0; i < 7; i++) best = Math.min(best, secondsOf(device, run))
  return (best / calls) * 1e6
}

/** Two lines: one about a tiny operator, and one about the event loop beside a training. */
export async function overheadLines(device: Device): Promise<string> {
  setDefaultDevice(device)
  const add = tinyAdd(device)
  const { percentile99, longest, steps, loss } = await measureEventLoop(device)
  return [
    `16-element add, made and collected: ${add.toFixed(3)} us`,
    `event loop while the Trainer runs ${steps} steps of the CNN (loss ${loss.toFixed(3)}): ` +
      `99th percentile ${percentile99.toFixed(1)} ms, longest ${longest.toFixed(1)} ms`,
  ].join('\n')
}
