/** Runs cases on devices, and compares the results. */
import * as f from '../../lib/index.js'
import { type Case, type Check, drawn, type Input, randomOf } from '../cases/case.js'
import { families } from '../cases/index.js'

/** The devices that a run must cover. A missing device fails the run. */
export const deviceNames: readonly string[] = (process.env['FIRESTEEL_TEST_DEVICES'] ?? 'reference,cpu')
  .split(',')
  .map((name) => name.trim())
  .filter((name) => name !== '')

/** Throws, with the reason, if one is not available. */
export const devices: readonly f.Device[] = deviceNames.map((name) => f.device(name))

export const reference = f.device('reference')

/** The devices to compare with the reference. */
export const others = devices.filter((device) => device !== reference)

export interface Named {
  readonly family: string
  readonly case: Case
}

export const allCases: readonly Named[] = Object.entries(families).flatMap(([family, { cases }]) =>
  cases.map((each) => ({ family, case: each })),
)

/** The cases that are not excused from a check. */
export function casesFor(check: Check, wanted: (c: Case) => boolean = () => true): readonly Named[] {
  return allCases.filter((each) => each.case.without?.[check] === undefined && wanted(each.case))
}

export const nameOf = ({ family, case: { op, name } }: Named): string => `${family}: ${op}: ${name}`

/** FNV-1a, so that the same name gives the same numbers. */
function seedOf(text: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  return hash >>> 0
}

const countOf = (shape: f.Shape) => shape.reduce((product, size) => product * size, 1)

/**
 * The elements of the last case, because a suite runs a case on several devices, or with several numbers of threads.
 */
let last: { readonly case: Case; readonly values: readonly Float64Array[] } | undefined

/**
 * The elements of all inputs, rounded to float32 so that every dtype holds the same numbers. They must not be written.
 */
export function valuesOf(c: Case): readonly Float64Array[] {
  if (last?.case === c) return last.values
  const random = randomOf(seedOf(`${c.op} ${c.name}`))
  const values = c.inputs.map((input) => new Float64Array(new Float32Array(input.values(random, countOf(input.shape)))))
  last = { case: c, values }
  return values
}

export type Float = 'float32' | 'float64'

export function make(input: Input, values: ArrayLike<number>, device: f.Device, float: Float): f.Tensor {
  const { shape, kind } = input
  if (kind === 'int32') return f.fromTypedArray(Int32Array.from(values), shape, { device })
  if (kind === 'uint8' || kind === 'bool')
    return f.fromTypedArray(Uint8Array.from(values), shape, { dtype: kind, device })
  const array = float === 'float64' ? new Float64Array(values) : new Float32Array(values)
  return f.fromTypedArray(array, shape, { dtype: float, device })
}

export interface Values {
  readonly shape: f.Shape
  readonly dtype: f.DType
  readonly data: f.TypedArray
}

export interface Outcome {
  readonly outputs: readonly Values[]
  /** By input; null if there is none. */
  readonly gradients: readonly (Values | null)[]
}

export function read(x: f.Tensor): Values {
  return { shape: x.shape, dtype: x.dtype, data: x.detach().dataSync() }
}

export const asList = (result: f.Tensor | readonly f.Tensor[]): readonly f.Tensor[] =>
  Array.isArray(result) ? (result as readonly f.Tensor[]) : [result as f.Tensor]

/** By index. Lengths are powers of two, because a shorter list is the beginning of a longer one. */
const weights = new Map<number, Float32Array>()

/** Weights of a sum over an output, the same for every device and dtype. */
export function weightsFor(output: f.Tensor, index: number): f.Tensor {
  let known = weights.get(index)
  if (known === undefined || known.length < output.numel) {
    const random = randomOf(977 + index)
    known = new Float32Array(drawn(2 ** Math.ceil(Math.log2(output.numel)), () => random() * 2 - 1))
    weights.set(index, known)
  }
  const values = known.subarray(0, output.numel)
  const input = { shape: output.shape, kind: 'float' as const, differentiable: false, values: () => values }
  return make(input, values, output.device, output.dtype as Float)
}

/**
 * Runs a case forward and backward. `arrange` may give an input another layout in memory, and `look` reads the results.
 */
export function runCase(
  c: Case,
  device: f.Device,
  float: Float,
  arrange: (x: f.Tensor, index: number) => f.Tensor = (x) => x,
  values: readonly ArrayLike<number>[] = valuesOf(c),
  look: (x: f.Tensor) => Values = read,
): Outcome {
  return f.scope(() => {
    const inputs = c.inputs.map((input, i) => {
      const x = f.noGrad(() => arrange(make(input, values[i] as ArrayLike<number>, device, float), i))
      if (input.differentiable) x.requiresGrad = true
      return x
    })
    const outputs = asList(c.call(...inputs))
    const roots = outputs.filter((output) => output.requiresGrad)
    const wanted = inputs.filter((input) => input.requiresGrad)
    const gradients = new Map<f.Tensor, f.Tensor | null>()
    if (roots.length > 0 && wanted.length > 0) {
      const found = f.grad(roots, wanted, { gradOutputs: roots.map(weightsFor), allowUnused: true })
      for (const [i, input] of wanted.entries()) gradients.set(input, found[i] ?? null)
    }
    return {
      outputs: outputs.map(look),
      gradients: inputs.map((input) => {
        const gradient = gradients.get(input)
        return gradient ? look(gradient) : null
      }),
    }
  })
}

const epsilons = { float32: 2 ** -23, float64: 2 ** -52 }

/**
 * The largest allowed distance of an element from the exact one. Each rounding on its way, and each term of its longest
 * sum, may cost one unit in the last place of the largest number involved. It follows from the dtype and the case, not
 * from observation.
 */
export function toleranceOf(c: Case, float: Float, exact: Values): number {
  let largest = 1
  for (const value of exact.data as Iterable<number>)
    if (Number.isFinite(value)) largest = Math.max(largest, Math.abs(value))
  return epsilons[float] * ((c.roundings ?? 16) + (c.length ?? 1)) * largest
}

function compareValues(what: string, c: Case, actual: Values, exact: Values, float: Float): void {
  if (actual.shape.join() !== exact.shape.join())
    throw new Error(`${what} has shape [${actual.shape}], but should have [${exact.shape}]`)
  const isFloat = exact.dtype.startsWith('float')
  if (!isFloat && actual.dtype !== exact.dtype) throw new Error(`${what} is ${actual.dtype}, not ${exact.dtype}`)
  const tolerance = isFloat ? toleranceOf(c, float, exact) : 0
  if (actual.data.length !== exact.data.length) throw new Error(`${what} has ${actual.data.length} elements`)
  for (let i = 0; i < exact.data.length; i++) {
    const [a, b] = [actual.data[i] as number, exact.data[i] as number]
    if (Object.is(a, b) || a === b || Math.abs(a - b) <= tolerance) continue
    throw new Error(
      `${what}[${i}] of ${exact.data.length} is ${a}, but should be ${b} (off by ${Math.abs(a - b)}, allowed ${tolerance})`,
    )
  }
}

/** Throws at the first element that is off. `exact` is the reference in float64, or a result that should be equal. */
export function compare(c: Case, actual: Outcome, exact: Outcome, float: Float): void {
  if (actual.outputs.length !== exact.outputs.length) throw new Error(`${actual.outputs.length} outputs`)
  exact.outputs.forEach((output, i) => {
    compareValues(`output ${i}`, c, actual.outputs[i] as Values, output, float)
  })
  exact.gradients.forEach((gradient, i) => {
    const other = actual.gradients[i] ?? null
    if ((gradient === null) !== (other === null))
      throw new Error(`the gradient of input ${i} is ${other ? 'there' : 'missing'}`)
    if (gradient && other) compareValues(`gradient of input ${i}`, c, other, gradient, float)
  })
}

/** Throws unless all bits are equal. */
export function compareBits(actual: Outcome, expected: Outcome): void {
  const all = ({ outputs, gradients }: Outcome) => [...outputs, ...gradients]
  const others = all(actual)
  all(expected).forEach((values, k) => {
    const other = others[k]
    if (!values || !other) {
      if (values !== other) throw new Error(`value ${k} is there once and missing once`)
      return
    }
    const bytes = ({ data }: Values) => Buffer.from(data.buffer, data.byteOffset, data.byteLength)
    if (bytes(values).equals(bytes(other))) return
    const i = values.data.findIndex((value, j) => !Object.is(value, other.data[j]))
    throw new Error(`value ${k}, element ${i}: ${other.data[i]} and ${values.data[i]} differ in their bits`)
  })
}
