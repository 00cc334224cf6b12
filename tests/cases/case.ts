/** The definition of an operator's case, and ways to make its inputs. One file here is one family of operators. */
import { type AnyOperator, apply, type Inputs, operators } from '../../lib/autograd/operator.js'
import type { Shape } from '../../lib/core/shape.js'
import type { Tensor } from '../../lib/core/tensor.js'

/** 'float' is the dtype of the run: float64 for the oracle, float32 elsewhere. */
export type Kind = 'float' | 'int32' | 'bool' | 'uint8'

export type Random = () => number

export interface Input {
  readonly shape: Shape
  readonly kind: Kind
  /** Whether the operator has a gradient for it. */
  readonly differentiable: boolean
  /** Whether the operator updates it in place. Its elements may then not share memory. */
  readonly written?: boolean
  /**
   * Whether its elements depend on those of other inputs, as labels depend on their lengths. None of them may then be
   * changed.
   */
  readonly exact?: boolean
  /** All elements, from uniform numbers in [0, 1). */
  values(random: Random, count: number): ArrayLike<number>
}

/** The checks from which a case may be excused, each with a reason. */
export type Check =
  | 'finite differences'
  | 'second derivative'
  | 'layouts'
  | 'composite'
  | 'threads'
  | 'devices'
  | 'meta'

export interface Case {
  /**
   * The record's name; the public function's name if it is composed of other operators; the kernel's name if it has
   * neither.
   */
  readonly op: string
  /** A name that says what is special about the case; unique within the operator. */
  readonly name: string
  readonly inputs: readonly Input[]
  /** The public call. Each run gives it inputs of one device and dtype. */
  call(...inputs: Tensor[]): Tensor | readonly Tensor[]
  /** The longest sum behind an element of an output or gradient. Default 1. */
  readonly length?: number
  /** The number of roundings of a single element besides those of sums. Default 16. */
  readonly roundings?: number
  readonly without?: { readonly [K in Check]?: string }
}

/** A call that must fail. */
export interface ErrorCase {
  readonly op: string
  readonly name: string
  readonly code: 'ERR_SHAPE' | 'ERR_DTYPE' | 'ERR_DEVICE' | 'ERR_VALUE' | 'ERR_INDEX' | 'ERR_AUTOGRAD' | 'ERR_DISPOSED'
  /** The parts that the message must contain besides the operator's name: values of the call. */
  readonly mentions: readonly (string | RegExp)[]
  /** `make` creates an input on the device under test. */
  call(make: (input: Input) => Tensor): Tensor | readonly Tensor[]
}

/** mulberry32 is small, and good enough for inputs. */
export function randomOf(seed: number): Random {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

/** `count` numbers. A loop is used because Float64Array.from takes ten times as long, and the suites draw billions. */
export function drawn(count: number, one: (index: number) => number): Float64Array {
  const values = new Float64Array(count)
  for (let i = 0; i < count; i++) values[i] = one(i)
  return values
}

function floats(shape: Shape, one: (random: Random) => number): Input {
  return {
    shape,
    kind: 'float',
    differentiable: true,
    values: (random, count) => drawn(count, () => one(random)),
  }
}

const gauss = (random: Random) => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())

export const normal = (shape: Shape, scale = 1, shift = 0): Input => floats(shape, (r) => gauss(r) * scale + shift)
export const uniform = (shape: Shape, low: number, high: number): Input =>
  floats(shape, (r) => low + (high - low) * r())
export const positive = (shape: Shape): Input => uniform(shape, 0.5, 2)

/** Normal numbers no nearer than 0.05 to the points where a function has a kink or a pole. */
export const awayFrom = (shape: Shape, points: readonly number[], scale = 2): Input =>
  floats(shape, (random) => {
    let x = gauss(random) * scale
    for (const p of points) if (Math.abs(x - p) < 0.05) x = p + (x < p ? -1 : 1) * (0.05 + 0.05 * random())
    return x
  })

/**
 * Elements that are all at least 1/16 apart, in random order, so that a step of finite differences changes no maximum.
 */
export const distinct = (shape: Shape): Input => ({
  ...floats(shape, () => 0),
  values(random, count) {
    const order = drawn(count, (i) => (i - count / 2) / 16)
    for (let i = count - 1; i > 0; i--) {
      const j = Math.floor(random() * (i + 1))
      const swapped = order[i] as number
      order[i] = order[j] as number
      order[j] = swapped
    }
    return order
  },
})

const discrete = (shape: Shape, kind: Kind, one: (random: Random) => number): Input => ({
  ...floats(shape, one),
  kind,
  differentiable: false,
})

export const integers = (shape: Shape, low: number, high: number): Input =>
  discrete(shape, 'int32', (r) => low + Math.floor(r() * (high - low)))
export const bytes = (shape: Shape): Input => discrete(shape, 'uint8', (r) => Math.floor(r() * 256))
export const bits = (shape: Shape, share = 0.5): Input => discrete(shape, 'bool', (r) => (r() < share ? 1 : 0))

/** The given elements. */
export const exactly = (shape: Shape, kind: Kind, elements: readonly number[]): Input => ({
  shape,
  kind,
  differentiable: false,
  exact: true,
  values: () => elements,
})

/** The excuse of cases whose gradients are compared at NaN, infinities and kinks. */
export const noSteps = { 'finite differences': 'there is no number on both sides' } as const

/** An input that the operator updates. */
export const updated = (input: Input): Input => ({ ...input, differentiable: false, written: true })

/** An input for which no gradient is wanted. */
export const constant = (input: Input): Input => ({ ...input, differentiable: false })

/** Sizes around the width of a vector, 0, 1, and more than a kernel does in one piece. */
export const ragged: readonly Shape[] = [[], [1], [0], [3, 0, 2], [31], [32, 33], [2, 3, 31], [70001]]

export const label = (shape: Shape): string => `[${shape.join(', ')}]`

/** A registered operator that otherwise only backward passes call. */
export function call(name: string, inputs: Inputs, attrs: unknown): Tensor | readonly Tensor[] {
  return apply(operatorNamed(name), inputs, attrs)
}

export function operatorNamed(name: string): AnyOperator {
  const found = operators().find((each) => each.name === name)
  if (found === undefined) throw new Error(`there is no operator ${name}`)
  return found
}
