/**
 * Settings of functions, such as a rate of a schedule. No file holds a function, so a state holds these, and refuses a
 * function that has others.
 */
import { shown } from '../core/errors.js'

/** Advice for a schedule whose options are not those of its state. */
export const scheduleAdvice = 'make the schedule with the options of the state, or load the other parts without it'

export type Setting = number | string | boolean | null | readonly number[]

/** Settings by name. Plain data, which may be written as JSON. */
export interface Settings {
  readonly [name: string]: Setting
}

/** Settings, some of which are functions. */
interface Given {
  readonly [name: string]: unknown
}

const known = new WeakMap<object, Given>()

/** The function, from which `settingsOf` reads these settings. */
export function withSettings<F extends object>(fn: F, settings: Given): F {
  known.set(fn, settings)
  return fn
}

/** The settings of functions in a list, each under its place in the list. */
export function settingsOfEach(name: string, fns: readonly object[]): Given {
  return Object.fromEntries(
    fns.flatMap((fn, i) => {
      const given = known.get(fn)
      if (given === undefined) return [[`${name}[${i}]`, fn]]
      return Object.entries(given).map(([key, value]) => [`${name}[${i}].${key}`, value])
    }),
  )
}

/** Counts at which a function of the program is called. */
const counts = [0, 1, 10, 100, 1000, 10_000]

/** A way to call a function with a count, so that another function is noticed, and the name of its result. */
type Probe = readonly [name: string, at: (count: number) => number]

/**
 * The settings of a function for a state. A function of the program, or one that was given functions, also has its
 * values after some steps. Values that it refuses are left out.
 */
export function settingsOf(fn: object, probes: readonly Probe[]): Settings {
  const given = known.get(fn) ?? null
  const plain = Object.entries(given ?? {}).filter(([, value]) => typeof value !== 'function')
  const isWhole = given !== null && plain.length === Object.keys(given).length
  const seen = isWhole ? [] : probes.flatMap(([name, at]) => probed(name, at))
  return Object.fromEntries([...plain, ...seen]) as Settings
}

function probed(name: string, at: (count: number) => number): [string, number][] {
  return counts.flatMap((count): [string, number][] => {
    try {
      const value = at(count)
      // Processors differ in the last digits of powers and cosines.
      return Number.isFinite(value) ? [[`${name} after ${count} steps`, Number(value.toPrecision(6))]] : []
    } catch {
      return []
    }
  })
}

/**
 * The settings that differ from those of a state, one text each. A setting that either of them lacks is not compared,
 * because states of earlier versions lack some.
 */
export function settingProblems(own: Settings, saved: unknown, advice: string): string[] {
  if (typeof saved !== 'object' || saved === null) return []
  return Object.entries(own).flatMap(([name, now]) => {
    const before: unknown = Object.hasOwn(saved, name) ? (saved as Settings)[name] : now
    if (JSON.stringify(before) === JSON.stringify(now)) return []
    return [`${name} is ${shown(now)}, but was ${shown(before)} in the state; ${advice}`]
  })
}
