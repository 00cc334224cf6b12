/**
 * Runs operators three times, each time with different garbage in the allocator's free memory, and demands the same
 * bits and untouched neighbours. This finds a kernel that reads memory before it writes it, or writes beside its
 * tensors.
 *
 * `tsx poison.ts SEED CASES [OPERATORS]` runs the cases of tests/cases whose bits must not vary, of all operators or of
 * those whose names match. It then runs CASES cases drawn at random, every third of them large. The instruction set is
 * FIRESTEEL_ISA's. Ends with `N passed, N failed`.
 */
import fc from 'fast-check'
import * as f from '../../lib/index.js'
import { type Case, randomOf } from '../cases/case.js'
import { families } from '../cases/index.js'
import { drawLarge } from '../cases/large.js'
import { casesFor, compareBits, type Outcome, runCase, valuesOf } from '../suites/support.js'

const [, , seedText = '1', countText = '300', operators = ''] = process.argv
const seed = Number(seedText)
const count = Number(countText)
const cpu = f.device('cpu')

/** Elements of freed blocks of every size class that the cases use, and beyond. */
const blocks = [1, 3, 16, 17, 33, 64, 100, 129, 256, 300, 513, 700, 1025, 2000, 4000, 9000, 20_000, 60_000, 200_000]

function poison(value: number): void {
  f.scope(() => {
    for (const elements of blocks) for (let k = 0; k < 3; k++) f.full([elements], value, { device: cpu })
    f.full([400_000], value, { device: cpu })
    f.full([4_000_000], value, { device: cpu })
  })
  cpu.synchronize()
}

const sentinel = 12_345

/** Runs the case with a sentinel on either side of each input. Throws if a sentinel, or an input, was written. */
function guarded(c: Case, values: readonly Float64Array[]): Outcome {
  const sentinels: f.Tensor[] = []
  const given: f.Tensor[] = []
  const guard = (elements: number) => sentinels.push(f.keep(f.full([elements], sentinel, { device: cpu })))
  try {
    const outcome = runCase(
      c,
      cpu,
      'float32',
      (x, i) => {
        guard(1 + (i % 64))
        const copy = f.keep(f.clone(x))
        guard(64 - (i % 64))
        if (!c.inputs[i]?.written) given.push(f.keep(x), copy)
        else copy.dispose()
        return x
      },
      values,
    )
    for (const each of sentinels)
      if (each.dataSync().some((value) => value !== sentinel)) throw new Error('wrote beside its tensors')
    for (let i = 0; i < given.length; i += 2) {
      const bytes = (x: f.Tensor | undefined) => Buffer.from((x as f.Tensor).detach().dataSync().buffer)
      if (!bytes(given[i]).equals(bytes(given[i + 1]))) throw new Error('changed an input')
    }
    return outcome
  } finally {
    for (const each of [...sentinels, ...given]) each.dispose()
  }
}

const faults: string[] = []
let passed = 0

function check(c: Case): void {
  try {
    const values = valuesOf(c)
    let first: Outcome | null = null
    for (const value of [Number.NaN, 1e30, -7]) {
      poison(value)
      const outcome = guarded(c, values)
      if (first === null) first = outcome
      else compareBits(outcome, first)
    }
    passed++
  } catch (error) {
    faults.push(`${c.op}: ${c.name}: ${(error as Error).message}`)
  }
}

const properties = Object.values(families).flatMap((family) => family.properties ?? [])
const drawn = properties.flatMap(({ cases }, i) =>
  fc.sample(cases, { seed: seed + i, numRuns: Math.ceil((2 * count) / 3 / properties.length) }),
)
for (const each of casesFor('threads', ({ op }) => new RegExp(operators).test(op))) check(each.case)
for (const c of drawn) check(c)
const random = randomOf(seed)
for (let i = 0; i < count - drawn.length; i++) check(drawLarge(random))

for (const fault of faults.slice(0, 20)) console.error(fault)
console.log(`poison, seed ${seed}: ${passed} passed, ${faults.length} failed`)
process.exitCode = faults.length > 0 ? 1 : 0
