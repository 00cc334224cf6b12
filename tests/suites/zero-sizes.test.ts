/**
 * Every public operator with each of its sizes 0 in turn, and with all of them 0. Forward and backward must be the same
 * on every device, with PyTorch's shapes and numbers, or must throw the same typed error if PyTorch refuses too.
 */
import { describe, expect, it } from 'vitest'
import * as f from '../../lib/index.js'
import * as linalg from '../../lib/linalg/index.js'
import * as ops from '../../lib/ops/index.js'
import type { Case } from '../cases/case.js'
import { families } from '../cases/index.js'
import type { Sizes, ZeroSizes } from '../cases/zero.js'
import { compare, devices, type Outcome, reference, runCase } from './support.js'

const entries = Object.assign({}, ...Object.values(families).map(({ zeroSizes }) => zeroSizes)) as {
  readonly [call: string]: ZeroSizes
}

it('covers every public operator', () => {
  const tried = new Set(Object.keys(entries).map((name) => name.split(' ')[0]))
  expect(Object.keys({ ...ops, ...linalg }).filter((name) => !tried.has(name))).toEqual([])
})

/** Each size 0 in turn, none, and all. */
function variants(sizes: Sizes): readonly (readonly [string, Sizes])[] {
  const names = Object.keys(sizes)
  return [
    ['none', sizes] as const,
    ...names.map((name) => [name, { ...sizes, [name]: 0 }] as const),
    ['all', Object.fromEntries(names.map((name) => [name, 0]))] as const,
  ]
}

interface Failure {
  readonly code: string
  readonly op: string
}

describe.each(Object.entries(entries))('%s', (name, { sizes, inputs, call, refuses = [], fills = {} }) => {
  it.each(variants(sizes))('with %s of its sizes 0', (which, given) => {
    const c: Case = {
      op: name,
      name: which,
      inputs: inputs(given),
      call: (...made) => call(made, given),
      length: 16,
    }
    const outcomes = devices.map((device): Outcome | Failure => {
      const before = f.defaultDevice()
      f.setDefaultDevice(device)
      try {
        return runCase(c, device, 'float32')
      } catch (error) {
        const { code, op } = error as f.FiresteelError
        if (code === undefined || code === 'ERR_INTERNAL') throw error
        // The addon names the kernel that found an index out of range.
        return {
          code,
          op: op
            .replace(/_forward$/, '')
            .replaceAll('_', '')
            .toLowerCase(),
        }
      } finally {
        f.setDefaultDevice(before)
      }
    })
    const first = outcomes[devices.indexOf(reference)] as Outcome | Failure
    const refused = which === 'all' ? undefined : refuses.includes(which)
    for (const [i, outcome] of outcomes.entries()) {
      const device = (devices[i] as f.Device).name
      if ('code' in first || 'code' in outcome) expect(outcome, device).toEqual(first)
      else compare(c, outcome, first, 'float32')
      if (refused !== undefined) expect('code' in outcome, `${device}: ${JSON.stringify(outcome)}`).toBe(refused)
      if ('code' in outcome) {
        expect(name.toLowerCase()).toContain(outcome.op)
        continue
      }
      // A gradient has its input's shape, and nothing is added to it.
      for (const [k, input] of c.inputs.entries()) {
        const gradient = outcome.gradients[k]
        if (gradient) expect(gradient.shape, `gradient ${k} on ${device}`).toEqual(input.shape)
      }
      const fill = fills[which]
      if (fill !== undefined)
        for (const { data } of outcome.outputs) for (const value of data) expect(value, device).toBe(fill)
      const empty = outcome.outputs.every(({ data }) => data.length === 0)
      if (empty)
        for (const gradient of outcome.gradients)
          for (const value of gradient?.data ?? []) expect(Math.abs(value), device).toBe(0)
    }
  })
})
