/** The derivatives of a case against central differences, in float64 on the reference. */
import * as f from '../../lib/index.js'
import { type Case, randomOf } from '../cases/case.js'
import { asList, make, reference, valuesOf, weightsFor } from './support.js'

const epsilon = 2 ** -52
/** The step at which the rounding of a difference, epsilon / step, equals the neglected term, step ** 2. */
const step = Math.cbrt(epsilon)

const countOf = (shape: f.Shape) => shape.reduce((product, size) => product * size, 1)

/** Whether a case has gradients, and few enough elements for quick differences. */
export const small = (c: Case) => {
  const wanted = c.inputs.filter((input) => input.differentiable)
  return wanted.length > 0 && c.inputs.reduce((sum, input) => sum + countOf(input.shape), 0) <= 5000
}

/** A scalar function of a list of vectors, with its gradient and the sum of the sizes of its terms. */
interface Scalar {
  value(at: readonly Float64Array[]): { value: number; size: number }
  readonly gradient: readonly (ArrayLike<number> | null)[]
}

/**
 * Compares along two random directions through each vector, and along a few of its axes. The tolerance covers two
 * errors. One is the rounding of the two values: `terms` units of the largest number involved, divided by the step. The
 * other is the third derivative, which is assumed to be at most 1000 of those.
 */
function checkDerivatives(what: string, scalar: Scalar, at: readonly Float64Array[], terms: number): void {
  const random = randomOf(4711)
  at.forEach((vector, k) => {
    if (vector.length === 0) return
    const gradient = scalar.gradient[k] ?? new Float64Array(vector.length)
    const directions = [0, 1].map(() => Float64Array.from(vector, () => random() * 2 - 1))
    for (let axis = 0; axis < 3; axis++) {
      const direction = new Float64Array(vector.length)
      direction[Math.floor(random() * vector.length)] = 1
      directions.push(direction)
    }
    for (const direction of directions) {
      const moved = (by: number) =>
        scalar.value(at.map((other, j) => (j === k ? other.map((x, i) => x + by * (direction[i] as number)) : other)))
      const [ahead, behind] = [moved(step), moved(-step)]
      const numeric = (ahead.value - behind.value) / (2 * step)
      let analytic = 0
      let size = Math.max(1, ahead.size)
      direction.forEach((u, i) => {
        analytic += u * (gradient[i] as number)
        size += Math.abs(u * (gradient[i] as number))
      })
      const tolerance = size * (1000 * step * step + (epsilon * terms) / step)
      if (!(Math.abs(numeric - analytic) <= tolerance))
        throw new Error(
          `${what}, input ${k}: the gradient says ${analytic}, differences say ${numeric} (allowed ${tolerance})`,
        )
    }
  })
}

function dot(a: ArrayLike<number>, b: ArrayLike<number>): { value: number; size: number } {
  let value = 0
  let size = 0
  for (let i = 0; i < a.length; i++) {
    const term = (a[i] as number) * (b[i] as number)
    value += term
    size += Math.abs(term)
  }
  return { value, size }
}

function addUp(parts: readonly { value: number; size: number }[]): { value: number; size: number } {
  return parts.reduce((sum, part) => ({ value: sum.value + part.value, size: sum.size + part.size }), {
    value: 0,
    size: 0,
  })
}

/** Inputs of a case with some of them replaced. `wanted` has the numbers of the differentiable ones. */
function inputsAt(c: Case, values: readonly Float64Array[], wanted: readonly number[], at: readonly Float64Array[]) {
  return c.inputs.map((input, i) => {
    const k = wanted.indexOf(i)
    const x = make(input, (k < 0 ? values[i] : at[k]) as Float64Array, reference, 'float64')
    if (k >= 0) x.requiresGrad = true
    return x
  })
}

const data = (x: f.Tensor) => x.detach().dataSync()
const termsOf = (c: Case) => (c.roundings ?? 16) + (c.length ?? 1)
const wantedOf = (c: Case) => c.inputs.flatMap((input, i) => (input.differentiable ? [i] : []))

export function checkFirstDerivatives(c: Case): void {
  const values = valuesOf(c)
  const wanted = wantedOf(c)
  const at = wanted.map((i) => values[i] as Float64Array)
  const inputs = inputsAt(c, values, wanted, at)
  const outputs = asList(c.call(...inputs))
  // Outputs that do not depend on an input, such as updated statistics, are not differentiated.
  const counted = outputs.flatMap((output, i) => (output.requiresGrad ? [i] : []))
  const roots = counted.map((i) => outputs[i] as f.Tensor)
  const weights = roots.map(weightsFor)
  const gradient = f.grad(
    roots,
    wanted.map((i) => inputs[i] as f.Tensor),
    { gradOutputs: weights, allowUnused: true },
  )
  const scalar: Scalar = {
    value: (there) =>
      f.noGrad(() => {
        const made = asList(c.call(...inputsAt(c, values, wanted, there)))
        return addUp(counted.map((i, k) => dot(data(made[i] as f.Tensor), data(weights[k] as f.Tensor))))
      }),
    gradient: gradient.map((g) => g && data(g)),
  }
  checkDerivatives('first derivative', scalar, at, termsOf(c))
}

export function checkSecondDerivatives(c: Case): void {
  const values = valuesOf(c)
  const wanted = wantedOf(c)
  /** The gradients as functions of the inputs and of the gradients of the outputs. */
  const gradients = (there: readonly Float64Array[], createGraph: boolean) => {
    const inputs = inputsAt(c, values, wanted, there)
    const leaves = wanted.map((i) => inputs[i] as f.Tensor)
    const roots = asList(c.call(...inputs)).filter((output) => output.requiresGrad)
    const weights = roots.map((root, k) => {
      const weight = weightsFor(root, k)
      const given = there[wanted.length + k]
      const w = given ? f.fromTypedArray(given, weight.shape, { dtype: 'float64', device: reference }) : weight
      w.requiresGrad = true
      return w
    })
    const found = f.grad(roots, leaves, { gradOutputs: weights, createGraph, allowUnused: true })
    return { leaves, weights, found }
  }
  const at = wanted.map((i) => values[i] as Float64Array)
  const { leaves, weights, found } = gradients(at, true)
  const factors = found.map((g, k) => g && weightsFor(g, 100 + k))
  const kept = found.flatMap((g, k) => (g?.requiresGrad ? [k] : []))
  const all = [...leaves, ...weights]
  const second =
    kept.length === 0
      ? all.map(() => null)
      : f.grad(
          kept.map((k) => found[k] as f.Tensor),
          all,
          { gradOutputs: kept.map((k) => factors[k] as f.Tensor), allowUnused: true },
        )
  const scalar: Scalar = {
    value: (there) => {
      const again = gradients(there, false).found
      return addUp(again.map((g, k) => (g ? dot(data(g), data(factors[k] as f.Tensor)) : { value: 0, size: 0 })))
    },
    gradient: second.map((g) => g && data(g)),
  }
  checkDerivatives('second derivative', scalar, [...at, ...weights.map((w) => data(w) as Float64Array)], termsOf(c))
}
