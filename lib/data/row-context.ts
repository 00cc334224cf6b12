/** The facts that a step knows about its row: above all random numbers that no worker, order or resume can change. */
import { defaultGenerator, Generator } from '../core/generator.js'

/** The second argument of a function of a row. */
export interface RowContext {
  /**
   * The row's index in the dataset that made its batch. Parts of a dataset (`take`, `select`, splits) pass their own
   * index.
   */
  readonly index: number
  /** The loader's pass, from 0. */
  readonly epoch: number
  /**
   * The row's own random numbers, by (seed, epoch, index), the same whoever makes the row, and when. All steps of a row
   * share them.
   */
  readonly generator: Generator
}

/** A pass for which rows are made. Its seed is that of the loader's generator. Plain data. */
export interface SeededPass {
  readonly seed: number
  readonly epoch: number
}

/** Streams of Philox that programs' generators, which count from 0, hardly reach. */
const streams = { rows: 0x80000000, batches: 0xc0000000 } as const
/** Blocks of four words for each row. */
const blocksEach = 2 ** 20

function generatorAt({ seed, epoch }: SeededPass, kind: keyof typeof streams, index: number): Generator {
  const stream = streams[kind] + (epoch % 2 ** 30)
  const generator = new Generator(seed, stream)
  generator.loadStateDict({ seed, stream, offset: (index % 2 ** 32) * blocksEach })
  return generator
}

/** The random numbers of a batch of the pass. */
export function batchGenerator(pass: SeededPass, batch: number): Generator {
  return generatorAt(pass, 'batches', batch)
}

/**
 * The context of a row in a pass. Without a pass, random numbers come from the default generator, and differ each time.
 */
export function rowContext(pass: SeededPass | undefined, index: number): RowContext {
  let generator: Generator | null = null
  return {
    index,
    epoch: pass?.epoch ?? 0,
    // The generator is made on demand, because few steps draw anything.
    get generator() {
      generator ??= pass === undefined ? defaultGenerator().split() : generatorAt(pass, 'rows', index)
      return generator
    },
  }
}

/** The text of a row's error, in any thread. */
export const rowMessage = (row: number, message: string): string => `row ${row} cannot be made: ${message}`

/** Lets an error's message name its row, if `Dataset.rows` has marked it, in the words of a worker's error. */
export function nameRow(op: string, error: unknown): void {
  if (!(error instanceof Error) || !Object.hasOwn(error, 'row')) return
  const { row, message, stack } = error as Error & { readonly row: unknown }
  if (typeof row !== 'number' || message.startsWith(`[${op}] ${rowMessage(row, '')}`)) return
  const named = `[${op}] ${rowMessage(row, message)}`
  if (!Reflect.set(error, 'message', named) || typeof stack !== 'string') return
  // The stack holds a copy of the message.
  Reflect.set(
    error,
    'stack',
    stack.replace(message, () => named),
  )
}
