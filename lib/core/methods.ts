/**
 * How a family puts its functions on tensors as methods: it declares them (`declare module '../core/tensor.js'`), and defines
 * them here.
 *
 * Methods with conditional types are declared by an alias that is covariant by annotation, `Binary<out S, out D, ..>`, because
 * the compiler compares a parameter of a layer to a tensor by all members: of these it then compares shapes and dtypes only.
 * The compiler cannot prove the variance of an alias (TS2636), but it holds: more known sizes of an operand give more known
 * sizes of the result.
 */
import { Tensor } from './tensor.js'

type Methods = { readonly [name: string]: (...args: never[]) => unknown } & ThisType<Tensor>

/**
 * Puts methods on every tensor. Each is written out: one wrapper around any function would be shared by all methods, so that
 * the compiler could inline none of them.
 */
export function defineMethods(methods: Methods): void {
  for (const [name, value] of Object.entries(methods))
    Object.defineProperty(Tensor.prototype, name, { value, writable: true, configurable: true })
}
