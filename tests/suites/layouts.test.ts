/** Memory that is not dense: transposed, sliced, offset and expanded inputs must give the same as contiguous ones. */
import fc from 'fast-check'
import { describe, it } from 'vitest'
import * as f from '../../lib/index.js'
import type { Case } from '../cases/case.js'
import { casesFor, compare, devices, nameOf, type Outcome, runCase, valuesOf } from './support.js'

const layouts = ['dense', 'transposed', 'every second', 'offset', 'expanded'] as const
type Layout = (typeof layouts)[number]

/** The same elements in another layout. */
const arrangements: { readonly [K in Layout]: (x: f.Tensor) => f.Tensor } = {
  dense: (x) => x,
  transposed: (x) => (x.ndim < 2 ? x : f.transpose(f.clone(f.transpose(x, 0, -1)), 0, -1)),
  'every second': (x) => {
    if (x.ndim === 0) return x
    const last = x.ndim - 1
    const spread = f.reshape(f.stack([x, x], x.ndim), [...x.shape.slice(0, last), 2 * (x.shape[last] as number)])
    return f.slice(spread, ...x.shape.slice(0, last).map(() => null), [0, null, 2])
  },
  offset: (x) => {
    const flat = f.reshape(x, [x.numel])
    const around = f.full([3], 1, { dtype: x.dtype, device: x.device })
    return f.reshape(f.narrow(f.cat([around, flat, around]), 0, 3, x.numel), x.shape)
  },
  // Only its values along the first dimension are equal: see `flatten`.
  expanded: (x) => (x.ndim === 0 || x.numel === 0 ? x : f.expand(f.clone(f.narrow(x, 0, 0, 1)), x.shape)),
}

/** Values that do not change along the first dimension, if that one is expanded. */
function flatten(values: Float64Array, shape: f.Shape): Float64Array {
  const inner = shape.slice(1).reduce((product, size) => product * size, 1)
  return shape.length === 0 ? values : values.map((_, i) => values[i % inner] as number)
}

function check(c: Case, device: f.Device, chosen: readonly Layout[]): void {
  const layoutOf = (i: number): Layout => {
    const layout = chosen[i % chosen.length] ?? 'dense'
    return layout === 'expanded' && (c.inputs[i]?.written || c.inputs[i]?.exact) ? 'every second' : layout
  }
  const values = valuesOf(c).map((v, i) => (layoutOf(i) === 'expanded' ? flatten(v, c.inputs[i]?.shape ?? []) : v))
  const run = (arrange: (x: f.Tensor, i: number) => f.Tensor): Outcome => runCase(c, device, 'float32', arrange, values)
  compare(
    c,
    run((x, i) => arrangements[layoutOf(i)](x)),
    run((x) => x),
    'float32',
  )
}

const cases = casesFor('layouts', (c) => c.inputs.every((x) => x.shape.reduce((a, b) => a * b, 1) <= 25_000))

describe.each(devices.map((device) => [device.name, device] as const))('%s', (_device, device) => {
  it.each(cases.map((each) => [nameOf(each), each.case] as const))('%s', (_name, c) => {
    for (const layout of layouts.slice(1)) {
      try {
        check(c, device, [layout])
      } catch (error) {
        throw new Error(`${layout}: ${(error as Error).message}`, { cause: error })
      }
    }
  })

  it('any layouts side by side', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: cases.length - 1 }),
        fc.array(fc.constantFrom(...layouts), { minLength: 2, maxLength: 5 }),
        (i, chosen) => check((cases[i] as (typeof cases)[number]).case, device, chosen),
      ),
      { numRuns: 300 },
    )
  })
})
