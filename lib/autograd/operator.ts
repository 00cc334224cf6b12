/**
 * What an operator is to autograd: one record with everything about it, and `apply`, which runs it and hangs its node on the
 * results. Knows no operator.
 */
import { type DType, isConvertible, type Precision } from '../core/dtype.js'
import { DeviceError, DTypeError, namedAs } from '../core/errors.js'
import type { Shape } from '../core/shape.js'
import { Tensor } from '../core/tensor.js'
import { type AutocastDType, autocastDType, autocastInputs, withAutocast } from './autocast.js'
import { isGradEnabled } from './mode.js'
import { Node } from './node.js'

export interface TensorSpec {
  readonly shape: Shape
  readonly dtype: DType
}

export type Inputs = readonly (Tensor | null)[]

/** Which inputs want a gradient. It decides what is saved, and what backward computes. */
export type Needs = readonly boolean[]

/** What a backward pass keeps, by position; outputs count the extra ones behind the public ones. */
export interface Saves {
  readonly inputs?: readonly number[]
  readonly outputs?: readonly number[]
}

/** What `backward` is given. */
export interface BackwardContext<A> {
  readonly attrs: A
  readonly needs: Needs
  /** A saved input; throws if the record did not save it or it was overwritten since. */
  input(index: number): Tensor
  /** A saved input, or null where the call had none. */
  optionalInput(index: number): Tensor | null
  output(index: number): Tensor
  /** Shape and dtype of an input, saved or not. */
  spec(index: number): TensorSpec
  /** The dtype that the gradient of an input is best given in: where the input was converted for the call, what it was. */
  gradientDType(index: number): DType
  /**
   * What came from other consumers for the gradient of an input, dense and nobody else's: backward may add its part to it
   * (`markWritten`) and give it back as the gradient, which saves a pass over memory. In the input's dtype or its
   * `gradientDType`. Null where there is nothing yet, or it is not to be written.
   */
  sumSoFar(index: number): Tensor | null
  /** Whether the gradients computed now are to have a graph of their own: then only operators, no bare kernels. */
  readonly createGraph: boolean
}

export interface OperatorRecord<A> {
  readonly name: string
  /** Outputs' shapes and dtypes, or a typed error that names all faults. Extra outputs, kept for backward, come last. */
  infer(inputs: Inputs, attrs: A): TensorSpec | readonly TensorSpec[]
  /** Multiply-adds of a forward call; 0 for what only moves memory. */
  cost?(inputs: Inputs, attrs: A): number
  /** Runs the kernels, or makes a view. `specs` is what infer said; the results must have those shapes. */
  forward(inputs: Inputs, attrs: A, specs: readonly TensorSpec[], needs: Needs): Tensor | readonly Tensor[]
  /** How many of forward's results are the operator's, at most; the rest is kept for backward. Default 1. */
  readonly outputs?: number
  /** The operator in terms of others. Mandatory where backward is a fused kernel. */
  composite?(inputs: Inputs, attrs: A): Tensor | readonly Tensor[]
  /** Fused kernels the record calls; where the device lacks one, the composite runs instead. */
  readonly kernels?: readonly string[]
  /** What it computes in under autocast, as the table of kernels says. Default 'widest'. */
  readonly precision?: Precision
  /** Inputs that autocast leaves alone, because the kernel takes them in either dtype. */
  readonly asIs?: readonly number[]
  /** Changes the dtype and nothing else: its gradient may arrive in the dtype of its input. */
  readonly conversion?: boolean
  /** null: this operator has no gradient, for the given reason. */
  readonly gradient: Gradient<A> | { readonly differentiable: false; readonly reason: string }
}

export interface Gradient<A> {
  /** What backward will read, given which inputs want a gradient. */
  saves(needs: Needs, attrs: A): Saves
  /**
   * Gradients by input (null where `needs` is false) from gradients by output (null where nothing flowed back).
   * `fused`: written with kernels that have no gradient themselves; a second derivative goes through the composite.
   */
  backward(context: BackwardContext<A>, gradients: readonly (Tensor | null)[]): readonly (Tensor | null)[]
  readonly fused?: boolean
}

/** Any record, where its attributes do not matter. */
// biome-ignore lint/suspicious/noExplicitAny: attributes are contravariant; the registry only reads names and flags
export type AnyOperator = OperatorRecord<any>

const registry = new Map<string, AnyOperator>()

/** Registers an operator; the suites run the cases of every registered one. */
export function defineOperator<A>(record: OperatorRecord<A>): OperatorRecord<A> {
  if (registry.has(record.name)) throw new Error(`operator ${record.name} is defined twice`)
  registry.set(record.name, record)
  return record
}

export function operators(): readonly AnyOperator[] {
  return [...registry.values()]
}

const noNeeds: Needs = []

/** Which inputs want a gradient; the shared empty list when none does. */
function needsOf(inputs: Inputs): Needs {
  if (!isGradEnabled()) return noNeeds
  for (let i = 0; i < inputs.length; i++) {
    if (inputs[i]?.requiresGrad) return inputs.map((input) => input?.requiresGrad === true)
  }
  return noNeeds
}

function noTensor(op: string, name: string, value: unknown): DTypeError {
  const kind =
    value === null ? 'null' : Array.isArray(value) ? 'an array; wrap it in tensor()' : `of type ${typeof value}`
  return new DTypeError(op, `${name} must be a tensor, but is ${kind}`)
}

/** For programs that no compiler has checked: throws unless the value is a tensor whose memory is there. */
export function checkTensor(op: string, name: string, value: unknown): asserts value is Tensor {
  if (!(value instanceof Tensor)) throw noTensor(op, name, value)
  value.storage.check(op)
}

/** Checks that all inputs are alive and on one device. */
function checkInputs(op: string, inputs: Inputs): void {
  let first: Tensor | null = null
  for (let i = 0; i < inputs.length; i++) {
    const input = inputs[i]
    if (input === null) continue
    if (!(input instanceof Tensor)) throw noTensor(op, `input ${i}`, input)
    input.storage.check(op)
    if (first === null) first = input
    else if (input.storage.device !== first.storage.device)
      throw new DeviceError(
        op,
        `the tensors are on different devices: ${inputs.map((t) => (t instanceof Tensor ? t.device.name : 'none')).join(', ')}; ` +
          `move them with .to('${first.device.name}')`,
      )
  }
}

function hasKernels(record: AnyOperator, inputs: Inputs): boolean {
  if (record.kernels === undefined) return true
  const device = inputs.find((input) => input)?.device
  return device === undefined || record.kernels.every((name) => device.hasKernel(name))
}

/** Checks, computes, and hangs a node on the results if an input wants a gradient. Extra results come along. */
function execute<A>(record: OperatorRecord<A>, inputs: Inputs, attrs: A): Tensor | readonly Tensor[] {
  checkInputs(record.name, inputs)
  const low = autocastDType()
  if (low !== null) return executeIn(low, record, inputs, attrs)
  const inferred = record.infer(inputs, attrs)
  if (record.kernels !== undefined && !hasKernels(record, inputs)) {
    const { composite } = record
    if (composite === undefined)
      throw new DeviceError(
        record.name,
        `device ${inputs.find((t) => t)?.device.name} lacks the kernels ${record.kernels.join(', ')} and there is no composite`,
      )
    return namedAs(record.name, () => composite(inputs, attrs))
  }
  const needs = needsOf(inputs)
  const result = record.forward(inputs, attrs, toArray(inferred), needs)
  if (needs !== noNeeds) {
    const gradient = record.gradient
    if (!('differentiable' in gradient)) new Node(record, gradient, inputs, attrs, needs, resultsOf(result))
    // Results of an operator without a gradient (comparisons, indices) are constants: nothing to record.
  }
  return result
}

const noInputs: readonly number[] = []

/** Under autocast: converts the inputs, then runs in their dtypes, so that a composite's parts follow its own policy. */
function executeIn<A>(
  low: AutocastDType,
  record: OperatorRecord<A>,
  inputs: Inputs,
  attrs: A,
): Tensor | readonly Tensor[] {
  return withAutocast(null, () => {
    const converted = autocastInputs(record.precision ?? 'widest', record.asIs ?? noInputs, inputs, low)
    return execute(record, converted, attrs)
  })
}

function toArray(specs: TensorSpec | readonly TensorSpec[]): readonly TensorSpec[] {
  return Array.isArray(specs) ? (specs as readonly TensorSpec[]) : [specs as TensorSpec]
}

function resultsOf(result: Tensor | readonly Tensor[]): readonly Tensor[] {
  return Array.isArray(result) ? (result as readonly Tensor[]) : [result as Tensor]
}

/** Runs an operator on its inputs; gives all its outputs. */
export function applyAll<A>(record: OperatorRecord<A>, inputs: Inputs, attrs: A): readonly Tensor[] {
  const results = resultsOf(execute(record, inputs, attrs))
  const count = record.outputs ?? 1
  return results.length <= count ? results : results.slice(0, count)
}

/** `applyAll` for the many operators with one result. */
export function apply<A>(record: OperatorRecord<A>, inputs: Inputs, attrs: A): Tensor {
  const result = execute(record, inputs, attrs)
  return Array.isArray(result) ? (result[0] as Tensor) : (result as Tensor)
}

/** Whether two tensors have one dtype, or autocast will give them one. */
export function agree(a: Tensor, b: Tensor): boolean {
  return a.dtype === b.dtype || (autocastDType() !== null && isConvertible(a.dtype) && isConvertible(b.dtype))
}

/** Throws unless the tensor has one of the dtypes, or autocast will give it one. */
export function checkDType(op: string, name: string, tensor: Tensor, allowed: readonly DType[]): void {
  // What is no tensor comes to the error below without costing a check.
  const dtype = (tensor as Tensor | null | undefined)?.dtype
  // A loop, because `includes` is a call.
  for (let i = 0; i < allowed.length; i++) if (allowed[i] === dtype) return
  checkTensor(op, name, tensor)
  if (autocastDType() !== null && isConvertible(tensor.dtype) && allowed.some(isConvertible)) return
  throw new DTypeError(
    op,
    `${name} is ${dtype}, but must be ${allowed.join(' or ')}; convert it with .to('${allowed[0]}')`,
  )
}
