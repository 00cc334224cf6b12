/** The base of all optimisers: parameter groups over live views, states by parameter, and the step. */
import type { InspectOptions, inspect } from 'node:util'
import { withAutocast } from '../autograd/autocast.js'
import { zeroGrad } from '../autograd/backward.js'
import { noGrad } from '../autograd/mode.js'
import { type Capture, currentCapture, type Renewal } from '../core/capture.js'
import { kindOf, StateDictError, ValueError } from '../core/errors.js'
import { printed, warn } from '../core/host.js'
import { checkOptions, type OptionNames } from '../core/options.js'
import { prepareState } from '../core/resumable.js'
import { keep, outsideFrames } from '../core/scope.js'
import type { Tensor } from '../core/tensor.js'
import { refuseJson } from '../core/uncloneable.js'
import type { Parameter } from '../nn/module.js'
import { to } from '../ops/convert.js'
import { clone } from '../ops/shape/index.js'
import { gradientFits, refuseGradient } from './gradient.js'
import { checkedOptions, type Defaults, kindFaults, optionNames, overlaid } from './options.js'
import { checkParameters, isGroups, namedParameters, type ParameterGroup, type Parameters } from './parameters.js'
import { StepRenewal } from './renewal.js'
import { type At, type Known, type Ready, type Round, type Row, roundsOf } from './round.js'
import { listSlots, missingSlots, type NamedSlots, nothingMissing, type SlotList, type Slots } from './slots.js'
import { entryProblems, formProblems, type OptimizerState, type ParameterState } from './state.js'
import { type Batch, begin, tensorsOf, updateByRow, updateEach } from './update.js'

/** The states of all parameters, as an optimiser holds them. */
export class States {
  known = new WeakMap<Parameter, Known>()
  /** Whether a step has found a gradient, or has already warned that there is none. */
  isSettled = false
}

/** Exchanges all states of an optimiser for others, and returns the old ones, so that a trial can leave no trace. */
export const exchangeStates: unique symbol = Symbol('exchangeStates')

interface Group<O> {
  readonly params: Parameters
  options: O
}

/**
 * The base of optimisers. An optimiser is an update, written with operators, of one parameter from its gradient and its
 * state. A subclass takes a few lines, and runs on every device:
 *
 *     const defaults = { lr: 1e-4, betas: [0.9, 0.99] as [number, number], weightDecay: 0 }
 *
 *     class Lion extends optim.Optimizer<typeof defaults, { mean: Tensor }> {
 *       protected defaults() { return defaults }
 *       protected override slots() { return { mean: {} } }
 *       protected update(p: Tensor, g: Tensor, { mean }: { mean: Tensor }, options: typeof defaults) {
 *         const { lr, betas: [b1, b2], weightDecay } = options
 *         const direction = sign(add(mul(mean, b1), mul(g, 1 - b1)))
 *         p.copy_(sub(mul(p, 1 - lr * weightDecay), mul(direction, lr)))
 *         mean.copy_(add(mul(mean, b2), mul(g, 1 - b2)))
 *       }
 *     }
 *
 * `O` is the options of a group. `S` is the tensors of a state, by slot; a slot that options switch on and off is
 * optional there.
 *
 * A state is made at a parameter's first gradient, and belongs to that tensor object. A parameter without a gradient is
 * skipped, and does not decay. If the model moves to another device or dtype, the states follow at the next step.
 * Groups over a module's `parameters()` see layers that are added, frozen or adapted later. A parameter that several
 * groups hold, because it was tied later, is stepped once, with the options of the first group.
 */
export abstract class Optimizer<out O extends { lr: number } = { lr: number }, out S extends object = object> {
  readonly #groups: Group<O>[] = []
  readonly #defaults: Defaults<O>
  readonly #names: OptionNames<O>
  #states = new States()
  /** The last result of `slots` and its list, cached because it is often the same object for all parameters. */
  #declared: NamedSlots = {}
  #list: SlotList = []

  /**
   * `options` hold for all groups that do not set their own. Throws ValueError for wrong options, and if `params` is
   * not a list of parameters.
   */
  constructor(params: Parameters | readonly ParameterGroup<O>[], options: Partial<O> = {}) {
    const op = this.constructor.name
    for (const method of ['defaults', 'update'] as const)
      if (typeof this[method] !== 'function') throw new ValueError(op, `an optimiser needs a method ${method}`)
    this.#names = optionNames<O>(this.defaults())
    checkOptions<object>(op, options, this.#names)
    this.#defaults = overlaid(options, this.defaults(), this.#names)
    if (isGroups<O>(op, params)) for (const group of params) this.addParamGroup(group)
    else this.addParamGroup({ params } as ParameterGroup<O>)
    if (this.parameters().length === 0)
      throw new ValueError(op, 'there are no parameters to optimise; pass model.parameters()')
  }

  /** All options with their default values. If `lr` has none, the program must give it. */
  protected abstract defaults(): Defaults<O>

  /**
   * Faults of the options' values, one text each. By default, values of another kind than their defaults are faults.
   */
  protected faults(options: O): readonly (string | false)[] {
    return kindFaults(options, this.defaults())
  }

  /**
   * The tensors to keep for a parameter, by name. Every step asks for them, so that options can switch some on and off.
   */
  protected slots(_parameter: Tensor, _options: O): Slots<S> {
    return {} as Slots<S>
  }

  /**
   * Takes one step of one parameter, in place: `parameter.copy_(...)`. Slots are written in place too. A slot may also
   * be assigned (`state.mean = ...`): it is then written when the update ends, and assigning one that `slots` does not
   * declare throws ValueError. The update runs without a graph and outside of autocast, in float32 or float64, and the
   * tensors that it makes are freed at its end. It must not write to `gradient`.
   */
  protected abstract update(parameter: Tensor, gradient: Tensor, state: S, options: O, at: At): void

  /**
   * A row of the table of kernels that does the same for many parameters at once, on devices that have it. `slot` gives
   * the tensors of a slot in the parameters' order, or an empty list if it is not used.
   */
  protected row(_slot: (name: string) => readonly Tensor[], _options: O, _at: At): Row | null {
    return null
  }

  /** The options of each group. Change `lr` here, or let a schedule do it. */
  get paramGroups(): readonly O[] {
    return this.#groups.map((group) => group.options)
  }

  /** The current parameters of all groups, each once. */
  parameters(): Parameter[] {
    return [...new Set(this.#groups.flatMap(({ params }) => [...params]))]
  }

  /**
   * Adds parameters with options of their own, at any time. Throws ValueError for a parameter that another group has.
   */
  addParamGroup(group: ParameterGroup<O>): void {
    const op = this.constructor.name
    if (typeof group !== 'object' || group === null)
      throw new ValueError(op, `a group is ${kindOf(group)}, but must be { params, ...options }`)
    const { params } = group
    const held = checkParameters(op, params)
    const known = new Set<Tensor>(this.parameters())
    for (const parameter of held) if (known.has(parameter)) throw new ValueError(op, 'a parameter is in two groups')
    checkOptions<object>(op, group, { ...this.#names, params: true })
    this.#groups.push({ params: held, options: this.#checked(overlaid<O>(group, this.#defaults, this.#names)) })
  }

  /** A copy of the options. Throws a ValueError that names all wrong ones. */
  #checked(options: O): O {
    return checkedOptions(this.constructor.name, options, this.#names, this.faults(options))
  }

  /**
   * Takes one step: throws the errors that earlier kernels found in their data, then updates every parameter that has a
   * gradient. Throws before anything changes if a gradient does not fit its parameter, an option was set to a wrong
   * value, or memory for a new state is lacking.
   */
  step(): void {
    noGrad(() =>
      withAutocast(null, () =>
        outsideFrames(() => {
          const steps = this.#gather()
          for (const { ready, group } of steps) this.#prepare(ready, group.options)
          for (const { ready, group } of steps) this.#update(ready, group)
        }),
      ),
    )
  }

  /** The parameters that a step will update, after all checks. */
  #gather(): { readonly ready: readonly Ready[]; readonly group: Group<O> }[] {
    const seen = new Set<Parameter>()
    const steps: { readonly ready: Ready[]; readonly group: Group<O> }[] = []
    for (const group of this.#groups) {
      const { params } = group
      this.#checked(group.options)
      const ready: Ready[] = []
      for (const parameter of params) {
        const gradient = parameter.peekGrad()
        if (gradient === null || !parameter.requiresGrad || seen.has(parameter)) continue
        if (seen.size === 0) parameter.device.throwPending()
        seen.add(parameter)
        if (!gradientFits(parameter, gradient))
          refuseGradient(`${this.constructor.name}.step`, this.#nameOf(parameter), parameter, gradient)
        const known = this.#states.known.get(parameter) ?? newlyKnown({ step: 0, tensors: {} })
        ready.push({ parameter, gradient, known, made: nothingMissing })
      }
      if (ready.length > 0) steps.push({ ready, group })
    }
    if (!this.#states.isSettled) {
      this.#states.isSettled = true
      if (seen.size === 0) this.#warnIdle()
    }
    return steps
  }

  #warnIdle(): void {
    warn(
      `[${this.constructor.name}.step] none of the ${this.parameters().length} parameters has a gradient, so the step changes ` +
        "nothing; call backward() before it, and check that the optimiser has this model's parameters",
    )
  }

  /**
   * Makes the tensors that the update will need beforehand, because a step that runs out of memory must not have begun.
   */
  #prepare(ready: readonly Ready[], options: O): void {
    const op = `${this.constructor.name}.step`
    for (const each of ready) {
      const { parameter, known } = each
      const slots = this.#slotsOf(parameter, options)
      const { device, dtype } = parameter.storage
      if (slots === known.slots && device === known.device && dtype === known.dtype) continue
      each.made = missingSlots(op, parameter, known.state.tensors, slots)
      known.slots = slots
      known.device = null
    }
  }

  #slotsOf(parameter: Parameter, options: O): SlotList {
    const declared = this.slots(parameter, options)
    if (declared !== this.#declared) {
      this.#list = listSlots(this.constructor.name, declared)
      this.#declared = declared
    }
    return this.#list
  }

  /** Updates by one kernel call if the device has a row for it, else one parameter after the other. */
  #update(ready: readonly Ready[], group: Group<O>): void {
    const op = `${this.constructor.name}.step`
    const { options } = group
    for (const round of roundsOf(ready)) {
      const { at } = round
      if (at.step === 1) for (const { parameter, known } of round.ready) this.#states.known.set(parameter, known)
      const batch = begin(round)
      const row = this.row((name) => tensorsOf(op, name, batch.ready), options, at)
      const isRow = row !== null && round.device.hasKernel(row.kernel)
      const capture = currentCapture()
      if (capture !== null) capture.renewNext(this.#renewal(op, capture, round, batch, isRow ? row : null, group))
      if (isRow) updateByRow(op, row, batch)
      else
        updateEach(op, batch, (parameter, gradient, state) => this.update(parameter, gradient, state as S, options, at))
    }
  }

  /** The way in which a graph repeats a step that is being captured. */
  #renewal(op: string, capture: Capture, round: Round, batch: Batch, row: Row | null, group: Group<O>): Renewal {
    if (capture.device !== round.device)
      throw new ValueError(
        op,
        `parameters are on ${round.device.name}, but the graph is on ${capture.device.name}; move the model to one device`,
      )
    if (row === null)
      throw new ValueError(
        op,
        'this optimiser updates by operators, whose numbers would be the same at each replay; call it outside of captureGraph',
      )
    return new StepRenewal(op, batch, row, {
      rowAt: (at) => {
        this.#checked(group.options)
        return this.row((name) => tensorsOf(op, name, batch.ready), group.options, at)
      },
      slotsOf: ({ parameter, known }) =>
        this.#states.known.get(parameter) === known ? this.#slotsOf(parameter, group.options) : null,
    })
  }

  [exchangeStates](states: States): States {
    const before = this.#states
    this.#states = states
    return before
  }

  /** Sets all gradients to null. */
  zeroGrad(): void {
    for (const { params } of this.#groups) zeroGrad(params)
  }

  /**
   * Everything needed to stop and resume: the optimiser's class (`kind`), the options of the groups, and each
   * parameter's state by its name. The name is the path in the module, after the group's number if paths of several
   * modules coincide. The tensors are not copies, as in PyTorch: the next step changes them. `loadStateDict` copies.
   */
  stateDict(): OptimizerState {
    const state = new Map<string, ParameterState>()
    for (const [name, parameter] of this.#named('stateDict')) {
      const known = this.#states.known.get(parameter)
      if (known !== undefined) state.set(name, known.state)
    }
    refuseJson(
      state,
      `${this.constructor.name}.stateDict`,
      'JSON keeps no tensors; keep the state in the process, where loadStateDict takes it, or write dataSync() and shape of its tensors',
    )
    return { kind: this.constructor.name, groups: this.paramGroups.map((options) => ({ ...options })), state }
  }

  /**
   * Copies a state into this optimiser, with the options of each group in place of its own, as in PyTorch. Throws a
   * StateDictError that lists every misfit (class, names, shapes, dtypes, options), and then changes nothing. PyTorch
   * also takes the state of another class that keeps the same tensors, such as Adam's into AdamW, whose decay it then
   * means otherwise. Here that is refused, and `loadStateDict({ groups, state })` says that it is meant.
   */
  loadStateDict(saved: OptimizerState): void {
    this[prepareState](saved)()
  }

  [prepareState](saved: OptimizerState): () => void {
    const op = `${this.constructor.name}.loadStateDict`
    const parameters = this.#named('loadStateDict')
    const problems = formProblems(saved, this.constructor.name, this.#groups.length)
    if (problems.length > 0) throw new StateDictError(problems, op)
    const options = this.#groups.map((group, i) => this.#loadedOptions(group, i, saved, problems))
    const groups = new Map<Parameter, number>()
    for (const [i, { params }] of this.#groups.entries())
      for (const parameter of params) if (!groups.has(parameter)) groups.set(parameter, i)
    const entries: (readonly [Parameter, SlotList, ParameterState])[] = []
    for (const [name, entry] of saved.state) {
      const parameter = parameters.get(name)
      if (parameter === undefined) {
        problems.push(`unexpected: ${name}`)
        continue
      }
      const slots = this.#slotsOf(parameter, options[groups.get(parameter) as number] as O)
      problems.push(...entryProblems(name, entry, parameter, slots))
      entries.push([parameter, slots, entry])
    }
    if (problems.length > 0) throw new StateDictError(problems, op)
    const known = new WeakMap<Parameter, Known>()
    noGrad(() =>
      outsideFrames(() => {
        for (const [parameter, slots, { step, tensors }] of entries) {
          const dtypes = new Map(slots.map(({ name, slot }) => [name, slot.dtype ?? parameter.dtype]))
          const copies = Object.entries(tensors).map(([name, tensor]) => {
            const there = to(to(tensor, parameter.device), dtypes.get(name) ?? tensor.dtype)
            return [name, keep(clone(there))] as const
          })
          known.set(parameter, newlyKnown({ step, tensors: Object.fromEntries(copies) }))
        }
      }),
    )
    return () => {
      this.#states.known = known
      for (const [i, group] of this.#groups.entries()) group.options = options[i] as O
    }
  }

  #loadedOptions(group: Group<O>, i: number, saved: OptimizerState, problems: string[]): O {
    try {
      return this.#checked({ ...group.options, ...(saved.groups[i] as Partial<O>) })
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
    return parameter.describe()
  }

  /** The class, and the number of parameters and options of each group. */
  [printed](_depth: number, options: InspectOptions, print: typeof inspect): string {
    const groups = this.#groups.map(({ params, options: { lr, ...given } }, i) => {
      const all = [...params]
      const elements = all.reduce((sum, parameter) => sum + parameter.numel, 0)
      return `  group ${i}: ${all.length} tensors, ${elements} parameters, ${print({ lr, ...given }, { ...options, breakLength: Number.POSITIVE_INFINITY })}`
    })
    return `${this.constructor.name} {\n${groups.join('\n')}\n}`
  }
}

function newlyKnown(state: ParameterState): Known {
  return { state, slots: [], device: null, dtype: null }
}
