/** Every fused operator against its composite: in float64 on the reference, in float32 on the other devices. */
import { describe, it } from 'vitest'
import type { AnyOperator } from '../../lib/autograd/operator.js'
import { operatorNamed } from '../cases/case.js'
import { allCases, casesFor, compare, devices, nameOf, type Outcome, reference, runCase } from './support.js'

/** Runs with the device taken to lack the operator's kernels, which is when the composite serves. */
function throughComposite(op: string, run: () => Outcome): Outcome {
  const record = operatorNamed(op) as { -readonly [K in keyof AnyOperator]: AnyOperator[K] }
  const kernels = record.kernels
  record.kernels = ['a kernel that no device has']
  try {
    return run()
  } finally {
    if (kernels === undefined) delete record.kernels
    else record.kernels = kernels
  }
}

const composed = new Set(
  [...new Set(allCases.map((each) => each.case.op))].filter((op) => {
    try {
      return operatorNamed(op).composite !== undefined
    } catch {
      // A kernel that no operator stands above.
      return false
    }
  }),
)

const fused = casesFor('composite', (c) => composed.has(c.op)).map((each) => [nameOf(each), each.case] as const)

describe('float64 on the reference', () => {
  it.each(fused)('%s', (_name, c) => {
    const composite = throughComposite(c.op, () => runCase(c, reference, 'float64'))
    compare(c, runCase(c, reference, 'float64'), composite, 'float64')
  })
})

describe.each(devices.filter((device) => device !== reference).map((device) => [device.name, device] as const))(
  'float32 on %s',
  (_device, device) => {
    it.each(fused)('%s', (_name, c) => {
      const composite = throughComposite(c.op, () => runCase(c, device, 'float32'))
      compare(c, composite, runCase(c, reference, 'float64'), 'float32')
    })
  },
)
