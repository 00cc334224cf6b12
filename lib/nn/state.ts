/** Reading a module's state under PyTorch's names, and loading one with all mismatches in a single error. */
import { noGrad } from '../autograd/mode.js'
import type { Device } from '../core/device.js'
import { type DType, isBlocks, isFloating } from '../core/dtype.js'
import { isMap } from '../core/engine.js'
import { formatShape, kindOf, StateDictError, shown, ValueError } from '../core/errors.js'
import { checkOptions, type OptionNames } from '../core/options.js'
import { scope } from '../core/scope.js'
import { type Shape, sameShape } from '../core/shape.js'
import { Tensor } from '../core/tensor.js'
import { refuseJson } from '../core/uncloneable.js'
import { sameNumbers } from '../io/tensors.js'
import { checkDistinct } from '../ops/common.js'
import { to } from '../ops/convert.js'
import { zeros } from '../ops/creation.js'
import { copyInto } from '../ops/inplace.js'
import { dataSync } from '../ops/read.js'
import { Arrivals } from './arrivals.js'
import { Naming, type NamingOptions } from './naming.js'
import { overlaps, sameMemory, sameView } from './views.js'

export type StateDict = Map<string, Tensor>

/**
 * The name of a method that throws while a module's state must not be read or written, as when an adapter is merged.
 */
export const guardState: unique symbol = Symbol('guardState')

interface Guarding {
  [guardState](op: string): void
}

/** The owner of a state: a module, or a part of one. */
export interface Stateful {
  namedState(): Iterable<readonly [string, Tensor]>
  modules?(): Iterable<object>
  namedBuffers?(): Iterable<readonly [string, Tensor]>
}

function checkGuards(op: string, module: Stateful): void {
  if (typeof module?.namedState !== 'function')
    throw new ValueError(op, `the module is ${shown(module)}, but must be a Module`)
  for (const inner of module.modules?.() ?? []) (inner as Partial<Guarding>)[guardState]?.(op)
}

/** The parameters and buffers by name. They are the tensors themselves, outside of the graph. */
export function stateDict(module: Stateful): StateDict {
  return readState('stateDict', module)
}

/** Does the same as stateDict; errors name the given function. */
export function readState(op: string, module: Stateful): StateDict {
  checkGuards(op, module)
  const state = new Map(
    [...module.namedState()].map(([name, tensor]) => {
      tensor.storage.check(op, name)
      return [name, tensor.detach()]
    }),
  )
  return refuseJson(state, 'stateDict', 'JSON keeps no tensors; save() of the module writes its state to a file')
}

/** The tensors to load, by name. */
export type LoadableState = ReadonlyMap<string, Tensor> | { readonly [name: string]: Tensor }

export interface LoadOptions extends NamingOptions {
  /** Whether missing and unexpected names are errors. Default true. Values that do not fit always are. */
  readonly strict?: boolean
  /**
   * The device on which the model's tensors on meta get their memory. Default: the default device for a file, and the
   * device of its tensors for a state. Tensors elsewhere stay where they are, and it is an error to name another device
   * if there are any.
   */
  readonly device?: string | Device
}

export const loadNames: OptionNames<LoadOptions> = { strict: true, device: true, rename: true, exclude: true }

export interface LoadResult {
  /** Names that the state lacks. A tied name is not missing if the state has its memory under another name. */
  readonly missing: readonly string[]
  /** Names of the state, in its own spelling, that the model lacks. */
  readonly unexpected: readonly string[]
  /** Names, of the model or of the state, that `exclude` left out. */
  readonly excluded: readonly string[]
}

export type Named = readonly [name: string, tensor: Tensor]

function entriesOf(op: string, state: LoadableState): ReadonlyMap<string, unknown> {
  const refuse = (what: string): never => {
    throw new ValueError(op, `the state is ${what}, but must be an object or a Map of tensors by name`)
  }
  if (typeof state !== 'object' || state === null) return refuse(shown(state))
  if (isMap(state)) return state as ReadonlyMap<string, unknown>
  if (Array.isArray(state)) return refuse('an array')
  if (state instanceof Tensor) return refuse('a tensor')
  if (typeof (state as Partial<Stateful>).namedState === 'function') return refuse('a module; pass its stateDict()')
  return new Map(Object.entries(state))
}

/** Groups of two or more names whose tensors share memory or overlap. */
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

/** The tensors whose memory no earlier tensor has, each under its first name. */
export function withoutAliases(named: Iterable<Named>): Named[] {
  const found: Named[] = []
  const byStorage = new Map<object, Tensor[]>()
  for (const [name, tensor] of named) {
    const before = byStorage.get(tensor.storage) ?? []
    if (before.some((other) => other === tensor || sameMemory(other, tensor))) continue
    byStorage.set(tensor.storage, [...before, tensor])
    found.push([name, tensor])
  }
  return found
}

/** Whether the values of two names of one memory agree. They are written to a copy of the memory and read back. */
export function canHoldBoth(
  op: string,
  [tensor, value]: readonly [Tensor, Tensor],
  [other, otherValue]: readonly [Tensor, Tensor],
  device: Device,
): boolean {
  // If both sides share memory in the same way, the values agree by themselves.
  if (sameView(value, otherValue) && sameView(tensor, other)) return true
  return scope(() => {
    const { dtype, storage } = tensor
    const memory = zeros([storage.count], { device, dtype }).storage
    const view = (of: Tensor) => new Tensor(memory, of.sizes, of.steps, of.offset)
    copyInto(view(tensor), to(value, device), op)
    const before = dataSync(view(tensor))
    copyInto(view(other), to(otherValue, device), op)
    return sameNumbers(before, dataSync(view(tensor)))
  })
}

/** Two names of one memory that are both given values. */
export type Tie = readonly [Named, Named]

export function contradiction([[name], [other]]: Tie): string {
  return `${name} and ${other} share memory in this model, but have different values in the state`
}

/** The tensors offered for a module's state, before any of them is read. */
export interface Offer {
  readonly naming: Naming
  /**
   * The sizes of the model's tensor with this name. It is a text that says what stands there if that is not a tensor,
   * and null if there is nothing.
   */
  sizesOf(name: string): Shape | string | null
  /** The dtype of a tensor that has sizes; null for one of a file's dtypes that no tensor has. */
  dtypeOf(name: string): DType | null
}

/** The targets of an offer's tensors, and everything wrong with the offer. */
export interface Match extends LoadResult {
  /** All tensors of the module, under all of their names. */
  readonly own: readonly Named[]
  /** The tensors that are given a value, under the name that gives it. */
  readonly given: readonly Named[]
  /** Pairs of given values that must agree. */
  readonly ties: readonly Tie[]
  readonly problems: readonly string[]
}

export function matchOffer(op: string, module: Stateful, offer: Offer, strict: boolean): Match {
  checkGuards(op, module)
  const own = new Map(module.namedState())
  const groups = shared([...own])
  const { naming } = offer
  const sizesOf = (name: string) => (naming.excludes(name) ? null : offer.sizesOf(name))
  const has = (name: string) => sizesOf(name) !== null
  const elsewhere = (name: string) => {
    const tensor = own.get(name) as Tensor
    return groups.some(
      (names) =>
        names.some(([mine]) => mine === name) &&
        names.some(([other, of]) => other !== name && has(other) && sameMemory(of, tensor)),
    )
  }
  const all = [...new Set([...own.keys(), ...naming.names])]
  const [excluded, idle] = [all.filter((name) => naming.excludes(name)), naming.idle(all)]
  const missing = [...own.keys()].filter((name) => !has(name) && !elsewhere(name) && !naming.excludes(name))
  const unexpected = naming.names.filter((name) => !own.has(name) && !naming.excludes(name))
  const problems = [
    ...naming.problems,
    ...idle.map((text) => `exclude has ${text}, but neither the model nor the state has such a name`),
    ...(strict ? missing.map((name) => `missing: ${name}`) : []),
    ...(strict ? unexpected.map((name) => `unexpected: ${naming.describe(name)}`) : []),
  ]
  const given: Named[] = []
  for (const [name, tensor] of own) {
    const sizes = sizesOf(name)
    if (sizes === null) continue
    tensor.storage.check(op, name)
    const dtype = typeof sizes === 'string' ? null : offer.dtypeOf(name)
    if (typeof sizes === 'string') problems.push(`${naming.describe(name)} is ${sizes}`)
    else if (!sameShape(sizes, tensor.sizes))
      problems.push(`${naming.describe(name)} is ${formatShape(sizes)}, but must be ${formatShape(tensor.sizes)}`)
    else if (dtype !== null && isBlocks(tensor.dtype) && dtype !== tensor.dtype && !isFloating(dtype))
      problems.push(`${naming.describe(name)} is ${dtype}, but must be floating or ${tensor.dtype}`)
    else {
      checkDistinct(op, name, tensor)
      given.push([name, tensor])
    }
  }
  const ties = shared(given).flatMap((names) =>
    names.flatMap((one, i) =>
      names.slice(i + 1).flatMap((other): Tie[] => (overlaps(one[1], other[1]) ? [[one, other]] : [])),
    ),
  )
  const spelt = unexpected.map((name) => naming.originalOf(name) ?? name)
  return { own: [...own], given, ties, missing, unexpected: spelt, excluded, problems }
}

/** A state that fits, with the values to write. */
export interface Matched extends LoadResult {
  /** Copies the values into the module. */
  write(): void
}

/**
 * Does the same as loadStateDict, but writes nothing until `write()` is called. Errors name `op` and, if there is one,
 * the state's file.
 */
export function matchState(
  op: string,
  module: Stateful,
  state: LoadableState,
  options: LoadOptions = {},
  path?: string,
): Matched {
  const { strict = true, device } = checkOptions(op, options, loadNames)
  checkGuards(op, module)
  const entries = entriesOf(op, state)
  const naming = new Naming(op, entries.keys(), options)
  const entryOf = (name: string) => entries.get(naming.originalOf(name) as string)
  const tensorOf = (name: string) => entryOf(name) as Tensor
  const sizesOf = (name: string): Shape | string | null => {
    const value = entryOf(name)
    if (value === undefined) return null
    if (value instanceof Tensor) {
      value.storage.check(op, naming.describe(name))
      return value.device.kind === 'meta'
        ? 'on meta, but must be a tensor with elements; load its module first'
        : value.sizes
    }
    const hint = typeof value === 'object' && value !== null ? '; JSON holds no tensors, use save and load' : ''
    return `${kindOf(value)}, but must be a tensor${hint}`
  }
  const { own, given, ties, missing, unexpected, excluded, problems } = matchOffer(
    op,
    module,
    { naming, sizesOf, dtypeOf: (name) => tensorOf(name).dtype },
    strict,
  )
  const arrivals = new Arrivals(op, module, own, given, device)
  const found = [...problems]
  if (problems.length === 0)
    noGrad(() => {
      for (const tie of ties) {
        const [one, other] = tie.map(([name, tensor]) => [tensor, tensorOf(name)] as const) as [never, never]
        if (!canHoldBoth(op, one, other, arrivals.deviceOf(tie[0][1], tensorOf(tie[0][0]).device)))
          found.push(contradiction(tie))
      }
    })
  if (found.length > 0) throw new StateDictError(found, op, path)
  const write = () =>
    noGrad(() => {
      for (const [name, tensor] of given) {
        const value = tensorOf(name)
        const target = arrivals.targetOf(tensor, value.device, false)
        copyInto(target, to(value, target.device), op)
      }
      arrivals.settle()
    })
  return { missing, unexpected, excluded, write }
}

/**
 * Copies a state into the module's parameters and buffers, converted to their dtype and device; those on meta get
 * memory of their own. If several names stand for one tensor, as with tied weights, one of them is enough, and several
 * must agree. Throws a StateDictError that lists every missing, unexpected, misshapen and contradicting entry, and then
 * writes nothing.
 */
export function loadStateDict(module: Stateful, state: LoadableState, options: LoadOptions = {}): LoadResult {
  const { write, ...result } = matchState('loadStateDict', module, state, options)
  write()
  return result
}
