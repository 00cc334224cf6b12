/** Collects sound calls, which guards make wrong. */
import type { PublicCall } from '../cases/sound.js'

type Call = (...args: never[]) => unknown
type Class = new (...args: never[]) => unknown

export interface Collector {
  readonly entries: PublicCall[]
  /** A call of `call` under the name that its errors report, with further names that they may report. */
  add(name: string, call: Call, args: () => unknown[], ...others: string[]): void
  /** The same of a constructor. */
  make(name: string, Class: Class, args: () => unknown[], ...others: string[]): void
}

export function collector(): Collector {
  const entries: PublicCall[] = []
  const add: Collector['add'] = (name, call, args, ...others) => {
    entries.push({ names: [name, ...others], args, call })
  }
  return {
    entries,
    add,
    make: (name, Class, args, ...others) => add(name, (...given) => new Class(...given), args, ...others),
  }
}
