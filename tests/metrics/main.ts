/**
 * Compares metrics with the numbers of scikit-learn, SciPy, sacrebleu, rouge-score and jiwer. Each case runs at once,
 * in three batches, merged from two workers, and resumed from JSON half-way. options.json comes from scikit-learn
 * 1.9.1, SciPy 1.17.1, sacrebleu 2.6.0, rouge-score 0.1.2 and jiwer 4.0.0.
 *
 * Usage: npm run test:metrics [-- REGEX of kinds]. METRICS_FILE names another file of the same form;
 * FIRESTEEL_TEST_DEVICES names the devices (default reference,cpu). The exit code is 1 if a case fails.
 */
import { readFileSync } from 'node:fs'
import { setDefaultDevice } from '../../lib/backend/devices.js'
import { kinds, type MetricCase, ways } from './kinds.js'

/** Allowed error: absolute below 1, relative above. */
const tolerance = 1e-6

/** The largest difference of two values with the same form. Throws if their forms differ. */
function difference(got: unknown, expected: unknown, place = ''): number {
  // JSON has no NaN.
  if (expected === null) return Number.isNaN(got) ? 0 : Number.POSITIVE_INFINITY
  if (typeof expected === 'number') {
    if (typeof got !== 'number') throw new Error(`${place} is ${String(got)}, expected ${expected}`)
    const error = Math.abs(got - expected) / Math.max(1, Math.abs(expected))
    return Number.isNaN(error) ? Number.POSITIVE_INFINITY : error
  }
  const [own, theirs] = [Object.entries(got as object), Object.entries(expected as object)]
  if (Array.isArray(expected) && own.length !== theirs.length)
    throw new Error(`${place} has ${own.length} values, expected ${theirs.length}`)
  return Math.max(0, ...theirs.map(([name, value]) => difference((got as never)[name], value, `${place}.${name}`)))
}

const own = new URL('../goldens/data/metrics/', import.meta.url)
const files = process.env['METRICS_FILE']
  ? [process.env['METRICS_FILE']]
  : ['cases.json', 'options.json'].map((name) => new URL(name, own))
const pattern = new RegExp(process.argv[2] ?? '')
const cases = files
  .flatMap((file) => JSON.parse(readFileSync(file, 'utf8')) as MetricCase[])
  .filter(({ kind }) => pattern.test(kind))
for (const device of (process.env['FIRESTEEL_TEST_DEVICES'] ?? 'reference,cpu').split(',')) {
  setDefaultDevice(device)
  let [passed, failed] = [0, 0]
  const worst = new Map<string, number>()
  for (const each of cases) {
    const kind = kinds[each.kind]
    for (const [way, run] of Object.entries(ways)) {
      try {
        if (kind === undefined) throw new Error(`there is no metric ${each.kind}`)
        const error = difference(await run(kind(each)), each.expected, each.kind)
        worst.set(each.kind, Math.max(worst.get(each.kind) ?? 0, error))
        if (!(error <= tolerance)) throw new Error(`off by ${error.toExponential(2)}`)
        passed++
      } catch (error) {
        failed++
        console.log(`FAILED ${device} ${each.name}, ${way}: ${(error as Error).message}`)
      }
    }
  }
  console.log(`\n${device}: largest error per kind`)
  for (const [kind, error] of [...worst].sort(([a], [b]) => a.localeCompare(b)))
    console.log(`  ${kind.padEnd(28)} ${error.toExponential(2)}`)
  console.log(`${device}: ${passed} passed, ${failed} failed`)
  if (failed > 0 || passed === 0) process.exitCode = 1
}
