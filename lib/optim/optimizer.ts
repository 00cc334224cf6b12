/** The base of all optimisers: parameter groups over live views, state by parameter, one kernel call for all of a group. */
import { type InspectOptions, inspect } from 'node:util'
import { zeroGrad } from '../autograd/backward.js'
import { noGrad } from '../autograd/mode.js'
import type { Device } from '../core/device.js'
import type { DType } from '../core/dtype.js'
import {
  DeviceError,
  DisposedError,
  DTypeError,
  formatShape,
  kindOf,
  ShapeError,
  StateDictError,
  shown,
  ValueError,
} from '../core/errors.js'
import { checkOptions, type OptionNames } from '../core/options.js'
import { keep, outsideFrames } from '../core/scope.js'
import { sameShape } from '../core/shape.js'
import type { Shadow, Storage } from '../core/storage.js'
import type { Tensor } from '../core/tensor.js'
import { refuseJson } from '../core/uncloneable.js'
import type { Parameter } from '../nn/module.js'
import { to } from '../ops/convert.js'
import { zeros } from '../ops/creation.js'
import { clone, contiguous } from '../ops/shape.js'
import { checkParameters, isGroups, namedParameters, type ParameterGroup, type Parameters } from './parameters.js'
import { shadowView, shadowWritten, writableShadow } from './shadow.js'
import { type OptimizerState, type ParameterState, type SlotNames, stateProblems } from './state.js'

/** One parameter with a gradient, ready for a step. */
export interface Ready {
  readonly parameter: Parameter
  readonly gradient: Tensor
  readonly state: ParameterState
}

interface Group<O> {
  readonly params: Parameters
  options: O
}

/** Parameters that one kernel call can step: of one kind, device and dtype, each with memory of its own. */
interface Round {
  readonly kind: number
  readonly device: Device
  readonly dtype: DType
  readonly written: Set<Storage>
  readonly ready: Ready[]
}

/**
 * State is made at a parameter's first gradient and belongs to that very tensor, wherever it is found; a parameter without a
 * gradient is skipped, without decay. Groups over a module's `parameters()` see layers that were added, frozen or adapted
 * later. A parameter that several groups hold, because it was tied since, is stepped once, with the options of the first.
 */
export abstract class Optimizer<O extends { lr: number } = { lr: number }> {
  readonly #groups: Group<O>[] = []
  readonly #defaults: O
  #state = new WeakMap<Parameter, ParameterState>()
  /** Slots that were made for a step and are not in use yet: those of one that ended before it began serve the next. */
  readonly #fresh = new WeakMap<Parameter, { [name: string]: Tensor }>()
  /** Whether a step has found a gradient, or the warning that none does has been given. */
  #settled = false

  constructor(params: Parameters | readonly ParameterGroup<O>[], defaults: O) {
    this.#defaults = defaults
    if (isGroups<O>(this.constructor.name, params)) for (const group of params) this.addParamGroup(group)
    else this.addParamGroup({ params } as ParameterGroup<O>)
    if (this.parameters().length === 0)
      throw new ValueError(this.constructor.name, 'there are no parameters to optimise; pass model.parameters()')
  }

  /** The names of all options. */
  protected abstract names(): OptionNames<O>

  /** The options, checked and copied; throws ValueError naming all that are wrong. */
  protected abstract checked(options: O): O

  /** The names that `slot` is called with. */
  protected abstract readonly slots: SlotNames

  /**
   * Updates parameters that have gradients, with the options of their group, in one kernel call. `shadows` are the bfloat16
   * copies of the first ones that autocast reads; the call writes them too.
   */
  protected abstract update(ready: readonly Ready[], options: O, shadows: readonly Tensor[]): void

  /** What parameters must have in common to be updated in one call: the number of the step, unless a subclass says otherwise. */
  protected kind(state: ParameterState): number {
    return state.step
  }

  /** Options of each group; change `lr` here, or let a schedule do it. */
  get paramGroups(): readonly O[] {
    return this.#groups.map((group) => group.options)
  }

  /** The parameters of all groups as they are now, each once. */
  parameters(): Parameter[] {
    return [...new Set(this.#groups.flatMap(({ params }) => [...params]))]
  }

  /** Adds parameters with options of their own, at any time. Throws ValueError for one that another group has. */
  addParamGroup(group: ParameterGroup<O>): void {
    const op = this.constructor.name
    if (typeof group !== 'object' || group === null)
      throw new ValueError(op, `a group is ${kindOf(group)}, but must be { params, ...options }`)
    const { params } = group
    const held = checkParameters(op, params)
    const known = new Set<Tensor>(this.parameters())
    for (const parameter of held) if (known.has(parameter)) throw new ValueError(op, 'a parameter is in two groups')
    const names = this.names()
    checkOptions<object>(op, group, { ...names, params: true })
    this.#groups.push({ params: held, options: this.checked(overlaid<O>(group, this.#defaults, names)) })
  }

  /**
   * One step: throws what kernels found in their data before, then updates every parameter that has a gradient. Throws
   * before anything is changed where a gradient does not fit its parameter, or an option was set to a wrong value.
   */
  step(): void {
    noGrad(() =>
      outsideFrames(() => {
        const steps = this.#gather()
        for (const { ready, options } of steps) this.#makeSlots(ready, options)
        for (const { ready, options } of steps) {
          for (const { parameter, state } of ready) {
            if (state.step === 0) this.#state.set(parameter, state)
            state.step++
          }
          for (const round of this.#rounds(ready)) this.#updateTogether(round, options)
        }
      }),
    )
  }

  /** What a step is to update, with all checks. */
  #gather(): { readonly ready: readonly Ready[]; readonly options: O }[] {
    const seen = new Set<Parameter>()
    const steps: { readonly ready: Ready[]; readonly options: O }[] = []
    for (const { params, options } of this.#groups) {
      this.checked(options)
      const ready: Ready[] = []
      for (const parameter of params) {
        const gradient = parameter.peekGrad()
        if (gradient === null || !parameter.requiresGrad || seen.has(parameter)) continue
        if (seen.size === 0) parameter.device.throwPending()
        seen.add(parameter)
        this.#checkGradient(parameter, gradient)
        ready.push({ parameter, gradient, state: this.#state.get(parameter) ?? { step: 0, tensors: {} } })
      }
      if (ready.length > 0) steps.push({ ready, options })
    }
    if (!this.#settled) {
      this.#settled = true
      if (seen.size === 0) this.#warnIdle()
    }
    return steps
  }

  #checkGradient(parameter: Parameter, gradient: Tensor): void {
    const { storage } = parameter
    const own = gradient.storage
    const fits =
      !storage.freed &&
      !own.freed &&
      own.device === storage.device &&
      (own.dtype === 'float32' || own.dtype === 'float64') &&
      own.dtype === storage.dtype &&
      sameShape(gradient.sizes, parameter.sizes)
    if (!fits) this.#refuse(parameter, gradient)
  }

  #refuse(parameter: Parameter, gradient: Tensor): never {
    const op = `${this.constructor.name}.step`
    if (parameter.storage.freed || gradient.storage.freed)
      throw new DisposedError(
        op,
        `the ${parameter.storage.freed ? 'parameter' : 'gradient of'} ${this.#nameOf(parameter)} was freed by dispose(), using or the end of its scope`,
      )
    if (parameter.dtype !== 'float32' && parameter.dtype !== 'float64')
      throw new DTypeError(
        op,
        `the parameter ${this.#nameOf(parameter)} is ${parameter.dtype}, but must be float32 or float64; convert the model with .to('float32'), and let autocast compute in bfloat16`,
      )
    if (gradient.storage.device !== parameter.storage.device)
      throw new DeviceError(
        op,
        `the gradient of ${this.#nameOf(parameter)} is on ${gradient.device.name}, the parameter on ${parameter.device.name}; call zeroGrad() after moving a model`,
      )
    if (gradient.dtype !== parameter.dtype)
      throw new DTypeError(
        op,
        `the gradient of ${this.#nameOf(parameter)} is ${gradient.dtype}, but must be ${parameter.dtype}; convert it with .to('${parameter.dtype}')`,
      )
    throw new ShapeError(
      op,
      `the gradient of ${this.#nameOf(parameter)} is ${formatShape(gradient.sizes)}, but the parameter is ${formatShape(parameter.sizes)}`,
      [gradient.sizes, parameter.sizes],
    )
  }

  #warnIdle(): void {
    process.emitWarning(
      `[${this.constructor.name}.step] none of the ${this.parameters().length} parameters has a gradient, so that the step changes ` +
        "nothing; call backward() before it, and see that the optimiser was made over this model's parameters",
    )
  }

  /** The calls that update these parameters: mostly one. Two of them may share memory; they are then stepped in turn. */
  #rounds(ready: readonly Ready[]): readonly Round[] {
    const rounds: Round[] = []
    for (const each of ready) {
      const { storage } = each.parameter
      const kind = this.kind(each.state)
      const { device, dtype } = storage
      let round = rounds.find(
        (other) =>
          other.kind === kind && other.device === device && other.dtype === dtype && !other.written.has(storage),
      )
      if (round === undefined) {
        round = { kind, device, dtype, written: new Set(), ready: [] }
        rounds.push(round)
      }
      round.written.add(storage)
      round.ready.push(each)
    }
    return rounds
  }

  /** One kernel call. Parameters whose copy it is to write come first. */
  #updateTogether({ ready, written }: Round, options: O): void {
    const shadowed: (readonly [Ready, Shadow])[] = []
    const others: Ready[] = []
    for (const given of ready) {
      const { parameter, state } = given
      // A gradient may be the very memory that the step writes.
      const gradient = written.has(given.gradient.storage) ? clone(given.gradient) : contiguous(given.gradient)
      const each = gradient === given.gradient ? given : { parameter, gradient, state }
      const shadow = writableShadow(parameter)
      if (shadow === null) others.push(each)
      else shadowed.push([each, shadow])
    }
    this.update(
      shadowed.length === 0 ? others : [...shadowed.map(([each]) => each), ...others],
      options,
      shadowed.map(([{ parameter }, shadow]) => shadowView(parameter, shadow)),
    )
    const writer = `${this.constructor.name}.step`
    for (const { parameter } of ready) parameter.storage.markWritten(writer)
    for (const [{ parameter }, shadow] of shadowed) shadowWritten(parameter, shadow, writer)
  }

  /** Names of the slots that `update` asks for. */
  protected abstract needed(options: O): readonly string[]

  /** Sets all gradients to null. */
  zeroGrad(): void {
    for (const { params } of this.#groups) zeroGrad(params)
  }

  /** State tensor of a parameter, zeros at first. It follows its parameter to another device or dtype. */
  protected slot({ parameter, state }: Ready, name: string): Tensor {
    const { device, dtype } = parameter.storage
    const before = state.tensors[name]
    if (before !== undefined && before.storage.device === device && before.storage.dtype === dtype) return before
    const tensor = before === undefined ? this.#made(parameter, name) : keep(to(to(before, device), dtype))
    state.tensors[name] = tensor
    return tensor
  }

  /** Makes what the update will ask for, because a step that ends for want of memory must not have begun. */
  #makeSlots(ready: readonly Ready[], options: O): void {
    const names = this.needed(options)
    for (const { parameter, state } of ready)
      for (const name of names)
        if (state.tensors[name] === undefined && this.#fresh.get(parameter)?.[name] === undefined) {
          const { device, dtype } = parameter.storage
          const tensors = this.#fresh.get(parameter) ?? {}
          tensors[name] = keep(zeros(parameter.sizes, { dtype, device }))
          this.#fresh.set(parameter, tensors)
        }
  }

  #made(parameter: Parameter, name: string): Tensor {
    const { device, dtype } = parameter.storage
    const tensors = this.#fresh.get(parameter)
    const made = tensors?.[name]
    if (tensors) delete tensors[name]
    if (made !== undefined && !made.storage.freed && made.storage.device === device && made.storage.dtype === dtype)
      return made
    return keep(zeros(parameter.sizes, { dtype, device }))
  }

  /**
   * Everything that a stop and a resume need: options of the groups, and the state by the parameter's name (its path in the
   * module; with its group before it where paths of several modules coincide). The state is the optimiser's own, as in
   * PyTorch: the next step changes it. `loadStateDict` copies.
   */
  stateDict(): OptimizerState {
    const state = new Map<string, ParameterState>()
    for (const [name, parameter] of this.#named('stateDict')) {
      const known = this.#state.get(parameter)
      if (known !== undefined) state.set(name, known)
    }
    refuseJson(
      state,
      `${this.constructor.name}.stateDict`,
      'JSON keeps no tensors; keep the state in the process, where loadStateDict takes it, or write dataSync() and shape of its tensors',
    )
    return { groups: this.paramGroups.map((options) => ({ ...options })), state }
  }

  /**
   * Takes over a copy of a state; options of each group included. Throws StateDictError listing what does not fit (names,
   * shapes, dtypes, options), and then changes nothing.
   */
  loadStateDict(saved: OptimizerState): void {
    const parameters = this.#named('loadStateDict')
    const problems = stateProblems(saved, parameters, this.#groups.length, this.slots)
    const fits = problems.length === 0
    const options = fits ? this.#groups.map((group, i) => this.#loadedOptions(group, i, saved, problems)) : []
    if (problems.length > 0) throw new StateDictError(problems, `${this.constructor.name}.loadStateDict`)
    const state = new WeakMap<Parameter, ParameterState>()
    noGrad(() =>
      outsideFrames(() => {
        for (const [name, { step, tensors }] of saved.state) {
          const parameter = parameters.get(name) as Parameter
          const copies = Object.entries(tensors).map(
            ([slot, tensor]) => [slot, keep(clone(to(to(tensor, parameter.device), parameter.dtype)))] as const,
          )
          state.set(parameter, { step, tensors: Object.fromEntries(copies) })
        }
      }),
    )
    this.#state = state
    for (const [i, group] of this.#groups.entries()) group.options = options[i] as O
  }

  #loadedOptions(group: Group<O>, i: number, saved: OptimizerState, problems: string[]): O {
    try {
      return this.checked({ ...group.options, ...(saved.groups[i] as Partial<O>) })
    } catch (error) {
      problems.push(`group ${i}: ${(error as Error).message}`)
      return group.options
    }
  }

  #named(method: string): Map<string, Parameter> {
    return namedParameters(
      `${this.constructor.name}.${method}`,
      this.#groups.map(({ params }) => params),
    )
  }

  #nameOf(parameter: Parameter): string {
    for (const [name, other] of this.#named('step')) if (other === parameter) return name
    return formatShape(parameter.sizes)
  }

  /** Class, and of each group how many parameters it has and its options. */
  [inspect.custom](_depth: number, options: InspectOptions): string {
    const groups = this.#groups.map(({ params, options: { lr, ...given } }, i) => {
      const all = [...params]
      const elements = all.reduce((sum, parameter) => sum + parameter.numel, 0)
      return `  group ${i}: ${all.length} tensors, ${elements} parameters, ${inspect({ lr, ...given }, { ...options, breakLength: Number.POSITIVE_INFINITY })}`
    })
    return `${this.constructor.name} {\n${groups.join('\n')}\n}`
  }
}

/** Options over defaults, as `overlaid`; throws ValueError unless they are an object that has no other names. */
export function withDefaults<O extends object>(op: string, given: Partial<O>, defaults: O, names: OptionNames<O>): O {
  return overlaid(checkOptions<Partial<O>>(op, given, names as OptionNames<Partial<O>>), defaults, names)
}

/**
 * Options over defaults, where those that are undefined count as left out. They are read by name, because an object of a
 * class may have them as getters.
 */
function overlaid<O extends object>(given: Partial<O>, defaults: O, names: OptionNames<O>): O {
  const options = { ...defaults }
  for (const name of Object.keys(names) as (keyof O)[]) {
    const value = given[name]
    if (value !== undefined) options[name] = value as O[keyof O]
  }
  return options
}

/** Collects faults of options. */
export function checkNumbers(name: string, faults: readonly (string | false)[]): void {
  const found = faults.filter((fault): fault is string => fault !== false)
  if (found.length > 0) throw new ValueError(name, found.join('; '))
}

export const notAtLeast = (name: string, value: number, least: number): string | false =>
  !(Number.isFinite(value) && value >= least) && `${name} is ${shown(value)}, but must be at least ${least} and finite`

export const notFlag = (name: string, value: boolean): string | false =>
  typeof value !== 'boolean' && `${name} is ${shown(value)}, but must be true or false`
