/**
 * The parameters given to an optimiser, lists of tensors or live views of a module: their checks, and their names in
 * messages and states.
 */
import { formatShape, kindOf, StateDictError, ValueError } from '../core/errors.js'
import { listOf } from '../core/options.js'
import { Tensor } from '../core/tensor.js'
import type { Parameter, ParameterView } from '../nn/module.js'

/** The argument of an optimiser: a module's live view, or tensors. */
export type Parameters = ParameterView | Iterable<Parameter>

/** Parameters with their own options. */
export type ParameterGroup<O> = Partial<O> & { readonly params: Parameters }

export function isView(params: Parameters): params is ParameterView {
  return 'named' in params && typeof params.named === 'function'
}

const hasParams = (item: unknown) => typeof item === 'object' && item !== null && 'params' in item

/** Whether these are groups. Throws if only some of them are. */
export function isGroups<O>(
  op: string,
  params: Parameters | readonly ParameterGroup<O>[],
): params is readonly ParameterGroup<O>[] {
  if (!Array.isArray(params) || !params.some(hasParams)) return false
  if (params.every(hasParams)) return true
  throw new ValueError(op, 'the list holds both groups ({ params, ... }) and tensors; put all tensors into groups')
}

/**
 * Checks the parameters of one group, which must be leaves of a floating dtype, each once. Lists are copied; views stay
 * live.
 */
export function checkParameters(op: string, params: unknown): Parameters {
  if (params instanceof Tensor) throw new ValueError(op, 'the parameters are one tensor; put it in a list')
  const given = params as Parameters
  const all = listOf(op, 'the parameters', given, 'tensors in a list or groups of them; pass model.parameters()')
  const places = new Map<Tensor, number>()
  for (const [i, parameter] of all.entries()) {
    if (!(parameter instanceof Tensor))
      throw new ValueError(op, `a parameter is ${kindOf(parameter)}, but must be a tensor`)
    if (!parameter.isLeaf)
      throw new ValueError(
        op,
        `parameter ${i} is the result of an operator, which no step can change; pass the tensors from which it was computed`,
      )
    if (!parameter.dtype.includes('float'))
      throw new ValueError(op, `parameter ${i} is ${parameter.dtype}, but only floating tensors can be optimised`)
    parameter.storage.check(op)
    const before = places.get(parameter)
    if (before !== undefined)
      throw new ValueError(
        op,
        `parameters ${before} and ${i} are the same tensor (${formatShape(parameter.sizes)}), which would be stepped twice; list it once`,
      )
    places.set(parameter, i)
  }
  return isView(given) ? given : all
}

/** A group's parameters with their paths in the module, or their positions if only tensors were given. */
function* named(params: Parameters): Iterable<readonly [string, Parameter]> {
  if (isView(params)) yield* params.named()
  else {
    let i = 0
    for (const parameter of params) yield [String(i++), parameter] as const
  }
}

/**
 * The parameters of all groups by their names in a state, each once, under the first group that has it. A name is the
 * path in the module, or group and position in a list. Paths are unique only within one module. If two parameters would
 * share a name, all names begin with their group, as in `0.weight` and `1.weight`.
 */
export function namedParameters(op: string, groups: readonly Parameters[]): Map<string, Parameter> {
  const seen = new Set<Parameter>()
  const plain = new Map<string, Parameter>()
  const qualified = new Map<string, Parameter>()
  for (const [group, params] of groups.entries())
    for (const [name, parameter] of named(params)) {
      if (seen.has(parameter)) continue
      seen.add(parameter)
      const withGroup = `${group}.${name}`
      if (qualified.has(withGroup))
        throw new StateDictError([`two parameters of group ${group} are named ${name}; rename one`], op)
      plain.set(isView(params) ? name : withGroup, parameter)
      qualified.set(withGroup, parameter)
    }
  return plain.size === seen.size ? plain : qualified
}
