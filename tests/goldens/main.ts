/**
 * Runs every golden case on every backend and compares outputs, gradients, buffers and whole runs with PyTorch's
 * numbers.
 *
 * Usage: npm run test:goldens [-- REGEX of kinds]. GOLDENS_DIR names another folder of the same form.
 * FIRESTEEL_TEST_DEVICES names the devices (default reference,cpu), which must all be there. The exit code is 1 if a
 * case fails.
 */
import { fileURLToPath } from 'node:url'
import { setDefaultDevice } from '../../lib/backend/devices.js'
import type { Tensor } from '../../lib/core/tensor.js'
import { Given, type GoldenCase, Goldens } from './cases.js'
import { kinds } from './kinds/index.js'
import * as optimizers from './optimizers.js'
import type { Comparison } from './run.js'
import * as schedules from './schedules.js'
import * as training from './training.js'

const runs = { ...optimizers.runs, ...schedules.runs, ...training.runs }

const float32 = 2 ** -23

/**
 * The allowed error, relative to the largest expected value: a few roundings, and those of a sum of this many terms.
 */
function tolerance(reduces: number): number {
  return float32 * (16 + 4 * Math.sqrt(reduces))
}

/** The largest error relative to the tensor's scale, as a share of the allowed error. */
function share({ what, got, expected, reduces, bound }: Comparison): { error: number; share: number } {
  if (got.length !== expected.length) throw new Error(`${what}: ${got.length} values, ${expected.length} expected`)
  let scale = 1e-6
  let worst = 0
  for (let i = 0; i < expected.length; i++) {
    const e = expected[i] as number
    if (Number.isFinite(e)) scale = Math.max(scale, Math.abs(e))
    const difference = Math.abs((got[i] as number) - e)
    if (Number.isNaN(difference)) {
      if (!Object.is(got[i], e)) return { error: Number.POSITIVE_INFINITY, share: Number.POSITIVE_INFINITY }
    } else worst = Math.max(worst, difference)
  }
  if (bound !== undefined) return { error: 0, share: worst / bound }
  const error = worst / scale
  return { error, share: error / tolerance(reduces) }
}

function compareTensor(what: string, got: Tensor | null, given: Given, role: string, reduces: number): Comparison {
  const expected = given.values(role)
  if (got === null) throw new Error(`${what}: there is none`)
  if (got.shape.join() !== expected.shape.join())
    throw new Error(`${what} has shape [${got.shape.join(', ')}], expected [${expected.shape.join(', ')}]`)
  return { what, got: got.dataSync(), expected: expected.data, reduces }
}

function comparisons(given: Given): Comparison[] {
  const run = runs[given.golden.kind]
  if (run) return run(given)
  const kind = kinds[given.golden.kind] as (typeof kinds)[string]
  const { outputs, parameters, buffers } = kind.run(given)
  const reduces = kind.reduces(given)
  const found = outputs.map((output, i) => compareTensor(`output ${i}`, output, given, `out.${i}`, reduces))
  if (outputs.length !== given.roles('out.').length)
    throw new Error(`${outputs.length} outputs, ${given.roles('out.').length} expected`)
  ;(outputs[0] as Tensor).backward({ gradient: given.tensor('seed') })
  for (const name of given.roles('grad.')) {
    const parameter = name.startsWith('param.') ? parameters?.get(name.slice(6)) : null
    const leaf = parameter ?? given.tensor(name)
    found.push(compareTensor(`gradient of ${name}`, leaf.grad, given, `grad.${name}`, reduces))
  }
  for (const name of given.roles('buffer.'))
    found.push(compareTensor(`buffer ${name}`, buffers?.get(name) ?? null, given, `buffer.${name}`, reduces))
  return found
}

interface Tally {
  passed: number
  failed: number
  missing: number
  readonly missingKinds: Set<string>
  readonly worst: Map<string, number>
}

function runCase(goldens: Goldens, golden: GoldenCase, device: string, tally: Tally): void {
  if (!(golden.kind in kinds) && !(golden.kind in runs)) {
    tally.missing++
    tally.missingKinds.add(golden.kind)
    return
  }
  try {
    const bad: string[] = []
    for (const comparison of comparisons(new Given(goldens, golden, device))) {
      const result = share(comparison)
      tally.worst.set(golden.kind, Math.max(tally.worst.get(golden.kind) ?? 0, result.error))
      if (!(result.share <= 1))
        bad.push(
          `${comparison.what} is off by ${result.error.toExponential(2)} (${result.share.toFixed(1)} times the allowed)`,
        )
    }
    if (bad.length > 0) throw new Error(bad.join('; '))
    tally.passed++
  } catch (error) {
    tally.failed++
    console.log(`FAILED ${device} ${golden.name}: ${(error as Error).message}`)
  }
}

/** The folders to run, and the pattern that kinds must match. */
const own = ['basic', 'breadth', 'volumes'].map((name) => fileURLToPath(new URL(`./data/${name}`, import.meta.url)))
const folders = process.env['GOLDENS_DIR'] === undefined ? own : [process.env['GOLDENS_DIR']]
const pattern = new RegExp(process.argv[2] ?? '')
const devices = (process.env['FIRESTEEL_TEST_DEVICES'] ?? 'reference,cpu').split(',')
const sets = await Promise.all(folders.map((folder) => Goldens.read(folder)))
for (const device of devices) {
  setDefaultDevice(device)
  const tally: Tally = { passed: 0, failed: 0, missing: 0, missingKinds: new Set(), worst: new Map() }
  for (const goldens of sets)
    for (const golden of goldens.cases) if (pattern.test(golden.kind)) runCase(goldens, golden, device, tally)
  console.log(`\n${device}: largest error per kind, relative to the largest expected value`)
  for (const [kind, error] of [...tally.worst].sort(([a], [b]) => a.localeCompare(b)))
    console.log(`  ${kind.padEnd(28)} ${error.toExponential(2)}`)
  if (tally.missingKinds.size > 0) console.log(`  not implemented: ${[...tally.missingKinds].sort().join(', ')}`)
  console.log(`${device}: ${tally.passed} passed, ${tally.failed} failed, ${tally.missing} not implemented`)
  if (tally.failed > 0 || tally.passed === 0) process.exitCode = 1
}
