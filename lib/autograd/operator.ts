/**
 * Operators as autograd sees them: `Operator` holds everything about one, and `apply` runs it and hangs its node on the
 * results. Knows no operator and no kernel: `ops/operator.ts` makes these of records and rows of the table of kernels.
 */
import type { Device } from '../core/device.js'
import { type DType, isConvertible, type Precision } from '../core/dtype.js'
import { DeviceError, DTypeError, namedAs } from '../core/errors.js'
import type { Shape } from '../core/shape.js'
import { Tensor } from '../core/tensor.js'
import { type AutocastDType, autocastDType, autocastInputs, withAutocast } from './autocast.js'
import { isGradEnabled } from './mode.js'
import { Node } from './node.js'
import { operatorObserver } from './observe.js'
import { endIfKept, mayEnd, noteReads } from './region.js'

export interface TensorSpec {
  readonly shape: Shape
  readonly dtype: DType
}

/** A labelled tuple (or a list, where any number goes); null where an input may be left out. */
export type Inputs = readonly (Tensor | null)[]
/** The results of an operator that its caller sees. */
export type Outputs = readonly Tensor[]
/** Further results that only backward reads; null where a call may do without because nothing wants a gradient. */
export type Extras = readonly (Tensor | null)[]

/** One thing bare, several in their tuple. */
export type Bare<T extends readonly unknown[]> = T extends readonly [infer One] ? One : T
/** Shape and dtype of each result. */
export type Specs<R extends readonly unknown[]> = Bare<{ readonly [K in keyof R]: TensorSpec }>
/** By output: null where nothing flowed back, which a backward of one output never sees. */
export type GradientsOfOutputs<O extends Outputs> = O extends readonly [Tensor]
  ? O
  : { readonly [K in keyof O]: Tensor | null }
/** By input: null where no gradient is wanted. */
export type GradientsOfInputs<I extends Inputs> = { readonly [K in keyof I]: Tensor | null }

/** Which inputs want a gradient. It decides what is saved, and what backward computes. */
export type Needs = readonly boolean[]

/** The tensors that a backward pass keeps, by position. Extra outputs are counted behind the public ones. */
export interface Saves {
  readonly inputs?: readonly number[]
  readonly outputs?: readonly number[]
}

/** The facts about an input's gradient that `backward` may ask for. */
export interface GradientTargets {
  readonly needs: Needs
  /** Shape and dtype of an input, saved or not. */
  spec(index: number): TensorSpec
  /** The dtype that the gradient of an input is best given in: where the input was converted for the call, what it was. */
  gradientDType(index: number): DType
  /**
   * The sum of what other consumers gave for the gradient of an input. It is dense and nobody else's: backward may add its
   * part (`markWritten`) and give it back as the gradient, which saves a pass over memory. Its dtype is the input's or its
   * `gradientDType`. Null where there is none yet, or where it must not be written.
   */
  sumSoFar(index: number): Tensor | null
}

/** The context of one call of `backward`. */
export interface BackwardContext<
  I extends Inputs = Inputs,
  A = unknown,
  O extends Outputs = Outputs,
  X extends Extras = Extras,
> extends GradientTargets {
  readonly attrs: A
  /** Where the call ran. */
  readonly device: Device
  /** A saved input, null where the call had none; throws if the record did not save it or it was overwritten since. */
  input<K extends number>(index: K): I[K]
  output<K extends number>(index: K): NonNullable<[...O, ...X][K]>
  /** Whether the gradients computed now are to have a graph of their own: then only operators, no bare kernels. */
  readonly createGraph: boolean
}

export interface Gradient<I extends Inputs, A, O extends Outputs, X extends Extras> {
  /** The tensors that backward will read, given which inputs want a gradient. */
  saves(needs: Needs, attrs: A): Saves
  /**
   * Gradients by input (null where `needs` is false) from gradients by output (null where nothing flowed back).
   * `fused`: written with kernels that have no gradient themselves; a second derivative goes through the composite.
   */
  backward(context: BackwardContext<I, A, O, X>, gradients: GradientsOfOutputs<O>): GradientsOfInputs<I>
  readonly fused?: boolean
}

/** In place of a gradient. */
export interface NotDifferentiable {
  readonly differentiable: false
  readonly reason: string
}

/** The rule for an input of every call, so that no `infer` needs to check it. */
export interface InputRule {
  /** The name of the input in errors. */
  readonly name: string
  /** Null: any. */
  readonly dtypes: readonly DType[] | null
  /** One dtype for all inputs that share. */
  readonly isShared: boolean
  readonly isOptional: boolean
}

/** The common part of an operator's record and its definition. */
export interface Described<I extends Inputs, A, O extends Outputs, X extends Extras> {
  /** Unique among all operators. */
  readonly name: string
  /** The function that the program called, which errors name. Default: `name`. */
  readonly op?: string | undefined
  /** Results' shapes and dtypes, the extra ones last, or a typed error that names all faults. */
  infer(inputs: I, attrs: A): Specs<[...O, ...X]>
  /** How many of forward's results are the operator's, at most; the rest is kept for backward. Default 1. */
  readonly outputs?: number | undefined
  /** The operator in terms of others. Mandatory where backward is a fused kernel. */
  composite?: ((inputs: I, attrs: A) => Bare<O>) | undefined
  /** The dtype that it computes in under autocast. Default 'widest'. */
  readonly precision?: Precision | undefined
  /** Inputs that autocast leaves alone, because the kernel takes them in either dtype. */
  readonly asIs?: readonly number[] | undefined
  /** Changes the dtype and nothing else: its gradient may arrive in the dtype of its input. */
  readonly conversion?: boolean | undefined
}

export interface Definition<I extends Inputs, A, O extends Outputs, X extends Extras> extends Described<I, A, O, X> {
  /** Rules for the inputs, by position. The last one holds for all inputs that follow. */
  readonly inputs?: readonly InputRule[]
  /** The error for inputs whose dtypes break the rules. */
  misfit?(inputs: I): Error
  /** Runs the kernels, or makes a view. `specs` is what infer said; the results must have those shapes. */
  forward(inputs: I, attrs: A, specs: Specs<[...O, ...X]>, needs: Needs, device: Device): Bare<[...O, ...X]>
  /** Kernels that forward and backward call: where the device lacks one, the composite runs instead. */
  readonly kernels?: { readonly forward: readonly string[]; readonly backward: readonly string[] }
  readonly gradient: Gradient<I, A, O, X> | NotDifferentiable
}

const nothing: readonly never[] = []

/** An operator, in one form for all: what runs it reads the same fields of every one. */
export class Operator<I extends Inputs, A, O extends Outputs = [out: Tensor], X extends Extras = []> {
  readonly name: string
  readonly op: string
  readonly inputs: readonly InputRule[]
  readonly misfit: ((inputs: I) => Error) | null
  readonly infer: Definition<I, A, O, X>['infer']
  readonly forward: Definition<I, A, O, X>['forward']
  readonly outputs: number
  readonly composite: ((inputs: I, attrs: A) => Bare<O>) | null
  readonly kernels: { readonly forward: readonly string[]; readonly backward: readonly string[] }
  readonly precision: Precision
  readonly asIs: readonly number[]
  readonly conversion: boolean
  /** Null where the operator has none; `reason` says why. */
  readonly gradient: Gradient<I, A, O, X> | null
  readonly reason: string | null
  /** The device that was last asked which of the kernels it lacks, and the answers. */
  #asked: Device | null = null
  #lacksForward = false
  #lacksBackward = false

  constructor(definition: Definition<I, A, O, X>) {
    const { gradient } = definition
    this.name = definition.name
    this.op = definition.op ?? definition.name
    this.inputs = definition.inputs ?? nothing
    this.misfit = definition.misfit ?? null
    this.infer = definition.infer
    this.forward = definition.forward
    this.outputs = definition.outputs ?? 1
    this.composite = definition.composite ?? null
    this.kernels = definition.kernels ?? { forward: nothing, backward: nothing }
    this.precision = definition.precision ?? 'widest'
    this.asIs = definition.asIs ?? nothing
    this.conversion = definition.conversion ?? false
    this.gradient = 'differentiable' in gradient ? null : gradient
    this.reason = 'differentiable' in gradient ? gradient.reason : null
  }

  /** Whether the device lacks a kernel of forward, or of backward where a gradient is wanted. */
  isMissingOn(device: Device, wantsGradient: boolean): boolean {
    if (this.#asked !== device) {
      this.#asked = device
      this.#lacksForward = this.kernels.forward.some((kernel) => !device.hasKernel(kernel))
      this.#lacksBackward = this.kernels.backward.some((kernel) => !device.hasKernel(kernel))
    }
    return this.#lacksForward || (wantsGradient && this.#lacksBackward)
  }
}

/** Any operator, where its inputs, attributes and outputs do not matter. */
// biome-ignore lint/suspicious/noExplicitAny: inputs and attributes are contravariant; who runs an operator only hands them on
export type AnyOperator = Operator<any, any, any, any>

const registry = new Map<string, AnyOperator>()

/** Registers an operator; the suites run the cases of every registered one. */
export function registered<O extends AnyOperator>(operator: O): O {
  if (registry.has(operator.name)) throw new Error(`operator ${operator.name} is defined twice`)
  registry.set(operator.name, operator)
  return operator
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

export function noTensor(op: string, name: string, value: unknown): DTypeError {
  const kind =
    value === null ? 'null' : Array.isArray(value) ? 'an array; wrap it in tensor()' : `of type ${typeof value}`
  return new DTypeError(op, `${name} must be a tensor, but is ${kind}`)
}

/** For programs that no compiler has checked: throws unless the value is a tensor whose memory is there. */
export function checkTensor(op: string, name: string, value: unknown): asserts value is Tensor {
  if (!(value instanceof Tensor)) throw noTensor(op, name, value)
  value.storage.check(op)
}

/** Checks that all inputs are alive, on one device, which it gives, and of the dtypes that their rules allow. */
function checkInputs(operator: AnyOperator, inputs: Inputs, checksDTypes: boolean): Device | null {
  const { op, inputs: rules } = operator
  const last = rules.length - 1
  let device: Device | null = null
  let shared: DType | null = null
  // Loops by index, because every operator of a step comes here, and `includes` is a call.
  for (let i = 0; i < inputs.length; i++) {
    const input = inputs[i]
    // biome-ignore lint/complexity/useMathMinMax: a call, in the loop that every operator of a step comes through
    const rule = rules[i < last ? i : last]
    if (input === null && rule?.isOptional !== false) continue
    if (!(input instanceof Tensor)) throw noTensor(op, rule?.name ?? `input ${i}`, input)
    const { storage, dtype } = input
    storage.check(op)
    if (device === null) device = storage.device
    else if (storage.device !== device)
      // An error of dtypes comes first, because no device could help.
      throw checksDTypes && rule?.dtypes?.includes(dtype) === false
        ? misfitOf(operator, inputs)
        : onDifferentDevices(op, device, inputs)
    if (rule === undefined || !checksDTypes) continue
    if (shared !== null && rule.isShared) {
      if (dtype !== shared) throw misfitOf(operator, inputs)
      continue
    }
    const { dtypes } = rule
    if (dtypes !== null) {
      let k = dtypes.length - 1
      while (k >= 0 && dtypes[k] !== dtype) k--
      if (k < 0) throw misfitOf(operator, inputs)
    }
    if (rule.isShared) shared = dtype
  }
  noteReads(inputs)
  return device
}

function misfitOf({ op, misfit }: AnyOperator, inputs: Inputs): Error {
  return misfit?.(inputs) ?? new DTypeError(op, 'takes no tensors of these dtypes')
}

function onDifferentDevices(op: string, first: Device, inputs: Inputs): DeviceError {
  return new DeviceError(
    op,
    `the tensors are on different devices: ${inputs.flatMap((t) => (t instanceof Tensor ? t.device.name : [])).join(', ')}; ` +
      `move them with .to('${first.name}')`,
  )
}

type Results = Tensor | Extras

/** The inputs that a node will keep; null where it keeps results as well. */
function savedInputs({ gradient }: AnyOperator, inputs: Inputs, attrs: unknown, needs: Needs): Tensor[] | null {
  if (needs === noNeeds || gradient === null) return []
  const { inputs: kept = [], outputs = [] } = gradient.saves(needs, attrs)
  return outputs.length > 0 ? null : kept.flatMap((i) => inputs[i] ?? [])
}

/** Checks, computes, and hangs a node on the results if an input wants a gradient. Extra results come along. */
function execute(operator: AnyOperator, inputs: Inputs, attrs: unknown): Results {
  const low = autocastDType()
  if (low !== null) return executeIn(low, operator, inputs, attrs)
  const device = checkInputs(operator, inputs, true)
  const specs = operator.infer(inputs, attrs)
  if (device === null) throw new DTypeError(operator.op, 'needs a tensor, but got none')
  const needs = needsOf(inputs)
  const { composite } = operator
  if (composite !== null && operator.isMissingOn(device, needs !== noNeeds)) {
    const made: Results = namedAs(operator.op, () => composite(inputs, attrs))
    operatorObserver()?.ran?.(operator, inputs, attrs, resultsOf(made))
    return made
  }
  if (mayEnd()) endIfKept(operator.op, savedInputs(operator, inputs, attrs, needs))
  const result: Results = operator.forward(inputs, attrs, specs, needs, device)
  // Results of an operator without a gradient (comparisons, indices) are constants: nothing to record.
  if (needs !== noNeeds && operator.gradient !== null)
    new Node(operator, operator.gradient, inputs, attrs, needs, resultsOf(result))
  const observer = operatorObserver()
  if (observer !== null) observer.ran?.(operator, inputs, attrs, resultsOf(result))
  return result
}

/** Under autocast: converts the inputs, then runs in their dtypes, so that a composite's parts follow its own policy. */
function executeIn(low: AutocastDType, operator: AnyOperator, inputs: Inputs, attrs: unknown): Results {
  checkInputs(operator, inputs, false)
  return withAutocast(null, () =>
    execute(operator, autocastInputs(operator.precision, operator.asIs, inputs, low), attrs),
  )
}

function isList(result: Results): result is Extras {
  return Array.isArray(result)
}

function resultsOf(result: Results): Extras {
  return isList(result) ? result : [result]
}

/** Runs an operator on its inputs. Throws what its `infer` does, DeviceError, DisposedError. */
export function apply<I extends Inputs, A, O extends Outputs, X extends Extras>(
  operator: Operator<I, A, O, X>,
  inputs: NoInfer<I>,
  attrs: NoInfer<A>,
): Bare<O>
export function apply(operator: AnyOperator, inputs: Inputs, attrs: unknown): Tensor | null | Extras {
  const result = execute(operator, inputs, attrs)
  if (operator.outputs !== 1) return resultsOf(result).slice(0, operator.outputs)
  return isList(result) ? (result[0] ?? null) : result
}

/** Whether two tensors have one dtype, or autocast will give them one. */
export function agree(a: Tensor, b: Tensor): boolean {
  return a.dtype === b.dtype || (autocastDType() !== null && isConvertible(a.dtype) && isConvertible(b.dtype))
}

/** Throws unless the tensor has one of the dtypes, or autocast will give it one. */
export function checkDType(op: string, name: string, tensor: Tensor, allowed: readonly DType[]): void {
  // A value that is no tensor comes to the error below without costing a check.
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
