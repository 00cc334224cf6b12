/** Random shapes and options: every device against the reference in float64. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import * as f from '../../lib/index.js'
import { type Case, type Input, normal, uniform } from '../cases/case.js'
import { families } from '../cases/index.js'
import { compare, devices, reference, runCase } from './support.js'

const size = fc.oneof(fc.integer({ min: 0, max: 9 }), fc.constantFrom(15, 16, 17, 31, 32, 33, 63, 65))
const shape = fc.array(size, { maxLength: 4 }).filter((s) => s.reduce((a, b) => a * b, 1) <= 20_000)

/** Two shapes that broadcast, and the number of times that an element of either is used. */
const broadcast = fc
  .tuple(shape, fc.array(fc.tuple(fc.boolean(), fc.boolean()), { minLength: 4, maxLength: 4 }), fc.nat(4), fc.nat(4))
  .map(([full, ones, cutA, cutB]) => {
    const one = (k: 0 | 1) => full.map((s, i) => (ones[i]?.[k] ? 1 : s))
    return { a: one(0).slice(Math.min(cutA, full.length)), b: one(1).slice(Math.min(cutB, full.length)), full }
  })

const count = (s: f.Shape) => s.reduce((a, b) => a * b, 1)
const differentiable = (input: Input): Input => input

const general: readonly { readonly name: string; readonly cases: fc.Arbitrary<Case> }[] = [
  {
    name: 'arithmetic with broadcasting',
    cases: fc.tuple(broadcast, fc.constantFrom('add', 'sub', 'mul', 'div' as const)).map(([{ a, b, full }, op]) => ({
      op,
      name: 'any',
      inputs: [differentiable(normal(a)), uniform(b, 0.5, 2)],
      call: (x, y) => f[op](x as f.Tensor, y as f.Tensor) as f.Tensor,
      length: count(full),
    })),
  },
  {
    name: 'where with broadcasting',
    cases: broadcast.map(({ a, b, full }) => ({
      op: 'where',
      name: 'any',
      inputs: [normal(a), normal(b), normal(full)],
      call: (x, y, z) => f.where(f.gt(x as f.Tensor, 0), y as f.Tensor, z as f.Tensor),
      length: count(full),
    })),
  },
  {
    name: 'sums over any dimensions',
    cases: fc
      .tuple(shape, fc.array(fc.boolean(), { minLength: 4, maxLength: 4 }), fc.boolean())
      .map(([s, over, keepdim]) => ({
        op: 'sum',
        name: 'any',
        inputs: [normal(s)],
        call: (x) =>
          f.sum(
            x as f.Tensor,
            s.flatMap((_, i) => (over[i] ? [i] : [])),
            { keepdim },
          ),
        length: count(s),
      })),
  },
  {
    name: 'softmax, cumsum and layer norm along any dimension',
    cases: fc
      .tuple(
        shape.filter((s) => s.length > 0),
        fc.nat(3),
      )
      .map(([s, d]) => ({
        op: 'softmax',
        name: 'any',
        inputs: [normal(s)],
        call: (given) => {
          const x = given as f.Tensor
          const dim = d % s.length
          return [f.softmax(x, dim), f.logSoftmax(x, dim), f.cumsum(x, dim)]
        },
        length: Math.max(...s, 1) * 3,
      })),
  },
  {
    name: 'permute, slice and clone',
    cases: fc.tuple(shape, fc.integer(), fc.integer({ min: 1, max: 3 })).map(([s, seed, stride]) => ({
      op: 'permute',
      name: 'any',
      inputs: [normal(s)],
      call: (x) => {
        const order = s.map((_, i) => i).sort((i, j) => ((i * 7 + seed) % 5) - ((j * 7 + seed) % 5))
        const turned = f.permute(x as f.Tensor, order)
        return f.mul(
          f.clone(f.slice(turned, ...turned.shape.map((n): f.SliceIndex => [n > 2 ? 1 : 0, null, stride]))),
          2,
        )
      },
    })),
  },
  {
    name: 'matmul',
    cases: fc
      .tuple(size, size, size, fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 2 }), fc.boolean(), fc.boolean())
      .map(([m, k, n, batch, ta, tb]) => ({
        op: 'matmul',
        name: 'any',
        inputs: [normal([...batch, ...(ta ? [k, m] : [m, k])]), normal(tb ? [n, k] : [k, n])],
        call: (a, b) =>
          f.matmul(
            ta ? f.transpose(a as f.Tensor, -1, -2) : (a as f.Tensor),
            tb ? f.transpose(b as f.Tensor, 0, 1) : (b as f.Tensor),
          ),
        length: Math.max(m, k, n, 1) * count(batch),
      })),
  },
  {
    name: 'linear',
    cases: fc.tuple(fc.array(size, { maxLength: 2 }), size, size, fc.boolean()).map(([lead, i, o, bias]) => ({
      op: 'linear',
      name: 'any',
      inputs: [normal([...lead, i]), normal([o, i]), ...(bias ? [normal([o])] : [])],
      call: (x, w, b) => f.linear(x as f.Tensor, w as f.Tensor, b ?? null),
      length: Math.max(i, o, count(lead)),
    })),
  },
  {
    name: 'lstm',
    cases: fc
      .tuple(
        fc.integer({ min: 1, max: 5 }),
        fc.integer({ min: 0, max: 9 }),
        fc.integer({ min: 1, max: 33 }),
        fc.integer({ min: 1, max: 35 }),
        fc.boolean(),
      )
      .map(([t, b, i, h, bidirectional]) => ({
        op: 'lstm',
        name: 'any',
        inputs: [
          normal([t, b, i]),
          ...[0, 1]
            .slice(0, bidirectional ? 2 : 1)
            .flatMap(() => [normal([4 * h, i], 0.3), normal([4 * h, h], 0.3), normal([4 * h])]),
        ],
        call: (x, ...w) => {
          const set = (k: number) => ({
            wIh: w[k] as f.Tensor,
            wHh: w[k + 1] as f.Tensor,
            bIh: w[k + 2] as f.Tensor,
            bHh: w[k + 2] as f.Tensor,
          })
          const { output, state } = f.lstm(x as f.Tensor, bidirectional ? [set(0), set(3)] : [set(0)], {
            bidirectional,
          })
          return [output, ...state]
        },
        length: t * (i + 4 * h + b),
        roundings: 16 * t,
      })),
  },
]

const all = [...general, ...Object.values(families).flatMap((family) => family.properties ?? [])]

describe.each(devices.filter((device) => device !== reference).map((device) => [device.name, device] as const))(
  '%s',
  (_name, device) => {
    it.each(all.map((each) => [each.name, each.cases] as const))('%s', (_title, cases) => {
      fc.assert(
        fc.property(cases, (c) =>
          compare(c, runCase(c, device, 'float32'), runCase(c, reference, 'float64'), 'float32'),
        ),
        { numRuns: 60 },
      )
    })
  },
)

it('there are devices beside the reference to hold against it', () => {
  expect(all.length).toBeGreaterThan(10)
})
