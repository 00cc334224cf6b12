/**
 * The grammar of the table of kernels: the facts that a row may state, and the TypeScript types of its arguments.
 *
 * An argument is `role[?|[]] type`:
 *   roles   out     dense memory that the kernel overwrites
 *           place   as out, with any strides
 *           inout   dense memory that the kernel reads and writes
 *           update  as inout, with any strides
 *           in      dense memory, read only
 *           strided memory with any strides, read only (0 where broadcast)
 *   ?       the argument may be null;  []  any number of tensors
 *   types   T       one dtype, the same for every T of a call, out of the row's `T`
 *           float   float32 or bfloat16, whatever the other arguments are
 *           any     any dtype but those of blocks
 *           stored  any dtype
 *           weight  as float, or a dtype of blocks
 *           or a dtype by name
 * or one of number (a double), integer (a safe integer), integers (at most `longestIntegers` safe integers, such as the
 * strides of a window of one to three dimensions), flag (a boolean), philox (a position in a random stream).
 *
 * Wherever a kernel takes float32 the reference device also takes float64; no other device does.
 */
import type { KernelCall, StridedView } from '../../core/device.js'
import { blockDTypes, type DType, dtypeCodes, isBlocks, isDType, type Precision } from '../../core/dtype.js'
import { InternalError } from '../../core/errors.js'

export type Role = 'out' | 'place' | 'inout' | 'update' | 'in' | 'strided'
type Arity = '' | '?' | '[]'
type ElementType = 'T' | 'float' | 'any' | 'stored' | 'weight' | DType
export type TensorArgument = `${Role}${Arity} ${ElementType}`
type ValueRole = 'number' | 'integer' | 'integers' | 'flag' | 'philox'
export type Argument = TensorArgument | ValueRole

/** The arguments in the order of the C++ function. */
export interface Arguments {
  readonly [name: string]: Argument
}

/** A position in a random stream, which Philox turns into the same numbers on every device. */
export interface PhiloxPosition {
  /** A safe integer: the key. */
  readonly seed: number
  /** An unsigned 32-bit integer, which chooses one of the seed's independent sequences. */
  readonly stream: number
  /** A safe integer: the number of blocks of four words taken before. */
  readonly offset: number
}

type ArgumentValue<A, V> = A extends 'number' | 'integer'
  ? number
  : A extends 'integers'
    ? readonly number[]
    : A extends 'flag'
      ? boolean
      : A extends 'philox'
        ? PhiloxPosition
        : A extends `${Role}? ${ElementType}`
          ? V | null
          : A extends `${Role}[] ${ElementType}`
            ? readonly V[]
            : V

/** The values of a call for the arguments A, where a tensor is a V. */
export type ArgumentsOf<A, V> = { readonly [Name in keyof A]: ArgumentValue<A[Name], V> }

/** A row of the table: the facts of one kernel. */
export interface KernelSpec {
  readonly args: Arguments
  /** The dtypes that `T` may stand for. */
  readonly T?: readonly DType[]
  /**
   * The operators' policy under autocast: `low` (bfloat16), `float32`, or `widest` (default), the dtype of the widest
   * input. A kernel that takes and gives bfloat16 computes in float32 or wider, and rounds the result once.
   */
  readonly precision?: Precision
  /** Whether a device may lack the kernel; it then runs the operator's composite. */
  readonly optional?: boolean
  /** The name of the function that the program called, for late errors. Default: the kernel's. */
  readonly calledAs?: string
  /**
   * The multiply-adds of a call in a direct algorithm, including those with the zeros of a padding. A kernel that has
   * any is heavy: the queue must not assume that its time is linear in the elements of its arguments.
   */
  // It is a method, so that rows of any arguments have one type.
  multiplyAdds?(args: KernelCall): number
  /** Arguments that the kernel touches only in part, each with another one that has as many elements as that part. */
  readonly partly?: { readonly [name: string]: string }
  /** Arguments that exist before the call but are only written. */
  readonly overwritten?: readonly string[]
}

export interface KernelRows {
  readonly [kernel: string]: KernelSpec
}

type TensorName<A> = { [Name in keyof A]: A[Name] extends TensorArgument ? Name : never }[keyof A] & string

/** The facts that refer to the row's own arguments. */
interface OwnFacts<A> {
  multiplyAdds?(args: ArgumentsOf<A, StridedView>): number
  readonly partly?: { readonly [Name in TensorName<A>]?: TensorName<A> }
  readonly overwritten?: readonly TensorName<A>[]
}

type Shared = Omit<KernelSpec, 'args' | keyof OwnFacts<Arguments>>

/** A row whose facts refer to its arguments. The compiler checks their names and types against `args`. */
export function row<const A extends Arguments, const F extends Shared>(
  args: A,
  facts: F & OwnFacts<A>,
): F & { readonly args: A } {
  return { ...facts, args }
}

export interface ParsedArgument {
  readonly name: string
  readonly role: Role | ValueRole
  readonly arity: 'one' | 'optional' | 'list'
  /** The dtype; null if the argument is not a tensor. */
  readonly dtype: ElementType | null
}

/** The longest list of integers, as many as a tensor can have dimensions; `max_dims` in C++. */
export const longestIntegers = 8

const valueRoles: readonly string[] = ['number', 'integer', 'integers', 'flag', 'philox'] satisfies readonly ValueRole[]
const parsed = new WeakMap<KernelSpec, readonly ParsedArgument[]>()

/** The parsed arguments of a kernel, in order. */
export function parseArguments(spec: KernelSpec): readonly ParsedArgument[] {
  let list = parsed.get(spec)
  if (list === undefined) {
    list = Object.entries(spec.args).map(([name, text]) => parseArgument(name, text))
    parsed.set(spec, list)
  }
  return list
}

/** Arguments by their texts. Hundreds have some forty texts, and all are read when the library is imported. */
const kindsOfArgument = new Map<string, Omit<ParsedArgument, 'name'>>()

function parseArgument(name: string, text: string): ParsedArgument {
  let kind = kindsOfArgument.get(text)
  if (kind === undefined) {
    kind = parseKind(name, text)
    kindsOfArgument.set(text, kind)
  }
  const { role, arity, dtype } = kind
  return { name, role, arity, dtype }
}

function parseKind(name: string, text: string): Omit<ParsedArgument, 'name'> {
  if (valueRoles.includes(text)) return { role: text as ValueRole, arity: 'one', dtype: null }
  const match = /^(out|place|inout|update|in|strided)(\?|\[\])? (\w+)$/.exec(text)
  const dtype = match?.[3]
  if (!match || dtype === undefined || !(isKind(dtype) || isDType(dtype)))
    throw new InternalError('the table of kernels', `'${name}: ${text}' is not an argument`)
  const arity = match[2] === '?' ? 'optional' : match[2] === '[]' ? 'list' : 'one'
  return { role: match[1] as Role, arity, dtype }
}

const stored = Object.keys(dtypeCodes) as (keyof typeof dtypeCodes)[]
const elements = stored.filter((each) => !isBlocks(each))
const kinds = ['T', 'float', 'any', 'stored', 'weight'] as const

function isKind(text: string): text is (typeof kinds)[number] {
  return kinds.some((kind) => kind === text)
}

/** The dtypes that the addon's devices take for a tensor argument. */
export function dtypesOf(spec: KernelSpec, { dtype }: ParsedArgument): readonly DType[] {
  switch (dtype) {
    case null:
      return []
    case 'T':
      return spec.T ?? []
    case 'float':
      return floats
    case 'weight':
      return weights
    case 'any':
      return elements
    case 'stored':
      return stored
    default:
      return [dtype]
  }
}

/**
 * Throws InternalError for an invalid row, because the compiler sees less of rows that spread others. `elsewhere` is a
 * family that already has a row of this name.
 */
export function checkRow(kernel: string, spec: KernelSpec, elsewhere?: string): void {
  const refuse = (what: string): never => {
    throw new InternalError(kernel, `the table of kernels has a wrong row: ${what}`)
  }
  if (elsewhere !== undefined) refuse(`${elsewhere} has a row of this name too`)
  let args: readonly ParsedArgument[] = []
  try {
    args = parseArguments(spec)
  } catch (error) {
    refuse((error as Error).message)
  }
  const tensors = new Map(args.filter(({ dtype }) => dtype !== null).map((arg) => [arg.name, arg]))
  if (![...tensors.values()].some(({ arity }) => arity !== 'optional')) refuse('no tensor is always there')
  if ((spec.T !== undefined) !== args.some(({ dtype }) => dtype === 'T'))
    refuse(spec.T === undefined ? 'an argument is of dtype T, but T is not said' : 'no argument is of dtype T')
  for (const [name, whole] of Object.entries(spec.partly ?? {}))
    if (!tensors.has(name) || tensors.get(whole)?.arity !== 'one')
      refuse(`partly says '${name}: ${whole}', which must be a tensor and one that is always there`)
  for (const name of spec.overwritten ?? []) {
    const role = tensors.get(name)?.role
    if (role !== 'inout' && role !== 'update') refuse(`overwritten says '${name}', which must be inout or update`)
  }
}

/** Throws InternalError at the first wrong row of a table, or at a kernel that two families have. */
export function checkTable(families: { readonly [family: string]: KernelRows }): void {
  const seen = new Map<string, string>()
  for (const [family, rows] of Object.entries(families))
    for (const [kernel, spec] of Object.entries(rows)) {
      checkRow(kernel, spec, seen.get(kernel))
      seen.set(kernel, family)
    }
}

/** The lists of dtypes that `T` may stand for in rows. */
export const float = ['float32'] as const
export const numeric = ['float32', 'int32'] as const
export const floats = ['float32', 'bfloat16'] as const
export const numbers = ['float32', 'bfloat16', 'int32'] as const
export const every = ['float32', 'bfloat16', 'float16', 'int32', 'uint8', 'bool'] as const

const weights = [...floats, ...blockDTypes]

/** The dtypes of tensors that are copied row by row: all of them. */
export const rows = [...every, ...blockDTypes] as const

/** The size of a dimension, counted from the end if negative; 1 if there is no such dimension. */
export const size = (sizes: readonly number[], dim: number): number => sizes.at(dim) ?? 1
