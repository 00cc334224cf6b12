/** Bad input gets a typed error that names the operator and the values, on every device alike, and harms nothing. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { operators } from '../../lib/autograd/operator.js'
import * as f from '../../lib/index.js'
import { type Case, type Input, normal, randomOf } from '../cases/case.js'
import { families } from '../cases/index.js'
import { allCases, asList, devices, make, nameOf, others, reference, valuesOf } from './support.js'

const countOf = (shape: f.Shape) => shape.reduce((product, size) => product * size, 1)

/** The error of a call, thrown now or when its result is read, or null. */
function failure(call: () => f.Tensor | readonly f.Tensor[]): unknown {
  try {
    for (const output of asList(call())) output.detach().dataSync()
    return null
  } catch (error) {
    return error
  }
}

function codeOf(error: unknown): string | undefined {
  return (error as { code?: string }).code
}

const listed = Object.entries(families).flatMap(([family, { errors }]) =>
  errors.map((each) => [`${family}: ${each.op}: ${each.name}`, each] as const),
)

const classes: { readonly [code: string]: new (...args: never[]) => Error } = {
  ERR_SHAPE: f.ShapeError,
  ERR_DTYPE: f.DTypeError,
  ERR_DEVICE: f.DeviceError,
  ERR_VALUE: f.ValueError,
  ERR_INDEX: f.IndexOutOfRangeError,
  ERR_AUTOGRAD: f.AutogradError,
  ERR_DISPOSED: f.DisposedError,
}

/** Small cases, one for each operator, that have inputs of floats. */
const first = new Map<string, Case>()
for (const { case: c } of allCases) {
  const sizes = c.inputs.map((input) => countOf(input.shape))
  if (
    c.inputs.some((input) => input.kind === 'float') &&
    sizes.every((size) => size > 0 && size < 3000) &&
    !first.has(c.op)
  )
    first.set(c.op, c)
}
const representatives = [...first.values()]

describe.each(devices.map((device) => [device.name, device] as const))('%s', (_name, device) => {
  const before = f.defaultDevice()
  beforeAll(() => f.setDefaultDevice(device))
  afterAll(() => f.setDefaultDevice(before))

  it.each(listed)('%s', (_title, { op, code, mentions, call }) => {
    const random = randomOf(1)
    const create = (input: Input) => make(input, input.values(random, countOf(input.shape)), device, 'float32')
    const error = failure(() => call(create))
    expect(error).toBeInstanceOf(classes[code])
    const { message, op: named } = error as f.FiresteelError
    expect(codeOf(error)).toBe(code)
    // Thrown late or at once, it has the same name.
    f.setDefaultDevice(reference)
    const other = randomOf(1)
    const same = failure(() =>
      call((input) => make(input, input.values(other, countOf(input.shape)), reference, 'float32')),
    )
    f.setDefaultDevice(device)
    expect(named).toBe((same as f.FiresteelError).op)
    // Kernels of a backward pass, or with another name, may report their own name.
    expect(`${named}`.replaceAll('_', '').toLowerCase()).toContain(op.replaceAll('_', '').toLowerCase())
    expect(message.startsWith(`[${named}] `)).toBe(true)
    for (const mention of mentions) expect(message).toMatch(mention instanceof RegExp ? mention : escaped(mention))
    // The device works as if nothing had happened.
    expect(f.add(f.ones([3], { device }), 1).toArray()).toEqual([2, 2, 2])
  })

  it.each(representatives.map((c) => [nameOf({ family: '', case: c }), c] as const))('freed inputs%s', (_title, c) => {
    const values = valuesOf(c)
    c.inputs.forEach((_input, k) => {
      const inputs = c.inputs.map((input, i) => make(input, values[i] as Float64Array, device, 'float32'))
      inputs[k]?.dispose()
      const error = failure(() => c.call(...inputs))
      expect(error, `input ${k}`).toBeInstanceOf(f.DisposedError)
      expect((error as Error).message).toMatch(/^\[[\w ]+\] .*freed.*scope.*keep\(\)/)
    })
  })

  it.each(representatives.map((c) => [nameOf({ family: '', case: c }), c] as const))('other dtypes%s', (_title, c) => {
    const random = randomOf(3)
    for (const dtype of ['int32', 'uint8', 'bool', 'bfloat16', 'float16'] as const) {
      const outcome = (on: f.Device): string => {
        const inputs = c.inputs.map((input) => {
          if (input.kind !== 'float') return make(input, input.values(randomOf(5), countOf(input.shape)), on, 'float32')
          const positive = Float32Array.from({ length: countOf(input.shape) }, () => 1 + Math.floor(random() * 3))
          return f.fromTypedArray(positive, input.shape, { device: on }).to(dtype)
        })
        const error = failure(() => c.call(...inputs))
        return error === null ? 'works' : (codeOf(error) ?? String(error))
      }
      expect(['works', 'ERR_DTYPE'], `${dtype} on ${device.name}`).toContain(outcome(device))
      expect(outcome(device), dtype).toBe(outcome(reference))
    }
  })

  it('sizes beyond memory', () => {
    for (const shape of [[2 ** 40], [2 ** 30, 2 ** 15]]) {
      const error = failure(() => f.zeros(shape, { device }))
      expect(error).toBeInstanceOf(f.OutOfMemoryError)
      expect((error as Error).message).toMatch(/^\[zeros\] .*\d (GB|bytes)/)
    }
    expect(failure(() => f.zeros([2 ** 53, 4], { device }))).toBeInstanceOf(f.ValueError)
    expect(f.add(f.ones([3], { device }), 1).toArray()).toEqual([2, 2, 2])
  })

  it('an early error leaves no late one behind, and a late one is told once', async () => {
    const labels = f.fromTypedArray(Int32Array.of(0, 5), [2], { device })
    const logits = f.zeros([2, 3], { device })
    const late = async (): Promise<unknown> => {
      try {
        await f.crossEntropy(logits, labels).data()
        return null
      } catch (error) {
        return error
      }
    }
    expect(await late()).toBeInstanceOf(f.IndexOutOfRangeError)
    expect(await f.add(logits, 1).data()).toHaveLength(6)
    expect(await late()).toBeInstanceOf(f.IndexOutOfRangeError)
    expect(f.mul(logits, 2).dataSync()).toHaveLength(6)
  })
})

describe.each(others.map((device) => [device.name, device] as const))(
  'tensors of %s and of the reference',
  (name, device) => {
    const several = representatives.filter((c) => c.inputs.length > 1)
    it.each(several.map((c) => [nameOf({ family: '', case: c }), c] as const))('do not mix%s', (_title, c) => {
      // Optimisers take each parameter on its device. Its gradient must be there too.
      const values = valuesOf(c)
      c.inputs.forEach((_input, k) => {
        const inputs = c.inputs.map((input, i) =>
          make(input, values[i] as Float64Array, i === k ? reference : device, 'float32'),
        )
        const error = failure(() => c.call(...inputs))
        expect(error, `input ${k}`).toBeInstanceOf(f.DeviceError)
        expect((error as Error).message).toContain(name)
        expect((error as Error).message).toContain('reference')
      })
    })
  },
)

it('every differentiable operator is among the representatives', () => {
  const missing = operators().filter((record) => record.gradient !== null && !first.has(record.name))
  expect(missing.map((record) => record.name).sort()).toEqual(['lower', 'transfer'])
})

it('NaN and shapes of other kinds do not make tensors', () => {
  for (const shape of [[Number.NaN], [1.5], [-1], [Number.POSITIVE_INFINITY]])
    expect(failure(() => f.zeros(shape))).toBeInstanceOf(f.ValueError)
  expect(failure(() => f.fromTypedArray(new Float32Array(3), [4]))).toBeInstanceOf(f.ShapeError)
  expect(failure(() => f.tensor([[1, 2], [3]]))).toBeInstanceOf(f.ShapeError)
  expect(failure(() => f.tensor([1.5], { dtype: 'int32' }))).toBeInstanceOf(f.ValueError)
  expect(failure(() => f.arange(0, 10, 0))).toBeInstanceOf(f.ValueError)
  expect(normal([2]).shape).toEqual([2])
})

const escaped = (text: string) => new RegExp(text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
