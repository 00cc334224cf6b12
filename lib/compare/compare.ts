/** The same work on several devices: the losses are compared, then the time. */
import { describeDevice } from '../backend/describe.js'
import { device as findDevice, unavailable, withDefaultDevice } from '../backend/devices.js'
import type { Device } from '../core/device.js'
import { DeviceError, DTypeError, kindOf, namedAs, shown, ValueError } from '../core/errors.js'
import { defaultGenerator } from '../core/generator.js'
import { nextTurn } from '../core/host.js'
import { checkOptions, listOf } from '../core/options.js'
import { scope } from '../core/scope.js'
import { checkFinished, checkFunction } from '../core/synchronous.js'
import { Tensor } from '../core/tensor.js'
import { Comparison, type DeviceRow } from './comparison.js'

export interface CompareOptions {
  /**
   * The number of first steps whose losses are compared; default 20. With 0 no loss is read, and a step may return
   * anything.
   */
  readonly losses?: number
  /** Seconds of timing on each device; default 5. A slow device makes at least one step. */
  readonly seconds?: number
}

/** More is treated as a mistake, because the call would not end. */
const mostLosses = 100_000
const mostSeconds = 86_400
/** The seconds of steps in a sample, so many that the wait for the device at its end is a small part. */
const sampleSeconds = 0.02
/** The rounds in which devices take turns, so that other work of the machine affects all of them. */
const rounds = 5

/** A device at work. */
interface Player {
  readonly device: Device
  readonly step: () => unknown
  readonly losses: number[]
  /** Seconds of a step, by sample. */
  readonly samples: number[]
  steps: number
  peakBytes: number
}

const op = 'compare'

/** Makes a step, and returns its loss if it is wanted. */
function run(player: Player, wanted: boolean): void {
  withDefaultDevice(player.device, () =>
    scope(() => {
      const loss = checkFinished(op, player.step())
      if (!wanted) return
      const value = loss instanceof Tensor && loss.numel === 1 ? loss.item() : loss
      if (typeof value !== 'number')
        throw new ValueError(
          op,
          `a step returned ${kindOf(loss)}, but must return its loss, a number or a tensor of one element; ` +
            'with { losses: 0 } no loss is compared',
        )
      player.losses.push(value)
    }),
  )
}

/**
 * Takes samples for this many seconds, at least one. The time of the last step decides how many steps fill a sample.
 */
function time(player: Player, seconds: number): void {
  const { device, samples } = player
  const until = performance.now() + seconds * 1000
  do {
    const last = samples.at(-1)
    const steps = last === undefined ? 1 : Math.max(1, Math.round(sampleSeconds / last))
    device.synchronize()
    const started = performance.now()
    for (let i = 0; i < steps; i++) run(player, false)
    device.synchronize()
    samples.push((performance.now() - started) / 1000 / steps)
    player.steps += steps
  } while (performance.now() < until)
}

const median = (values: readonly number[]): number => {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = (sorted.length - 1) / 2
  return ((sorted[Math.floor(middle)] as number) + (sorted[Math.ceil(middle)] as number)) / 2
}

/** Whether the device may be at fault: it lacks a kernel or a dtype. */
const isLack = (error: unknown): error is Error => error instanceof DeviceError || error instanceof DTypeError

function prepare(device: Device, make: (device: Device) => () => unknown, losses: number): Player {
  device.resetPeak()
  const step = checkFinished(
    op,
    withDefaultDevice(device, () => make(device)),
  )
  if (typeof step !== 'function')
    throw new ValueError(op, `the function returned ${kindOf(step)}, but must return a function that makes a step`)
  const player: Player = { device, step, losses: [], samples: [], steps: 0, peakBytes: 0 }
  for (let i = 0; i < losses; i++) run(player, true)
  // The first call compiles, allocates and fills caches.
  if (losses === 0) run(player, false)
  device.synchronize()
  return player
}

function largestDifference(a: readonly number[], b: readonly number[]): number | null {
  if (a.length === 0) return null
  let most = 0
  for (const [i, x] of a.entries()) {
    const difference = Math.abs(x - (b[i] as number))
    if (!(difference <= most) && x !== b[i]) most = difference
  }
  return most
}

/**
 * Does the same work on each device: makes it there, compares the losses of its first steps, then times steps, in
 * turns. `make` gets a device, which is the default one meanwhile, and returns a function that makes one step and
 * returns its loss. The default generator begins at the same place on each device. The row of a device that is missing,
 * or lacks a kernel, tells why. Throws ValueError if no device is named or a step returns no loss, and the work's own
 * error if no device can do it.
 */
export async function compare(
  devices: Iterable<string | Device>,
  make: (device: Device) => () => unknown,
  options: CompareOptions = {},
): Promise<Comparison> {
  const { losses = 20, seconds = 5 } = checkOptions<CompareOptions>(op, options, { losses: true, seconds: true })
  checkFunction(op, make)
  if (!(Number.isInteger(losses) && losses >= 0 && losses <= mostLosses))
    throw new ValueError(op, `losses is ${shown(losses)}, but must be a whole number from 0 to ${mostLosses}`)
  if (!(typeof seconds === 'number' && seconds >= 0 && seconds <= mostSeconds))
    throw new ValueError(op, `seconds is ${shown(seconds)}, but must be a number from 0 to ${mostSeconds}`)
  const named = listOf(op, 'devices', devices, "a list of devices, such as ['reference', 'cpu', 'cuda']")
  if (named.length === 0) throw new ValueError(op, 'the list of devices is empty; name at least one')
  const generator = defaultGenerator()
  const start = generator.stateDict()
  const found = named.map((name) => {
    const missing = typeof name === 'string' ? unavailable(name) : null
    if (missing !== null) return { name: String(name), reason: missing.replaceAll('\n', ' ') }
    const device = namedAs(op, () => findDevice(name))
    generator.loadStateDict(start)
    try {
      return { name: device.name, player: prepare(device, make, losses) }
    } catch (error) {
      if (!isLack(error)) throw error
      return { name: device.name, reason: error.message.replaceAll('\n', ' '), error }
    }
  })
  // An error on every device is the program's own.
  const [only] = found
  if (only?.error !== undefined && found.every(({ player }) => player === undefined)) throw only.error
  for (let round = 0; round < rounds; round++)
    for (const { player } of found) {
      // A device whose step takes longer than its share of the time makes no further step.
      if (player === undefined || (player.samples[0] ?? 0) * player.samples.length > seconds) continue
      time(player, seconds / rounds)
      player.peakBytes = player.device.memory().peakBytes
      await nextTurn()
    }
  const first = found.find(({ player }) => player !== undefined)?.player
  const base = first === undefined ? 0 : median(first.samples)
  return new Comparison(
    found.map(({ name, reason, player }): DeviceRow => {
      if (player === undefined) return { device: name, missing: reason as string }
      const seconds = median(player.samples)
      return {
        device: name,
        missing: null,
        description: describeDevice(player.device),
        milliseconds: 1000 * seconds,
        speedUp: base / seconds,
        steps: player.steps,
        peakBytes: player.peakBytes,
        losses: player.losses,
        difference: first === undefined ? null : largestDifference(player.losses, first.losses),
      }
    }),
  )
}
