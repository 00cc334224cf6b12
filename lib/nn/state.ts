/** A module's state under PyTorch's names: reading it, and loading it with all mismatches in one error. */
import { noGrad } from '../autograd/mode.js'
import { formatShape, kindOf, StateDictError, shown, ValueError } from '../core/errors.js'
import { checkOptions } from '../core/options.js'
import { scope } from '../core/scope.js'
import { sameShape } from '../core/shape.js'
import { Tensor } from '../core/tensor.js'
import { refuseJson } from '../core/uncloneable.js'
import { to } from '../ops/convert.js'
import { zeros } from '../ops/creation.js'
import { checkDistinct, copyInto } from '../ops/inplace.js'
import { dataSync } from '../ops/read.js'

export type StateDict = Map<string, Tensor>

/** The name of a method by which a module throws where its state must not be read or written now, as a merged one's. */
export const guardState: unique symbol = Symbol('guardState')

interface Guarding {
  [guardState](op: string): void
}

/** What has a state: a module, or a part of one. */
export interface Stateful {
  namedState(): Iterable<readonly [string, Tensor]>
  modules?(): Iterable<object>
}

function checkGuards(op: string, module: Stateful): void {
  if (typeof module?.namedState !== 'function')
    throw new ValueError(op, `the module is ${shown(module)}, but must be a Module`)
  for (const inner of module.modules?.() ?? []) (inner as Partial<Guarding>)[guardState]?.(op)
}

/** Parameters and buffers by name: the tensors themselves, outside of the graph. */
export function stateDict(module: Stateful): StateDict {
  return readState('stateDict', module)
}

/** As stateDict, for an operator that errors name. */
export function readState(op: string, module: Stateful): StateDict {
  checkGuards(op, module)
  const state = new Map([...module.namedState()].map(([name, tensor]) => [name, tensor.detach()]))
  return refuseJson(state, 'stateDict', 'JSON keeps no tensors; save() of the module writes its state to a file')
}

/** Tensors by name. */
export type LoadableState = ReadonlyMap<string, Tensor> | { readonly [name: string]: Tensor }

export interface LoadOptions {
  /** Whether missing and unexpected names are errors. Default true; values that do not fit always are. */
  readonly strict?: boolean
}

export interface LoadResult {
  /** Names that the state lacks; those of memory that it has under another name are not missing. */
  readonly missing: readonly string[]
  readonly unexpected: readonly string[]
}

type Named = readonly [name: string, tensor: Tensor]

function entriesOf(op: string, state: LoadableState): ReadonlyMap<string, unknown> {
  const refuse = (what: string): never => {
    throw new ValueError(op, `the state is ${what}, but must be an object or a Map of tensors by name`)
  }
  if (typeof state !== 'object' || state === null) return refuse(shown(state))
  if (state instanceof Map) return state
  if (Array.isArray(state)) return refuse('an array')
  if (state instanceof Tensor) return refuse('a tensor')
  if (typeof (state as Partial<Stateful>).namedState === 'function') return refuse('a module; pass its stateDict()')
  return new Map(Object.entries(state))
}

/** First and last element of a view in its storage. */
function span({ offset, shape, strides }: Tensor): readonly [first: number, last: number] {
  let last = offset
  shape.forEach((size, d) => {
    last += (size - 1) * (strides[d] as number)
  })
  return [offset, last]
}

/** Whether two views have elements in common, or may have where they are interleaved. */
export function overlaps(a: Tensor, b: Tensor): boolean {
  if (a.storage !== b.storage || a.numel === 0 || b.numel === 0) return false
  const [[a0, a1], [b0, b1]] = [span(a), span(b)]
  return a0 <= b1 && b0 <= a1
}

/** Whether two views are of the very same elements, in whichever order. */
function sameMemory(a: Tensor, b: Tensor): boolean {
  if (a.storage !== b.storage || a.numel !== b.numel) return false
  const [[a0, a1], [b0, b1]] = [span(a), span(b)]
  const dense = a1 - a0 + 1 === a.numel
  return a0 === b0 && a1 === b1 && (dense || (sameShape(a.sizes, b.sizes) && sameShape(a.steps, b.steps)))
}

/** Names whose tensors are one memory, or overlap: of two or more each. */
function shared(own: readonly Named[]): Named[][] {
  const byStorage = new Map<object, Named[]>()
  for (const named of own) {
    const { storage } = named[1]
    const group = byStorage.get(storage)
    if (group) group.push(named)
    else byStorage.set(storage, [named])
  }
  return [...byStorage.values()].filter((names) => names.length > 1)
}

const sameNumbers = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  Array.prototype.every.call(a, (x: number, i) => x === b[i] || (Number.isNaN(x) && Number.isNaN(b[i])))

/** Names of one memory that are given values which it cannot all hold. Written to a copy of the memory, and read back. */
function contradictions(op: string, names: readonly Named[], given: ReadonlyMap<string, unknown>): string[] {
  const values = names.flatMap(([name, tensor]) => {
    const value = given.get(name)
    return value instanceof Tensor ? [{ name, tensor, value }] : []
  })
  const found: string[] = []
  values.forEach(({ name, tensor, value }, i) => {
    const against = values.slice(i + 1).filter(
      (other) =>
        overlaps(tensor, other.tensor) &&
        // Both sides have the same relation: nothing to compare.
        !(
          value.storage === other.value.storage &&
          value.offset === other.value.offset &&
          sameShape(value.steps, other.value.steps) &&
          sameShape(tensor.sizes, other.tensor.sizes) &&
          sameShape(tensor.steps, other.tensor.steps) &&
          tensor.offset === other.tensor.offset
        ),
    )
    for (const other of against) {
      const equal = scope(() => {
        const { device, dtype, storage } = tensor
        const memory = zeros([storage.count], { device, dtype }).storage
        const view = (of: Tensor) => new Tensor(memory, of.sizes, of.steps, of.offset)
        copyInto(view(tensor), to(value, device), op)
        const before = dataSync(view(tensor))
        copyInto(view(other.tensor), to(other.value, device), op)
        return sameNumbers(before, dataSync(view(tensor)))
      })
      if (!equal)
        found.push(`${name} and ${other.name} are one memory in this model, but have different values in the state`)
    }
  })
  return found
}

/** A state that fits: what is to be written where. */
export interface Matched extends LoadResult {
  /** Copies the values in. */
  write(): void
}

/** As loadStateDict, but writes nothing until it is told to. Errors name `op` and, where there is one, the state's file. */
export function matchState(
  op: string,
  module: Stateful,
  state: LoadableState,
  options: LoadOptions = {},
  path?: string,
): Matched {
  const { strict = true } = checkOptions(op, options, { strict: true })
  checkGuards(op, module)
  const given = entriesOf(op, state)
  const own = new Map(module.namedState())
  const groups = shared([...own])
  const has = (name: string) => given.get(name) !== undefined
  const elsewhere = (name: string) => {
    const tensor = own.get(name) as Tensor
    return groups.some(
      (names) =>
        names.some(([mine]) => mine === name) &&
        names.some(([other, of]) => other !== name && has(other) && sameMemory(of, tensor)),
    )
  }
  const missing = [...own.keys()].filter((name) => !has(name) && !elsewhere(name))
  const unexpected = [...given.keys()].filter((name) => !own.has(name))
  const problems = strict
    ? [...missing.map((name) => `missing: ${name}`), ...unexpected.map((name) => `unexpected: ${String(name)}`)]
    : []
  const values: (readonly [tensor: Tensor, value: Tensor])[] = []
  for (const [name, tensor] of own) {
    if (!has(name)) continue
    const value = given.get(name)
    if (!(value instanceof Tensor)) {
      const hint = typeof value === 'object' && value !== null ? '; JSON holds no tensors, use save and load' : ''
      problems.push(`${name} is ${kindOf(value)}, but must be a tensor${hint}`)
      continue
    }
    value.storage.check(op)
    if (!sameShape(value.sizes, tensor.sizes))
      problems.push(`${name} is ${formatShape(value.sizes)}, but must be ${formatShape(tensor.sizes)}`)
    else {
      checkDistinct(op, name, tensor)
      values.push([tensor, value])
    }
  }
  noGrad(() => {
    if (problems.length === 0) for (const names of groups) problems.push(...contradictions(op, names, given))
  })
  if (problems.length > 0) throw new StateDictError(problems, op, path)
  const write = () =>
    noGrad(() => {
      for (const [tensor, value] of values) copyInto(tensor, to(value, tensor.device), op)
    })
  return { missing, unexpected, write }
}

/**
 * Copies a state into the module's parameters and buffers, converted to their dtype and device. Where several names are one
 * tensor, as with tied weights, one of them is enough, and several must agree. Nothing is written if anything is wrong:
 * StateDictError lists every missing, unexpected, misshapen and contradicting entry.
 */
export function loadStateDict(module: Stateful, state: LoadableState, options: LoadOptions = {}): LoadResult {
  const { missing, unexpected, write } = matchState('loadStateDict', module, state, options)
  write()
  return { missing, unexpected }
}

/** What somebody gave instead of a tensor. */
