/**
 * Names of modules besides their paths. A model whose folders have other names than transformers gives its modules
 * states the latter (`adapterName`), because PEFT's files use them.
 */
import { ValueError } from '../core/errors.js'
import type { Module } from '../nn/module.js'

/** Maps the path of a module, or of a tensor, in the model to its name. */
export type Naming = (path: string) => string

/** Naming by the model's own paths. */
export const byPath: Naming = (path) => path

/** Naming as in PEFT's current files. */
export function fileNaming(model: Module): Naming {
  const { adapterName } = model as Module & { readonly adapterName?: unknown }
  return typeof adapterName === 'function' ? (path) => adapterName.call(model, path) as string : byPath
}

/** The result of a function with the names of PEFT's files, or else with the model's paths, whose errors are thrown. */
export function planned<P>(model: Module, make: (naming: Naming) => P): P {
  const naming = fileNaming(model)
  if (naming !== byPath)
    try {
      return make(naming)
    } catch (error) {
      if (!(error instanceof ValueError)) throw error
    }
  return make(byPath)
}
