/**
 * Operators made from records. A record is the mathematics of an operator: shapes of results, gradients, its definition
 * in terms of others. The facts for machines are read from the rows of the kernels that it calls. They are allowed
 * dtypes, the dtype under autocast, results to allocate, and kernels that a device must have.
 */

import { isGradEnabled } from '../autograd/mode.js'
import {
  type BackwardContext,
  type Bare,
  type Described,
  type Extras,
  type Gradient,
  type GradientsOfInputs,
  type GradientsOfOutputs,
  type Inputs,
  type Needs,
  type NotDifferentiable,
  Operator,
  type Outputs,
  registered,
  type Specs,
  type TensorSpec,
} from '../autograd/operator.js'
import { type Kernel, kernelOf } from '../backend/call.js'
import { empty, runOn } from '../backend/dispatch.js'
import {
  calledAs,
  type KernelArguments,
  type KernelName,
  type KernelSpec,
  type KernelTable,
  kernels,
  type ParsedArgument,
  parseArguments,
  dtypesOf as takenDTypes,
} from '../backend/table/index.js'
import type { Device } from '../core/device.js'
import { type DType, isBlocks } from '../core/dtype.js'
import { AutogradError, ValueError } from '../core/errors.js'
import type { Tensor } from '../core/tensor.js'
import { checkDistinct } from './common.js'
import { emptyInOrderOf } from './layout.js'
import { type InputFact, misfit } from './misfit.js'

/** The names of the arguments of a row that the kernel writes. */
type OutName<Args> = { [N in keyof Args]: Args[N] extends `${'out' | 'place'}${string}` ? N : never }[keyof Args]

/** The allocated results of a kernel, by argument; null if an optional one is not wanted. */
export type MadeBy<K extends KernelName> = Pick<KernelArguments<K, Tensor>, OutName<KernelTable[K]['args']>>

/**
 * The kernel that forward or backward consists of, and a function that makes its arguments from the call's two parts
 * and the allocated results.
 */
export interface KernelUse<First, Second> {
  readonly kernel: KernelName
  readonly callArguments: (first: First, second: Second, made: never) => unknown
}

/**
 * A forward or backward that is a single kernel call. `callArguments` makes the kernel's arguments from the inputs and
 * attributes, or from the context of backward and its gradients, and from the allocated results. Those of forward are
 * as `infer` says; those of backward are like the inputs that want a gradient (`dx` like `x`).
 */
export function kernel<K extends KernelName, First, Second>(
  name: K,
  callArguments: (first: First, second: Second, made: MadeBy<K>) => KernelArguments<K, Tensor>,
): KernelUse<First, Second> {
  return { kernel: name, callArguments }
}

/** A backward that is a single call of a kernel, which has no gradient itself. */
export interface FusedGradient<I extends Inputs, A, O extends Outputs, X extends Extras> {
  readonly saves: Gradient<I, A, O, X>['saves']
  readonly backward: KernelUse<BackwardContext<I, A, O, X>, GradientsOfOutputs<O>>
  /**
   * The same gradient by operators, if it needs a graph of its own. Without a formula it goes through the composite.
   */
  formula?(context: BackwardContext<I, A, O, X>, gradients: GradientsOfOutputs<O>): GradientsOfInputs<I>
}

/** A backward written as a function. */
export interface FreeGradient<I extends Inputs, A, O extends Outputs, X extends Extras> extends Gradient<I, A, O, X> {
  /** The kernels that it calls directly rather than through operators. */
  readonly kernels?: readonly KernelName[]
}

export interface OperatorRecord<I extends Inputs, A, O extends Outputs, X extends Extras>
  extends Described<I, A, O, X> {
  /** A kernel call, or a function of its own, such as one that makes a view. */
  readonly forward:
    | KernelUse<I, A>
    | ((inputs: I, attrs: A, specs: Specs<[...O, ...X]>, needs: Needs, device: Device) => Bare<[...O, ...X]>)
  /** Names of inputs in errors, by position, if they differ from the row's, or inputs with dtypes of their own. */
  readonly inputs?: readonly (string | OwnInput)[]
  /**
   * The inputs that the kernel writes in place. Each must have memory of its own, and its version grows, so that
   * earlier saves are detected.
   */
  writes?(attrs: A): readonly number[]
  readonly gradient: FreeGradient<I, A, O, X> | FusedGradient<I, A, O, X> | NotDifferentiable
}

/**
 * An input with other dtypes than the row's. `free` leaves the check to `infer`, and autocast does not convert the
 * input.
 */
export interface OwnInput {
  readonly name: string
  readonly dtypes: readonly DType[] | 'free'
}

// biome-ignore lint/suspicious/noExplicitAny: inputs and attributes are contravariant, and only handed on here
type Any = any
type AnyRecord = OperatorRecord<Any, Any, Any, Any>
type AnyUse = KernelUse<Any, Any>
type AnyFused = FusedGradient<Any, Any, Any, Any>
type AnyForward = Extract<AnyRecord['forward'], (...args: never) => unknown>

/** Makes and registers the operator of a record. */
export function operator<I extends Inputs, A = null, O extends Outputs = [out: Tensor], X extends Extras = []>(
  record: OperatorRecord<I, A, O, X>,
): Operator<I, A, O, X>
export function operator(record: AnyRecord): Operator<Any, Any, Any, Any> {
  return registered(
    typeof record.forward === 'function' ? freely(record, record.forward) : ofKernel(record, record.forward),
  )
}

/** Makes the operator of a record whose forward is a function. */
function freely(record: AnyRecord, forward: AnyForward): Operator<Any, Any, Any, Any> {
  const { gradient, inputs = ['x'] } = record
  if (isFused(gradient))
    throw new Error(
      `operator ${record.name} has a kernel for its gradient, which the row of a forward kernel must explain`,
    )
  const rules = inputs.map(free)
  return new Operator<Any, Any, Any, Any>({
    ...record,
    forward,
    gradient,
    inputs: rules,
    misfit: (given: Inputs) => misfit(record.op ?? record.name, rules, given),
    kernels: { forward: [], backward: backwardKernels(gradient) },
  })
}

/** Makes the operator of a record whose forward is a kernel call. The kernel's row tells the rest. */
function ofKernel(record: AnyRecord, forward: AnyUse): Operator<Any, Any, Any, Any> {
  const { name, gradient, composite, infer, writes } = record
  const row: KernelSpec = kernels[forward.kernel]
  const op = record.op ?? calledAs(forward.kernel)
  const facts = inputFacts(row, record.inputs ?? [])
  if (isFused(gradient) && composite === undefined)
    throw new Error(`operator ${name} has a kernel for its gradient, so it needs a composite`)
  return new Operator<Any, Any, Any, Any>({
    ...record,
    op,
    inputs: facts,
    misfit: (inputs: Inputs) => misfit(op, facts, inputs),
    infer: extendedInfer(op, facts, infer, writes, isFused(gradient) ? constants(gradient, facts) : []),
    forward: writes === undefined ? forwardOf(op, forward) : writing(op, forwardOf(op, forward), writes),
    kernels: { forward: [forward.kernel], backward: backwardKernels(gradient) },
    precision: record.precision ?? row.precision,
    asIs: record.asIs ?? facts.flatMap((fact, i) => (staysAsIs(fact, row) ? [i] : [])),
    gradient: isFused(gradient) ? gradientOf(op, gradient, facts) : gradient,
  })
}

function backwardKernels(gradient: AnyRecord['gradient']): readonly string[] {
  if (isFused(gradient)) return [gradient.backward.kernel]
  return 'differentiable' in gradient ? [] : (gradient.kernels ?? [])
}

function isFused(gradient: AnyRecord['gradient']): gradient is AnyFused {
  return !('differentiable' in gradient) && typeof gradient.backward !== 'function'
}

/** The rule for an input that is not in the row. */
function free(input: string | OwnInput): InputFact {
  const { name, dtypes } = typeof input === 'string' ? { name: input, dtypes: 'free' as const } : input
  return { name, argument: null, dtypes: dtypes === 'free' ? null : dtypes, isShared: false, isOptional: true }
}

/** The facts of the input at each position: the arguments that the row reads, in order. */
function inputFacts(row: KernelSpec, inputs: readonly (string | OwnInput)[]): readonly InputFact[] {
  const read = parseArguments(row).filter(({ dtype, role }) => dtype !== null && role !== 'out' && role !== 'place')
  const known = inputs.length > 0 ? read.slice(0, inputs.length) : read
  return known.map((argument, i) => {
    const input = inputs[i] ?? (argument.name === 'dy' ? 'the gradient' : argument.name)
    const { name, dtypes } = typeof input === 'string' ? { name: input, dtypes: dtypesOf(row, argument) } : input
    if (dtypes === 'free') return free(name)
    return { name, argument, dtypes, isShared: argument.dtype === 'T', isOptional: argument.arity === 'optional' }
  })
}

/** The dtypes that an argument may have; null for any. If a kernel takes float32, the reference takes float64 too. */
function dtypesOf(row: KernelSpec, argument: ParsedArgument): readonly DType[] | null {
  if (argument.dtype === 'stored' || argument.dtype === null) return null
  return withDoubles(takenDTypes(row, argument))
}

/** Lists by those without float64: rows share theirs, and every operator asks. */
const doubled = new WeakMap<readonly DType[], readonly DType[]>()

function withDoubles(list: readonly DType[]): readonly DType[] {
  let known = doubled.get(list)
  if (known === undefined) {
    known = list.flatMap((each) => (each === 'float32' ? (['float32', 'float64'] as const) : [each]))
    doubled.set(list, known)
  }
  return known
}

/** Whether the argument may be any float that kernels compute with, regardless of the others. */
function isFloats(argument: ParsedArgument | null): boolean {
  return argument?.dtype === 'float' || argument?.dtype === 'weight'
}

/**
 * Whether autocast leaves an input in its dtype, because the kernel reads either dtype and widens it itself. A product
 * (`low`) still needs low factors; only its optional arguments, which are added to the sum, may stay. A kernel of
 * `float32` that takes bfloat16 for T may leave it only if no result must be of T.
 */
function staysAsIs({ argument }: InputFact, row: KernelSpec): boolean {
  if (argument === null) return true
  if (isFloats(argument)) return row.precision === 'float32' || argument.arity === 'optional'
  if (argument.dtype !== 'T') return true
  const isResult = ({ role, dtype }: ParsedArgument) => (role === 'out' || role === 'place') && dtype === 'T'
  return row.precision === 'float32' && row.T?.includes('bfloat16') === true && !parseArguments(row).some(isResult)
}

/** The positions of float inputs for which the kernel of the gradient gives none. */
function constants({ backward }: AnyFused, facts: readonly InputFact[]): readonly number[] {
  const given = new Set(resultsOf(backward.kernel).map(({ name }) => name))
  return facts.flatMap(({ argument, dtypes }, i) =>
    argument !== null && dtypes?.includes('float32') && !given.has(`d${argument.name}`) ? [i] : [],
  )
}

/** `infer` extended by the checks that the row asks for; most operators need none and keep their own. */
function extendedInfer(
  op: string,
  facts: readonly InputFact[],
  infer: AnyRecord['infer'],
  writes: AnyRecord['writes'],
  constants: readonly number[],
): AnyRecord['infer'] {
  // Inputs that may mix float32 and bfloat16 must not mix float64 with either.
  const mixes = facts.some(({ argument }) => isFloats(argument))
  const floats = facts.flatMap(({ argument }, i) => (isFloats(argument) || argument?.dtype === 'T' ? [i] : []))
  if (!mixes && writes === undefined && constants.length === 0) return infer
  return (inputs: Inputs, attrs: unknown) => {
    checkConstants(op, facts, inputs, constants)
    if (mixes) checkDoubles(op, facts, inputs, floats)
    const specs = infer(inputs, attrs)
    if (writes !== undefined) checkWritten(op, facts, inputs, writes(attrs))
    return specs
  }
}

/**
 * Throws if an input at one of these positions wants a gradient. The kernels would give none, but the composite would,
 * so whether it learned would depend on the device and on `createGraph`.
 */
function checkConstants(op: string, facts: readonly InputFact[], inputs: Inputs, places: readonly number[]): void {
  for (const place of places)
    if (inputs[place]?.requiresGrad && isGradEnabled())
      throw new AutogradError(
        op,
        `${facts[place]?.name ?? `input ${place}`} wants a gradient, but counts as a constant here; give its detach()`,
      )
}

/** Throws if only some of the inputs at these positions are float64. */
function checkDoubles(op: string, facts: readonly InputFact[], inputs: Inputs, places: readonly number[]): void {
  const first = inputs[places[0] ?? 0]?.dtype
  for (let k = 1; k < places.length; k++) {
    const place = places[k] ?? 0
    const dtype = inputs[place]?.dtype
    if (dtype === undefined || dtype === first || isBlocks(dtype) || (first === 'float64') === (dtype === 'float64'))
      continue
    throw misfit(op, facts, inputs)
  }
}

/** Throws if an input that the kernel writes has overlapping elements, or shares memory with another argument. */
function checkWritten(op: string, facts: readonly InputFact[], inputs: Inputs, places: readonly number[]): void {
  for (const place of places) {
    const written = inputs[place] ?? null
    if (written === null) continue
    const name = facts[place]?.name ?? `input ${place}`
    checkDistinct(op, name, written)
    if (inputs.some((other, i) => i !== place && other?.storage === written.storage))
      throw new ValueError(
        op,
        `${name} is written, but shares memory with another argument; give it its own memory with clone()`,
      )
  }
}

function writing(op: string, forward: AnyForward, writes: (attrs: unknown) => readonly number[]): AnyForward {
  return (inputs: Inputs, attrs: unknown, specs: Any, needs: Needs, device: Device) => {
    const results: Any = forward(inputs, attrs, specs, needs, device)
    for (const place of writes(attrs)) inputs[place]?.storage.markWritten(op)
    return results
  }
}

type Made = { [argument: string]: Tensor | null }

function resultsOf(name: KernelName): readonly ParsedArgument[] {
  return parseArguments(kernels[name]).filter(({ role }) => role === 'out' || role === 'place')
}

/**
 * Allocates the results that `infer` described, and calls the kernel. A `place` has the memory order of the first
 * input. Optional results are made if something wants a gradient.
 */
function forwardOf(op: string, { kernel, callArguments }: AnyUse): AnyForward {
  const entry: Kernel = kernelOf(kernel)
  const call: Any = callArguments
  const results = resultsOf(kernel)
  const [first] = results
  if (results.length === 1 && first?.name === 'out')
    return (inputs: Inputs, attrs: unknown, { shape, dtype }: Any, _needs: Needs, device: Device) => {
      const out = empty(device, shape, dtype, op)
      runOn(device, entry, call(inputs, attrs, { out }))
      return out as Any
    }
  return (inputs: Inputs, attrs: unknown, specs: Any, needs: Needs, device: Device) => {
    const made: Made = {}
    const all: (Tensor | null)[] = []
    // A loop is used, because each norm and attention of a token comes here.
    for (let i = 0; i < results.length; i++) {
      const { name, arity, role } = results[i] as ParsedArgument
      const { shape, dtype }: TensorSpec = results.length === 1 ? specs : specs[i]
      const x = inputs[0]
      let result: Tensor | null = null
      if (arity !== 'optional' || needs.length > 0)
        result = role === 'place' && x ? emptyInOrderOf(x, shape, op) : empty(device, shape, dtype, op)
      made[name] = result
      all.push(result)
    }
    runOn(device, entry, call(inputs, attrs, made))
    return all.length === 1 ? all[0] : (all as Any)
  }
}

/** Allocates a gradient like each input that wants one, and calls the kernel. `dx` is the gradient of the row's `x`. */
function gradientOf(
  op: string,
  { saves, backward: { kernel, callArguments }, formula }: AnyFused,
  facts: readonly InputFact[],
): Gradient<Any, Any, Any, Any> {
  const entry: Kernel = kernelOf(kernel)
  const call: Any = callArguments
  const named = `${op} backward`
  const results = resultsOf(kernel).map(({ name, arity }) => {
    const input = facts.findIndex(({ argument }) => `d${argument?.name}` === name)
    if (input < 0) throw new Error(`${kernel} gives ${name}, but ${op} has no such input`)
    return { name, input, isOptional: arity === 'optional' }
  })
  const [only] = results
  const backward =
    results.length === 1 && only?.name === 'dx' && facts.length === 1
      ? (context: Any, gradients: readonly Tensor[]): Any => {
          const { shape, dtype }: TensorSpec = context.spec(0)
          const { device }: BackwardContext = context
          const dx = empty(device, shape, dtype, named)
          runOn(device, entry, call(context, gradients, { dx }))
          return [dx]
        }
      : (context: BackwardContext, gradients: readonly (Tensor | null)[]): Any => {
          const { device } = context
          const made: Made = {}
          const found = new Array<Tensor | null>(context.needs.length).fill(null)
          for (const { name, input, isOptional } of results) {
            const { shape, dtype } = context.spec(input)
            const result = isOptional && !context.needs[input] ? null : empty(device, shape, dtype, named)
            made[name] = result
            if (context.needs[input]) found[input] = result
          }
          runOn(device, entry, call(context, gradients, made))
          return found
        }
  if (formula === undefined) return { saves, backward, fused: true }
  return {
    saves,
    backward: (context, gradients) =>
      context.createGraph ? formula(context, gradients) : backward(context, gradients as Any),
  }
}
