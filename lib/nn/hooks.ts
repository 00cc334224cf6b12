/** Forward hooks of a module. */
import { kindOf, ValueError } from '../core/errors.js'
import { checkFinished } from '../core/synchronous.js'
import type { Module } from './module.js'

/** The arguments of a module's forward; unknown if its class is. */
export type InputsOf<M> = M extends { forward: (...inputs: infer In) => unknown } ? Readonly<In> : readonly unknown[]
/** The result of a module's forward; unknown if its class is. */
export type OutputOf<M> = M extends { forward: (...inputs: never[]) => infer Out } ? Out : unknown

/** A hook that sees the inputs of a forward. An array that it returns replaces them. */
export type ForwardPreHook<M> = (module: M, inputs: InputsOf<M>) => readonly unknown[] | undefined | void
/** A hook that sees the inputs and the output of a forward. A value that it returns replaces the output. */
export type ForwardHook<M> = (module: M, inputs: InputsOf<M>, output: OutputOf<M>) => OutputOf<M> | undefined | void

/** The handle that removes a hook; `using` removes it at the end of its block. */
export interface HookHandle {
  remove(): void
  [Symbol.dispose](): void
}

type Before = (module: Module, inputs: readonly unknown[]) => unknown
type After = (module: Module, inputs: readonly unknown[], output: unknown) => unknown

/** The hooks of one module, in order of registration. */
export class ForwardHooks {
  // The hooks by handle, because one function may be registered twice.
  readonly #before = new Map<HookHandle, Before>()
  readonly #after = new Map<HookHandle, After>()

  get isEmpty(): boolean {
    return this.#before.size === 0 && this.#after.size === 0
  }

  add(when: 'before' | 'after', op: string, hook: unknown, emptied: () => void): HookHandle {
    if (typeof hook !== 'function') throw new ValueError(op, `the hook is ${kindOf(hook)}, but must be a function`)
    const hooks: Map<HookHandle, unknown> = when === 'before' ? this.#before : this.#after
    const remove = () => {
      hooks.delete(handle)
      if (this.isEmpty) emptied()
    }
    const handle: HookHandle = { remove, [Symbol.dispose]: remove }
    hooks.set(handle, hook)
    return handle
  }

  /** Runs a forward with its hooks. Hooks that are added or removed meanwhile count from the next forward on. */
  run(module: Module, forward: (...inputs: unknown[]) => unknown, given: readonly unknown[]): unknown {
    const { name } = module.constructor
    const after = [...this.#after.values()]
    let inputs = given
    for (const hook of [...this.#before.values()]) {
      const changed = checkFinished(`${name}.registerForwardPreHook`, hook(module, inputs))
      if (changed === undefined) continue
      if (!Array.isArray(changed))
        throw new ValueError(
          `${name}.registerForwardPreHook`,
          `the hook returned ${kindOf(changed)}, but must return an array of all inputs, or nothing`,
        )
      inputs = changed
    }
    let output = forward.apply(module, [...inputs])
    for (const hook of after) {
      const changed = checkFinished(`${name}.registerForwardHook`, hook(module, inputs, output))
      if (changed !== undefined) output = changed
    }
    return output
  }
}
