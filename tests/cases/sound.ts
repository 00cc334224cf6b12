/**
 * Sound calls of public functions. Fuzzers and guards make them wrong, and learn from them which options exist. A
 * family has one for each of its functions, and every option occurs in one of them.
 */
import * as f from '../../lib/index.js'

export interface PublicCall {
  /** The parts that the message of an error must contain. */
  readonly names: readonly string[]
  readonly args: () => unknown[]
  readonly call: (...args: never[]) => unknown
  /** The argument that is a method's tensor, which no caller could mistake. */
  readonly self?: number
}

/**
 * A call of `call` under the name that its errors report, with further names that they may report: those of operators
 * inside.
 */
export function sound(
  name: string,
  call: (...args: never[]) => unknown,
  args: () => unknown[],
  ...others: string[]
): PublicCall {
  return { names: [name, ...others], args, call }
}

/** Tensors on the default device. */
export const t = (...shape: number[]): f.Tensor => f.rand(shape)
export const ints = (shape: number[], below = 2): f.Tensor => f.randint(0, below, shape)
export const bools = (...shape: number[]): f.Tensor =>
  f.fromTypedArray(new Uint8Array(shape.reduce((a, b) => a * b, 1)), shape, { dtype: 'bool' })

/** A layer of `torch.nn`: sound calls of its constructor and of its forward pass. */
export function layer<A extends unknown[] | []>(
  name: string,
  Layer: new (...args: A) => { forward(...x: never[]): unknown },
  options: () => [...A],
  inputs: () => unknown[],
  ...others: string[]
): readonly PublicCall[] {
  return [
    { names: [name, ...others], args: options, call: (...given) => new Layer(...(given as unknown as A)) },
    {
      names: [`${name}.forward`, ...others],
      args: inputs,
      call: (...given) => new Layer(...options()).forward(...given),
    },
  ]
}
