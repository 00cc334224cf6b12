/**
 * A family puts its functions on tensors as methods: it declares them (`declare module '../core/tensor.js'`), and
 * defines them here.
 *
 * An alias with annotated covariance, `Binary<out S, out D, ..>`, declares methods with conditional types. The compiler
 * compares two tensor types by all members, and the alias lets it compare only their shapes and dtypes. The compiler
 * cannot prove the variance of an alias (TS2636), but it holds: more known sizes of an operand give more known sizes of
 * the result.
 */
import { Tensor } from './tensor.js'

type Methods = { readonly [name: string]: (...args: never[]) => unknown } & ThisType<Tensor>

/**
 * Puts methods on every tensor. Each method is written out, because V8 could inline none of them if all shared one
 * wrapper.
 */
export function defineMethods(methods: Methods): void {
  for (const [name, value] of Object.entries(methods))
    Object.defineProperty(Tensor.prototype, name, { value, writable: true, configurable: true })
}

/** Puts properties on every tensor that are computed when they are read. */
export function defineGetters(getters: { readonly [name: string]: (x: Tensor) => Tensor }): void {
  for (const [name, read] of Object.entries(getters))
    Object.defineProperty(Tensor.prototype, name, {
      get(this: Tensor) {
        return read(this)
      },
      configurable: true,
    })
}
