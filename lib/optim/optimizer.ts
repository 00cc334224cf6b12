/** The base of all optimisers: parameter groups over live views, state by name, one kernel call for all parameters of a group. */
import { zeroGrad } from '../autograd/backward.js'
import { noGrad } from '../autograd/mode.js'
import { checkDType } from '../autograd/operator.js'
import { StateDictError, ValueError } from '../core/errors.js'
import { keep, outsideFrames } from '../core/scope.js'
import type { Shadow } from '../core/storage.js'
import type { Tensor } from '../core/tensor.js'
import type { Parameter, ParameterView } from '../nn/module.js'
import { zeros } from '../ops/creation.js'
import { contiguous } from '../ops/shape.js'
import { shadowView, shadowWritten, writableShadow } from './shadow.js'

/** What an optimiser is given: a module's live view, or tensors. */
export type Parameters = ParameterView | Iterable<Parameter>

/** Parameters with options of their own. */
export type ParameterGroup<O> = Partial<O> & { readonly params: Parameters }

/** One parameter with a gradient, ready for a step. */
export interface Ready {
  readonly name: string
  readonly parameter: Parameter
  readonly gradient: Tensor
  readonly state: ParameterState
}

/** What an optimiser remembers of a parameter: tensors of its shape, and the number of its steps. */
export interface ParameterState {
  step: number
  readonly tensors: { [name: string]: Tensor }
}

interface Group<O> {
  readonly params: Parameters
  options: O
}

export interface OptimizerState {
  readonly groups: readonly { readonly [option: string]: unknown }[]
  /** By the parameter's name. */
  readonly state: ReadonlyMap<string, { readonly step: number; readonly tensors: { readonly [name: string]: Tensor } }>
}

function isGroups<O>(params: Parameters | readonly ParameterGroup<O>[]): params is readonly ParameterGroup<O>[] {
  return (
    Array.isArray(params) &&
    params.length > 0 &&
    params.every((item) => typeof item === 'object' && item !== null && 'params' in item)
  )
}

function checkParameters(op: string, params: unknown): void {
  if (typeof params !== 'object' || params === null || !(Symbol.iterator in params))
    throw new ValueError(
      op,
      `the parameters are ${String(params)}; pass model.parameters(), tensors, or groups of them`,
    )
}

function isView(params: Parameters): params is ParameterView {
  return 'named' in params
}

/**
 * State is made at a parameter's first gradient and keyed by its name; a parameter without a gradient is skipped, without
 * decay. Groups over a module's `parameters()` see layers that were added, frozen or adapted later.
 */
export abstract class Optimizer<O extends { lr: number }> {
  readonly #groups: Group<O>[] = []
  readonly #defaults: O
  readonly #state = new Map<string, ParameterState>()

  constructor(params: Parameters | readonly ParameterGroup<O>[], defaults: O) {
    checkParameters(this.constructor.name, params)
    this.#defaults = this.checked(defaults)
    if (isGroups<O>(params)) for (const group of params) this.addParamGroup(group)
    else this.addParamGroup({ params } as ParameterGroup<O>)
    if (this.#groups.every(({ params: p }) => p[Symbol.iterator]().next().done))
      throw new ValueError(this.constructor.name, 'there are no parameters to optimise; pass model.parameters()')
  }

  /** The options, checked; throws ValueError naming all that are wrong. */
  protected abstract checked(options: O): O

  /**
   * Updates parameters that have gradients, with the options of their group, in one kernel call. `shadows` are the bfloat16
   * copies of the first ones that autocast reads; the call writes them too.
   */
  protected abstract update(ready: readonly Ready[], options: O, shadows: readonly Tensor[]): void

  /** Options of each group; change `lr` here, or let a schedule do it. */
  get paramGroups(): readonly O[] {
    return this.#groups.map((group) => group.options)
  }

  /** Adds parameters with options of their own, at any time. */
  addParamGroup({ params, ...options }: ParameterGroup<O>): void {
    checkParameters(this.constructor.name, params)
    const held = isView(params) ? params : [...params]
    const known = new Set<Tensor>()
    for (const group of this.#groups) for (const parameter of group.params) known.add(parameter)
    for (const parameter of held) {
      if (typeof parameter?.peekGrad !== 'function')
        throw new ValueError(this.constructor.name, `a parameter is ${String(parameter)}, but must be a tensor`)
      if (known.has(parameter)) throw new ValueError(this.constructor.name, 'a parameter is in two groups')
    }
    const defined = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined))
    this.#groups.push({ params: held, options: this.checked({ ...this.#defaults, ...defined }) })
  }

  /** One step: throws what kernels found in their data before, then updates every parameter that has a gradient. */
  step(): void {
    noGrad(() =>
      outsideFrames(() => {
        let checkedDevice = false
        for (const [index, { params, options }] of this.#groups.entries()) {
          const ready: Ready[] = []
          for (const [name, parameter] of this.#named(params, index)) {
            const gradient = parameter.peekGrad()
            if (gradient === null || !parameter.requiresGrad) continue
            if (!checkedDevice) {
              parameter.device.throwPending()
              checkedDevice = true
            }
            let state = this.#state.get(name)
            if (state === undefined) {
              state = { step: 0, tensors: {} }
              this.#state.set(name, state)
            }
            state.step++
            checkDType(this.constructor.name, `the parameter ${name}`, parameter, ['float32', 'float64'])
            ready.push({ name, parameter, gradient: contiguous(gradient), state })
          }
          if (ready.length === 0) continue
          // A kernel call takes one step count: parameters that joined later are at another.
          for (const step of new Set(ready.map(({ state }) => state.step))) {
            const together = ready.filter(({ state }) => state.step === step)
            this.#updateTogether(together, options)
          }
        }
      }),
    )
  }

  /** One kernel call. Parameters whose copy it is to write come first. */
  #updateTogether(ready: readonly Ready[], options: O): void {
    const shadowed: (readonly [Ready, Shadow])[] = []
    const others: Ready[] = []
    for (const each of ready) {
      const shadow = writableShadow(each.parameter)
      if (shadow === null) others.push(each)
      else shadowed.push([each, shadow])
    }
    this.update(
      [...shadowed.map(([each]) => each), ...others],
      options,
      shadowed.map(([{ parameter }, shadow]) => shadowView(parameter, shadow)),
    )
    const writer = `${this.constructor.name}.step`
    for (const { parameter } of ready) parameter.storage.markWritten(writer)
    for (const [{ parameter }, shadow] of shadowed) shadowWritten(parameter, shadow, writer)
  }

  /** Sets all gradients to null. */
  zeroGrad(): void {
    for (const { params } of this.#groups) zeroGrad(params)
  }

  /** State tensor of a parameter, zeros at first. */
  protected slot({ parameter, state }: Ready, name: string): Tensor {
    let tensor = state.tensors[name]
    if (tensor === undefined) {
      tensor = keep(zeros(parameter.shape, { dtype: parameter.dtype, device: parameter.device }))
      state.tensors[name] = tensor
    }
    return tensor
  }

  /** Everything that a stop and a resume need: options of the groups, and the state by parameter. */
  stateDict(): OptimizerState {
    return { groups: this.#groups.map(({ options }) => ({ ...options })), state: new Map(this.#state) }
  }

  /** Takes over a state; options of each group included. Throws StateDictError listing what does not fit. */
  loadStateDict(saved: OptimizerState): void {
    const problems: string[] = []
    if (saved.groups.length !== this.#groups.length)
      problems.push(`the state has ${saved.groups.length} parameter groups, this optimiser ${this.#groups.length}`)
    const parameters = new Map(this.#groups.flatMap(({ params }, index) => [...this.#named(params, index)]))
    for (const [name, { tensors }] of saved.state) {
      const parameter = parameters.get(name)
      if (parameter === undefined) problems.push(`unexpected: ${name}`)
      else
        for (const [slot, tensor] of Object.entries(tensors))
          if (tensor.numel !== parameter.numel)
            problems.push(`${name}.${slot} has ${tensor.numel} elements, the parameter ${parameter.numel}`)
    }
    if (problems.length > 0) throw new StateDictError(problems, `${this.constructor.name}.loadStateDict`)
    for (const [i, group] of this.#groups.entries())
      group.options = this.checked({ ...group.options, ...(saved.groups[i] as Partial<O>) })
    this.#state.clear()
    noGrad(() =>
      outsideFrames(() => {
        for (const [name, { step, tensors }] of saved.state) {
          const { device } = parameters.get(name) as Parameter
          const copies = Object.entries(tensors).map(
            ([slot, tensor]) => [slot, keep(tensor.to(device).clone())] as const,
          )
          this.#state.set(name, { step, tensors: Object.fromEntries(copies) })
        }
      }),
    )
  }

  /** Names of a group's parameters: their paths in the module, or their place where only tensors were given. */
  *#named(params: Parameters, group: number): Iterable<readonly [string, Parameter]> {
    if (isView(params)) yield* params.named()
    else {
      let i = 0
      for (const parameter of params) yield [`${group}.${i++}`, parameter] as const
    }
  }
}

/** Collects faults of numeric options. */
export function checkNumbers(name: string, faults: readonly (string | false)[]): void {
  const found = faults.filter((fault): fault is string => fault !== false)
  if (found.length > 0) throw new ValueError(name, found.join('; '))
}

export const notAtLeast = (name: string, value: number, least: number): string | false =>
  !(value >= least) && `${name} is ${String(value)}, but must be at least ${least}`
