/** On meta, every operator gives the shapes and dtypes of the reference, forward and backward, and computes nothing. */
import { describe, expect, it } from 'vitest'
import * as f from '../../lib/index.js'
import { allCases, casesFor, nameOf, type Outcome, reference, runCase, type Values } from './support.js'

const meta = f.device('meta')
const cases = casesFor('devices', (c) => c.without?.meta === undefined)

/** The properties of a tensor that need no elements. */
const described = (x: f.Tensor): Values => ({ shape: x.shape, dtype: x.dtype, data: new Float32Array(0) })

const specs = ({ outputs, gradients }: Outcome) =>
  [...outputs, ...gradients].map((values) => values && `${values.dtype} [${values.shape}]`)

describe('on meta, shapes and dtypes are those of the reference', () => {
  it.each(cases.map((each) => [nameOf(each), each.case] as const))('%s', (_title, c) => {
    const values = c.inputs.map((input) => new Float64Array(input.shape.reduce((a, b) => a * b, 1)))
    const on = (device: f.Device) => specs(runCase(c, device, 'float32', undefined, undefined, described))
    const found = specs(runCase(c, meta, 'float32', undefined, values, described))
    expect(found).toEqual(on(reference))
    expect(found.length).toBeGreaterThan(c.inputs.length)
  })

  it('of all families', () => {
    expect(new Set(cases.map((each) => each.family))).toEqual(new Set(allCases.map((e) => e.family)))
  })
})
