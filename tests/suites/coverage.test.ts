/** The suites leave nothing out: every operator and kernel has cases, and every excuse is counted. */
import { describe, expect, it } from 'vitest'
import { type AnyOperator, operators } from '../../lib/autograd/operator.js'
import { kernels, families as table } from '../../lib/backend/table/index.js'
import * as f from '../../lib/index.js'
import * as linalg from '../../lib/linalg/index.js'
import * as ops from '../../lib/ops/index.js'
import type { Check } from '../cases/case.js'
import { families } from '../cases/index.js'
import { allCases, asList, casesFor, deviceNames, devices, make, nameOf, valuesOf } from './support.js'

/** Operators without a case here, and the place of their tests. */
const elsewhere: { readonly [op: string]: string } = {
  transfer: 'needs two devices: autograd.test.ts',
  lower: 'what autocast converts with: autocast.test.ts',
}

/** Public functions without a case of their name, and the operator whose cases call them. */
const calledBy: { readonly [name: string]: string } = {
  broadcastTo: 'expand',
  chunk: 'split',
  contiguous: 'clone',
  detach: 'alias',
  flatten: 'reshape',
  indexSelect: 'index_select',
  narrow: 'slice',
  rand: 'random_uniform',
  randint: 'random_integers',
  randn: 'random_normal',
  select: 'slice',
  stack: 'cat',
  swapaxes: 'permute',
  transpose: 'permute',
  unsqueeze: 'reshape',
  variance: 'var',
  view: 'reshape',
}

/** Functions that make tensors from nothing have no inputs for a case: tests/unit/creation.test.ts. */
const creation = [
  'empty',
  'emptyLike',
  'fullLike',
  'linspace',
  'logspace',
  'onesLike',
  'zerosLike',
  'arange',
  'eye',
  'fromTypedArray',
  'full',
  'ones',
  'tensor',
  'trilIndices',
  'triuIndices',
  'zeros',
]

const differentiable = (record: AnyOperator) => record.gradient !== null

describe('coverage', () => {
  it('all devices asked for are there', () => {
    expect(devices.map((device) => device.name)).toEqual(deviceNames)
  })

  it('the families are those of the table of kernels', () => {
    expect(Object.keys(families).sort()).toEqual([...Object.keys(table), 'creation'].sort())
  })

  it('every operator has a case, and every case an operator, a kernel, a public function or an optimiser', () => {
    const covered = new Set(allCases.map((each) => each.case.op))
    const names = operators().map((record) => record.name)
    expect(names.filter((name) => !covered.has(name) && elsewhere[name] === undefined)).toEqual([])
    const known = (op: string) =>
      names.includes(op) || [kernels, ops, linalg, f.optim].some((all) => Object.hasOwn(all, op))
    expect([...covered].filter((op) => !known(op))).toEqual([])
  })

  it('every public function has a case', () => {
    const covered = new Set(allCases.map((each) => each.case.op))
    const has = (name: string) => covered.has(name) || covered.has(calledBy[name] ?? '') || creation.includes(name)
    expect(Object.keys({ ...ops, ...linalg }).filter((name) => !has(name))).toEqual([])
    // An excuse must end with the thing that it excuses.
    for (const name of [...Object.keys(calledBy), ...creation]) {
      expect(Object.keys(ops)).toContain(name)
      expect(covered.has(name), name).toBe(false)
    }
  })

  it('every family has calls that must fail', () => {
    for (const [name, family] of Object.entries(families)) expect(family.errors.length, name).toBeGreaterThan(0)
  })

  it('names are unique', () => {
    const names = allCases.map(nameOf)
    expect(names.filter((name, i) => names.indexOf(name) !== i)).toEqual([])
  })

  it('every differentiable operator is held to finite differences, and each of its cases wants a gradient', () => {
    const checked = new Set(
      casesFor('finite differences', (c) => c.inputs.some((x) => x.differentiable)).map((e) => e.case.op),
    )
    const missing = operators().filter(
      (record) => differentiable(record) && !checked.has(record.name) && elsewhere[record.name] === undefined,
    )
    // A conversion to a narrower dtype has no finite differences.
    expect(missing.map((record) => record.name)).toEqual(['cast'])
  })

  it('every kernel of the table runs in some case on some device', () => {
    const ran = new Set<string>()
    for (const device of devices)
      for (const { case: c } of allCases) {
        const large = c.inputs.some((input) => input.shape.reduce((a, b) => a * b, 1) > 10_000)
        if (large && (ran.has(c.op) || !Object.hasOwn(kernels, c.op))) continue
        const traced = f.trace(
          () =>
            f.scope(() => {
              const values = valuesOf(c)
              const inputs = c.inputs.map((input, i) => {
                const x = make(input, values[i] as Float64Array, device, 'float32')
                if (input.differentiable) x.requiresGrad = true
                return x
              })
              for (const output of asList(c.call(...inputs)))
                if (output.requiresGrad)
                  f.backward(output, { gradient: f.ones(output.shape, { device }), retainGraph: true })
            }),
          device,
        )
        for (const record of traced.kernels) ran.add(record.kernel)
      }
    const optional = Object.keys(kernels).filter((name) => devices.every((device) => !device.hasKernel(name)))
    const missing = Object.keys(kernels).filter((name) => !ran.has(name) && !optional.includes(name))
    // The first takes no tensor, so no case fits it; tests/unit/creation.test.ts tests it. The others are not operators
    // of their own; tests/unit/decoding-kernels.test.ts tests them.
    const elsewhere = ['arange', 'matmul_each', 'rotary_append']
    expect(missing.filter((name) => !elsewhere.includes(name))).toEqual([])
  })

  it('excuses are as many as a family says, and no more', () => {
    for (const [name, { cases, excused = {} }] of Object.entries(families)) {
      const counts: { [K in Check]?: number } = {}
      for (const { without = {} } of cases)
        for (const check of Object.keys(without) as Check[]) counts[check] = (counts[check] ?? 0) + 1
      expect(counts, name).toEqual(excused)
    }
  })
})
