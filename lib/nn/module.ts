/** The base of all layers and models: parameters, buffers, modes, traversal. */
import { zeroGrad } from '../autograd/backward.js'
import { noGrad } from '../autograd/mode.js'
import { setModuleNaming, withinModule } from '../core/call-site.js'
import type { Device } from '../core/device.js'
import { type DType, isDType } from '../core/dtype.js'
import { ValueError } from '../core/errors.js'
import { keep } from '../core/scope.js'
import type { Shape } from '../core/shape.js'
import { replaceMemory, Tensor } from '../core/tensor.js'
import { to } from '../ops/read.js'
import { loadTensors, saveTensors } from './files.js'
import {
  type LoadableState,
  type LoadOptions,
  type LoadResult,
  loadStateDict,
  type StateDict,
  stateDict,
} from './state.js'
import { type Summary, type SummaryOptions, summarize } from './summary.js'

/** A tensor that a module learns: a leaf that wants a gradient and that scopes never free. */
export class Parameter<S extends Shape = Shape> extends Tensor<S> {
  constructor(value: Tensor<S>, requiresGrad = true) {
    super(value.storage, value.shape, value.strides, value.offset)
    keep(this)
    this.requiresGrad = requiresGrad
  }
}

/** A tensor that belongs to a module's state without being learned, as running statistics do. */
export class Buffer<S extends Shape = Shape> extends Tensor<S> {
  constructor(value: Tensor<S>) {
    super(value.storage, value.shape, value.strides, value.offset)
    keep(this)
  }
}

/** Parameters of a module, walked anew at each iteration: layers that were added, frozen or adapted since are seen. */
export interface ParameterView extends Iterable<Parameter> {
  /** With their paths. */
  named(): Iterable<readonly [string, Parameter]>
}

/** `weightIhL0` -> `weight_ih_l0`: PyTorch's spelling of a property. */
export function snakeCase(property: string): string {
  let name = snakeCases.get(property)
  if (name === undefined) {
    name = property.replace(/([a-z0-9])([A-Z])/g, '$1_$2').toLowerCase()
    snakeCases.set(property, name)
  }
  return name
}

/** Every step of an optimiser asks for the names of all parameters. */
const snakeCases = new Map<string, string>()

const keepMode: unique symbol = Symbol('keepMode')
const resume: unique symbol = Symbol('resume')

/** Notes the mode of every module of a model; the function that it returns puts them back. */
export function captureModes(model: Module): () => void {
  const restores = model.modules().map((module) => module[keepMode]())
  return () => {
    for (const restore of restores) restore()
  }
}

/**
 * For whoever trains a model for the user: leaves a model that is in training as it is, modes of inner modules included, and
 * ends a `model.eval()` as `Module.train` says.
 */
export function trainModes(model: Module): void {
  if (!model.training) model[resume]()
}

/** With its path. */
type Named<T> = readonly [string, T]

/** By name, because every step walks all modules, and `Object.entries` makes an array of each of their properties. */
function propertyOf(module: Module, property: string): unknown {
  return (module as object as { readonly [property: string]: unknown })[property]
}

/**
 * A layer or model. Parameters, buffers and inner modules are the object's own properties (and arrays of modules); their
 * names in `stateDict()` are PyTorch's: the property in snake case.
 */
export abstract class Module {
  /** Whether dropout drops and batch norm learns; set by `train()` and `eval()`. */
  training = true
  /** Whether eval() was called on this very module, and train() neither on it nor on one around it since. */
  #held = false

  /** Properties whose name in a state is not their snake case. */
  static readonly stateNames: { readonly [property: string]: string } = {}

  constructor() {
    // Every call of forward, by whomever, runs under the module's name: late errors and traces can tell where they come from.
    const forward = (this as { forward?: (...inputs: unknown[]) => unknown }).forward
    if (forward === undefined) throw new ValueError(this.constructor.name, 'a module needs a forward method')
    Object.defineProperty(this, 'forward', {
      value: (...inputs: unknown[]) => withinModule(this, () => forward.apply(this, inputs)),
      enumerable: false,
    })
  }

  /** Name in a state of one of this module's properties. */
  stateName(property: string): string {
    return (this.constructor as typeof Module).stateNames[property] ?? snakeCase(property)
  }

  /** Inner modules with their names, in order of definition. */
  namedChildren(): Named<Module>[] {
    const found: Named<Module>[] = []
    for (const property of Object.keys(this)) {
      const value = propertyOf(this, property)
      if (value instanceof Module) found.push([this.stateName(property), value])
      else if (Array.isArray(value))
        for (const [i, item] of value.entries())
          if (item instanceof Module) found.push([`${this.stateName(property)}.${i}`, item])
    }
    return found
  }

  children(): Module[] {
    return this.namedChildren().map(([, child]) => child)
  }

  /** This module ('') and all inside, each once, with their paths. */
  namedModules(prefix = ''): Named<Module>[] {
    const found: Named<Module>[] = []
    this.#collect(prefix, new Set(), found)
    return found
  }

  #collect(path: string, seen: Set<Module>, found: Named<Module>[]): void {
    if (seen.has(this)) return
    seen.add(this)
    found.push([path, this])
    for (const [name, child] of this.namedChildren())
      child.#collect(path === '' ? name : `${path}.${name}`, seen, found)
  }

  modules(): Module[] {
    return this.namedModules().map(([, module]) => module)
  }

  /** Own tensors of one kind, under every name they have (tied weights have several). */
  #tensors<T extends Tensor>(kind: abstract new (...args: never[]) => T): Named<T>[] {
    const found: Named<T>[] = []
    for (const [path, module] of this.namedModules())
      for (const property of Object.keys(module)) {
        const value = propertyOf(module, property)
        if (value instanceof kind)
          found.push([path === '' ? module.stateName(property) : `${path}.${module.stateName(property)}`, value])
      }
    return found
  }

  /** Parameters with their paths; a tied one once, under its first. */
  namedParameters(): Named<Parameter>[] {
    const seen = new Set<Tensor>()
    return this.#tensors<Parameter>(Parameter).filter(([, parameter]) => seen.size < seen.add(parameter).size)
  }

  namedBuffers(): Named<Buffer>[] {
    return this.#tensors<Buffer>(Buffer)
  }

  /** Parameters and buffers under all their names: what a state holds. */
  namedState(): Named<Tensor>[] {
    return [...this.#tensors<Tensor>(Parameter), ...this.#tensors<Tensor>(Buffer)]
  }

  /** Parameters that are this module's own properties. */
  ownParameters(): Parameter[] {
    return Object.values(this).filter((value) => value instanceof Parameter)
  }

  /** A live view of all parameters. */
  parameters(): ParameterView {
    const named = () => this.namedParameters()
    const all = () => named().map(([, parameter]) => parameter)
    return { named, [Symbol.iterator]: () => all().values() }
  }

  /** Parameters and buffers under PyTorch's names: the tensors themselves, outside of the graph. */
  stateDict(): StateDict {
    return stateDict(this)
  }

  /** Copies a state in; throws StateDictError listing all mismatches, and then changes nothing. */
  loadStateDict(state: LoadableState, options: LoadOptions = {}): LoadResult {
    return loadStateDict(this, state, options)
  }

  /**
   * Writes the state to a safetensors file: as it is at the call, though training may go on, and whole or not at all. Takes
   * as much memory as the state until it is done. Throws ValueError where the file cannot be written.
   */
  async save(path: string): Promise<void> {
    return saveTensors(path, this.stateDict())
  }

  /**
   * Loads the state from a safetensors file, of which only what this module has is read. Throws ValueError for what is no
   * such file, and StateDictError listing all mismatches; nothing has changed then.
   */
  async load(path: string, options: LoadOptions = {}): Promise<LoadResult> {
    return this.loadStateDict(await loadTensors(path, new Map(this.namedState())), options)
  }

  /**
   * Sets the mode of this module and all inside, as in PyTorch.
   *
   * The Trainer calls neither this nor `eval()` for good: it trains every module in the mode that it finds, so that a frozen
   * batch norm on which `eval()` was called keeps its statistics, and puts each mode back after an evaluation. Only a model
   * that is in evaluation as a whole, because `model.eval()` was called for a prediction, is put into training, apart from
   * inner modules on which `eval()` was called themselves. `train()` on such a module or on one around it ends that.
   */
  train(mode = true): this {
    if (typeof mode !== 'boolean')
      throw new ValueError(`${this.constructor.name}.train`, `the mode is ${String(mode)}, but must be true or false`)
    for (const module of this.modules()) {
      module.training = mode
      if (mode) module.#held = false
    }
    this.#held = !mode
    return this
  }

  /** Evaluation: dropout off, batch norm by its running statistics. */
  eval(): this {
    return this.train(false)
  }

  /** For captureModes: how to put this module's own mode back. */
  [keepMode](): () => void {
    const [training, held] = [this.training, this.#held]
    return () => {
      this.training = training
      this.#held = held
    }
  }

  /** For trainModes: into training, but for what eval() was called on. */
  [resume](): void {
    const seen = new Set<Module>([this])
    const pending: Module[] = [this]
    for (let module = pending.pop(); module !== undefined; module = pending.pop()) {
      module.training = true
      for (const child of module.children()) if (!child.#held && seen.size < seen.add(child).size) pending.push(child)
    }
  }

  /** Whether all parameters want gradients. */
  requiresGrad_(value = true): this {
    for (const parameter of this.parameters()) parameter.requiresGrad = value
    return this
  }

  /** Sets all gradients to null. */
  zeroGrad(): void {
    zeroGrad(this.parameters())
  }

  /** Calls `fn` with every module inside, then with this one. */
  apply(fn: (module: Module) => void): this {
    for (const child of this.children()) child.apply(fn)
    fn(this)
    return this
  }

  /**
   * A table of the layers and their parameters. With the shape of an input (the batch included) also of what each layer
   * gives: the model then runs once on zeros, in evaluation mode.
   */
  summary(inputShape?: Shape, options: SummaryOptions = {}): Summary {
    return summarize(this, inputShape, options)
  }

  /** Moves all parameters and buffers to a device, or converts the floating ones to a floating dtype, in place. */
  to(target: string | Device | DType): this {
    const dtype = typeof target === 'string' && isDType(target)
    if (dtype && !target.includes('float'))
      throw new ValueError('Module.to', `the dtype is ${target}, but parameters are floating`)
    noGrad(() => {
      for (const [, tensor] of this.namedState()) {
        if (dtype && !tensor.dtype.includes('float')) continue
        const moved = keep(to(tensor, target))
        replaceMemory(tensor, moved)
        tensor.grad = null
      }
    })
    return this
  }
}

setModuleNaming((module, parent) => {
  if (parent instanceof Module) for (const [name, child] of parent.namedChildren()) if (child === module) return name
  return module.constructor.name
})
