/** The base of all layers and models: parameters, buffers, modes, traversal. */
import { zeroGrad } from '../autograd/backward.js'
import { noGrad } from '../autograd/mode.js'
import type { Device } from '../core/device.js'
import { type DType, isDType } from '../core/dtype.js'
import { DeviceError, isFiresteelError, kindOf, StateDictError, shown, ValueError } from '../core/errors.js'
import type { Generator } from '../core/generator.js'
import { printed } from '../core/host.js'
import { checkNesting, mostNested, setModuleNaming, withinModule } from '../core/module-path.js'
import { checkFlag } from '../core/options.js'
import { prepareState } from '../core/resumable.js'
import { keep } from '../core/scope.js'
import type { Shape } from '../core/shape.js'
import type { Storage } from '../core/storage.js'
import { checkAlive, denseTensor, replaceMemory, Tensor } from '../core/tensor.js'
import { openTensors } from '../io/shards.js'
import { isSource, type TensorSource } from '../io/source.js'
import { tensorsIn, writeTensors } from '../io/tensors.js'
import { to } from '../ops/convert.js'
import { creationNames, place } from '../ops/placement.js'
import { loadSource } from './load.js'
import '../ops/gradients.js'
import type { Copies } from './copies.js'
import { type ForwardHook, ForwardHooks, type ForwardPreHook, type HookHandle } from './hooks.js'
import { tellIfLost } from './lost.js'
import { Naming } from './naming.js'
import { Buffer, Parameter } from './parameter.js'
import { asCheckpoint, groupOf, isRecomputed } from './recompute.js'
import {
  type LoadableState,
  type LoadOptions,
  type LoadResult,
  loadStateDict,
  matchState,
  readState,
  type StateDict,
  stateDict,
  withoutAliases,
} from './state.js'
import { type Summary, type SummaryOptions, summarize } from './summary.js'
import { Holder, type OnGenerator, type OnHolder, type OnTensor, uncloneableModule, walk } from './walk.js'

export { Buffer, Parameter }

/**
 * The parameters of a module, walked anew at each iteration, so that layers added, frozen or adapted later are seen.
 */
export interface ParameterView extends Iterable<Parameter> {
  /** The parameters with their paths. */
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

/** Converted names, cached because every step of an optimiser asks for the names of all parameters. */
const snakeCases = new Map<string, string>()

/** The property that holds a module's copies (copies.ts). */
export const copied: unique symbol = Symbol('copied')

const keepMode: unique symbol = Symbol('keepMode')
const resume: unique symbol = Symbol('resume')

/** Records the mode of every module of a model. The function that it returns restores them. */
export function captureModes(model: Module): () => void {
  const restores = model.modules().map((module) => module[keepMode]())
  return () => {
    for (const restore of restores) restore()
  }
}

/**
 * Sets modes for training on behalf of the user. A model in training stays as it is, modes of inner modules included; a
 * `model.eval()` is ended as `Module.train` says.
 */
export function trainModes(model: Module): void {
  if (!model.training) model[resume]()
}

/** A value with its path. */
type Named<T> = readonly [string, T]

/**
 * A layer or model. Its parameters, buffers and inner modules are found in its own properties: directly, or in arrays,
 * Sets, Maps and plain objects there, nested or not. Names in `stateDict()` are PyTorch's: the property in snake case,
 * then the index in a list or the key as it is (`heads.a.weight`, `list.0`). Private `#fields`, closures and instances
 * of other classes cannot be searched; if a layer there runs and would not be trained, the process warns.
 */
export abstract class Module extends Holder {
  /**
   * Whether the module is in training mode, in which dropout drops and batch norm learns. `train()` and `eval()` set
   * it.
   */
  training = true
  /**
   * Whether eval() was called on this very module, and train() has since been called neither on it nor on an enclosing
   * one.
   */
  #held = false
  /** The forward hooks; null while there are none. */
  #hooks: ForwardHooks | null = null

  /** Whether forward behaves differently in training, for modules whose parameters or buffers do not show it. */
  static readonly hasModes: boolean = false

  /** The copies that may stand in for this module's tensors (copies.ts). */
  public [copied]: Copies | null = null

  /** Names in a state of properties for which snake case is wrong. */
  static readonly stateNames: { readonly [property: string]: string } = {}

  constructor() {
    super()
    // Every call of forward runs under the module's name, so that late errors and traces can tell where they come from.
    const forward = (this as { forward?: (...inputs: unknown[]) => unknown }).forward
    if (forward === undefined) throw new ValueError(this.constructor.name, 'a module needs a forward method')
    Object.defineProperty(this, 'forward', {
      value: (...inputs: unknown[]) =>
        withinModule(this, () =>
          // The plain case calls forward directly, because every layer of a step comes here.
          this.#hooks === null && !isRecomputed() ? forward.apply(this, inputs) : this.#run(forward, inputs),
        ),
      enumerable: false,
    })
    Object.defineProperty(this, 'uncloneable', { value: uncloneableModule, enumerable: true })
  }

  #run(forward: (...inputs: unknown[]) => unknown, inputs: unknown[]): unknown {
    const run = groupOf(this) === undefined ? forward : asCheckpoint(forward)
    return this.#hooks === null ? run.apply(this, inputs) : this.#hooks.run(this, run, inputs)
  }

  /** The name in a state of one of this module's properties. */
  override stateName(property: string): string {
    const own: unknown = (this.constructor as typeof Module).stateNames[property]
    // Inherited properties, such as `constructor`, are not names.
    return typeof own === 'string' ? own : snakeCase(property)
  }

  /** Visits the copies of this module's tensors too, under PEFT's names: `modules_to_save.<name>.weight`. */
  override visitOwn(
    onTensor: OnTensor | null,
    onHolder: OnHolder | null,
    onGenerator: OnGenerator | null = null,
  ): void {
    super.visitOwn(onTensor, onHolder, onGenerator)
    if (onTensor !== null) this[copied]?.visit(this, onTensor)
  }

  /** The inner modules with their names, in order of definition. */
  namedChildren(): Named<Module>[] {
    const found: Named<Module>[] = []
    this.visitOwn(null, (name, child) => void found.push([name, child as Module]))
    return found
  }

  children(): Module[] {
    return this.namedChildren().map(([, child]) => child)
  }

  /** This module ('') and all modules inside, each once, with their paths. */
  namedModules(prefix = ''): Named<Module>[] {
    const found: Named<Module>[] = []
    walk(this, prefix, { once: true, onHolder: (path, module) => void found.push([path, module as Module]) })
    return found
  }

  modules(): Module[] {
    return this.namedModules().map(([, module]) => module)
  }

  /** The tensors of one kind, each under its first name. */
  #tensors<T extends Tensor>(kind: abstract new (...args: never[]) => T): Named<T>[] {
    const found: Named<T>[] = []
    const seen = new Set<Tensor>()
    walk(this, '', {
      once: true,
      onTensor: (path, tensor) => {
        if (tensor instanceof kind && seen.size < seen.add(tensor).size) found.push([path, tensor])
      },
    })
    return found
  }

  /** The parameters with their paths. A tied one appears once, under its first path. */
  namedParameters(): Named<Parameter>[] {
    return this.#tensors<Parameter>(Parameter)
  }

  /** The buffers with their paths, each once. */
  namedBuffers(): Named<Buffer>[] {
    return this.#tensors<Buffer>(Buffer)
  }

  /**
   * The content of a state: parameters, then persistent buffers, under all their names. Tied weights have several
   * names, and so have the tensors of a module that stands in several places. Throws ValueError if two tensors have the
   * same name.
   */
  namedState(): Named<Tensor>[] {
    const found = [new Map<string, Tensor>(), new Map<string, Tensor>()] as const
    walk(this, '', {
      once: false,
      onTensor: (path, tensor) => {
        if (!(tensor instanceof Parameter || (tensor instanceof Buffer && tensor.persistent))) return
        const other = found[0].get(path) ?? found[1].get(path)
        if (other !== undefined && other !== tensor)
          throw new ValueError(
            this.constructor.name,
            `two tensors have the same name in the state, ${path}; rename one`,
          )
        found[tensor instanceof Parameter ? 0 : 1].set(path, tensor)
      },
    })
    return [...found[0], ...found[1]]
  }

  /** The random generators with their paths, each once: those given to layers, and any other in a property. */
  namedGenerators(): Named<Generator>[] {
    const found: Named<Generator>[] = []
    const seen = new Set<Generator>()
    walk(this, '', {
      once: true,
      onGenerator: (path, generator) => {
        if (seen.size < seen.add(generator).size) found.push([path, generator])
      },
    })
    return found
  }

  /** This module's own parameters, without those of inner modules. */
  ownParameters(): Parameter[] {
    const found: Parameter[] = []
    this.visitOwn((_, tensor) => {
      if (tensor instanceof Parameter) found.push(tensor)
    }, null)
    return found
  }

  /** A live view of all parameters. */
  parameters(): ParameterView {
    const named = () => this.namedParameters()
    const all = () => named().map(([, parameter]) => parameter)
    return { named, [Symbol.iterator]: () => all().values() }
  }

  /** The parameters and buffers under PyTorch's names. They are the tensors themselves, outside of the graph. */
  stateDict(): StateDict {
    return stateDict(this)
  }

  /** Copies a state into this module. Throws a StateDictError that lists all mismatches, and then changes nothing. */
  loadStateDict(state: LoadableState, options: LoadOptions = {}): LoadResult {
    return loadStateDict(this, state, options)
  }

  [prepareState](state: LoadableState): () => void {
    return matchState('loadStateDict', this, state).write
  }

  /**
   * Writes the state to a safetensors file, whole or not at all. The file has the state at the time of the call, even
   * if training continues meanwhile. Tied weights are written once, under their first name. Needs as much memory as the
   * state until it is done. Throws ValueError if the file cannot be written.
   */
  async save(path: string): Promise<void> {
    // A stateDict() that the class overrides also defines its files.
    const own = this.stateDict !== Module.prototype.stateDict
    return writeTensors(path, own ? this.stateDict() : new Map(withoutAliases(readState('save', this))))
  }

  /**
   * Loads the state from a safetensors file, from a folder with model.safetensors or, in shards,
   * model.safetensors.index.json, or from an open source, which stays open. Only this module's tensors are read.
   *
   * Elements are read piece by piece into the existing memory, converted to the dtypes of this module. Parameters stay
   * the same objects, and nothing is in memory twice. Tied weights may stand in the file under one of their names, or
   * under several that agree. Concurrent users of the model see either the old weights or the new ones. So the file is
   * read once to find faults, and once more in a single turn of the event loop, which takes about a second for 2 GB.
   *
   * Tensors on meta get memory on `options.device` (default: the default device). They are read once and do not block
   * the event loop, so a large model is best made on meta.
   *
   * `rename` maps names of the file to those of the model, and `exclude` leaves parts of the model as they are:
   * `load(path, { rename: { backbone: 'body' }, exclude: 'head' })`. The result lists what was missing, unexpected and
   * excluded.
   *
   * Throws ValueError for any other file, and a StateDictError that lists all mismatches, and then changes nothing. A
   * model that is not on meta can become a mix of old and new weights only if the file is overwritten during the second
   * reading. The error then says so.
   */
  async load(from: string | TensorSource, options: LoadOptions = {}): Promise<LoadResult> {
    if (isSource(from)) return this.#loadFrom(from, options)
    const source = await openTensors(from, 'load')
    try {
      return await this.#loadFrom(source, options)
    } finally {
      // Closing is not awaited, so that the program continues in the same turn of the event loop in which the weights
      // arrived.
      source.close().catch(() => {})
    }
  }

  async #loadFrom(source: TensorSource, options: LoadOptions): Promise<LoadResult> {
    if (this.loadStateDict === Module.prototype.loadStateDict) return loadSource(this, source, options)
    // A loadStateDict that the class overrides gets the tensors that fit, under the model's names.
    const { device: fallback } = place('load', { ...(options.device ? { device: options.device } : {}) }, creationNames)
    const wanted = this.namedState().map(([name, { shape, device }]) => {
      return [name, { shape, device: device.kind === 'meta' ? fallback : device }] as const
    })
    const { rename: _, ...others } = options
    const naming = new Naming('load', source.names, options)
    if (naming.problems.length > 0) throw new StateDictError(naming.problems, 'load', source.path)
    return this.loadStateDict(await tensorsIn(naming.source(source), new Map(wanted), 'load'), others)
  }

  /**
   * Sets the mode of this module and all modules inside, as in PyTorch.
   *
   * The Trainer leaves modes as it finds them, and restores them after an evaluation. So a frozen batch norm on which
   * `eval()` was called keeps its statistics. There is one exception: if `model.eval()` was called on the whole model,
   * for a prediction, the Trainer puts it into training. Inner modules on which `eval()` was called directly stay in
   * evaluation. `train()` on such a module, or on an enclosing one, ends that.
   */
  train(mode = true): this {
    if (typeof mode !== 'boolean')
      throw new ValueError(`${this.constructor.name}.train`, `the mode is ${shown(mode)}, but must be true or false`)
    for (const module of this.modules()) {
      module.training = mode
      if (mode) module.#held = false
    }
    this.#held = !mode
    return this
  }

  /** Sets evaluation mode: dropout is off, and batch norm uses its running statistics. */
  eval(): this {
    return this.train(false)
  }

  /** Returns a function that restores this module's own mode. captureModes calls it. */
  [keepMode](): () => void {
    const [training, held] = [this.training, this.#held]
    return () => {
      this.training = training
      this.#held = held
    }
  }

  /** Sets training mode, except for modules on which eval() was called. trainModes calls it. */
  [resume](): void {
    const seen = new Set<Module>([this])
    const pending: Module[] = [this]
    for (let module = pending.pop(); module !== undefined; module = pending.pop()) {
      module.training = true
      for (const child of module.children()) if (!child.#held && seen.size < seen.add(child).size) pending.push(child)
    }
  }

  /** Sets whether all parameters want gradients. */
  requiresGrad_(value = true): this {
    checkFlag(`${this.constructor.name}.requiresGrad_`, 'the value', value)
    for (const parameter of this.parameters()) parameter.requiresGrad = value
    return this
  }

  /** Whether forward hooks are registered, so that this module's forward must not be bypassed. */
  get hasForwardHooks(): boolean {
    return this.#hooks !== null
  }

  /**
   * Calls `hook(module, inputs)` before each forward of this module, in order of registration. An array that it returns
   * replaces the inputs. The returned handle removes the hook. Hooks run under `noGrad` and `checkpoint` as the forward
   * does, which for `checkpoint` means twice. Throws ValueError if it is not a function, and at the forward if it
   * returns anything else.
   */
  registerForwardPreHook<M extends Module>(this: M, hook: ForwardPreHook<NoInfer<M>>): HookHandle {
    return this.#addHook('before', 'registerForwardPreHook', hook)
  }

  /**
   * Like `registerForwardPreHook`, but after each forward: `hook(module, inputs, output)`. A value that it returns
   * replaces the output.
   */
  registerForwardHook<M extends Module>(this: M, hook: ForwardHook<NoInfer<M>>): HookHandle {
    return this.#addHook('after', 'registerForwardHook', hook)
  }

  #addHook(when: 'before' | 'after', method: string, hook: unknown): HookHandle {
    const hooks = this.#hooks ?? new ForwardHooks()
    const handle = hooks.add(when, `${this.constructor.name}.${method}`, hook, () => {
      this.#hooks = null
    })
    this.#hooks = hooks
    return handle
  }

  /** Sets all gradients to null. */
  zeroGrad(): void {
    zeroGrad(this.parameters())
  }

  /** Calls `fn` once with every module inside, inner ones before outer ones, and then with this one. */
  apply(fn: (module: Module) => void): this {
    if (typeof fn !== 'function')
      throw new ValueError(`${this.constructor.name}.apply`, `needs a function of a module, but got ${kindOf(fn)}`)
    const seen = new Set<Module>()
    const enter = (module: Module, depth: number) => {
      checkNesting(depth, module)
      if (seen.size === seen.add(module).size) return
      for (const child of module.children()) enter(child, depth + 1)
      fn(module)
    }
    enter(this, 1)
    return this
  }

  /**
   * A table of the layers and their parameters. If the shape of an input is given (with the batch), the table also has
   * the shapes that each layer gives. The model then runs once on zeros, in evaluation mode.
   */
  summary(inputShape?: Shape, options: SummaryOptions = {}): Summary {
    return summarize(this, inputShape, options)
  }

  /**
   * Moves all parameters and buffers to a device, or converts the floating ones to a floating dtype, in place.
   * Parameters stay the same objects, tied or not, and their gradients move with them. If anything fails, nothing has
   * changed. Throws DeviceError for a model on meta, because it has no elements to move: `load` gives it elements and a
   * device.
   */
  to(target: string | Device | DType): this {
    const dtype = typeof target === 'string' && isDType(target)
    if (dtype && !target.includes('float'))
      throw new ValueError('Module.to', `the dtype is ${target}, but parameters must be floating`)
    const own = [...this.namedParameters(), ...this.namedBuffers()]
    checkAlive('Module.to', own)
    if (!dtype) checkMovable(own, place('Module.to', { device: target }, creationNames).device)
    const moving = own.map(([, tensor]) => tensor).filter(({ dtype: from }) => !dtype || from.includes('float'))
    const holders = new Map<Storage, number>()
    for (const { storage } of moving) holders.set(storage, (holders.get(storage) ?? 0) + 1)
    noGrad(() => {
      /** Memory that several tensors view is moved as a whole, so that they still share it. */
      const together = new Map<Storage, Tensor>()
      const moved = moving.map((tensor) => {
        const { storage, shape, strides, offset } = tensor
        const old = tensor.peekGrad()
        const grad = old && keep(to(old, target))
        if (holders.get(storage) === 1) return { tensor, memory: keep(to(tensor, target)), grad }
        const whole = together.get(storage) ?? keep(to(denseTensor(storage, [storage.count]), target))
        together.set(storage, whole)
        return { tensor, memory: new Tensor(whole.storage, shape, strides, offset), grad }
      })
      for (const { tensor, memory, grad } of moved) {
        replaceMemory(tensor, memory)
        if (grad !== tensor.peekGrad()) tensor.grad = grad
      }
    })
    return this
  }

  /** This module's own text in `toString()`: its sizes and options. */
  extraRepr(): string {
    return ''
  }

  /** The tree of layers with their sizes and options. */
  override toString(): string {
    return tree(this)
  }

  [printed](): string {
    return this.toString()
  }

  /** Throws ValueError, because JSON cannot hold a module. */
  toJSON(): never {
    throw new ValueError(this.constructor.name, 'a module cannot be written as JSON; save() writes its state to a file')
  }
}

/**
 * A module that can be called, typed by its input and output: any model, whatever its layers, for code that trains,
 * serves or measures it. `Model<never>` may demand more of its input than being a tensor.
 */
export interface Model<In = Tensor, Out = Tensor> extends Module {
  forward(x: In): Out
}

function checkMovable(own: readonly Named<Tensor>[], { kind, name }: Device): void {
  const [found] = kind === 'meta' ? [] : own.filter(([, { device }]) => device.kind === 'meta')
  if (found !== undefined)
    throw new DeviceError(
      'Module.to',
      `${found[0]} is on meta, where it has a shape but no elements; load the model there: load(path, { device: '${name}' }), or ` +
        `make it there: { device: '${name}' }`,
    )
}

/**
 * The text with which PyTorch prints a module. A module nested too deep is shown in part, because printing must not
 * throw.
 */
function tree(root: Module): string {
  const outer = new Set<Module>()
  // The text is collected in pieces, because otherwise each depth would copy the texts of all deeper ones.
  const pieces: string[] = []
  const print = (module: Module, indent: string): void => {
    const type = module.constructor.name
    if (outer.has(module) || outer.size === mostNested) return void pieces.push(`${type}(...)`)
    outer.add(module)
    const children = module.namedChildren()
    const extra = module.extraRepr().replaceAll('\n', `\n${indent}`)
    if (children.length === 0) pieces.push(`${type}(${extra})`)
    else {
      pieces.push(`${type}(`, extra === '' ? '' : `\n${indent}  ${extra}`)
      for (const [name, child] of children) {
        pieces.push(`\n${indent}  (${name}): `)
        print(child, `${indent}  `)
      }
      pieces.push(`\n${indent})`)
    }
    outer.delete(module)
  }
  print(root, '')
  return pieces.join('')
}

/** Formats settings for `extraRepr()`: `inFeatures=3, bias=true`. */
export function settings(values: { readonly [name: string]: unknown }): string {
  const text = (value: unknown) => (Array.isArray(value) ? `[${value.map(String).join(', ')}]` : String(value))
  return Object.entries(values)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}=${text(value)}`)
    .join(', ')
}

function nameOf(module: object, parent: object | null): string {
  if (!(parent instanceof Module)) return module.constructor.name
  const own = parent.namedChildren().find(([, child]) => child === module)
  // A list has no forward of its own, so its name is part of the path: `layers.0`.
  const found = own ?? parent.namedModules().find(([path, inner]) => inner === module && path !== '')
  return found?.[0] ?? module.constructor.name
}

/** Errors that already name a layer, the innermost one. */
const explained = new WeakSet<object>()

/**
 * Adds the layer's name to an operator's error within a forward, because the program called the layer and not the
 * operator.
 */
function explain(error: unknown, module: object, path: () => string): void {
  if (!(module instanceof Module && isFiresteelError(error)) || explained.has(error)) return
  explained.add(error)
  // Both are read before the message changes, because the engine may format an unread stack only later, with the new
  // message.
  const { message, stack } = error
  error.message = `${message} (in ${path()}, ${module.constructor.name}(${module.extraRepr()}))`
  error.stack = stack?.replace(message, () => error.message) ?? ''
}

setModuleNaming(nameOf, tellIfLost, explain)
