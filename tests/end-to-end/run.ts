/**
 * The long checks of whole processes, on every promised version of Node: `tsx tests/end-to-end/run.ts [--steps 5000]`.
 * Prints a line for each and ends with 'N passed, N failed'.
 */
import { parseArgs } from 'node:util'
import { endings, runEnding } from './endings.js'
import { loops, type Report, runEventLoop, runLoop, runTrainers } from './measure.js'
import { nodesToTest } from './nodes.js'

const { values } = parseArgs({ options: { steps: { type: 'string', default: '5000' } } })
const steps = Number(values.steps)
/**
 * The Trainer's steps in one turn. They are just enough for a collection of young objects in each turn, so that there
 * are as many turns as possible.
 */
const turnSteps = 100

let passed = 0
let failed = 0

function print({ name, figures, faults }: Report): void {
  if (faults.length === 0) passed++
  else failed++
  process.stdout.write(`  ${faults.length === 0 ? 'ok    ' : 'FAILED'} ${name}: ${figures}\n`)
  for (const fault of faults) process.stdout.write(`         ${fault}\n`)
}

for (const node of nodesToTest('20,22,24')) {
  process.stdout.write(`Node ${node.version}, ${steps} steps each\n`)
  for (const name of loops) print(runLoop(node, name, steps))
  // The ratio is only printed for reading. On a busy machine, only a gross one is a fault.
  print(await runTrainers(node, Math.ceil(steps / turnSteps), turnSteps, { ratio: 2, growth: 1.15 }))
  print(runEventLoop(node, 5, 30))
  for (const name of endings) print(runEnding(node, name))
}
process.stdout.write(`${passed} passed, ${failed} failed\n`)
process.exitCode = failed === 0 ? 0 : 1
