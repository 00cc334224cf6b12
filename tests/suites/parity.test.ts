/** Every device against the reference in float64: outputs and gradients, within what the dtype and the sums explain. */
import { describe, it } from 'vitest'
import { casesFor, compare, devices, nameOf, type Outcome, reference, runCase } from './support.js'

const exact = new Map<string, Outcome>()

describe.each(devices.map((device) => device.name))('%s in float32 is the reference in float64', (name) => {
  const device = devices.find((each) => each.name === name) ?? reference
  it.each(casesFor('devices').map((each) => [nameOf(each), each.case] as const))('%s', (title, c) => {
    const oracle = exact.get(title) ?? runCase(c, reference, 'float64')
    exact.set(title, oracle)
    compare(c, runCase(c, device, 'float32'), oracle, 'float32')
  })
})
