/**
 * Operators as autograd sees them: `Operator` holds everything about one, and `apply` runs it and attaches its node to
 * the results. This file knows no particular operator or kernel: `ops/operator.ts` makes operators from records and
 * from rows of the table of kernels.
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

/** A labelled tuple, or a list for any number of inputs. An input that was left out is null. */
export type Inputs = readonly (Tensor | null)[]
/** The results of an operator that its caller sees. */
export type Outputs = readonly Tensor[]
/** Further results that only backward reads. They may be null if nothing wants a gradient. */
export type Extras = readonly (Tensor | null)[]

/** The single item of a tuple, or the tuple if it has several. */
export type Bare<T extends readonly unknown[]> = T extends readonly [infer One] ? One : T
/** The shape and dtype of each result. */
export type Specs<R extends readonly unknown[]> = Bare<{ readonly [K in keyof R]: TensorSpec }>
/** The gradient of each output; null if nothing flowed back, which never happens for a single output. */
export type GradientsOfOutputs<O extends Outputs> = O extends readonly [Tensor]
  ? O
  : { readonly [K in keyof O]: Tensor | null }
/** The gradient of each input; null if none is wanted. */
export type GradientsOfInputs<I extends Inputs> = { readonly [K in keyof I]: Tensor | null }

/** Whether each input wants a gradient. This decides what is saved, and what backward computes. */
export type Needs = readonly boolean[]

/** The tensors that a backward pass keeps, by position. Extra outputs are counted behind the public ones. */
export interface Saves {
  readonly inputs?: readonly number[]
  readonly outputs?: readonly number[]
}

/** Facts about an input's gradient that `backward` may ask for. */
export interface GradientTargets {
  readonly needs: Needs
  /** The shape and dtype of an input, saved or not. */
  spec(index: number): TensorSpec
  /** The preferred dtype of an input's gradient: if the input was converted for the call, its dtype before. */
  gradientDType(index: number): DType
  /**
   * The sum of the gradients that other consumers of an input have given. It is dense and has no other owner. So
   * backward may add its part in place (`markWritten`) and return it as the gradient, which saves a pass over memory.
   * Its dtype is the input's or its `gradientDType`. It is null if there is none yet, or if it must not be written.
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
  /** The device on which the call ran. */
  readonly device: Device
  /**
   * A saved input; null if the call had none. Throws if the record did not save it, or it has been overwritten since.
   */
  input<K extends number>(index: K): I[K]
  output<K extends number>(index: K): NonNullable<[...O, ...X][K]>
  /** Whether the gradients need their own graph. If so, backward may use only operators, not bare kernels. */
  readonly createGraph: boolean
}

export interface Gradient<I extends Inputs, A, O extends Outputs, X extends Extras> {
  /** The tensors that backward will read, given the inputs that want a gradient. */
  saves(needs: Needs, attrs: A): Saves
  /**
   * Computes the gradient of each input (null if `needs` is false) from that of each output (null if nothing flowed
   * back). If `fused`, it is written with kernels that have no gradient, and a second derivative goes through the
   * composite.
   */
  backward(context: BackwardContext<I, A, O, X>, gradients: GradientsOfOutputs<O>): GradientsOfInputs<I>
  readonly fused?: boolean
}

/** Stands in place of a gradient, with the reason why there is none. */
export interface NotDifferentiable {
  readonly differentiable: false
  readonly reason: string
}

/** A rule that an input must meet in every call, so that no `infer` needs to check it. */
export interface InputRule {
  /** The name of the input in errors. */
  readonly name: string
  /** The allowed dtypes; null allows any. */
  readonly dtypes: readonly DType[] | null
  /** Whether this input must have the same dtype as the others that share. */
  readonly isShared: boolean
  readonly isOptional: boolean
}

/** The part that an operator's record and its definition have in common. */
export interface Described<I extends Inputs, A, O extends Outputs, X extends Extras> {
  /** The name, unique among all operators. */
  readonly name: string
  /** The function that the program called, which errors name. Default: `name`. */
  readonly op?: string | undefined
  /** Gives the shapes and dtypes of the results, the extra ones last, or throws a typed error that names all faults. */
  infer(inputs: I, attrs: A): Specs<[...O, ...X]>
  /** The most results of forward that the operator returns; the others are kept for backward. Default 1. */
  readonly outputs?: number | undefined
  /** The operator in terms of others. It is mandatory if backward is a fused kernel. */
  composite?: ((inputs: I, attrs: A) => Bare<O>) | undefined
  /** The dtype that it computes in under autocast. Default 'widest'. */
  readonly precision?: Precision | undefined
  /** The inputs that autocast does not convert, because the kernel takes them in either dtype. */
  readonly asIs?: readonly number[] | undefined
  /** Whether the operator changes only the dtype, so that its gradient may arrive in the dtype of its input. */
  readonly conversion?: boolean | undefined
}

export interface Definition<I extends Inputs, A, O extends Outputs, X extends Extras> extends Described<I, A, O, X> {
  /** The rules for the inputs, by position. The last rule holds for all further inputs. */
  readonly inputs?: readonly InputRule[]
  /** Makes the error for inputs whose dtypes break the rules. */
  misfit?(inputs: I): Error
  /** Runs the kernels, or makes a view. `specs` is the result of infer; the results must have those shapes. */
  forward(inputs: I, attrs: A, specs: Specs<[...O, ...X]>, needs: Needs, device: Device): Bare<[...O, ...X]>
  /** The kernels that forward and backward call. If the device lacks one, the composite runs instead. */
  readonly kernels?: { readonly forward: readonly string[]; readonly backward: readonly string[] }
  readonly gradient: Gradient<I, A, O, X> | NotDifferentiable
}

const nothing: readonly never[] = []

/** An operator. All operators have the same fields in the same order, so that V8 reads them by one hidden class. */
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
  /** The gradient; null if the operator has none, and then `reason` says why. */
  readonly gradient: Gradient<I, A, O, X> | null
  readonly reason: string | null
  /** The device that was last asked for the kernels it lacks, and its answers. */
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

  /** Whether the device lacks a kernel of forward, or of backward if a gradient is wanted. */
  isMissingOn(device: Device, wantsGradient: boolean): boolean {
    if (this.#asked !== device) {
      this.#asked = device
      this.#lacksForward = this.kernels.forward.some((kernel) => !device.hasKernel(kernel))
      this.#lacksBackward = this.kernels.backward.some((kernel) => !device.hasKernel(kernel))
    }
    return this.#lacksForward || (wantsGradient && this.#lacksBackward)
  }
}

/** Any operator, for code to which its inputs, attributes and outputs do not matter. */
// biome-ignore lint/suspicious/noExplicitAny: inputs and attributes are contravariant; callers only pass them on
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

/** Whether each input wants a gradient; the shared empty list if none does. */
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

/** Throws unless the value is a tensor whose memory is alive, because plain JavaScript has no compiler to check it. */
export function checkTensor(op: string, name: string, value: unknown): asserts value is Tensor {
  if (!(value instanceof Tensor)) throw noTensor(op, name, value)
  value.storage.check(op)
}

/** Checks that all inputs are alive, on one device, and of the dtypes that their rules allow. Returns the device. */
function checkInputs(operator: AnyOperator, inputs: Inputs, checksDTypes: boolean): Device | null {
  const { op, inputs: rules } = operator
  const last = rules.length - 1
  let device: Device | null = null
  let shared: DType | null = null
  // Plain loops are used, because every operator of a step comes here, and `includes` would be a call.
  for (let i = 0; i < inputs.length; i++) {
    const input = inputs[i]
    // biome-ignore lint/complexity/useMathMinMax: Math.min would be a call, in a loop that every operator runs
    const rule = rules[i < last ? i : last]
    if (input === null && rule?.isOptional !== false) continue
    if (!(input instanceof Tensor)) throw noTensor(op, rule?.name ?? `input ${i}`, input)
    const { storage, dtype } = input
    storage.check(op)
    if (device === null) device = storage.device
    else if (storage.device !== device)
      // The error about dtypes comes first, because no device could help.
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

/** The inputs that a node will keep; null if it keeps results as well. */
function savedInputs({ gradient }: AnyOperator, inputs: Inputs, attrs: unknown, needs: Needs): Tensor[] | null {
  if (needs === noNeeds || gradient === null) return []
  const { inputs: kept = [], outputs = [] } = gradient.saves(needs, attrs)
  return outputs.length > 0 ? null : kept.flatMap((i) => inputs[i] ?? [])
}

/** Checks, computes, and attaches a node to the results if an input wants a gradient. Returns the extra results too. */
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
  // An operator without a gradient (comparisons, indices) gives constants, so nothing is recorded.
  if (needs !== noNeeds && operator.gradient !== null)
    new Node(operator, operator.gradient, inputs, attrs, needs, resultsOf(result))
  const observer = operatorObserver()
  if (observer !== null) observer.ran?.(operator, inputs, attrs, resultsOf(result))
  return result
}

/**
 * Runs under autocast: converts the inputs, then runs in their dtypes with the mode off, so that a composite's parts do
 * not convert again.
 */
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

/** Runs an operator on its inputs. Throws DeviceError, DisposedError, and the errors of its `infer`. */
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

/** Whether two tensors have the same dtype, or autocast will give them the same. */
export function agree(a: Tensor, b: Tensor): boolean {
  return a.dtype === b.dtype || (autocastDType() !== null && isConvertible(a.dtype) && isConvertible(b.dtype))
}

/** Throws unless the tensor has one of the dtypes, or autocast will give it one of them. */
export function checkDType(op: string, name: string, tensor: Tensor, allowed: readonly DType[]): void {
  // A value that is not a tensor reaches the error below without a check of its own.
  const dtype = (tensor as Tensor | null | undefined)?.dtype
  // A loop is used, because `includes` would be a call.
  for (let i = 0; i < allowed.length; i++) if (allowed[i] === dtype) return
  checkTensor(op, name, tensor)
  if (autocastDType() !== null && isConvertible(tensor.dtype) && allowed.some(isConvertible)) return
  throw new DTypeError(
    op,
    `${name} is ${dtype}, but must be ${allowed.join(' or ')}; convert it with .to('${allowed[0]}')`,
  )
}
