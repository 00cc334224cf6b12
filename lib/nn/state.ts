/** A module's state under PyTorch's names: reading it, and loading it with all mismatches in one error. */
import { noGrad } from '../autograd/mode.js'
import { checkTensor } from '../autograd/operator.js'
import { formatShape, StateDictError, ValueError } from '../core/errors.js'
import { checkOptions } from '../core/options.js'
import { sameShape } from '../core/shape.js'
import type { Tensor } from '../core/tensor.js'
import { copyInto } from '../ops/inplace.js'
import { to } from '../ops/read.js'

export type StateDict = Map<string, Tensor>

/** What has a state: a module, or a part of one. */
export interface Stateful {
  namedState(): Iterable<readonly [string, Tensor]>
}

/** Parameters and buffers by name: the tensors themselves, outside of the graph. */
export function stateDict(module: Stateful): StateDict {
  return new Map([...module.namedState()].map(([name, tensor]) => [name, tensor.detach()]))
}

/** Tensors by name. */
export type LoadableState = ReadonlyMap<string, Tensor> | { readonly [name: string]: Tensor }

export interface LoadOptions {
  /** Whether missing and unexpected names are errors. Default true; shapes always are. */
  readonly strict?: boolean
}

export interface LoadResult {
  readonly missing: readonly string[]
  readonly unexpected: readonly string[]
}

/**
 * Copies a state into the module's parameters and buffers, converted to their dtype and device. Nothing is written if
 * anything is wrong: StateDictError lists every missing, unexpected and misshapen entry.
 */
export function loadStateDict(module: Stateful, state: LoadableState, options: LoadOptions = {}): LoadResult {
  const { strict = true } = checkOptions('loadStateDict', options, { strict: true })
  if (typeof state !== 'object' || state === null)
    throw new ValueError('loadStateDict', `the state is ${String(state)}, but must be an object or a Map of tensors`)
  const given = state instanceof Map ? (state as ReadonlyMap<string, Tensor>) : new Map(Object.entries(state))
  const own = new Map(module.namedState())
  const missing = [...own.keys()].filter((name) => !given.has(name))
  const unexpected = [...given.keys()].filter((name) => !own.has(name))
  const problems = strict
    ? [...missing.map((name) => `missing: ${name}`), ...unexpected.map((name) => `unexpected: ${name}`)]
    : []
  for (const [name, tensor] of own) {
    const value = given.get(name)
    if (value === undefined) continue
    checkTensor('loadStateDict', name, value)
    value.storage.check('loadStateDict')
    if (!sameShape(value.shape, tensor.shape))
      problems.push(`${name} is ${formatShape(value.shape)}, but must be ${formatShape(tensor.shape)}`)
  }
  if (problems.length > 0) throw new StateDictError(problems)
  noGrad(() => {
    for (const [name, tensor] of own) {
      const value = given.get(name)
      if (value) copyInto(tensor, to(value, tensor.device), 'loadStateDict')
    }
  })
  return { missing, unexpected }
}
