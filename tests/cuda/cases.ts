/**
 * Runs the cases of operators on the CUDA device, forward and backward, and compares them with the reference device in
 * float64. Prints how many agree and how many are refused by name. Any difference ends the process with an error. Under
 * the checker, which is slow, only the smaller cases run. Arguments name families; by default those whose kernels the
 * device has.
 */
import { createHash } from 'node:crypto'
import { device } from '../../lib/backend/devices.js'
import { DeviceError } from '../../lib/index.js'
import { allCases, compare, nameOf, runCase } from '../suites/support.js'

const gpu = device('cuda')
const reference = device('reference')
const chosen = process.argv.length > 2 ? process.argv.slice(2) : null
const families = chosen ?? [
  'reduce',
  'sort',
  'indexing',
  'matmul',
  'conv',
  'pool',
  'interpolate',
  'norm',
  'softmax',
  'loss',
  'recurrent',
  'random',
  'optimizer',
  'creation',
  'gated',
  'attention',
]
const checks = process.env['FIRESTEEL_EMULATOR_CHECK'] === '1'
const largest = checks ? 700 : 4000
// One case in so many runs. Names decide which, so that a new case moves no other.
const share = checks ? 8 : 3

const count = (shape: readonly number[]) => shape.reduce((product, size) => product * size, 1)

let [agreed, refused] = [0, 0]
for (const named of allCases) {
  const c = named.case
  if (!families.includes(named.family) || c.without?.devices !== undefined) continue
  if (c.inputs.some(({ shape }) => count(shape) > largest)) continue
  if (chosen === null && (createHash('md5').update(nameOf(named)).digest()[0] as number) % share !== 0) continue
  try {
    const outcome = runCase(c, gpu, 'float32')
    compare(c, outcome, runCase(c, reference, 'float64'), 'float32')
    agreed++
  } catch (error) {
    const isRefusal = error instanceof DeviceError && /cuda:0 (has no kernel|lacks the kernels)/.test(error.message)
    if (!isRefusal) throw new Error(nameOf(named), { cause: error })
    refused++
  }
}
console.log(`${agreed} cases agree, ${refused} are refused`)
